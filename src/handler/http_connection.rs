//! A connection while it speaks HTTP: requests are answered one after the other until one of them becomes a WebSocket.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use http::header::CONNECTION;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::config::ListenerConfig;
use crate::gate::Gate;
use crate::listener::limit::ConnectionPermit;
use crate::listener::scheme::Scheme;
use crate::listener::socket::Socket;
use crate::listener::{self, Accepted, Peer};
use crate::pace::Pace;
use crate::relay::closing::finish_within;
use crate::request::endpoint::Served;

use super::answer_socket::AnswerSocket;
use super::body::AnswerBody;
use super::head_lines::HeadLines;
use super::hls::connection_cache::ConnectionCache;
use super::websocket::Admission;

/// What the requests of one connection share.
#[derive(Debug)]
pub struct HttpConnection {
    /// The other side of the connection.
    pub peer: Peer,
    /// How the viewer asks, unless a listed neighbour in front says otherwise.
    pub scheme: Scheme,
    /// What its listener serves.
    pub served: Served,
    /// What hyper does not tell of a head, where the token API is served.
    pub heads: HeadLines,
    /// What its last HLS requests came to.
    pub hls_cache: ConnectionCache,
    /// Set by the request that became a WebSocket.
    admission: Mutex<Option<Admission>>,
    /// Set with the admission: our 101 waits for what follows it.
    upgrades: AtomicBool,
    /// A complete head has been read.
    heard: AtomicBool,
    /// The connection ends with the last answer, whatever its peer still sends.
    ends: AtomicBool,
    /// How often it was refused.
    pace: Mutex<Pace>,
}

/// A connection that has become a WebSocket: our 101 is out, or before the close frame that follows it.
#[derive(Debug)]
pub struct Upgraded {
    /// The socket.
    pub socket: Socket,
    /// What the viewer sent right behind its handshake.
    pub early: Vec<u8>,
    /// What follows the 101.
    pub admission: Admission,
    /// The connection's place.
    pub permit: ConnectionPermit,
}

/// Accepts a connection by the policy of this moment, which it must not keep: a reload may replace the keys in it.
pub async fn accept(
    gate: &Gate,
    listener: &ListenerConfig,
    incoming: listener::Incoming,
) -> Option<(HttpConnection, Accepted)> {
    let from = incoming.from();
    let policy = gate.policy();
    let is_listed = |address| policy.edge.neighbours.lists(address);
    let prepared = incoming.prepare(is_listed, listener.proxy_protocol, gate.timeouts.head);
    match prepared.await {
        Ok(accepted) => {
            let served = Served {
                playback: listener.playback,
                token_api: listener.token_api,
            };
            Some((HttpConnection::new(&accepted, served), accepted))
        }
        Err(error) => {
            tracing::debug!(%from, %error, "connection refused");
            None
        }
    }
}

impl HttpConnection {
    /// A connection that has not been asked for anything yet.
    fn new(accepted: &Accepted, served: Served) -> Self {
        Self {
            peer: accepted.peer,
            scheme: accepted.scheme,
            served,
            heads: HeadLines::default(),
            hls_cache: ConnectionCache::default(),
            admission: Mutex::new(None),
            upgrades: AtomicBool::new(false),
            heard: AtomicBool::new(false),
            ends: AtomicBool::new(false),
            pace: Mutex::new(Pace::new(Instant::now())),
        }
    }

    /// Makes the connection a WebSocket with the answer to this request, which must be a 101.
    pub fn upgrade(&self, admission: Admission) {
        let mut upgraded = self
            .admission
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *upgraded = Some(admission);
        self.upgrades.store(true, Ordering::Relaxed);
    }

    /// Answers requests by `answer` until the connection ends (`None`) or one of them is a WebSocket.
    pub async fn serve<A>(
        &self,
        gate: &Gate,
        accepted: Accepted,
        stop: CancellationToken,
        answer: impl Fn(Request<Incoming>) -> A,
    ) -> Option<Upgraded>
    where
        A: Future<Output = Response<AnswerBody>>,
    {
        let Accepted {
            socket,
            head_deadline,
            permit,
            ..
        } = accepted;
        let service = service_fn(|request: Request<Incoming>| {
            self.heard.store(true, Ordering::Relaxed);
            let answered = answer(request);
            // hyper wants to move the future.
            Box::pin(async move {
                let response = answered.await;
                // A listed neighbour's connection is many viewers'.
                if response.status().is_client_error() && !self.is_neighbours(gate) {
                    self.refuse_in_turn(gate).await;
                }
                self.heads.begin_again();
                if is_last(&response) {
                    self.ends.store(true, Ordering::Relaxed);
                }
                Ok::<_, Infallible>(response)
            })
        });
        let mut http = http1::Builder::new();
        // The timer is what makes the timeout real.
        http.timer(TokioTimer::new())
            .header_read_timeout(gate.timeouts.keep_alive);
        http.max_headers(gate.limits.fields)
            .max_buf_size(gate.limits.head);
        let mut socket = AnswerSocket::new(socket, gate.timeouts.write_stall, &self.upgrades);
        if self.served.token_api {
            socket = socket.shown_to(&self.heads);
        }
        let mut served = http.serve_connection(TokioIo::new(socket), service);

        let mut deadline = pin!(sleep_until(head_deadline));
        let (mut first, mut draining) = (true, false);
        loop {
            tokio::select! {
                biased;
                ended = poll_fn(|cx| served.poll_without_shutdown(cx)) => {
                    match ended {
                        Ok(()) => break,
                        // No HTTP, which hyper has answered.
                        Err(error) if error.is_parse() => {
                            self.ends.store(true, Ordering::Relaxed);
                            break;
                        }
                        // Errors are the client's: a reset, or a head that is too slow.
                        Err(_) => return None,
                    }
                }
                () = deadline.as_mut(), if first => {
                    // Looked at here and not in the condition, which is looked at once for the whole connection.
                    if !self.heard.load(Ordering::Relaxed) {
                        return None;
                    }
                    first = false;
                }
                () = stop.cancelled(), if !draining => {
                    // Requests under way are answered; a connection that waits for its next one ends.
                    draining = true;
                    Pin::new(&mut served).graceful_shutdown();
                }
            }
        }
        let parts = served.into_parts();
        let mut socket = parts.io.into_inner();
        let Some(admission) = self.take_admission() else {
            if self.ends.load(Ordering::Relaxed) {
                Box::pin(close_in_order(&mut socket, gate)).await;
            }
            return None;
        };
        let (socket, admission) = match admission {
            Admission::Close(farewell) if !farewell.retried => {
                let (socket, answer) = socket.into_parts();
                (socket, Admission::Close(farewell.behind(answer)))
            }
            admission @ (Admission::Play(_) | Admission::Close(_)) => {
                (socket.release().await.ok()?, admission)
            }
        };
        Some(Upgraded {
            socket,
            early: parts.read_buf.to_vec(),
            admission,
            permit,
        })
    }

    fn take_admission(&self) -> Option<Admission> {
        let mut admission = self
            .admission
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        admission.take()
    }

    fn is_neighbours(&self, gate: &Gate) -> bool {
        match self.peer {
            Peer::Socket(address) => gate.policy().edge.neighbours.lists(address.ip()),
            Peer::Proxied(_) => false,
        }
    }

    /// Lets a refusal wait that follows too many others on this connection.
    async fn refuse_in_turn(&self, gate: &Gate) {
        let now = Instant::now();
        let due = {
            let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
            let due = pace.wait(now);
            pace.spend(now, gate.websocket.relay().refusal_cost);
            due
        };
        if let Some(due) = due {
            sleep_until(due).await;
        }
    }
}

/// Closes behind the last answer, so that a client that writes all of its request before it reads comes as far as that.
pub async fn close_in_order<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut S, gate: &Gate) {
    let (linger, most) = (gate.timeouts.linger, gate.limits.refused_body);
    finish_within(socket, &[], linger, most).await;
}

/// Whether an answer says that the connection ends with it.
fn is_last<B>(response: &Response<B>) -> bool {
    let connection = response.headers().get(CONNECTION);
    connection.is_some_and(|options| options.as_bytes().ends_with(b"close"))
}
