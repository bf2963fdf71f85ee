//! Checked once: playback goes on past `expires`, a reconnect does not; unless the token says that it is to be cut.

use h5gate::token::{AtExpiry, UnixSeconds};

use crate::support::gate::{Gate, grant, mint, now};
use crate::support::media_server::MediaServer;
use crate::support::until;
use crate::support::viewer::{Viewer, query};

#[test]
fn playback_goes_on_past_the_expiry_and_a_reconnect_is_refused() {
    let gate = Gate::before(MediaServer::echo().address);
    let mut short = grant("abcde-one");
    short.expires = Some(UnixSeconds::new(now() + 3));
    let query = query("abcde-one", &mint(&short));
    let mut viewer = Viewer::open(gate.playback, &query, &[]);
    assert_eq!(viewer.hear(), "hello");
    until("the expiry", || {
        (now() > short.expires.unwrap().get()).then_some(())
    });
    assert_eq!(Viewer::open(gate.playback, &query, &[]).closed().0, 4903);
    viewer.say(r#"{"eventType":"onPlay"}"#);
    assert_eq!(viewer.hear(), r#"echo:{"eventType":"onPlay"}"#);
    // The current token, judged again for a switch, has expired too.
    viewer.say(r#"{"eventType":"onUpdateSource","onUpdateSource":{"rtmp":{"url":"rtmp://localhost/play","stream":"abcde-one"}}}"#);
    assert!(viewer.hear().contains("4903"));
}

#[test]
fn a_token_can_ask_for_a_cut_at_its_expiry() {
    let gate = Gate::before(MediaServer::echo().address);
    let mut short = grant("abcde-one");
    short.expires = Some(UnixSeconds::new(now() + 2));
    short.at_expiry = AtExpiry::Cut;
    let mut viewer = Viewer::open(gate.playback, &query("abcde-one", &mint(&short)), &[]);
    assert_eq!(viewer.hear(), "hello");
    assert_eq!(viewer.closed().0, 4903);
    assert!(now() >= short.expires.unwrap().get());
}
