//! How many viewers one token or user may have at once.

use std::num::NonZeroU16;
use std::sync::Arc;

use dashmap::DashMap;

use crate::token::{Claims, Owner, TokenId, User};

use super::id::SessionId;

/// Who the viewers of a limited token are counted for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Holder {
    User(Owner, User),
    Token(TokenId),
}

/// Who sits where, of the tokens that limit their sessions.
#[derive(Clone, Debug, Default)]
pub struct Seats(Arc<DashMap<Holder, Vec<Sitting>>>);

#[derive(Debug)]
struct Sitting {
    session: SessionId,
    player: String,
    /// A session may hold a seat twice: by its current token and by a pending one.
    times: usize,
}

/// A seat, given back on drop.
#[derive(Debug)]
pub struct Seat {
    seats: Seats,
    holder: Holder,
    session: SessionId,
}

/// All seats are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full(pub NonZeroU16);

impl Seats {
    /// Takes a seat where the token limits them. Two sockets of one player share a seat while it switches from one to
    /// the other; the older one is returned, to be ended when it does not end by itself.
    pub fn take(
        &self,
        claims: &Claims,
        session: SessionId,
        player: &str,
    ) -> Result<(Option<Seat>, Option<SessionId>), Full> {
        let Some(limit) = claims.grant.sessions else {
            return Ok((None, None));
        };
        let holder = match &claims.grant.user {
            Some(user) => Holder::User(claims.owner.clone(), user.clone()),
            None => Holder::Token(claims.grant.id),
        };
        let mut sitting = self.0.entry(holder.clone()).or_default();
        let mut older = None;
        if let Some(again) = sitting.iter_mut().find(|one| one.session == session) {
            again.times += 1;
        } else {
            older = overlapping(&sitting, player);
            if older.is_none() && taken(&sitting) >= usize::from(limit.get()) {
                return Err(Full(limit));
            }
            sitting.push(Sitting {
                session,
                player: player.to_owned(),
                times: 1,
            });
        }
        drop(sitting);
        Ok((
            Some(Seat {
                seats: self.clone(),
                holder,
                session,
            }),
            older,
        ))
    }
}

/// The one socket of the same player, if there is exactly one.
fn overlapping(sitting: &[Sitting], player: &str) -> Option<SessionId> {
    let mut same = sitting
        .iter()
        .filter(|one| !player.is_empty() && one.player == player);
    match (same.next(), same.next()) {
        (Some(older), None) => Some(older.session),
        _ => None,
    }
}

/// Seats in use: a pair of sockets of one player uses one.
fn taken(sitting: &[Sitting]) -> usize {
    let mut players: Vec<(&str, usize)> = Vec::new();
    for one in sitting {
        match players
            .iter_mut()
            .find(|(player, _)| !player.is_empty() && *player == one.player)
        {
            Some((_, sockets)) => *sockets += 1,
            None => players.push((&one.player, 1)),
        }
    }
    players.iter().map(|(_, sockets)| sockets.div_ceil(2)).sum()
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some(mut sitting) = self.seats.0.get_mut(&self.holder) else {
            return;
        };
        if let Some(index) = sitting.iter().position(|one| one.session == self.session)
            && let Some(one) = sitting.get_mut(index)
        {
            one.times -= 1;
            if one.times == 0 {
                sitting.swap_remove(index);
            }
        }
        drop(sitting);
        self.seats
            .0
            .remove_if(&self.holder, |_, sitting| sitting.is_empty());
    }
}
