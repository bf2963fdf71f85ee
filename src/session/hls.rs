//! HLS playbacks: many requests that are one session. It lives for as long as the viewer keeps asking, is over when it
//! has been quiet for a while, and knows the viewer again by the ticket in its paths or by the URL that it began with.

pub mod identity;
pub mod place;
pub mod playback;
pub mod saved;

mod line;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use tokio::time::Instant;

use crate::decision::denial::{Denial, Reason};
use crate::decision::permit::Permit;
use crate::request::client_address::ClientAddress;
use crate::token::UnixSeconds;

use super::guard::{Kick, Proposal};
use super::id::SessionId;
use super::{Newcomer, Sessions};
use identity::Identity;
use line::{Fate, Line};
use place::{Bind, Places};
use playback::{HlsSession, Life, Standing, quiet_after};
use saved::Saved;

/// All HLS playbacks.
#[derive(Debug)]
pub struct HlsSessions {
    sessions: Arc<Sessions>,
    playing: DashMap<SessionId, Arc<HlsSession>>,
    /// Those whose name another playback has taken: the same URL plays in two places.
    aliases: DashMap<Identity, SessionId>,
    line: Line,
    /// What made way since the last sweep.
    made_way: Mutex<Vec<Ended>>,
    /// Held while one begins: of two requests that begin the same playback at once the second finds the first one's.
    beginning: Mutex<()>,
    /// Playbacks of an earlier process that have not asked for anything since.
    dormant: DashMap<SessionId, Saved>,
    dormant_until: Mutex<Option<Instant>>,
    idle: Duration,
    bind: Bind,
}

/// What is known of the playback of a first URL.
#[derive(Debug)]
pub enum Known {
    /// It plays, here among others.
    Plays(Arc<HlsSession>),
    /// It plays by another kind of address, of which a viewer may have both.
    Joinable(Arc<HlsSession>),
    /// The gate has ended it.
    Over(SessionId, Kick),
    /// It ran here in an earlier process.
    Dormant(SessionId),
    /// It plays elsewhere and not here: whoever begins it here needs another name.
    Taken,
    /// Nothing.
    Nothing,
}

/// A playback that was asked to begin.
#[derive(Debug)]
pub struct Begun {
    /// The playback.
    pub session: Arc<HlsSession>,
    /// Whether it begins with this request, and not with another one at the same moment.
    pub is_new: bool,
}

/// A playback that has ended for good.
#[derive(Debug)]
pub struct Ended {
    /// The playback.
    pub session: Arc<HlsSession>,
    /// Why the gate ended it; `None` when it was quiet.
    pub kick: Option<Kick>,
}

impl HlsSessions {
    /// Playbacks that end after `idle` of silence and are bound to their addresses as `bind` says.
    #[must_use]
    pub fn new(sessions: Arc<Sessions>, idle: Duration, bind: Bind) -> Self {
        Self {
            sessions,
            playing: DashMap::new(),
            aliases: DashMap::new(),
            line: Line::default(),
            made_way: Mutex::default(),
            beginning: Mutex::default(),
            dormant: DashMap::new(),
            dormant_until: Mutex::new(None),
            idle,
            bind,
        }
    }

    /// How closely playbacks are bound to addresses.
    #[must_use]
    pub fn bind(&self) -> Bind {
        self.bind
    }

    /// What is known of the playback that a URL begins: `first` makes its name, and `here` is what it is found by at this place
    /// where that name is taken.
    #[must_use]
    pub fn known(&self, first: Identity, here: Identity, address: ClientAddress) -> Known {
        let name = first.session();
        let alias = self.aliases.get(&here).map(|id| *id);
        let (mut taken, mut joinable) = (false, None);
        for id in [Some(name), alias].into_iter().flatten() {
            if let Some(session) = self.find(id) {
                match self.standing(&session, address) {
                    Standing::Plays => return Known::Plays(session),
                    Standing::Over(kick) if session.state().places.hold(address, self.bind) => {
                        return Known::Over(id, kick);
                    }
                    Standing::Elsewhere if session.state().places.lack_family_of(address) => {
                        joinable = joinable.or(Some(session));
                    }
                    Standing::Over(_) | Standing::Elsewhere => taken = true,
                }
            } else if self.is_dormant(id, address) {
                return Known::Dormant(id);
            }
        }
        if let Some(session) = joinable {
            Known::Joinable(session)
        } else if taken || self.dormant.contains_key(&name) {
            Known::Taken
        } else {
            Known::Nothing
        }
    }

    /// Starts a playback, or says why there is no room. Those that ask for nothing make way: whoever opens URLs without
    /// playing them keeps nobody out. Where another request has begun it meanwhile, it is that one's playback.
    pub fn open(
        &self,
        newcomer: Newcomer,
        alias: Option<Identity>,
        permit: Permit,
    ) -> Result<Begun, Denial> {
        let id = newcomer.id;
        let address = permit.address();
        // A second session of this name would put itself in the place of the first, and nobody could end it any more.
        let _one_at_a_time = lock(&self.beginning);
        let by_alias = alias.and_then(|alias| self.aliases.get(&alias).map(|id| *id));
        if let Some(session) = by_alias.and_then(|id| self.find(id))
            && self.standing(&session, address) == Standing::Plays
        {
            return Ok(Begun {
                session,
                is_new: false,
            });
        }
        if let Some(session) = self.find(id) {
            return match self.standing(&session, address) {
                Standing::Plays => Ok(Begun {
                    session,
                    is_new: false,
                }),
                Standing::Elsewhere | Standing::Over(_) => Err(Reason::Restless { address }.into()),
            };
        }
        // Those that are over and still asked for have no place among the sessions, but stand here.
        if self.playing.len() / 2 >= self.sessions.most() {
            return Err(Reason::Overloaded.into());
        }
        let guard = match self.sessions.open(newcomer.clone(), permit.clone()) {
            Err(denial) if *denial.reason() == Reason::Overloaded && self.let_one_go() => {
                self.sessions.open(newcomer, permit)?
            }
            opened => opened?,
        };
        let saved = self.dormant.remove(&id).map(|(_, saved)| saved);
        // It goes on where it was: a viewer with two kinds of addresses uses both.
        let before = saved.filter(|saved| saved.places.hold(address, self.bind));
        let mut places = before.map_or_else(Places::default, |saved| saved.places);
        places.settle(address, self.bind);
        let alias = before.map_or(alias, |saved| saved.alias);
        let session = Arc::new(HlsSession::new(guard, alias, places, Instant::now()));
        self.playing.insert(id, Arc::clone(&session));
        if let Some(alias) = alias {
            self.aliases.insert(alias, id);
        }
        self.line.push(id);
        Ok(Begun {
            session,
            is_new: true,
        })
    }

    /// Ends a playback that waits for nothing and has asked for nothing under its ticket, or for nothing lately; whether there
    /// was one.
    pub fn make_room(&self) -> bool {
        let _one_at_a_time = lock(&self.beginning);
        self.let_one_go()
    }

    /// The same while one begins.
    fn let_one_go(&self) -> bool {
        let now = Instant::now();
        self.line.make_way(|id| {
            let idles = |_: &SessionId, session: &Arc<HlsSession>| session.idles(now);
            if let Some((_, session)) = self.playing.remove_if(&id, idles) {
                self.forget(&session);
                session.end(Kick::Superseded);
                let ended = Ended {
                    session,
                    kick: None,
                };
                lock(&self.made_way).push(ended);
                return Fate::Goes;
            }
            // One that is over has no place to give.
            match self.find(id) {
                Some(session) if !session.is_over() => Fate::Stays,
                Some(_) | None => Fate::Forgotten,
            }
        })
    }

    /// The playback of this name.
    #[must_use]
    pub fn find(&self, id: SessionId) -> Option<Arc<HlsSession>> {
        self.playing.get(&id).map(|entry| Arc::clone(entry.value()))
    }

    /// How a playback stands to a request from `address`. One that plays is asked for something by that.
    #[must_use]
    pub fn standing(&self, session: &HlsSession, address: ClientAddress) -> Standing {
        let now = Instant::now();
        let mut state = session.state();
        session.look_at_end(&mut state, now);
        let here = state.places.hold(address, self.bind);
        // Also one that is over: its viewer is not quiet. What is asked for elsewhere keeps nothing alive here.
        if here {
            state.asked = now;
        }
        match state.life {
            Life::Over { kick, .. } => Standing::Over(kick),
            Life::Playing(_) if here => Standing::Plays,
            Life::Playing(_) => Standing::Elsewhere,
        }
    }

    /// Moves a playback to where a new permit was given.
    pub fn move_to(
        &self,
        session: &HlsSession,
        permit: Permit,
        now: UnixSeconds,
    ) -> Result<(), Denial> {
        let address = permit.address();
        let mut state = session.state();
        if matches!(state.life, Life::Playing(_)) && state.places.hold(address, self.bind) {
            // Another request of the same viewer has moved it this very moment.
            state.asked = Instant::now();
            return Ok(());
        }
        if !state.moves.take(Instant::now()) {
            return Err(Reason::Restless { address }.into());
        }
        let Life::Playing(guard) = &state.life else {
            // Ended this very moment.
            return Err(Reason::Restless { address }.into());
        };
        match guard.propose(permit) {
            Ok(id) => guard.accept(id, now),
            Err(Proposal::Denied(denial)) => return Err(denial),
            Err(Proposal::TooManyPending) => return Err(Reason::Restless { address }.into()),
        }
        state.places.settle(address, self.bind);
        state.asked = Instant::now();
        Ok(())
    }

    /// Ends what has been quiet, and forgets what has ended. To be called about once a second.
    pub fn sweep(&self) -> Vec<Ended> {
        let now = Instant::now();
        let mut ended = std::mem::take(&mut *lock(&self.made_way));
        let mut quiet = Vec::new();
        for one in &self.playing {
            let session = one.value();
            let mut state = session.state();
            session.look_at_end(&mut state, now);
            if session.is_quiet(&state, self.idle, now) {
                quiet.push(Arc::clone(session));
            }
            if let Life::Over { kick, told } = &mut state.life
                && !std::mem::replace(told, true)
            {
                ended.push(Ended {
                    session: Arc::clone(session),
                    kick: Some(*kick),
                });
            }
        }
        for session in quiet {
            // One after the other, so that a viewer who comes back meanwhile begins before or behind it.
            let _one_at_a_time = lock(&self.beginning);
            let still = |_: &SessionId, one: &Arc<HlsSession>| {
                Arc::ptr_eq(one, &session) && session.is_quiet(&session.state(), self.idle, now)
            };
            if self.playing.remove_if(&session.id, still).is_none() {
                continue;
            }
            self.forget(&session);
            if !session.is_over() {
                ended.push(Ended {
                    session: Arc::clone(&session),
                    kick: None,
                });
            }
            // Its seat is free from here on, whoever still holds it.
            session.end(Kick::Superseded);
        }
        self.line
            .tidy(self.playing.len(), |id| self.playing.contains_key(&id));
        self.forget_dormant(now);
        ended
    }

    /// What has to outlive this process: the playbacks that are not over.
    #[must_use]
    pub fn save(&self) -> Vec<Saved> {
        let saved = |session: &HlsSession| {
            let state = session.state();
            matches!(state.life, Life::Playing(_)).then(|| Saved {
                id: session.id,
                alias: session.alias,
                places: state.places,
                target: session.target().unwrap_or_default(),
            })
        };
        let playing = self.playing.iter();
        let playing = playing.filter_map(|entry| saved(entry.value()));
        // Those that still sleep may wake after one more restart, too.
        let dormant = self.dormant.iter().map(|entry| *entry.value());
        playing.chain(dormant).collect()
    }

    /// Takes over what an earlier process has saved `ago`, but for those who have been quiet for too long since. The others
    /// have as long again to ask; how many these are.
    pub fn restore(&self, saved: Vec<Saved>, ago: Duration) -> usize {
        let mut longest = Duration::ZERO;
        for one in saved {
            let patience = quiet_after(self.idle, one.target);
            if patience < ago {
                continue;
            }
            longest = longest.max(patience);
            if let Some(alias) = one.alias {
                self.aliases.insert(alias, one.id);
            }
            self.dormant.insert(one.id, one);
        }
        *lock(&self.dormant_until) = Some(Instant::now() + longest);
        self.dormant.len()
    }

    /// Whether a playback of an earlier process is waited for by this name and at this place.
    #[must_use]
    pub fn is_dormant(&self, id: SessionId, address: ClientAddress) -> bool {
        let saved = self.dormant.get(&id);
        saved.is_some_and(|saved| saved.places.hold(address, self.bind))
    }

    fn forget_dormant(&self, now: Instant) {
        let mut until = lock(&self.dormant_until);
        if until.is_some_and(|until| until <= now) {
            *until = None;
            self.dormant.clear();
            self.aliases.retain(|_, id| self.playing.contains_key(id));
        }
    }

    fn forget(&self, session: &HlsSession) {
        if let Some(alias) = session.alias {
            self.aliases.remove_if(&alias, |_, id| *id == session.id);
        }
    }

    /// Ends a playback that should not have begun.
    pub fn withdraw(&self, session: &HlsSession) {
        let same = |_: &SessionId, one: &Arc<HlsSession>| std::ptr::eq(&raw const **one, session);
        self.playing.remove_if(&session.id, same);
        self.forget(session);
        session.end(Kick::Revoked);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that panics runs while one is held; if it did, what is in it would still be whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "hls/hls_tests.rs"]
mod tests;
