//! Workers: threads with a runtime and listening sockets of their own, on which connections live and die.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::ListenerConfig;
use crate::gate::Gate;
use crate::handler;
use crate::listener::accept;

use super::StartError;

/// How long the last connections have after the drain for their closing handshakes.
const AFTER_DRAIN: Duration = Duration::from_secs(5);

/// One worker: its thread ends when it no longer accepts and its last connection has ended.
pub(super) fn start_worker(
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
pub(super) async fn all_ended(workers: Vec<JoinHandle<()>>) {
    let join = move || workers.into_iter().for_each(|worker| drop(worker.join()));
    let _ = tokio::task::spawn_blocking(join).await;
}
