//! The micro-cache of HLS playlists and segments: a thousand viewers cost the media server what one does. Pure data: it
//! fetches nothing, decides nothing about a viewer, starts no task and reads no clock.
//!
//! The first one that asks for a key is given a [`Filler`] and fetches, on a task that outlives its request; all that ask
//! meanwhile or soon after read along from the first byte ([`Reader`]). The fetch need wait for no slow reader, which is why
//! an entry is kept whole until its last reader is gone; it can be told how far it is ahead of the fastest, and that none is
//! left ([`Writer`](fill::Writer)).
//!
//! It is shared by the worker threads. One lock guards the list of entries, and each entry has two of its own (its head, its
//! body); none is held across an await, and no two of an entry at once.
//!
//! **Memory.** [`CacheSettings::bytes`] bounds all that entries hold, finished ones, those being fetched, and those that left
//! the list while a slow viewer still reads them. Beyond it the least recently used finished entries go; one that is being
//! read would free nothing and is passed over. One that was stale ten seconds ago and is still read is taken from its readers
//! then, so that those who read slowly do not take all of the room. When nothing can go, whoever asks fetches for itself ([`LookUp::Alone`]).
//! What is not shareable is remembered as a hash and a time, so that no query, however long, costs more than that.

pub mod fill;
pub mod key;
pub mod outcome;
pub mod pieces;
pub mod reader;
pub mod rules;

mod account;
mod chunks;
mod entry;
mod shelf;
mod watched;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use fill::Filler;
use key::CacheKey;
use reader::Reader;
use shelf::{Found, Shelf};

/// How much is kept, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct CacheSettings {
    /// The most bytes that all entries hold together. Each counts its body, its key and 1.5 KiB for the rest.
    pub bytes: usize,
    /// The longest body of one entry, in bytes; what is longer is not shared.
    pub object: usize,
    /// The most entries, and the most marks of keys that are not shareable.
    pub keys: usize,
    /// How long a playlist is served after its head arrived, at most.
    pub playlist: Duration,
    /// How long a segment is served after its head arrived, at most.
    pub segment: Duration,
    /// How long a key that turned out not to be shareable is not tried again.
    pub pass: Duration,
}

/// All entries. `H` is a response's head, cloned for every reader, so it should be an [`Arc`] or as cheap; `F` is why a fetch
/// failed.
#[derive(Debug)]
pub struct Cache<H, F> {
    settings: CacheSettings,
    shelf: Mutex<Shelf<H, F>>,
}

/// What to do about a request.
#[derive(Debug)]
pub enum LookUp<H, F> {
    /// Somebody has fetched it, or does so right now: read along.
    Share(Reader<H, F>),
    /// Fetch it, on a task that does not end with the viewer, and read along like all others.
    Fill(Filler<H, F>, Reader<H, F>),
    /// Fetch it for this viewer alone: it was not shareable lately, or there is no room.
    Alone,
}

/// The state of a cache, for metrics. The counts only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Finished entries in the list.
    pub entries: usize,
    /// Entries in the list that are being fetched.
    pub in_flight: usize,
    /// Keys that are remembered as not shareable.
    pub marks: usize,
    /// Bytes that all entries hold, those included that left the list but are still being read.
    pub bytes: usize,
    /// Look-ups that found a finished entry.
    pub hits: u64,
    /// Look-ups that found an entry being fetched.
    pub joined: u64,
    /// Look-ups that started a fetch to share.
    pub fills: u64,
    /// Look-ups of keys that were not shareable lately.
    pub passes: u64,
    /// Look-ups for which there was no room: the cache is too small for what is watched at once.
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
            shelf: Mutex::new(Shelf::new(settings)),
        })
    }

    /// Finds what to do about a request that has been decided already. Of any number of askers for a key that is not there, or
    /// no longer fresh, exactly one is told to fill.
    pub fn look_up(self: &Arc<Self>, key: CacheKey, now: Instant) -> LookUp<H, F> {
        let found = self.shelf().look_up(key, now);
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
        self.shelf().find_whole(key, now).map(Reader::new)
    }

    /// Frees what is no longer fresh, from the least recently used on. Nothing needs it but the memory of an idle cache: call
    /// it every few seconds. An entry that nobody asks for is gone at the first call after it could have been fresh since
    /// its last use.
    pub fn sweep(&self, now: Instant) {
        // The lock is left in between, so that look-ups need not wait for all of it.
        while self.shelf().sweep(now) {}
    }

    /// The state at this moment.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        self.shelf().stats()
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf<H, F>> {
        // Every change of the shelf is complete before anything that could panic.
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
