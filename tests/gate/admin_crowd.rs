//! However many connections of peers without the token the operator's listener has, health is told and the operator gets in.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::support::gate::{Gate, Setup};
use crate::support::media_server::MediaServer;
use crate::support::viewer::{connect, get, next_answer};
use sha2::{Digest as _, Sha256};

/// More than there is room for of each kind.
const CROWD: usize = 200;
const BEARER: &str = "Authorization: Bearer secret";

fn gate() -> Gate {
    let digest = Sha256::digest("secret");
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    Gate::start(&Setup {
        servers: vec![MediaServer::echo().address],
        admin: &format!("token_sha256 = \"{digest}\""),
        ..Setup::default()
    })
}

fn saying(address: SocketAddr, text: &str) -> TcpStream {
    let mut socket = connect(address);
    socket.write_all(text.as_bytes()).unwrap();
    socket
}

/// One request on a connection that is kept; its status.
fn ask(socket: &mut TcpStream, path: &str) -> u16 {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{BEARER}\r\n\r\n");
    socket.write_all(request.as_bytes()).unwrap();
    next_answer(socket).status
}

/// What keeps a place without the token, by what it says at first.
const CROWDS: [(&str, &str); 5] = [
    ("silent", ""),
    ("a slow head", "GET /healthz HTTP/1.1\r\nHo"),
    (
        "a slow body with a wrong token",
        "POST /api/revocations HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer wrong\r\n\
         Content-Type: application/json\r\nContent-Length: 5000\r\n\r\n{",
    ),
    (
        "health that is not read",
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ),
    (
        "a wrong token",
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer wrong\r\n\r\n",
    ),
];

#[test]
fn a_crowd_without_the_token_keeps_neither_health_nor_the_operator_out() {
    let gate = gate();
    let mut operator = connect(gate.admin);
    assert_eq!(ask(&mut operator, "/metrics"), 200);
    for (what, first) in CROWDS {
        let mut crowd: Vec<_> = (0..CROWD).map(|_| saying(gate.admin, first)).collect();
        for path in ["/healthz", "/readyz"] {
            let start = Instant::now();
            assert_eq!(get(gate.admin, path, &[]).status, 200, "{what}: {path}");
            assert!(start.elapsed() < Duration::from_secs(5), "{what}: {path}");
        }
        assert_eq!(
            get(gate.admin, "/api/sessions", &[BEARER]).status,
            200,
            "{what}"
        );
        assert_eq!(
            ask(&mut operator, "/api/sessions"),
            200,
            "{what}: a kept connection"
        );
        // What goes on slowly holds no place for longer than the others.
        for socket in &mut crowd {
            let _ = socket.write_all(b"x");
        }
        assert_eq!(get(gate.admin, "/healthz", &[]).status, 200, "{what}");
    }
}

#[test]
fn a_crowd_with_the_token_has_room_of_its_own() {
    let gate = gate();
    let mut crowd: Vec<_> = (0..CROWD).map(|_| connect(gate.admin)).collect();
    for socket in &mut crowd {
        // Of those that have been sent away already this fails.
        let request = format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\n{BEARER}\r\n\r\n");
        let _ = socket.write_all(request.as_bytes());
    }
    assert_eq!(get(gate.admin, "/healthz", &[]).status, 200);
    assert_eq!(get(gate.admin, "/metrics", &[BEARER]).status, 200);
}

#[test]
fn what_has_not_shown_the_token_is_answered_once() {
    let gate = gate();
    for (path, extra, status) in [
        ("/healthz", "", 200),
        ("/metrics", "", 401),
        ("/metrics", "Authorization: Bearer wrong\r\n", 401),
        ("/healthz", "Host: x\r\n", 400),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{extra}\r\n");
        let mut socket = saying(gate.admin, &request.repeat(2));
        let mut all = String::new();
        // The second request may be answered with a reset.
        let _ = socket.read_to_string(&mut all);
        assert!(all.starts_with(&format!("HTTP/1.1 {status} ")), "{all}");
        assert_eq!(all.matches("HTTP/1.1 ").count(), 1, "{all}");
    }
}
