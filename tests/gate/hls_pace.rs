//! A viewer makes a media server send no more than it reads, and load for it alone no more than is configured.

use std::io::Write as _;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::support::PATIENCE;
use crate::support::gate::{Gate, grant};
use crate::support::hls::{ask, ask_only, entry, gate_with, pages_but, play, scripted, server};
use crate::support::http_server::playlist;
use crate::support::media_server::{MediaServer, read_head};

const SEGMENT: &str = "/hls/abcde-one/low/1.ts";
const LIST: &str = "/hls/abcde-one/low/media.m3u8";
const LENGTH: usize = 128 << 20;
/// What the sockets of both sides may hold beside what the gate reads ahead.
const ON_THE_WAY: usize = 32 << 20;
const LARGE: &str =
    "[hls]\ncache_object = \"256MiB\"\ncache_size = \"512MiB\"\ncache_segment = \"1h\"";

/// A media server with a very large segment, which says how much of it went out: until the gate took nothing for a second, or
/// was gone.
fn large() -> (MediaServer, Receiver<(usize, bool)>) {
    let (tell, told) = channel();
    let tell = Mutex::new(tell);
    let server = scripted(pages_but(SEGMENT), move |mut gate| {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nContent-Length: {LENGTH}\r\n\r\n"
        );
        gate.send_raw(head.as_bytes());
        gate.socket
            .set_write_timeout(Some(Duration::from_secs(1)))
            .unwrap();
        let (piece, mut sent) = (vec![7; 1 << 20], 0);
        while sent < LENGTH {
            match gate.socket.write(&piece) {
                Ok(count) => sent += count,
                Err(error) => {
                    let stands = error.kind() == std::io::ErrorKind::WouldBlock;
                    return tell.lock().unwrap().send((sent, stands)).unwrap();
                }
            }
        }
        tell.lock().unwrap().send((sent, false)).unwrap();
        gate.drain();
    });
    (server, told)
}

fn segment_of(gate: &Gate) -> String {
    play(gate, &entry(&grant("abcde-one"), "1")).2.remove(0)
}

#[test]
fn a_segment_is_fetched_no_farther_than_it_is_read() {
    for tables in [LARGE, "[hls]\ncache = false"] {
        let (server, told) = large();
        let gate = gate_with(server.address, tables);
        let path = segment_of(&gate);
        // The second one does not read either.
        let silent = [ask_only(&gate, &path), ask_only(&gate, &path)];
        let (sent, stands) = told.recv_timeout(PATIENCE).unwrap();
        assert!(stands && sent < ON_THE_WAY, "{sent} {tables}");
        assert!(gate.metric("h5gate_cache_bytes") <= (256 << 20) as f64);
        drop(silent);
    }
}

#[test]
fn a_segment_that_is_not_read_any_more_is_not_fetched_any_more() {
    let (server, told) = large();
    let gate = gate_with(server.address, LARGE);
    let path = segment_of(&gate);
    for _ in 0..3 {
        let mut socket = ask_only(&gate, &path);
        assert!(read_head(&mut socket).unwrap().starts_with("HTTP/1.1 200"));
        drop(socket);
        let (sent, _) = told.recv_timeout(PATIENCE).unwrap();
        assert!(sent < ON_THE_WAY, "{sent}");
    }
    // It harms none that come later.
    let answer = ask(&gate, &path);
    assert_eq!((answer.status, answer.body.len()), (200, LENGTH));
}

#[test]
fn one_that_does_not_read_holds_up_none_that_does() {
    let (server, told) = large();
    let gate = gate_with(server.address, LARGE);
    let path = segment_of(&gate);
    let _silent = ask_only(&gate, &path);
    let answer = ask(&gate, &path);
    assert_eq!((answer.status, answer.body.len()), (200, LENGTH));
    assert_eq!(told.recv_timeout(PATIENCE), Ok((LENGTH, false)));
}

#[test]
fn a_playback_loads_playlists_of_its_own_at_its_pace_and_hinders_no_other() {
    const TEXT: usize = 100 << 10;
    let server = server();
    let text = format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n{}\n#EXTINF:1,\n1.ts\n",
        "#".repeat(TEXT)
    );
    let mut private = playlist(&text);
    private.fields += "Cache-Control: private\r\n";
    server.set(LIST, private);
    for tables in ["", "cache = false\n"] {
        // Four at once, and one a second after that.
        let gate = gate_with(
            server.address,
            &format!(
                "[hls]\nown_playlists = \"101KiB\"\nplaylist = \"128KiB\"\n{tables}[timeouts]\nupstream_total = \"2s\""
            ),
        );
        let (_, media, _) = play(&gate, &entry(&grant("abcde-one"), "1"));
        let (before, begun) = (server.asked(LIST), Instant::now());
        let answers: Vec<_> = (0..20)
            .map(|n| ask_only(&gate, &format!("{media}?_HLS_q={n}")))
            .collect();
        let mut statuses: Vec<_> = answers
            .into_iter()
            .map(|mut socket| read_head(&mut socket).unwrap()[9..12].to_owned())
            .collect();
        statuses.sort();
        let took = usize::try_from(begun.elapsed().as_secs()).unwrap();
        let asked = server.asked(LIST) - before;
        // One more, which is what the pool's first try of each kind may take.
        assert!(asked <= 6 + took, "{asked} in {took} s {tables}");
        assert_eq!((&*statuses[0], &*statuses[19]), ("200", "503"), "{tables}");
        let (_, other, _) = play(&gate, &entry(&grant("abcde-one"), "2"));
        assert_eq!(ask(&gate, &other).status, 200);
    }
}
