//! Step 6 while the viewer waits: its session can be ended meanwhile, and it can leave.

use std::pin::pin;

use tokio::net::TcpStream;
use tokio::time::sleep_until;

use crate::gate::Gate;
use crate::refusal::Refusal;
use crate::relay::Cause;
use crate::session::guard::SessionGuard;
use crate::upstream::{UpstreamConn, UpstreamError};

use super::Playback;

/// Why a granted playback has no media server.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub enum NoServer {
    /// There is none to be had.
    #[error(transparent)]
    Upstream(UpstreamError),
    /// The session was ended, or the viewer left.
    #[error("{0:?} while a media server was dialled")]
    Interrupted(Cause),
}

impl From<&NoServer> for Refusal {
    fn from(why: &NoServer) -> Self {
        match why {
            NoServer::Upstream(error) => Self::from(*error),
            NoServer::Interrupted(cause) => Self::from(*cause),
        }
    }
}

/// The media server for a playback, unless nobody waits for it any more.
pub async fn dial(
    gate: &Gate,
    socket: &TcpStream,
    playback: &Playback,
) -> Result<UpstreamConn, NoServer> {
    tokio::select! {
        biased;
        cause = interrupted(socket, &playback.guard) => Err(NoServer::Interrupted(cause)),
        dialled = gate.upstream.connect(&playback.permit, &playback.head) => {
            dialled.map_err(NoServer::Upstream)
        }
    }
}

/// Resolves when the session is to end or the viewer has left.
async fn interrupted(socket: &TcpStream, guard: &SessionGuard) -> Cause {
    let mut hung_up = pin!(hung_up(socket));
    let mut watch = guard.watch();
    loop {
        let Some((at, kick)) = guard.end() else {
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

/// Resolves when the viewer's connection has ended. A viewer that has said something already is not watched: what it
/// said waits in the socket for the relay.
async fn hung_up(socket: &TcpStream) {
    if matches!(socket.peek(&mut [0]).await, Ok(1..)) {
        std::future::pending::<()>().await;
    }
}
