//! How many connections there may be at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts connections up to a limit.
#[derive(Debug)]
pub struct ConnectionLimit {
    open: AtomicUsize,
    refused: AtomicUsize,
    most: usize,
}

/// One connection's place, given back on drop.
#[derive(Debug)]
pub struct ConnectionPermit(Arc<ConnectionLimit>);

impl ConnectionLimit {
    /// At most `most` at once.
    #[must_use]
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            open: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            most,
        })
    }

    /// A place, or none while all are taken.
    pub fn take(self: &Arc<Self>) -> Option<ConnectionPermit> {
        let room = |open| {
            if open < self.most {
                Some(open + 1)
            } else {
                None
            }
        };
        if self
            .open
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, room)
            .is_err()
        {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(ConnectionPermit(Arc::clone(self)))
    }

    /// Connections now.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Connections turned away since the start.
    #[must_use]
    pub fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
