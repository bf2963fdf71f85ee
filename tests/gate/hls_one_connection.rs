//! What a connection has shown before is not worked out anew, and yet it is answered as a fresh one would be.

use std::io::Write as _;
use std::net::TcpStream;

use rustix::process::Signal;

use crate::support::clock::MovedClock;
use crate::support::gate::{Gate, grant, mint};
use crate::support::hls::{
    ask_from, begin, entry, exchange_key, gate_by, gate_with, links, outcome, play, server, session,
};
use crate::support::until;
use crate::support::viewer::{Answer, connect, next_answer, request};

const HERE: &str = "192.0.2.1";
const ELSEWHERE: &str = "198.51.100.1";

/// A connection that stays, as that of a player or of a neighbour with many viewers.
struct Kept(TcpStream);

impl Kept {
    fn to(gate: &Gate) -> Self {
        Self(connect(gate.playback))
    }

    fn ask(&mut self, address: &str, path: &str) -> Answer {
        let asked =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: {address}\r\n\r\n");
        self.0.write_all(asked.as_bytes()).unwrap();
        next_answer(&mut self.0)
    }

    /// Asks, and checks that the answer is a fresh connection's.
    fn asks(&mut self, gate: &Gate, address: &str, path: &str) -> Answer {
        let (here, fresh) = (self.ask(address, path), ask_from(gate, address, path));
        assert_eq!(here.status, fresh.status, "{here:?} but {fresh:?}");
        match here.status {
            200 => assert_eq!(here.body, fresh.body),
            _ => assert_eq!(outcome(&here), outcome(&fresh)),
        }
        here
    }

    /// Opens a URL and the media playlist in it: the first answer, and where that playlist is.
    fn plays(&mut self, gate: &Gate, first: &str) -> (Answer, String) {
        let begun = self.asks(gate, HERE, first);
        let media = links(first, &begun.body).remove(0);
        assert_eq!(self.asks(gate, HERE, &media).status, 200);
        (begun, media)
    }
}

/// The name of the playback that a first playlist leads to.
fn playback(first: &str, answer: &Answer) -> String {
    let link = links(first, &answer.body).remove(0);
    session(link.split('/').nth(3).unwrap()).to_owned()
}

#[test]
fn a_playback_goes_on_past_its_expiry_and_not_past_its_end() {
    let server = server();
    let clock = MovedClock::default();
    let gate = gate_by(&clock, server.address, "[hls]\nsession_idle = \"5s\"");
    let token = clock.expiring();
    let first = entry(&token, "1");
    let mut kept = Kept::to(&gate);
    let (begun, media) = kept.plays(&gate, &first);
    clock.pass(&token);
    assert_eq!(kept.asks(&gate, HERE, &first).body, begun.body);
    assert_eq!(kept.asks(&gate, HERE, &media).status, 200);
    assert_eq!(gate.metric("h5gate_sessions"), 1.0);
    assert_eq!(gate.logged("playback ended")["reason"], "quiet");
    for path in [&first, &media] {
        assert_eq!(outcome(&kept.asks(&gate, HERE, path)), (403, 4903));
    }
}

#[test]
fn who_is_revoked_hears_it_on_a_connection_that_knows_it() {
    let server = server();
    let gate = gate_with(server.address, "");
    let token = grant("abcde-one");
    let first = entry(&token, "1");
    let mut kept = Kept::to(&gate);
    let (_, media) = kept.plays(&gate, &first);
    let body = format!(r#"{{"organisation":"abcde","token_id":"{}"}}"#, token.id);
    let json = ["Content-Type: application/json"];
    let revoked = request(gate.admin, "POST", "/api/revocations", &json, &body);
    assert_eq!(revoked.status, 201, "{revoked:?}");
    for path in [&first, &media] {
        assert_eq!(kept.asks(&gate, HERE, path).status, 403, "{path}");
    }
}

#[test]
fn what_plays_goes_on_when_its_key_is_gone_and_begins_nothing_any_more() {
    let server = server();
    let gate = gate_with(server.address, "[hls]\nsession_idle = \"4s\"");
    let first = entry(&grant("abcde-one"), "1");
    let mut kept = Kept::to(&gate);
    let (begun, media) = kept.plays(&gate, &first);

    exchange_key(&gate);
    gate.signal(Signal::HUP);
    gate.logged("configuration reloaded");
    // By its ticket, and by its whole first URL, which players may open again.
    assert_eq!(kept.asks(&gate, HERE, &media).status, 200);
    assert_eq!(kept.asks(&gate, HERE, &first).body, begun.body);
    let told = gate.logged("playbacks use a key that is no longer configured");
    assert_eq!(
        (&told["key"], &told["playbacks"]),
        (&"abcde-1".into(), &1.into())
    );
    // Its token begins nothing any more.
    let other = first.replace("cid=1", "cid=2");
    assert_eq!(outcome(&kept.asks(&gate, HERE, &other)), (403, 4901));
    assert_eq!(gate.logged("playback ended")["reason"], "quiet");
    for path in [&first, &media] {
        assert_eq!(outcome(&kept.asks(&gate, HERE, path)), (403, 4901));
    }
}

#[test]
fn viewers_who_share_a_connection_are_told_apart() {
    let server = server();
    let gate = gate_with(server.address, "");
    let token = grant("abcde-one");
    let [one, two] = ["1", "2"].map(|cid| entry(&token, cid));
    let mut kept = Kept::to(&gate);
    let mut seen = Vec::new();
    for (address, first) in [
        (HERE, &one),
        (HERE, &two),
        (ELSEWHERE, &one),
        (HERE, &one),
        (ELSEWHERE, &one),
    ] {
        let begun = kept.asks(&gate, address, first);
        seen.push(playback(first, &begun));
        let media = links(first, &begun.body).remove(0);
        assert_eq!(kept.asks(&gate, address, &media).status, 200);
    }
    let [a, b, c, d, e] = &seen[..] else {
        panic!("{seen:?}")
    };
    assert!(a != b && a != c && b != c, "{seen:?}");
    assert_eq!((a, c), (d, e));
    assert_eq!(gate.metric("h5gate_sessions"), 3.0);
}

#[test]
fn a_second_playback_of_one_url_has_a_ticket_of_its_own() {
    let server = server();
    let gate = gate_with(server.address, "[hls]\nsession_idle = \"3s\"");
    let first = entry(&grant("abcde-one"), "1");
    ask_from(&gate, HERE, &first);
    let mut kept = Kept::to(&gate);
    let before = kept.asks(&gate, ELSEWHERE, &first);
    // The first viewer stays, the second one goes and comes back by another connection.
    until("the end of the second playback", || {
        assert_eq!(ask_from(&gate, HERE, &first).status, 200);
        let ended = |line: &serde_json::Value| line["message"] == "playback ended";
        gate.log().iter().any(ended).then_some(())
    });
    let again = ask_from(&gate, ELSEWHERE, &first);
    assert_ne!(playback(&first, &again), playback(&first, &before));
    assert_eq!(kept.asks(&gate, ELSEWHERE, &first).body, again.body);
}

#[test]
fn who_has_moved_is_known_where_it_is_and_not_where_it_was() {
    let server = server();
    let clock = MovedClock::default();
    let gate = gate_by(&clock, server.address, "");
    let token = clock.expiring();
    // Nothing in it tells its viewer from others but where that is.
    let first = entry(&token, "").replace("&pid=7", "").replace("&cid=", "");
    let mut kept = Kept::to(&gate);
    let begun = kept.asks(&gate, HERE, &first);
    let media = links(&first, &begun.body).remove(0);
    assert_eq!(outcome(&kept.asks(&gate, ELSEWHERE, &media)), (503, 4503));
    until("the silence of where it was", || {
        (kept.ask(ELSEWHERE, &media).status == 200).then_some(())
    });
    clock.pass(&token);
    assert_eq!(kept.asks(&gate, ELSEWHERE, &media).status, 200);
    assert_eq!(outcome(&kept.asks(&gate, ELSEWHERE, &first)), (403, 4903));
}

#[test]
fn a_forgery_beside_what_is_known_is_a_forgery() {
    let server = server();
    let gate = gate_with(server.address, "");
    let token = grant("abcde-one");
    let first = entry(&token, "1");
    let mut kept = Kept::to(&gate);
    let (begun, media) = kept.plays(&gate, &first);
    let signature = mint(&token).token.rsplit('.').next().unwrap().to_owned();
    let changed = |text: &str| {
        let last = if text.ends_with('A') { "B" } else { "A" };
        format!("{}{last}", &text[..text.len() - 1])
    };
    // Not the last character, whose last bits mean nothing.
    let (head, tail) = signature.split_at(20);
    let forged = first.replace(&signature, &format!("{}{tail}", changed(head)));
    assert_ne!(forged, first);
    assert_eq!(kept.asks(&gate, HERE, &forged).status, 403);
    let ticket = media.split('/').nth(3).unwrap();
    let (head, seal) = ticket.rsplit_once('.').unwrap();
    let (seal, tail) = seal.split_at(10);
    let forged = media.replace(ticket, &format!("{head}.{}{tail}", changed(seal)));
    assert_ne!(forged, media);
    assert_eq!(kept.asks(&gate, HERE, &forged).status, 403);
    // The connection is none the worse for it, and neither is another one.
    assert_eq!(kept.asks(&gate, HERE, &media).status, 200);
    assert_eq!(begin(&gate, &first).0.body, begun.body);
    assert_eq!(play(&gate, &first).1, media);
}
