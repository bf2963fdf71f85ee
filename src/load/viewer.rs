//! One viewer: tries, and tries again as a player does.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::attempt::{Attempt, Context};
use super::end::{End, Failure};
use super::tally::Tally;
use super::{hls, websocket};

/// How often a player tries again in a row (protocol.md 3).
const RETRIES: u32 = 10;

/// The least that a player waits before it tries again, in milliseconds, and what it may add.
const RETRY_LEAST: u64 = 2_000;
const RETRY_JITTER: u64 = 8_000;

/// Plays as viewer `index` until the test ends or no player would try again. Not cancel safe: cancel `context.stop`.
pub async fn view(context: Arc<Context>, index: u32) {
    context.tally.lock().started += 1;
    let (mut failed, mut retries) = (false, 0);
    for attempt in 0.. {
        let one = Attempt {
            context: &context,
            mask: (context.run ^ index).to_be_bytes(),
            index,
            attempt,
        };
        context.tally.lock().tries += 1;
        let end = Box::pin(play(&one)).await;
        note(&mut one.tally(), end, &mut failed);
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

/// Mints, and plays until the test ends or the playback does.
async fn play(attempt: &Attempt<'_>) -> End {
    let context = attempt.context;
    let Some(stream) = context.plan.stream(attempt.index) else {
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
        attempt.tally().token.record(asked);
    }
    let query = attempt.query(stream.as_str(), &minted.security);
    if context.plan.plays_hls(attempt.index) {
        hls::play(attempt, &query).await
    } else {
        websocket::play(attempt, &query).await
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
