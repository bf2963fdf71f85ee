//! How many viewers one token or user may have at once.
//!
//! A player may have two sockets for a moment, when it switches, and for long, when it plays HLS and hears of the metadata
//! by a WebSocket beside it (`metastreamonly`, protocol.md 4). Its metadata sits on the seat of its media. What a session
//! says of itself is not believed for longer than the media server bears it out: media takes a seat ([`Seat::hold_media`]).

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use tokio::time::Instant;

use crate::decision::permit::Permit;
use crate::request::client_address::ClientAddress;
use crate::token::{Owner, TokenId, User};

use super::id::SessionId;
use super::place::{Bind, Moves, Places};
use super::presence::Presence;

/// How long two sockets of one player may stand side by side on one seat: a player that switches by a second socket
/// closes the first within seconds (protocol.md 5), a shared token would never.
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
#[derive(Clone, Debug)]
pub struct Seats {
    rows: Arc<DashMap<Holder, Row>>,
    /// How wide a place is.
    bind: Bind,
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
    /// Where it is: as many places as a playback over HTTP has.
    places: Places,
    presence: Arc<Presence>,
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
    pub(super) content: Content,
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

    /// Takes a seat where the token limits them. A second socket of one player for the same content takes the seat over from
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
struct At {
    address: ClientAddress,
    bind: Bind,
}

impl Sitting {
    fn new(asking: Asking<'_>, at: At) -> Self {
        let mut places = Places::default();
        places.settle(at.address, at.bind);
        Self {
            session: asking.session,
            // Nothing tells a player from another of the same name where it is not known where they are.
            player: asking.player.filter(|_| at.bind.is_place(at.address)),
            places,
            presence: Arc::clone(asking.presence),
            content: asking.content,
            times: 1,
            leaving: false,
            previous: None,
        }
    }

    /// No older socket gets the seat back from this one, if it was that one.
    fn forget(&mut self, older: Option<SessionId>) {
        self.previous = self.previous.filter(|_| self.previous != older);
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

    /// Which socket of the same player and for the same content makes way; none while one does so already.
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
    use crate::session::Transport;

    const ONE: NonZeroU16 = NonZeroU16::MIN;

    fn at(place: u8) -> At {
        At {
            address: ClientAddress::Known([192, 0, place, 1].into()),
            bind: Bind::Prefix,
        }
    }

    fn sitting(session: u128, player: u64, at: At) -> Sitting {
        let presence = Arc::new(Presence::new(Transport::Hls, Instant::now()));
        let asking = Asking {
            session: SessionId::new(session << 48),
            player: Some(PlayerName(player)),
            content: Content::Media,
            presence: &presence,
        };
        Sitting::new(asking, at)
    }

    fn take(
        row: &mut Row,
        limit: NonZeroU16,
        session: u128,
        player: u64,
        at: At,
    ) -> Result<Option<Older>, NoSeat> {
        row.take(limit, sitting(session, player, at), at, Instant::now())
    }

    fn leave(row: &mut Row, session: u128) {
        row.leave(SessionId::new(session << 48));
    }

    #[tokio::test(start_paused = true)]
    async fn a_seat_moves_when_its_viewer_is_gone_and_not_for_ever() {
        let mut row = Row::default();
        let mut turns = Vec::new();
        for turn in 0..100 {
            let place = at(turn % 8);
            // Each begins anew, takes what it wants, and the one before has ended by then.
            for tries in 0..3_u8 {
                let session = u128::from(turn) * 3 + u128::from(tries) + 1;
                match take(&mut row, ONE, session, 7, place) {
                    Ok(_) => turns.push(turn % 8),
                    Err(why) if tries == 0 && turns.len() < 5 => assert_eq!(why, NoSeat::Elsewhere),
                    Err(_) => {}
                }
                row.sitting.retain(|one| !one.leaving);
                if tries == 0 {
                    tokio::time::advance(Duration::from_millis(3_600)).await;
                }
            }
            if turn == 8 {
                break;
            }
        }
        turns.dedup();
        // The first one, and as many moves as a playback has; the last one keeps the seat.
        assert_eq!(turns, [0, 1, 2, 3, 4]);
        // One player that builds URL after URL at one place is no crowd.
        let mut row = Row::default();
        for turn in 0..100 {
            assert!(take(&mut row, ONE, turn, 7, at(1)).is_ok());
            row.sitting.retain(|one| !one.leaving);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_from_elsewhere_ends_nobody_who_is_there() {
        let two = NonZeroU16::new(2).unwrap();
        let mut row = Row::default();
        assert_eq!(take(&mut row, two, 1, 7, at(1)), Ok(None));
        // A seat of its own, while there is one.
        assert_eq!(take(&mut row, two, 2, 7, at(2)), Ok(None));
        assert_eq!(take(&mut row, two, 3, 7, at(3)), Err(NoSeat::Elsewhere));
        assert_eq!(take(&mut row, two, 4, 8, at(3)), Err(NoSeat::Full(two)));
        assert!(row.sitting.iter().all(|one| !one.leaving));
        let older = take(&mut row, two, 5, 7, at(2)).unwrap().unwrap();
        assert_eq!(older.session, SessionId::new(2 << 48), "of its own place");
    }

    #[tokio::test(start_paused = true)]
    async fn viewers_whose_addresses_are_unknown_share_no_seat() {
        let nowhere = |bind| At {
            address: ClientAddress::Unknown,
            bind,
        };
        for bind in [Bind::Exact, Bind::Prefix] {
            let mut row = Row::default();
            assert_eq!(take(&mut row, ONE, 1, 7, nowhere(bind)), Ok(None));
            for session in 2..8 {
                let full = Err(NoSeat::Full(ONE));
                assert_eq!(take(&mut row, ONE, session, 7, nowhere(bind)), full);
                assert_eq!(take(&mut row, ONE, session, 7, at(1)), full);
            }
        }
        let mut row = Row::default();
        assert_eq!(take(&mut row, ONE, 1, 7, nowhere(Bind::Off)), Ok(None));
        assert!(take(&mut row, ONE, 2, 7, nowhere(Bind::Off)).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_no_seat_ends_nobody_and_frees_none() {
        let three = NonZeroU16::new(3).unwrap();
        let mut row = Row::default();
        for viewer in 1_u64..=3 {
            let taken = take(&mut row, three, viewer.into(), viewer, at(1));
            assert_eq!(taken, Ok(None));
        }
        // The same user's other token has one seat alone, by the name of one who sits here.
        let narrow = take(&mut row, ONE, 4, 1, at(1));
        assert_eq!(narrow, Err(NoSeat::Full(ONE)));
        let fourth = take(&mut row, three, 5, 5, at(1));
        assert_eq!(fourth, Err(NoSeat::Full(three)));
        leave(&mut row, 2);
        assert!(take(&mut row, three, 5, 5, at(1)).is_ok());
    }
}
