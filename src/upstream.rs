//! Step 6: a [`Permit`] becomes an [`UpstreamConn`] or a [`Fetched`](fetch::Fetched). Media servers, their health, the
//! choice by stream, the connections that are kept to them, and what is sent to them. Why the viewer was allowed is not
//! known here.

pub mod body;
mod checked_socket;
mod connection;
pub mod dial;
pub mod failure;
pub mod fetch;
pub mod head;
pub mod outage;
pub mod pool;
mod redirect;
pub mod server;
pub mod server_url;

use std::time::Duration;

use http::HeaderValue;
use http::uri::Authority;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::decision::permit::Permit;
use dial::dial;
use failure::{Evidence, UpstreamFailure};
use head::RequestHead;
use outage::Outage;
use server::Server;
use server_url::{ServerUrl, place};

/// How many media servers may fail for one viewer. A server that does not have the stream has not failed: the next one may
/// have it.
const TRIES: usize = 3;

/// A connection to a media server that has agreed to be a WebSocket.
#[derive(Debug)]
pub struct UpstreamConn {
    /// The socket.
    pub socket: TcpStream,
    /// What it sent right behind its answer.
    pub early: Vec<u8>,
}

impl UpstreamConn {
    /// Whether the media server's first frame is anything but a close.
    async fn speaks(&mut self) -> bool {
        while self.early.is_empty() {
            if !matches!(self.socket.read_buf(&mut self.early).await, Ok(1..)) {
                return false;
            }
        }
        // Any other opcode than a close's (RFC 6455 section 5.2).
        self.early.first().is_some_and(|byte| byte & 0x0f != 0x8)
    }
}

/// Why no media server serves the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// It refuses connections.
    #[error("the media server refuses connections")]
    Refused,
    /// Its name has no address.
    #[error("the media server's name is not found")]
    UnknownName,
    /// No way leads to it.
    #[error("the media server cannot be reached")]
    Unreachable,
    /// The connection ended before the answer was whole.
    #[error("the media server closed the connection before its answer was whole")]
    Lost,
    /// Not connected or not answered in time.
    #[error("the media server timed out")]
    TooLate,
    /// It answered that it cannot serve now.
    #[error("the media server answered {0}")]
    ServerFault(u16),
    /// It answered 503 over HTTP; in how many seconds it can be asked again.
    #[error("the media server answered 503, for {0} seconds")]
    Busy(u32),
    /// None has answered for longer than `timeouts.outage_hold`, and none is dialled for this viewer.
    #[error("no media server has answered for a long time")]
    Outage,
    /// It answered a WebSocket handshake with a status that says that there is no such stream, or none for this viewer.
    #[error("the media server answered {0}: no such stream")]
    NoStream(u16),
    /// It answered with a status that is of no use: another than 101 to a handshake, 403 to a GET.
    #[error("the media server answered {0}, which is no answer for the gate")]
    WrongStatus(u16),
    /// It answered a wrong 101, or a 101 to a request that asked for no upgrade; it redirected to another host than the
    /// media servers; or its answer is not HTTP.
    #[error("the media server's answer is wrong: {0}")]
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
    /// After how long a peer that acknowledges nothing is given up.
    pub user_timeout: Duration,
    /// How long a server may pause inside a body.
    pub media_idle: Duration,
    /// How long an outage of all servers is hidden from players.
    pub outage_hold: Duration,
}

/// All media servers.
#[derive(Debug)]
pub struct Upstream {
    servers: Vec<Server>,
    host: Option<(Authority, HeaderValue)>,
    patience: Patience,
    outage: Outage,
}

impl Upstream {
    /// From what is configured: `host` is sent as `Host` to all servers (without one, HTTP requests carry the address of the
    /// server that is asked); at most `dials` handshakes are under way with each server, so that viewers that all come back
    /// at once do not overload it, and a server that hangs holds up only its own viewers.
    #[must_use]
    pub fn new(
        servers: Vec<ServerUrl>,
        host: Option<Authority>,
        patience: Patience,
        dials: usize,
    ) -> Self {
        let servers = servers.into_iter().map(|url| Server::new(url, dials));
        let host = host.and_then(|host| {
            let value = HeaderValue::from_str(host.as_str()).ok()?;
            Some((host, value))
        });
        Self {
            servers: servers.collect(),
            host,
            patience,
            outage: Outage::new(patience.outage_hold),
        }
    }

    /// Since when no media server has answered a WebSocket.
    #[must_use]
    pub fn outage(&self) -> &Outage {
        &self.outage
    }

    /// The servers, for the name look-ups and the metrics.
    #[must_use]
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// Whether a URL with this scheme and authority leads to the media servers: the authority is that of a server or the
    /// configured host. Letter case makes no difference, and a port may be left out where it is the scheme's own, 80 or
    /// 443. An authority with a user name in it does not.
    #[must_use]
    pub fn is_ours(&self, scheme: &str, authority: &str) -> bool {
        let default = match scheme {
            _ if scheme.eq_ignore_ascii_case("http") => 80,
            _ if scheme.eq_ignore_ascii_case("https") => 443,
            _ => return false,
        };
        let Ok(authority) = authority.parse::<Authority>() else {
            return false;
        };
        let Some((name, port)) = place(&authority, default) else {
            return false;
        };
        let is_host = || {
            let host = self.host.as_ref();
            let host = host.and_then(|(host, _)| place(host, default));
            host.is_some_and(|host| host.0.eq_ignore_ascii_case(name) && host.1 == port)
        };
        self.servers.iter().any(|server| server.is_at(name, port)) || is_host()
    }

    /// A new connection to the stream's media server, or to the next one when that fails or does not have the stream. Not
    /// cancel safe: dropping the future closes the connection, as a caller that has lost its viewer needs.
    pub async fn connect(
        &self,
        permit: &Permit,
        head: &RequestHead,
    ) -> Result<UpstreamConn, UpstreamFailure> {
        let dial = async |server| {
            let dialled: Result<_, UpstreamError> = dial(server, head, &self.patience).await;
            // This server is in service, though it does not have the stream.
            if matches!(dialled, Err(UpstreamError::NoStream(_))) {
                self.outage.ends();
            }
            dialled.map_err(UpstreamFailure::from)
        };
        let connected = self
            .in_turn(permit, Duration::ZERO, |_| false, |_| false, dial)
            .await;
        match &connected {
            // A server that answers 101 and then sends nothing may hang: it does not end the outage.
            Ok(_) => {}
            Err(failure) if matches!(failure.error, UpstreamError::NoStream(_)) => {}
            Err(_) => self.outage.goes_on(),
        }
        connected
    }

    /// Finds out, for all viewers, whether a media server is back, and ends the outage then: a server that is back answers 101
    /// and then sends a frame, since media servers greet every viewer (protocol.md 5).
    pub async fn probe(&self, permit: &Permit, head: &RequestHead) {
        if let Ok(mut server) = self.connect(permit, head).await
            && let Ok(true) = timeout(self.patience.total, server.speaks()).await
        {
            self.outage.ends();
        }
    }

    /// Tries servers until one works. Each has its share of the time, but never less than `held`, the time for which a
    /// server may hold an answer back by intent. A failure that the viewer's request has `provoked` does not make the server
    /// unhealthy. An answer that `lacks` the stream is the result only when every server was asked and lacks it; when a server
    /// failed, its failure is the result, since that server may have the stream.
    async fn in_turn<'a, T, F>(
        &'a self,
        permit: &Permit,
        held: Duration,
        provoked: impl Fn(&UpstreamError) -> bool,
        lacks: impl Fn(&T) -> bool,
        attempt: impl Fn(&'a Server) -> F,
    ) -> Result<T, UpstreamFailure>
    where
        F: Future<Output = Result<T, UpstreamFailure>>,
    {
        let deadline = Instant::now() + self.patience.total.max(held);
        let servers = server::in_order(&self.servers, permit.stream());
        let count = servers.len();
        let (mut failures, mut last, mut lacking) = (0, None, None);
        for (server, before) in servers.into_iter().zip(0..) {
            let left = (count - before).min(TRIES - failures);
            let Some(left) = u32::try_from(left).ok().filter(|left| *left > 0) else {
                break;
            };
            // A server that hangs uses up its own share of the time and not that of the next.
            let remaining = deadline.saturating_duration_since(Instant::now());
            if remaining.is_zero() {
                break;
            }
            let share = (remaining / left).max(held).min(remaining);
            let tried = timeout(share, attempt(server)).await;
            let tried = tried.unwrap_or(Err(UpstreamError::TooLate.into()));
            let failure = match tried {
                Ok(answer) if lacks(&answer) => {
                    server.worked();
                    lacking = Some(Ok(answer));
                    continue;
                }
                Ok(done) => {
                    server.worked();
                    return Ok(done);
                }
                Err(failure) => failure.about(|| Evidence::unanswered(server, None)),
            };
            match failure.error {
                UpstreamError::NoStream(_) => {
                    server.worked();
                    lacking = Some(Err(failure));
                }
                UpstreamError::WrongStatus(_) | UpstreamError::WrongAnswer(_) => {
                    return Err(failure);
                }
                failed @ (UpstreamError::Refused
                | UpstreamError::UnknownName
                | UpstreamError::Unreachable
                | UpstreamError::Lost
                | UpstreamError::TooLate
                | UpstreamError::ServerFault(_)
                | UpstreamError::Busy(_)
                | UpstreamError::Outage) => {
                    let stream = permit.stream();
                    tracing::warn!(%server, %stream, error = %failed, "media server failed");
                    // A 5xx may be due to this request alone; an unreachable, late or busy server fails for every request.
                    let fault = matches!(failed, UpstreamError::ServerFault(code) if code != 503);
                    if !fault && !provoked(&failed) {
                        server.failed(self.patience.backoff);
                    }
                    failures += 1;
                    last = Some(failure);
                }
            }
        }
        match (last, lacking) {
            (None, Some(lacking)) => lacking,
            (failed, _) => Err(failed.unwrap_or(UpstreamError::Unreachable.into())),
        }
    }
}

#[cfg(test)]
#[path = "upstream/ours_tests.rs"]
mod tests;
