//! No room: fast, clear, and only for newcomers.

use crate::support::gate::{Gate, Setup, grant, mint};
use crate::support::media_server::MediaServer;
use crate::support::viewer::{Viewer, query};
use crate::support::{playing, until};

#[test]
fn no_room_for_another_session_is_4503_and_for_another_connection_503() {
    let server = MediaServer::echo();
    let tables = "[limits]\nsessions = 1\nconnections = 3";
    let gate = Gate::start(&Setup {
        servers: vec![server.address],
        tables,
        ..Setup::default()
    });
    let _one = playing(&gate, "abcde-one");
    let query = query("abcde-one", &mint(&grant("abcde-one")));
    let mut refused = Viewer::open(gate.playback, &query, &[]);
    assert_eq!(refused.closed().0, 4503);
    let _idle: Vec<_> = (0..2)
        .map(|_| crate::support::viewer::connect(gate.playback))
        .collect();
    until("the limit", || {
        (gate.metric("h5gate_connections") == 3.0).then_some(())
    });
    assert_eq!(Viewer::open(gate.playback, &query, &[]).status(), 503);
    assert!(gate.metric("h5gate_connections_refused_total") >= 1.0);
}
