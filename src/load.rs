//! A load test of a gate: many viewers with tokens of their own, and what each of them has seen.
//!
//! The viewers are cheap: a task and a socket each, frames are followed by their headers, and nothing of what they carry
//! is kept. Every connection goes to one address that was looked up once, and a test is bounded in viewers and in time
//! ([`plan`]). [`origin`] is a media server for such a test, which costs much less than a gate.
//!
//! A viewer is *served* when its first try was granted, played, and lasted until the test ended, with a picture that
//! moved. Whatever else happened to it makes it *failed*, even when a later try went well.

pub mod attempt;
pub mod end;
pub mod fetch;
pub mod frames;
pub mod handshake;
pub mod hls;
pub mod machine;
pub mod origin;
pub mod plan;
pub mod report;
pub mod stalls;
pub mod stamp;
pub mod tally;
pub mod target;
pub mod tokens;
pub mod viewer;
pub mod websocket;
pub mod worker;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::interrupt::Interrupt;

use fetch::Fetcher;
use machine::TooFewDescriptors;
use plan::Plan;
use report::Report;
use tally::Tally;
use target::Target;
use tokens::{Minter, TokenError, Tokens};
use worker::Worker;

/// How long a player waits for a handshake (protocol.md 3), and a viewer of HLS for its first playlist.
pub(crate) const HANDSHAKE_LIMIT: Duration = Duration::from_secs(5);

/// How long a viewer waits for the first frame behind its handshake.
const MEDIA_LIMIT: Duration = Duration::from_secs(10);

/// How long a viewer of HLS waits for a playlist, and for the next bytes of a segment.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// How long a closing handshake may take, and what is under way over HTTP when the test ends.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// How often is looked whether every viewer has ended.
const LOOK: Duration = Duration::from_millis(100);

/// A test to be run.
#[derive(Debug)]
pub struct Job {
    /// How much.
    pub plan: Arc<Plan>,
    /// The gate's base URL as it was given, for the report.
    pub url: String,
    /// The gate.
    pub target: Target,
    /// The source that viewers name.
    pub source: String,
    /// Where the tokens come from.
    pub minter: Minter,
    /// How long each token is good for.
    pub lifetime: Duration,
}

/// Why a test does not start.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Too few descriptors.
    #[error(transparent)]
    Descriptors(#[from] TooFewDescriptors),
    /// There are no tokens.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The system gives no thread, runtime or signal handler.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

/// Runs a test to its end, or to Ctrl-C or SIGTERM. `progress` is called with the counts every `every`. A token for each stream
/// is minted before the first viewer connects, so that a wrong key is reported at once.
pub fn run(job: Job, every: Duration, mut progress: impl FnMut(&str)) -> Result<Report, LoadError> {
    machine::provide_descriptors(job.plan.viewers)?;
    if let Some(warning) = machine::port_warning(job.plan.viewers) {
        progress(&warning);
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(mint_once(&job))?;
    let job = Arc::new(job);
    let (before, began) = (machine::cpu_time(), machine::monotonic());
    let stop = CancellationToken::new();
    let (workers, ended_early) = runtime.block_on(async {
        // Before the first viewer: a Ctrl-C until here ends the process at once.
        let mut interrupt = Interrupt::new()?;
        let begin = Instant::now();
        let workers = (0..job.plan.workers.get())
            .map(|number| Worker::start(&job, number, begin, &stop))
            .collect::<io::Result<Vec<_>>>()?;
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        ticks.tick().await;
        let mut last = (Tally::default(), begin);
        let ended_early = loop {
            tokio::select! {
                () = sleep_until(begin + job.plan.time) => break false,
                () = finished(&workers) => break false,
                () = interrupt.recv() => break true,
                now = ticks.tick() => {
                    let tally = sum(&workers);
                    progress(&report::line(&tally, &last.0, now - begin, now - last.1));
                    last = (tally, now);
                }
            }
        };
        stop.cancel();
        tokio::select! {
            () = finished(&workers) => {}
            // A second Ctrl-C does not wait for closing handshakes.
            () = interrupt.recv() => {}
        }
        Ok::<_, LoadError>((workers, ended_early))
    })?;
    Ok(Report {
        target: job.url.clone(),
        plan: Plan::clone(&job.plan),
        tally: sum(&workers),
        ran: machine::monotonic().saturating_sub(began),
        ended_early,
        cpu: machine::cpu_time().saturating_sub(before),
    })
}

/// Mints a token for each stream, and throws it away.
async fn mint_once(job: &Job) -> Result<(), TokenError> {
    let api = Fetcher::new(&job.target, TaskTracker::new());
    let tokens = Tokens::new(job.minter.clone(), job.lifetime, api);
    for stream in &job.plan.streams {
        tokens.mint(stream).await?;
    }
    Ok(())
}

async fn finished(workers: &[Worker]) {
    while !workers.iter().all(Worker::is_finished) {
        tokio::time::sleep(LOOK).await;
    }
}

fn sum(workers: &[Worker]) -> Tally {
    let mut sum = Tally::default();
    for worker in workers {
        sum.add(&worker.tally.lock());
    }
    sum
}
