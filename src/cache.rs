//! A cache for a few seconds: a thousand equal requests cost the upstream server what one does. Pure data: it fetches
//! nothing, knows no protocol, starts no task and reads no clock.
//!
//! The first request for a key gets a [`Filler`] and has to fetch, in a task that outlives the request. Every request for
//! the same key that comes during the fetch, or soon after it, gets a [`Reader`] and reads the same bytes from the first one
//! on. The fetch does not have to wait for slow readers, since an entry is kept whole until its last reader is dropped. The
//! fetching task can ask how far it is ahead of the fastest reader, and whether any reader is left
//! ([`Writer`](fill::Writer)).
//!
//! It is shared by the worker threads. One lock guards the index of entries, and each entry has two of its own (its head, its
//! body); none is held across an await, and no two of an entry at once.
//!
//! **Memory.** [`CacheSettings::bytes`] bounds what all entries hold together: finished entries, entries that are being
//! fetched, and entries that left the index while a slow reader still reads them. When it is reached, the least recently used
//! finished entries are dropped; an entry that is being read is passed over, since dropping it frees nothing. An entry that
//! has been stale for ten seconds and is still read is then taken from its readers, so that slow readers cannot use up the
//! memory. When nothing can be dropped, the request has to be fetched without sharing ([`LookUp::Alone`]). A key whose
//! response cannot be shared is remembered as a hash and a time, so that a long key costs no more memory than a short one.

pub mod error;
pub mod fill;
pub mod key;
pub mod pieces;
pub mod reader;

mod account;
mod chunks;
mod entry;
mod index;
mod detached;
mod unshareable;
mod watch;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use fill::Filler;
use index::{Found, Index};
use key::CacheKey;
use reader::Reader;

/// How much is kept, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct CacheSettings {
    /// The most bytes that all entries hold together. Each counts its body, its key and 1.5 KiB for the rest.
    pub bytes: usize,
    /// The longest body of one entry, in bytes; what is longer is not shared.
    pub object: usize,
    /// The most entries, and the most marks of keys that are not shareable.
    pub keys: usize,

    /// How long a key that turned out not to be shareable is not tried again.
    pub pass: Duration,
}

/// All entries. `H` is a response's head, cloned for every reader, so it should be an [`Arc`] or as cheap; `F` is why a fetch
/// failed.
#[derive(Debug)]
pub struct Cache<H, F> {
    settings: CacheSettings,
    index: Mutex<Index<H, F>>,
}

/// What to do about a request.
#[derive(Debug)]
pub enum LookUp<H, F> {
    /// Another request has fetched it, or is fetching it now: read the same bytes.
    Share(Reader<H, F>),
    /// Fetch it, in a task that does not end with the request, and read the same bytes as all others.
    Fill(Filler<H, F>, Reader<H, F>),
    /// Fetch it for this request alone: it was not shareable lately, or there is no memory.
    Alone,
}

/// The state of a cache, for metrics. The counts only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Finished entries in the index.
    pub entries: usize,
    /// Entries in the index that are being fetched.
    pub in_flight: usize,
    /// Keys that are remembered as not shareable.
    pub marks: usize,
    /// Bytes that all entries hold, those included that left the index but are still being read.
    pub bytes: usize,
    /// Look-ups that found a finished entry.
    pub hits: u64,
    /// Look-ups that found an entry being fetched.
    pub joined: u64,
    /// Look-ups that started a fetch to share.
    pub fills: u64,
    /// Look-ups of keys that were not shareable lately.
    pub passes: u64,
    /// Look-ups for which there was no memory: the cache is too small for what is read at once.
    pub crowded: u64,
    /// Entries that left for others while they were fresh or not yet known to be stale.
    pub evicted: u64,
}

impl<H, F> Cache<H, F> {
    /// An empty cache. It allocates as it fills.
    #[must_use]
    pub fn new(settings: CacheSettings) -> Arc<Self> {
        Arc::new(Self {
            settings,
            index: Mutex::new(Index::new(settings)),
        })
    }

    /// Finds what to do about a request. Of any number of requests for a key that is not there, or no longer fresh, exactly one
    /// is told to fill.
    pub fn look_up(self: &Arc<Self>, key: CacheKey, now: Instant) -> LookUp<H, F> {
        let found = self.index().look_up(key, now);
        match found {
            Found::Shared(entry) => LookUp::Share(Reader::new(entry)),
            Found::Started(entry) => LookUp::Fill(
                Filler::new(Arc::clone(self), Arc::clone(&entry)),
                Reader::new(entry),
            ),
            Found::Nothing => LookUp::Alone,
        }
    }

    /// What is there whole and fresh. Looking for it starts nothing.
    #[must_use]
    pub fn find_whole(&self, key: &CacheKey, now: Instant) -> Option<Reader<H, F>> {
        self.index().find_whole(key, now).map(Reader::new)
    }

    /// Drops stale entries, the least recently used first. To be called every few seconds; only the memory of an idle cache
    /// depends on it. An entry without look-ups is dropped by the first call after its last use plus its lifetime.
    pub fn sweep(&self, now: Instant) {
        // The lock is released after each turn, so that look-ups do not wait for the whole sweep.
        while self.index().sweep(now) {}
    }

    /// The state at this moment.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        self.index().stats()
    }

    fn index(&self) -> MutexGuard<'_, Index<H, F>> {
        // Every change of the index is complete before anything that could panic.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `duration` after `now`; `now` itself where the clock cannot represent that, so that nothing is shared by mistake.
fn after(now: Instant, duration: Duration) -> Instant {
    now.checked_add(duration).unwrap_or(now)
}

#[cfg(test)]
#[path = "cache/cache_tests.rs"]
mod tests;
#[cfg(test)]
#[path = "cache/bounds_tests.rs"]
mod bounds_tests;
#[cfg(test)]
#[path = "cache/reader_tests.rs"]
mod reader_tests;
#[cfg(test)]
#[path = "cache/threads_tests.rs"]
mod threads_tests;
