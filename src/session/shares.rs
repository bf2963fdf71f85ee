//! How much of all sessions one token and one network may have: a viewer that opens one after the other leaves room for
//! others.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use dashmap::DashMap;
use ipnet::IpNet;

use crate::decision::denial::Reason;
use crate::decision::permit::Permit;
use crate::request::client_address::ClientAddress;
use crate::token::{Owner, TokenId};

use super::eviction::EvictionQueue;
use super::place::Bind;

/// How many sessions there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Of all viewers (`limits.sessions`).
    pub all: usize,
    /// Of one token (`limits.sessions_per_token`).
    pub of_token: usize,
    /// Of one network (`limits.sessions_per_network`): a /24 of IPv4, a /56 of IPv6, or all whose address is not known.
    pub of_network: usize,
}

impl Room {
    /// Room for `all`, which one token and one network may have to themselves.
    #[must_use]
    #[allow(dead_code, reason = "most tests need no shares")]
    pub fn whole(all: usize) -> Self {
        Self {
            all,
            of_token: all,
            of_network: all,
        }
    }
}

/// What each token and each network has. A row stands as long as it has a session, so that there are at most two rows for
/// each session.
#[derive(Debug)]
pub(crate) struct Shares {
    room: Room,
    rows: DashMap<Holder, Row>,
    hasher: RandomState,
}

/// A keyed digest of a token or a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Holder(u64);

/// The token and the network of one session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holders {
    token: Holder,
    network: Holder,
}

#[derive(Debug, Default)]
struct Row {
    sessions: usize,
    /// Those over HTTP, which may be asked to make way.
    queue: Option<Arc<EvictionQueue>>,
}

/// What a digest is made of.
#[derive(Hash)]
enum Held<'a> {
    Token(&'a Owner, TokenId),
    Network(Option<IpNet>),
}

impl Shares {
    pub(crate) fn new(room: Room) -> Self {
        Self {
            room,
            rows: DashMap::new(),
            hasher: RandomState::new(),
        }
    }

    /// The token and the network that a session with this permit belongs to, for as long as it lives: what it changes to
    /// later does not count, or one token would be used to open it and another to hold it.
    pub(crate) fn holders(&self, permit: &Permit) -> Holders {
        let holder = |held: Held<'_>| Holder(self.hasher.hash_one(held));
        let claims = permit.claims();
        let network = match permit.address() {
            ClientAddress::Known(address) => Some(Bind::Prefix.net(address)),
            ClientAddress::Unknown => None,
        };
        Holders {
            token: holder(Held::Token(&claims.owner, claims.grant.id)),
            network: holder(Held::Network(network)),
        }
    }

    /// Counts one session more, or says whose share is full.
    pub(crate) fn take(&self, holders: Holders, permit: &Permit) -> Result<(), Reason> {
        let Room {
            of_token,
            of_network,
            ..
        } = self.room;
        if !self.take_one(holders.token, of_token) {
            return Err(Reason::TokenShare {
                token: permit.claims().grant.id,
                limit: of_token,
            });
        }
        if !self.take_one(holders.network, of_network) {
            self.give_one_back(holders.token);
            return Err(Reason::NetworkShare {
                address: permit.address(),
                limit: of_network,
            });
        }
        Ok(())
    }

    /// Counts one session less.
    pub(crate) fn give_back(&self, holders: Holders) {
        self.give_one_back(holders.token);
        self.give_one_back(holders.network);
    }

    /// The queues in which a session over HTTP stands, with how many sessions each is of.
    pub(crate) fn queues(
        &self,
        holders: Holders,
    ) -> impl Iterator<Item = (Arc<EvictionQueue>, usize)> {
        let queue = |holder: Holder| {
            // A session that is gone already needs no queue.
            let mut row = self.rows.get_mut(&holder)?;
            let Row { sessions, queue } = &mut *row;
            Some((Arc::clone(queue.get_or_insert_default()), *sessions))
        };
        [holders.token, holders.network]
            .into_iter()
            .filter_map(queue)
    }

    /// The queue of those that make way for a newcomer that was refused for this reason; `None` where that is not for want of
    /// a share.
    pub(crate) fn queue_of(&self, permit: &Permit, reason: &Reason) -> Option<Arc<EvictionQueue>> {
        let holders = self.holders(permit);
        let holder = if matches!(reason, Reason::TokenShare { .. }) {
            holders.token
        } else if matches!(reason, Reason::NetworkShare { .. }) {
            holders.network
        } else {
            return None;
        };
        self.rows.get(&holder)?.queue.clone()
    }

    fn take_one(&self, holder: Holder, most: usize) -> bool {
        let mut row = self.rows.entry(holder).or_default();
        let free = row.sessions < most;
        row.sessions += usize::from(free);
        free
    }

    fn give_one_back(&self, holder: Holder) {
        self.rows.remove_if_mut(&holder, |_, row| {
            row.sessions = row.sessions.saturating_sub(1);
            row.sessions == 0
        });
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }
}
