//! A small body is a small body: the token API takes it in chunks as well, as HTTP libraries send it by default that are given a
//! stream. Size and time are bounded alike, and a body with two ends has none.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;

use crate::support::gate::{API_KEY, Gate, Setup};
use crate::support::viewer::{Answer, connect, exchange};

const BODY: &str = r#"{"streamname":"abcde-one"}"#;
const CHUNKED: &str = "Transfer-Encoding: chunked";

fn gate(tables: &str) -> Gate {
    Gate::start(&Setup {
        servers: vec!["127.0.0.1:1".parse().unwrap()],
        tables,
        ..Setup::default()
    })
}

/// The head of a request with these lines beside what every one needs.
fn head(lines: &[&str]) -> String {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    format!(
        "POST /secure/token HTTP/1.1\r\nHost: gate.test\r\nX-BINTU-APIKEY: {API_KEY}\r\n\
         Content-Type: application/json\r\n{lines}\r\n"
    )
}

/// A body in chunks of so many bytes, without the last one.
fn chunks(body: &str, size: usize) -> String {
    let chunk = |part: &[u8]| format!("{:x}\r\n{}\r\n", part.len(), String::from_utf8_lossy(part));
    body.as_bytes().chunks(size).map(chunk).collect()
}

fn error(answer: &Answer) -> String {
    let told: Value = serde_json::from_str(&answer.body).unwrap();
    told["error"].as_str().unwrap().to_owned()
}

#[test]
fn a_body_in_chunks_gets_its_token() {
    let gate = gate("");
    let whole = chunks(BODY, BODY.len());
    let bodies = [
        whole.clone() + "0\r\n\r\n",
        chunks(BODY, 1) + "0\r\n\r\n",
        chunks(BODY, 7) + "000\r\n\r\n",
        // Extensions of chunks and trailers say nothing.
        whole.replacen("\r\n", ";name=value\r\n", 1) + "0;last\r\n\r\n",
        whole.clone() + "0\r\nX-Checksum: 1\r\nContent-Type: text/plain\r\n\r\n",
        whole.clone() + "0\r\nContent-Length: 3\r\n\r\n",
    ];
    for body in bodies {
        for coding in [CHUNKED, "transfer-encoding: Chunked"] {
            let sent = head(&["Connection: close", coding]) + &body;
            let answer = exchange(gate.playback, sent.as_bytes());
            assert_eq!(answer.status, 200, "{sent}\n{}", answer.body);
            assert!(answer.body.contains("\"token\":\"h1."), "{}", answer.body);
        }
    }
}

#[test]
fn a_connection_goes_on_after_a_body_in_chunks() {
    let gate = gate("");
    let chunked = head(&[CHUNKED]) + &chunks(BODY, 5) + "0\r\nX: y\r\n\r\n";
    let length = format!("Content-Length: {}", BODY.len());
    let whole = head(&[&length]) + BODY;
    let mut socket = connect(gate.playback);
    for sent in [&chunked, &whole, &chunked, &chunked] {
        socket.write_all(sent.as_bytes()).unwrap();
        assert!(answered(&mut socket).starts_with("HTTP/1.1 200 "));
    }
}

#[test]
fn a_peer_that_waits_to_be_told_to_go_on_is_told() {
    let gate = gate("");
    let mut socket = connect(gate.playback);
    let head = head(&[CHUNKED, "Expect: 100-continue"]);
    socket.write_all(head.as_bytes()).unwrap();
    assert!(answered(&mut socket).starts_with("HTTP/1.1 100 "));
    let body = chunks(BODY, 9) + "0\r\n\r\n";
    socket.write_all(body.as_bytes()).unwrap();
    assert!(answered(&mut socket).starts_with("HTTP/1.1 200 "));
}

#[test]
fn a_body_that_says_twice_where_it_ends_is_refused_and_ends_the_connection() {
    let gate = gate("");
    let body = chunks(BODY, BODY.len()) + "0\r\n\r\n";
    let length = format!("Content-Length: {}", body.len());
    let short = "content-length: 4";
    let empty = "CONTENT-LENGTH:0";
    let next = "GET /nothing HTTP/1.1\r\nHost: gate.test\r\n\r\n";
    for lines in [
        [&length, CHUNKED],
        [CHUNKED, &length],
        [short, CHUNKED],
        [CHUNKED, short],
        [empty, CHUNKED],
        [CHUNKED, empty],
    ] {
        let sent = head(&lines) + &body + next;
        let answer = exchange(gate.playback, sent.as_bytes());
        assert_eq!(
            (answer.status, &*error(&answer)),
            (400, "length_ambiguous"),
            "{lines:?}"
        );
        assert!(answer.head.contains("connection: close"), "{}", answer.head);
        // A second request on the connection, and one that comes byte by byte.
        let first = head(&[CHUNKED]) + &body;
        let mut socket = connect(gate.playback);
        socket.write_all(first.as_bytes()).unwrap();
        assert!(answered(&mut socket).starts_with("HTTP/1.1 200 "));
        for byte in sent.bytes() {
            if socket.write_all(&[byte]).is_err() {
                break;
            }
        }
        let told = answered(&mut socket);
        assert!(
            told.starts_with("HTTP/1.1 400 ") && told.contains("length_ambiguous"),
            "{told}"
        );
        assert_eq!(socket.read(&mut [0]).unwrap_or(0), 0, "nothing follows");
    }
}

#[test]
fn another_coding_is_refused() {
    let gate = gate("");
    let body = chunks(BODY, BODY.len()) + "0\r\n\r\n";
    for lines in [
        &["Transfer-Encoding: gzip, chunked"][..],
        &["Transfer-Encoding: chunked, chunked"],
        &["Transfer-Encoding: gzip", CHUNKED],
        &["Transfer-Encoding: identity"],
        &["Transfer-Encoding: chunked, identity"],
        &["Transfer-Encoding: "],
    ] {
        let sent = head(lines) + &body;
        let answer = exchange(gate.playback, sent.as_bytes());
        assert_eq!(answer.status, 400, "{lines:?}: {}", answer.body);
        assert!(!answer.body.contains("h1."), "{lines:?}");
    }
}

#[test]
fn chunks_are_bounded_in_size_and_time_like_a_whole_body() {
    let gate = gate("[limits]\nbody = \"4KiB\"\n[timeouts]\nhead = \"300ms\"\n");
    let fits = format!("{BODY:4096}");
    let last = "0\r\n\r\n";
    for (body, size, status) in [
        (&fits, 1000, 200),
        (&format!("{fits} "), 4096, 413),
        (&format!("{fits} "), 1, 413),
    ] {
        let sent = head(&["Connection: close", CHUNKED]) + &chunks(body, size) + last;
        let answer = exchange(gate.playback, sent.as_bytes());
        assert_eq!(
            answer.status,
            status,
            "{} bytes by {size}: {}",
            body.len(),
            answer.body
        );
    }
    // One that does not end is answered without its end.
    let endless = head(&[CHUNKED]) + &chunks(&fits, 100) + &chunks(&fits, 100);
    let answer = exchange(gate.playback, endless.as_bytes());
    assert_eq!((answer.status, &*error(&answer)), (413, "body_too_long"));
    // One that says a size beyond the limit, or of which nothing more comes.
    for (body, status) in [
        ("1000000\r\nx", 408),
        ("5\r\nhe", 408),
        ("", 408),
        (&*chunks(BODY, 9), 408),
    ] {
        let sent = head(&[CHUNKED]) + body;
        let answer = exchange(gate.playback, sent.as_bytes());
        assert_eq!(answer.status, status, "{body:?}: {}", answer.body);
    }
}

#[test]
fn malformed_chunks_mint_nothing() {
    let gate = gate("");
    for body in [
        "xyz\r\n",
        "-1\r\n",
        "ffffffffffffffffff\r\n",
        "1a\r\n{\"streamname\":\"abcde-one\"}0\r\n\r\n",
        "\r\n\r\n",
    ] {
        let sent = head(&[CHUNKED]) + body;
        let answer = exchange(gate.playback, sent.as_bytes());
        assert_eq!(answer.status, 400, "{body:?}: {}", answer.body);
        assert_eq!(error(&answer), "body_cut_short", "{body:?}");
    }
}

/// One answer with a `Content-Length`, or without a body.
fn answered(socket: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut byte = [0];
    let mut length = 0;
    loop {
        socket.read_exact(&mut byte).unwrap();
        bytes.push(byte[0]);
        if bytes.ends_with(b"\r\n\r\n") {
            break;
        }
    }
    for line in String::from_utf8_lossy(&bytes).lines() {
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    socket.read_exact(&mut body).unwrap();
    String::from_utf8([bytes, body].concat()).unwrap()
}
