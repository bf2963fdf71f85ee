//! What a relay starts with.

use std::time::Duration;

use tokio::time::Instant;

/// How a relay behaves.
#[derive(Clone, Copy, Debug)]
pub struct RelaySettings {
    /// The longest message that a viewer may send.
    pub client_message: usize,
    /// Whether messages that are not on the list go on as well.
    pub any_message: bool,
    /// The longest silence of the media server, unless the viewer is quiet.
    pub media_idle: Duration,
    /// How often a quiet viewer is pinged.
    pub ping: Duration,
    /// How long a switch waits for the media server's answer.
    pub switch_answer: Duration,
    /// The longest time in which a viewer takes nothing.
    pub write_stall: Duration,
    /// How long the other direction goes on when the viewer has shut down its own.
    pub half_close: Duration,
    /// How long a closing handshake may take.
    pub linger: Duration,
    /// What a frame of the viewer costs it: see [`pace`](crate::pace).
    pub frame_cost: Duration,
    /// What a refused switch costs it beside that.
    pub refusal_cost: Duration,
}

/// What a relay starts with.
#[derive(Debug)]
pub struct Start {
    /// Bytes that the viewer sent right behind its handshake.
    pub viewer_early: Vec<u8>,
    /// Bytes that the media server sent right behind its answer.
    pub server_early: Vec<u8>,
    /// When our 101 left.
    pub opened: Instant,
    /// Whether the media server may be silent.
    pub silence: Silence,
}

/// When a silent media server is no fault (protocol.md 4). Then the viewer is pinged instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// Media flows.
    Never,
    /// The viewer has paused.
    Paused,
    /// The viewer asked for metadata alone.
    Always,
}
