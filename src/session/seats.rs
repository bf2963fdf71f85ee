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

use crate::decision::permit::Permit;
use crate::token::{Owner, TokenId, User};

use super::hls::place::{Bind, Moves};
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
    /// How often a seat may still go to another place, where one player's name is used in both.
    moves: Option<Moves>,
}

#[derive(Debug)]
struct Sitting {
    session: SessionId,
    /// `None` for a viewer without a name, who is nobody else's second socket.
    player: Option<PlayerName>,
    /// A digest of where it is.
    place: u64,
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

/// A digest of what a player calls itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PlayerName(u64);

impl Seats {
    /// The digest of a player's name; `None` for one without.
    #[must_use]
    pub fn name(&self, player: &str) -> Option<PlayerName> {
        (!player.is_empty()).then(|| PlayerName(self.names.hash_one(player)))
    }

    /// Takes a seat where the token limits them. A second socket of one player for the same content takes the seat over from
    /// the first.
    pub fn take(
        &self,
        permit: &Permit,
        session: SessionId,
        player: Option<PlayerName>,
        content: Content,
        now: Instant,
    ) -> Result<(Option<Seat>, Option<Older>), Full> {
        let claims = permit.claims();
        let Some(limit) = claims.grant.sessions else {
            return Ok((None, None));
        };
        let holder = match &claims.grant.user {
            Some(user) => Holder::User(claims.owner.clone(), user.clone()),
            None => Holder::Token(claims.owner.clone(), claims.grant.id),
        };
        let newcomer = Sitting {
            session,
            player,
            place: self.names.hash_one(Bind::Prefix.place(permit.address())),
            content,
            times: 1,
            leaving: false,
            previous: None,
        };
        let mut row = self.rows.entry(holder.clone()).or_default();
        let taken = row.take(limit, newcomer, now);
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
        let first = self.first_of(&newcomer);
        let first = first.and_then(|first| self.sitting.get(first));
        let previous = first.map(|first| first.session);
        let moves = first.is_some_and(|first| first.place != newcomer.place);
        newcomer.previous = previous;
        self.set_leaving(previous, true);
        self.sitting.push(newcomer);
        if !self.has_room(limit) || moves && !self.may_move(now) {
            self.sitting.pop();
            self.set_leaving(previous, false);
            return Err(Full(limit));
        }
        Ok(previous.map(|session| Older {
            session,
            grace: self.grace(now),
        }))
    }

    /// Where the socket stands that makes way for another of the same player and for the same content; none while one does
    /// so already.
    fn first_of(&self, newcomer: &Sitting) -> Option<usize> {
        let alike = |one: &Sitting| one.is_like(newcomer);
        if self.sitting.iter().any(|one| alike(one) && one.leaving) {
            return None;
        }
        self.sitting.iter().position(alike)
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
        // Where no more sit than there are seats, nobody need be told apart.
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

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: NonZeroU16 = NonZeroU16::MIN;

    fn sitting(session: u128, player: u64, place: u64) -> Sitting {
        Sitting {
            session: SessionId::new(session << 48),
            player: Some(PlayerName(player)),
            place,
            content: Content::Media,
            times: 1,
            leaving: false,
            previous: None,
        }
    }

    fn leave(row: &mut Row, session: u128) {
        row.leave(SessionId::new(session << 48));
    }

    #[tokio::test(start_paused = true)]
    async fn many_places_do_not_take_turns_on_one_seat_by_one_players_name() {
        let mut row = Row::default();
        let mut turns = Vec::new();
        for turn in 0..100 {
            let place = turn % 8;
            // Each begins anew, takes what it wants, and the one before has ended by then.
            let taken = row.take(ONE, sitting(turn.into(), 7, place), Instant::now());
            if taken.is_ok() {
                turns.push(place);
                row.sitting.retain(|one| !one.leaving);
            }
        }
        turns.dedup();
        // The first one, and as many moves as a playback has; the last one keeps the seat.
        assert_eq!(turns, [0, 1, 2, 3, 4]);
        // One player that builds URL after URL at one place is no crowd.
        let mut row = Row::default();
        for turn in 0..100 {
            assert!(row.take(ONE, sitting(turn, 7, 1), Instant::now()).is_ok());
            row.sitting.retain(|one| !one.leaving);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_no_seat_ends_nobody_and_frees_none() {
        let three = NonZeroU16::new(3).unwrap();
        let mut row = Row::default();
        for viewer in 1_u64..=3 {
            let sits = sitting(viewer.into(), viewer, 1);
            assert_eq!(row.take(three, sits, Instant::now()), Ok(None));
        }
        // The same user's other token has one seat alone, by the name of one who sits here.
        let narrow = row.take(ONE, sitting(4, 1, 1), Instant::now());
        assert_eq!(narrow, Err(Full(ONE)));
        let fourth = row.take(three, sitting(5, 5, 1), Instant::now());
        assert_eq!(fourth, Err(Full(three)));
        leave(&mut row, 2);
        assert!(row.take(three, sitting(5, 5, 1), Instant::now()).is_ok());
    }
}
