//! ByteBudget that has a limit of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// So many bytes, of which parts are reserved.
#[derive(Debug)]
pub struct ByteBudget {
    used: AtomicUsize,
    most: usize,
}

/// A part of it, given back on drop.
#[derive(Debug)]
pub struct Reservation {
    budget: Arc<ByteBudget>,
    bytes: usize,
}

impl ByteBudget {
    /// So many bytes.
    #[must_use]
    pub fn new(most: usize) -> Arc<Self> {
        let used = AtomicUsize::new(0);
        Arc::new(Self { used, most })
    }

    /// A part of it; `None` when there is not as much left. The first one is always given, however large it is.
    pub fn reserve(self: &Arc<Self>, bytes: usize) -> Option<Reservation> {
        let mut held = Reservation {
            budget: Arc::clone(self),
            bytes: 0,
        };
        held.resize(bytes).then_some(held)
    }

    /// How many bytes are reserved.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

impl Reservation {
    /// How many they are.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Reserves so much instead; whether there was as much left. What is less is always there.
    pub fn resize(&mut self, bytes: usize) -> bool {
        let Self {
            budget,
            bytes: held,
        } = self;
        let resized = |used: usize| {
            let others = used.saturating_sub(*held);
            let fits = bytes <= *held || others == 0 || others + bytes <= budget.most;
            fits.then_some(others + bytes)
        };
        let relaxed = Ordering::Relaxed;
        let fits = budget.used.fetch_update(relaxed, relaxed, resized).is_ok();
        if fits {
            *held = bytes;
        }
        fits
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_held_than_there_is_but_for_a_first_one() {
        let budget = ByteBudget::new(10);
        let huge = budget.reserve(11).unwrap();
        assert!(budget.reserve(1).is_none());
        drop(huge);
        let mut one = budget.reserve(6).unwrap();
        assert!(budget.reserve(5).is_none());
        let other = budget.reserve(4).unwrap();
        assert!(!one.resize(7) && one.resize(1) && one.resize(6));
        drop(other);
        assert!(one.resize(10));
        assert_eq!(budget.used(), 10);
        drop(one);
        assert_eq!(budget.used(), 0);
    }
}
