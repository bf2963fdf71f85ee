//! Entries that left the index complete while they were read.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::after;
use super::entry::{Buffer, Entry};

/// How long a stale entry is kept for its readers where its memory is needed: else slow readers, entry after entry, would use
/// up the memory of all that is shared.
const LINGER: Duration = Duration::from_secs(10);

/// The entries and since when each is stale, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Detached(VecDeque<(Weak<Buffer>, Instant)>);

impl Detached {
    /// One more, which is stale since `since`.
    pub(super) fn push<H, F>(&mut self, entry: &Arc<Entry<H, F>>, since: Instant) {
        self.0.push_back((Arc::downgrade(&entry.buffer), since));
    }

    /// Takes the oldest one from its readers, if it has lingered long enough; whether it has.
    pub(super) fn let_one_go(&mut self, now: Instant) -> bool {
        let over = |one: &mut (_, Instant)| after(one.1, LINGER) <= now;
        let Some((buffer, _)) = self.0.pop_front_if(over) else {
            return false;
        };
        if let Some(buffer) = buffer.upgrade() {
            buffer.let_go();
        }
        true
    }

    /// Forgets those that have no reader left.
    pub(super) fn forget_unread(&mut self) {
        self.0.retain(|(buffer, _)| buffer.strong_count() > 0);
    }
}
