//! SIGHUP: keys rotate without losing anybody, and a bad file changes nothing.

use rustix::process::Signal;
use serde_json::Value;

use crate::support::gate::{API_KEY, Gate, Setup};
use crate::support::media_server::MediaServer;
use crate::support::viewer::{Viewer, request};
use crate::support::{playing, until};

#[test]
fn a_reload_rotates_keys_and_a_bad_file_changes_nothing() {
    let server = MediaServer::echo();
    let setup = Setup {
        servers: vec![server.address],
        ..Setup::default()
    };
    let gate = Gate::start(&setup);
    let mut running = playing(&gate, "abcde-one");
    let minted = || {
        let body = r#"{"streamname":"abcde-one"}"#;
        let key = format!("X-BINTU-APIKEY: {API_KEY}");
        let answer = request(
            gate.playback,
            "POST",
            "/secure/token",
            &[&key, "Content-Type: application/json"],
            body,
        );
        assert_eq!(answer.status, 200, "{answer:?}");
        let answer: Value = serde_json::from_str(&answer.body).unwrap();
        let security = &answer["h5live"]["security"];
        format!(
            "url=rtmp%3A%2F%2Flocalhost%2Fplay&stream=abcde-one&token={}&options={}",
            security["token"].as_str().unwrap(),
            security["options"].as_str().unwrap()
        )
    };
    let old = minted();

    gate.rewrite_text("[[listener]]\naddress = 7\n");
    gate.signal(Signal::HUP);
    gate.logged("configuration not reloaded");
    assert_eq!(Viewer::open(gate.playback, &old, &[]).hear(), "hello");

    // A second key signs, the first only verifies.
    crate::support::gate::write_secret(
        &gate.dir().join("next.secret"),
        "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI5OTk5",
    );
    gate.rewrite(&setup);
    let path = gate.dir().join("h5gate.toml");
    let good = std::fs::read_to_string(&path).unwrap();
    let first = "id = \"abcde-1\"\nsecret_file = \"abcde.secret\"\n";
    let both = format!(
        "{first}state = \"retiring\"\n[[organisation.key]]\nid = \"next\"\nsecret_file = \"next.secret\"\n"
    );
    assert!(good.contains(first));
    std::fs::write(&path, good.replace(first, &both)).unwrap();
    gate.signal(Signal::HUP);
    gate.logged("configuration reloaded");
    assert!(old.contains("token=h1.abcde-1."));
    let new = minted();
    assert!(new.contains("token=h1.next."), "{new}");
    for query in [&old, &new] {
        assert_eq!(Viewer::open(gate.playback, query, &[]).hear(), "hello");
    }

    // The first key is gone: its tokens start nothing, what plays goes on.
    let only = "id = \"next\"\nsecret_file = \"next.secret\"\n";
    std::fs::write(&path, good.replace(first, only)).unwrap();
    let reloads = || {
        gate.log()
            .iter()
            .filter(|line| line["message"] == "configuration reloaded")
            .count()
    };
    let before = reloads();
    gate.signal(Signal::HUP);
    until("the second reload", || (reloads() > before).then_some(()));
    assert_eq!(Viewer::open(gate.playback, &old, &[]).closed().0, 4901);
    assert_eq!(Viewer::open(gate.playback, &new, &[]).hear(), "hello");
    running.say(r#"{"eventType":"onPlay"}"#);
    assert_eq!(running.hear(), r#"echo:{"eventType":"onPlay"}"#);
}

#[test]
fn a_reload_says_which_file_and_what_in_it_should_be_heard_of() {
    let server = MediaServer::echo();
    let setup = Setup {
        servers: vec![server.address],
        ..Setup::default()
    };
    let gate = Gate::start(&setup);
    let path = gate.dir().join("h5gate.toml");
    let file = path.to_str().unwrap();
    let good = std::fs::read_to_string(&path).unwrap();
    let told =
        |message: &str, field: &str| gate.logged(message)[field].as_str().unwrap().to_owned();

    std::fs::write(
        &path,
        format!("{good}\n[[organisation]]\nhash = \"klmno\"\n"),
    )
    .unwrap();
    gate.signal(Signal::HUP);
    assert_eq!(told("configuration reloaded", "file"), file);
    let warning = told("a setting is probably not meant", "warning");
    let line = good.lines().count() + 2;
    assert!(
        warning.starts_with(&format!("{file}:{line}: organisation[3]: has no key")),
        "{warning}"
    );

    let broken = [(
        "abcde.secret",
        "\"abc\"",
        "\"abcde.secret\": the secret is not base64: it stands in quotation marks",
    )];
    for (secret, text, words) in broken {
        crate::support::gate::write_secret(&gate.dir().join(secret), text);
        gate.signal(Signal::HUP);
        let error = told("configuration not reloaded", "error");
        assert!(
            error.starts_with(&format!("{file}:")) && error.contains(words),
            "{error}"
        );
    }
}
