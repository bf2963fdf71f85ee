//! Step 1: a socket becomes an [`Accepted`] connection. TCP, permits, the PROXY protocol and the deadline of the first
//! head; nothing of HTTP.
//!
//! Each worker has sockets of its own on the same address (`SO_REUSEPORT`), so that the kernel spreads connections and
//! no worker waits for another's lock.

pub mod limit;
pub mod proxy_protocol;
pub mod scheme;
pub mod socket;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use limit::{ConnectionLimit, ConnectionPermit};
use proxy_protocol::ProxyError;
use scheme::Scheme;
use socket::Socket;

/// How long the accept loop rests after an error such as having no descriptor left. The waiting connections stay in the
/// backlog meanwhile.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a connection beyond the limit is told: it costs no parsing, and a player that retries is let in later.
const BUSY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\
    Retry-After: 5\r\nAccess-Control-Allow-Origin: *\r\n\r\n";

/// Socket options of every viewer's connection.
#[derive(Clone, Copy, Debug)]
pub struct SocketOptions {
    /// Connections that wait to be accepted.
    pub backlog: u32,
    /// When a peer that acknowledges nothing is given up (`TCP_USER_TIMEOUT`, RFC 5482).
    pub user_timeout: Duration,
    /// The most bytes that the kernel keeps unsent for one connection before it stops taking more (`TCP_NOTSENT_LOWAT`).
    pub unsent: u32,
}

/// The other side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// The one that opened the socket.
    Socket(SocketAddr),
    /// The one that the PROXY protocol named; `None` when its header named none.
    Proxied(Option<SocketAddr>),
}

/// A connection that may send its first head.
#[derive(Debug)]
pub struct Accepted {
    /// The socket, its first byte being HTTP.
    pub socket: Socket,
    /// The other side.
    pub peer: Peer,
    /// How the viewer asks, as far as the connection itself says it.
    pub scheme: Scheme,
    /// Until when the first head must be complete.
    pub head_deadline: Instant,
    /// Gives the place back when dropped.
    pub permit: ConnectionPermit,
}

/// A connection as the kernel gave it.
#[derive(Debug)]
pub struct Incoming {
    socket: TcpStream,
    from: SocketAddr,
    permit: ConnectionPermit,
}

impl Incoming {
    /// Reads the PROXY header where the listener has one. All that must happen before the first byte is served shares
    /// one deadline with that head; `is_listed` says of which peers the header is believed. Not cancel safe: dropping it loses
    /// the connection, which is what a caller wants.
    pub async fn prepare(
        mut self,
        is_listed: impl Fn(IpAddr) -> bool,
        proxy_protocol: bool,
        head_timeout: Duration,
    ) -> Result<Accepted, ProxyError> {
        let head_deadline = Instant::now() + head_timeout;
        let (peer, tls_in_front) = if proxy_protocol {
            if !is_listed(self.from.ip()) {
                return Err(ProxyError::Unlisted);
            }
            let header = proxy_protocol::read(&mut self.socket);
            match timeout_at(head_deadline, header)
                .await
                .map_err(|_| ProxyError::TooLate)??
            {
                // It speaks for itself: no header of HTTP is read, as always behind the PROXY protocol.
                proxy_protocol::Header::Local => (Peer::Proxied(Some(self.from)), false),
                proxy_protocol::Header::Client { address, tls } => (Peer::Proxied(address), tls),
            }
        } else {
            (Peer::Socket(self.from), false)
        };
        let socket = Socket::plain(self.socket);
        let scheme = match tls_in_front {
            true => Scheme::Https,
            false => socket.scheme(),
        };
        Ok(Accepted {
            socket,
            peer,
            scheme,
            head_deadline,
            permit: self.permit,
        })
    }

    /// The socket as it is, for a listener whose peers need no preparation.
    #[must_use]
    pub fn into_parts(self) -> (Socket, ConnectionPermit) {
        (Socket::plain(self.socket), self.permit)
    }

    /// Where the socket came from.
    #[must_use]
    pub fn from(&self) -> SocketAddr {
        self.from
    }
}

/// Binds one socket for each worker to `address`; a port of 0 is chosen once for all. The options of the listening
/// socket are inherited by what it accepts, which saves their system calls on every connection.
pub fn bind(
    address: SocketAddr,
    workers: usize,
    options: SocketOptions,
) -> io::Result<Vec<std::net::TcpListener>> {
    // With SO_REUSEPORT alone a second gate would silently take half of the connections of the first.
    let probe = open(address, options, false)?;
    let address = probe.local_addr()?;
    drop(probe);
    (0..workers).map(|_| open(address, options, true)).collect()
}

fn open(
    address: SocketAddr,
    options: SocketOptions,
    shared: bool,
) -> io::Result<std::net::TcpListener> {
    let socket = socket2::Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    set_stream_options(&SockRef::from(&socket), options.user_timeout)?;
    // A slow viewer's backlog belongs to its media server, not to the kernel's memory.
    socket.set_tcp_notsent_lowat(options.unsent)?;
    socket.bind(&address.into())?;
    if shared {
        socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
    }
    Ok(socket.into())
}

/// What both sides of a relay want: no waiting for a full packet, and an end for peers that are gone. Keepalive never
/// fires while data is unacknowledged, hence the user timeout beside it.
pub fn set_stream_options(socket: &SockRef<'_>, user_timeout: Duration) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(30))
        .with_interval(Duration::from_secs(10));
    // How many probes may fail says the user timeout, which stands above TCP_KEEPCNT (tcp(7)).
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(user_timeout))
}

/// Accepts until `stop`, handing each connection to `serve`, which must return at once. Only accepts: whatever takes
/// time or may fail is the connection's own task.
pub async fn accept(
    listener: &TcpListener,
    limit: &Arc<ConnectionLimit>,
    stop: &CancellationToken,
    mut serve: impl FnMut(Incoming),
) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, from)) => match limit.take() {
                Some(permit) => serve(Incoming {
                    socket,
                    from,
                    permit,
                }),
                None => {
                    // Best effort: a full send buffer on a fresh connection does not happen.
                    let _ = socket.try_write(BUSY);
                }
            },
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Errors of `accept(2)` that say something of the connection that was waiting, not of us.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}
