//! What the tests of the running gate share: the real binary on free ports, a media server made of a script, and a
//! viewer that speaks raw bytes.

pub(crate) mod clock;
pub(crate) mod demo;
pub(crate) mod edge;
pub(crate) mod fetch;
pub(crate) mod gate;
pub(crate) mod hls;
pub(crate) mod http_server;
pub(crate) mod media_server;
pub(crate) mod memory;
pub(crate) mod permit;
pub(crate) mod relay;
pub(crate) mod restart;
pub(crate) mod token_api_asking;
pub(crate) mod token_api_service;
pub(crate) mod viewer;

use std::time::{Duration, Instant};

use gate::{Gate, grant, mint};
use viewer::{Viewer, query};

/// How long anything may take before a test calls it missing. Far beyond what a loaded machine needs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `condition` gives something.
pub(crate) fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::yield_now();
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// A viewer with a token for this stream that has been greeted by [`media_server::MediaServer::echo`].
pub(crate) fn playing(gate: &Gate, stream: &str) -> Viewer {
    let mut viewer = Viewer::open(gate.playback, &query(stream, &mint(&grant(stream))), &[]);
    assert_eq!(viewer.hear(), "hello");
    viewer
}
