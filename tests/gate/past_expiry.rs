//! Checked once: playback goes on past `expires`, a reconnect does not; unless the token says that it is to be cut.

use h5gate::token::{AtExpiry, UnixSeconds};

use crate::support::clock::MovedClock;
use crate::support::gate::{Gate, Setup, grant, mint, now};
use crate::support::media_server::MediaServer;
use crate::support::viewer::{Viewer, query};

fn gate_by(clock: &MovedClock, server: &MediaServer) -> Gate {
    Gate::start(&Setup {
        servers: vec![server.address],
        clock: Some(clock),
        ..Setup::default()
    })
}

#[test]
fn playback_goes_on_past_the_expiry_and_a_reconnect_is_refused() {
    let (clock, server) = (MovedClock::default(), MediaServer::echo());
    let gate = gate_by(&clock, &server);
    let short = clock.expiring();
    let query = query("abcde-one", &mint(&short));
    let mut viewer = Viewer::open(gate.playback, &query, &[]);
    assert_eq!(viewer.hear(), "hello");
    clock.pass(&short);
    assert_eq!(Viewer::open(gate.playback, &query, &[]).closed().0, 4903);
    viewer.say(r#"{"eventType":"onPlay"}"#);
    assert_eq!(viewer.hear(), r#"echo:{"eventType":"onPlay"}"#);
    // The current token, judged again for a switch, has expired too.
    viewer.say(r#"{"eventType":"onUpdateSource","onUpdateSource":{"rtmp":{"url":"rtmp://localhost/play","stream":"abcde-one"}}}"#);
    assert!(viewer.hear().contains("4903"));
}

#[test]
fn a_token_is_not_valid_before_its_time() {
    let (clock, server) = (MovedClock::default(), MediaServer::echo());
    let gate = gate_by(&clock, &server);
    let mut early = grant("abcde-one");
    early.not_before = Some(UnixSeconds::new(clock.now() + 600));
    let query = query("abcde-one", &mint(&early));
    assert_eq!(Viewer::open(gate.playback, &query, &[]).closed().0, 4903);
    clock.turn(600);
    assert_eq!(Viewer::open(gate.playback, &query, &[]).hear(), "hello");
}

#[test]
fn a_token_can_ask_for_a_cut_at_its_expiry() {
    let (clock, server) = (MovedClock::default(), MediaServer::echo());
    let gate = gate_by(&clock, &server);
    let mut short = clock.expiring();
    let kept = query("abcde-one", &mint(&short));
    short.at_expiry = AtExpiry::Cut;
    let cut = query("abcde-one", &mint(&short));
    let [mut kept, mut cut] = [kept, cut].map(|query| {
        let mut viewer = Viewer::open(gate.playback, &query, &[]);
        assert_eq!(viewer.hear(), "hello");
        viewer
    });
    clock.pass(&short);
    assert_eq!(cut.closed().0, 4903);
    kept.say(r#"{"eventType":"onPlay"}"#);
    assert_eq!(kept.hear(), r#"echo:{"eventType":"onPlay"}"#);
}

#[test]
fn the_binary_cuts_by_the_clock_of_the_system() {
    let server = MediaServer::echo();
    let gate = Gate::before(server.address);
    let mut short = grant("abcde-one");
    // Long enough to begin on a busy machine; waited for.
    short.expires = Some(UnixSeconds::new(now() + 8));
    short.at_expiry = AtExpiry::Cut;
    let mut viewer = Viewer::open(gate.playback, &query("abcde-one", &mint(&short)), &[]);
    assert_eq!(viewer.hear(), "hello");
    assert_eq!(viewer.closed().0, 4903);
    assert!(now() >= short.expires.unwrap().get());
}
