//! One media server: its address, kept fresh off the request path, and whether it failed lately.

use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use http::uri::Authority;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::token::StreamName;

/// A media server.
pub struct Server {
    id: ServerId,
    host: String,
    port: u16,
    /// The name that its streams are chosen by: the same for the WebSocket and the HTTP side of a media server.
    drawn_as: (String, u16),
    /// What `Host` says when this server is asked for itself.
    authority: HeaderValue,
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
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ServerId(u64);

impl ServerId {
    fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl fmt::Debug for ServerId {
    /// Without the number, which depends on how many servers were parsed before: with it the same configuration would look
    /// different when it is read twice.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerId")
    }
}

/// A text that is no server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an http URL with a host and an optional port, such as http://127.0.0.1:8181")]
pub struct NotAServer;

impl FromStr for Server {
    type Err = NotAServer;

    /// `http://HOST[:PORT]`, with nothing behind it; paths are configured on their own.
    fn from_str(text: &str) -> Result<Self, NotAServer> {
        let uri: http::Uri = text.parse().map_err(|_| NotAServer)?;
        let authority = uri.authority().ok_or(NotAServer)?;
        if uri.scheme_str() != Some("http")
            || uri.path() != "/"
            || uri.query().is_some()
            || authority.host().is_empty()
        {
            return Err(NotAServer);
        }
        let (host, port) = place(authority, 80).ok_or(NotAServer)?;
        let host = host.to_owned();
        let field = match port {
            80 => authority.host(),
            _ => authority.as_str(),
        };
        let field = HeaderValue::from_str(field).map_err(|_| NotAServer)?;
        let addresses = host
            .parse()
            .map(|ip| vec![SocketAddr::new(ip, port)])
            .unwrap_or_default();
        Ok(Self {
            drawn_as: (host.clone(), port),
            id: ServerId::next(),
            host,
            port,
            authority: field,
            state: Mutex::new(State {
                addresses,
                failing_until: None,
            }),
            dials: Semaphore::new(0),
        })
    }
}

/// Host, without brackets, and port of an authority; `None` when its port is none or a user is named.
pub(super) fn place(authority: &Authority, default: u16) -> Option<(&str, u16)> {
    // `Authority::port` takes a port beyond 65535 for none at all, so what follows the host is read here; a user would
    // stand before it.
    let host = authority.host();
    let port = match authority.as_str().strip_prefix(host)? {
        "" | ":" => default,
        port => port.strip_prefix(':')?.parse().ok()?,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Some((host, port))
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, port) = &self.drawn_as;
        write!(f, "Server({self} beside {host}:{port})")
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Server {
    /// The other side of the media server `other`: both are chosen for the same streams.
    #[must_use]
    pub fn beside(mut self, other: &Self) -> Self {
        self.drawn_as.clone_from(&other.drawn_as);
        self
    }

    /// Its addresses at present; empty when its name was never resolved.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.state().addresses.clone()
    }

    /// Looks the name up again. A failed look-up keeps what is known.
    pub async fn look_up(&self) {
        if self.host.parse::<std::net::IpAddr>().is_ok() {
            return;
        }
        match tokio::net::lookup_host((self.host.as_str(), self.port))
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

    pub(super) fn authority(&self) -> &HeaderValue {
        &self.authority
    }

    pub(super) fn is_at(&self, host: &str, port: u16) -> bool {
        self.host.eq_ignore_ascii_case(host) && self.port == port
    }

    pub(super) fn allow_dials(&self, count: usize) {
        self.dials.add_permits(count.min(Semaphore::MAX_PERMITS));
    }

    /// Waits until fewer than the allowed handshakes are under way with it.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
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
        (&self.drawn_as.0, self.drawn_as.1, stream.as_str()).hash(&mut hasher);
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
