//! The readers' side.

use std::future::poll_fn;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Buf as _;
use hyper::body::{Body, Frame, SizeHint};

use super::entry::{Buffer, Entry, Phase};
use super::error::{Broken, Unshared};
use super::pieces::Pieces;
use super::watch::Slot;

/// The longest frame of a body: what one write hands to the kernel. A larger one makes each byte cheaper, but a slow reader then
/// holds more memory of an entry that the cache has dropped.
pub const FRAME_BYTES: usize = 256 * 1024;

/// Reads an entry, from its first byte, at its own pace. Dropping it changes nothing for other readers.
#[derive(Debug)]
pub struct Reader<H, F> {
    entry: Arc<Entry<H, F>>,
    slot: Slot,
}

impl<H, F> Reader<H, F> {
    pub(super) fn new(entry: Arc<Entry<H, F>>) -> Self {
        Self {
            entry,
            slot: Slot::default(),
        }
    }

    /// The head, as soon as it is there. It can be asked for again. Cancel safe: dropping the future loses nothing.
    ///
    /// # Errors
    /// Why there is none. A reader that asks only after the body broke is told so here.
    pub async fn head(&mut self) -> Result<H, Unshared<F>>
    where
        H: Clone,
        F: Clone,
    {
        let Self { entry, slot } = self;
        poll_fn(|cx| {
            entry.phase.poll(slot, cx, |phase| match phase {
                Phase::Waiting => None,
                Phase::Open(head) => Some(Ok(head.clone())),
                Phase::Ended(outcome) => Some(Err(outcome.clone())),
            })
        })
        .await
    }

    /// The body's length in bytes when all of it is there, so that a range of it can be answered.
    #[must_use]
    pub fn whole(&self) -> Option<u64> {
        self.entry.buffer.whole().map(to_u64)
    }

    /// The whole body, whether it is there yet or not. Without a head it waits for that too.
    #[must_use]
    pub fn into_body(self) -> SharedBody {
        self.body(0, None)
    }

    /// A range of the body's bytes; an empty one where it ends before it starts. Meant for a range within
    /// [`whole`](Self::whole); what goes beyond the body ends with [`Broken::PastTheEnd`].
    #[must_use]
    pub fn into_range(self, range: Range<u64>) -> SharedBody {
        let place = |place| usize::try_from(place).unwrap_or(usize::MAX);
        let start = place(range.start);
        self.body(start, Some(place(range.end).max(start)))
    }

    #[cfg(test)]
    pub(super) fn buffer(&self) -> std::sync::Weak<Buffer> {
        Arc::downgrade(&self.entry.buffer)
    }

    fn body(self, at: usize, end: Option<usize>) -> SharedBody {
        SharedBody {
            buffer: Arc::clone(&self.entry.buffer),
            slot: Slot::default(),
            at,
            end,
        }
    }
}

impl<H, F> Drop for Reader<H, F> {
    fn drop(&mut self) {
        self.entry.phase.leave(&mut self.slot);
    }
}

/// An entry's body: data frames alone, of at most [`FRAME_BYTES`], shared with all other readers. It ends cleanly only when the
/// fetch did; a broken one yields what is there and then [`Broken`], at every further poll too. The size hint is exact when
/// the length was declared or the body is complete.
#[derive(Debug)]
pub struct SharedBody {
    buffer: Arc<Buffer>,
    slot: Slot,
    at: usize,
    /// Where a range ends.
    end: Option<usize>,
}

impl Body for SharedBody {
    type Data = Pieces;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Pieces>, Broken>>> {
        let this = self.get_mut();
        if this.end == Some(this.at) {
            return Poll::Ready(None);
        }
        let most = this
            .end
            .map_or(FRAME_BYTES, |end| FRAME_BYTES.min(end - this.at));
        let read = this.buffer.poll_read(this.at, most, &mut this.slot, cx);
        read.map(|read| match (read, this.end) {
            (Ok(Some(pieces)), _) => {
                this.at += pieces.remaining();
                this.buffer.has_read(this.at);
                let charge = Arc::clone(&this.buffer);
                Some(Ok(Frame::data(pieces.charged(charge))))
            }
            (Ok(None), None) => None,
            (Ok(None), Some(_)) => Some(Err(Broken::PastTheEnd)),
            (Err(broken), _) => Some(Err(broken)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.end
            .or_else(|| self.buffer.whole())
            .is_some_and(|end| end == self.at)
    }

    fn size_hint(&self) -> SizeHint {
        let (length, have) = self.buffer.lengths();
        let left = |end: usize| to_u64(end.saturating_sub(self.at));
        if let Some(end) = self.end.or(length) {
            return SizeHint::with_exact(left(end));
        }
        let mut hint = SizeHint::new();
        hint.set_lower(left(have));
        hint
    }
}

impl Drop for SharedBody {
    fn drop(&mut self) {
        self.buffer.leave(&mut self.slot);
    }
}

fn to_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
