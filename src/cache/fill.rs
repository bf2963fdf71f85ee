//! The fetching task's side. Only [`Writer::read_on`] waits for readers.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::entry::{Entry, Phase};
use super::error::{Broken, Unshared};
use super::index::STEP_BYTES;
use super::{Cache, after};

/// A body that outgrows [`object`](super::CacheSettings::object) while it is read may take this part of all memory at most.
const OUTGROWN_SHARE: usize = 4;

/// The duty to fetch for all waiting readers. When it is dropped unused, they are told that the fetch was interrupted, and the
/// next look-up starts a new fetch.
#[derive(Debug)]
#[must_use = "all readers of the key wait for it"]
pub struct Filler<H, F> {
    flight: Option<Flight<H, F>>,
}

/// The body on its way in. Dropped before [`finish`](Writer::finish), it breaks the readers' bodies after what they have, and
/// nothing stays.
#[derive(Debug)]
#[must_use = "all readers of the key wait for it"]
pub struct Writer<H, F> {
    /// `None` when the fetch has ended, well or not.
    flight: Option<Flight<H, F>>,
    declared: Option<usize>,
    /// Bytes of the body so far.
    have: usize,
    /// Bytes of the body that are charged.
    room: usize,
    stale_at: Instant,
}

#[derive(Debug)]
struct Flight<H, F> {
    cache: Arc<Cache<H, F>>,
    entry: Arc<Entry<H, F>>,
}

impl<H, F> Flight<H, F> {
    /// Takes it out of the index first, so that a look-up from now on starts a new fetch; then the readers are told.
    fn fail(self, outcome: Unshared<F>, broken: Broken) {
        self.cache.index().abandon(&self.entry);
        self.entry.end(outcome, broken);
    }

    /// The same, and the key is not shared again for [`pass`](super::CacheSettings::pass).
    fn refuse(self, broken: Broken, now: Instant) {
        {
            let mut index = self.cache.index();
            index.abandon(&self.entry);
            index.mark(&self.entry.key, now);
        }
        self.entry.end(Unshared::NotShared, broken);
    }
}

impl<H, F> Filler<H, F> {
    pub(super) fn new(cache: Arc<Cache<H, F>>, entry: Arc<Entry<H, F>>) -> Self {
        Self {
            flight: Some(Flight { cache, entry }),
        }
    }

    /// Whether a reader waits for it.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        // The index has it, and this filler.
        let own = 2;
        let flight = self.flight.as_ref();
        flight.is_some_and(|flight| Arc::strong_count(&flight.entry) > own)
    }

    /// The head is there, and the response may be shared. All waiting readers get it. `length` is the body's in bytes, where the
    /// head declares one. Look-ups find the entry from `now` on for `lifetime`.
    ///
    /// # Errors
    /// [`Broken::TooLarge`] for a declared length above [`object`](super::CacheSettings::object): as
    /// [`refuse`](Self::refuse). [`Broken::NoRoom`] when entries that are fetched or read take all memory: the waiting readers
    /// are told to fetch for themselves, and a later look-up of the key may share again.
    pub fn open(
        mut self,
        head: H,
        length: Option<u64>,
        lifetime: Duration,
        now: Instant,
    ) -> Result<Writer<H, F>, Broken> {
        let Some(flight) = self.flight.take() else {
            return Err(Broken::Interrupted);
        };
        let settings = flight.cache.settings;
        // A length that no memory holds is too large whatever the setting.
        let declared = length.map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        if declared.is_some_and(|length| length > settings.object) {
            flight.refuse(Broken::TooLarge, now);
            return Err(Broken::TooLarge);
        }
        let room = declared.unwrap_or(STEP_BYTES.min(settings.object));
        let stale_at = after(now, lifetime);
        let grown = {
            let mut index = flight.cache.index();
            let grown = index.grow(&flight.entry, room, now);
            if grown.is_ok() {
                index.opened(&flight.entry, stale_at);
            }
            grown
        };
        if let Err(broken) = grown {
            flight.fail(Unshared::NotShared, broken);
            return Err(broken);
        }
        flight.entry.buffer.declare(declared);
        flight
            .entry
            .phase
            .change(|phase| *phase = Phase::Open(head));
        Ok(Writer {
            flight: Some(flight),
            declared,
            have: 0,
            room,
            stale_at,
        })
    }

    /// The response cannot be shared: all waiting readers are told to fetch for themselves, and so is every look-up within
    /// [`pass`](super::CacheSettings::pass) from `now`. A response that may be shareable in a moment, such as a 404 for what is
    /// about to appear, is better a [`failure`](Self::fail).
    pub fn refuse(mut self, now: Instant) {
        if let Some(flight) = self.flight.take() {
            flight.refuse(Broken::Interrupted, now);
        }
    }

    /// The fetch failed: all waiting readers get `failure`, and nothing is remembered.
    pub fn fail(mut self, failure: F) {
        if let Some(flight) = self.flight.take() {
            flight.fail(Unshared::Failed(failure), Broken::Interrupted);
        }
    }
}

impl<H, F> Drop for Filler<H, F> {
    fn drop(&mut self) {
        if let Some(flight) = self.flight.take() {
            flight.fail(Unshared::Interrupted, Broken::Interrupted);
        }
    }
}

impl<H, F> Writer<H, F> {
    /// Appends to the body; readers have it at once. It is copied, so the caller's buffer is free.
    ///
    /// A body of undeclared length may turn out to be longer than [`object`](super::CacheSettings::object). Its present readers
    /// read on, up to a quarter of [`bytes`](super::CacheSettings::bytes); it gets no further readers, nothing of it is kept,
    /// and its key is not shared again for [`pass`](super::CacheSettings::pass) from `now`.
    ///
    /// # Errors
    /// After an error the fetch has ended: readers get what was there and then the same error, nothing is kept, and every
    /// further call is an error. [`Broken::NoRoom`] when a body of undeclared length grows and no memory can be freed for it;
    /// then the key is not shared for as long, so that readers that try again fetch for themselves. [`Broken::TooLarge`] for a
    /// body above the quarter, or above `object` without a reader. [`Broken::WrongLength`] above the declared length.
    pub fn push(&mut self, bytes: &[u8], now: Instant) -> Result<(), Broken> {
        let Some(flight) = &self.flight else {
            return Err(Broken::Interrupted);
        };
        if bytes.is_empty() {
            return Ok(());
        }
        let have = self.have.saturating_add(bytes.len());
        match make_room(flight, have, self.declared, self.room, now) {
            Ok(room) => {
                self.room = room;
                self.have = have;
                flight.entry.buffer.push(bytes);
                Ok(())
            }
            Err(broken) => {
                if let Some(flight) = self.flight.take() {
                    if broken == Broken::WrongLength {
                        flight.fail(Unshared::Interrupted, broken);
                    } else {
                        flight.refuse(broken, now);
                    }
                }
                Err(broken)
            }
        }
    }

    /// Whether it has no reader any more. Look-ups do not find it then, and the rest of it need not be fetched.
    #[must_use]
    pub fn is_in_vain(&self) -> bool {
        let Some(flight) = &self.flight else {
            return true;
        };
        // The counts are read without the lock first: mostly there is a reader.
        if flight.entry.seems_read() {
            return false;
        }
        let mut index = flight.cache.index();
        let read = index.is_read(&flight.entry);
        if !read {
            index.abandon(&flight.entry);
        }
        !read
    }

    /// Whether it is more than `most` bytes ahead of the fastest reader.
    #[must_use]
    pub fn is_ahead_by(&self, most: usize) -> bool {
        let flight = self.flight.as_ref();
        flight.is_some_and(|flight| self.have.saturating_sub(flight.entry.buffer.read()) > most)
    }

    /// Resolves when a reader has read more since this was asked last. Cancel safe.
    pub async fn read_on(&self) {
        if let Some(flight) = &self.flight {
            flight.entry.buffer.read_on().await;
        }
    }

    /// The body is complete: readers' bodies end cleanly, and it is served to others while it is fresh.
    ///
    /// # Errors
    /// [`Broken::WrongLength`] when it is not as long as it was declared, which breaks the readers' bodies instead;
    /// [`Broken::Interrupted`] when an earlier call has failed.
    pub fn finish(mut self) -> Result<(), Broken> {
        let Some(flight) = self.flight.take() else {
            return Err(Broken::Interrupted);
        };
        if self.declared.is_some_and(|declared| declared != self.have) {
            flight.fail(Unshared::Interrupted, Broken::WrongLength);
            return Err(Broken::WrongLength);
        }
        // Complete before it is found as such.
        flight.entry.buffer.end(Ok(()));
        flight.entry.settle();
        flight.cache.index().finish(&flight.entry, self.stale_at);
        Ok(())
    }
}

impl<H, F> Drop for Writer<H, F> {
    fn drop(&mut self) {
        if let Some(flight) = self.flight.take() {
            flight.fail(Unshared::Interrupted, Broken::Interrupted);
        }
    }
}

/// The room for a body of `have` bytes, which is at least so many.
fn make_room<H, F>(
    flight: &Flight<H, F>,
    have: usize,
    declared: Option<usize>,
    room: usize,
    now: Instant,
) -> Result<usize, Broken> {
    let object = flight.cache.settings.object;
    if declared.is_some_and(|declared| have > declared) {
        return Err(Broken::WrongLength);
    }
    if have <= room {
        return Ok(room);
    }
    let mut index = flight.cache.index();
    let mut most = object;
    if have > object {
        most = flight.cache.settings.bytes / OUTGROWN_SHARE;
        index.abandon(&flight.entry);
        index.mark(&flight.entry.key, now);
        if have > most || !index.is_read(&flight.entry) {
            return Err(Broken::TooLarge);
        }
    }
    let ample = have.max(room.saturating_add(STEP_BYTES).min(most));
    if index.grow(&flight.entry, ample - room, now).is_ok() {
        return Ok(ample);
    }
    index.grow(&flight.entry, have - room, now).map(|()| have)
}
