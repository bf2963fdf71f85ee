//! Playbacks over HTTP outlive what happens to the process: a reload, keys that go, and a death without a word.

use rustix::process::Signal;

use crate::support::clock::MovedClock;
use crate::support::gate::{Gate, grant};
use crate::support::hls::{
    MEDIA, ask, begin, entry, exchange_key, gate_by, gate_with, links, outcome, play, server,
    session,
};
use crate::support::http_server::playlist;
use crate::support::restart::Restarts;
use crate::support::until;

/// Sends SIGHUP, and waits until what it reads is in force.
fn reload(gate: &Gate) {
    let reloads = || {
        let log = gate.log();
        let is_one = |line: &&serde_json::Value| line["message"] == "configuration reloaded";
        log.iter().filter(is_one).count()
    };
    let before = reloads();
    gate.signal(Signal::HUP);
    until("the reload", || (reloads() > before).then_some(()));
}

#[test]
fn a_reload_changes_nothing_for_who_plays() {
    let server = server();
    let clock = MovedClock::default();
    let gate = gate_by(&clock, server.address, "[hls]\ncache = false");
    let token = clock.expiring();
    let entry = entry(&token, "1");
    let (ticket, media, segments) = play(&gate, &entry);
    reload(&gate);
    clock.pass(&token);
    reload(&gate);
    let text = ask(&gate, &media);
    assert_eq!(text.status, 200, "{text:?}");
    // Players compare the URIs of segments that they have seen.
    assert_eq!(links(&media, &text.body), segments);
    assert_eq!(ask(&gate, &segments[0]).body, "segment one");
    assert_eq!(begin(&gate, &entry).1, ticket);
    assert_eq!(gate.metric("h5gate_sessions"), 1.0);
}

#[test]
fn who_plays_goes_on_when_the_key_is_gone_and_does_not_return() {
    let server = server();
    let gate = gate_with(
        server.address,
        "[hls]\nsession_idle = \"6s\"\ncache = false",
    );
    let entry = entry(&grant("abcde-one"), "1");
    let (_, media, segments) = play(&gate, &entry);

    exchange_key(&gate);
    reload(&gate);
    let text = ask(&gate, &media);
    assert_eq!(text.status, 200, "{text:?}");
    for segment in segments.iter().chain(&links(&media, &text.body)) {
        assert_eq!(ask(&gate, segment).status, 200, "{segment}");
    }

    assert_eq!(gate.logged("playback ended")["reason"], "quiet");
    let before = server.heads().len();
    for path in [&media, &segments[0], &entry] {
        assert_eq!(outcome(&ask(&gate, path)), (403, 4901), "{path}");
    }
    assert_eq!(server.heads().len(), before);
}

#[test]
fn a_playback_outlives_a_process_that_is_killed() {
    let server = server();
    let clock = MovedClock::default();
    let restarts = Restarts::new(server.address, None, "").by(&clock);
    let gate = restarts.start();
    let token = clock.expiring();
    let entry = entry(&token, "1");
    let (ticket, media, segments) = play(&gate, &entry);
    // It says nothing when it dies, so it has to have said it before.
    until("the playback on the disk", || {
        let saved = std::fs::read_to_string(restarts.file("hls-sessions")).unwrap();
        saved.contains(session(&ticket)).then_some(())
    });
    let gate = restarts.killed(gate);
    clock.pass(&token);
    for path in [&media, &segments[0]] {
        assert_eq!(ask(&gate, path).status, 200, "{path}");
    }
    assert_eq!(begin(&gate, &entry).1, ticket);
    assert_eq!(gate.metric("h5gate_sessions"), 1.0);
}

#[test]
fn a_key_rotation_by_the_book_ends_no_stream_of_one_media_playlist() {
    let server = server();
    let list = "/hls/abcde-one/playlist.m3u8";
    server.set(list, playlist(MEDIA));
    let clock = MovedClock::default();
    let gate = gate_by(&clock, server.address, "[hls]\ncache = false");
    let token = clock.expiring();
    let entry = entry(&token, "1");
    let (_, media, segments) = play(&gate, &entry);
    clock.pass(&token);
    // Its tokens have expired, so that the key may go.
    exchange_key(&gate);
    reload(&gate);
    for path in [&media, &segments[1], &entry, &media] {
        assert_eq!(ask(&gate, path).status, 200, "{path}");
    }
    assert_eq!(gate.metric("h5gate_sessions"), 1.0);
}
