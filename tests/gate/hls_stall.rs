//! A viewer that stops reading an HLS answer is let go, costs little until then, and holds nobody up.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::support::gate::{Gate, grant};
use crate::support::hls::{HERE, entry, gate_with, play};
use crate::support::media_server::{FromGate, MediaServer, target};
use crate::support::viewer::{connect, get};
use crate::support::{PATIENCE, until};

const SHARED: &str = "/hls/abcde-one/1.ts";
/// More than all sockets on its way hold.
const LONG: usize = 24 << 20;
static PIECE: [u8; 64 * 1024] = [7; 64 * 1024];

/// A media server whose segment is long, and whose progressive file has no end. It tells how much of each the gate took.
fn server() -> (MediaServer, Receiver<usize>) {
    let (tell, told) = channel();
    let tell = Mutex::new(tell);
    let server = MediaServer::start(move |gate| {
        let path = target(&gate.head).split('?').next().unwrap().to_owned();
        let tell = tell.lock().unwrap().clone();
        answer(gate, &path, &tell);
    });
    (server, told)
}

fn answer(mut gate: FromGate, path: &str, tell: &Sender<usize>) {
    let (kind, length) = match path {
        SHARED => ("video/mp2t", Some(LONG)),
        "/hls/abcde-one/stream.mp4" => ("video/mp4", None),
        _ => {
            let text = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n1.ts\n";
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.apple.mpegurl\r\nConnection: close\r\n\r\n";
            return gate.send_raw(&[head.as_bytes(), text.as_bytes()].concat());
        }
    };
    let length_field = length.map(|length| format!("Content-Length: {length}\r\n"));
    let length_field = length_field.unwrap_or_default();
    gate.send_raw(
        format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n{length_field}\r\n").as_bytes(),
    );
    let mut sent = 0;
    while length.is_none_or(|length| sent < length) && gate.socket.write_all(&PIECE).is_ok() {
        sent += PIECE.len();
    }
    let _ = tell.send(sent);
}

/// Asks, reads the beginning of the answer and no more.
fn stop_reading(gate: &Gate, path: &str) -> TcpStream {
    let mut socket = connect(gate.playback);
    let asked = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{HERE}\r\n\r\n");
    socket.write_all(asked.as_bytes()).unwrap();
    let mut beginning = [0; 12];
    socket.read_exact(&mut beginning).unwrap();
    assert_eq!(&beginning, b"HTTP/1.1 200");
    socket
}

fn is_let_go(gate: &Gate) {
    until("the end of the connection", || {
        (gate.metric("h5gate_connections") == 0.0).then_some(())
    });
}

fn begin(gate: &Gate) -> (String, String) {
    let entry = entry(&grant("abcde-one"), "1");
    let (_, _, segments) = play(gate, &entry);
    (entry, segments[0].clone())
}

/// Kernel and gate have a limit each; the other one is out of reach.
const LIMITS: [&str; 2] = [
    "[timeouts]\nwrite_stall = \"1s\"\nuser_timeout = \"1h\"",
    "[timeouts]\nwrite_stall = \"1h\"\nuser_timeout = \"1s\"",
];
const CACHE: &str = "[hls]\ncache_object = \"32MiB\"\ncache_segment = \"1h\"";

#[test]
fn a_viewer_that_takes_nothing_of_what_is_shared_is_let_go_and_the_others_get_it() {
    for limits in LIMITS {
        let (server, told) = server();
        let gate = gate_with(server.address, &format!("{limits}\n{CACHE}"));
        let (_, segment) = begin(&gate);
        let stalled = stop_reading(&gate, &segment);
        // It came first, so the fetch is what it began; for the other one it goes on.
        let other = get(gate.playback, &segment, &[HERE]);
        assert_eq!(other.body.len(), LONG);
        assert_eq!(told.recv_timeout(PATIENCE).unwrap(), LONG);
        assert_eq!(told.try_recv().ok(), None, "one fetch for both");
        is_let_go(&gate);
        drop(stalled);
    }
}

#[test]
fn what_nobody_takes_is_not_read_from_the_media_server_either() {
    for limits in LIMITS {
        let (server, told) = server();
        let gate = gate_with(server.address, limits);
        let (entry, _) = begin(&gate);
        let film = entry.replace("playlist.m3u8", "stream.mp4");
        let stalled = stop_reading(&gate, &film);
        let sent = told.recv_timeout(PATIENCE).unwrap();
        assert!(sent < LONG, "{sent} bytes wait for a viewer who takes none");
        is_let_go(&gate);
        drop(stalled);
    }
}
