//! What is remembered of sessions that the gate has ended, so that their viewers hear why and do not begin anew: each until
//! it has been quiet. It takes no room that a newcomer needs, and is bounded. What an operator ended stands apart from what
//! viewers can end themselves, so that a flood of the latter pushes out none of the former.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use lru::LruCache;
use tokio::time::Instant;

use crate::request::client_address::ClientAddress;

use super::identity::Alias;
use super::session::quiet_after;
use crate::session::ends::Kick;
use crate::session::id::SessionId;
use crate::session::lock;
use crate::session::place::{Bind, Places};

/// Those that are over.
#[derive(Debug)]
pub(super) struct EndedSessions {
    memory: Mutex<Memory>,
    /// The most of each kind.
    most: usize,
}

/// The one that was asked for least lately stands first in each.
#[derive(Debug)]
struct Memory {
    /// Ended by an operator or a revocation.
    by_operator: LruCache<SessionId, Remembered>,
    /// Ended by what viewers do, by their tokens' expiry or by a drain.
    by_itself: LruCache<SessionId, Remembered>,
}

/// What is remembered of one.
#[derive(Clone, Debug)]
pub(super) struct Remembered {
    pub(super) kick: Kick,
    pub(super) alias: Option<Alias>,
    pub(super) places: Places,
    /// When it was asked for.
    pub(super) asked: Instant,
    /// The target duration of its playlists; zero while unknown.
    pub(super) target: Duration,
    /// The page that it inherited.
    pub(super) page: Option<Arc<str>>,
}

impl Memory {
    fn both(&mut self) -> [&mut LruCache<SessionId, Remembered>; 2] {
        [&mut self.by_operator, &mut self.by_itself]
    }
}

impl EndedSessions {
    /// Of at most `most` that an operator ended, and as many others.
    pub(super) fn new(most: usize) -> Self {
        let memory = Mutex::new(Memory {
            by_operator: LruCache::unbounded(),
            by_itself: LruCache::unbounded(),
        });
        Self { memory, most }
    }

    /// Remembers one; what had to be forgotten for it.
    pub(super) fn remember(
        &self,
        id: SessionId,
        one: Remembered,
    ) -> Option<(SessionId, Remembered)> {
        let mut memory = lock(&self.memory);
        let kind = match one.kick {
            Kick::Revoked | Kick::Operator => &mut memory.by_operator,
            Kick::Expired | Kick::Superseded | Kick::Crowded | Kick::Drain => &mut memory.by_itself,
        };
        kind.put(id, one);
        (kind.len() > self.most).then(|| kind.pop_lru()).flatten()
    }

    /// Why one is over that is asked for from `address`, and whether that is told there: where it was played, and everywhere
    /// when nothing undoes its end. `None` when it is not remembered. What is not told does not keep it in mind.
    pub(super) fn ask(
        &self,
        id: SessionId,
        address: ClientAddress,
        bind: Bind,
    ) -> Option<(Kick, bool)> {
        let mut memory = lock(&self.memory);
        let known = |kind: &mut LruCache<SessionId, Remembered>| {
            let one = kind.peek_mut(&id)?;
            let kick = one.kick;
            let is_told = kick.is_final() || one.places.hold(address, bind);
            if is_told {
                one.asked = Instant::now();
                kind.promote(&id);
            }
            Some((kick, is_told))
        };
        memory.both().into_iter().find_map(known)
    }

    /// Whether one is remembered.
    pub(super) fn knows(&self, id: SessionId) -> bool {
        let mut memory = lock(&self.memory);
        memory.both().iter().any(|kind| kind.contains(&id))
    }

    /// Ends one by an operator that a drain has ended; whether there is such a one.
    pub(super) fn settle(&self, id: SessionId) -> bool {
        let mut memory = lock(&self.memory);
        let is_drained = |one: &Remembered| one.kick == Kick::Drain;
        if !memory.by_itself.peek(&id).is_some_and(is_drained) {
            return false;
        }
        if let Some(one) = memory.by_itself.pop(&id) {
            let kick = Kick::Operator;
            memory.by_operator.put(id, Remembered { kick, ..one });
        }
        true
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<(SessionId, Remembered)> {
        let mut memory = lock(&self.memory);
        let kinds = memory.both().into_iter();
        kinds
            .flat_map(|kind| kind.iter().map(|(id, one)| (*id, one.clone())))
            .collect()
    }

    /// Forgets those that have been quiet, where `idle` is the least that counts; what they were.
    pub(super) fn sweep(&self, idle: Duration, now: Instant) -> Vec<(SessionId, Remembered)> {
        let mut forgotten = Vec::new();
        for kind in lock(&self.memory).both() {
            let quiet = |one: &Remembered| {
                now.saturating_duration_since(one.asked) >= quiet_after(idle, one.target)
            };
            let gone = kind.iter().filter(|(_, one)| quiet(one));
            let gone: Vec<_> = gone.map(|(id, one)| (*id, one.clone())).collect();
            for (id, _) in &gone {
                kind.pop(id);
            }
            forgotten.extend(gone);
        }
        forgotten
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        let mut memory = lock(&self.memory);
        memory.both().iter().map(|kind| kind.len()).sum()
    }
}
