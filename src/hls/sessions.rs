//! HLS sessions: many requests that are one session. It lives for as long as the viewer keeps asking, is over when it
//! has been quiet for a while, and knows the viewer again by the ticket in its paths or by the URL that it began with.

mod ending;
pub mod first_url;
mod moving;
pub mod opening;
mod restart;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dashmap::DashMap;
use tokio::time::Instant;

use crate::request::client_address::ClientAddress;

use super::ended::{EndedSessions, Remembered};
use super::identity::{Alias, Identity};
use super::session::{HlsSession, Standing};
use crate::session::ends::Kick;
use crate::session::eviction::EvictionQueue;
use crate::session::id::SessionId;
use crate::session::place::Bind;
use crate::session::{Sessions, lock};
use restart::Dormant;

/// All HLS sessions.
#[derive(Debug)]
pub struct HlsSessions {
    sessions: Arc<Sessions>,
    playing: DashMap<SessionId, Arc<HlsSession>>,
    /// Those whose name another session has taken: the same URL plays in two places.
    aliases: DashMap<Identity, SessionId>,
    /// Of these the ones whose end nothing undoes, by the name that their first URL makes.
    final_ends: DashMap<SessionId, SessionId>,
    queue: EvictionQueue,
    over: EndedSessions,
    /// What has ended and was not told of yet.
    ended: Mutex<Vec<Ended>>,
    /// Held while one begins: of two requests that begin the same session at once the second finds the first one's.
    beginning: tokio::sync::Mutex<()>,
    /// Sessions of an earlier process that have not asked for anything since.
    dormant: DashMap<SessionId, Dormant>,
    idle: Duration,
    bind: Bind,
}

/// A session that has ended for good.
#[derive(Debug)]
pub struct Ended {
    /// The session.
    pub session: Arc<HlsSession>,
    /// Why the gate ended it; `None` when it was quiet.
    pub kick: Option<Kick>,
}

/// How many sessions stand in the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Those that play.
    pub playing: usize,
    /// Those that the gate has ended and whose viewers still hear why.
    pub over: usize,
    /// Those of an earlier process that have not asked for anything since.
    pub dormant: usize,
}

impl HlsSessions {
    /// Sessions that end after `idle` of silence and are bound to their addresses as `bind` says.
    #[must_use]
    pub fn new(sessions: Arc<Sessions>, idle: Duration, bind: Bind) -> Self {
        Self {
            over: EndedSessions::new(sessions.most()),
            sessions,
            playing: DashMap::new(),
            aliases: DashMap::new(),
            final_ends: DashMap::new(),
            queue: EvictionQueue::default(),
            ended: Mutex::default(),
            beginning: tokio::sync::Mutex::default(),
            dormant: DashMap::new(),
            idle,
            bind,
        }
    }

    /// How closely sessions are bound to addresses.
    #[must_use]
    pub fn bind(&self) -> Bind {
        self.bind
    }

    fn remember(&self, id: SessionId, remembered: Remembered) {
        if let Some(alias) = remembered.alias
            && remembered.kick.is_final()
        {
            self.final_ends.insert(alias.first, id);
        }
        if let Some((id, forgotten)) = self.over.remember(id, remembered) {
            self.forget_alias(forgotten.alias, id);
        }
    }

    /// Takes this very session out of those that play.
    fn take_out(&self, session: &HlsSession) -> Option<Arc<HlsSession>> {
        let same = |_: &SessionId, one: &Arc<HlsSession>| std::ptr::eq(&raw const **one, session);
        let taken = self.playing.remove_if(&session.id, same);
        taken.map(|(_, session)| session)
    }

    /// What has ended since this was asked for, each once: whatever makes room or sweeps asks for it, so that it does not pile
    /// up.
    #[must_use]
    pub fn take_ended(&self) -> Vec<Ended> {
        std::mem::take(&mut *lock(&self.ended))
    }

    /// How many there are.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            playing: self.playing.len(),
            over: self.over.len(),
            dormant: self.dormant.len(),
        }
    }

    /// A request asks for a session by its name that does not play: why it is over; `None` when that is not remembered. Where
    /// that is told it is remembered for longer.
    #[must_use]
    pub fn ask_over(&self, id: SessionId, address: ClientAddress) -> Option<Kick> {
        self.over.ask(id, address, self.bind).map(|(kick, _)| kick)
    }

    /// The session of this name.
    #[must_use]
    pub fn find(&self, id: SessionId) -> Option<Arc<HlsSession>> {
        self.playing.get(&id).map(|entry| Arc::clone(entry.value()))
    }

    /// A request from `address` asks for something of a session: how that stands to it. One that plays there is heard of by
    /// that, and one whose end is due ends.
    #[must_use]
    pub fn ask(&self, session: &HlsSession, address: ClientAddress) -> Standing {
        let now = Instant::now();
        let mut state = session.state();
        let over = session.end_if_due(&mut state, now);
        let here = state.places.hold(address, self.bind) && state.admits(address);
        // What is asked for elsewhere keeps nothing alive here.
        if here {
            state.asked = now;
            session.presence.hear(address);
        }
        drop(state);
        match over {
            Some(kick) => {
                self.bury(session, kick);
                Standing::Over(kick)
            }
            None if here => Standing::Plays,
            None => Standing::Elsewhere,
        }
    }

    fn forget(&self, session: &HlsSession) {
        self.forget_alias(session.alias, session.id);
    }

    fn forget_alias(&self, alias: Option<Alias>, of: SessionId) {
        if let Some(alias) = alias {
            self.aliases.remove_if(&alias.here, |_, id| *id == of);
            self.final_ends.remove_if(&alias.first, |_, id| *id == of);
        }
    }
}

#[cfg(test)]
#[path = "sessions/sessions_tests.rs"]
mod tests;
