//! What is no WebSocket handshake of a player, and what hyper would have let through.

use std::io::{Read as _, Write as _};

use crate::support::gate::{Gate, grant, mint};
use crate::support::media_server::{MediaServer, read_head};
use crate::support::viewer::{Viewer, connect, exchange, handshake, query};

fn good_target() -> String {
    format!(
        "/h5live/authstream/stream.mp4?{}",
        query("abcde-one", &mint(&grant("abcde-one")))
    )
}

/// A request that differs from a good handshake in one thing, and its status.
fn rejected(target: &str) -> Vec<(&'static str, u16, String)> {
    let good = handshake(target, &[]);
    let changed = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replacen(from, to, 1)
    };
    let path = |path: &str| changed("/h5live/authstream/stream.mp4?", &format!("{path}?"));
    vec![
        ("no Upgrade", 426, changed("Upgrade: websocket\r\n", "")),
        (
            "another Upgrade",
            426,
            changed("Upgrade: websocket", "Upgrade: h2c"),
        ),
        ("no Connection", 426, changed("Connection: Upgrade\r\n", "")),
        ("another version", 426, changed("Version: 13", "Version: 8")),
        (
            "no version",
            400,
            changed("Sec-WebSocket-Version: 13\r\n", ""),
        ),
        (
            "no key",
            400,
            changed("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""),
        ),
        (
            "a short key",
            400,
            changed("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ="),
        ),
        (
            "two keys",
            400,
            changed(
                "\r\n\r\n",
                "\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            ),
        ),
        ("HEAD", 426, changed("GET ", "HEAD ")),
        ("POST", 405, changed("GET ", "POST ")),
        (
            "CONNECT",
            400,
            "CONNECT gate.test:80 HTTP/1.1\r\nHost: gate.test:80\r\n\r\n".to_owned(),
        ),
        ("HTTP/1.0", 400, changed("HTTP/1.1", "HTTP/1.0")),
        ("no Host", 400, changed("Host: gate.test\r\n", "")),
        (
            "two Hosts",
            400,
            changed(
                "Host: gate.test\r\n",
                "Host: gate.test\r\nHost: gate.test\r\n",
            ),
        ),
        (
            "an empty Host",
            400,
            changed("Host: gate.test\r\n", "Host:\r\n"),
        ),
        (
            "a Host with user",
            400,
            changed("Host: gate.test\r\n", "Host: a@gate.test\r\n"),
        ),
        (
            "a Host whose port is none",
            400,
            changed("Host: gate.test\r\n", "Host: gate.test:99999\r\n"),
        ),
        (
            "a Host without a name",
            400,
            changed("Host: gate.test\r\n", "Host: :80\r\n"),
        ),
        (
            "a Host with half a bracket",
            400,
            changed("Host: gate.test\r\n", "Host: [::1\r\n"),
        ),
        (
            "an escaped Host",
            400,
            changed("Host: gate.test\r\n", "Host: %67ate.test\r\n"),
        ),
        (
            "an absolute target of another host",
            400,
            changed("GET /", "GET http://other.test/"),
        ),
        (
            "a body",
            400,
            changed("\r\n\r\n", "\r\nContent-Length: 2\r\n\r\n{}"),
        ),
        (
            "a chunked body",
            400,
            changed(
                "\r\n\r\n",
                "\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            ),
        ),
        ("raw UTF-8 in the target", 400, changed("?", "?ü=1&")),
        (
            "a target that is too long",
            414,
            changed("?", &format!("?x={}&", "x".repeat(8 * 1024))),
        ),
        (
            "a head that is too long",
            431,
            changed(
                "\r\n\r\n",
                &format!("\r\nX: {}\r\n\r\n", "x".repeat(17 * 1024)),
            ),
        ),
        (
            "too many fields",
            431,
            changed("\r\n\r\n", &format!("\r\n{}\r\n", "X: y\r\n".repeat(70))),
        ),
        ("two slashes", 404, path("/h5live//authstream/stream.mp4")),
        ("a dot", 404, path("/h5live/./authstream/stream.mp4")),
        (
            "an escaped letter",
            404,
            path("/h5live/%61uthstream/stream.mp4"),
        ),
        (
            "other letter case",
            404,
            path("/h5live/authstream/Stream.mp4"),
        ),
        ("a semicolon", 404, path("/h5live/authstream/stream.mp4;x")),
        ("a path below", 404, path("/h5live/authstream/stream.mp4/x")),
        (
            "the unauthenticated path",
            404,
            path("/h5live/stream/stream.mp4"),
        ),
        ("the root", 404, path("/")),
    ]
}

#[test]
fn what_is_no_handshake_is_told_so_and_ends_its_connection() {
    let server = MediaServer::echo();
    let gate = Gate::before(server.address);
    let rows = rejected(&good_target());
    assert!(rows.len() >= 30);
    for (what, status, request) in rows {
        // `exchange` reads to the end: that it returns proves that the connection was closed.
        let answer = exchange(gate.playback, request.as_bytes());
        assert_eq!(answer.status, status, "{what}: {answer:?}");
    }
    assert_eq!(server.heads(), Vec::<String>::new());
}

#[test]
fn all_four_spellings_of_the_path_play() {
    let server = MediaServer::echo();
    let gate = Gate::before(server.address);
    let query = query("abcde-one", &mint(&grant("abcde-one")));
    for path in [
        "/h5live/authstream",
        "/h5live/authstream/",
        "/h5live/authstream/stream.mp4",
        "/h5live/authstream/stream.mp4/",
    ] {
        let mut viewer = Viewer::open_path(gate.playback, &format!("{path}?{query}"), &[], b"");
        assert_eq!(viewer.hear(), "hello", "{path}");
        let head = server.heads().pop().unwrap();
        assert!(
            head.starts_with(&format!("GET {}?", path.trim_end_matches('/'))),
            "{head}"
        );
    }
}

#[test]
fn extensions_and_subprotocols_are_not_agreed_to() {
    let server = MediaServer::echo();
    let gate = Gate::before(server.address);
    let viewer = Viewer::open_path(
        gate.playback,
        &good_target(),
        &["Sec-WebSocket-Protocol: chat"],
        b"",
    );
    assert_eq!(viewer.status(), 101);
    assert_eq!(
        viewer.header("sec-websocket-accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        "RFC 6455 section 1.3"
    );
    assert_eq!(
        (
            viewer.header("sec-websocket-extensions"),
            viewer.header("sec-websocket-protocol")
        ),
        (None, None)
    );
    let head = server.first_head().to_ascii_lowercase();
    assert!(
        !head.contains("sec-websocket-extensions") && !head.contains("sec-websocket-protocol"),
        "{head}"
    );
}

#[test]
fn a_preflight_is_answered() {
    let gate = Gate::before(MediaServer::echo().address);
    let answer = crate::support::viewer::request(
        gate.playback,
        "OPTIONS",
        "/h5live/authstream",
        &["Origin: https://a.b"],
        "",
    );
    assert_eq!(answer.status, 204);
    assert!(
        answer
            .head
            .to_ascii_lowercase()
            .contains("access-control-allow-origin: *"),
        "{}",
        answer.head
    );
}

#[test]
fn several_requests_of_one_connection_end_in_a_playback() {
    let server = MediaServer::echo();
    let gate = Gate::before(server.address);
    let options = "OPTIONS /h5live/authstream HTTP/1.1\r\nHost: gate.test\r\n\r\n";
    let mut socket = connect(gate.playback);
    let asked = format!("{options}{options}{}", handshake(&good_target(), &[]));
    socket.write_all(asked.as_bytes()).unwrap();
    for _ in 0..2 {
        let answer = read_head(&mut socket).unwrap();
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    }
    let mut viewer = Viewer::answered(socket);
    assert_eq!((viewer.status(), viewer.hear().as_str()), (101, "hello"));
}

#[test]
fn a_refusal_is_one_packet_behind_what_was_asked_before_it() {
    let gate = Gate::before(MediaServer::echo().address);
    let refused = handshake("/h5live/authstream?stream=abcde-one", &[]);
    for _ in 0..20 {
        let mut socket = connect(gate.playback);
        socket.write_all(refused.as_bytes()).unwrap();
        let mut answer = [0; 4096];
        let length = socket.read(&mut answer).unwrap();
        let answer = &answer[..length];
        assert!(answer.starts_with(b"HTTP/1.1 101 "));
        let head = answer.windows(4).position(|four| four == b"\r\n\r\n");
        let frame = &answer[head.unwrap() + 4..];
        assert_eq!((frame[0], usize::from(frame[1])), (0x88, frame.len() - 2));
    }
    // On a connection that already had an answer, and asks twice at once.
    let mut socket = connect(gate.playback);
    let preflight = "OPTIONS /h5live/authstream HTTP/1.1\r\nHost: gate.test\r\n\r\n";
    socket
        .write_all([preflight, &refused].concat().as_bytes())
        .unwrap();
    let first = read_head(&mut socket).unwrap();
    assert!(first.starts_with("HTTP/1.1 204 "), "{first}");
    let mut viewer = Viewer::answered(socket);
    assert_eq!((viewer.status(), viewer.closed().0), (101, 4400));
}
