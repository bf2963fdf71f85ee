//! A token plays as often at once as it says, and there is no way around that.

use std::num::NonZeroU16;
use std::time::Instant;

use h5gate::token::{Grant, Security};
use serde_json::json;

use crate::support::gate::{Gate, Setup, grant, mint};
use crate::support::http_server::{HttpServer, playlist};
use crate::support::media_server::MediaServer;
use crate::support::until;
use crate::support::viewer::{Viewer, get, query};

#[test]
fn a_token_plays_as_often_at_once_as_it_says() {
    let gate = Gate::before(MediaServer::echo().address);
    let mut twice = grant("abcde-one");
    twice.sessions = NonZeroU16::new(2);
    let security = mint(&twice);
    let open = |pid: &str| {
        Viewer::open(
            gate.playback,
            &format!("{}&pid={pid}", query("abcde-one", &security)),
            &[],
        )
    };
    let mut first = open("a");
    assert_eq!(first.hear(), "hello");
    let mut second = open("b");
    assert_eq!(second.hear(), "hello");
    assert_eq!(open("c").closed().0, 4901);
    // A player that switches by a second socket keeps its seat meanwhile; a third one is too many.
    let mut again = open("b");
    assert_eq!(again.hear(), "hello");
    assert_eq!(open("b").closed().0, 4901);
    drop(first);
    until("a free seat", || {
        (Viewer::open(
            gate.playback,
            &format!("{}&pid=d", query("abcde-one", &security)),
            &[],
        )
        .receive()?
        .opcode
            == 1)
            .then_some(())
    });
}

#[test]
fn one_players_name_is_no_way_around_the_seats() {
    let gate = Gate::before(MediaServer::echo().address);
    let mut three = grant("abcde-one");
    three.sessions = NonZeroU16::new(3);
    let query = format!("{}&pid=restream", query("abcde-one", &mint(&three)));
    let mut viewers: Vec<_> = (0..8)
        .map(|_| Viewer::open(gate.playback, &query, &[]))
        .collect();
    let playing = viewers
        .iter_mut()
        .filter_map(|viewer| Some(viewer.receive()?.opcode == 0x1));
    // Three seats, and one socket that leaves because a newer one has its seat.
    assert_eq!(playing.filter(|playing| *playing).count(), 4);
}

#[test]
fn two_people_cannot_take_turns_on_one_seat_unharmed() {
    let gate = Gate::before(MediaServer::echo().address);
    let mut once = grant("abcde-one");
    once.sessions = NonZeroU16::new(1);
    let query = format!("{}&pid=shared", query("abcde-one", &mint(&once)));
    let mut first = Viewer::open(gate.playback, &query, &[]);
    assert_eq!(first.hear(), "hello");
    let mut second = Viewer::open(gate.playback, &query, &[]);
    assert_eq!(second.hear(), "hello");
    drop(first);
    until("the first one's end", || {
        (gate.metric("h5gate_sessions") == 1.0).then_some(())
    });
    let mut third = Viewer::open(gate.playback, &query, &[]);
    assert_eq!(third.hear(), "hello");
    assert_eq!(
        second.closed().0,
        4901,
        "the second turn within a minute ends the older socket at once"
    );
}

#[test]
fn a_seat_that_is_taken_by_a_switch_supersedes_too() {
    let gate = Gate::before(MediaServer::echo().address);
    let mut once = grant("abcde-one");
    once.sessions = NonZeroU16::new(1);
    let limited = mint(&once);
    let open = |query: &str| Viewer::open(gate.playback, &format!("{query}&pid=x"), &[]);
    let mut other = open(&query("abcde-two", &mint(&grant("abcde-two"))));
    assert_eq!(other.hear(), "hello");
    // Two sockets take the seat, one after the other, so that the next one to take it ends the second at once.
    let mut holder = open(&query("abcde-one", &limited));
    assert_eq!(holder.hear(), "hello");
    let mut second = open(&query("abcde-one", &limited));
    assert_eq!(second.hear(), "hello");
    drop(holder);
    until("the first one's end", || {
        (gate.metric("h5gate_sessions") == 2.0).then_some(())
    });
    let security =
        json!({"expires": limited.expires, "token": limited.token, "options": limited.options});
    let rtmp = json!({"url": "rtmp://localhost/play", "stream": "abcde-one"});
    let switch = json!({"eventType": "onUpdateSource", "onUpdateSource": {"rtmp": rtmp, "security": security}});
    other.say(&switch.to_string());
    assert!(other.hear().starts_with("echo:"));
    assert_eq!(second.closed().0, 4901);
}

/// Where a viewer is, as a front says it.
const PLACES: [&str; 4] = [
    "X-Forwarded-For: 192.0.2.1",
    "X-Forwarded-For: 198.51.100.1",
    "X-Forwarded-For: 203.0.113.1",
    "X-Forwarded-For: 2001:db8::1",
];

fn behind_a_front() -> Gate {
    Gate::start(&Setup {
        servers: vec![MediaServer::echo().address],
        tables: "[client]\ntrusted_proxies = [\"127.0.0.1\"]",
        ..Setup::default()
    })
}

/// Sends a ping's answer, as players do by themselves.
fn answer_ping(viewer: &mut Viewer) {
    let ping = viewer.receive().unwrap();
    assert_eq!(ping.opcode, 0x9, "{ping:?}");
    viewer.send(0xA, &ping.payload);
}

#[test]
fn a_seat_stays_with_the_socket_whose_viewer_is_there() {
    let gate = behind_a_front();
    let query = format!("{}&pid=shared", query("abcde-one", &mint(&at_most(1))));
    let mut viewer = Viewer::open(gate.playback, &query, &[PLACES[0]]);
    assert_eq!(viewer.hear(), "hello");
    for round in 0..3 {
        // Whatever is asked for meanwhile, and from wherever, is to be tried again later.
        for place in &PLACES[1..] {
            let mut stranger = Viewer::open(gate.playback, &query, &[place]);
            assert_eq!(stranger.closed().0, 4503, "{place}");
        }
        answer_ping(&mut viewer);
        viewer.say(r#"{"eventType":"onPlay","onPlay":{},"requestId":1}"#);
        assert!(viewer.hear().starts_with("echo:"), "{round}");
        let heard = Instant::now();
        if round < 2 {
            // Until it is asked anew.
            until("the next question", || {
                (heard.elapsed().as_secs() >= 4).then_some(())
            });
        }
    }
    assert_eq!(gate.metric("h5gate_sessions"), 1.0);
    let ended = |line: &serde_json::Value| line["message"] == "playback ended";
    assert!(!gate.log().iter().any(ended));
    // At its own place its player may still switch by a second socket.
    let mut second = Viewer::open(gate.playback, &query, &[PLACES[0]]);
    assert_eq!(second.hear(), "hello");
}

#[test]
fn a_seat_goes_to_where_its_viewer_comes_back_from_when_the_old_socket_is_dead() {
    let gate = behind_a_front();
    for place in &PLACES[1..] {
        let query = format!("{}&pid=moved", query("abcde-one", &mint(&at_most(1))));
        let mut dead = Viewer::open(gate.playback, &query, &[PLACES[0]]);
        assert_eq!(dead.hear(), "hello");
        let begun = Instant::now();
        let mut tries = 0;
        until("the seat at the new place", || {
            tries += 1;
            let mut viewer = Viewer::open(gate.playback, &query, &[place]);
            let frame = viewer.receive()?;
            let code = frame
                .payload
                .first_chunk()
                .map(|code| u16::from_be_bytes(*code));
            assert!(frame.opcode == 0x1 || code == Some(4503), "{frame:?}");
            (frame.opcode == 0x1).then_some(())
        });
        let took = begun.elapsed().as_secs();
        assert!(tries > 1 && took < 10, "{tries} tries, {took} s");
        assert_eq!(dead.closed().0, 4901);
    }
}

#[test]
fn viewers_at_unknown_addresses_share_no_seat() {
    let gate = behind_a_front();
    let query = format!("{}&pid=shared", query("abcde-one", &mint(&at_most(1))));
    let mut first = Viewer::open(gate.playback, &query, &[]);
    assert_eq!(first.hear(), "hello");
    for header in ["X-Forwarded-For: unknown", "X-Forwarded-For: x", PLACES[0]] {
        let mut stranger = Viewer::open(gate.playback, &query, &[header]);
        assert_eq!(stranger.closed().0, 4901, "{header}");
    }
    first.say(r#"{"eventType":"onPlay","onPlay":{},"requestId":1}"#);
    assert!(first.hear().starts_with("echo:"));
}

/// A gate before a media server with both sides; over WebSocket it sends `first` as soon as it has agreed.
fn with_hls(first: (u8, &'static [u8])) -> (Gate, HttpServer) {
    let media = MediaServer::start(move |mut gate| {
        gate.accept();
        gate.send(first.0, first.1);
        gate.drain();
    });
    let http = HttpServer::start(&[("/hls/playlist.m3u8", playlist("#EXTM3U\n1.ts\n"))]);
    let gate = Gate::start(&Setup {
        servers: vec![media.address],
        upstream: &format!(
            "http_servers = [\"http://{}\"]\nhttp_path = \"/hls/\"",
            http.address
        ),
        ..Setup::default()
    });
    (gate, http)
}

const METADATA: (u8, &[u8]) = (0x1, b"metadata");
const MEDIA: (u8, &[u8]) = (0x2, b"media");

/// What one player does with a token: HLS, and a WebSocket that may be for metadata alone.
struct Player<'a> {
    gate: &'a Gate,
    query: String,
}

impl<'a> Player<'a> {
    fn new(gate: &'a Gate, security: &Security, pid: &str) -> Self {
        let query = format!("{}&pid={pid}", query("abcde-one", security));
        Self { gate, query }
    }

    fn hls(&self) -> u16 {
        let path = format!("/h5live/authhttp/playlist.m3u8?{}", self.query);
        get(self.gate.playback, &path, &[]).status
    }

    fn metadata(&self) -> Viewer {
        let query = format!("{}&flags=metastreamonly", self.query);
        Viewer::open(self.gate.playback, &query, &[])
    }

    fn media(&self) -> Viewer {
        Viewer::open(self.gate.playback, &self.query, &[])
    }
}

fn at_most(sessions: u16) -> Grant {
    let mut grant = grant("abcde-one");
    grant.sessions = NonZeroU16::new(sessions);
    grant
}

#[test]
fn a_players_metadata_sits_on_the_seat_of_its_media() {
    let (gate, _http) = with_hls(METADATA);
    let security = mint(&at_most(1));
    let [player, other] = ["a", "b"].map(|pid| Player::new(&gate, &security, pid));
    // Players open both at once, and open the metadata again when it is lost: neither takes the other's place, in no order.
    let mut first = player.metadata();
    assert_eq!(first.hear(), "metadata");
    assert_eq!(player.hls(), 200);
    let mut second = player.metadata();
    assert_eq!(second.hear(), "metadata");
    drop(first);
    until("the first one's end", || {
        (gate.metric("h5gate_sessions") == 2.0).then_some(())
    });
    let mut third = player.metadata();
    assert_eq!(third.hear(), "metadata");
    assert_eq!(second.closed().0, 4901, "one socket for metadata, not two");
    assert_eq!(player.hls(), 200);
    // Nobody else has found a seat by that.
    assert_eq!(other.hls(), 403);
    assert_eq!(other.metadata().closed().0, 4901);
    assert_eq!(other.media().closed().0, 4901);
}

#[test]
fn metadata_without_media_has_a_seat_of_its_own() {
    let (gate, _http) = with_hls(METADATA);
    let security = mint(&at_most(2));
    let [a, b, c] = ["a", "b", "c"].map(|pid| Player::new(&gate, &security, pid));
    let mut kept = [a.metadata(), b.metadata()];
    for viewer in &mut kept {
        assert_eq!(viewer.hear(), "metadata");
    }
    assert_eq!(c.metadata().closed().0, 4901);
    assert_eq!([a.hls(), b.hls(), c.hls()], [200, 200, 403]);
    // Viewers without a name are nobody's companions.
    let security = mint(&at_most(1));
    let nameless = Player::new(&gate, &security, "");
    let mut metadata = nameless.metadata();
    assert_eq!(metadata.hear(), "metadata");
    assert_eq!(nameless.hls(), 403);
}

#[test]
fn media_does_not_hide_as_metadata() {
    let (gate, _http) = with_hls(MEDIA);
    let security = mint(&at_most(1));
    let player = Player::new(&gate, &security, "a");
    assert_eq!(player.hls(), 200);
    let flags = ["metastreamonly", "metastreamonly&flags=faststart"];
    for flags in flags {
        let query = format!("{}&flags={flags}", player.query);
        let mut hidden = Viewer::open(gate.playback, &query, &[]);
        assert_eq!(hidden.closed().0, 4901, "{flags}");
    }
    assert_eq!(gate.logged("playback ended")["reason"], "sessions");
    assert_eq!(player.hls(), 200, "what has the seat plays on");
    // Where there is a seat it has that one, and it is the last.
    let security = mint(&at_most(2));
    let [player, other] = ["a", "b"].map(|pid| Player::new(&gate, &security, pid));
    assert_eq!(player.hls(), 200);
    let mut hidden = player.metadata();
    assert_eq!(hidden.receive().unwrap().payload, b"media");
    assert_eq!(other.hls(), 403);
}

#[test]
fn who_is_refused_takes_nobodys_seat() {
    let gate = Gate::before(MediaServer::echo().address);
    // One user, by two tokens that count differently.
    let [two, one] = [2, 1].map(|sessions| {
        let mut grant = at_most(sessions);
        grant.user = Some("somebody".parse().unwrap());
        mint(&grant)
    });
    let mut kept = ["a", "b"].map(|pid| Player::new(&gate, &two, pid).media());
    for viewer in &mut kept {
        assert_eq!(viewer.hear(), "hello");
    }
    let refused = Player::new(&gate, &one, "a").media().closed();
    assert_eq!(refused.0, 4901);
    let third = Player::new(&gate, &two, "c").media().closed();
    assert_eq!(third.0, 4901, "the seat of the first is still taken");
}
