//! Playback by WebSocket: the media servers, what they are asked for, and how relays behave.

use crate::relay::RelaySettings;
use crate::upstream::Upstream;

/// The WebSocket side of a gate.
#[derive(Debug)]
pub struct WebSocketSide {
    upstream: Upstream,
    path: Option<String>,
    host: Option<String>,
    relay: RelaySettings,
}

impl WebSocketSide {
    /// In front of `upstream`, where the path and the `Host` are the viewer's own unless they are given.
    pub(super) fn new(
        upstream: Upstream,
        path: Option<String>,
        host: Option<String>,
        relay: RelaySettings,
    ) -> Self {
        Self {
            upstream,
            path,
            host,
            relay,
        }
    }

    /// The media servers.
    #[must_use]
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// The path on the media servers for a viewer's.
    #[must_use]
    pub fn path<'a>(&'a self, viewers: &'a str) -> &'a str {
        let configured = self.path.as_deref();
        configured.unwrap_or_else(|| viewers.trim_end_matches('/'))
    }

    /// `Host` for the media servers; `None` is the viewer's own.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// How relays behave.
    #[must_use]
    pub fn relay(&self) -> &RelaySettings {
        &self.relay
    }
}
