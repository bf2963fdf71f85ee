//! One media server: its address, kept fresh off the request path, and whether it failed lately.

use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::server_url::ServerUrl;
use crate::token::StreamName;

/// A media server.
#[derive(Debug)]
pub struct Server {
    id: ServerId,
    name: Arc<str>,
    url: ServerUrl,
    state: Mutex<State>,
    /// Bounds the handshakes under way with this server.
    dials: Semaphore,
}

#[derive(Debug, Default)]
struct State {
    /// The last good answer of the name look-up.
    addresses: Vec<SocketAddr>,
    /// Tried last until then.
    failing_until: Option<Instant>,
}

/// Unique in this process: the key of what is kept for a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ServerId(u64);

impl ServerId {
    fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.url.fmt(f)
    }
}

impl Server {
    /// The server at this place, with which `dials` handshakes may be under way at once.
    pub(super) fn new(url: ServerUrl, dials: usize) -> Self {
        let address = url.host.parse().map(|ip| SocketAddr::new(ip, url.port));
        let state = State {
            addresses: address.into_iter().collect(),
            failing_until: None,
        };
        Self {
            id: ServerId::next(),
            name: url.to_string().into(),
            url,
            state: Mutex::new(state),
            dials: Semaphore::new(dials.min(Semaphore::MAX_PERMITS)),
        }
    }

    /// Its addresses at present; empty when its name was never resolved.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.state().addresses.clone()
    }

    /// Looks the name up again. A failed look-up keeps what is known.
    pub async fn look_up(&self) {
        let ServerUrl { host, port, .. } = &self.url;
        if host.parse::<IpAddr>().is_ok() {
            return;
        }
        match tokio::net::lookup_host((host.as_str(), *port))
            .await
            .map(Iterator::collect::<Vec<_>>)
        {
            Ok(found) if !found.is_empty() => self.state().addresses = found,
            Ok(_) => {
                tracing::warn!(server = %self, "the media server's name has no address");
            }
            Err(error) => {
                tracing::warn!(server = %self, %error, "the media server's name was not found");
            }
        }
    }

    pub(super) fn id(&self) -> ServerId {
        self.id
    }

    /// `host:port`, for the log.
    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) fn authority(&self) -> &HeaderValue {
        &self.url.authority
    }

    pub(super) fn is_at(&self, host: &str, port: u16) -> bool {
        self.url.host.eq_ignore_ascii_case(host) && self.url.port == port
    }

    /// Waits until fewer than the allowed handshakes are under way with it.
    pub(super) async fn dial_slot(&self) -> Option<SemaphorePermit<'_>> {
        self.dials.acquire().await.ok()
    }

    pub(super) fn failed(&self, backoff: Duration) {
        self.state().failing_until = Some(Instant::now() + backoff);
    }

    pub(super) fn worked(&self) {
        self.state().failing_until = None;
    }

    /// Whether it did not fail lately.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.state()
            .failing_until
            .is_none_or(|until| until <= Instant::now())
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This server's draw for a stream: the highest gets it (rendezvous hashing), so that a server that comes or goes
    /// moves only its own streams.
    fn draw(&self, stream: &StreamName) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.url.drawn_as, stream.as_str()).hash(&mut hasher);
        hasher.finish()
    }
}

/// The servers in the order in which they are tried for a stream: those that failed lately come last.
pub(super) fn in_order<'a>(servers: &'a [Server], stream: &StreamName) -> Vec<&'a Server> {
    let mut order: Vec<_> = servers.iter().collect();
    order.sort_by_cached_key(|server| {
        (!server.is_healthy(), std::cmp::Reverse(server.draw(stream)))
    });
    order
}
