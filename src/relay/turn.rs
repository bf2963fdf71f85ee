//! How much of a viewer's input is looked at before the worker's other tasks have their turn.

use std::pin::pin;
use std::task::Context;

/// Frames; a refused switch, the dearest of them, takes some ten microseconds.
const FRAMES: usize = 32;
/// Bytes, of which little is parsed in a frame that is none of a player's.
const BYTES: usize = 16 * 1024;

/// What is left of one turn.
#[derive(Debug)]
pub(super) struct Turn {
    frames: usize,
    bytes: usize,
}

impl Default for Turn {
    fn default() -> Self {
        Self {
            frames: FRAMES,
            bytes: BYTES,
        }
    }
}

impl Turn {
    /// Takes what one frame needs, the bytes that were looked at for it.
    pub(super) fn spend(&mut self, bytes: usize) {
        self.frames = self.frames.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    pub(super) fn is_over(&self) -> bool {
        self.frames == 0 || self.bytes == 0
    }

    /// How many bytes may be read at once.
    pub(super) fn room(&self) -> usize {
        self.bytes
    }

    /// Has the task polled again behind all others that are ready, and behind a look at the sockets. Waking it from here
    /// would put it before that look.
    pub(super) fn end(cx: &mut Context<'_>) {
        let _ = pin!(tokio::task::yield_now()).poll(cx);
    }
}
