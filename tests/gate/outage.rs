//! A short outage of the media servers uses up no retries of a player, and a long one is not hidden from it for ever: the
//! retry counter resets after 200 ms on an open socket (protocol.md 3).

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::gate::{Gate, Setup, grant, mint};
use crate::support::media_server::{FromGate, MediaServer};
use crate::support::until;
use crate::support::viewer::{Viewer, query};
use rustix::process::Signal;

/// What a media server does, the code that its viewer gets, and how it is done.
type Outage = (&'static str, u16, fn(&mut FromGate));

/// What a media server does that serves nobody, and the code that players retry after.
fn outages() -> [Outage; 5] {
    [
        ("an end", 4503, |_| {}),
        ("503", 4503, |gate| gate.send_raw(b"HTTP/1.1 503 X\r\n\r\n")),
        ("200", 4500, |gate| gate.send_raw(b"HTTP/1.1 200 X\r\n\r\n")),
        ("101 and an end", 4503, FromGate::accept),
        ("101 and 1011", 1011, |gate| {
            gate.accept();
            gate.send(0x8, &1011_u16.to_be_bytes());
        }),
    ]
}

/// The code with which a viewer is closed, and how long its socket stood open.
fn closed(gate: &Gate) -> (u16, Duration) {
    let playback = query("abcde-one", &mint(&grant("abcde-one")));
    let mut viewer = Viewer::open(gate.playback, &playback, &[]);
    assert_eq!(viewer.status(), 101);
    let opened = Instant::now();
    (viewer.closed().0, opened.elapsed())
}

#[test]
fn an_outage_is_hidden_for_a_time_and_from_its_end_on_again() {
    for (what, code, fails) in outages() {
        let up = Arc::new(AtomicBool::new(false));
        let is_up = Arc::clone(&up);
        let server = MediaServer::start(move |mut gate| {
            if !is_up.load(Ordering::Relaxed) {
                return fails(&mut gate);
            }
            gate.greet_only();
        });
        let gate = Gate::start(&Setup {
            servers: vec![server.address],
            tables: "[timeouts]\noutage_hold = \"500ms\"\nupstream_backoff = \"0s\"",
            ..Setup::default()
        });
        for _ in 0..2 {
            let (told, open) = closed(&gate);
            assert_eq!(told, code, "{what}");
            // The 101 left a little before it was read here.
            assert!(open > Duration::from_millis(230), "{what}: {open:?}");
            // A page that gives up after its retries can do so.
            until("a close before the counter resets", || {
                let (told, open) = closed(&gate);
                (told == 4503 && open < Duration::from_millis(200)).then_some(())
            });
            up.store(true, Ordering::Relaxed);
            let playback = query("abcde-one", &mint(&grant("abcde-one")));
            assert_eq!(Viewer::open(gate.playback, &playback, &[]).hear(), "hello");
            up.store(false, Ordering::Relaxed);
        }
    }
}

/// What a media server does, and how it is done.
type Hang = (&'static str, fn(FromGate));

/// How a media server hangs that has taken a connection, its head read or not.
fn hangs() -> [Hang; 4] {
    [
        ("nothing", FromGate::drain),
        ("half an answer", |mut gate| {
            gate.send_raw(b"HTTP/1.1 101 Switch");
            gate.drain();
        }),
        ("an answer without end", |mut gate| {
            gate.send_raw(b"HTTP/1.1 101 X\r\nX: ");
            while gate.socket.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        }),
        ("101 and then nothing", |mut gate| {
            gate.accept();
            gate.drain();
        }),
    ]
}

#[test]
fn a_media_server_that_hangs_is_asked_by_one_at_a_time_and_holds_no_viewer() {
    for (what, hang) in hangs() {
        let up = Arc::new(AtomicBool::new(false));
        let is_up = Arc::clone(&up);
        let server = MediaServer::start(move |gate| {
            if !is_up.load(Ordering::Relaxed) {
                return hang(gate);
            }
            gate.greet_only();
        });
        let gate = Gate::start(&Setup {
            servers: vec![server.address],
            tables: "[timeouts]\noutage_hold = \"300ms\"\nupstream_total = \"3s\"\nmedia_idle = \"3s\"",
            ..Setup::default()
        });
        until("a long outage", || {
            let (told, open) = closed(&gate);
            assert_eq!(told, 4503, "{what}");
            (open < Duration::from_millis(200)).then_some(())
        });
        // All of a crowd are told in time, and the server hears of one of them a second.
        let (before, began) = (server.heads().len(), Instant::now());
        let quick = std::thread::scope(|scope| {
            let crowd: Vec<_> = (0..20).map(|_| scope.spawn(|| closed(&gate))).collect();
            let told: Vec<_> = crowd.into_iter().map(|one| one.join().unwrap()).collect();
            assert!(
                told.iter().all(|(code, _)| *code == 4503),
                "{what}: {told:?}"
            );
            // None of them has waited for a server.
            told.iter()
                .filter(|(_, open)| *open < Duration::from_millis(2_900))
                .count()
        });
        assert_eq!(quick, 20, "{what}");
        let asked = server.heads().len() - before;
        let most = 2 + usize::try_from(began.elapsed().as_secs()).unwrap();
        assert!(asked <= most, "{what}: {asked} in {:?}", began.elapsed());
        // It is heard of when it is back, by the next probe.
        up.store(true, Ordering::Relaxed);
        until("a playback", || {
            let playback = query("abcde-one", &mint(&grant("abcde-one")));
            let first = Viewer::open(gate.playback, &playback, &[]).receive()?;
            (first.payload == b"hello").then_some(())
        });
        let playback = query("abcde-one", &mint(&grant("abcde-one")));
        assert_eq!(Viewer::open(gate.playback, &playback, &[]).hear(), "hello");
    }
}

#[test]
fn a_media_server_that_hangs_beside_one_that_serves_is_no_outage() {
    // Whatever is drawn first, one of them has the stream, or says that it has not.
    for answer in ["101", "404"] {
        let hung = MediaServer::start(FromGate::drain);
        let serves = MediaServer::start(move |mut gate| {
            if answer == "404" {
                return gate.send_raw(b"HTTP/1.1 404 X\r\n\r\n");
            }
            gate.greet_only();
        });
        let gate = Gate::start(&Setup {
            servers: vec![hung.address, serves.address],
            tables: "[timeouts]\noutage_hold = \"100ms\"\nupstream_total = \"1s\"\nupstream_backoff = \"0s\"",
            ..Setup::default()
        });
        for _ in 0..4 {
            let playback = query("abcde-one", &mint(&grant("abcde-one")));
            let mut viewer = Viewer::open(gate.playback, &playback, &[]);
            match answer {
                "404" => assert_eq!(viewer.closed().0, 4503),
                _ => assert_eq!(viewer.hear(), "hello"),
            }
        }
        let outages = gate
            .log()
            .into_iter()
            .filter(|line| line["reason"] == "upstream_outage");
        assert_eq!(outages.count(), 0, "{answer}");
        assert!(!serves.heads().is_empty());
    }
}

#[test]
fn the_gates_own_drain_is_always_held_back() {
    let server = MediaServer::start(FromGate::drain);
    let gate = Gate::start(&Setup {
        servers: vec![server.address],
        tables: "[timeouts]\noutage_hold = \"0s\"\ndrain = \"0s\"",
        ..Setup::default()
    });
    let playback = query("abcde-one", &mint(&grant("abcde-one")));
    let mut viewer = Viewer::open(gate.playback, &playback, &[]);
    assert_eq!(viewer.status(), 101);
    let opened = Instant::now();
    server.first_head();
    gate.signal(Signal::TERM);
    assert_eq!(viewer.closed().0, 4503);
    assert!(opened.elapsed() > Duration::from_millis(230));
}
