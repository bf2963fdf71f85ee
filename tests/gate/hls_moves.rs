//! A playback over HTTP goes along with its viewer to another network, and leaves no viewer that still asks.

use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use crate::support::clock::MovedClock;
use crate::support::gate::{Gate, grant};
use crate::support::hls::{ask_from, entry, gate_by, gate_with, links, outcome, play, server};
use crate::support::media_server::header;
use crate::support::until;

const HOME: &str = "192.0.2.1";
const AWAY: [&str; 4] = ["198.51.100.1", "203.0.113.1", "198.18.0.1", "100.64.0.1"];
/// A target duration of 1 s, and what a place may be late beyond it.
const SILENT: Duration = Duration::from_millis(2_500);

fn limited(sessions: u16) -> h5gate::token::Grant {
    let mut grant = grant("abcde-one");
    grant.sessions = NonZeroU16::new(sessions);
    grant
}

/// Refused in a way that players try again.
fn is_put_off(gate: &Gate, address: &str, path: &str) {
    let answer = ask_from(gate, address, path);
    assert_eq!(outcome(&answer), (503, 4503), "{address} {path}");
    assert_eq!(header(&answer.head, "retry-after"), Some("1"));
}

#[test]
fn who_still_asks_keeps_its_place_whatever_is_asked_for_elsewhere() {
    let server = server();
    for bind in ["exact", "prefix"] {
        let gate = gate_with(server.address, &format!("[hls]\nbind_address = \"{bind}\""));
        for grant in [limited(1), grant("abcde-one")] {
            let is_limited = grant.sessions.is_some();
            let entry = entry(&grant, "1");
            let (_, media, segments) = play(&gate, &entry);
            let again = entry.replace("cid=1", "cid=2");
            let begun = Instant::now();
            // Longer than a place that is silent has to be so.
            until("some target durations", || {
                for address in AWAY {
                    is_put_off(&gate, address, &media);
                    is_put_off(&gate, address, &segments[0]);
                    if is_limited {
                        // By the URL itself, and by another that the same player could have made.
                        is_put_off(&gate, address, &entry);
                        is_put_off(&gate, address, &again);
                    }
                    assert_eq!(ask_from(&gate, HOME, &media).status, 200, "{bind}");
                }
                (begun.elapsed() > SILENT * 2).then_some(())
            });
            if bind == "exact" {
                is_put_off(&gate, "192.0.2.2", &media);
                if is_limited {
                    is_put_off(&gate, "192.0.2.2", &again);
                }
            }
        }
    }
}

#[test]
fn a_playback_goes_along_a_few_seconds_after_its_viewer_has_moved() {
    let server = server();
    let gate = gate_with(server.address, "");
    for grant in [limited(1), grant("abcde-one")] {
        let (_, media, segments) = play(&gate, &entry(&grant, "1"));
        let begun = Instant::now();
        is_put_off(&gate, AWAY[0], &media);
        until("the old place's silence", || {
            (ask_from(&gate, AWAY[0], &media).status == 200).then_some(())
        });
        let took = begun.elapsed();
        assert!(
            took > SILENT - Duration::from_millis(500) && took < SILENT * 3,
            "{took:?}"
        );
        // One playback, at the new place alone; its other family comes along at once.
        for address in [AWAY[0], "2001:db8::1"] {
            assert_eq!(
                ask_from(&gate, address, &segments[0]).status,
                200,
                "{address}"
            );
        }
        is_put_off(&gate, HOME, &media);
        is_put_off(&gate, "2001:db9::1", &media);
    }
    assert_eq!(gate.metric("h5gate_sessions"), 2.0);
}

#[test]
fn a_playback_does_not_move_past_its_expiry_and_not_for_ever() {
    let server = server();
    let clock = MovedClock::default();
    let gate = gate_by(&clock, server.address, "");
    let short = clock.expiring();
    let (_, media, _) = play(&gate, &entry(&short, "2"));
    clock.pass(&short);
    let answer = ask_from(&gate, AWAY[0], &media);
    assert_eq!(
        outcome(&answer),
        (403, 4903),
        "decided before anything else"
    );
    assert_eq!(
        ask_from(&gate, HOME, &media).status,
        200,
        "the viewer itself goes on"
    );
    let (_, media, _) = play(&gate, &entry(&grant("abcde-one"), "1"));
    let mut tried = [AWAY[0], HOME, AWAY[1], AWAY[2], AWAY[3]].iter();
    let last = tried.next_back().unwrap();
    let silent = |address: &str| {
        let mut answer = ask_from(&gate, address, &media);
        until("the old place's silence", || {
            answer = ask_from(&gate, address, &media);
            (answer.status != 503).then_some(())
        });
        answer
    };
    for address in tried {
        assert_eq!(silent(address).status, 200, "{address}");
    }
    assert_eq!(outcome(&silent(last)), (403, 4901), "a fifth move at once");
}

#[test]
fn a_new_url_of_the_same_player_takes_the_seat_of_one_that_is_silent() {
    let server = server();
    let gate = gate_with(server.address, "");
    let entry = entry(&limited(1), "1");
    play(&gate, &entry);
    let again = entry.replace("cid=1", "cid=2");
    // At the same place at once, elsewhere when that is silent.
    assert_eq!(ask_from(&gate, "192.0.2.9", &again).status, 200);
    let third = entry.replace("cid=1", "cid=3");
    is_put_off(&gate, AWAY[0], &third);
    let mut body = String::new();
    until("the old place's silence", || {
        let answer = ask_from(&gate, AWAY[0], &third);
        body = answer.body;
        (answer.status == 200).then_some(())
    });
    let media = links(&third, &body).remove(0);
    assert_eq!(ask_from(&gate, AWAY[0], &media).status, 200);
    is_put_off(&gate, HOME, &entry.replace("cid=1", "cid=4"));
}
