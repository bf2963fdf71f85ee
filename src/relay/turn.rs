//! How much of a viewer's input is parsed before the worker's other tasks have their turn.

use std::pin::pin;
use std::task::Context;

/// Frames in one turn; a refused switch, the most expensive, takes some ten microseconds.
const FRAMES: usize = 32;
/// Bytes in one turn, which bounds long frames.
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
    /// Counts one frame and the bytes that were parsed for it.
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

    /// Has the task polled again after all other ready tasks and after the runtime has polled the sockets; a plain wake would
    /// put it before that.
    pub(super) fn end(cx: &mut Context<'_>) {
        let _ = pin!(tokio::task::yield_now()).poll(cx);
    }
}
