//! What the gate knows of live playlists that viewers reload, so that it can tell which news are in reach.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;
use tokio::time::Instant;

use crate::cache::key::CacheKey;
use crate::hls::playlist::{Directives, Reload};

/// The most playlists; they are far fewer than viewers. Each takes some 150 bytes.
const MOST: usize = 10_000;

/// How long what is known of a playlist counts that says no target duration.
const UNSAID: Duration = Duration::from_secs(1);

/// The playlists, the one that was asked about least lately first.
#[derive(Debug)]
pub struct Reloads {
    /// By a keyed digest of what makes a playlist without directives.
    known: Mutex<LruCache<u64, Known>>,
    hasher: RandomState,
}

/// What is known of one.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Of its latest answer.
    pub reload: Reload,
    /// What that answer was asked for with.
    pub latest: Directives,
    until: Instant,
}

/// What a playlist is found by.
#[derive(Clone, Copy, Debug)]
pub struct PlaylistKey(u64);

impl Default for Reloads {
    fn default() -> Self {
        Self {
            known: Mutex::new(LruCache::unbounded()),
            hasher: RandomState::new(),
        }
    }
}

impl Reloads {
    /// What a playlist is found by.
    #[must_use]
    pub fn key(&self, playlist: &CacheKey) -> PlaylistKey {
        PlaylistKey(self.hasher.hash_one(playlist))
    }

    /// What is known of a playlist. It counts for one target duration: for as long it has hardly got farther.
    #[must_use]
    pub fn know(&self, key: PlaylistKey, now: Instant) -> Option<Known> {
        let known = self.known().get(&key.0).copied();
        known.filter(|known| now < known.until)
    }

    /// Notes what a media playlist said of itself that was asked for with `latest`. An answer that was overtaken on its way
    /// says nothing.
    pub fn note(
        &self,
        key: PlaylistKey,
        reload: Reload,
        latest: Directives,
        target: Option<Duration>,
        now: Instant,
    ) {
        let known = Known {
            reload,
            latest,
            until: now + target.unwrap_or(UNSAID),
        };
        let mut all = self.known();
        let newer = |one: &&Known| now < one.until && one.reload.is_ahead_of(&reload);
        if all.peek(&key.0).filter(newer).is_some() {
            return;
        }
        all.put(key.0, known);
        if all.len() > MOST {
            all.pop_lru();
        }
    }

    fn known(&self) -> MutexGuard<'_, LruCache<u64, Known>> {
        // Every change of it is complete before anything that could panic.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
