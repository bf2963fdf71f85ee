//! SIGTERM: not ready, no more connections, and every viewer is told to come back elsewhere.

use h5gate::token::{AtExpiry, UnixSeconds};
use rustix::process::Signal;
use serde_json::json;

use crate::support::gate::{Gate, Setup, grant, mint};
use crate::support::media_server::MediaServer;
use crate::support::playing;
use crate::support::viewer::{Viewer, get, query};

#[test]
fn a_drain_sends_every_viewer_away_with_4503_and_ends_well() {
    // In no time, too, every viewer is told.
    for drain in ["1s", "0s"] {
        let server = MediaServer::echo();
        let mut gate = Gate::start(&Setup {
            servers: vec![server.address],
            tables: &format!("[timeouts]\ndrain = \"{drain}\""),
            ..Setup::default()
        });
        let mut viewers: Vec<_> = (0..5).map(|_| playing(&gate, "abcde-one")).collect();
        gate.signal(Signal::TERM);
        for viewer in &mut viewers {
            assert_eq!(viewer.closed().0, 4503, "{drain}");
        }
        assert_eq!(gate.ended().code(), Some(0), "{drain}");
    }
}

#[test]
fn a_renewed_token_does_not_undo_a_drain() {
    let server = MediaServer::switching();
    let tables = "[timeouts]\ndrain = \"4s\"";
    let mut gate = Gate::start(&Setup {
        servers: vec![server.address],
        tables,
        ..Setup::default()
    });
    let cut_in = |seconds| {
        let mut cut = grant("abcde-one");
        cut.expires = Some(UnixSeconds::new(crate::support::gate::now() + seconds));
        cut.at_expiry = AtExpiry::Cut;
        mint(&cut)
    };
    let (soon, later) = (cut_in(60), cut_in(120));
    let mut viewers: Vec<_> = (0..2)
        .map(|_| Viewer::open(gate.playback, &query("abcde-one", &soon), &[]))
        .collect();
    viewers
        .iter_mut()
        .for_each(|viewer| assert_eq!(viewer.hear(), "hello"));
    gate.signal(Signal::TERM);
    gate.logged("draining");
    let security =
        json!({"expires": later.expires, "token": later.token, "options": later.options});
    let rtmp = json!({"url": "rtmp://localhost/play", "stream": "abcde-one"});
    let renewal = json!({"eventType": "onUpdateSource", "onUpdateSource": {"rtmp": rtmp, "security": security}});
    for viewer in &mut viewers {
        viewer.say(&renewal.to_string());
    }
    for viewer in &mut viewers {
        assert_eq!(viewer.closed().0, 4503);
    }
    assert_eq!(gate.ended().code(), Some(0));
}

#[test]
fn a_second_signal_stops_at_once() {
    let mut gate = Gate::before(MediaServer::echo().address);
    let _viewer = playing(&gate, "abcde-one");
    let _other = playing(&gate, "abcde-one");
    gate.signal(Signal::TERM);
    gate.logged("draining");
    assert_eq!(get(gate.admin, "/readyz", &[]).status, 503);
    assert_eq!(get(gate.admin, "/healthz", &[]).status, 200);
    gate.signal(Signal::TERM);
    assert_eq!(gate.ended().code(), Some(0));
}
