//! The end of a WebSocket.

use tokio::time::{Instant, sleep_until};

use crate::gate::Gate;
use crate::listener::socket::Socket;
use crate::refusal::Refusal;
use crate::relay::closing::finish;
use crate::relay::{Farewell, RETRY_HOLD, RelayEnd};
use crate::session::guard::SessionGuard;
use crate::session::id::Receipt;

use super::super::record;
use super::{NoServer, Playback};

/// Ends a playback that has no media server; what its viewer is told. The session's place is free before that, so that the
/// viewer's retry finds it.
pub fn farewell(
    gate: &Gate,
    playback: Box<Playback>,
    why: &NoServer,
    receipt: Receipt,
) -> Farewell {
    let refusal = Refusal::from(why);
    record::no_server(gate, &playback, why, &refusal, receipt);
    drop(playback);
    let mut farewell = refusal.farewell(receipt);
    if matches!(why, NoServer::Upstream(_)) {
        farewell.retried &= gate.websocket.upstream().outage().is_hidden();
    }
    farewell
}

/// Notes the end of a playback that was relayed, and frees its session's place.
pub fn note_end(gate: &Gate, guard: SessionGuard, end: &RelayEnd, receipt: Receipt) {
    record::ended(gate, &guard, end, receipt);
    if end.to_viewer == 0 && end.cause.is_servers() {
        gate.websocket.upstream().outage().goes_on();
    }
    drop(guard);
}

/// Says the last word on a socket that has stood open since `opened`.
pub async fn leave(gate: &Gate, socket: &mut Socket, farewell: Farewell, opened: Instant) {
    if farewell.retried {
        sleep_until(opened + RETRY_HOLD).await;
    }
    finish(socket, &farewell.frame, gate.timeouts.linger).await;
}
