//! A log that cannot be written harms nobody, and its lines are counted.

use crate::support::gate::Gate;
use crate::support::media_server::MediaServer;
use crate::support::{playing, until};

#[test]
fn lines_into_a_closed_pipe_are_counted_and_viewers_play_on() {
    let gate = Gate::before(MediaServer::echo().address);
    let mut viewer = playing(&gate, "abcde-one");
    assert_eq!(gate.metric("h5gate_log_lines_dropped_total"), 0.0);
    gate.close_log();
    until("lines to be lost", || {
        drop(playing(&gate, "abcde-two"));
        (gate.metric("h5gate_log_lines_dropped_total") >= 5.0).then_some(())
    });
    viewer.say(r#"{"eventType":"onPlay"}"#);
    assert_eq!(viewer.hear(), r#"echo:{"eventType":"onPlay"}"#);
}
