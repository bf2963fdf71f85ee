//! One running playback: its current token, those that a switch has proposed, and how it is ended.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::decision::denial::{Denial, Reason};
use crate::decision::permit::Permit;
use crate::decision::revocation::Revocation;
use crate::token::{AtExpiry, UnixSeconds};

use super::changes::Watch;
use super::id::SessionId;
use super::presence::Presence;
use super::seats::{Asking, Content, NoSeat, PlayerName, Seat};
use super::shares::Holders;
use super::{Newcomer, Sessions, Transport};

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
    /// It gets media, though it asked for metadata alone, and there is no seat for that.
    Crowded,
    /// The gate is stopping.
    Drain,
}

impl Kick {
    /// Whether nothing undoes it: no renewed token, no newer socket that goes first, and no other end.
    #[must_use]
    pub fn is_final(self) -> bool {
        match self {
            Self::Revoked | Self::Operator | Self::Crowded => true,
            Self::Expired | Self::Superseded | Self::Drain => false,
        }
    }
}

/// A switch that the media server has not answered yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingId(u32);

/// A running playback, as seen by others.
#[derive(Debug)]
pub struct Playing {
    id: SessionId,
    /// A digest of its player's name, which may be as long as a request.
    player: Option<PlayerName>,
    transport: Transport,
    started: UnixSeconds,
    state: Mutex<State>,
    presence: Arc<Presence>,
}

#[derive(Debug)]
struct State {
    content: Content,
    current: Held,
    pending: Vec<Pending>,
    next: u32,
    ends: Ends,
}

/// The ends that were asked for, each kind for itself, so that what undoes one of them undoes no other. Beside them is the
/// expiry of a token that cuts, which the token tells.
#[derive(Clone, Copy, Debug, Default)]
struct Ends {
    /// When the newer socket of its player has the seat alone; undone when that one goes first.
    superseded: Option<Instant>,
    /// When it is sent away because the gate stops; over HTTP it goes on with the process that comes next.
    drained: Option<Instant>,
    /// What nothing undoes.
    last: Option<(Instant, Kick)>,
}

impl Ends {
    /// Adds one; of a kind that is there already the sooner one counts.
    fn add(&mut self, at: Instant, kick: Kick) {
        let end = match kick {
            Kick::Superseded => &mut self.superseded,
            Kick::Drain => &mut self.drained,
            Kick::Revoked | Kick::Expired | Kick::Operator | Kick::Crowded => {
                if self.last.is_none_or(|(sooner, _)| at < sooner) {
                    self.last = Some((at, kick));
                }
                return;
            }
        };
        *end = Some(end.map_or(at, |sooner| sooner.min(at)));
    }

    /// The one that comes first, `cut` among them. One that nothing undoes, or else the cut, goes before the others when its
    /// time has come, though their time may have come earlier and was not acted on yet.
    fn next(&self, cut: Option<Instant>, now: Instant) -> Option<(Instant, Kick)> {
        let cut = cut.map(|at| (at, Kick::Expired));
        let undoable = [
            (self.superseded, Kick::Superseded),
            (self.drained, Kick::Drain),
        ];
        let undoable = undoable
            .into_iter()
            .filter_map(|(at, kick)| Some((at?, kick)));
        let is_due = |(at, _): &(Instant, Kick)| *at <= now;
        let due = self.last.filter(is_due).or(cut.filter(is_due));
        due.or_else(|| {
            let final_ones = self.last.into_iter().chain(cut);
            final_ones.chain(undoable).min_by_key(|(at, _)| *at)
        })
    }
}

/// A switch that the media server may have taken, or may take yet.
#[derive(Debug)]
struct Pending {
    id: PendingId,
    held: Held,
    /// The media server took a later one: it counts for nothing, until the media server takes it after all.
    superseded: bool,
}

/// A permit and the seat that it takes.
#[derive(Debug)]
struct Held {
    permit: Permit,
    seat: Option<Seat>,
}

impl State {
    /// What may be in force: what it plays by, and what it may come to.
    fn in_force(&self) -> impl Iterator<Item = &Held> {
        let pending = self.pending.iter().filter(|one| !one.superseded);
        std::iter::once(&self.current).chain(pending.map(|one| &one.held))
    }

    /// From when on a token that cuts at its expiry ends it.
    fn cut(&self) -> Option<UnixSeconds> {
        self.in_force().filter_map(Held::cut).min()
    }

    fn find(&self, id: PendingId) -> Option<&Pending> {
        self.pending.iter().find(|one| one.id == id)
    }

    fn take(&mut self, id: PendingId) -> Option<Pending> {
        let index = self.pending.iter().position(|one| one.id == id)?;
        Some(self.pending.remove(index))
    }
}

impl Held {
    /// When its token ends the playback, if it is the one in force.
    fn cut(&self) -> Option<UnixSeconds> {
        let grant = &self.permit.claims().grant;
        grant.expires.filter(|_| grant.at_expiry == AtExpiry::Cut)
    }

    fn has_room_for_media(&self) -> bool {
        let limit = self.permit.claims().grant.sessions;
        let taken = self.seat.as_ref().zip(limit);
        taken.is_none_or(|(seat, limit)| seat.hold_media(limit))
    }
}

/// A session while it lives. Dropping it ends the session everywhere: the list, the counts, the seats.
#[derive(Debug)]
pub struct SessionGuard {
    sessions: Arc<Sessions>,
    playing: Arc<Playing>,
    /// Whose share it is counted in.
    holders: Holders,
}

impl SessionGuard {
    /// Puts a new session into the list, without a seat yet. It is counted in the shares of `holders` already, and given
    /// back to them when it ends.
    pub(crate) fn enter(
        sessions: &Arc<Sessions>,
        newcomer: Newcomer,
        permit: Permit,
        holders: Holders,
    ) -> Self {
        let Newcomer {
            id,
            player,
            transport,
            content,
        } = newcomer;
        let player = sessions.seats.name(&player);
        let current = Held { permit, seat: None };
        let state = Mutex::new(State {
            content,
            current,
            pending: Vec::new(),
            next: 0,
            ends: Ends::default(),
        });
        let playing = Arc::new(Playing {
            id,
            player,
            transport,
            started: sessions.clock.now(),
            state,
            presence: Arc::new(Presence::new(transport, Instant::now())),
        });
        sessions.playing.insert(id, Arc::clone(&playing));
        Self {
            sessions: Arc::clone(sessions),
            playing,
            holders,
        }
    }

    /// Whose share it is counted in.
    pub(crate) fn holders(&self) -> Holders {
        self.holders
    }

    /// Takes a seat for the token that the session starts with.
    pub(crate) fn sit(&self) -> Result<(), Denial> {
        let permit = self.playing.permit();
        let seat = self.take_seat(&permit)?;
        self.playing.state().current.seat = seat;
        Ok(())
    }

    /// A seat where the token limits them; an older socket of the same player that had it is to end.
    fn take_seat(&self, permit: &Permit) -> Result<Option<Seat>, Denial> {
        let asking = Asking {
            session: self.playing.id,
            player: self.playing.player,
            content: self.playing.state().content,
            presence: &self.playing.presence,
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
        self.playing.id
    }

    /// What it plays by now.
    #[must_use]
    pub fn permit(&self) -> Permit {
        self.playing.permit()
    }

    /// Looks at what it plays by now, without a copy of it.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Permit) -> T) -> T {
        look(&self.playing.state().current.permit)
    }

    /// Keeps a granted switch until the media server has answered it or a later one, however long that takes. Until then
    /// either token may be in force, and both count: for seats, for revocations, and for the end at an expiry. How many are
    /// kept is for the caller to bound.
    pub fn propose(&self, permit: Permit) -> Result<PendingId, Denial> {
        let seat = self.take_seat(&permit)?;
        let mut state = self.playing.state();
        let id = PendingId(state.next);
        state.next = state.next.wrapping_add(1);
        state.pending.push(Pending {
            id,
            held: Held { permit, seat },
            superseded: false,
        });
        drop(state);
        self.playing.presence.changes.tell();
        Ok(id)
    }

    /// The media server took the switch: its token is the session's now. One that was superseded needs a seat again, and the
    /// session is ended where there is none.
    pub fn accept(&self, id: PendingId) {
        let again = match self.playing.state().find(id) {
            None => return,
            Some(one) if !one.superseded => None,
            Some(one) => Some(one.held.permit.clone()),
        };
        let again = again.map(|permit| self.take_seat(&permit));
        let mut state = self.playing.state();
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
            self.playing.end_in(Duration::ZERO, Kick::Crowded);
        }
        self.playing.presence.changes.tell();
    }

    /// The media server did not take the switch.
    pub fn reject(&self, id: PendingId) {
        let rejected = self.playing.state().take(id);
        if let Some(rejected) = rejected {
            self.release(rejected.held);
            self.playing.presence.changes.tell();
        }
    }

    /// The media server took a later switch: this one's seat is given back.
    pub fn supersede(&self, id: PendingId) {
        let mut state = self.playing.state();
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
        self.playing.end_in(Duration::ZERO, Kick::Revoked);
    }

    /// The media server sends it media. One that asked for metadata alone needs a seat of its own from here on, and is ended
    /// where there is none.
    pub fn has_media(&self) {
        let mut state = self.playing.state();
        if std::mem::replace(&mut state.content, Content::Media) == Content::Media {
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
            self.playing.end_in(Duration::ZERO, Kick::Crowded);
        }
    }

    /// Whether its viewer is still there.
    pub(crate) fn presence(&self) -> &Arc<Presence> {
        &self.playing.presence
    }

    /// Whether the viewer is to be pinged now, because its seat is wanted elsewhere; once for each time that it is asked.
    #[must_use]
    pub fn take_question(&self) -> bool {
        self.playing.presence.take_question()
    }

    /// The viewer has sent something over its socket, so that it is still there.
    pub fn hear(&self) {
        self.playing.presence.answer();
    }

    /// When the session is to end, and why, as things stand.
    #[must_use]
    pub fn end(&self, now: Instant) -> Option<(Instant, Kick)> {
        let state = self.playing.state();
        let clock = &self.sessions.clock;
        let cut = state.cut().and_then(|cut| clock.when(cut, now));
        state.ends.next(cut, now)
    }

    /// Tells when [`end`](Self::end) or [`take_question`](Self::take_question) may have changed, from the session's beginning
    /// on. One watches at a time.
    #[must_use]
    pub fn watch(&self) -> Watch<'_> {
        self.playing.presence.changes.watch()
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        self.sessions.playing.remove(&self.playing.id);
        self.sessions.shares.give_back(self.holders);
        let mut state = self.playing.state();
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

impl Playing {
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
    fn go_on(&self) {
        self.state().ends.superseded = None;
        self.presence.changes.tell();
    }

    pub(crate) fn is_met_by(&self, revocation: &Revocation, now: UnixSeconds) -> bool {
        let state = self.state();
        let mut in_force = state.in_force();
        in_force.any(|held| revocation.meets(held.permit.claims(), held.permit.stream(), now))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that panics runs while it is held; if it did, the state would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
