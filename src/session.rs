//! Step 5: a [`Permit`] becomes a [`SessionGuard`], or a [`Denial`] when there is no room. The sessions, their number,
//! and how to end them; no sockets, no HTTP.

mod changes;
pub mod ends;
pub(crate) mod eviction;
pub mod guard;
pub mod id;
pub mod live;
pub mod place;
pub(crate) mod presence;
pub mod revocations;
pub mod seats;
pub mod shares;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dashmap::DashMap;

use crate::clock::Clock;
use crate::decision::denial::{Denial, Reason};
use crate::decision::permit::Permit;
use crate::decision::revocation::Revocation;
use crate::token::UnixSeconds;
use ends::Kick;
use guard::SessionGuard;
use id::SessionId;
use live::Session;
use place::Bind;
use seats::{Delivery, Seats};
use shares::{Room, Shares};

/// All running sessions.
#[derive(Debug)]
pub struct Sessions {
    live: DashMap<SessionId, Arc<Session>>,
    seats: Seats,
    pub(crate) shares: Shares,
    clock: Clock,
    most: usize,
    draining: AtomicBool,
}

/// How a session's viewer gets what it plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// By one socket, from its handshake to its close.
    WebSocket,
    /// By requests: HLS, or the progressive file.
    Hls,
}

impl Transport {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::WebSocket, Self::Hls];

    /// What it is called in the log, the metrics and the operator's lists.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Hls => "hls",
        }
    }
}

/// What a new session brings beside its permit.
#[derive(Clone, Debug)]
pub struct Newcomer {
    /// Its name.
    pub id: SessionId,
    /// The viewer's `pid`; empty when it sent none.
    pub player: String,
    /// How its viewer gets it.
    pub transport: Transport,
    /// What it is to get.
    pub delivery: Delivery,
}

impl Sessions {
    /// Room for so many sessions, whose seats are at places as wide as `bind` says, and whose tokens expire by `clock`.
    #[must_use]
    pub fn new(room: Room, bind: Bind, clock: Clock) -> Arc<Self> {
        let (live, draining) = (DashMap::new(), AtomicBool::new(false));
        Arc::new(Self {
            live,
            seats: Seats::new(bind),
            shares: Shares::new(room),
            clock,
            most: room.all,
            draining,
        })
    }

    /// Starts a session, or says why there is no room. Dropping the guard ends it. What is in memory is asked without waiting;
    /// seats that several gates share would be waited for here. Cancel safe.
    pub async fn open(
        self: &Arc<Self>,
        newcomer: &Newcomer,
        permit: Permit,
    ) -> Result<SessionGuard, Denial> {
        if self.draining.load(Ordering::Relaxed) {
            return Err(Reason::Draining.into());
        }
        if self.live.len() >= self.most {
            return Err(Reason::Overloaded.into());
        }
        // A minter could seal a ticket for the name of another session, which could not be ended any more then.
        if self.live.contains_key(&newcomer.id) {
            return Err(Reason::Ticket.into());
        }
        let holders = self.shares.holders(&permit);
        self.shares.take(holders, &permit)?;
        // In the list before it has a seat: a session that takes the seat over must find the one to end.
        let guard = SessionGuard::enter(self, newcomer, permit, holders);
        guard.sit()?;
        // A drain that began meanwhile has not seen this one.
        if self.draining.load(Ordering::Relaxed) {
            Err(Reason::Draining.into())
        } else {
            Ok(guard)
        }
    }

    /// How many there may be.
    #[must_use]
    pub fn most(&self) -> usize {
        self.most
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.live.len()
    }

    /// How many there are by one transport. It walks through all of them, and holds a part of the list at a time.
    #[must_use]
    pub fn count_by(&self, transport: Transport) -> usize {
        let is_by = |session: &Session| session.transport() == transport;
        self.live.iter().filter(|one| is_by(one.value())).count()
    }

    /// One of them.
    #[must_use]
    pub fn find(&self, id: SessionId) -> Option<Arc<Session>> {
        self.live.get(&id).map(|entry| Arc::clone(entry.value()))
    }

    /// All of them, in the order of their ids. A copy, so that reading it holds up no connect.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Session>> {
        let mut all: Vec<_> = self
            .live
            .iter()
            .map(|entry| Arc::clone(entry.value()))
            .collect();
        all.sort_by_key(|session| session.id());
        all
    }

    /// Ends every session whose current or pending token a new revocation meets; how many.
    pub fn revoke(&self, revocation: &Revocation, now: UnixSeconds) -> usize {
        let met = self
            .list()
            .into_iter()
            .filter(|session| session.is_met_by(revocation, now));
        met.map(|session| session.end_in(Duration::ZERO, Kick::Revoked))
            .count()
    }

    /// The clock has jumped: those that are cut at an expiry look again when that is.
    pub fn clock_jumped(&self) {
        for playing in self.list() {
            playing.clock_jumped();
        }
    }

    /// Opens no session any more.
    pub fn close(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether no session is opened any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Ends all sessions, evenly spread over `time`, so that their players do not come back all at once.
    pub fn drain(&self, time: Duration) {
        self.close();
        let all = self.list();
        let count = u32::try_from(all.len()).unwrap_or(u32::MAX);
        for (session, turn) in all.iter().zip(0_u32..) {
            session.end_in(time / count.max(1) * turn, Kick::Drain);
        }
    }
}

/// Holds a lock.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that panics runs while one is held; if it did, what is in it would still be whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
