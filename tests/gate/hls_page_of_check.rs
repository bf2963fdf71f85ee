//! On iOS a player's HLS tells no page (protocol.md 2): it inherits the one of the player's check, or of its socket for
//! metadata, and nobody else's.

use std::io::Read as _;
use std::time::Duration;

use h5gate::token::{Grant, Security, UnixSeconds};
use rustix::process::Signal;
use serde_json::json;

use crate::support::clock::MovedClock;
use crate::support::gate::{Gate, Setup, grant, mint, now};
use crate::support::hls::{ask_from, links, outcome, server, upstream_of};
use crate::support::http_server::HttpServer;
use crate::support::media_server::MediaServer;
use crate::support::restart::Restarts;
use crate::support::until;
use crate::support::viewer::{Answer, Viewer, connect, get, query};

const PAGE: &str = "Origin: https://page.test";
const HERE: &str = "192.0.2.1";
const REFUSED: (u16, u64) = (403, 4901);
/// No request waits for its check.
const AT_ONCE: &str = "page_wait = \"0s\"";
/// Nothing that comes within a test's time is too late.
const LONG: &str = "page_wait = \"5s\"";

/// A gate and its media servers.
struct House {
    gate: Gate,
    _hls: HttpServer,
    _sockets: MediaServer,
}

impl House {
    fn with(hls: &str) -> Self {
        Self::with_tables(&format!("[hls]\n{hls}\n"))
    }

    fn with_tables(tables: &str) -> Self {
        Self::start(tables, None)
    }

    fn start(tables: &str, clock: Option<&MovedClock>) -> Self {
        let (http, sockets) = (server(), MediaServer::switching());
        let gate = Gate::start(&Setup {
            servers: vec![sockets.address],
            upstream: &upstream_of(http.address),
            tables: &format!("{tables}\n[client]\ntrusted_proxies = [\"127.0.0.1\"]\n"),
            clock,
            ..Setup::default()
        });
        Self {
            gate,
            _hls: http,
            _sockets: sockets,
        }
    }
}

/// Bound to the page.
fn bound() -> Grant {
    let mut grant = grant("abcde-one");
    grant.referers = vec!["page.test".parse().unwrap()];
    grant
}

/// A player on iOS: its page tells itself on the WebSocket alone.
#[derive(Clone)]
struct Player {
    security: Security,
    stream: &'static str,
    pid: &'static str,
    address: &'static str,
}

impl Player {
    fn of(grant: &Grant) -> Self {
        Self {
            security: mint(grant),
            stream: "abcde-one",
            pid: "7",
            address: HERE,
        }
    }

    fn query(&self, flags: &str) -> String {
        let Self { pid, .. } = self;
        let pid = if pid.is_empty() {
            String::new()
        } else {
            format!("&pid={pid}")
        };
        format!("{}{pid}&flags={flags}", query(self.stream, &self.security))
    }

    fn via(&self) -> String {
        format!("X-Forwarded-For: {}", self.address)
    }

    fn socket(&self, gate: &Gate, flags: &str, origin: &[&str]) -> Viewer {
        let via = self.via();
        let headers: Vec<_> = origin.iter().copied().chain([via.as_str()]).collect();
        Viewer::open(gate.playback, &self.query(flags), &headers)
    }

    /// The code of a check from a page.
    fn check_from(&self, gate: &Gate, origin: &[&str]) -> u16 {
        self.socket(gate, "checkandclose", origin).closed().0
    }

    fn check(&self, gate: &Gate) {
        assert_eq!(self.check_from(gate, &[PAGE]), 4200);
    }

    /// Checks and asks at once, and again where the check's time was over by then.
    fn begins_by_a_check(&self, gate: &Gate, path: &str) {
        until("a request within the check's time", || {
            self.check(gate);
            (ask_from(gate, self.address, path).status == 200).then_some(())
        });
    }

    fn metadata(&self, gate: &Gate) -> Viewer {
        let mut viewer = self.socket(gate, "metastreamonly", &[PAGE]);
        assert_eq!(viewer.hear(), "hello");
        viewer
    }

    /// Its HLS URL, as a player has it on iOS.
    fn url(&self, cid: &str) -> String {
        let query = self.query("checkandclose");
        let query = query.replace("cid=123456", &format!("cid={cid}"));
        format!("/h5live/authhttp/playlist.m3u8?{query}")
    }

    fn hls(&self, gate: &Gate, cid: &str, headers: &[&str]) -> Answer {
        let via = self.via();
        let headers: Vec<_> = headers.iter().copied().chain([via.as_str()]).collect();
        get(gate.playback, &self.url(cid), &headers)
    }

    #[track_caller]
    fn plays(&self, gate: &Gate, cid: &str) -> String {
        let answer = self.hls(gate, cid, &[]);
        assert_eq!(answer.status, 200, "{answer:?}");
        let media = links(&self.url(cid), &answer.body).remove(0);
        assert_eq!(ask_from(gate, self.address, &media).status, 200);
        media
    }

    #[track_caller]
    fn is_refused(&self, gate: &Gate, cid: &str) {
        assert_eq!(outcome(&self.hls(gate, cid, &[])), REFUSED);
    }
}

#[test]
fn hls_without_a_page_plays_by_the_check_of_its_player() {
    let House { gate, .. } = &House::with(AT_ONCE);
    let player = Player::of(&bound());
    player.is_refused(gate, "1");
    player.check(gate);
    player.plays(gate, "2");
    let line = gate.logged("playback started");
    assert_eq!(line["referer"], "page.test", "{line}");
    assert_eq!(line["inherited"], true, "{line}");
    // The player starts again: its URL is a new one, and it need not wait for anything.
    player.plays(gate, "3");
    // The file without an end, too.
    let file = player.url("4").replace("playlist.m3u8", "stream.mp4");
    assert_eq!(ask_from(gate, HERE, &file).status, 200);
    // One that tells its page inherits nothing.
    let told = player.hls(gate, "5", &["Referer: https://page.test/"]);
    assert_eq!(told.status, 200);
    until("the line of a start by its own page", || {
        let log = gate.log();
        let mut starts = log
            .iter()
            .filter(|line| line["message"] == "playback started");
        starts.any(|line| line["inherited"] == false).then_some(())
    });
}

#[test]
fn a_page_that_is_told_counts_and_is_not_replaced() {
    let House { gate, .. } = &House::with(AT_ONCE);
    let player = Player::of(&bound());
    player.check(gate);
    let _metadata = player.metadata(gate);
    for headers in [
        &["Referer: https://other.test/"][..],
        &["Origin: https://other.test"],
        &["Referer: https://page.test/", "Origin: https://other.test"],
        &["Referer: https://page.test/", "Referer: https://page.test/"],
        &["Referer: nonsense"],
    ] {
        let answer = player.hls(gate, "1", headers);
        assert_eq!(outcome(&answer), REFUSED, "{headers:?}");
    }
    // Sandboxed frames say "null", which is no page.
    for headers in [&["Origin: null"][..], &["Referer: "]] {
        assert_eq!(player.hls(gate, "2", headers).status, 200, "{headers:?}");
    }
}

#[test]
fn nothing_else_than_the_same_token_player_and_address_inherits() {
    let House { gate, .. } = &House::with(AT_ONCE);
    let grant = bound();
    let player = Player::of(&grant);
    let mut same_id = grant.clone();
    same_id.expires = Some(UnixSeconds::new(now() + 1800));
    let organisation = |mut grant: Grant| {
        grant.scope = h5gate::token::Scope::Organisation("abcde".parse().unwrap());
        Player::of(&grant)
    };
    let others = [
        (
            "another player",
            Player {
                pid: "8",
                ..player.clone()
            },
        ),
        (
            "no player",
            Player {
                pid: "",
                ..player.clone()
            },
        ),
        (
            "another address",
            Player {
                address: "192.0.2.2",
                ..player.clone()
            },
        ),
        (
            "an address of IPv6",
            Player {
                address: "2001:db8::1",
                ..player.clone()
            },
        ),
        (
            "an unknown address",
            Player {
                address: "unknown",
                ..player.clone()
            },
        ),
        ("a token of the same id", Player::of(&same_id)),
        ("a token of the same stream", Player::of(&bound())),
        ("a token of the organisation", organisation(grant.clone())),
    ];
    for live in [false, true] {
        let _metadata = live.then(|| player.metadata(gate));
        player.check(gate);
        for (what, other) in &others {
            let answer = other.hls(gate, "1", &[]);
            assert_eq!(outcome(&answer), REFUSED, "{what}");
        }
    }
    player.plays(gate, "1");
    // What lacks a part of the key does not even match itself.
    for (what, other) in &others {
        if other.pid.is_empty() || other.address == "unknown" {
            assert_eq!(other.check_from(gate, &[PAGE]), 4200);
            let mut metadata = other.metadata(gate);
            let answer = other.hls(gate, "2", &[]);
            assert_eq!(outcome(&answer), REFUSED, "{what}");
            metadata.send(0x8, &[0x03, 0xE8]);
        }
    }
}

#[test]
fn a_check_that_shows_no_good_page_teaches_nothing() {
    let House { gate, .. } = &House::with(AT_ONCE);
    let player = Player::of(&bound());
    for origin in [
        &[][..],
        &["Origin: null"],
        &["Origin: https://other.test"],
        &["Origin: https://sub.page.test"],
        &["Referer: https://page.test/"],
    ] {
        assert_eq!(player.check_from(gate, origin), 4901, "{origin:?}");
        player.is_refused(gate, "1");
    }
    // A token that has no page to be bound to is none that others inherit by.
    let free = Player::of(&grant("abcde-one"));
    free.check(gate);
    player.is_refused(gate, "2");
    // A whole playback over WebSocket is no check.
    let mut media = player.socket(gate, "faststart", &[PAGE]);
    assert_eq!(media.hear(), "hello");
    player.is_refused(gate, "3");
}

#[test]
fn the_page_is_inherited_and_nothing_else_is() {
    let clock = MovedClock::default();
    let House { gate, .. } = &House::start(&format!("[hls]\n{AT_ONCE}\n"), Some(&clock));
    let mut short = bound();
    short.expires = clock.expiring().expires;
    let player = Player::of(&short);
    player.check(gate);
    let media = player.plays(gate, "1");
    clock.pass(&short);
    // What plays goes on; a start is decided by all the rules.
    assert_eq!(ask_from(gate, HERE, &media).status, 200);
    assert_eq!(outcome(&player.hls(gate, "2", &[])), (403, 4903));
    let mut elsewhere = bound();
    elsewhere.addresses = vec!["198.51.100.1".parse().unwrap()];
    let player = Player::of(&elsewhere);
    assert_eq!(player.check_from(gate, &[PAGE]), 4901);
    player.is_refused(gate, "1");
    let player = Player {
        stream: "abcde-two",
        ..Player::of(&bound())
    };
    assert_eq!(player.check_from(gate, &[PAGE]), 4901);
    player.is_refused(gate, "1");
}

#[test]
fn a_check_counts_for_its_time() {
    let House { gate, .. } = &House::with(&format!("{AT_ONCE}\npage_from_check = \"2s\""));
    let player = Player::of(&bound());
    player.begins_by_a_check(gate, &player.url("1"));
    let media = player.plays(gate, "1");
    let mut cid = 1;
    until("the end of the check's time", || {
        cid += 1;
        let answer = player.hls(gate, &cid.to_string(), &[]);
        (answer.status != 200).then(|| assert_eq!(outcome(&answer), REFUSED))
    });
    // What plays by it goes on, and the URL that it began with is still its own.
    assert_eq!(ask_from(gate, HERE, &media).status, 200);
    player.plays(gate, "1");
    player.begins_by_a_check(gate, &player.url("x"));
}

#[test]
fn a_socket_for_metadata_counts_as_long_as_it_lives() {
    let House { gate, .. } = &House::with(&format!("{AT_ONCE}\npage_from_check = \"1s\""));
    let player = Player::of(&bound());
    let first = player.metadata(gate);
    let mut second = player.metadata(gate);
    let begun = std::time::Instant::now();
    until("more than the time of a check", || {
        player.plays(gate, "1");
        (begun.elapsed() > Duration::from_millis(1500)).then_some(())
    });
    player.plays(gate, "2");
    drop(first);
    until("the first one's end", || {
        (gate.metric("h5gate_sessions{transport=\"websocket\"}") == 1.0).then_some(())
    });
    player.plays(gate, "3");
    second.send(0x8, &[0x03, 0xE8]);
    until("the second one's end", || {
        (gate.metric("h5gate_sessions{transport=\"websocket\"}") == 0.0).then_some(())
    });
    player.is_refused(gate, "4");
}

#[test]
fn a_socket_shows_its_page_for_the_token_that_it_has_switched_to() {
    let House { gate, .. } = &House::with(AT_ONCE);
    let player = Player::of(&bound());
    let renewed = Player::of(&bound());
    let mut socket = player.metadata(gate);
    let security = json!({
        "expires": renewed.security.expires, "tag": renewed.security.tag,
        "token": renewed.security.token, "options": renewed.security.options,
    });
    let switch = json!({
        "eventType": "onUpdateSource", "requestId": 1,
        "onUpdateSource": {
            "options": {}, "tag": "", "count": 1, "security": security,
            "rtmp": { "url": "rtmp://localhost/play", "stream": "abcde-one" },
        },
    });
    renewed.is_refused(gate, "1");
    socket.say(&switch.to_string());
    assert!(socket.hear().contains("onUpdateSourceSuccess"));
    until("the new token's page", || {
        (renewed.hls(gate, "2", &[]).status == 200).then_some(())
    });
    player.is_refused(gate, "3");
}

/// A request of a player that waits for its page by now.
fn waiting(gate: &Gate, player: &Player, cid: &str) -> std::net::TcpStream {
    use std::io::Write as _;
    let message = "a request without a page waits for its player's WebSocket";
    let count = || {
        let log = gate.log();
        log.iter().filter(|line| line["message"] == message).count()
    };
    let before = count();
    let mut socket = connect(gate.playback);
    let head = format!(
        "GET {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{}\r\n\r\n",
        player.url(cid),
        player.via()
    );
    socket.write_all(head.as_bytes()).unwrap();
    until("the request's wait", || (count() > before).then_some(()));
    socket
}

fn status(mut socket: std::net::TcpStream) -> u16 {
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn hls_that_comes_before_its_check_waits_for_it() {
    let House { gate, .. } = &House::with(LONG);
    let player = Player::of(&bound());
    let early = waiting(gate, &player, "1");
    player.check(gate);
    assert_eq!(status(early), 200);
    let player = Player::of(&bound());
    let [early, other] = ["1", "2"].map(|cid| waiting(gate, &player, cid));
    let _metadata = player.metadata(gate);
    assert_eq!([status(early), status(other)], [200, 200]);
}

#[test]
fn hls_waits_for_nothing_but_a_check_that_would_help() {
    let House { gate, .. } = &House::with("page_wait = \"1s\"");
    let message = "a request without a page waits for its player's WebSocket";
    let waits = || gate.log().iter().any(|line| line["message"] == message);
    let mut expired = bound();
    expired.expires = Some(UnixSeconds::new(now() - 1));
    let mut elsewhere = bound();
    elsewhere.addresses = vec!["198.51.100.1".parse().unwrap()];
    let player = Player::of(&bound());
    let nameless = Player {
        pid: "",
        ..player.clone()
    };
    let nowhere = Player {
        address: "unknown",
        ..player.clone()
    };
    let other_stream = Player {
        stream: "abcde-two",
        ..player.clone()
    };
    for (other, code) in [
        (&Player::of(&expired), 4901),
        (&Player::of(&elsewhere), 4901),
        (&nameless, 4901),
        (&nowhere, 4901),
        (&other_stream, 4901),
    ] {
        let answer = other.hls(gate, "1", &[]);
        // An expiry goes before a page.
        assert!([code, 4903].contains(&outcome(&answer).1), "{answer:?}");
    }
    let told = player.hls(gate, "2", &["Referer: https://other.test/"]);
    assert_eq!(outcome(&told), REFUSED);
    assert!(!waits(), "{:#?}", gate.log());
    // A check that fails ends no wait, and helps nothing.
    let early = waiting(gate, &player, "3");
    assert_eq!(
        player.check_from(gate, &["Origin: https://other.test"]),
        4901
    );
    assert_eq!(status(early), 403);
}

#[test]
fn no_time_turns_it_off() {
    let House { gate, .. } = &House::with("page_from_check = \"0s\"\npage_wait = \"5s\"");
    let player = Player::of(&bound());
    player.check(gate);
    let _metadata = player.metadata(gate);
    let begun = std::time::Instant::now();
    player.is_refused(gate, "1");
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "it waits for nothing"
    );
}

#[test]
fn a_flood_of_checks_pushes_out_its_own_alone() {
    let tables = format!("[hls]\n{AT_ONCE}\n[limits]\nsessions = 8\nsessions_per_token = 4\n");
    let House { gate, .. } = &House::with_tables(&format!("{tables}sessions_per_network = 4\n"));
    let player = Player::of(&bound());
    player.check(gate);
    // One token from many places, and many tokens from one place.
    let token = Player::of(&bound());
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    let places = [
        "198.51.100.1",
        "203.0.113.1",
        "10.0.0.1",
        "10.1.0.1",
        "10.2.0.1",
        "10.3.0.1",
    ];
    let of_token = places.map(|address| Player {
        address,
        ..token.clone()
    });
    for flooding in &of_token {
        flooding.check(gate);
    }
    player.plays(gate, "1");
    // The oldest of its own went first.
    of_token[0].is_refused(gate, "1");
    of_token[5].plays(gate, "1");
    let of_place = names.map(|pid| Player {
        pid,
        address: "172.16.0.1",
        ..Player::of(&bound())
    });
    for flooding in &of_place[..4] {
        flooding.check(gate);
    }
    // All is full now; who floods on does so on its own account.
    let late = Player {
        address: "172.17.0.1",
        ..Player::of(&bound())
    };
    late.check(gate);
    for flooding in &of_place[4..] {
        flooding.check(gate);
    }
    late.plays(gate, "1");
    of_place[0].is_refused(gate, "1");
}

#[test]
fn a_playback_that_was_quiet_comes_back_by_a_live_socket_or_a_new_check() {
    let hls = format!("{AT_ONCE}\nsession_idle = \"1s\"\npage_from_check = \"1s\"");
    let House { gate, .. } = &House::with(&hls);
    let player = Player::of(&bound());
    let socket = player.metadata(gate);
    let media = player.plays(gate, "1");
    gate.logged("playback ended");
    assert_eq!(ask_from(gate, HERE, &media).status, 200, "its socket lives");
    drop(socket);
    until("its end", || {
        (gate.metric("h5gate_sessions") == 0.0).then_some(())
    });
    assert_eq!(outcome(&ask_from(gate, HERE, &media)), REFUSED);
    player.begins_by_a_check(gate, &media);
    // It plays: it goes on when the time of the check is over.
    let begun = std::time::Instant::now();
    until("more than the time of the check", || {
        assert_eq!(ask_from(gate, HERE, &media).status, 200);
        (begun.elapsed() > Duration::from_secs(2)).then_some(())
    });
}

#[test]
fn a_move_is_decided_by_a_check_from_the_new_address() {
    let House { gate, .. } = &House::with(AT_ONCE);
    let player = Player::of(&bound());
    let _metadata = player.metadata(gate);
    let media = player.plays(gate, "1");
    let moved = Player {
        address: "198.51.100.1",
        ..player.clone()
    };
    // The socket is at the old address. Within the place of the playback it goes on as ever.
    assert_eq!(outcome(&ask_from(gate, moved.address, &media)), REFUSED);
    assert_eq!(ask_from(gate, "192.0.2.99", &media).status, 200);
    let _again = moved.metadata(gate);
    until("its move", || {
        (ask_from(gate, moved.address, &media).status == 200).then_some(())
    });
    let line = gate.logged("playback moved");
    assert_eq!(
        (&line["referer"], &line["inherited"]),
        (&json!("page.test"), &json!(true))
    );
}

#[test]
fn a_playback_outlives_restarts_of_the_gate_with_its_page() {
    let (http, sockets) = (server(), MediaServer::switching());
    let tables = format!("[hls]\n{AT_ONCE}\n[timeouts]\ndrain = \"0s\"");
    let restarts = Restarts::new(http.address, Some(sockets.address), &tables);
    let mut gate = restarts.start();
    let player = Player::of(&bound());
    player.check(&gate);
    let media = player.plays(&gate, "1");
    // By a drain twice, the second time while it sleeps; then in use.
    for asks in [false, true, true] {
        gate.signal(Signal::TERM);
        assert!(gate.ended().success());
        drop(gate);
        gate = restarts.start();
        let wrong = format!("X-Forwarded-For: {HERE}");
        let wrong = get(
            gate.playback,
            &media,
            &["Referer: https://other.test/", &wrong],
        );
        assert_eq!(outcome(&wrong), REFUSED, "a page that is told counts");
        if asks {
            assert_eq!(ask_from(&gate, HERE, &media).status, 200);
        }
    }
    // Nobody else has it: it is not at their place.
    assert_eq!(outcome(&ask_from(&gate, "198.51.100.1", &media)), REFUSED);
    player.is_refused(&gate, "2");
    player.plays(&gate, "1");
}
