//! One session as all see it: its current token, those that a switch has proposed, and how it is ended.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use crate::decision::permit::Permit;
use crate::decision::revocation::Revocation;
use crate::token::{AtExpiry, UnixSeconds};

use super::ends::{Ends, Kick};
use super::id::SessionId;
use super::presence::Presence;
use super::seats::{Delivery, PlayerName, Seat};
use super::{Newcomer, Transport, lock};

/// A running session, as seen by others.
#[derive(Debug)]
pub struct Session {
    pub(super) id: SessionId,
    /// A digest of its player's name, which may be as long as a request.
    pub(super) player: Option<PlayerName>,
    transport: Transport,
    started: UnixSeconds,
    state: Mutex<State>,
    pub(super) presence: Arc<Presence>,
}

/// What of it changes.
#[derive(Debug)]
pub(super) struct State {
    pub(super) delivery: Delivery,
    pub(super) current: Held,
    pub(super) pending: Vec<Pending>,
    next: u32,
    pub(super) ends: Ends,
}

/// A switch that the media server may have taken, or may take yet.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) id: PendingId,
    pub(super) held: Held,
    /// The media server took a later one: it counts for nothing, until the media server takes it after all.
    pub(super) superseded: bool,
}

/// A permit and the seat that it takes.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) permit: Permit,
    pub(super) seat: Option<Seat>,
}

/// A switch that the media server has not answered yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingId(u32);

impl State {
    /// What may be in force: what it plays by, and what it may come to.
    pub(super) fn in_force(&self) -> impl Iterator<Item = &Held> {
        let pending = self.pending.iter().filter(|one| !one.superseded);
        std::iter::once(&self.current).chain(pending.map(|one| &one.held))
    }

    /// From when on a token that cuts at its expiry ends it.
    pub(super) fn cut(&self) -> Option<UnixSeconds> {
        self.in_force().filter_map(Held::cut).min()
    }

    /// Keeps a switch that was granted.
    pub(super) fn push(&mut self, held: Held) -> PendingId {
        let id = PendingId(self.next);
        self.next = self.next.wrapping_add(1);
        self.pending.push(Pending {
            id,
            held,
            superseded: false,
        });
        id
    }

    pub(super) fn find(&self, id: PendingId) -> Option<&Pending> {
        self.pending.iter().find(|one| one.id == id)
    }

    pub(super) fn take(&mut self, id: PendingId) -> Option<Pending> {
        let index = self.pending.iter().position(|one| one.id == id)?;
        Some(self.pending.remove(index))
    }
}

impl Held {
    /// When its token ends the session, if it is the one in force.
    pub(super) fn cut(&self) -> Option<UnixSeconds> {
        let grant = &self.permit.claims().grant;
        grant.expires.filter(|_| grant.at_expiry == AtExpiry::Cut)
    }

    pub(super) fn has_room_for_media(&self) -> bool {
        let limit = self.permit.claims().grant.sessions;
        let taken = self.seat.as_ref().zip(limit);
        taken.is_none_or(|(seat, limit)| seat.hold_media(limit))
    }
}

impl Session {
    /// One that starts, without a seat yet.
    pub(super) fn new(
        newcomer: &Newcomer,
        player: Option<PlayerName>,
        permit: Permit,
        started: UnixSeconds,
    ) -> Self {
        Self {
            id: newcomer.id,
            player,
            transport: newcomer.transport,
            started,
            state: Mutex::new(State {
                delivery: newcomer.delivery,
                current: Held { permit, seat: None },
                pending: Vec::new(),
                next: 0,
                ends: Ends::default(),
            }),
            presence: Arc::new(Presence::new(newcomer.transport, Instant::now())),
        }
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// How its viewer gets what it plays.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// When it started.
    #[must_use]
    pub fn started(&self) -> UnixSeconds {
        self.started
    }

    /// What it plays by now.
    #[must_use]
    pub fn permit(&self) -> Permit {
        self.state().current.permit.clone()
    }

    /// Ends it after `delay`, unless it is to end sooner anyway. What is undone later, as being superseded is, leaves the
    /// other ends that were asked for as they are.
    pub fn end_in(&self, delay: Duration, kick: Kick) {
        self.state().ends.add(Instant::now() + delay, kick);
        self.presence.changes.tell();
    }

    /// The clock has jumped: it may be cut sooner or later than it looked.
    pub(super) fn clock_jumped(&self) {
        let is_cut = self.state().cut().is_some();
        if is_cut {
            self.presence.changes.tell();
        }
    }

    /// It is no longer superseded: the newer socket of its player has gone first.
    pub(super) fn go_on(&self) {
        self.state().ends.superseded = None;
        self.presence.changes.tell();
    }

    pub(crate) fn is_met_by(&self, revocation: &Revocation, now: UnixSeconds) -> bool {
        let state = self.state();
        let mut in_force = state.in_force();
        in_force.any(|held| revocation.meets(held.permit.claims(), held.permit.stream(), now))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}
