//! The rows of the table: each makes its load, and divides what the proxy used by the work done.

use std::cell::Cell;
use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio::time::{sleep, timeout};

use crate::origin::Origin;
use crate::settings::Settings;
use crate::viewer::{Seen, Viewer, be_refused};
use crate::{Result, hls, process};

/// How long a proxy gets to finish what it does behind the last answer.
const SETTLE: Duration = Duration::from_millis(200);
/// Connections that are being made at once.
const AT_ONCE: usize = 16;
/// One of so many may fail, and is told of.
const FEW: usize = 100;
/// How long a proxy gets to end a connection that its viewer has closed.
const LEAVING: Duration = Duration::from_secs(5);
/// What loads too much must not last for ever.
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures one row; a line of JSON. `cost` is in the row's own unit.
pub fn measure(row: &str, settings: Settings) -> Result<String> {
    let origin = Origin::start(settings.origin)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let settings = Arc::new(settings);
    let started = Instant::now();
    let measured = runtime.block_on(async {
        match row {
            "connect" => connect(&settings).await,
            "refusal" => refusal(&settings).await,
            "frames" => frames(&settings, &origin).await,
            "bulk" => bulk(&settings, &origin).await,
            "quiet" => quiet(&settings, &origin).await,
            "playlist" => hls::playlists(&settings).await,
            "segment" => hls::segments(&settings).await,
            _ => Err("no such row".into()),
        }
    })?;
    let mut json = format!("{{\"seconds\":{:.3}", started.elapsed().as_secs_f64());
    for (name, value) in measured {
        write!(json, ",\"{name}\":{value:.4}")?;
    }
    Ok(json + "}")
}

/// Names and values of one measurement.
pub type Measured = Vec<(&'static str, f64)>;

/// µs of processor time for each connection until its first frame, and for its end.
async fn connect(settings: &Arc<Settings>) -> Result<Measured> {
    let (count, batch) = (
        settings.number("count", 3000)?,
        settings.number("batch", 250)?,
    );
    open_all(settings, batch).await?.leave_all().await?;
    let (mut opening, mut leaving, mut done, mut bad) = (0, 0, 0, 0);
    while done < count {
        sleep(SETTLE).await;
        let before = process::cpu(settings.pid)?;
        let opened = open_many(settings, batch).await?;
        sleep(SETTLE).await;
        let between = process::cpu(settings.pid)?;
        opening += between.saturating_sub(before);
        done += opened.done.len();
        bad += opened.bad + Audience(opened.done).leave_all().await?;
        sleep(SETTLE).await;
        leaving += process::cpu_since(settings.pid, between)?;
    }
    let each = |used: u64| used as f64 / 1e3 / done as f64;
    Ok(vec![
        ("cost", each(opening)),
        ("leaving", each(leaving)),
        ("units", done as f64),
        ("bad", bad as f64),
    ])
}

struct Audience(Vec<Viewer>);

impl Audience {
    /// How many of them were not let go.
    async fn leave_all(self) -> Result<usize> {
        let leaving: Vec<_> = self
            .0
            .into_iter()
            .map(|viewer| tokio::spawn(timeout(LEAVING, viewer.leave())))
            .collect();
        let mut bad = 0;
        for one in leaving {
            bad += usize::from(!matches!(one.await?, Ok(Ok(()))));
        }
        Ok(bad)
    }

    fn watch(self) -> Arc<Seen> {
        let seen = Arc::new(Seen::default());
        for viewer in self.0 {
            tokio::spawn(viewer.watch(Arc::clone(&seen)));
        }
        seen
    }
}

/// All of them, or an error.
async fn open_all(settings: &Arc<Settings>, count: usize) -> Result<Audience> {
    let opened = open_many(settings, count).await?;
    match opened.bad {
        0 => Ok(Audience(opened.done)),
        bad => Err(format!("{bad} of {count} viewers got no first frame").into()),
    }
}

async fn open_many(settings: &Arc<Settings>, count: usize) -> Result<Many<Viewer>> {
    let settings = Arc::clone(settings);
    many(count, move || {
        let settings = Arc::clone(&settings);
        async move { Viewer::open(&settings).await }
    })
    .await
}

/// What was tried many times.
struct Many<T> {
    done: Vec<T>,
    /// How often it failed.
    bad: usize,
}

/// Does `work` `count` times, a few at once. Where more than a few fail, the first failure is the answer.
async fn many<T, F, W>(count: usize, work: W) -> Result<Many<T>>
where
    T: 'static,
    F: Future<Output = Result<T>> + 'static,
    W: Fn() -> F + 'static,
{
    let (work, left) = (Rc::new(work), Rc::new(Cell::new(count)));
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let hands: Vec<_> = (0..AT_ONCE)
                .map(|_| {
                    let (work, left) = (work.clone(), left.clone());
                    tokio::task::spawn_local(async move {
                        let mut tried = Vec::new();
                        while let Some(less) = left.get().checked_sub(1) {
                            left.set(less);
                            tried.push(work().await);
                        }
                        tried
                    })
                })
                .collect();
            let (mut done, mut failures) = (Vec::with_capacity(count), Vec::new());
            for hand in hands {
                for tried in hand.await? {
                    match tried {
                        Ok(one) => done.push(one),
                        Err(error) => failures.push(error),
                    }
                }
            }
            let bad = failures.len();
            match failures.into_iter().next() {
                Some(error) if bad > count / FEW => Err(error),
                _ => Ok(Many { done, bad }),
            }
        })
        .await
}

/// µs of processor time for each refusal, its connection closed.
async fn refusal(settings: &Arc<Settings>) -> Result<Measured> {
    let count = settings.number("count", 5000)?;
    let refused = |count| {
        let settings = Arc::clone(settings);
        many(count, move || {
            let settings = Arc::clone(&settings);
            async move { be_refused(&settings).await }
        })
    };
    refused(250).await?;
    sleep(SETTLE).await;
    let before = process::cpu(settings.pid)?;
    let refusals = refused(count).await?;
    sleep(SETTLE).await;
    let used = process::cpu_since(settings.pid, before)?;
    let count = refusals.done.len() as f64;
    Ok(vec![
        ("cost", used as f64 / 1e3 / count),
        ("units", count),
        ("bad", refusals.bad as f64),
    ])
}

/// µs of processor time for each frame at a given rate, and how long frames were under way.
async fn frames(settings: &Arc<Settings>, origin: &Arc<Origin>) -> Result<Measured> {
    let viewers = settings.number("viewers", 150)?;
    let (rate, size) = (
        settings.number("rate", 30.0)?,
        settings.number("size", 8192)?,
    );
    let time = Duration::from_secs_f64(settings.number("seconds", 5.0)?);
    let seen = open_all(settings, viewers).await?.watch();
    sleep(SETTLE).await;
    origin.send_at(rate, size);
    sleep(Duration::from_secs(1)).await;
    seen.timing.store(true, Relaxed);
    let (cpu, count, start) = (
        process::cpu(settings.pid)?,
        seen.frames.load(Relaxed),
        Instant::now(),
    );
    sleep(time).await;
    let used = process::cpu_since(settings.pid, cpu)?;
    let count = (seen.frames.load(Relaxed) - count) as f64;
    let expected = rate * viewers as f64 * start.elapsed().as_secs_f64();
    let mut latencies = std::mem::take(&mut *seen.latencies.lock().expect("whole"));
    latencies.sort_unstable();
    let at = |share: f64| {
        let index = (latencies.len() as f64 * share) as usize;
        latencies
            .get(index)
            .map_or(f64::NAN, |&latency| latency as f64 / 1e3)
    };
    // With few frames in all, one that is under way counts for more.
    if count < expected * 0.98 - 10.0 {
        return Err(
            format!("{count} frames of {expected:.0} came: too much for this machine").into(),
        );
    }
    Ok(vec![
        ("cost", used as f64 / 1e3 / count),
        ("units", count),
        ("p50", at(0.5)),
        ("p99", at(0.99)),
    ])
}

/// ms of processor time for each GB to a few viewers that take all they can.
async fn bulk(settings: &Arc<Settings>, origin: &Arc<Origin>) -> Result<Measured> {
    let viewers = settings.number("viewers", 8)?;
    let megabytes: usize = settings.number("megabytes", 2000)?;
    let seen = open_all(settings, viewers).await?.watch();
    let pour = async |megabytes: usize| -> Result<u64> {
        let (size, count) = (64 * 1024, megabytes * 1_000_000 / viewers / (64 * 1024));
        let goal = seen.bytes.load(Relaxed) + (size * count * viewers) as u64;
        let start = Instant::now();
        origin.pour(size, count);
        while seen.bytes.load(Relaxed) < goal {
            if start.elapsed() > PATIENCE {
                return Err("the bytes did not all come".into());
            }
            sleep(Duration::from_millis(5)).await;
        }
        sleep(SETTLE).await;
        Ok((size * count * viewers) as u64)
    };
    pour(50).await?;
    let (before, start) = (process::cpu(settings.pid)?, Instant::now());
    let bytes = pour(megabytes).await? as f64;
    let used = process::cpu_since(settings.pid, before)? as f64;
    let speed = bytes / 1e9 / (start.elapsed() - SETTLE).as_secs_f64();
    Ok(vec![
        ("cost", used / 1e6 / (bytes / 1e9)),
        ("units", bytes / 1e9),
        ("gigabytes_per_second", speed),
    ])
}

/// kB of memory for each viewer that has had its greeting and one frame, and to whom nothing comes.
async fn quiet(settings: &Arc<Settings>, origin: &Arc<Origin>) -> Result<Measured> {
    let viewers = settings.number("viewers", 2000)?;
    // What a first connection sets up is no viewer's.
    open_all(settings, 1).await?.leave_all().await?;
    sleep(SETTLE).await;
    let before = process::memory(settings.pid)?;
    let seen = open_all(settings, viewers).await?.watch();
    origin.send_once(8192);
    let start = Instant::now();
    while seen.frames.load(Relaxed) < viewers as u64 {
        if start.elapsed() > PATIENCE {
            return Err("the frames did not all come".into());
        }
        sleep(Duration::from_millis(5)).await;
    }
    sleep(Duration::from_secs(1)).await;
    let cpu = process::cpu(settings.pid)?;
    let after = process::memory(settings.pid)?;
    sleep(Duration::from_secs(1)).await;
    let idle = process::cpu_since(settings.pid, cpu)?;
    Ok(vec![
        (
            "cost",
            after.saturating_sub(before) as f64 / 1e3 / viewers as f64,
        ),
        ("units", viewers as f64),
        ("before_kb", before as f64 / 1e3),
        ("idle_us_per_second", idle as f64 / 1e3),
    ])
}
