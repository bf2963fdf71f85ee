//! The byte account: what all entries hold, to the byte, from an entry's beginning until its last reader is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The sum of all charges. It is read and added to under the index's lock, so that the same memory is not promised to two
/// entries; giving memory back needs no lock.
#[derive(Debug, Default)]
pub(super) struct Account {
    used: AtomicUsize,
}

/// What one entry holds; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Charge {
    account: Arc<Account>,
    bytes: AtomicUsize,
}

impl Account {
    /// The sum.
    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

impl Charge {
    /// Charges `bytes`.
    pub(super) fn new(account: &Arc<Account>, bytes: usize) -> Self {
        let charge = Self {
            account: Arc::clone(account),
            bytes: AtomicUsize::new(0),
        };
        charge.grow(bytes);
        charge
    }

    /// Charges so much more.
    pub(super) fn grow(&self, more: usize) {
        self.account.used.fetch_add(more, Ordering::Relaxed);
        self.bytes.fetch_add(more, Ordering::Relaxed);
    }

    /// Gives back all but so much.
    pub(super) fn shrink_to(&self, bytes: usize) {
        let less = self.bytes().saturating_sub(bytes);
        self.bytes.fetch_sub(less, Ordering::Relaxed);
        self.account.used.fetch_sub(less, Ordering::Relaxed);
    }

    /// What is charged.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}
