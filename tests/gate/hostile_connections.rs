//! Slow, idle and silent connections are bounded; the viewers that play notice nothing.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use crate::support::gate::{Gate, Setup, grant, mint};
use crate::support::media_server::{FromGate, MediaServer};
use crate::support::until;
use crate::support::viewer::{Viewer, connect, query};

fn gate(timeouts: &str, server: &MediaServer) -> Gate {
    let tables = format!("[timeouts]\n{timeouts}");
    Gate::start(&Setup {
        servers: vec![server.address],
        tables: &tables,
        ..Setup::default()
    })
}

/// Reads to the end of a connection that the gate closes.
fn ends(mut socket: std::net::TcpStream) {
    let mut rest = Vec::new();
    let _ = socket.read_to_end(&mut rest);
}

#[test]
fn a_head_that_does_not_come_ends_its_connection() {
    let server = MediaServer::echo();
    let gate = gate("head = \"2s\"", &server);
    let mut playing = Viewer::open(
        gate.playback,
        &query("abcde-one", &mint(&grant("abcde-one"))),
        &[],
    );
    assert_eq!(playing.hear(), "hello");
    ends(connect(gate.playback));
    let mut slow = connect(gate.playback);
    slow.write_all(b"GET /h5live/authstream HTTP/1.1\r\nHost: ")
        .unwrap();
    ends(slow);
    until("the connections' places", || {
        (gate.metric("h5gate_connections") == 1.0).then_some(())
    });
    playing.say(r#"{"eventType":"onPlay"}"#);
    assert_eq!(playing.hear(), r#"echo:{"eventType":"onPlay"}"#);
}

#[test]
fn a_connection_that_asks_nothing_more_ends() {
    let gate = gate("keep_alive = \"300ms\"", &MediaServer::echo());
    let mut socket = connect(gate.playback);
    socket
        .write_all(b"OPTIONS /h5live/authstream HTTP/1.1\r\nHost: gate.test\r\n\r\n")
        .unwrap();
    assert!(
        crate::support::media_server::read_head(&mut socket)
            .unwrap()
            .starts_with("HTTP/1.1 204")
    );
    ends(socket);
    until("the connection's place", || {
        (gate.metric("h5gate_connections") == 0.0).then_some(())
    });
}

#[test]
fn a_viewer_that_does_not_read_is_given_up_and_others_go_on() {
    let server = MediaServer::start(|mut gate| {
        gate.accept();
        let frame = h5gate::relay::frame::from_server(0x2, &vec![7; 60_000]);
        // Ends when the gate is gone.
        while gate.socket.write_all(&frame).is_ok() {}
    });
    let gate = gate("write_stall = \"3s\"", &server);
    let query = query("abcde-one", &mint(&grant("abcde-one")));
    let stalled = Viewer::open(gate.playback, &query, &[]);
    let mut healthy = Viewer::open(gate.playback, &query, &[]);
    until("the end of the stalled playback", || {
        assert_eq!(healthy.receive().unwrap().payload.len(), 60_000);
        (gate.metric("h5gate_session_ends_total{reason=\"viewer_stalled\"}") == 1.0).then_some(())
    });
    drop(stalled);
}

#[test]
fn a_silent_media_server_ends_the_playback_unless_it_is_paused() {
    let server = MediaServer::start(FromGate::greet_only);
    let gate = gate("media_idle = \"800ms\"\nping = \"1s\"", &server);
    let query = query("abcde-one", &mint(&grant("abcde-one")));
    assert_eq!(Viewer::open(gate.playback, &query, &[]).closed().0, 4503);
    for (flag, gone) in [("paused", 1.0), ("metastreamonly", 2.0)] {
        let mut viewer = Viewer::open(gate.playback, &format!("{query}&flags={flag}"), &[]);
        assert_eq!(viewer.hear(), "hello");
        for _ in 0..4 {
            let ping = viewer.receive().unwrap();
            assert_eq!(ping.opcode, 0x9);
            viewer.send(0xa, &ping.payload);
        }
        // It answers no more: gone after two pings.
        for _ in 0..2 {
            assert_eq!(viewer.receive().unwrap().opcode, 0x9);
        }
        assert_eq!(viewer.receive(), None);
        let silent = || gate.metric("h5gate_session_ends_total{reason=\"viewer_silent\"}");
        until("the end of the silent viewer", || {
            (silent() == gone).then_some(())
        });
    }
}

#[test]
fn a_viewer_that_vanishes_frees_its_session() {
    let gate = Gate::before(MediaServer::echo().address);
    let mut viewer = Viewer::open(
        gate.playback,
        &query("abcde-one", &mint(&grant("abcde-one"))),
        &[],
    );
    assert_eq!(viewer.hear(), "hello");
    drop(viewer);
    until("the session's end", || {
        (gate.metric("h5gate_sessions") == 0.0).then_some(())
    });
    until("the connection's place", || {
        (gate.metric("h5gate_connections") == 0.0).then_some(())
    });
}

#[test]
fn a_media_server_that_is_lost_is_4503_between_frames_and_no_code_inside_one() {
    for (bytes, code) in [(&b"\x81\x02hi"[..], Some(4503)), (b"\x81\x05hi", None)] {
        let server = MediaServer::start(move |mut gate| {
            gate.accept();
            gate.send_raw(bytes);
        });
        let gate = Gate::before(server.address);
        let mut viewer = Viewer::open(
            gate.playback,
            &query("abcde-one", &mint(&grant("abcde-one"))),
            &[],
        );
        match code {
            Some(code) => {
                assert_eq!(viewer.hear(), "hi");
                assert_eq!(viewer.closed().0, code);
            }
            None => assert_eq!(viewer.receive(), None),
        }
    }
}

#[test]
fn a_media_server_that_goes_away_is_no_end_for_the_player() {
    for (told, heard) in [
        (1001_u16, 4503),
        (1012, 4503),
        (1000, 1000),
        (4403, 4403),
        (1011, 1011),
    ] {
        let server = MediaServer::start(move |mut gate| {
            gate.accept();
            gate.send(0x8, &told.to_be_bytes());
            gate.drain();
        });
        let gate = Gate::before(server.address);
        let mut viewer = Viewer::open(
            gate.playback,
            &query("abcde-one", &mint(&grant("abcde-one"))),
            &[],
        );
        assert_eq!(viewer.closed().0, heard);
    }
}

#[test]
fn a_connection_in_use_outlives_the_deadline_of_its_first_head() {
    let gate = gate("head = \"2s\"", &MediaServer::echo());
    let mut socket = connect(gate.playback);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(4) {
        socket
            .write_all(b"OPTIONS /h5live/authstream HTTP/1.1\r\nHost: gate.test\r\n\r\n")
            .unwrap();
        assert!(
            crate::support::media_server::read_head(&mut socket).is_some(),
            "after {:?}",
            start.elapsed()
        );
    }
}
