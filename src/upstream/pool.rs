//! Connections between two requests. Each thread keeps its own, because a connection belongs to its thread's runtime: no
//! lock, and no wake-up of another thread.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::line::Line;
use super::server::ServerId;

/// The most connections that idle, for each server and thread.
const IDLE_LIMIT: usize = 64;

/// The longest that a connection idles; common servers close after 60 s and more.
const IDLE_TIME: Duration = Duration::from_secs(30);

thread_local! {
    static IDLE: RefCell<HashMap<ServerId, VecDeque<Idle>>> = RefCell::default();
}

/// A connection that idles; in a server's queue the oldest comes first.
struct Idle {
    line: Box<Line>,
    since: Instant,
}

/// The connection to a server that idles the shortest, if one is left that the server has not closed.
pub(super) fn take(server: ServerId) -> Option<Box<Line>> {
    IDLE.with_borrow_mut(|idle| {
        let lines = idle.get_mut(&server)?;
        sweep(lines);
        while let Some(mut idle) = lines.pop_back() {
            if idle.line.is_ready() {
                return Some(idle.line);
            }
        }
        None
    })
}

/// Keeps a connection to a server for the next request, if it can be used again.
pub(super) fn put(server: ServerId, mut line: Box<Line>) {
    if !line.is_ready() {
        return;
    }
    let since = Instant::now();
    // A thread that ends keeps nothing any more.
    let _ = IDLE.try_with(|idle| {
        let mut idle = idle.borrow_mut();
        let lines = idle.entry(server).or_default();
        if lines.len() >= IDLE_LIMIT {
            lines.pop_front();
        }
        lines.push_back(Idle { line, since });
        sweep(lines);
    });
}

/// Closes this thread's connections that have idled for too long or were closed by their servers, even where nothing is
/// asked for any more. A worker does this every few seconds.
pub fn tidy() {
    IDLE.with_borrow_mut(|idle| {
        for lines in idle.values_mut() {
            sweep(lines);
            lines.retain_mut(|idle| idle.line.is_ready());
        }
    });
}

fn sweep(lines: &mut VecDeque<Idle>) {
    while lines
        .front()
        .is_some_and(|idle| idle.since.elapsed() >= IDLE_TIME)
    {
        lines.pop_front();
    }
}
