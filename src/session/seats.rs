//! How many viewers one token or user may have at once.

use std::hash::{BuildHasher as _, RandomState};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use tokio::time::Instant;

use crate::token::{Claims, Owner, TokenId, User};

use super::id::SessionId;

/// How long two sockets of one player may stand side by side on one seat: a player that switches by a second socket
/// closes the first within seconds (PROTOCOL.md 5), a shared token would never.
const OVERLAP: Duration = Duration::from_secs(10);

/// How soon after one such switch the next may take as long. Sooner than that the older socket ends at once, or two
/// people could take turns for ever.
const OVERLAP_AGAIN: Duration = Duration::from_secs(60);

/// Who the viewers of a limited token are counted for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Holder {
    User(Owner, User),
    Token(Owner, TokenId),
}

/// Who sits where, of the tokens that limit their sessions.
#[derive(Clone, Debug, Default)]
pub struct Seats {
    rows: Arc<DashMap<Holder, Row>>,
    /// Players' names are theirs to choose, in length too: only a keyed digest of them is kept and compared.
    names: RandomState,
}

/// The seats of one holder.
#[derive(Debug, Default)]
struct Row {
    sitting: Vec<Sitting>,
    last_overlap: Option<Instant>,
}

#[derive(Debug)]
struct Sitting {
    session: SessionId,
    /// `None` for a viewer without a name, who is nobody else's second socket.
    player: Option<u64>,
    /// A session may hold a seat twice: by its current token and by a pending one.
    times: usize,
    /// A newer socket of the same player has the seat.
    leaving: bool,
    /// The older socket of the same player that had the seat, and has it again when this one leaves first.
    previous: Option<SessionId>,
}

/// A seat, given back on drop.
#[derive(Debug)]
pub struct Seat {
    seats: Seats,
    holder: Holder,
    session: SessionId,
    given_back: bool,
}

/// All seats are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full(pub NonZeroU16);

/// An older socket of the same player, to be ended when it does not end by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Older {
    /// Its session.
    pub session: SessionId,
    /// How long it may go on.
    pub grace: Duration,
}

impl Seats {
    /// Takes a seat where the token limits them. A second socket of one player takes the seat over from the first.
    pub fn take(
        &self,
        claims: &Claims,
        session: SessionId,
        player: &str,
        now: Instant,
    ) -> Result<(Option<Seat>, Option<Older>), Full> {
        let Some(limit) = claims.grant.sessions else {
            return Ok((None, None));
        };
        let holder = match &claims.grant.user {
            Some(user) => Holder::User(claims.owner.clone(), user.clone()),
            None => Holder::Token(claims.owner.clone(), claims.grant.id),
        };
        let player = (!player.is_empty()).then(|| self.names.hash_one(player));
        let mut row = self.rows.entry(holder.clone()).or_default();
        let taken = row.take(limit, session, player, now);
        drop(row);
        let older = taken?;
        let seats = self.clone();
        Ok((
            Some(Seat {
                seats,
                holder,
                session,
                given_back: false,
            }),
            older,
        ))
    }
}

impl Row {
    fn take(
        &mut self,
        limit: NonZeroU16,
        session: SessionId,
        player: Option<u64>,
        now: Instant,
    ) -> Result<Option<Older>, Full> {
        if let Some(again) = self.sitting.iter_mut().find(|one| one.session == session) {
            again.times += 1;
            return Ok(None);
        }
        let same = |one: &&mut Sitting| player.is_some() && one.player == player;
        let mut older = None;
        if !self.sitting.iter_mut().filter(same).any(|one| one.leaving)
            && let Some(first) = self.sitting.iter_mut().find(|one| same(one))
        {
            first.leaving = true;
            let lately = |last: Instant| now.saturating_duration_since(last) < OVERLAP_AGAIN;
            let grace = if self.last_overlap.is_some_and(lately) {
                Duration::ZERO
            } else {
                OVERLAP
            };
            older = Some(Older {
                session: first.session,
                grace,
            });
            self.last_overlap = Some(now);
        }
        let seated = self.sitting.iter().filter(|one| !one.leaving).count();
        if seated >= usize::from(limit.get()) {
            return Err(Full(limit));
        }
        let previous = older.map(|older: Older| older.session);
        self.sitting.push(Sitting {
            session,
            player,
            times: 1,
            leaving: false,
            previous,
        });
        Ok(older)
    }

    fn leave(&mut self, session: SessionId) -> Option<SessionId> {
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

impl Seat {
    /// Gives the seat back; the older socket of the same player that has it again, if there is one.
    #[must_use]
    pub fn give_back(mut self) -> Option<SessionId> {
        self.leave()
    }

    fn leave(&mut self) -> Option<SessionId> {
        if std::mem::replace(&mut self.given_back, true) {
            return None;
        }
        let mut row = self.seats.rows.get_mut(&self.holder)?;
        let previous = row.leave(self.session);
        drop(row);
        self.seats
            .rows
            .remove_if(&self.holder, |_, row| row.sitting.is_empty());
        previous
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.leave();
    }
}
