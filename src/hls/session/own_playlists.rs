//! The pace at which a session loads playlists that are its own.

use std::time::Duration;

use tokio::time::Instant;

/// For how many seconds a session may load playlists of its own at once.
const OWN_AT_ONCE: Duration = Duration::from_secs(4);

/// What any of them counts at least, in bytes: each is a request to a media server.
const OWN_LEAST: usize = 4 << 10;

/// A playlist of its own that a session loads.
#[derive(Clone, Copy, Debug)]
pub struct OwnPlaylist {
    charged: Duration,
    pace: usize,
}

/// What a session has loaded of playlists of its own.
#[derive(Debug)]
pub(super) struct Own {
    /// When all of it is paid for.
    paid: Instant,
    /// How long the last one was: the next one is taken to be as long until it is there.
    last: Option<usize>,
}

impl Own {
    /// Of a session that begins.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            paid: now,
            last: None,
        }
    }

    /// As [`begin_own`](super::HlsSession::begin_own) says.
    pub(super) fn begin(
        &mut self,
        pace: usize,
        first: usize,
        most: Duration,
        now: Instant,
    ) -> Option<(Duration, OwnPlaylist)> {
        let wait = self.paid.saturating_duration_since(now);
        let wait = wait.saturating_sub(OWN_AT_ONCE);
        if wait > most {
            return None;
        }
        let charged = time_of(self.last.unwrap_or(first), pace);
        self.paid = self.paid.max(now) + charged;
        Some((wait, OwnPlaylist { charged, pace }))
    }

    /// As [`end_own`](super::HlsSession::end_own) says.
    pub(super) fn end(&mut self, playlist: OwnPlaylist, bytes: usize) {
        let OwnPlaylist { charged, pace } = playlist;
        let bytes = bytes.max(OWN_LEAST);
        let paid = (self.paid + time_of(bytes, pace)).checked_sub(charged);
        self.paid = paid.unwrap_or(self.paid);
        self.last = Some(bytes);
    }
}

/// How long so many bytes take at a pace of so many in a second.
fn time_of(bytes: usize, pace: usize) -> Duration {
    let nanos = (bytes as u64).saturating_mul(1_000_000_000);
    Duration::from_nanos(nanos / (pace.max(1) as u64))
}
