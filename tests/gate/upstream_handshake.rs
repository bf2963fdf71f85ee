//! Media servers that are absent, slow or wrong: the code of the table, in time, and nothing of the viewer's before the
//! server agreed.

use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::gate::{Gate, Setup, grant, mint};
use crate::support::media_server::{FromGate, MediaServer};
use crate::support::until;
use crate::support::viewer::{Viewer, query};

fn playback() -> String {
    query("abcde-one", &mint(&grant("abcde-one")))
}

/// An address where nobody listens.
fn nobody() -> std::net::SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

/// What a media server answers to a handshake.
type Script = fn(&FromGate) -> String;

/// An answer that is this status alone.
fn status(code: u16) -> String {
    format!("HTTP/1.1 {code} X\r\nContent-Length: 0\r\n\r\n")
}

/// Answers, and how a viewer is told of them.
fn answers() -> Vec<(&'static str, u16, Script)> {
    vec![
        ("426", 4500, |_| status(426)),
        ("421", 4500, |_| status(421)),
        ("408", 4503, |_| status(408)),
        ("429", 4503, |_| status(429)),
        ("200", 4500, |_| {
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".to_owned()
        }),
        ("302", 4500, |_| {
            "HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n".to_owned()
        }),
        ("no HTTP", 4500, |_| "hello\r\n\r\n".to_owned()),
        ("a wrong key", 4500, |gate| {
            gate.answer()
                .replace("Sec-WebSocket-Accept: ", "Sec-WebSocket-Accept: x")
        }),
        ("no key", 4500, |gate| {
            gate.answer().replace("Sec-WebSocket-Accept", "X-Accept")
        }),
        ("no upgrade", 4500, |gate| {
            gate.answer().replace("Upgrade: websocket\r\n", "")
        }),
        ("an extension", 4500, |gate| {
            gate.answer().replace(
                "\r\n\r\n",
                "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
            )
        }),
        ("a head without end", 4500, |_| {
            format!(
                "HTTP/1.1 101 Switching Protocols\r\nX: {}",
                "x".repeat(20_000)
            )
        }),
        ("500", 4503, |_| {
            "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n".to_owned()
        }),
        ("503", 4503, |_| {
            "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".to_owned()
        }),
        ("an end", 4503, |_| String::new()),
        ("half a head", 4503, |_| "HTTP/1.1 101 Switch".to_owned()),
    ]
}

#[test]
fn a_wrong_answer_has_its_code_and_not_before_the_retry_counter_resets() {
    let rows = answers();
    assert!(rows.len() >= 10);
    for (what, code, answer) in rows {
        let server = MediaServer::start(move |mut gate| {
            let answer = answer(&gate);
            gate.send_raw(answer.as_bytes());
        });
        let gate = Gate::before(server.address);
        let mut viewer = Viewer::open(gate.playback, &playback(), &[]);
        let opened = Instant::now();
        assert_eq!(viewer.status(), 101, "{what}");
        assert_eq!(viewer.closed().0, code, "{what}");
        // The 101 left a little before it was read here.
        assert!(
            opened.elapsed() > Duration::from_millis(230),
            "{what}: after {:?}",
            opened.elapsed()
        );
        until("the session's end", || {
            (gate.metric("h5gate_sessions") == 0.0).then_some(())
        });
    }
}

/// A media server that answers each handshake with a status; `None` plays.
fn saying(code: Option<u16>) -> MediaServer {
    MediaServer::start(move |mut gate| match code {
        Some(code) => gate.send_raw(status(code).as_bytes()),
        None => {
            gate.greet_only();
        }
    })
}

#[test]
fn a_stream_that_is_not_there_is_final_and_says_nothing_against_the_server() {
    for code in [400, 401, 403, 404, 405, 410, 451] {
        let gate = Gate::before(saying(Some(code)).address);
        let mut viewer = Viewer::open(gate.playback, &playback(), &[]);
        assert_eq!(viewer.status(), 101, "{code}");
        assert_eq!(viewer.closed().0, 4400, "{code}");
        let line = gate.logged("playback ended without a media server");
        assert_eq!(line["reason"], "upstream_no_stream", "{code}");
        let failed = gate
            .log()
            .into_iter()
            .any(|line| line["message"] == "media server failed");
        assert!(!failed, "{code}");
    }
}

#[test]
fn a_stream_that_is_not_there_is_looked_for_at_every_other_server() {
    // Wherever the stream is drawn first, with more servers than may fail.
    for code in [404, 403] {
        let servers: Vec<_> = (0..5).map(|n| saying((n > 0).then_some(code))).collect();
        let servers: Vec<_> = servers.iter().map(|server| server.address).collect();
        let gate = Gate::start(&Setup {
            servers,
            ..Setup::default()
        });
        for stream in ["abcde-one", "abcde-two", "abcde-three"] {
            let query = query(stream, &mint(&grant(stream)));
            assert_eq!(Viewer::open(gate.playback, &query, &[]).hear(), "hello");
        }
    }
    // It may be on the one that cannot be asked, which is worth another try.
    let gate = Gate::start(&Setup {
        servers: vec![saying(Some(404)).address, nobody()],
        ..Setup::default()
    });
    assert_eq!(
        Viewer::open(gate.playback, &playback(), &[]).closed().0,
        4503
    );
}

#[test]
fn an_absent_media_server_is_4503_and_another_one_is_tried() {
    let gate = Gate::before(nobody());
    assert_eq!(
        Viewer::open(gate.playback, &playback(), &[]).closed().0,
        4503
    );
    let server = MediaServer::echo();
    let gate = Gate::start(&Setup {
        servers: vec![nobody(), server.address, nobody()],
        ..Setup::default()
    });
    for _ in 0..3 {
        assert_eq!(
            Viewer::open(gate.playback, &playback(), &[]).hear(),
            "hello"
        );
    }
}

#[test]
fn a_silent_media_server_is_4503_at_the_deadline() {
    let server = MediaServer::start(FromGate::drain);
    let tables = "[timeouts]\nupstream_head = \"300ms\"";
    let gate = Gate::start(&Setup {
        servers: vec![server.address],
        tables,
        ..Setup::default()
    });
    assert_eq!(
        Viewer::open(gate.playback, &playback(), &[]).closed().0,
        4503
    );
    assert_eq!(
        gate.logged("playback ended without a media server")["reason"],
        "upstream_late"
    );
}

#[test]
fn our_101_does_not_wait_for_the_media_server() {
    let (release, hold) = std::sync::mpsc::channel::<()>();
    let hold = Mutex::new(hold);
    let server = MediaServer::start(move |gate| {
        let _ = hold.lock().unwrap().recv();
        gate.greet_only();
    });
    let gate = Gate::before(server.address);
    let mut viewer = Viewer::open(gate.playback, &playback(), &[]);
    assert_eq!(viewer.status(), 101);
    server.first_head();
    release.send(()).unwrap();
    assert_eq!(viewer.hear(), "hello");
}

#[test]
fn nothing_of_the_viewers_goes_on_before_the_media_server_agreed() {
    let early = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&early);
    let (release, hold) = std::sync::mpsc::channel::<()>();
    let hold = Mutex::new(hold);
    let server = MediaServer::start(move |mut gate| {
        // Until it agrees it must see nothing but the head.
        let _ = hold.lock().unwrap().recv();
        gate.socket.set_nonblocking(true).unwrap();
        let mut byte = [0; 64];
        let count = std::io::Read::read(&mut gate.socket, &mut byte).unwrap_or(0);
        seen.lock().unwrap().extend_from_slice(&byte[..count]);
        gate.socket.set_nonblocking(false).unwrap();
        gate.accept();
        let frame = gate.receive().unwrap();
        gate.send(0x1, &frame.payload);
        gate.drain();
    });
    let gate = Gate::before(server.address);
    let play = h5gate::relay::frame::from_client(0x1, [5, 6, 7, 8], br#"{"eventType":"onPlay"}"#);
    let target = format!("/h5live/authstream?{}", playback());
    let mut viewer = Viewer::open_path(gate.playback, &target, &[], &play);
    server.first_head();
    release.send(()).unwrap();
    assert_eq!(
        viewer.hear(),
        r#"{"eventType":"onPlay"}"#,
        "bytes right behind the request are not lost"
    );
    assert_eq!(*early.lock().unwrap(), b"");
}

#[test]
fn frames_right_behind_the_servers_answer_are_not_lost() {
    let server = MediaServer::start(|mut gate| {
        let answer = gate.answer().into_bytes();
        let frames = [
            h5gate::relay::frame::from_server(0x1, b"one"),
            h5gate::relay::frame::from_server(0x2, &[7; 70_000]),
        ];
        gate.send_raw(&[answer, frames.concat()].concat());
        gate.drain();
    });
    let gate = Gate::before(server.address);
    let mut viewer = Viewer::open(gate.playback, &playback(), &[]);
    assert_eq!(viewer.hear(), "one");
    assert_eq!(viewer.receive().unwrap().payload, [7; 70_000]);
}

#[test]
fn a_media_server_that_hangs_leaves_time_for_the_next_one() {
    // Which of the two a stream draws first depends on their ports, so the one that is asked first hangs.
    let asked = Arc::new(AtomicUsize::new(0));
    let servers = [(); 2].map(|()| {
        let asked = Arc::clone(&asked);
        MediaServer::start(move |mut gate| {
            if asked.fetch_add(1, Ordering::Relaxed) > 0 {
                gate.greet();
            }
            gate.drain();
        })
    });
    let gate = Gate::start(&Setup {
        servers: servers.iter().map(|server| server.address).collect(),
        tables: "[timeouts]\nupstream_total = \"4s\"",
        ..Setup::default()
    });
    let mut viewer = Viewer::open(gate.playback, &playback(), &[]);
    assert_eq!(viewer.hear(), "hello");
    let heads = servers.each_ref().map(|server| server.heads().len());
    assert_eq!(heads, [1, 1], "one hung, the other one answered");
}

#[test]
fn a_session_that_is_ended_while_a_media_server_is_dialled_hears_why_at_once() {
    let hung = MediaServer::start(FromGate::drain);
    let gate = Gate::before(hung.address);
    let grant = grant("abcde-one");
    let mut viewer = Viewer::open(gate.playback, &query("abcde-one", &mint(&grant)), &[]);
    hung.first_head();
    let body = format!(
        "{{\"organisation\":\"abcde\",\"token_id\":\"{}\"}}",
        grant.id
    );
    let json = ["Content-Type: application/json"];
    let answer =
        crate::support::viewer::request(gate.admin, "POST", "/api/revocations", &json, &body);
    assert_eq!(answer.status, 201);
    assert_eq!(viewer.closed().0, 4901);
    assert_eq!(
        gate.logged("playback ended without a media server")["reason"],
        "revoked"
    );
}

#[test]
fn a_viewer_that_leaves_while_a_media_server_is_dialled_frees_its_place() {
    let hung = MediaServer::start(FromGate::drain);
    let tables = "[timeouts]\nupstream_total = \"60s\"\nupstream_head = \"60s\"";
    let gate = Gate::start(&Setup {
        servers: vec![hung.address],
        tables,
        ..Setup::default()
    });
    let viewer = Viewer::open(gate.playback, &playback(), &[]);
    hung.first_head();
    drop(viewer);
    until("the session's end", || {
        (gate.metric("h5gate_sessions") == 0.0).then_some(())
    });
}
