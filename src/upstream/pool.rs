//! Connections between two requests. Each thread keeps its own, because a connection belongs to its thread's runtime: no
//! lock, and no wake-up of another thread.
//!
//! HTTP/1.1 does not say which request an answer is for. Bytes that a server sends without a request must not become the
//! answer to the next request. So a connection is checked when it is kept and again when it is taken, and closed if unrequested
//! bytes have come. A connection is also closed after an answer that has no body by definition (to HEAD, 204, 304), since a
//! server that sends a body all the same sends it late. A server that has sent unrequested bytes is asked on new connections
//! for a while. One case remains: unrequested bytes that come between a request and the answer to it.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::connection::HttpConnection;
use super::server::{Server, ServerId};

/// The most connections that idle, for each server and thread.
const IDLE_LIMIT: usize = 64;

/// The longest that a connection idles; common servers close after 60 s and more.
const IDLE_TIME: Duration = Duration::from_secs(30);

/// How long no connection is kept to a server that has sent unrequested bytes.
const DISTRUST: Duration = Duration::from_secs(60);

thread_local! {
    static IDLE: RefCell<HashMap<ServerId, VecDeque<Idle>>> = RefCell::default();
    static DISTRUSTED: RefCell<HashMap<ServerId, Instant>> = RefCell::default();
}

/// A connection that idles; in a server's queue the oldest comes first.
struct Idle {
    connection: Box<HttpConnection>,
    since: Instant,
}

/// The connection to a server that has idled the shortest, if one is left that the server has not closed and on which no
/// unrequested bytes have come.
pub(super) fn take(server: &Server) -> Option<Box<HttpConnection>> {
    let id = server.id();
    loop {
        let mut idle = IDLE.with_borrow_mut(|idle| {
            let connections = idle.get_mut(&id)?;
            sweep(connections);
            connections.pop_back()
        })?;
        if idle.connection.is_quiet() && idle.connection.is_ready() {
            return Some(idle.connection);
        }
        if idle.connection.has_strayed() {
            distrust(server);
        }
    }
}

/// A server has sent unrequested bytes: no connection to it is used a second time for [`DISTRUST`].
pub(super) fn distrust(server: &Server) {
    let id = server.id();
    IDLE.with_borrow_mut(|idle| idle.remove(&id));
    let until = Instant::now() + DISTRUST;
    let before = DISTRUSTED.with_borrow_mut(|distrusted| distrusted.insert(id, until));
    if before.is_none_or(|until| until <= Instant::now()) {
        tracing::warn!(%server, "the media server sends what nothing asked for; its connections are not kept for a minute");
    }
}

fn is_distrusted(server: ServerId) -> bool {
    DISTRUSTED.with_borrow(|distrusted| {
        let until = distrusted.get(&server);
        until.is_some_and(|until| *until > Instant::now())
    })
}

/// Keeps a connection to a server for the next request, if it can be used again.
pub(super) fn put(server: ServerId, mut connection: Box<HttpConnection>) {
    connection.rest();
    if !connection.is_ready() || is_distrusted(server) {
        return;
    }
    let since = Instant::now();
    // A thread that ends keeps nothing any more.
    let _ = IDLE.try_with(|idle| {
        let mut idle = idle.borrow_mut();
        let connections = idle.entry(server).or_default();
        if connections.len() >= IDLE_LIMIT {
            connections.pop_front();
        }
        connections.push_back(Idle { connection, since });
        sweep(connections);
    });
}

/// Closes this thread's connections that have idled for too long or were closed by their servers, also those of a server that
/// gets no requests any more. A worker does this every few seconds.
pub fn tidy() {
    IDLE.with_borrow_mut(|idle| {
        for connections in idle.values_mut() {
            sweep(connections);
            connections.retain_mut(|idle| idle.connection.is_quiet() && idle.connection.is_ready());
        }
    });
}

fn sweep(connections: &mut VecDeque<Idle>) {
    while connections
        .front()
        .is_some_and(|idle| idle.since.elapsed() >= IDLE_TIME)
    {
        connections.pop_front();
    }
}
