//! Step 6: a [`Permit`] becomes an [`UpstreamConn`]. Media servers, their health, the choice by stream, and what goes up
//! to them; nothing of why the viewer was allowed.

pub mod dial;
pub mod head;
pub mod server;

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::decision::permit::Permit;
use dial::dial;
use head::RequestHead;
use server::Server;

/// How many media servers are tried for one viewer.
const TRIES: usize = 3;

/// A connection to a media server that has agreed to be a WebSocket.
#[derive(Debug)]
pub struct UpstreamConn {
    /// The socket.
    pub socket: TcpStream,
    /// What it sent right behind its answer.
    pub early: Vec<u8>,
}

/// Why no media server can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// Refused, unreachable, unknown name, or closed before an answer.
    #[error("no media server can be reached")]
    Unreachable,
    /// Not connected or not answered in time.
    #[error("the media server is too late")]
    TooLate,
    /// It answered that it cannot serve now.
    #[error("the media server answered {0}")]
    ServerFault(u16),
    /// It answered something that is no WebSocket.
    #[error("the media server answered {0} instead of 101")]
    WrongStatus(u16),
    /// It answered 101 wrongly, or no HTTP.
    #[error("the media server's answer is no WebSocket handshake: {0}")]
    WrongAnswer(&'static str),
}

/// How long to wait for media servers.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For the answer's head.
    pub head: Duration,
    /// For all tries together.
    pub total: Duration,
    /// How long a server that failed is tried last.
    pub backoff: Duration,
    /// When a peer that acknowledges nothing is given up.
    pub user_timeout: Duration,
}

/// All media servers.
#[derive(Debug)]
pub struct Upstream {
    servers: Vec<Server>,
    patience: Patience,
}

impl Upstream {
    /// From what is configured: `dials` handshakes at once with each server, so that all viewers coming back at once do not
    /// fall on it at once, and one that hangs holds up its own viewers alone.
    #[must_use]
    pub fn new(servers: Vec<Server>, patience: Patience, dials: usize) -> Self {
        servers.iter().for_each(|server| server.allow_dials(dials));
        Self { servers, patience }
    }

    /// The servers, for the name look-ups and the metrics.
    #[must_use]
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// A fresh connection to the stream's media server, or to the next one when that fails. Not cancel safe: dropping it
    /// closes the connection, which is what a caller wants.
    pub async fn connect(
        &self,
        permit: &Permit,
        head: &RequestHead,
    ) -> Result<UpstreamConn, UpstreamError> {
        let deadline = Instant::now() + self.patience.total;
        let servers = server::in_order(&self.servers, permit.stream());
        let tries = servers.len().min(TRIES);
        let mut last = UpstreamError::Unreachable;
        for (server, left) in servers
            .into_iter()
            .take(tries)
            .zip((1..=u32::try_from(tries).unwrap_or(1)).rev())
        {
            // A server that hangs uses up its own share of the time and not that of the next.
            let share = deadline.saturating_duration_since(Instant::now()) / left;
            let tried = timeout(share, dial(server, head, &self.patience)).await;
            match tried.unwrap_or(Err(UpstreamError::TooLate)) {
                Ok(conn) => {
                    server.worked();
                    return Ok(conn);
                }
                Err(wrong @ (UpstreamError::WrongStatus(_) | UpstreamError::WrongAnswer(_))) => {
                    return Err(wrong);
                }
                Err(failed) => {
                    tracing::warn!(server = %server, error = %failed, "media server failed");
                    // What a request provokes says little of the server; that it is not there says all.
                    if !matches!(failed, UpstreamError::ServerFault(code) if code != 503) {
                        server.failed(self.patience.backoff);
                    }
                    last = failed;
                }
            }
        }
        Err(last)
    }
}
