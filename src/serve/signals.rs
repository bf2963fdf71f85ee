//! The signals that mean something.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

use crate::interrupt::{Interrupt, Meaningless};

/// The signals that mean something.
pub(super) struct Signals {
    pub(super) end: Interrupt,
    hang_up: Signal,
    /// Kept for the hand-over of sockets, which does not exist yet: by default it would end the process.
    user_2: Signal,
    meaningless: Meaningless,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            end: Interrupt::new()?,
            hang_up: signal(SignalKind::hangup())?,
            user_2: signal(SignalKind::user_defined2())?,
            meaningless: Meaningless::new()?,
        })
    }

    /// Asks for a reload at each SIGHUP until the end.
    pub(super) async fn run_until_end(&mut self, reloads: &Notify) {
        loop {
            tokio::select! {
                () = self.end.recv() => return,
                _ = self.user_2.recv() => tracing::warn!("SIGUSR2 does nothing in this version"),
                signal = self.meaningless.recv() => tracing::info!(signal, "a signal that means nothing"),
                _ = self.hang_up.recv() => reloads.notify_one(),
            }
        }
    }
}
