//! An answer of a session that is under way.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::Instant;

use crate::request::client_address::ClientAddress;

use super::HlsSession;

/// An answer under way.
#[derive(Debug)]
pub struct Answering {
    pub(super) session: Arc<HlsSession>,
    pub(super) address: ClientAddress,
    /// How often the place that it goes to had been left when it was asked for.
    pub(super) times_left: u32,
    /// Nothing of it has gone to the viewer.
    pub(super) waits: bool,
}

impl Answering {
    /// The session that it is of.
    #[must_use]
    pub fn session(&self) -> &HlsSession {
        &self.session
    }

    /// Whether it is to end: the gate has ended the session, or its viewer asks at another place by now.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let times_left = self.session.presence.times_left(self.address);
        self.session.is_over() || times_left != self.times_left
    }

    /// Counts what went to the viewer. That it takes something says that it is still there; that nothing comes back from it
    /// does not say so.
    pub fn count(&mut self, bytes: u64) {
        self.session.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.session.presence.hear(self.address);
        self.begin();
    }

    fn begin(&mut self) {
        if std::mem::take(&mut self.waits) {
            self.session.presence.waited(self.address);
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.begin();
        self.session.state().asked = Instant::now();
        self.session.unfinished.fetch_sub(1, Ordering::Relaxed);
    }
}
