//! A source that is not configured is refused with 4400, and the operator is told which key to change and what was asked for.

use h5gate::request::query::encode_component;
use serde_json::{Value, json};

use crate::support::gate::{Gate, grant, mint};
use crate::support::media_server::MediaServer;
use crate::support::viewer::{Viewer, get, query};

const STREAM: &str = "abcde-one";

/// What is asked for, and what of it is logged.
const UNLISTED: [(&str, &str); 6] = [
    (
        "rtmp://bintu-splay.nanocosmos.de/splay",
        "rtmp://bintu-splay.nanocosmos.de/splay",
    ),
    (
        "rtmp://bintu-play.nanocosmos.de:1935/play",
        "rtmp://bintu-play.nanocosmos.de:1935/play",
    ),
    ("rtmp://localhost/play/", "rtmp://localhost/play/"),
    ("rtmps://localhost/play", "rtmps://localhost/play"),
    (
        "rtmp://me:hunter2@localhost/play?key=hunter2",
        "rtmp://localhost/play",
    ),
    ("localhost", "localhost"),
];

/// The query of a playback that is good but for its source.
fn query_of(source: &str) -> String {
    let usual = encode_component("rtmp://localhost/play");
    query(STREAM, &mint(&grant(STREAM))).replace(&usual, &encode_component(source))
}

/// Does something, and holds the refusal that is logged of it against what is expected.
fn assert_told<T>(gate: &Gate, message: &str, logged: &str, act: impl FnOnce() -> T) -> T {
    let before = gate.log().len();
    let told = act();
    let line = crate::support::until("the log line", || {
        let log = gate.log();
        let mut later = log.iter().skip(before);
        later.find(|line| line["message"] == message).cloned()
    });
    let expected = format!("url \"{logged}\" is none of upstream.rtmp_urls");
    assert_eq!(
        (&line["detail"], &line["code"]),
        (&json!(expected), &json!(4400))
    );
    told
}

#[test]
fn at_the_connect_and_over_hls_the_log_names_the_key_and_the_url() {
    let server = MediaServer::echo();
    let gate = Gate::before(server.address);
    for (source, logged) in UNLISTED {
        let closed = assert_told(&gate, "playback refused", logged, || {
            Viewer::open(gate.playback, &query_of(source), &[]).closed()
        });
        let target = format!("/h5live/authhttp/playlist.m3u8?{}", query_of(source));
        let answer = assert_told(&gate, "playback refused", logged, || {
            get(gate.playback, &target, &[])
        });
        assert_eq!((closed.0, answer.status), (4400, 400), "{source}");
        // The names stay with the operator.
        assert!(!closed.1.contains("rtmp") && !answer.body.contains("rtmp"));
    }
    let log = format!("{:?}", gate.log());
    assert!(!log.contains("hunter2"), "a password is in the log");
}

#[test]
fn in_band_it_is_said_as_well_and_what_plays_goes_on() {
    let server = MediaServer::echo();
    let gate = Gate::before(server.address);
    let mut viewer = Viewer::open(gate.playback, &query(STREAM, &mint(&grant(STREAM))), &[]);
    assert_eq!(viewer.hear(), "hello");
    for (source, logged) in UNLISTED {
        let switch = json!({ "eventType": "onUpdateSource", "requestId": 1, "onUpdateSource":
            { "tag": "t", "count": 1, "rtmp": { "url": source, "stream": STREAM } } });
        let told = assert_told(&gate, "switch refused", logged, || {
            viewer.say(&switch.to_string());
            viewer.hear()
        });
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(told["onUpdateSourceError"]["code"], 4400, "{source}");
    }
    viewer.say(r#"{"eventType":"onPlay"}"#);
    assert!(viewer.hear().starts_with("echo:"));
}
