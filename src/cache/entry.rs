//! One entry: a head that comes, and a body that grows.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::sync::Notify;

use super::account::Charge;
use super::chunks::Chunks;
use super::error::{Broken, Unshared};
use super::key::CacheKey;
use super::pieces::Pieces;
use super::watch::{Slot, Watch};

/// What an entry costs beside its key and its body: the index's node, the locks, the chunks' places, and a head of usual size.
/// Measured: 1,200 to 1,350 bytes with five header fields, and another 600 for each megabyte of the body.
pub(super) const ENTRY_BYTES: usize = 1536;

/// The response for a key, from the moment at which a request is told to fetch it.
#[derive(Debug)]
pub(super) struct Entry<H, F> {
    pub(super) key: CacheKey,
    pub(super) phase: Watch<Phase<H, F>>,
    pub(super) buffer: Arc<Buffer>,
}

/// How far the head is.
#[derive(Debug)]
pub(super) enum Phase<H, F> {
    Waiting,
    Open(H),
    /// There is no head, or the body broke: kept for readers that ask for the head only now.
    Ended(Unshared<F>),
}

impl<H, F> Entry<H, F> {
    pub(super) fn new(key: CacheKey, charge: Charge) -> Self {
        let body = Body {
            chunks: Chunks::default(),
            length: None,
            end: None,
        };
        Self {
            key,
            phase: Watch::new(Phase::Waiting),
            buffer: Arc::new(Buffer {
                body: Watch::new(body),
                charge,
                read: AtomicUsize::new(0),
                read_on: Notify::new(),
            }),
        }
    }

    /// Whether it is held elsewhere than by the caller, so that dropping it would free nothing.
    pub(super) fn is_in_use(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) > 1 || Arc::strong_count(&self.buffer) > 1
    }

    /// Whether it is held elsewhere than by the index and the fetching task.
    pub(super) fn seems_read(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) > 2 || Arc::strong_count(&self.buffer) > 1
    }

    /// What an entry with this key costs without a body.
    pub(super) fn cost(key: &CacheKey) -> usize {
        ENTRY_BYTES + key.size()
    }

    /// Nothing more comes: gives back what was charged in advance.
    pub(super) fn settle(&self) {
        let (_, have) = self.buffer.lengths();
        self.buffer.charge.shrink_to(Self::cost(&self.key) + have);
    }

    /// Ends it for the readers that wait for its head and for those that read its body.
    pub(super) fn end(&self, outcome: Unshared<F>, broken: Broken) {
        self.phase.change(|phase| *phase = Phase::Ended(outcome));
        self.buffer.end(Err(broken));
        self.settle();
    }
}

/// The body, which lives as long as its last reader, and what is charged for the entry.
#[derive(Debug)]
pub(super) struct Buffer {
    body: Watch<Body>,
    pub(super) charge: Charge,
    /// How many bytes the fastest reader has read.
    read: AtomicUsize,
    /// Tells the fetching task that the fastest reader has read more.
    read_on: Notify,
}

#[derive(Debug)]
struct Body {
    chunks: Chunks,
    /// As it was declared.
    length: Option<usize>,
    end: Option<Result<(), Broken>>,
}

impl Buffer {
    /// Notes the declared length.
    pub(super) fn declare(&self, length: Option<usize>) {
        self.body.change(|body| body.length = length);
    }

    pub(super) fn push(&self, bytes: &[u8]) {
        self.body.change(|body| body.chunks.push(bytes));
    }

    /// Nothing more comes.
    pub(super) fn end(&self, end: Result<(), Broken>) {
        self.body.change(|body| {
            body.chunks.close();
            body.end = Some(end);
        });
    }

    /// Frees the bytes of a complete body although it is still read: its readers' bodies break after what they have.
    pub(super) fn let_go(&self) {
        let freed = self.body.change(|body| {
            if body.end != Some(Ok(())) {
                return 0;
            }
            body.end = Some(Err(Broken::TooSlow));
            std::mem::take(&mut body.chunks).length()
        });
        self.charge
            .shrink_to(self.charge.bytes().saturating_sub(freed));
    }

    /// The length of the whole, when all of it is there.
    pub(super) fn whole(&self) -> Option<usize> {
        self.body
            .look(|body| (body.end == Some(Ok(()))).then(|| body.chunks.length()))
    }

    /// How long the whole will be, as far as it is known, and how many bytes there are.
    pub(super) fn lengths(&self) -> (Option<usize>, usize) {
        self.body.look(|body| {
            let have = body.chunks.length();
            match body.end {
                Some(Ok(())) => (Some(have), have),
                Some(Err(_)) | None => (body.length, have),
            }
        })
    }

    /// What stands at `at`, at most `most` bytes of it: bytes, or the end, or why the body broke.
    pub(super) fn poll_read(
        &self,
        at: usize,
        most: usize,
        slot: &mut Slot,
        cx: &Context<'_>,
    ) -> Poll<Result<Option<Pieces>, Broken>> {
        self.body.poll(slot, cx, |body| {
            let bytes = body.chunks.read(at, most);
            if bytes.is_some() {
                return Some(Ok(bytes));
            }
            body.end.map(|end| end.map(|()| None))
        })
    }

    pub(super) fn leave(&self, slot: &mut Slot) {
        self.body.leave(slot);
    }

    /// A reader has read up to `to`.
    pub(super) fn has_read(&self, to: usize) {
        if self.read.fetch_max(to, Ordering::Relaxed) < to {
            self.read_on.notify_one();
        }
    }

    /// How many bytes the fastest reader has read.
    pub(super) fn read(&self) -> usize {
        self.read.load(Ordering::Relaxed)
    }

    /// Resolves when a reader has read more since this was asked last.
    pub(super) async fn read_on(&self) {
        self.read_on.notified().await;
    }
}
