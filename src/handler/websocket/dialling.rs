//! Step 6 of a WebSocket: the dial ends when the session is ended or the viewer hangs up.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::task::TaskTracker;

use crate::gate::Gate;
use crate::listener::socket::Socket;
use crate::relay::Cause;
use crate::session::guard::SessionGuard;
use crate::upstream::failure::UpstreamFailure;
use crate::upstream::{UpstreamConn, UpstreamError};

use super::{NoServer, Playback};

/// How long a viewer waits for the end of a long outage. It is told of it before its player's retry counter resets, after
/// 200 ms on an open socket (protocol.md 3).
const OUTAGE_WAIT: Duration = Duration::from_millis(150);

/// The media server for a playback, unless its session or its viewer's connection ends meanwhile.
pub async fn dial(
    gate: &Arc<Gate>,
    socket: &Socket,
    playback: &Playback,
) -> Result<UpstreamConn, NoServer> {
    tokio::select! {
        biased;
        cause = interrupted(socket, &playback.guard) => Err(NoServer::Interrupted(cause)),
        dialled = connect(gate, playback) => dialled.map_err(NoServer::Upstream),
    }
}

/// Dials, but in a long outage only when that ends in time.
async fn connect(gate: &Arc<Gate>, playback: &Playback) -> Result<UpstreamConn, UpstreamFailure> {
    let outage = gate.websocket.upstream().outage();
    if outage.is_long() {
        probe(gate, playback);
        let over = timeout(OUTAGE_WAIT, outage.over()).await;
        over.map_err(|_| UpstreamError::Outage)?;
    }
    gate.websocket
        .upstream()
        .connect(&playback.permit, &playback.head)
        .await
}

/// Begins a probe with this viewer's handshake, unless one runs. It goes on when the viewer has left.
fn probe(gate: &Arc<Gate>, playback: &Playback) {
    if let Some(place) = gate.websocket.upstream().outage().probe() {
        let (permit, head) = (playback.permit.clone(), playback.head.clone());
        let owned = Arc::clone(gate);
        // The drain does not wait for it: it ends with the worker.
        TaskTracker::new().spawn(async move {
            owned.websocket.upstream().probe(&permit, &head).await;
            drop(place);
        });
    }
}

/// Resolves when the session is to end or the viewer has left.
async fn interrupted(socket: &Socket, guard: &SessionGuard) -> Cause {
    let mut hung_up = pin!(socket.hung_up());
    let mut watch = guard.watch();
    loop {
        let Some((at, kick)) = guard.end(Instant::now()) else {
            tokio::select! {
                () = hung_up.as_mut() => return Cause::ViewerGone,
                () = watch.changed() => continue,
            }
        };
        tokio::select! {
            () = hung_up.as_mut() => return Cause::ViewerGone,
            () = watch.changed() => {}
            () = sleep_until(at) => return Cause::Kicked(kick),
        }
    }
}
