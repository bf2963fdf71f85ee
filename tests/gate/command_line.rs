//! The commands, as an operator calls them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::Engine as _;
use serde_json::Value;

/// A directory with a configuration and its secret; removed on drop.
struct Place(PathBuf);

impl Place {
    fn new(name: &str, config: &str) -> Self {
        let dir =
            std::env::temp_dir().join(format!("h5gate-command-line-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("h5gate.toml"), config).unwrap();
        let secret = base64::engine::general_purpose::STANDARD.encode([7; 32]);
        std::fs::write(dir.join("k1.secret"), format!("{secret}\n")).unwrap();
        Self(dir)
    }

    fn config(&self) -> PathBuf {
        self.0.join("h5gate.toml")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const CONFIG: &str = r#"
[[listener]]
address = "127.0.0.1:0"
serves = ["playback"]
[upstream]
servers = ["http://127.0.0.1:1"]
[[organisation]]
hash = "abcde"
[[organisation.key]]
id = "k1"
secret_file = "k1.secret"
"#;

fn h5gate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_h5gate"))
        .args(arguments)
        .output()
        .unwrap()
}

fn with_config(command: &[&str], config: &Path, rest: &[&str]) -> Output {
    h5gate(&[command, &["--config", config.to_str().unwrap()], rest].concat())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_new_key_is_32_random_bytes_in_base64() {
    let one = text(&h5gate(&["key", "new"]).stdout);
    let two = text(&h5gate(&["key", "new"]).stdout);
    assert_eq!(
        base64::engine::general_purpose::STANDARD
            .decode(one.trim())
            .unwrap()
            .len(),
        32
    );
    assert_ne!(one, two);
}

#[test]
fn what_is_minted_is_verified_and_inspected() {
    let place = Place::new("mint", CONFIG);
    let claims = [
        "--stream",
        "abcde-one",
        "--for",
        "2h",
        "--tag",
        "a tag",
        "--ip",
        "192.0.2.0/24",
        "--referer",
        "*.example.com",
        "--user",
        "u",
        "--sessions",
        "3",
        "--cut-at-expiry",
    ];
    let minted = with_config(&["token", "mint"], &place.config(), &claims);
    assert!(minted.status.success(), "{minted:?}");
    let answer: Value = serde_json::from_slice(&minted.stdout).unwrap();
    let security = &answer["h5live"]["security"];
    assert_eq!(
        (security["options"].as_str(), security["tag"].as_str()),
        (Some("15"), Some("a tag"))
    );

    let inspected = h5gate(&["token", "inspect", security["token"].as_str().unwrap()]);
    let shown: Value = serde_json::from_slice(&inspected.stdout).unwrap();
    assert_eq!(
        (shown["verified"].as_bool(), shown["streams"][0].as_str()),
        (Some(false), Some("abcde-one"))
    );

    let url = with_config(
        &["token", "mint"],
        &place.config(),
        &[&claims[..], &["--url", "ws://gate.test/"]].concat(),
    );
    let urls = text(&url.stdout).trim().to_owned();
    let (url, hls) = urls.split_once('\n').unwrap();
    let websocket = "ws://gate.test/h5live/authstream/stream.mp4";
    let entry = "http://gate.test/h5live/authhttp/playlist.m3u8";
    assert_eq!(hls, url.replace(websocket, entry));
    assert!(
        url.starts_with(
            "ws://gate.test/h5live/authstream/stream.mp4?url=rtmp%3A%2F%2Flocalhost%2F"
        ),
        "{url}"
    );
    let verified = with_config(&["token", "verify"], &place.config(), &[url]);
    assert!(verified.status.success(), "{verified:?}");
    let shown: Value = serde_json::from_slice(&verified.stdout).unwrap();
    for (key, value) in [
        ("at_expiry", "cut"),
        ("user", "u"),
        ("key", "k1"),
        ("owner", "abcde"),
        ("tag", "a tag"),
    ] {
        assert_eq!(shown[key], value);
    }
    assert_eq!(
        (&shown["ip"][0], &shown["referer"][0], &shown["sessions"]),
        (&"192.0.2.0/24".into(), &"*.example.com".into(), &3.into())
    );

    let forged = url
        .replace("abcde-one", "abcde-two")
        .replace("options=15", "options=14");
    let refused = with_config(&["token", "verify"], &place.config(), &[&forged]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("signature"), "{refused:?}");
}

#[test]
fn what_cannot_be_minted_is_said() {
    let place = Place::new("refuse", CONFIG);
    for (arguments, word) in [
        (&["--stream", "fghij-one"][..], "no active key"),
        (&["--orga", "fghij"], "no active key"),
        (&["--stream", "a/b"], "character"),
        (&["--stream", "abcde-one", "--expires", "1"], "past"),
        (
            &["--stream", "abcde-one", "--referer", "nanocosmos"],
            "two labels",
        ),
        (
            &["--stream", "abcde-one", "--ip", "1.2.3.4/24"],
            "1.2.3.0/24",
        ),
        (
            &["--stream", "abcde-one", "--cut-at-expiry"],
            "without expires",
        ),
        (&[], "--stream"),
    ] {
        let refused = with_config(&["token", "mint"], &place.config(), arguments);
        assert!(
            !refused.status.success() && refused.stdout.is_empty(),
            "{arguments:?}"
        );
        assert!(
            text(&refused.stderr).contains(word),
            "{arguments:?}: {}",
            text(&refused.stderr)
        );
    }
}

#[test]
fn a_check_reports_every_error_with_key_and_line_and_exits_78() {
    let good = Place::new("good", CONFIG);
    assert_eq!(
        with_config(&["check"], &good.config(), &[]).status.code(),
        Some(0)
    );
    let bad = CONFIG
        .replace("127.0.0.1:0", "localhost")
        .replace("k1.secret", "missing.secret")
        .replace("[upstream]", "[upstream]\ncolour = 1");
    let bad = Place::new("bad", &bad);
    let checked = with_config(&["check"], &bad.config(), &[]);
    assert_eq!(checked.status.code(), Some(78));
    let report = text(&checked.stderr);
    for (line, key) in [
        (3, "listener[0].address"),
        (6, "upstream.colour"),
        (12, "organisation[0].key[0].secret_file"),
    ] {
        let start = format!("h5gate.toml:{line}: {key}");
        assert!(
            report.lines().any(|row| row.contains(&start)),
            "{start} in\n{report}"
        );
    }
    assert_eq!(report.lines().count(), 3, "{report}");
    assert_eq!(
        with_config(&["serve"], &bad.config(), &[]).status.code(),
        Some(78)
    );
    assert_eq!(
        with_config(&["check"], Path::new("/nowhere/h5gate.toml"), &[])
            .status
            .code(),
        Some(78)
    );
}

#[test]
fn a_check_names_the_sources_that_players_may_name() {
    let named = |name: &str, config: &str| {
        let place = Place::new(name, config);
        text(&with_config(&["check"], &place.config(), &[]).stdout)
    };
    let default = named("default-sources", CONFIG);
    for word in [
        "upstream.rtmp_urls",
        "rtmp://localhost/splay, rtmp://localhost/play ",
        "4400",
    ] {
        assert!(default.contains(word), "{word} in {default}");
    }
    let cloud = "[upstream]\nrtmp_urls = [\"rtmp://bintu-splay.nanocosmos.de/splay\"]";
    let cloud = named("cloud-sources", &CONFIG.replace("[upstream]", cloud));
    assert!(cloud.contains("the sources rtmp://bintu-splay.nanocosmos.de/splay (upstream"));
    let without = CONFIG.replace("\"playback\"", "\"token-api\"");
    let without = named("no-sources", &without);
    assert!(
        without.contains("no errors") && !without.contains("rtmp"),
        "{without}"
    );
}

#[test]
fn a_taken_address_is_said_and_not_shared() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let place = Place::new("taken", &CONFIG.replace("127.0.0.1:0", &address));
    let refused = with_config(&["serve"], &place.config(), &[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains(&address), "{refused:?}");
}
