//! The process: sockets, workers, signals, and an orderly end.
//!
//! Each worker is a thread with a runtime and listening sockets of its own; a connection lives and dies on one worker.
//! The main thread answers the operator, looks names up and hears the signals.

mod reloading;
mod signals;
mod upkeep;
mod worker;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin;
use crate::clock::Clock;
use crate::config::{Config, ListenerConfig};
use crate::gate::Gate;
use crate::gate::kept::{self, LastSave};
use crate::gate::site::Site;
use crate::handler;
use crate::listener::{SocketOptions, bind};
use crate::logging::Log;
use reloading::{keep_reloading, tell};
use signals::Signals;
use upkeep::{keep_names_fresh, keep_watch, look_up_all};
use worker::{all_ended, start_worker};

/// How long the start waits for the media servers' names.
const FIRST_LOOK_UP: Duration = Duration::from_secs(1);

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
