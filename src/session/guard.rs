//! What keeps a session: it takes the seats of its tokens, settles its switches, and ends it when it is dropped.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::decision::denial::{Denial, Reason};
use crate::decision::permit::Permit;

use super::changes::Watch;
use super::ends::Kick;
use super::id::SessionId;
use super::live::{Held, Pending, PendingId, Session};
use super::presence::Presence;
use super::seats::{Asking, Delivery, NoSeat, Seat};
use super::shares::Holders;
use super::{Newcomer, Sessions};

/// A session while it lives. Dropping it ends the session everywhere: the list, the counts, the seats.
#[derive(Debug)]
pub struct SessionGuard {
    sessions: Arc<Sessions>,
    session: Arc<Session>,
    /// The shares that it is counted in.
    holders: Holders,
}

impl SessionGuard {
    /// Puts a new session into the list, without a seat yet. It is counted in the shares of `holders` already, and given
    /// back to them when it ends.
    pub(crate) fn enter(
        sessions: &Arc<Sessions>,
        newcomer: &Newcomer,
        permit: Permit,
        holders: Holders,
    ) -> Self {
        let (id, player) = (newcomer.id, sessions.seats.name(&newcomer.player));
        let started = sessions.clock.now();
        let session = Arc::new(Session::new(newcomer, player, permit, started));
        sessions.live.insert(id, Arc::clone(&session));
        Self {
            sessions: Arc::clone(sessions),
            session,
            holders,
        }
    }

    /// The shares that it is counted in.
    pub(crate) fn holders(&self) -> Holders {
        self.holders
    }

    /// Takes a seat for the token that the session starts with.
    pub(crate) fn sit(&self) -> Result<(), Denial> {
        let permit = self.session.permit();
        let seat = self.take_seat(&permit)?;
        self.session.state().current.seat = seat;
        Ok(())
    }

    /// A seat where the token limits them; an older socket of the same player that had it is to end.
    fn take_seat(&self, permit: &Permit) -> Result<Option<Seat>, Denial> {
        let asking = Asking {
            session: self.session.id,
            player: self.session.player,
            delivery: self.session.state().delivery,
            presence: &self.session.presence,
        };
        let taken = self.sessions.seats.take(permit, asking, Instant::now());
        let (seat, older) = taken.map_err(|why| match why {
            NoSeat::Full(limit) => Reason::TooManySessions { limit },
            NoSeat::Elsewhere => Reason::Elsewhere {
                address: permit.address(),
            },
        })?;
        if let Some(older) = older
            && let Some(playing) = self.sessions.find(older.session)
        {
            playing.end_in(older.grace, Kick::Superseded);
        }
        Ok(seat)
    }

    /// Gives back a token's seat. An older socket of the same player that had it may go on.
    fn release(&self, held: Held) {
        let previous = held.seat.and_then(Seat::give_back);
        if let Some(playing) = previous.and_then(|id| self.sessions.find(id)) {
            playing.go_on();
        }
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.session.id
    }

    /// What it plays by now.
    #[must_use]
    pub fn permit(&self) -> Permit {
        self.session.permit()
    }

    /// Looks at what it plays by now, without a copy of it.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Permit) -> T) -> T {
        look(&self.session.state().current.permit)
    }

    /// Keeps a granted switch until the media server has answered it or a later one, however long that takes. Until then
    /// either token may be in force, and both count: for seats, for revocations, and for the end at an expiry. How many are
    /// kept is for the caller to bound.
    pub fn propose(&self, permit: Permit) -> Result<PendingId, Denial> {
        let seat = self.take_seat(&permit)?;
        let id = self.session.state().push(Held { permit, seat });
        self.session.presence.changes.tell();
        Ok(id)
    }

    /// The media server took the switch: its token is the session's now. One that was superseded needs a seat again, and the
    /// session is ended where there is none.
    pub fn accept(&self, id: PendingId) {
        let again = match self.session.state().find(id) {
            None => return,
            Some(one) if !one.superseded => None,
            Some(one) => Some(one.held.permit.clone()),
        };
        let again = again.map(|permit| self.take_seat(&permit));
        let mut state = self.session.state();
        let Some(Pending { mut held, .. }) = state.take(id) else {
            return;
        };
        let crowded = matches!(again, Some(Err(_)));
        if let Some(Ok(seat)) = again {
            held.seat = seat;
        }
        let previous = std::mem::replace(&mut state.current, held);
        drop(state);
        // Its seat is given back without the lock held.
        self.release(previous);
        if crowded {
            self.session.end_in(Duration::ZERO, Kick::Crowded);
        }
        self.session.presence.changes.tell();
    }

    /// The media server did not take the switch.
    pub fn reject(&self, id: PendingId) {
        let rejected = self.session.state().take(id);
        if let Some(rejected) = rejected {
            self.release(rejected.held);
            self.session.presence.changes.tell();
        }
    }

    /// The media server took a later switch: this one's seat is given back.
    pub fn supersede(&self, id: PendingId) {
        let mut state = self.session.state();
        let Some(one) = state.pending.iter_mut().find(|one| one.id == id) else {
            return;
        };
        one.superseded = true;
        let (permit, seat) = (one.held.permit.clone(), one.held.seat.take());
        drop(state);
        self.release(Held { permit, seat });
    }

    /// Its token turns out to be revoked.
    pub fn revoke(&self) {
        self.session.end_in(Duration::ZERO, Kick::Revoked);
    }

    /// The media server sends it media. One that asked for metadata alone needs a seat of its own from here on, and is ended
    /// where there is none.
    pub fn has_media(&self) {
        let mut state = self.session.state();
        if std::mem::replace(&mut state.delivery, Delivery::Media) == Delivery::Media {
            return;
        }
        let pending = state.pending.iter().map(|one| &one.held);
        // Every token has its own row, so all of them are asked.
        let crowded = std::iter::once(&state.current)
            .chain(pending)
            .filter(|held| !held.has_room_for_media())
            .count();
        drop(state);
        if crowded > 0 {
            self.session.end_in(Duration::ZERO, Kick::Crowded);
        }
    }

    /// Whether its viewer is still there.
    pub(crate) fn presence(&self) -> &Arc<Presence> {
        &self.session.presence
    }

    /// Whether the viewer is to be pinged now, because its seat is wanted elsewhere; once for each time that it is asked.
    #[must_use]
    pub fn take_question(&self) -> bool {
        self.session.presence.take_question()
    }

    /// The viewer has sent something over its socket, so that it is still there.
    pub fn hear(&self) {
        self.session.presence.answer();
    }

    /// When the session is to end, and why, as things stand.
    #[must_use]
    pub fn end(&self, now: Instant) -> Option<(Instant, Kick)> {
        let state = self.session.state();
        let clock = &self.sessions.clock;
        let cut = state.cut().and_then(|cut| clock.when(cut, now));
        state.ends.next(cut, now)
    }

    /// Tells when [`end`](Self::end) or [`take_question`](Self::take_question) may have changed, from the session's beginning
    /// on. One watches at a time.
    #[must_use]
    pub fn watch(&self) -> Watch<'_> {
        self.session.presence.changes.watch()
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        self.sessions.live.remove(&self.session.id);
        self.sessions.shares.give_back(self.holders);
        let mut state = self.session.state();
        let pending = std::mem::take(&mut state.pending)
            .into_iter()
            .map(|one| one.held);
        let held: Vec<_> = state
            .current
            .seat
            .take()
            .map(|seat| Held {
                permit: state.current.permit.clone(),
                seat: Some(seat),
            })
            .into_iter()
            .chain(pending)
            .collect();
        drop(state);
        held.into_iter().for_each(|held| self.release(held));
    }
}
