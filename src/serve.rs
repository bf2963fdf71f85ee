//! The process: sockets, workers, signals, and an orderly end.
//!
//! Each worker is a thread with a runtime and listening sockets of its own; a connection lives and dies on one worker.
//! The main thread answers the operator, looks names up and hears the signals.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin;
use crate::clock::{Clock, Jump, JumpWatch};
use crate::config::{Config, ListenerConfig, Notice};
use crate::gate::Gate;
use crate::gate::kept::{self, LastSave};
use crate::gate::site::Site;
use crate::handler;
use crate::interrupt::{Interrupt, Meaningless};
use crate::listener::{SocketOptions, accept, bind};
use crate::logging::Log;
use crate::metrics::Why;
use crate::state::within;

/// How long the start waits for the media servers' names.
const FIRST_LOOK_UP: Duration = Duration::from_secs(1);

/// How long the last connections have after the drain for their closing handshakes.
const AFTER_DRAIN: Duration = Duration::from_secs(5);

/// Why the gate does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address is taken or not ours.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// `state_dir` cannot be used.
    #[error("state_dir: {0}")]
    State(String),
    /// A thread, a runtime or a signal handler cannot be had.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

/// What runs beside a gate, and from where it is reloaded.
#[derive(Default)]
pub struct Extras<'a> {
    /// What the gate tells the time by; by default the system's.
    pub clock: Clock,
    /// Where a reload reads; without it SIGHUP changes nothing.
    pub config: Option<&'a Path>,
    /// Pages beside the endpoints.
    pub site: Option<Site>,
    /// Runs on the main thread until the gate ends.
    pub beside: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

/// Runs until a signal ends it.
pub fn run(config: Config, extras: Extras<'_>, log: &Log) -> Result<(), StartError> {
    let (dangers, warnings) = (config.dangers.clone(), config.warnings.clone());
    let (listeners, admin) = (config.listeners.clone(), config.admin.clone());
    let Extras {
        clock,
        config: path,
        site,
        beside,
    } = extras;
    let state = config.state_dir.clone();
    // Before everything else: until this point a signal ends the process by default, and the start may take a while.
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut signals = runtime.block_on(async { Signals::new() })?;
    let gate = Gate::new(config, clock, site, Some(log.lost()));
    if let Some(state) = &state {
        let kept = runtime.block_on(async {
            tokio::select! {
                kept = kept::keep(&gate, state) => Some(kept),
                () = signals.end.recv() => None,
            }
        });
        let Some(kept) = kept else {
            tracing::warn!("stopped before the start was over");
            return Ok(());
        };
        kept.map_err(StartError::State)?;
    }
    let stop = CancellationToken::new();

    let mut sockets: Vec<Vec<_>> = (0..gate.limits.workers).map(|_| Vec::new()).collect();
    let options = SocketOptions {
        backlog: gate.limits.backlog,
        user_timeout: gate.timeouts.user_timeout,
        unsent: gate.limits.unsent,
    };
    let mut addresses = Vec::new();
    for listener in &listeners {
        let bound = bind_at(listener.address, gate.limits.workers, options)?;
        addresses.push((
            serves(listener),
            bound.first().and_then(|socket| socket.local_addr().ok()),
        ));
        for (worker, socket) in sockets.iter_mut().zip(bound) {
            worker.push((socket, listener.clone()));
        }
    }
    let admin_socket = match &admin {
        Some(admin) => bind_at(admin.address, 1, options)?.pop(),
        None => None,
    };
    addresses.push((
        "admin",
        admin_socket
            .as_ref()
            .and_then(|socket| socket.local_addr().ok()),
    ));

    tell(&dangers, &warnings);
    // Viewers need not wait for a name that cannot be looked up now: the look-ups go on beside them.
    let looked_up = runtime.block_on(async { timeout(FIRST_LOOK_UP, look_up_all(&gate)).await });
    let workers = sockets
        .into_iter()
        .enumerate()
        .map(|(index, sockets)| start_worker(index, &gate, sockets, &stop))
        .collect::<Result<Vec<_>, _>>()?;
    let ended = runtime.block_on(async {
        let background = TaskTracker::new();
        if let (Some(socket), Some(admin)) = (admin_socket, admin) {
            let socket = TcpListener::from_std(socket)?;
            background.spawn(admin::serve(Arc::clone(&gate), admin, socket));
        }
        background.spawn(keep_watch(Arc::clone(&gate)));
        background.spawn(keep_names_fresh(Arc::clone(&gate), looked_up.is_ok()));
        background.spawn(handler::hls::maintain(Arc::clone(&gate)));
        if let Some(beside) = beside {
            background.spawn(beside);
        }
        for (serves, address) in &addresses {
            if let Some(address) = address {
                tracing::info!(serves, %address, "listening");
            }
        }
        gate.set_ready(true);
        let reloads = Arc::new(Notify::new());
        if let Some(path) = path {
            background.spawn(keep_reloading(Arc::clone(&gate), path.to_owned(), Arc::clone(&reloads)));
        }
        signals.run_until_end(&reloads).await;
        gate.set_ready(false);
        stop.cancel();
        gate.sessions.drain(gate.timeouts.drain);
        // HLS viewers go on with the process that comes next, also beside this one or when this one is killed.
        let giving_way = Arc::clone(&gate);
        background.spawn(async move {
            let patience = giving_way.timeouts.disk;
            giving_way.kept.give_way(patience).await;
        });
        tracing::info!(sessions = gate.sessions.count(), over = ?gate.timeouts.drain, "draining");
        let last = async {
            all_ended(workers).await;
            tracing::info!("drained");
            match gate.kept.last_save(gate.timeouts.disk).await {
                LastSave::Done => {}
                LastSave::TakenOver => tracing::info!("the process that comes next keeps the state"),
                LastSave::Late => {
                    tracing::error!("the last state was not saved: the disk did not take it in time");
                }
            }
        };
        tokio::select! {
            () = last => {}
            () = signals.end.recv() => tracing::warn!(sessions = gate.sessions.count(), "stopped before the drain was over"),
        }
        Ok(())
    });
    // After a second signal, workers that have not ended yet are not waited for.
    runtime.shutdown_background();
    ended
}

fn bind_at(
    address: SocketAddr,
    workers: usize,
    options: SocketOptions,
) -> Result<Vec<std::net::TcpListener>, StartError> {
    bind(address, workers, options).map_err(|source| StartError::Bind { address, source })
}

fn serves(listener: &ListenerConfig) -> &'static str {
    match (listener.playback, listener.token_api) {
        (true, true) => "playback token-api",
        (true, false) => "playback",
        (false, true) => "token-api",
        (false, false) => "nothing",
    }
}

/// One worker: its thread ends when it no longer accepts and its last connection has ended.
fn start_worker(
    index: usize,
    gate: &Arc<Gate>,
    sockets: Vec<(std::net::TcpListener, ListenerConfig)>,
    stop: &CancellationToken,
) -> Result<JoinHandle<()>, StartError> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (gate, stop) = (Arc::clone(gate), stop.clone());
    let work = move || runtime.block_on(work(&gate, sockets, &stop));
    Ok(std::thread::Builder::new()
        .name(format!("worker-{index}"))
        .spawn(work)?)
}

async fn work(
    gate: &Arc<Gate>,
    sockets: Vec<(std::net::TcpListener, ListenerConfig)>,
    stop: &CancellationToken,
) {
    let connections = TaskTracker::new();
    let accepting = TaskTracker::new();
    accepting.spawn(handler::hls::maintain_worker(stop.clone()));
    for (socket, listener) in sockets {
        let socket = match TcpListener::from_std(socket) {
            Ok(socket) => socket,
            Err(error) => {
                tracing::error!(%error, address = %listener.address, "a worker cannot listen");
                continue;
            }
        };
        let (gate, stop, connections) = (Arc::clone(gate), stop.clone(), connections.clone());
        accepting.spawn(async move {
            let serve = |incoming| {
                let connection = handler::connection(
                    Arc::clone(&gate),
                    listener.clone(),
                    incoming,
                    stop.clone(),
                );
                connections.spawn(connection);
            };
            accept(&socket, &gate.connections, &stop, serve).await;
        });
    }
    accepting.close();
    accepting.wait().await;
    connections.close();
    let last = async {
        connections.wait().await;
        // Viewers of other workers may read what a viewer of this worker began to fetch.
        gate.http.fetches_ended().await;
    };
    if timeout(gate.timeouts.drain + AFTER_DRAIN, last)
        .await
        .is_err()
    {
        tracing::warn!(
            connections = connections.len(),
            "connections outlived the drain"
        );
    }
}

/// Waits for the workers' threads without holding up the signals.
async fn all_ended(workers: Vec<JoinHandle<()>>) {
    let join = move || workers.into_iter().for_each(|worker| drop(worker.join()));
    let _ = tokio::task::spawn_blocking(join).await;
}

async fn look_up_all(gate: &Gate) {
    for server in gate.servers() {
        server.look_up().await;
    }
}

/// Once a second, logs what an operator should know.
async fn keep_watch(gate: Arc<Gate>) {
    let mut watch = JumpWatch::new(gate.clock.since_1970(), Instant::now());
    let mut lost_before = gate.lost_lines();
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let jump = watch.look(gate.clock.since_1970(), Instant::now());
        if let Some(Jump { by, forward }) = jump {
            gate.metrics.clock_jumps.inc();
            gate.sessions.clock_jumped();
            let direction = if forward { "forward" } else { "back" };
            tracing::warn!(
                direction,
                ?by,
                "the clock has jumped: what plays goes on unless its token cuts it at its expiry, and new decisions use the new time"
            );
        }
        let count = gate.refusal_lines.take_unsaid();
        if count > 0 {
            gate.metrics.refusals_not_logged.inc_by(count);
            tracing::warn!(count, "refusals beyond limits.refusals_logged, not logged");
        }
        let lost = gate.lost_lines();
        if lost > lost_before {
            tracing::warn!(
                count = lost - lost_before,
                "log lines were lost before this one"
            );
            // This line may be lost as well, and must not make another one.
            lost_before = lost + 1;
        }
    }
}

/// Looks the media servers' names up again and again, off the way of any request; at once unless that has just been done.
async fn keep_names_fresh(gate: Arc<Gate>, mut fresh: bool) {
    loop {
        if !fresh {
            look_up_all(&gate).await;
        }
        fresh = false;
        tokio::time::sleep(gate.timeouts.upstream_lookup).await;
    }
}

/// The signals that mean something.
struct Signals {
    end: Interrupt,
    hang_up: Signal,
    /// Kept for the hand-over of sockets, which does not exist yet: by default it would end the process.
    user_2: Signal,
    meaningless: Meaningless,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            end: Interrupt::new()?,
            hang_up: signal(SignalKind::hangup())?,
            user_2: signal(SignalKind::user_defined2())?,
            meaningless: Meaningless::new()?,
        })
    }

    /// Asks for a reload at each SIGHUP until the end.
    async fn run_until_end(&mut self, reloads: &Notify) {
        loop {
            tokio::select! {
                () = self.end.recv() => return,
                _ = self.user_2.recv() => tracing::warn!("SIGUSR2 does nothing in this version"),
                signal = self.meaningless.recv() => tracing::info!(signal, "a signal that means nothing"),
                _ = self.hang_up.recv() => reloads.notify_one(),
            }
        }
    }
}

/// Reloads whenever that is asked for, one after the other; what is asked for meanwhile is one more reload.
async fn keep_reloading(gate: Arc<Gate>, path: PathBuf, asked: Arc<Notify>) {
    loop {
        asked.notified().await;
        reload(&gate, &path).await;
    }
}

/// Reads the configuration again and decides by it from now on. A bad file changes nothing, and neither does one that
/// cannot be read for so long that it is given up: by then it may be older than the next one.
async fn reload(gate: &Gate, path: &Path) {
    let file = path.to_owned();
    let patience = gate.timeouts.disk;
    let problems = match within(patience, move || Config::load(&file)).await {
        Ok(Some(Ok(config))) => {
            tell(&config.dangers, &config.warnings);
            gate.reload(config);
            count_reload(gate, "ok");
            tracing::info!(file = %path.display(), "configuration reloaded");
            return;
        }
        Ok(Some(Err(errors))) => errors.iter().map(ToString::to_string).collect(),
        Ok(None) => {
            let path = path.display();
            vec![format!(
                "{path} or a secret of it could not be read within {patience:?} (timeouts.disk)"
            )]
        }
        Err(error) => vec![error.to_string()],
    };
    count_reload(gate, "failed");
    for error in problems {
        tracing::error!(error, "configuration not reloaded");
    }
}

/// Logs what an operator should hear of a configuration that comes into force.
fn tell(dangers: &[Notice], warnings: &[Notice]) {
    for danger in dangers {
        tracing::warn!(%danger, "a setting weakens a check");
    }
    for warning in warnings {
        tracing::warn!(%warning, "a setting is probably not meant");
    }
}

fn count_reload(gate: &Gate, reason: &'static str) {
    gate.metrics.reloads.get_or_create(&Why { reason }).inc();
}
