//! What is still under way at the place that a playback has left ends there, so that one token is not watched at two places.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::num::NonZeroU16;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use crate::support::gate::{Gate, grant};
use crate::support::hls::{ask, ask_from, entry, gate_with, links, pages_but, play, scripted};
use crate::support::media_server::target;
use crate::support::until;
use crate::support::viewer::connect;

const HOME: &str = "192.0.2.1";
const AWAY: &str = "198.51.100.1";

/// Asks from an address, and reads up to the first piece of the answer.
fn watch(gate: &Gate, (address, path, header): (&str, &str, &str)) -> (TcpStream, String) {
    let mut socket = connect(gate.playback);
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: {address}\r\n{header}\r\n"
    );
    socket.write_all(head.as_bytes()).unwrap();
    let (mut read, mut buffer) = (String::new(), [0; 4096]);
    while !read.contains("first;") {
        let count = socket.read(&mut buffer).unwrap();
        assert!(count > 0, "{path}: {read}");
        read += std::str::from_utf8(&buffer[..count]).unwrap();
    }
    (socket, read)
}

#[test]
fn what_is_under_way_at_the_old_place_ends_when_the_playback_has_moved() {
    const SEGMENT: &str = "/hls/abcde-one/low/1.ts";
    const FILM: &str = "/hls/abcde-one/stream.mp4";
    let (goes_on, waits) = channel::<()>();
    let waits = Arc::new(Mutex::new(waits));
    let mut pages = pages_but(SEGMENT);
    pages.retain(|(path, _)| *path != FILM);
    // Pauses after a piece until the test lets it go on, by dropping its end.
    let server = scripted(pages, move |mut from_gate| {
        let status = match from_gate.header("range") {
            Some(_) => "206 Partial Content\r\nContent-Range: bytes 1-1000/1001",
            None => "200 OK",
        };
        let kind = match target(&from_gate.head).starts_with(SEGMENT) {
            true => "video/mp2t",
            false => "video/mp4",
        };
        let head =
            format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: 1000\r\n\r\n");
        from_gate.send_raw(head.as_bytes());
        from_gate.send_raw(b"first;");
        let _ = waits.lock().unwrap().recv();
        from_gate.send_raw(&[b'x'; 994]);
        from_gate.drain();
    });
    let gate = gate_with(server.address, "");
    let mut limited = grant("abcde-one");
    limited.sessions = NonZeroU16::new(1);
    let mut moved = Vec::new();
    for (cid, grant) in [("1", limited), ("2", grant("abcde-one"))] {
        let entry = entry(&grant, cid);
        let film = entry.replace("playlist.m3u8", "stream.mp4");
        let (_, media, segments) = play(&gate, &entry);
        let segment = links(&media, &ask(&gate, &media).body).remove(0);
        assert_eq!(segment, segments[0]);
        let behind = [
            (HOME, film.as_str(), ""),
            (HOME, &segment, ""),
            (HOME, &segment, "Range: bytes=1-\r\n"),
        ];
        let behind = behind.map(|ask| watch(&gate, ask));
        until("the old place's silence", || {
            (ask_from(&gate, AWAY, &media).status == 200).then_some(())
        });
        // What is shared by then with the new place is not ended for that.
        let new = watch(&gate, (AWAY, &film, ""));
        moved.push((behind, new));
    }
    drop(goes_on);
    for (behind, (mut socket, mut read)) in moved {
        while !read.ends_with(&"x".repeat(994)) {
            let mut buffer = [0; 1024];
            let count = socket.read(&mut buffer).unwrap();
            assert!(count > 0, "the new place: {read}");
            read += std::str::from_utf8(&buffer[..count]).unwrap();
        }
        for (mut socket, mut read) in behind {
            let mut rest = Vec::new();
            // It ends as what is broken off does.
            let _ = socket.read_to_end(&mut rest);
            read += std::str::from_utf8(&rest).unwrap();
            assert!(!read.ends_with("xxx"), "the old place: {read}");
        }
    }
}
