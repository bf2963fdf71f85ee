//! All entries, under one lock: what is finished, what is being fetched, what is not shareable.

use std::collections::HashMap;
use std::hash::RandomState;
use std::sync::Arc;

use lru::LruCache;
use tokio::time::Instant;

use super::account::{Account, Charge};
use super::detached::Detached;
use super::entry::Entry;
use super::error::Broken;
use super::key::CacheKey;
use super::unshareable::Unshareable;
use super::{CacheSettings, CacheStats, after};

/// A body of unknown length is charged in such steps, so that the lock is seldom taken, and a fetch that was let in rarely runs
/// out of memory later.
pub(super) const STEP_BYTES: usize = 256 * 1024;

/// How many entries that are being read are passed over in search of one that can be dropped.
const PASSED_OVER: usize = 32;

/// How many stale entries, and marks, one turn of a sweep frees.
const SWEEP_TURN: usize = 64;

#[derive(Debug)]
pub(super) struct Index<H, F> {
    settings: CacheSettings,
    account: Arc<Account>,
    finished: LruCache<CacheKey, Finished<H, F>, RandomState>,
    /// What the finished entries are charged.
    finished_bytes: usize,
    in_flight: HashMap<CacheKey, InFlight<H, F>>,
    /// What left the index complete while it was read.
    detached: Detached,
    /// Keys that are not shareable.
    marks: Unshareable,
    /// The counts alone.
    stats: CacheStats,
}

#[derive(Debug)]
struct Finished<H, F> {
    entry: Arc<Entry<H, F>>,
    stale_at: Instant,
    charged: usize,
}

#[derive(Debug)]
struct InFlight<H, F> {
    entry: Arc<Entry<H, F>>,
    /// Known with the head.
    stale_at: Option<Instant>,
}

/// What a look-up found.
#[derive(Debug)]
pub(super) enum Found<H, F> {
    Shared(Arc<Entry<H, F>>),
    Started(Arc<Entry<H, F>>),
    Nothing,
}

impl<H, F> Index<H, F> {
    pub(super) fn new(settings: CacheSettings) -> Self {
        Self {
            settings,
            account: Arc::default(),
            finished: LruCache::unbounded_with_hasher(RandomState::new()),
            finished_bytes: 0,
            in_flight: HashMap::new(),
            detached: Detached::default(),
            marks: Unshareable::default(),
            stats: CacheStats::default(),
        }
    }

    pub(super) fn look_up(&mut self, key: CacheKey, now: Instant) -> Found<H, F> {
        if let Some(finished) = self.finished.get(&key) {
            if now < finished.stale_at {
                self.stats.hits += 1;
                return Found::Shared(Arc::clone(&finished.entry));
            }
            if let Some(finished) = self.finished.pop(&key) {
                self.leave(&finished, now);
            }
        }
        if let Some(in_flight) = self.in_flight.get(&key) {
            if in_flight.stale_at.is_none_or(|stale_at| now < stale_at) {
                self.stats.joined += 1;
                return Found::Shared(Arc::clone(&in_flight.entry));
            }
            // Its present readers read on, but it is not kept.
            self.in_flight.remove(&key);
        }
        if self.marks.hold(&key, now) {
            self.stats.passes += 1;
            return Found::Nothing;
        }
        let Some(entry) = self.start(key, now) else {
            self.stats.crowded += 1;
            return Found::Nothing;
        };
        self.stats.fills += 1;
        Found::Started(entry)
    }

    pub(super) fn find_whole(&mut self, key: &CacheKey, now: Instant) -> Option<Arc<Entry<H, F>>> {
        let finished = self.finished.get(key)?;
        if finished.stale_at <= now {
            return None;
        }
        self.stats.hits += 1;
        Some(Arc::clone(&finished.entry))
    }

    fn start(&mut self, key: CacheKey, now: Instant) -> Option<Arc<Entry<H, F>>> {
        let cost = Entry::<H, F>::cost(&key);
        let full = self.finished.len() + self.in_flight.len() >= self.settings.keys;
        // With memory for the entry alone its readers would wait for a refusal.
        let first_step = STEP_BYTES.min(self.settings.object);
        if full && !self.evict_one() || !self.make_room(cost.saturating_add(first_step), now) {
            return None;
        }
        let charge = Charge::new(&self.account, cost);
        let entry = Arc::new(Entry::new(key.clone(), charge));
        let in_flight = InFlight {
            entry: Arc::clone(&entry),
            stale_at: None,
        };
        self.in_flight.insert(key, in_flight);
        Some(entry)
    }

    /// Charges an entry for `more` bytes.
    pub(super) fn grow(
        &mut self,
        entry: &Entry<H, F>,
        more: usize,
        now: Instant,
    ) -> Result<(), Broken> {
        if !self.make_room(more, now) {
            return Err(Broken::NoRoom);
        }
        entry.buffer.charge.grow(more);
        Ok(())
    }

    /// The head is there.
    pub(super) fn opened(&mut self, entry: &Arc<Entry<H, F>>, stale_at: Instant) {
        if let Some(in_flight) = self.find(entry) {
            in_flight.stale_at = Some(stale_at);
        }
    }

    /// All of it is there: keeps it unless a newer one is on its way.
    pub(super) fn finish(&mut self, entry: &Arc<Entry<H, F>>, stale_at: Instant) {
        if self.find(entry).is_none() {
            // Its readers read on, no longer than they could read an entry of the index.
            self.detached.push(entry, stale_at);
            return;
        }
        self.in_flight.remove(&entry.key);
        let finished = Finished {
            entry: Arc::clone(entry),
            stale_at,
            charged: entry.buffer.charge.bytes(),
        };
        self.finished_bytes += finished.charged;
        self.finished.put(entry.key.clone(), finished);
    }

    /// Forgets an entry that does not get finished.
    pub(super) fn abandon(&mut self, entry: &Arc<Entry<H, F>>) {
        if self.find(entry).is_some() {
            self.in_flight.remove(&entry.key);
        }
    }

    /// Remembers a key as not shareable.
    pub(super) fn mark(&mut self, key: &CacheKey, now: Instant) {
        let until = after(now, self.settings.pass);
        self.marks.put(key, until, self.settings.keys);
    }

    /// The entry in the index, unless another has taken its place.
    fn find(&mut self, entry: &Arc<Entry<H, F>>) -> Option<&mut InFlight<H, F>> {
        self.in_flight
            .get_mut(&entry.key)
            .filter(|in_flight| Arc::ptr_eq(&in_flight.entry, entry))
    }

    /// Whether an entry that is being fetched has a reader.
    pub(super) fn is_read(&mut self, entry: &Arc<Entry<H, F>>) -> bool {
        // The fetching task holds it, too, and so may the index.
        let others = if self.find(entry).is_some() { 2 } else { 1 };
        Arc::strong_count(entry) > others || Arc::strong_count(&entry.buffer) > 1
    }

    /// Whether `more` could be charged if all finished entries were dropped. An entry that is being fetched cannot be.
    fn could_hold(&self, more: usize) -> bool {
        let stays = self.account.used().saturating_sub(self.finished_bytes);
        stays.saturating_add(more) <= self.settings.bytes
    }

    /// Evicts until `more` can be charged. When that cannot be reached, nothing is evicted.
    fn make_room(&mut self, more: usize, now: Instant) -> bool {
        while !self.could_hold(more) {
            if !self.detached.let_one_go(now) {
                return false;
            }
        }
        while self.account.used().saturating_add(more) > self.settings.bytes {
            if !self.evict_one() {
                return false;
            }
        }
        true
    }

    /// A stale entry leaves the index; it may still have readers.
    fn leave(&mut self, finished: &Finished<H, F>, now: Instant) {
        self.finished_bytes -= finished.charged;
        if finished.entry.is_in_use() {
            self.detached.push(&finished.entry, now);
        }
    }

    /// Drops the least recently used finished entry that has no reader. Entries that are passed over count as just used, so that
    /// the next search does not meet them again.
    fn evict_one(&mut self) -> bool {
        for _ in 0..PASSED_OVER {
            let Some((key, finished)) = self.finished.pop_lru() else {
                return false;
            };
            // It gets no reader meanwhile: a look-up needs the index.
            if !finished.entry.is_in_use() {
                self.finished_bytes -= finished.charged;
                self.stats.evicted += 1;
                return true;
            }
            self.finished.put(key, finished);
        }
        false
    }

    /// One turn: whether there may be more to free. An entry is fresh for at most its lifetime after its last use, so that a
    /// stale one does not stay behind a fresh one for long.
    pub(super) fn sweep(&mut self, now: Instant) -> bool {
        self.detached.forget_unread();
        for _ in 0..SWEEP_TURN {
            let stale = self
                .finished
                .peek_lru()
                .is_some_and(|(_, finished)| finished.stale_at <= now);
            if stale && let Some((_, finished)) = self.finished.pop_lru() {
                self.leave(&finished, now);
            }
            let over = self.marks.drop_one_over(now);
            if !stale && !over {
                return false;
            }
        }
        true
    }

    /// Whether the sums that are kept beside the index are the index's.
    #[cfg(test)]
    pub(super) fn is_consistent(&self) -> bool {
        let charged = |finished: &Finished<H, F>| {
            assert_eq!(finished.charged, finished.entry.buffer.charge.bytes());
            finished.charged
        };
        let sum: usize = self.finished.iter().map(|(_, one)| charged(one)).sum();
        sum == self.finished_bytes
            && self
                .in_flight
                .keys()
                .all(|key| !self.finished.contains(key))
    }

    pub(super) fn stats(&self) -> CacheStats {
        CacheStats {
            entries: self.finished.len(),
            in_flight: self.in_flight.len(),
            marks: self.marks.len(),
            bytes: self.account.used(),
            ..self.stats
        }
    }
}
