//! An address that is not known is no place: nothing that plays is bound to it, and nothing is joined from it.

use std::num::NonZeroU16;

use crate::support::clock::MovedClock;
use crate::support::gate::{Gate, grant};
use crate::support::hls::{ask, ask_from, entry, gate_by, links, outcome, server};
use crate::support::viewer::{Answer, get, query};

/// What leaves the address unknown behind a listed neighbour.
const UNKNOWN: [&[&str]; 6] = [
    &[],
    &["X-Forwarded-For: unknown"],
    &["X-Forwarded-For: _hidden"],
    &["X-Forwarded-For: 192.0.2.1, "],
    &["X-Forwarded-For: 192.0.2.1, not.an.address"],
    &["Forwarded: for=192.0.2.1"],
];

fn bound(clock: &MovedClock, server: std::net::SocketAddr, bind: &str) -> Gate {
    let hls = format!("[hls]\nbind_address = \"{bind}\"");
    gate_by(clock, server, &hls)
}

fn plays(gate: &Gate, path: &str, headers: &[&str]) -> Answer {
    get(gate.playback, path, headers)
}

#[test]
fn a_playback_from_an_unknown_address_ends_with_its_token_and_one_from_a_known_place_does_not() {
    let server = server();
    let clock = MovedClock::default();
    for bind in ["exact", "prefix"] {
        let gate = bound(&clock, server.address, bind);
        let short = clock.expiring();
        let entry = entry(&short, "1");
        // While the token is good all of it can be had, in links that stay the same.
        let first = plays(&gate, &entry, &[]);
        assert_eq!(first.status, 200, "{first:?}");
        assert_eq!(plays(&gate, &entry, &[]).body, first.body);
        let media = links(&entry, &first.body).remove(0);
        let text = plays(&gate, &media, &[]);
        let segment = links(&media, &text.body).remove(0);
        assert_eq!(plays(&gate, &segment, &[]).body, "segment one");
        clock.pass(&short);
        for headers in UNKNOWN {
            for path in [&entry, &media, &segment] {
                let refused = plays(&gate, path, headers);
                assert_eq!(outcome(&refused), (403, 4903), "{bind} {headers:?} {path}");
            }
        }
    }
}

#[test]
fn what_plays_at_a_known_place_is_not_joined_from_an_unknown_address() {
    let server = server();
    let clock = MovedClock::default();
    let gate = bound(&clock, server.address, "prefix");
    let short = clock.expiring();
    let entry = entry(&short, "1");
    let media = links(&entry, &ask(&gate, &entry).body).remove(0);
    for address in ["192.0.2.1", "2001:db8::1"] {
        assert_eq!(ask_from(&gate, address, &media).status, 200);
    }
    // It is allowed by the token, and leaves nothing behind.
    assert_eq!(plays(&gate, &media, &[]).status, 200);
    clock.pass(&short);
    for headers in UNKNOWN {
        for path in [&entry, &media] {
            let refused = plays(&gate, path, headers);
            assert_eq!(outcome(&refused), (403, 4903), "{headers:?} {path}");
        }
    }
    for address in ["192.0.2.1", "2001:db8::1"] {
        assert_eq!(ask_from(&gate, address, &media).status, 200, "{address}");
        assert_eq!(ask_from(&gate, address, &entry).status, 200, "{address}");
    }
}

#[test]
fn a_token_that_limits_its_sessions_plays_over_http_at_known_places_alone() {
    let server = server();
    let clock = MovedClock::default();
    for (bind, plays_unknown) in [("exact", false), ("prefix", false), ("off", true)] {
        for sessions in [1, 2, 6] {
            let gate = bound(&clock, server.address, bind);
            let mut limited = grant("abcde-one");
            limited.sessions = NonZeroU16::new(sessions);
            let entry = entry(&limited, "1");
            let nameless = entry.replace("&pid=7", "").replace("&cid=1", "");
            let media = links(&entry, &ask(&gate, &entry).body).remove(0);
            for headers in UNKNOWN {
                for path in [
                    &entry,
                    &media,
                    &entry.replace("playlist.m3u8", "stream.mp4"),
                ] {
                    let answer = plays(&gate, path, headers);
                    if plays_unknown {
                        assert_eq!(answer.status, 200, "{bind} {headers:?} {path}");
                    } else {
                        assert_eq!(outcome(&answer), (403, 4901), "{bind} {headers:?} {path}");
                    }
                }
                if !plays_unknown {
                    let answer = plays(&gate, &nameless, headers);
                    assert_eq!(outcome(&answer), (403, 4901), "{bind} {headers:?}");
                }
            }
            assert_eq!(gate.metric("h5gate_sessions"), 1.0, "{bind}");
            assert_eq!(ask(&gate, &media).status, 200, "{bind}");
        }
    }
}

#[test]
fn each_request_from_an_unknown_address_is_a_playback_that_ends_with_its_answer() {
    let server = server();
    let clock = MovedClock::default();
    let gate = bound(&clock, server.address, "prefix");
    let entry = entry(&grant("abcde-one"), "1");
    for _ in 0..3 {
        assert_eq!(plays(&gate, &entry, &[]).status, 200);
    }
    crate::support::until("the end of all of them", || {
        let ended = |line: &&serde_json::Value| line["message"] == "playback ended";
        (gate.log().iter().filter(ended).count() == 3).then_some(())
    });
    assert_eq!(gate.metric("h5gate_sessions"), 0.0);
    // A ticket from there opens a playback at a known place, by a decision.
    let media = links(&entry, &plays(&gate, &entry, &[]).body).remove(0);
    assert_eq!(ask(&gate, &media).status, 200);
    // Without a token there is none.
    let none = entry.split("&token=").next().unwrap();
    assert_eq!(outcome(&plays(&gate, none, &[])), (403, 4903));
    let other = query(
        "abcde-two",
        &crate::support::gate::mint(&grant("abcde-one")),
    );
    let other = format!("/h5live/authhttp/playlist.m3u8?{other}");
    assert_eq!(outcome(&plays(&gate, &other, &[])), (403, 4901));
}
