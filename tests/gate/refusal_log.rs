//! Refusals cannot fill the log: their lines have a size and a rate, and what is not logged is counted and said.

use std::io::Write as _;

use crate::support::gate::{Gate, Setup};
use crate::support::media_server::MediaServer;
use crate::support::viewer::{Viewer, connect, get, next_answer, request};
use crate::support::{playing, until};
use serde_json::Value;

/// More than is logged of one address.
const MANY: usize = 60;

fn gate(limits: &str) -> Gate {
    Gate::start(&Setup {
        servers: vec![MediaServer::echo().address],
        tables: &format!("[limits]\n{limits}"),
        ..Setup::default()
    })
}

fn lines(gate: &Gate, message: &str) -> Vec<Value> {
    let mut log = gate.log();
    log.retain(|line| line["message"] == message);
    log
}

/// How many refusals the log says that it leaves out.
fn left_out(gate: &Gate) -> usize {
    let said = lines(gate, "refusals beyond limits.refusals_logged, not logged");
    said.iter()
        .map(|line| usize::try_from(line["count"].as_u64().unwrap()).unwrap())
        .sum()
}

fn refused_connects(gate: &Gate) {
    for _ in 0..MANY {
        let query = "url=rtmp://localhost/play&stream=abcde-one&token=h1.x.y.z&options=1";
        assert_eq!(Viewer::open(gate.playback, query, &[]).closed().0, 4901);
    }
}

fn refused_requests(gate: &Gate) {
    let mut socket = connect(gate.playback);
    for _ in 0..MANY {
        let path = "/h5live/authhttp/playlist.m3u8?url=rtmp://localhost/play&stream=abcde-one";
        write!(socket, "GET {path} HTTP/1.1\r\nHost: gate.test\r\n\r\n").unwrap();
        let answer = next_answer(&mut socket);
        assert_eq!(answer.status, 403, "{answer:?}");
    }
}

fn refused_switches(gate: &Gate) {
    let mut viewer = playing(gate, "abcde-one");
    for id in 0..MANY {
        viewer.say(&format!(
            r#"{{"eventType":"onUpdateSource","requestId":{id}}}"#
        ));
    }
    for _ in 0..MANY {
        assert!(viewer.hear().contains("onUpdateSourceError"));
    }
}

#[test]
fn what_is_beyond_the_rate_is_counted_and_said() {
    type Refuse = fn(&Gate);
    let kinds: [(&str, Refuse); 3] = [
        ("playback refused", refused_connects),
        ("playback refused", refused_requests),
        ("switch refused", refused_switches),
    ];
    for (message, refuse) in kinds {
        let gate = gate("refusals_logged = 10\nrefusals = 1000\nclient_frames = 1000");
        let start = std::time::Instant::now();
        refuse(&gate);
        let seconds = start.elapsed().as_secs_f64();
        until("all to be logged or said", || {
            (left_out(&gate) + lines(&gate, message).len() == MANY).then_some(())
        });
        let logged = lines(&gate, message).len() as f64;
        assert!(
            logged >= 1.0 && logged <= seconds + 3.0,
            "{logged} in {seconds} s"
        );
        let counted = gate.metric("h5gate_refusals_not_logged_total");
        assert_eq!(counted + logged, MANY as f64);
    }
}

#[test]
fn a_line_has_an_end_however_long_the_request() {
    let gate = gate("");
    let long = "x".repeat(2000);
    let query = "url=rtmp://localhost/play&stream=abcde-one&token=h1.x.y.z&options=1";
    let origin = format!("Origin: https://{}.test", long.repeat(3));
    Viewer::open(gate.playback, query, &[&origin]).closed();
    Viewer::open(gate.playback, &format!("{query}&tag={long}"), &[]).closed();
    Viewer::open(gate.playback, &format!("url={long}&stream={long}"), &[]).closed();
    Viewer::open(
        gate.playback,
        &format!("{query}&{long}=1&to{long}ken=1&TOKEN={long}"),
        &[],
    )
    .closed();
    let path = format!("/h5live/authhttp/~{long}/x/y.ts");
    get(gate.playback, &path, &[]);
    let referer = format!("Referer: https://{long}/");
    get(
        gate.playback,
        &format!("/h5live/authhttp/playlist.m3u8?{query}"),
        &[&referer],
    );
    let mut viewer = playing(&gate, "abcde-one");
    viewer.say(&format!(
        r#"{{"eventType":"onUpdateSource","onUpdateSource":{{"tag":"{long}","rtmp":{{"url":"{long}","stream":"{long}"}}}}}}"#
    ));
    viewer.hear();
    let refused =
        |gate: &Gate| lines(gate, "playback refused").len() + lines(gate, "switch refused").len();
    until("the lines", || (refused(&gate) >= 7).then_some(()));
    for line in gate.log() {
        assert!(line.to_string().len() < 1500, "{line}");
    }
}

#[test]
fn a_request_without_a_good_api_key_names_its_address_once_a_second() {
    let gate = gate("");
    for number in 0..MANY {
        let key = format!("X-BINTU-APIKEY: guess-{number}");
        let headers: &[&str] = match number % 3 {
            0 => &[],
            1 => &["X-BINTU-APIKEY: x", "X-BINTU-APIKEY: y"],
            _ => &[&key],
        };
        let status = request(gate.playback, "POST", "/secure/token", headers, "{}").status;
        assert!(status == 401 || status == 429, "{status}");
    }
    gate.logged("no token minted");
    let count = lines(&gate, "no token minted").len();
    assert!(count < MANY / 2, "{count}");
    assert_eq!(lines(&gate, "no token minted")[0]["address"], "127.0.0.1");
}

#[test]
fn a_token_of_another_form_is_named_beside_the_one_that_is_missing() {
    let gate = gate("");
    let source = "url=rtmp://localhost/play&stream=abcde-one";
    for (query, named) in [
        (
            format!("{source}&jwtoken=eyJhbGciOiJFZERTQSJ9.e30.c2ln"),
            true,
        ),
        (source.to_owned(), false),
    ] {
        let mut viewer = Viewer::open(gate.playback, &query, &[]);
        let (code, reason) = viewer.closed();
        let receipt = reason.rsplit(' ').next().unwrap().to_owned();
        let line = until("its line", || {
            let line = lines(&gate, "playback refused");
            line.into_iter().find(|line| line["receipt"] == *receipt)
        });
        assert_eq!((code, &line["detail"]), (4903, &"token is missing".into()));
        assert_eq!(line["jwtoken"].is_string(), named, "{line}");
        assert!(!line.to_string().contains("eyJ"), "{line}");
    }
}
