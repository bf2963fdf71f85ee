//! When a playback over HTTP ends: after silence and not before, and in the middle of a body when the gate says so.

use std::io::Read as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use h5gate::token::{AtExpiry, Grant};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::clock::MovedClock;
use crate::support::gate::{Gate, grant};
use crate::support::hls::{
    ask, ask_only, begin, entry, gate_by, gate_with, links, play, scripted, server, session,
};
use crate::support::http_server::playlist;
use crate::support::media_server::{MediaServer, read_head};
use crate::support::until;
use crate::support::viewer::request;

const MULTIVARIANT: &str = "/hls/abcde-one/playlist.m3u8";

/// The end of a playback in the log.
fn end(gate: &Gate) -> Option<Value> {
    let log = gate.log();
    log.into_iter()
        .find(|line| line["message"] == "playback ended")
}

#[test]
fn a_viewer_is_quiet_after_three_target_durations_and_no_sooner() {
    // A player asks once in a target duration, and may be late.
    const TARGET: Duration = Duration::from_secs(2);
    let server = server();
    let text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n1.ts\n";
    server.set("/hls/abcde-one/low/media.m3u8", playlist(text));
    let idle = "[hls]\nsession_idle = \"1s\"\n";
    let gates = ["", "cache = false"]
        .map(|line| (line, gate_with(server.address, &format!("{idle}{line}"))));
    let played = gates.map(|(line, gate)| {
        let (_, media, _) = play(&gate, &entry(&grant("abcde-one"), "1"));
        let last = Instant::now();
        assert_eq!(ask(&gate, &media).status, 200);
        (line, gate, last)
    });
    // Each on its own, so that one that ends too soon is not seen behind the other.
    std::thread::scope(|scope| {
        for (line, gate, last) in &played {
            scope.spawn(move || {
                assert_eq!(gate.logged("playback ended")["reason"], "quiet");
                let quiet = last.elapsed();
                assert!(quiet >= TARGET * 3, "{quiet:?} {line}");
            });
        }
    });
}

/// A media server whose playlist leads to a film without an end.
struct Endless {
    server: MediaServer,
    /// Pieces of the film that the gate has taken.
    pieces: Arc<AtomicUsize>,
    /// Films that the gate has let go.
    let_go: Arc<AtomicUsize>,
}

/// How often a piece comes.
const PACE: Duration = Duration::from_millis(50);

fn endless() -> Endless {
    let (pieces, let_go) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let (sent, ended) = (Arc::clone(&pieces), Arc::clone(&let_go));
    let text = "#EXTM3U\nstream.mp4?url=rtmp://localhost/play&stream=abcde-one&cid=9\n";
    let server = scripted(vec![(MULTIVARIANT, playlist(text))], move |mut gate| {
        use std::io::Write as _;
        let head = "HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nConnection: close\r\n\r\n";
        let mut written = gate.socket.write_all(head.as_bytes());
        while written.is_ok() {
            written = gate.socket.write_all(b"piece");
            sent.fetch_add(1, Ordering::Relaxed);
            std::thread::park_timeout(PACE);
        }
        ended.fetch_add(1, Ordering::Relaxed);
    });
    Endless {
        server,
        pieces,
        let_go,
    }
}

impl Endless {
    /// A viewer that has seen the beginning: its ticket and its connection.
    fn watch(&self, gate: &Gate, token: &Grant) -> (String, TcpStream) {
        let entry = entry(token, "1");
        let (answer, ticket) = begin(gate, &entry);
        let film = links(&entry, &answer.body).remove(0);
        assert!(film.contains("/stream.mp4?"), "{film}");
        let mut socket = ask_only(gate, &film);
        let head = read_head(&mut socket).unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        // The head may come alone, and what ends the playback then leaves no middle to be cut in.
        let mut piece = [0; 64];
        until("the first piece", || {
            let length = socket.peek(&mut piece).unwrap();
            let seen = &piece[..length];
            seen.windows(7)
                .any(|part| part == b"piece\r\n")
                .then_some(())
        });
        (ticket, socket)
    }

    /// Waits for the end of the viewer's connection, in the middle of the film, and of that to the media server.
    fn is_cut(&self, socket: &mut TcpStream) {
        let (mut film, mut piece) = (Vec::new(), [0; 1024]);
        until("the end of the film", || match socket.read(&mut piece) {
            Ok(0) | Err(_) => Some(()),
            Ok(length) => {
                film.extend_from_slice(&piece[..length]);
                None
            }
        });
        // Nobody takes what there is of it for the whole.
        assert!(film.ends_with(b"piece\r\n"), "{film:?}");
        until("the end of the fetch", || {
            (self.let_go.load(Ordering::Relaxed) > 0).then_some(())
        });
    }
}

#[test]
fn who_is_being_answered_is_not_quiet_and_is_cut_when_the_operator_ends_it() {
    let film = endless();
    let gate = gate_with(film.server.address, "[hls]\nsession_idle = \"1s\"");
    let (ticket, mut socket) = film.watch(&gate, &grant("abcde-one"));
    // Five idle times.
    until("a hundred pieces", || {
        assert_eq!(end(&gate), None);
        (film.pieces.load(Ordering::Relaxed) >= 100).then_some(())
    });
    assert_eq!(gate.metric("h5gate_sessions"), 1.0);
    let path = format!("/api/sessions/{}", session(&ticket));
    assert_eq!(request(gate.admin, "DELETE", &path, &[], "").status, 200);
    film.is_cut(&mut socket);
    let line = gate.logged("playback ended");
    assert_eq!(
        (&line["reason"], &line["session"]),
        (&json!("operator"), &json!(session(&ticket)))
    );
    assert_eq!(gate.metric("h5gate_sessions"), 0.0);
}

#[test]
fn a_revoked_token_cuts_a_film_that_has_no_end() {
    let film = endless();
    let gate = gate_with(film.server.address, "");
    let token = grant("abcde-one");
    let (_, mut socket) = film.watch(&gate, &token);
    let body = json!({"organisation": "abcde", "token_id": token.id.to_string()}).to_string();
    let json = ["Content-Type: application/json"];
    let revoked = request(gate.admin, "POST", "/api/revocations", &json, &body);
    assert_eq!(revoked.status, 201, "{revoked:?}");
    film.is_cut(&mut socket);
    assert_eq!(gate.logged("playback ended")["reason"], "revoked");
}

#[test]
fn a_token_that_cuts_ends_a_film_at_its_expiry_and_one_that_keeps_does_not() {
    let film = endless();
    let clock = MovedClock::default();
    let gate = gate_by(&clock, film.server.address, "");
    let mut token = clock.expiring();
    let (_, mut kept) = film.watch(&gate, &token);
    token.id = grant("abcde-one").id;
    token.at_expiry = AtExpiry::Cut;
    let (ticket, mut cut) = film.watch(&gate, &token);
    clock.pass(&token);
    film.is_cut(&mut cut);
    let line = gate.logged("playback ended");
    assert_eq!(
        (&line["reason"], &line["session"]),
        (&json!("expired"), &json!(session(&ticket)))
    );
    let before = film.pieces.load(Ordering::Relaxed);
    until("pieces past the expiry", || {
        (film.pieces.load(Ordering::Relaxed) > before + 30).then_some(())
    });
    assert!(kept.read(&mut [0; 64]).unwrap() > 0);
    assert_eq!(gate.metric("h5gate_sessions"), 1.0);
}

#[test]
fn a_drain_cuts_a_film_that_has_no_end() {
    let film = endless();
    let mut gate = gate_with(film.server.address, "[timeouts]\ndrain = \"1s\"");
    let (_, mut socket) = film.watch(&gate, &grant("abcde-one"));
    gate.signal(Signal::TERM);
    film.is_cut(&mut socket);
    assert!(gate.ended().success());
    let log = gate.log();
    let ended = log.iter().find(|line| line["message"] == "playback ended");
    assert_eq!(ended.unwrap()["reason"], "draining");
    let left = log
        .iter()
        .any(|line| line["message"] == "connections outlived the drain");
    assert!(!left);
}
