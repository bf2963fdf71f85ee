//! One running playback: its current token, those that a switch has proposed, and how it is ended.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::decision::denial::{Denial, Reason};
use crate::decision::permit::Permit;
use crate::decision::revocation::Revocation;
use crate::token::{AtExpiry, UnixSeconds};

use super::id::SessionId;
use super::seats::{Full, Seat};
use super::{Newcomer, Sessions};

/// Switches that may wait for the media server's word at once; players have one at a time.
const PENDING_LIMIT: usize = 4;

/// Why a session is ended by the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kick {
    /// Its token was revoked.
    Revoked,
    /// Its token expired and says that this ends the playback.
    Expired,
    /// An operator ended it.
    Operator,
    /// The same player plays on by a newer socket.
    Superseded,
    /// The gate is stopping.
    Drain,
}

/// A switch that the media server has not answered yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingId(u32);

/// A running playback, as seen by others.
#[derive(Debug)]
pub struct Playing {
    id: SessionId,
    player: String,
    started: UnixSeconds,
    state: Mutex<State>,
    /// Wakes the relay when `state.end` changed.
    changed: Notify,
}

#[derive(Debug)]
struct State {
    current: Held,
    pending: Vec<(PendingId, Held)>,
    next: u32,
    end: Option<(Instant, Kick)>,
}

/// A permit and the seat that it takes.
#[derive(Debug)]
struct Held {
    permit: Permit,
    _seat: Option<Seat>,
}

/// A session while it lives. Dropping it ends the session everywhere: the list, the counts, the seats.
#[derive(Debug)]
pub struct SessionGuard {
    sessions: Arc<Sessions>,
    playing: Arc<Playing>,
}

impl SessionGuard {
    pub(super) fn open(
        sessions: &Arc<Sessions>,
        newcomer: Newcomer,
        permit: Permit,
    ) -> Result<(Self, Option<SessionId>), Denial> {
        let Newcomer { id, player, now } = newcomer;
        let (seat, older) = sessions
            .seats
            .take(permit.claims(), id, &player)
            .map_err(full)?;
        let end = cut_at(&permit, now);
        let current = Held {
            permit,
            _seat: seat,
        };
        let state = Mutex::new(State {
            current,
            pending: Vec::new(),
            next: 0,
            end,
        });
        let playing = Arc::new(Playing {
            id,
            player,
            started: now,
            state,
            changed: Notify::new(),
        });
        Ok((
            Self {
                sessions: Arc::clone(sessions),
                playing,
            },
            older,
        ))
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.playing.id
    }

    pub(super) fn playing(&self) -> &Arc<Playing> {
        &self.playing
    }

    /// Keeps a granted switch until the media server has answered. Until then both tokens count.
    pub fn propose(&self, permit: Permit) -> Result<PendingId, Proposal> {
        let (seat, _) = self
            .sessions
            .seats
            .take(permit.claims(), self.playing.id, &self.playing.player)
            .map_err(|error| Proposal::Denied(full(error)))?;
        let mut state = self.playing.state();
        if state.pending.len() == PENDING_LIMIT {
            return Err(Proposal::TooManyPending);
        }
        let id = PendingId(state.next);
        state.next = state.next.wrapping_add(1);
        state.pending.push((
            id,
            Held {
                permit,
                _seat: seat,
            },
        ));
        Ok(id)
    }

    /// The media server took the switch: its token is the session's now.
    pub fn accept(&self, id: PendingId, now: UnixSeconds) {
        let mut state = self.playing.state();
        let Some(index) = state.pending.iter().position(|(pending, _)| *pending == id) else {
            return;
        };
        let (_, held) = state.pending.remove(index);
        let cut = cut_at(&held.permit, now);
        // A cut belongs to the token that made it; an end that somebody asked for stays.
        state.end = match state.end {
            Some((_, Kick::Expired)) | None => cut,
            asked => asked,
        };
        let previous = std::mem::replace(&mut state.current, held);
        drop(state);
        // Its seat is given back without the lock held.
        drop(previous);
        self.playing.changed.notify_one();
    }

    /// The media server did not take the switch.
    pub fn reject(&self, id: PendingId) {
        let mut state = self.playing.state();
        let Some(index) = state.pending.iter().position(|(pending, _)| *pending == id) else {
            return;
        };
        let rejected = state.pending.remove(index);
        drop(state);
        drop(rejected);
    }

    /// When the session is to end, and why, as things stand.
    #[must_use]
    pub fn end(&self) -> Option<(Instant, Kick)> {
        self.playing.state().end
    }

    /// Resolves when [`end`](Self::end) may have changed. Cancel safe: a change between two calls is not lost.
    pub async fn end_changed(&self) {
        self.playing.changed.notified().await;
    }
}

/// Why a granted switch cannot be kept.
#[derive(Debug)]
pub enum Proposal {
    /// No seat for it.
    Denied(Denial),
    /// The viewer asks faster than the media server answers.
    TooManyPending,
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        self.sessions.playing.remove(&self.playing.id);
    }
}

impl Playing {
    /// Its name.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.id
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

    /// Ends it after `delay`, unless it is to end sooner anyway.
    pub fn end_in(&self, delay: Duration, kick: Kick) {
        let end = Instant::now() + delay;
        let mut state = self.state();
        if state.end.is_none_or(|(sooner, _)| end < sooner) {
            state.end = Some((end, kick));
        }
        drop(state);
        self.changed.notify_one();
    }

    pub(super) fn is_met_by(&self, revocation: &Revocation, now: UnixSeconds) -> bool {
        let state = self.state();
        let held =
            std::iter::once(&state.current).chain(state.pending.iter().map(|(_, held)| held));
        held.into_iter()
            .any(|held| revocation.meets(held.permit.claims(), held.permit.stream(), now))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that panics runs while it is held; if it did, the state would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When a token that cuts at its expiry ends the playback, by the clock that never jumps.
fn cut_at(permit: &Permit, now: UnixSeconds) -> Option<(Instant, Kick)> {
    let grant = &permit.claims().grant;
    let expires = grant.expires.filter(|_| grant.at_expiry == AtExpiry::Cut)?;
    Some((Instant::now() + expires.since(now), Kick::Expired))
}

fn full(Full(limit): Full) -> Denial {
    Reason::TooManySessions { limit }.into()
}
