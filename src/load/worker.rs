//! One thread of viewers, with a runtime of its own.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::runtime::Builder;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Job;
use super::attempt::Context;
use super::fetch::Fetcher;
use super::tally::Shared;
use super::tokens::Tokens;
use super::viewer::view;

/// A thread that counts into `tally`. It ends when its last viewer has.
#[derive(Debug)]
pub struct Worker {
    /// Its counts so far.
    pub tally: Arc<Shared>,
    thread: JoinHandle<()>,
}

impl Worker {
    /// Starts worker `number` of those of the plan, from 0: it has every so many-th viewer.
    pub fn start(
        job: &Arc<Job>,
        number: usize,
        begin: Instant,
        stop: &CancellationToken,
    ) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let tally = Arc::new(Shared::default());
        let tasks = TaskTracker::new();
        let api = Fetcher::new(&job.target, tasks.clone());
        let context = Arc::new(Context {
            plan: Arc::clone(&job.plan),
            target: job.target.clone(),
            source: job.source.clone(),
            tokens: Tokens::new(job.minter.clone(), job.lifetime, api),
            tally: Arc::clone(&tally),
            stop: stop.clone(),
            tasks,
            run: getrandom::u32().unwrap_or_default(),
        });
        let thread = std::thread::Builder::new()
            .name(format!("load-{number}"))
            .spawn(move || runtime.block_on(work(context, number, begin)))?;
        Ok(Self { tally, thread })
    }

    /// Whether its last viewer has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }
}

/// The ramp, and then the viewers to their end.
async fn work(context: Arc<Context>, number: usize, begin: Instant) {
    let viewers = TaskTracker::new();
    let workers = context.plan.workers.get();
    for index in (0..context.plan.viewers).skip(number).step_by(workers) {
        tokio::select! {
            () = context.stop.cancelled() => break,
            () = sleep_until(begin + context.plan.due(index)) => {}
        }
        viewers.spawn(view(Arc::clone(&context), index));
    }
    viewers.close();
    viewers.wait().await;
}
