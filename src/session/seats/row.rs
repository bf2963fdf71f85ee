//! The seats of one user or token: which sessions sit there, and which one makes way for another.

use std::collections::HashMap;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::request::client_address::ClientAddress;

use super::super::id::SessionId;
use super::super::place::{Bind, Moves, Places};
use super::super::presence::Presence;
use super::{Asking, Delivery, NoSeat, Older, PlayerName};

/// How long two sockets of one player may stand side by side on one seat: a player that switches by a second socket
/// closes the first within seconds (protocol.md 5), a shared token would never.
const OVERLAP: Duration = Duration::from_secs(10);

/// How soon after one such switch the next may take as long. Sooner than that the older socket ends at once, or two
/// people could take turns for ever.
const OVERLAP_AGAIN: Duration = Duration::from_secs(60);

/// The seats of one holder.
#[derive(Debug, Default)]
pub(super) struct Row {
    sitting: Vec<Sitting>,
    last_overlap: Option<Instant>,
    /// How often a seat may still go to another place, where one player's name is used in both.
    moves: Option<Moves>,
}

#[derive(Debug)]
pub(super) struct Sitting {
    session: SessionId,
    /// `None` for a viewer without a name, which is no other's second socket.
    player: Option<PlayerName>,
    /// Where it is: as many places as a session over HTTP has.
    places: Places,
    presence: Arc<Presence>,
    delivery: Delivery,
    /// A session may hold a seat twice: by its current token and by a pending one.
    times: usize,
    /// A newer socket of the same player and for the same delivery has the seat.
    leaving: bool,
    /// The older socket of the same player that had the seat, and has it again when this one leaves first.
    previous: Option<SessionId>,
}

/// The socket of a player that has a seat already.
#[derive(Clone, Copy, Debug)]
enum First {
    /// At the same place.
    Here(SessionId),
    /// At another place, where its viewer is no more.
    Gone(SessionId),
    /// At another place, where its viewer still is.
    Elsewhere,
    /// There is none.
    None,
}

/// Where a session wants a seat.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    pub(super) address: ClientAddress,
    pub(super) bind: Bind,
}

impl Sitting {
    pub(super) fn new(asking: Asking<'_>, at: At) -> Self {
        let mut places = Places::default();
        places.settle(at.address, at.bind);
        Self {
            session: asking.session,
            // Nothing tells a player from another of the same name where it is not known where they are.
            player: asking.player.filter(|_| at.bind.is_place(at.address)),
            places,
            presence: Arc::clone(asking.presence),
            delivery: asking.delivery,
            times: 1,
            leaving: false,
            previous: None,
        }
    }

    /// No older socket gets the seat back from this one, if it was that one.
    fn forget(&mut self, older: Option<SessionId>) {
        self.previous = self.previous.filter(|_| self.previous != older);
    }

    /// Whether both are of one player, for the same delivery.
    fn is_like(&self, other: &Self) -> bool {
        self.player.is_some() && self.player == other.player && self.delivery == other.delivery
    }
}

impl Row {
    /// Whether no session sits here.
    pub(super) fn is_empty(&self) -> bool {
        self.sitting.is_empty()
    }

    pub(super) fn take(
        &mut self,
        limit: NonZeroU16,
        mut newcomer: Sitting,
        at: At,
        now: Instant,
    ) -> Result<Option<Older>, NoSeat> {
        let session = newcomer.session;
        if let Some(again) = self.sitting.iter_mut().find(|one| one.session == session) {
            again.places.settle(at.address, at.bind);
            again.times += 1;
            return Ok(None);
        }
        let first = self.first_of(&newcomer, at, now);
        let previous = match first {
            First::Here(session) | First::Gone(session) => Some(session),
            First::Elsewhere | First::None => None,
        };
        newcomer.previous = previous;
        self.set_leaving(previous, true);
        self.sitting.push(newcomer);
        let why = match first {
            _ if self.has_room(limit) => None,
            First::Elsewhere => Some(NoSeat::Elsewhere),
            First::Here(_) | First::Gone(_) | First::None => Some(NoSeat::Full(limit)),
        };
        let moves = matches!(first, First::Gone(_));
        let why = why.or_else(|| (moves && !self.may_move(now)).then_some(NoSeat::Full(limit)));
        if let Some(why) = why {
            self.sitting.pop();
            self.set_leaving(previous, false);
            return Err(why);
        }
        let grace = if moves {
            // It is gone, and does not get the seat back.
            self.sitting.retain(|one| Some(one.session) != previous);
            self.sitting.iter_mut().for_each(|one| one.forget(previous));
            Duration::ZERO
        } else if previous.is_some() {
            self.grace(now)
        } else {
            return Ok(None);
        };
        Ok(previous.map(|session| Older { session, grace }))
    }

    /// Which socket of the same player and for the same delivery makes way; none while one does so already.
    fn first_of(&self, newcomer: &Sitting, at: At, now: Instant) -> First {
        let alike = || self.sitting.iter().filter(|one| one.is_like(newcomer));
        let here = |one: &&Sitting| one.places.hold(at.address, at.bind);
        let staying = || alike().filter(|one| !one.leaving);
        let is_switching = alike().any(|one| one.leaving);
        match staying().find(here) {
            Some(_) if is_switching => return First::None,
            Some(one) => return First::Here(one.session),
            None if is_switching && staying().next().is_some() => return First::Elsewhere,
            None if is_switching => return First::None,
            None => {}
        }
        if let Some(one) = alike().find(|one| !one.presence.is_there(now)) {
            return First::Gone(one.session);
        }
        // The next try finds the one whose viewer does not answer.
        alike().for_each(|one| one.presence.question(now));
        match alike().next() {
            Some(_) => First::Elsewhere,
            None => First::None,
        }
    }

    /// Whether a seat may go to another place once more.
    fn may_move(&mut self, now: Instant) -> bool {
        self.moves.get_or_insert_with(|| Moves::new(now)).take(now)
    }

    fn set_leaving(&mut self, session: Option<SessionId>, leaving: bool) {
        let mut sitting = self.sitting.iter_mut();
        if let Some(one) = session.and_then(|id| sitting.find(|one| one.session == id)) {
            one.leaving = leaving;
        }
    }

    /// How long an older socket of a player may go on beside the newer one.
    fn grace(&mut self, now: Instant) -> Duration {
        let last = self.last_overlap.replace(now);
        let lately = |last: Instant| now.saturating_duration_since(last) < OVERLAP_AGAIN;
        if last.is_some_and(lately) {
            Duration::ZERO
        } else {
            OVERLAP
        }
    }

    /// Whether no more seats are taken than there are.
    fn has_room(&self, limit: NonZeroU16) -> bool {
        let limit = usize::from(limit.get());
        // Where no more sit than there are seats, players need not be told apart.
        self.sitting.len() <= limit || self.taken() <= limit
    }

    /// How many seats are taken: each player's metadata is on the seats of its media.
    fn taken(&self) -> usize {
        let mut taken = 0;
        let mut players: HashMap<PlayerName, (usize, usize)> = HashMap::new();
        for one in self.sitting.iter().filter(|one| !one.leaving) {
            let Some(player) = one.player else {
                taken += 1;
                continue;
            };
            let (media, metadata) = players.entry(player).or_default();
            match one.delivery {
                Delivery::Media => *media += 1,
                Delivery::Metadata => *metadata += 1,
            }
        }
        let of_players = players
            .values()
            .map(|(media, metadata)| media.max(metadata));
        taken + of_players.sum::<usize>()
    }

    /// A session has media from here on; whether there is a seat for that.
    pub(super) fn hold_media(&mut self, session: SessionId, limit: NonZeroU16) -> bool {
        let mut sitting = self.sitting.iter_mut();
        if let Some(one) = sitting.find(|one| one.session == session) {
            one.delivery = Delivery::Media;
        }
        self.has_room(limit)
    }

    pub(super) fn leave(&mut self, session: SessionId) -> Option<SessionId> {
        let index = self.sitting.iter().position(|one| one.session == session)?;
        let one = self.sitting.get_mut(index)?;
        one.times -= 1;
        if one.times > 0 {
            return None;
        }
        let previous = self.sitting.swap_remove(index).previous?;
        let older = self
            .sitting
            .iter_mut()
            .find(|one| one.session == previous)?;
        older.leaving = false;
        Some(previous)
    }
}

#[cfg(test)]
#[path = "row_tests.rs"]
mod tests;
