//! What the tests of the running gate share: the real binary on free ports, a media server made of a script, and a
//! viewer that speaks raw bytes.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses its own part"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

pub mod gate;
pub mod hls;
pub mod http_server;
pub mod media_server;
pub mod restart;
pub mod viewer;

use std::time::{Duration, Instant};

use gate::{Gate, grant, mint};
use viewer::{Viewer, query};

/// How long anything may take before a test calls it missing. Far beyond what a loaded machine needs.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `condition` gives something.
pub fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
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
pub fn playing(gate: &Gate, stream: &str) -> Viewer {
    let mut viewer = Viewer::open(gate.playback, &query(stream, &mint(&grant(stream))), &[]);
    assert_eq!(viewer.hear(), "hello");
    viewer
}
