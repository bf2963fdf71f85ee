//! How many viewers one token or user may have at once.
//!
//! A player may have two sockets for a moment, when it switches, and for long, when it plays HLS and hears of the metadata
//! by a WebSocket beside it (`metastreamonly`, PROTOCOL.md 4). Its metadata sits on the seat of its media. What a session
//! says of itself is not believed for longer than the media server bears it out: media takes a seat ([`Seat::hold_media`]).

use std::collections::HashMap;
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

/// What a session gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Media, with or without metadata.
    Media,
    /// Metadata alone, as long as the media server sends nothing else.
    Metadata,
}

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
    content: Content,
    /// A session may hold a seat twice: by its current token and by a pending one.
    times: usize,
    /// A newer socket of the same player and for the same content has the seat.
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
    /// Takes a seat where the token limits them. A second socket of one player for the same content takes the seat over from
    /// the first.
    pub fn take(
        &self,
        claims: &Claims,
        session: SessionId,
        player: &str,
        content: Content,
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
        let taken = row.take(limit, Sitting::new(session, player, content), now);
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

impl Sitting {
    fn new(session: SessionId, player: Option<u64>, content: Content) -> Self {
        Self {
            session,
            player,
            content,
            times: 1,
            leaving: false,
            previous: None,
        }
    }

    /// Whether both are of one player, for the same content.
    fn is_like(&self, other: &Self) -> bool {
        self.player.is_some() && self.player == other.player && self.content == other.content
    }
}

impl Row {
    fn take(
        &mut self,
        limit: NonZeroU16,
        mut newcomer: Sitting,
        now: Instant,
    ) -> Result<Option<Older>, Full> {
        let session = newcomer.session;
        if let Some(again) = self.sitting.iter_mut().find(|one| one.session == session) {
            again.times += 1;
            return Ok(None);
        }
        // While one of a player's sockets is leaving, the next one needs a seat of its own.
        let mut alike = self.sitting.iter().filter(|one| one.is_like(&newcomer));
        let first = alike.next().filter(|first| !first.leaving);
        let previous = first.filter(|_| alike.all(|one| !one.leaving));
        newcomer.previous = previous.map(|one| one.session);
        let previous = newcomer.previous;
        self.set_leaving(previous, true);
        self.sitting.push(newcomer);
        if !self.has_room(limit) {
            self.sitting.pop();
            self.set_leaving(previous, false);
            return Err(Full(limit));
        }
        Ok(previous.map(|session| Older {
            session,
            grace: self.grace(now),
        }))
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
        // Where no more sit than there are seats, nobody need be told apart.
        self.sitting.len() <= limit || self.taken() <= limit
    }

    /// How many seats are taken: each player's metadata is on the seats of its media.
    fn taken(&self) -> usize {
        let mut taken = 0;
        let mut players: HashMap<u64, (usize, usize)> = HashMap::new();
        for one in self.sitting.iter().filter(|one| !one.leaving) {
            let Some(player) = one.player else {
                taken += 1;
                continue;
            };
            let (media, metadata) = players.entry(player).or_default();
            match one.content {
                Content::Media => *media += 1,
                Content::Metadata => *metadata += 1,
            }
        }
        let of_players = players
            .values()
            .map(|(media, metadata)| media.max(metadata));
        taken + of_players.sum::<usize>()
    }

    /// A session has media from here on; whether there is a seat for that.
    fn hold_media(&mut self, session: SessionId, limit: NonZeroU16) -> bool {
        let mut sitting = self.sitting.iter_mut();
        if let Some(one) = sitting.find(|one| one.session == session) {
            one.content = Content::Media;
        }
        self.has_room(limit)
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
    /// Its session has media from here on, whatever it said. An error when there is no seat left for that: the session is to
    /// be ended then.
    pub fn hold_media(&self, limit: NonZeroU16) -> Result<(), Full> {
        let row = self.seats.rows.get_mut(&self.holder);
        let holds = row.is_none_or(|mut row| row.hold_media(self.session, limit));
        if holds { Ok(()) } else { Err(Full(limit)) }
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
            .remove_if(&self.holder, |_, row| row.sitting.is_empty());
        previous
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.leave();
    }
}
