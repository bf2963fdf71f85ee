//! One entry: a head that comes, and a body that grows.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::sync::Notify;

use super::account::Charge;
use super::chunks::Chunks;
use super::key::CacheKey;
use super::outcome::{Broken, Outcome};
use super::pieces::Pieces;
use super::watched::{Place, Watched};

/// What an entry costs beside its key and its body: the list's node, the locks, the chunks' places, and a head of usual size.
/// Measured: 1,200 to 1,350 bytes with five header fields, and another 600 for each megabyte of the body.
pub(super) const ENTRY_BYTES: usize = 1536;

/// A key's response, from the moment that somebody is told to fetch it.
#[derive(Debug)]
pub(super) struct Entry<H, F> {
    pub(super) key: CacheKey,
    pub(super) phase: Watched<Phase<H, F>>,
    pub(super) content: Arc<Content>,
}

/// How far the head is.
#[derive(Debug)]
pub(super) enum Phase<H, F> {
    Waiting,
    Open(H),
    /// There is none, or its body broke, so that a reader who comes only now can still be told.
    Ended(Outcome<F>),
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
            phase: Watched::new(Phase::Waiting),
            content: Arc::new(Content {
                body: Watched::new(body),
                charge,
                read: AtomicUsize::new(0),
                read_on: Notify::new(),
            }),
        }
    }

    /// Whether anybody but the one who asks holds it, so that dropping it would free nothing.
    pub(super) fn is_in_use(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) > 1 || Arc::strong_count(&self.content) > 1
    }

    /// Whether it is held by more than the list and the one who fetches.
    pub(super) fn seems_read(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) > 2 || Arc::strong_count(&self.content) > 1
    }

    /// What an entry with this key costs without a body.
    pub(super) fn cost(key: &CacheKey) -> usize {
        ENTRY_BYTES + key.size()
    }

    /// Nothing more comes: gives back what was charged in advance.
    pub(super) fn settle(&self) {
        let (_, have) = self.content.lengths();
        self.content.charge.shrink_to(Self::cost(&self.key) + have);
    }

    /// Ends it for those who wait for its head and for those who read its body.
    pub(super) fn end(&self, outcome: Outcome<F>, broken: Broken) {
        self.phase.change(|phase| *phase = Phase::Ended(outcome));
        self.content.end(Err(broken));
        self.settle();
    }
}

/// The body, which lives as long as its last reader, and what is charged for the entry.
#[derive(Debug)]
pub(super) struct Content {
    body: Watched<Body>,
    pub(super) charge: Charge,
    /// How far the reader is that has read the most.
    read: AtomicUsize,
    /// Tells the one who fetches that there is a reader who has read more.
    read_on: Notify,
}

#[derive(Debug)]
struct Body {
    chunks: Chunks,
    /// As it was declared.
    length: Option<usize>,
    end: Option<Result<(), Broken>>,
}

impl Content {
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

    /// Gives the bytes of a body that is complete back, whoever still reads them: they have to do with what they have.
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

    /// What comes at this place, at most so much: bytes, or the end, or why there is no end.
    pub(super) fn poll_read(
        &self,
        at: usize,
        most: usize,
        place: &mut Place,
        cx: &Context<'_>,
    ) -> Poll<Result<Option<Pieces>, Broken>> {
        self.body.poll(place, cx, |body| {
            let bytes = body.chunks.read(at, most);
            if bytes.is_some() {
                return Some(Ok(bytes));
            }
            body.end.map(|end| end.map(|()| None))
        })
    }

    pub(super) fn leave(&self, place: &mut Place) {
        self.body.leave(place);
    }

    /// A reader is so far.
    pub(super) fn has_read(&self, to: usize) {
        if self.read.fetch_max(to, Ordering::Relaxed) < to {
            self.read_on.notify_one();
        }
    }

    /// How far the reader is that has read the most.
    pub(super) fn read(&self) -> usize {
        self.read.load(Ordering::Relaxed)
    }

    /// Resolves when a reader has read more since this was asked last.
    pub(super) async fn read_on(&self) {
        self.read_on.notified().await;
    }
}
