//! Room for sessions: none of it is taken by what is over, and no token and no network takes all of it.

use h5gate::token::{AtExpiry, Grant};

use crate::support::clock::MovedClock;
use crate::support::gate::{Gate, Setup, grant, mint};
use crate::support::hls::{ask, ask_from, entry, outcome, play, server, session, upstream_of};
use crate::support::http_server::HttpServer;
use crate::support::media_server::MediaServer;
use crate::support::until;
use crate::support::viewer::{Viewer, query, request};

/// A gate of WebSocket and HLS that believes its neighbour about addresses.
struct Room {
    gate: Gate,
    clock: MovedClock,
    _media: MediaServer,
    _server: HttpServer,
}

fn room(limits: &str) -> Room {
    let (media, server) = (MediaServer::echo(), server());
    let clock = MovedClock::default();
    let gate = Gate::start(&Setup {
        servers: vec![media.address],
        upstream: &upstream_of(server.address),
        tables: &format!("[client]\ntrusted_proxies = [\"127.0.0.1\"]\n[limits]\n{limits}\n"),
        clock: Some(&clock),
        ..Setup::default()
    });
    Room {
        gate,
        clock,
        _media: media,
        _server: server,
    }
}

/// Opens a first URL by HEAD.
fn head(gate: &Gate, address: &str, path: &str) -> u16 {
    let header = format!("X-Forwarded-For: {address}");
    request(gate.playback, "HEAD", path, &[&header], "").status
}

/// A WebSocket viewer that plays, or the code that it was closed with.
fn watch(gate: &Gate, token: &Grant, address: &str, more: &str) -> Result<Viewer, u16> {
    let query = query("abcde-one", &mint(token)) + more;
    let header = format!("X-Forwarded-For: {address}");
    let mut viewer = Viewer::open(gate.playback, &query, &[&header]);
    let frame = viewer.receive().unwrap();
    match frame.opcode {
        0x1 => Ok(viewer),
        _ => Err(u16::from_be_bytes([frame.payload[0], frame.payload[1]])),
    }
}

/// The reasons of refusals in the log.
fn refusals(gate: &Gate) -> Vec<String> {
    let log = gate.log();
    let refused = log
        .iter()
        .filter(|line| line["message"] == "playback refused");
    let text = |line: &serde_json::Value| line["detail"].as_str().unwrap().to_owned();
    refused.map(text).collect()
}

/// Asserts that a viewer with another token, elsewhere, can begin by either transport.
fn others_begin(gate: &Gate, what: &str) {
    let elsewhere = "203.0.113.9";
    let path = entry(&grant("abcde-one"), "newcomer");
    assert_eq!(ask_from(gate, elsewhere, &path).status, 200, "{what}");
    let viewer = watch(gate, &grant("abcde-one"), elsewhere, "");
    assert!(viewer.is_ok(), "{what}: {:?}", viewer.err());
}

fn in_state(gate: &Gate, state: &str) -> f64 {
    gate.metric(&format!("h5gate_hls_playbacks{{state=\"{state}\"}}"))
}

#[test]
fn playbacks_that_are_over_leave_room_whatever_is_remembered_of_them() {
    let room = room("sessions = 4\nsessions_per_token = 4\nsessions_per_network = 4");
    let gate = &room.gate;
    flood_of_ends(&room, 4);
    others_begin(gate, "cut at their expiry");
    // A cut is seen within a second, and the newcomers have taken the room of two.
    until("the others are counted", || {
        (in_state(gate, "over") >= 1.0).then_some(())
    });
    assert!(in_state(gate, "over") <= 4.0, "and bounded");
}

/// Fills all room three times with playbacks that end by themselves.
fn flood_of_ends(room: &Room, count: usize) {
    for _ in 0..3 {
        let mut short = room.clock.expiring();
        short.at_expiry = AtExpiry::Cut;
        for cid in 0..count {
            let path = entry(&short, &cid.to_string());
            assert_eq!(head(&room.gate, "198.51.100.1", &path), 200);
        }
        room.clock.pass(&short);
    }
}

#[test]
fn one_token_leaves_room_for_others_by_either_transport() {
    let room = room("sessions = 8\nsessions_per_network = 8");
    let gate = &room.gate;
    let token = grant("abcde-one");
    // Six are three quarters. Each is asked for something under its ticket, and so it plays.
    for cid in 0..6 {
        play(gate, &entry(&token, &cid.to_string()));
    }
    let seventh = ask(gate, &entry(&token, "6"));
    assert_eq!(outcome(&seventh), (503, 4503));
    assert_eq!(watch(gate, &token, "198.51.100.1", "").err(), Some(4503));
    for refusal in refusals(gate) {
        assert!(refusal.contains("limits.sessions_per_token"), "{refusal}");
        assert!(refusal.contains(&token.id.to_string()), "{refusal}");
    }
    others_begin(gate, "one token");
}

#[test]
fn one_network_leaves_room_for_others_whatever_its_tokens() {
    for addresses in [
        ["192.0.2.1", "192.0.2.77", "192.0.2.254"],
        [
            "2001:db8:0:100::1",
            "2001:db8:0:1ff::2",
            "2001:db8:0:142::3",
        ],
        // No address that is known.
        ["unknown", "unknown", "unknown"],
    ] {
        let room = room("sessions = 8");
        let gate = &room.gate;
        let mut viewers = Vec::new();
        for viewer in 0..6 {
            let watched = watch(gate, &grant("abcde-one"), addresses[viewer % 3], "");
            viewers.push(watched.unwrap());
        }
        for address in addresses {
            let refused = watch(gate, &grant("abcde-one"), address, "");
            assert_eq!(refused.err(), Some(4503), "{address}");
            let path = entry(&grant("abcde-one"), "1");
            assert_eq!(outcome(&ask_from(gate, address, &path)), (503, 4503));
        }
        for refusal in refusals(gate) {
            assert!(refusal.contains("limits.sessions_per_network"), "{refusal}");
        }
        others_begin(gate, addresses[0]);
    }
}

#[test]
fn sockets_for_metadata_and_playbacks_of_one_url_in_many_places_are_within_the_tokens_share() {
    let room = room("sessions = 8\nsessions_per_network = 8");
    let gate = &room.gate;
    let token = grant("abcde-one");
    let mut viewers = Vec::new();
    for _ in 0..4 {
        let watched = watch(gate, &token, "192.0.2.1", "&flags=metastreamonly");
        viewers.push(watched.unwrap());
    }
    // A URL without ids is another playback in each place.
    let bare = entry(&token, "").replace("&cid=", "").replace("&pid=7", "");
    assert!(!bare.contains("cid=") && !bare.contains("pid="));
    for place in 0..40 {
        let address = format!("198.51.{place}.1");
        assert_eq!(head(gate, &address, &bare), 200, "{address}");
    }
    assert_eq!(gate.metric("h5gate_sessions"), 6.0);
    let refused = watch(gate, &token, "192.0.2.1", "&flags=metastreamonly");
    // One of its own that was only opened has made way.
    viewers.push(refused.unwrap());
    others_begin(gate, "metadata and many places");
}

#[test]
fn a_playback_that_an_operator_ended_hears_why_after_a_flood_of_others_that_end() {
    let room = room("sessions = 4\nsessions_per_token = 4\nsessions_per_network = 4");
    let gate = &room.gate;
    let first = entry(&grant("abcde-one"), "1");
    let (ticket, playlist, _) = play(gate, &first);
    let path = format!("/api/sessions/{}", session(&ticket));
    assert_eq!(request(gate.admin, "DELETE", &path, &[], "").status, 200);
    assert_eq!(outcome(&ask(gate, &playlist)), (403, 4901));
    flood_of_ends(&room, 4);
    for path in [&playlist, &first] {
        assert_eq!(outcome(&ask(gate, path)), (403, 4901), "{path}");
    }
    assert!(in_state(gate, "over") <= 8.0);
}
