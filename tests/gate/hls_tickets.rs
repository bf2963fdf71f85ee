//! A ticket carries what a return is decided from, and nothing that could be presented as a token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use h5gate::token::{Grant, UnixSeconds};

use crate::support::clock::MovedClock;
use crate::support::gate::{Gate, grant, mint, now};
use crate::support::hls::{
    ask, ask_from, begin, entry, gate_by, gate_with, links, outcome, play, server, session,
};
use crate::support::http_server::{playlist, segment};
use crate::support::restart::Restarts;
use crate::support::viewer::{get, request};

const HERE: &str = "192.0.2.1";
const ELSEWHERE: &str = "198.51.100.1";

/// The bytes of a text's parts that read as base64, and the text itself.
fn read(text: &str) -> Vec<Vec<u8>> {
    let is_text = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let parts = text.split(|c| !is_text(c));
    let mut read: Vec<_> = parts
        .filter_map(|part| URL_SAFE_NO_PAD.decode(part).ok())
        .collect();
    read.push(text.as_bytes().to_vec());
    read
}

#[test]
fn no_url_of_a_playlist_has_a_token_or_its_signature() {
    let server = server();
    server.set(
        "/hls/abcde-one/flat/playlist.m3u8",
        playlist("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n1.ts\n"),
    );
    server.set("/hls/abcde-one/flat/1.ts", segment(b"segment one"));
    for path in ["/hls/{stream}/", "/hls/{stream}/flat/"] {
        let gate = Gate::start(&crate::support::gate::Setup {
            servers: vec![server.address],
            upstream: &format!("http_path = \"{path}\""),
            ..Default::default()
        });
        let token = grant("abcde-one");
        let entry = entry(&token, "1");
        let security = mint(&token);
        let signature = security.token.rsplit('.').next().unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let mut playlists = vec![entry];
        let mut seen = 0;
        while let Some(url) = playlists.pop() {
            let text = get(gate.playback, &url, &[]);
            assert_eq!(text.status, 200, "{text:?}");
            for link in links(&url, &text.body) {
                seen += 1;
                assert!(!link.contains("h1."), "{link}");
                for bytes in read(&link) {
                    let has = |part: &[u8]| bytes.windows(8).any(|window| window == part);
                    assert!(!signature.windows(8).any(has), "{link}");
                }
                if link.contains(".m3u8") {
                    playlists.push(link);
                }
            }
        }
        assert!(seen >= 2, "{path}: {seen}");
    }
}

/// What the first answer of a process that knows nothing says to the same request.
fn returns(restarts: &Restarts, gate: Gate, address: &str, path: &str) -> (Gate, (u16, u64)) {
    let gate = restarts.killed(gate);
    let answer = ask_from(&gate, address, path);
    let outcome = match answer.status {
        200 => (200, 0),
        _ => outcome(&answer),
    };
    (gate, outcome)
}

/// Plays by a grant, and then asks again from an address, where the playback is not known.
fn comes_back(change: impl Fn(&MovedClock, &mut Grant), address: &str, later: bool) -> (u16, u64) {
    let server = server();
    let clock = MovedClock::default();
    let token = {
        let mut token = clock.expiring();
        change(&clock, &mut token);
        token
    };
    let gate = gate_by(&clock, server.address, "");
    let (_, _, segments) = play(&gate, &entry(&token, "1"));
    drop(gate);
    if later {
        clock.pass(&token);
    }
    let gate = gate_by(&clock, server.address, "");
    let answer = ask_from(&gate, address, &segments[0]);
    match answer.status {
        200 => (200, 0),
        _ => outcome(&answer),
    }
}

#[test]
fn a_return_is_decided_by_what_the_token_said() {
    let nothing = |_: &MovedClock, _: &mut Grant| {};
    let to_here = |_: &MovedClock, token: &mut Grant| {
        token.addresses = vec![format!("{HERE}/32").parse().unwrap()];
    };
    assert_eq!(comes_back(nothing, HERE, false), (200, 0));
    assert_eq!(comes_back(nothing, ELSEWHERE, false), (200, 0));
    assert_eq!(comes_back(nothing, HERE, true), (403, 4903));
    assert_eq!(comes_back(to_here, HERE, false), (200, 0));
    assert_eq!(comes_back(to_here, ELSEWHERE, false), (403, 4901));
}

#[test]
fn a_seat_is_taken_by_a_return_too() {
    let server = server();
    let mut one = grant("abcde-one");
    one.sessions = std::num::NonZeroU16::new(1);
    let gate = gate_with(server.address, "");
    let (_, _, segments) = play(&gate, &entry(&one, "1"));
    drop(gate);
    let gate = gate_with(server.address, "");
    assert_eq!(ask(&gate, &segments[0]).status, 200);
    let other = entry(&one, "2").replace("&pid=7", "&pid=8");
    assert_eq!(outcome(&ask(&gate, &other)), (403, 4901));
}

#[test]
fn who_came_back_after_a_restart_is_reached_by_every_revocation_and_by_a_kick() {
    let server = server();
    let restarts = Restarts::new(server.address, None, "");
    let mut token = grant("abcde-one");
    token.tag = "a tag".parse().unwrap();
    token.user = Some("viewer-7".parse().unwrap());
    let id = token.id.to_string();
    let mut gate = restarts.start();
    let mut tried = 0;
    for (field, value) in [
        ("", ""),
        ("token_id", id.as_str()),
        ("tag", "a tag"),
        ("user", "viewer-7"),
        ("stream", "abcde-one"),
    ] {
        let (ticket, _, segments) = play(&gate, &entry(&token, &format!("{field}1")));
        let came;
        (gate, came) = returns(&restarts, gate, HERE, &segments[0]);
        assert_eq!(came, (200, 0), "{field}");
        let id = session(&ticket);
        let json = ["Content-Type: application/json"];
        let (method, path, body) = match field {
            "" => ("DELETE", format!("/api/sessions/{id}"), String::new()),
            _ => (
                "POST",
                "/api/revocations".to_owned(),
                format!(r#"{{"organisation":"abcde","{field}":"{value}"}}"#),
            ),
        };
        let ended = request(gate.admin, method, &path, &json, &body);
        assert!(matches!(ended.status, 200 | 201), "{ended:?}");
        assert_eq!(outcome(&ask(&gate, &segments[0])).0, 403, "{field}");
        if !field.is_empty() {
            let made: serde_json::Value = serde_json::from_str(&ended.body).unwrap();
            assert_eq!(made["sessions_ended"], 1, "{field}");
            let lifted = format!("/api/revocations/{}", made["id"].as_str().unwrap());
            assert_eq!(request(gate.admin, "DELETE", &lifted, &[], "").status, 200);
        }
        tried += 1;
    }
    assert_eq!(tried, 5);
}

#[test]
fn a_ticket_with_another_character_is_none() {
    let server = server();
    let gate = gate_with(server.address, "");
    let (ticket, media, _) = play(&gate, &entry(&grant("abcde-one"), "1"));
    let before = server.heads().len();
    for at in 1..ticket.len() {
        let mut changed = ticket.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = media.replace(&ticket, &String::from_utf8(changed).unwrap());
        assert_eq!(outcome(&ask(&gate, &changed)), (403, 4901), "{changed}");
    }
    assert_eq!(server.heads().len(), before);
    let long = media.replace(&ticket, &format!("~{}", "A".repeat(5000)));
    assert_eq!(outcome(&ask(&gate, &long)), (403, 4901));
}

#[test]
fn a_usual_ticket_is_short() {
    let server = server();
    let gate = gate_with(server.address, "");
    let mut token = grant("abcde-one");
    token.expires = Some(UnixSeconds::new(now() + 3600));
    token.tag = "customer-4711".parse().unwrap();
    token.addresses = vec!["192.0.2.0/24".parse().unwrap()];
    let (_, ticket) = begin(&gate, &entry(&token, "1"));
    assert!(ticket.len() <= 300, "{} {ticket}", ticket.len());
}
