//! Marks on keys with responses that cannot be shared.

use std::hash::{BuildHasher as _, RandomState};

use lru::LruCache;
use tokio::time::Instant;

use super::key::CacheKey;

/// The keys, as their hashes, and until when each is marked; the oldest first. A second key with the same hash is not shared
/// for a while either. The hash is seeded, so that such keys cannot be made.
#[derive(Debug)]
pub(super) struct Unshareable {
    until: LruCache<u64, Instant, RandomState>,
    hasher: RandomState,
}

impl Default for Unshareable {
    fn default() -> Self {
        Self {
            until: LruCache::unbounded_with_hasher(RandomState::new()),
            hasher: RandomState::new(),
        }
    }
}

impl Unshareable {
    /// Marks a key. Beyond `limit` marks the oldest one is dropped.
    pub(super) fn put(&mut self, key: &CacheKey, until: Instant, limit: usize) {
        self.until.put(self.hasher.hash_one(key), until);
        if self.until.len() > limit {
            self.until.pop_lru();
        }
    }

    /// Whether a key is marked now.
    pub(super) fn hold(&mut self, key: &CacheKey, now: Instant) -> bool {
        let hash = self.hasher.hash_one(key);
        let Some(until) = self.until.peek(&hash) else {
            return false;
        };
        let lasts = now < *until;
        if !lasts {
            self.until.pop(&hash);
        }
        lasts
    }

    /// Drops the oldest mark if its time is over; whether it was.
    pub(super) fn drop_one_over(&mut self, now: Instant) -> bool {
        let over = self
            .until
            .peek_lru()
            .is_some_and(|(_, until)| *until <= now);
        if over {
            self.until.pop_lru();
        }
        over
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.until.len()
    }
}
