//! One viewer: tries, and tries again as a player does.

use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::request::query::playback_query;
use crate::token::{Presented, Security};

use super::end::{End, Failure};
use super::machine::monotonic;
use super::plan::Plan;
use super::tally::{Shared, Tally};
use super::target::Target;
use super::tokens::Tokens;
use super::{hls, websocket};

/// How often a player tries again in a row (PROTOCOL.md 3).
const RETRIES: u32 = 10;

/// The least that a player waits before it tries again, in milliseconds, and what it may add.
const RETRY_LEAST: u64 = 2_000;
const RETRY_JITTER: u64 = 8_000;

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
pub struct Viewer<'a> {
    /// What it shares with others.
    pub context: &'a Context,
    /// The masking key of its frames: nobody between it and the gate is to be kept from reading them.
    pub mask: [u8; 4],
    index: u32,
    attempt: u32,
}

impl Viewer<'_> {
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

    /// The query of this try: `pid` stays the viewer's, `cid` is the try's (PROTOCOL.md 2).
    fn query(&self, stream: &str, security: &Security) -> String {
        let playback = playback_query(&self.context.source, stream, Presented::from(security));
        let pid = format!("{:010}{:06}", self.context.run, self.index);
        let cid = format!("{pid}{:02}", self.attempt);
        format!("{playback}&cid={cid}&pid={pid}")
    }

    async fn play(&self) -> End {
        let context = self.context;
        let Some(stream) = context.plan.stream(self.index) else {
            return End::Failed(Failure::Token);
        };
        let minted = tokio::select! {
            () = context.stop.cancelled() => return End::Unfinished,
            minted = context.tokens.mint(stream) => match minted {
                Ok(minted) => minted,
                Err(_) => return End::Failed(Failure::Token),
            },
        };
        if let Some(asked) = minted.asked {
            self.tally().token.record(asked);
        }
        let query = self.query(stream.as_str(), &minted.security);
        if context.plan.plays_hls(self.index) {
            hls::play(self, &query).await
        } else {
            websocket::play(self, &query).await
        }
    }
}

/// Plays as viewer `index` until the test ends or no player would try again. Not cancel safe: cancel `context.stop`.
pub async fn view(context: Arc<Context>, index: u32) {
    context.tally.lock().started += 1;
    let (mut failed, mut retries) = (false, 0);
    for attempt in 0.. {
        let viewer = Viewer {
            context: &context,
            mask: (context.run ^ index).to_be_bytes(),
            index,
            attempt,
        };
        context.tally.lock().tries += 1;
        let end = Box::pin(viewer.play()).await;
        note(&mut viewer.tally(), end, &mut failed);
        // A playback that stood gives a player all its retries back.
        retries = if matches!(end, End::Lost(_)) {
            1
        } else {
            retries + 1
        };
        if !end.is_retried() || retries > RETRIES {
            return;
        }
        let jitter = getrandom::u64().unwrap_or_default() % RETRY_JITTER;
        tokio::select! {
            () = context.stop.cancelled() => return,
            () = sleep(Duration::from_millis(RETRY_LEAST + jitter)) => {}
        }
    }
}

/// Counts an end; a viewer that was disturbed once has failed, whatever comes after.
fn note(tally: &mut Tally, end: End, failed: &mut bool) {
    tally.end(end);
    match end {
        End::Played | End::Unfinished if *failed => {}
        End::Played => tally.served += 1,
        End::Unfinished => tally.unfinished += 1,
        End::StoodStill | End::Refused(_) | End::Failed(_) | End::Lost(_) => {
            tally.failed += u64::from(!*failed);
            *failed = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::end::Loss;

    #[test]
    fn a_viewer_that_was_disturbed_once_was_not_served() {
        for (ends, served, unfinished, failed) in [
            (&[End::Played][..], 1, 0, 0),
            (&[End::Unfinished], 0, 1, 0),
            (&[End::StoodStill], 0, 0, 1),
            (&[End::Refused(4901)], 0, 0, 1),
            (
                &[
                    End::Lost(Loss::Code(1006)),
                    End::Failed(Failure::Timeout),
                    End::Played,
                ],
                0,
                0,
                1,
            ),
            (&[End::Failed(Failure::Timeout), End::Unfinished], 0, 0, 1),
        ] {
            let (mut tally, mut is_failed) = (Tally::default(), false);
            ends.iter()
                .for_each(|end| note(&mut tally, *end, &mut is_failed));
            assert_eq!(
                (tally.served, tally.unfinished, tally.failed),
                (served, unfinished, failed),
                "{ends:?}"
            );
        }
    }
}
