//! One connection that asks in vain again and again is answered at a rate, and not before its turn.

use std::io::Write as _;
use std::time::{Duration, Instant};

use crate::support::gate::{Gate, Setup};
use crate::support::media_server::MediaServer;
use crate::support::viewer::{connect, next_answer};

fn gate(tables: &str) -> Gate {
    Gate::start(&Setup {
        servers: vec![MediaServer::echo().address],
        tables: &format!("[refusal]\nwebsocket = \"http-status\"\n{tables}"),
        ..Setup::default()
    })
}

/// How long so many of a request, all sent at once, take on one connection.
fn time_of(gate: &Gate, request: &str, count: usize, status: u16) -> Duration {
    let mut socket = connect(gate.playback);
    socket.write_all(request.repeat(count).as_bytes()).unwrap();
    let start = Instant::now();
    for _ in 0..count {
        assert_eq!(next_answer(&mut socket).status, status, "{request}");
    }
    start.elapsed()
}

const QUERY: &str = "url=rtmp://localhost/play&stream=abcde-one";

fn get(path: &str, extra: &str) -> String {
    format!("GET {path}?{QUERY} HTTP/1.1\r\nHost: gate.test\r\n{extra}\r\n")
}

fn refused() -> [(String, u16); 4] {
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    [
        (get("/h5live/authhttp/playlist.m3u8", ""), 403),
        (get("/h5live/authhttp/stream.mp4", ""), 403),
        (get("/h5live/authhttp/~x/y/z.ts", ""), 403),
        (get("/h5live/authstream", upgrade), 403),
    ]
}

#[test]
fn refusals_on_one_connection_have_a_rate() {
    let gate = gate("");
    for (request, status) in refused() {
        // Ten at once, and ten a second.
        let time = time_of(&gate, &request, 25, status);
        assert!(time > Duration::from_millis(1200), "{time:?}: {request}");
    }
}

#[test]
fn what_is_no_refusal_does_not_wait() {
    let gate = gate("");
    let request = "OPTIONS /h5live/authstream HTTP/1.1\r\nHost: gate.test\r\n\r\n";
    let time = time_of(&gate, request, 1000, 204);
    assert!(time < Duration::from_secs(10), "{time:?}");
}

#[test]
fn a_listed_proxys_connection_is_many_viewers_and_does_not_wait() {
    let gate = gate("[client]\ntrusted_proxies = [\"127.0.0.1\"]");
    for (request, status) in refused() {
        let time = time_of(&gate, &request, 200, status);
        assert!(time < Duration::from_secs(10), "{time:?}: {request}");
    }
}
