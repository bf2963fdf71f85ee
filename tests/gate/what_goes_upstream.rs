//! What a media server sees: what was checked, rebuilt, and nothing else of the viewer's.

use crate::support::gate::{Gate, Setup, grant, mint};
use crate::support::media_server::{MediaServer, header};
use crate::support::viewer::{Viewer, query};

/// The head that a media server saw of a viewer's handshake.
fn seen(setup: &Setup<'_>, query: &str, headers: &[&str]) -> String {
    let server = MediaServer::echo();
    let gate = Gate::start(&Setup {
        servers: vec![server.address],
        listener: setup.listener,
        upstream: setup.upstream,
        tables: setup.tables,
        ..Setup::default()
    });
    assert_eq!(Viewer::open(gate.playback, query, headers).hear(), "hello");
    server.first_head()
}

fn target(head: &str) -> &str {
    head.strip_prefix("GET ")
        .and_then(|rest| rest.split(' ').next())
        .unwrap()
}

#[test]
fn the_query_is_rebuilt_without_the_security_keys() {
    let mut tagged = grant("abcde-one");
    tagged.tag = "customer 7/ü".parse().unwrap();
    let query = format!(
        "custom=a%2Bb+c%20d&{}&jwtoken=eyJhbGciOiJFZERTQSJ9.e30.x&flags=faststart%2Cpaused&os=%e2%82%ac&bare&empty=&k=1&k=2",
        query("abcde-one", &mint(&tagged))
            .replace("rtmp%3A%2F%2Flocalhost", "RTMP://LocalHost%3A1935")
    );
    let head = seen(&Setup::default(), &query, &[]);
    assert_eq!(
        target(&head),
        "/h5live/authstream/stream.mp4?custom=a%2Bb%2Bc%20d&url=rtmp%3A%2F%2Flocalhost%2Fplay&stream=abcde-one\
         &cid=123456&flags=faststart%2Cpaused&os=%E2%82%AC&bare&empty=&k=1&k=2"
    );
    assert_eq!(header(&head, "x-h5gate-tag"), Some("customer%207%2F%C3%BC"));
}

#[test]
fn few_headers_travel_on_and_ours_are_written_fresh() {
    let viewers = [
        "Origin: https://page.test",
        "User-Agent: nanoplayer/5",
        "Accept-Language: de",
        "Cookie: a=b",
        "Authorization: Bearer x",
        "X-Forwarded-For: 1.2.3.4",
        "X-Forwarded-Proto: https",
        "Forwarded: for=1.2.3.4",
        "X-Real-IP: 1.2.3.4",
        "X-H5gate-Session: forged",
        "X-H5gate-Tag: forged",
        "X-Custom: x",
        "Connection: X-Forwarded-For",
    ];
    let head = seen(
        &Setup::default(),
        &query("abcde-one", &mint(&grant("abcde-one"))),
        &viewers,
    );
    let mut names: Vec<_> = head
        .lines()
        .skip(1)
        .filter_map(|line| Some(line.split_once(':')?.0.to_ascii_lowercase()))
        .collect();
    names.sort();
    let expected = [
        "accept-language",
        "connection",
        "host",
        "origin",
        "sec-websocket-key",
        "sec-websocket-version",
        "upgrade",
        "user-agent",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-h5gate-session",
    ];
    assert_eq!(names, expected, "{head}");
    assert_eq!(header(&head, "x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(header(&head, "x-forwarded-proto"), Some("http"));
    assert_eq!(header(&head, "host"), Some("gate.test"));
    assert_eq!(header(&head, "connection"), Some("Upgrade"));
    assert_eq!(header(&head, "x-h5gate-session").unwrap().len(), 16);
}

#[test]
fn path_and_host_can_be_the_operators() {
    let upstream = "websocket_path = \"/h5live/stream\"\nhost = \"media.internal\"";
    let setup = Setup {
        upstream,
        ..Setup::default()
    };
    let head = seen(&setup, &query("abcde-one", &mint(&grant("abcde-one"))), &[]);
    assert!(target(&head).starts_with("/h5live/stream?url="), "{head}");
    assert_eq!(header(&head, "host"), Some("media.internal"));
}

#[test]
fn tokens_and_api_keys_are_in_no_log() {
    let server = MediaServer::echo();
    let gate = Gate::before(server.address);
    let security = mint(&grant("abcde-one"));
    let good = query("abcde-one", &security);
    assert_eq!(Viewer::open(gate.playback, &good, &[]).hear(), "hello");
    let bad = query("abcde-two", &security);
    assert_eq!(Viewer::open(gate.playback, &bad, &[]).closed().0, 4901);
    let malformed = good.replace("token=h1.", "token=h1..");
    assert_eq!(
        Viewer::open(gate.playback, &malformed, &[]).closed().0,
        4901
    );
    let key = format!("X-BINTU-APIKEY: {}", crate::support::gate::API_KEY);
    let headers = [key.as_str(), "Content-Type: application/json"];
    let minted = crate::support::viewer::request(
        gate.playback,
        "POST",
        "/secure/token",
        &headers,
        r#"{"streamname":"abcde-one"}"#,
    );
    assert_eq!(minted.status, 200);
    let wrong = crate::support::viewer::request(
        gate.playback,
        "POST",
        "/secure/token",
        &["X-BINTU-APIKEY: a-guessed-key", headers[1]],
        "{}",
    );
    assert_eq!(wrong.status, 401);
    let refused = || {
        gate.log()
            .iter()
            .filter(|line| line["message"] == "playback refused")
            .count()
    };
    crate::support::until("both refusals in the log", || {
        (refused() == 2).then_some(())
    });
    let log: String = gate.log().iter().map(|line| format!("{line}\n")).collect();
    let signature = security.token.rsplit('.').next().unwrap();
    for secret in [
        signature,
        crate::support::gate::API_KEY,
        "a-guessed-key",
        "h1.abcde",
    ] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}
