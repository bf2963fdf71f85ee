//! One try of one viewer: what it knows and what it counts.

use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::request::query::playback_query;
use crate::token::{Presented, Security};

use super::machine::monotonic;
use super::plan::Plan;
use super::tally::{Shared, Tally};
use super::target::Target;
use super::tokens::Tokens;

/// What all viewers of a worker share.
#[derive(Debug)]
pub struct Context {
    /// The test.
    pub plan: Arc<Plan>,
    /// Where it goes.
    pub target: Target,
    /// The source that viewers name.
    pub source: String,
    /// Mints.
    pub tokens: Tokens,
    /// Counts.
    pub tally: Arc<Shared>,
    /// The test ends.
    pub stop: CancellationToken,
    /// Drives HTTP connections.
    pub tasks: TaskTracker,
    /// Told apart from other tests by this.
    pub run: u32,
}

/// One try of one viewer.
#[derive(Debug)]
pub struct Attempt<'a> {
    /// What it shares with others.
    pub context: &'a Context,
    /// The masking key of its frames. It need not be random: a load test carries nothing that a proxy could be misled by.
    pub mask: [u8; 4],
    /// Which viewer it is.
    pub index: u32,
    /// How many tries it made before.
    pub attempt: u32,
}

impl Attempt<'_> {
    /// The worker's counts.
    pub fn tally(&self) -> MutexGuard<'_, Tally> {
        self.context.tally.lock()
    }

    /// Whether it is the viewer's first try.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.attempt == 0
    }

    /// A refusal has come for what began then.
    pub fn verdict(&self, began: Duration) {
        self.tally().verdict(began, monotonic(), self.is_first());
    }

    /// The query of this try: `pid` stays the viewer's, `cid` is the try's (protocol.md 2).
    pub fn query(&self, stream: &str, security: &Security) -> String {
        let playback = playback_query(&self.context.source, stream, Presented::from(security));
        let pid = format!("{:010}{:06}", self.context.run, self.index);
        let cid = format!("{pid}{:02}", self.attempt);
        format!("{playback}&cid={cid}&pid={pid}")
    }
}
