//! A token plays as often at once as it says, and there is no way around that.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod support;

use std::num::NonZeroU16;

use serde_json::json;

use support::gate::{Gate, grant, mint};
use support::media_server::MediaServer;
use support::until;
use support::viewer::{Viewer, query};

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
