//! A client that writes all of its request before it reads hears why it was refused: a connection with unread bytes is closed in
//! order, and not by a reset that overtakes the answer. What is read for that is bounded.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::Instant;

use crate::support::PATIENCE;
use crate::support::gate::{API_KEY, Gate, Setup};
use crate::support::viewer::connect;

/// More than all buffers of a connection on this machine take, and less than what is read of a refused body.
const LARGE: usize = 900 * 1024;

fn gate(tables: &str) -> Gate {
    Gate::start(&Setup {
        servers: vec!["127.0.0.1:1".parse().unwrap()],
        tables,
        ..Setup::default()
    })
}

/// Writes all of it, and then reads to the end: the whole answer.
fn writes_first(address: SocketAddr, head: &str, body: &[u8]) -> String {
    let mut socket = connect(address);
    socket.write_all(head.as_bytes()).unwrap();
    socket
        .write_all(body)
        .unwrap_or_else(|error| panic!("{head}: {error} while the body was written"));
    let mut answer = String::new();
    socket
        .read_to_string(&mut answer)
        .unwrap_or_else(|error| panic!("{head}: {error} instead of the answer's end"));
    answer
}

fn post(path: &str, lines: &[&str]) -> String {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n")
}

#[test]
fn the_token_api_tells_a_client_that_writes_on() {
    let gate = gate("");
    let (key, wrong) = (
        format!("X-BINTU-APIKEY: {API_KEY}"),
        "X-BINTU-APIKEY: wrong",
    );
    let (json, text) = ("Content-Type: application/json", "Content-Type: text/plain");
    let length = format!("Content-Length: {LARGE}");
    let body = vec![b' '; LARGE];
    for (lines, status) in [
        ([&*key, json, &length], 413),
        ([&*key, text, &length], 415),
        ([wrong, json, &length], 401),
    ] {
        let answer = writes_first(gate.playback, &post("/secure/token", &lines), &body);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
        assert!(answer.ends_with('}'), "{answer}");
    }
    let put = post("/secure/token", &[&key, json, &length]).replace("POST", "PUT");
    let answer = writes_first(gate.playback, &put, &body);
    assert!(
        answer.starts_with("HTTP/1.1 405 ") && answer.ends_with('}'),
        "{answer}"
    );

    let chunk = format!("{LARGE:x}\r\n{}\r\n0\r\n\r\n", " ".repeat(LARGE));
    for lines in [
        &[&*key, json, "Transfer-Encoding: chunked"][..],
        &[
            &*key,
            json,
            "Transfer-Encoding: chunked",
            "Content-Length: 5",
        ],
        &[&*key, json, "Transfer-Encoding: gzip, chunked"],
    ] {
        let answer = writes_first(
            gate.playback,
            &post("/secure/token", lines),
            chunk.as_bytes(),
        );
        assert!(
            answer.starts_with("HTTP/1.1 4") && answer.ends_with('}'),
            "{answer}"
        );
    }
}

#[test]
fn viewers_endpoints_tell_a_client_that_writes_on() {
    let gate = gate("");
    let length = format!("Content-Length: {LARGE}");
    let body = vec![b' '; LARGE];
    for (path, status) in [
        ("/h5live/authstream", 400),
        ("/h5live/authhttp/playlist.m3u8", 400),
        ("/nothing", 404),
        ("//x", 404),
    ] {
        let head = post(path, &[&length]);
        let answer = writes_first(gate.playback, &head, &body);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{path}: {answer}"
        );
    }
    // What hyper itself refuses: no HTTP, two lengths, and a head that is too large.
    let broken = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n";
    for (head, status) in [("no HTTP at all\r\n\r\n", 400), (broken, 400)] {
        let answer = writes_first(gate.playback, head, &body);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
    let field = format!("X-Field: {}\r\n", "x".repeat(LARGE));
    let head = "GET / HTTP/1.1\r\nHost: x\r\n";
    let answer = writes_first(gate.playback, head, field.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[test]
fn the_operator_is_told_while_it_writes_on() {
    let gate = gate("");
    let length = format!("Content-Length: {LARGE}");
    let (json, text) = ("Content-Type: application/json", "Content-Type: text/plain");
    let body = vec![b' '; LARGE];
    for (lines, status) in [
        (&[json, &length][..], 413),
        (&[text, &length], 415),
        (&[json, "Origin: http://elsewhere.test", &length], 403),
        (&["Transfer-Encoding: chunked", json], 413),
    ] {
        let chunk = format!("{LARGE:x}\r\n{}\r\n0\r\n\r\n", " ".repeat(LARGE));
        let chunked = lines[0].starts_with("Transfer");
        let body = if chunked { chunk.as_bytes() } else { &body };
        let answer = writes_first(gate.admin, &post("/api/revocations", lines), body);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{lines:?}: {answer}"
        );
    }
}

#[test]
fn what_is_read_of_a_refused_body_is_bounded() {
    let gate = gate("[limits]\nrefused_body = \"64KiB\"\n[timeouts]\nlinger = \"300ms\"\n");
    let head = post("/secure/token", &["Content-Length: 1000000000000"]);
    // In bytes: a client that never reads is cut off, however fast it writes.
    let mut socket = connect(gate.playback);
    socket.write_all(head.as_bytes()).unwrap();
    let start = Instant::now();
    let mut written = 0_usize;
    let error = loop {
        match socket.write(&[b' '; 64 * 1024]) {
            Ok(count) => written += count,
            Err(error) => break error,
        }
        assert!(start.elapsed() < PATIENCE, "{written} bytes were taken");
    };
    assert!(
        matches!(
            error.kind(),
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
        ),
        "{error}"
    );
    // In time: one that writes a byte now and then is not waited for.
    let mut socket = connect(gate.playback);
    socket.write_all(head.as_bytes()).unwrap();
    let start = Instant::now();
    while socket.write_all(b" ").is_ok() {
        assert!(start.elapsed() < PATIENCE, "it may write for ever");
        std::thread::park_timeout(std::time::Duration::from_millis(20));
    }
    // The connections' places are free again.
    crate::support::until("the connections' end", || {
        (gate.metric("h5gate_connections") == 0.0).then_some(())
    });
}
