//! How many viewers one token or user may have at once.
//!
//! A player may have two sockets for a moment, when it switches, and for long, when it plays HLS and hears of the metadata
//! by a WebSocket beside it (`metastreamonly`, protocol.md 4). Its metadata sits on the seat of its media. What a session
//! says of itself is not believed for longer than the media server bears it out: media takes a seat ([`Seat::hold_media`]).

mod row;

use std::hash::{BuildHasher as _, RandomState};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use tokio::time::Instant;

use crate::decision::permit::Permit;
use crate::token::{Owner, TokenId, User};

use super::id::SessionId;
use super::place::Bind;
use super::presence::Presence;
use row::{At, Row, Sitting};

/// What a session gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Media, with or without metadata.
    Media,
    /// Metadata alone, as long as the media server sends nothing else.
    Metadata,
}

/// What the viewers of a limited token are counted for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Holder {
    User(Owner, User),
    Token(Owner, TokenId),
}

/// The seats of all tokens that limit their sessions.
#[derive(Clone, Debug)]
pub struct Seats {
    rows: Arc<DashMap<Holder, Row>>,
    /// How wide a place is.
    bind: Bind,
    /// Players' names are theirs to choose, in length too: only a keyed digest of them is kept and compared.
    names: RandomState,
}

/// A seat, given back on drop.
#[derive(Debug)]
pub struct Seat {
    seats: Seats,
    holder: Holder,
    session: SessionId,
    given_back: bool,
}

/// Why there is no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSeat {
    /// All are taken.
    Full(NonZeroU16),
    /// The same player has it at another place, and is still there.
    Elsewhere,
}

/// A session that wants a seat.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking<'a> {
    pub(super) session: SessionId,
    pub(super) player: Option<PlayerName>,
    pub(super) delivery: Delivery,
    pub(super) presence: &'a Arc<Presence>,
}

/// An older socket of the same player, to be ended when it does not end by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Older {
    /// Its session.
    pub session: SessionId,
    /// How long it may go on.
    pub grace: Duration,
}

/// A digest of what a player calls itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PlayerName(u64);

impl Seats {
    /// Seats at places as wide as `bind` says.
    #[must_use]
    pub fn new(bind: Bind) -> Self {
        Self {
            rows: Arc::default(),
            bind,
            names: RandomState::new(),
        }
    }

    /// The digest of a player's name; `None` for one without.
    #[must_use]
    pub fn name(&self, player: &str) -> Option<PlayerName> {
        (!player.is_empty()).then(|| PlayerName(self.names.hash_one(player)))
    }

    /// Takes a seat where the token limits them. A second socket of one player for the same delivery takes the seat over from
    /// the first; from another place only when the first one's viewer is there no more.
    pub(super) fn take(
        &self,
        permit: &Permit,
        asking: Asking<'_>,
        now: Instant,
    ) -> Result<(Option<Seat>, Option<Older>), NoSeat> {
        let claims = permit.claims();
        let Some(limit) = claims.grant.sessions else {
            return Ok((None, None));
        };
        let holder = match &claims.grant.user {
            Some(user) => Holder::User(claims.owner.clone(), user.clone()),
            None => Holder::Token(claims.owner.clone(), claims.grant.id),
        };
        let at = At {
            address: permit.address(),
            bind: self.bind,
        };
        let session = asking.session;
        let newcomer = Sitting::new(asking, at);
        let mut row = self.rows.entry(holder.clone()).or_default();
        let taken = row.take(limit, newcomer, at, now);
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

impl Seat {
    /// Its session has media from here on, whatever it said; whether there is a seat left for that. Else the session is to be
    /// ended.
    #[must_use]
    pub fn hold_media(&self, limit: NonZeroU16) -> bool {
        let row = self.seats.rows.get_mut(&self.holder);
        row.is_none_or(|mut row| row.hold_media(self.session, limit))
    }

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
            .remove_if(&self.holder, |_, row| row.is_empty());
        previous
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.leave();
    }
}
