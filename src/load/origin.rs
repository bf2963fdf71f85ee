//! A media server for load tests: no real media, no tokens, and so little work that the gate before it is what is measured.
//!
//! | path | what |
//! |---|---|
//! | any that ends in `stream`, `stream.mp4` or `authstream`, as a WebSocket | a greeting and a small fragment at once, then stamped fragments |
//! | `…/playlist.m3u8?stream=NAME` | multivariant playlist with one variant, `NAME/media.m3u8` |
//! | `…/media.m3u8`, `…/init.mp4`, `…/N.m4s` | live media playlist, initialisation, stamped segments |
//!
//! Every thread has one buffer for all its viewers and one timer: a viewer's own task wakes only when the viewer says
//! something. Viewers get their fragments in turn and not all at once, as those of real streams do. What a viewer does
//! not take in time is left out, never queued. Segment numbers follow the machine's clock, so that threads agree.

mod connection;
mod hls;
mod media;
mod sink;

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::interrupt::Interrupt;
use crate::listener::{SocketOptions, bind};

use super::machine::raise_descriptors;
use super::plan::WORKERS;
use media::{Fragment, SMALLEST};
use sink::Sinks;

/// Bytes of a fragment.
pub const FRAGMENT: RangeInclusive<u64> = SMALLEST..=16 << 20;
/// Fragments in a second.
pub const RATE: RangeInclusive<u32> = 1..=1000;
/// Bytes of a segment.
pub const SEGMENT: RangeInclusive<u64> = SMALLEST..=256 << 20;
/// Seconds of a segment.
pub const SEGMENT_SECONDS: RangeInclusive<u32> = 1..=60;

/// Options of its listening sockets.
const OPTIONS: SocketOptions = SocketOptions {
    backlog: 4096,
    user_timeout: Duration::from_secs(30),
    unsent: 128 * 1024,
};

/// How long the accept loop rests after an error such as having no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How many parts an interval between two fragments has at most; each is a millisecond at least.
const PHASES: u32 = 32;

/// An origin.
#[derive(Clone, Copy, Debug)]
pub struct OriginPlan {
    /// Where it listens.
    pub address: SocketAddr,
    /// Bytes of a fragment, within [`FRAGMENT`].
    pub fragment: u64,
    /// Fragments in a second, within [`RATE`].
    pub rate: u32,
    /// Bytes of a segment, within [`SEGMENT`].
    pub segment: u64,
    /// Seconds of a segment, within [`SEGMENT_SECONDS`].
    pub segment_seconds: u32,
    /// Threads.
    pub workers: NonZeroUsize,
}

/// Why an origin does not start.
#[derive(Debug, thiserror::Error)]
pub enum OriginError {
    /// Too small or too large fragments.
    #[error("--fragment must be from 64B to 16MiB")]
    Fragment,
    /// Too few or too many.
    #[error("--rate must be from 1 to 1000 fragments in a second")]
    Rate,
    /// Too small or too large segments.
    #[error("--segment must be from 64B to 256MiB")]
    Segment,
    /// Too short or too long segments.
    #[error("--segment-seconds must be from 1 to 60")]
    SegmentSeconds,
    /// Too many threads.
    #[error("--workers must be from 1 to 64")]
    Workers,
    /// The address is taken or not ours.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The system gives no thread, runtime or signal handler.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

impl OriginPlan {
    /// The plan when it is within its bounds.
    pub fn checked(self) -> Result<Self, OriginError> {
        if !FRAGMENT.contains(&self.fragment) {
            Err(OriginError::Fragment)
        } else if !RATE.contains(&self.rate) {
            Err(OriginError::Rate)
        } else if !SEGMENT.contains(&self.segment) {
            Err(OriginError::Segment)
        } else if !SEGMENT_SECONDS.contains(&self.segment_seconds) {
            Err(OriginError::SegmentSeconds)
        } else if !WORKERS.contains(&self.workers.get()) {
            Err(OriginError::Workers)
        } else {
            Ok(self)
        }
    }
}

/// What all threads share.
#[derive(Debug)]
struct Origin {
    plan: OriginPlan,
    segment: Vec<u8>,
    viewers: AtomicU64,
    frames: AtomicU64,
    left_out: AtomicU64,
    /// Times that `accept` failed.
    unaccepted: AtomicU64,
}

/// Serves until Ctrl-C or SIGTERM; `say` hears the addresses once it listens, and what was sent at the end.
pub fn run(plan: OriginPlan, mut say: impl FnMut(&str)) -> Result<(), OriginError> {
    raise_descriptors();
    let bound =
        bind(plan.address, plan.workers.get(), OPTIONS).map_err(|source| OriginError::Bind {
            address: plan.address,
            source,
        })?;
    let address = bound
        .first()
        .map_or(Ok(plan.address), std::net::TcpListener::local_addr)?;
    let origin = Arc::new(Origin {
        segment: media::segment(plan.segment),
        plan,
        viewers: AtomicU64::new(0),
        frames: AtomicU64::new(0),
        left_out: AtomicU64::new(0),
        unaccepted: AtomicU64::new(0),
    });
    let waiting = Builder::new_current_thread().enable_all().build()?;
    let mut interrupt = waiting.block_on(async { Interrupt::new() })?;
    let stop = CancellationToken::new();
    let mut threads = Vec::new();
    for (number, listener) in bound.into_iter().enumerate() {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (origin, stop) = (Arc::clone(&origin), stop.clone());
        let serve = move || {
            runtime.block_on(async {
                match TcpListener::from_std(listener) {
                    Ok(listener) => serve(listener, origin, stop).await,
                    Err(error) => tracing::error!(%error, "an origin cannot listen"),
                }
            });
        };
        let thread = std::thread::Builder::new().name(format!("origin-{number}"));
        threads.push(thread.spawn(serve)?);
    }
    say(&format!(
        "origin on {address}: ws://{address}/h5live/stream, http://{address}/h5live/http/playlist.m3u8; checks no tokens; Ctrl-C ends it"
    ));
    waiting.block_on(interrupt.recv());
    stop.cancel();
    for thread in threads {
        // A thread that has panicked has nothing more to end.
        let _ = thread.join();
    }
    let mut said = format!(
        "{} viewers, {} fragments sent, {} left out because a viewer or this origin was slow",
        origin.viewers.load(Ordering::Relaxed),
        origin.frames.load(Ordering::Relaxed),
        origin.left_out.load(Ordering::Relaxed)
    );
    let unaccepted = origin.unaccepted.load(Ordering::Relaxed);
    if unaccepted > 0 {
        // Writing to a string cannot fail.
        let _ = write!(said, "; accept failed {unaccepted} times, see above");
    }
    say(&said);
    Ok(())
}

/// One thread: accepts connections and sends to them. Returns at `stop`, which ends its connections.
async fn serve(listener: TcpListener, origin: Arc<Origin>, stop: CancellationToken) {
    let interval = Duration::from_secs(1) / origin.plan.rate;
    let phases = u32::try_from(interval.as_millis())
        .unwrap_or(PHASES)
        .clamp(1, PHASES);
    let sinks = Arc::new(Sinks::new(phases));
    let tasks = TaskTracker::new();
    let sending = send_all(&origin, &sinks, interval / phases);
    let accepting = async {
        let mut failing = false;
        loop {
            match listener.accept().await {
                Ok((socket, _)) => {
                    failing = false;
                    let serving =
                        connection::serve(Arc::clone(&origin), Arc::clone(&sinks), socket);
                    let stop = stop.clone();
                    tasks.spawn(async move {
                        let _ = stop.run_until_cancelled_owned(serving).await;
                    });
                }
                Err(error) => {
                    origin.unaccepted.fetch_add(1, Ordering::Relaxed);
                    // Once for many in a row: the reason stays the same.
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(%error, "accept failed; viewers wait until it works again");
                    }
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = sending => {}
        () = accepting => {}
    }
    tasks.close();
    tasks.wait().await;
}

/// Sends to one phase after the other, each `step` later. Late steps are made up for within one round; a thread that is
/// later still leaves fragments out.
async fn send_all(origin: &Origin, sinks: &Sinks, step: Duration) {
    let mut fragment = Fragment::new(origin.plan.fragment);
    let begin = Instant::now();
    let step = u64::try_from(step.as_nanos()).unwrap_or(u64::MAX).max(1);
    let mut done = 0;
    loop {
        sleep_until(begin + Duration::from_nanos(step.saturating_mul(done))).await;
        let elapsed = u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        while (elapsed / step).saturating_sub(done) > sinks.phases() {
            origin
                .left_out
                .fetch_add(sinks.count(done), Ordering::Relaxed);
            done += 1;
        }
        let (sent, left_out) = sinks.send(done, &mut fragment);
        origin.frames.fetch_add(sent, Ordering::Relaxed);
        origin.left_out.fetch_add(left_out, Ordering::Relaxed);
        done += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_bounded() {
        let plan = OriginPlan {
            address: ([127, 0, 0, 1], 0).into(),
            fragment: 8192,
            rate: 30,
            segment: 1 << 19,
            segment_seconds: 2,
            workers: NonZeroUsize::MIN,
        };
        assert!(plan.checked().is_ok());
        type Change = fn(&mut OriginPlan);
        let changes: [(Change, &str); 7] = [
            (|plan| plan.fragment = 63, "--fragment"),
            (|plan| plan.fragment = (16 << 20) + 1, "--fragment"),
            (|plan| plan.rate = 0, "--rate"),
            (|plan| plan.rate = 1001, "--rate"),
            (|plan| plan.segment = 63, "--segment"),
            (|plan| plan.segment_seconds = 61, "--segment-seconds"),
            (
                |plan| plan.workers = NonZeroUsize::new(65).unwrap(),
                "--workers",
            ),
        ];
        for (change, option) in changes {
            let mut plan = plan;
            change(&mut plan);
            let error = plan.checked().unwrap_err().to_string();
            assert!(error.starts_with(option), "{error}");
        }
    }
}
