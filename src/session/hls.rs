//! HLS playbacks: many requests that are one session. It lives for as long as the viewer keeps asking, is over when it
//! has been quiet for a while, and knows the viewer again by the ticket in its paths or by the URL that it began with.

pub mod place;
pub mod saved;
mod unproven;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use crate::decision::denial::{Denial, Reason};
use crate::decision::permit::Permit;
use crate::request::client_address::ClientAddress;
use crate::token::{StreamName, TokenId, UnixSeconds};

use super::guard::{Kick, Proposal, SessionGuard};
use super::id::SessionId;
use super::{Newcomer, Sessions};
use place::{Bind, Moves, Places};
use saved::Saved;
use unproven::{Fate, Unproven};

/// A session is quiet after at least so many target durations: a player asks once in each.
const QUIET_TARGETS: u32 = 3;

/// What an HLS viewer is known by when it opens its first URL again: its token, stream, `cid`, `pid` and place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity(u128);

impl Identity {
    /// The same for the same five. A digest, so that it is small and stands on a disk without saying anything.
    #[must_use]
    pub fn new(token: TokenId, stream: &StreamName, cid: &str, pid: &str, place: &str) -> Self {
        let mut digest = Sha256::new();
        for part in [
            stream.as_str().as_bytes(),
            token.as_bytes(),
            cid.as_bytes(),
            pid.as_bytes(),
            place.as_bytes(),
        ] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        Self::of(digest)
    }

    /// Of a playback whose first URL is not known: nobody begins with it.
    #[must_use]
    pub fn of_ticket(id: SessionId) -> Self {
        Self::of(Sha256::new().chain_update(format!("ticket {id}")))
    }

    /// The name of the playback that begins so. It is the same whenever it begins: players compare the URIs of a segment
    /// that they have seen, and a ticket is a part of them.
    #[must_use]
    pub fn session(self) -> SessionId {
        SessionId::new(self.0)
    }

    fn of(digest: Sha256) -> Self {
        let digest: [u8; 32] = digest.finalize().into();
        let (halves, _) = digest.as_chunks::<16>();
        let half = halves.first().copied().unwrap_or_default();
        Self(u128::from_be_bytes(half))
    }
}

/// All HLS playbacks.
#[derive(Debug)]
pub struct HlsSessions {
    sessions: Arc<Sessions>,
    playing: DashMap<SessionId, Arc<HlsSession>>,
    identities: DashMap<Identity, SessionId>,
    unproven: Unproven,
    /// Held while one begins: of two requests that begin the same playback at once the second finds the first one's.
    beginning: Mutex<()>,
    /// Playbacks of an earlier process that have not asked for anything since.
    dormant: DashMap<SessionId, Saved>,
    dormant_until: Mutex<Option<Instant>>,
    idle: Duration,
    bind: Bind,
}

/// One HLS playback.
#[derive(Debug)]
pub struct HlsSession {
    id: SessionId,
    identity: Identity,
    state: Mutex<State>,
    /// Whether anything was asked for under its ticket.
    proven: AtomicBool,
    over: AtomicBool,
    /// Answers that are not finished.
    unfinished: AtomicU32,
    /// The target duration of its playlists in milliseconds; 0 while unknown.
    target: AtomicU32,
    bytes: AtomicU64,
}

#[derive(Debug)]
struct State {
    life: Life,
    places: Places,
    moves: Moves,
    asked: Instant,
}

#[derive(Debug)]
enum Life {
    Playing(SessionGuard),
    /// Ended by the gate; kept until its viewer has been quiet, so that it hears why instead of starting anew.
    Over {
        kick: Kick,
        /// Whether [`HlsSessions::sweep`] has told of it.
        told: bool,
    },
}

/// A playback that was asked to begin.
#[derive(Debug)]
pub struct Begun {
    /// The playback.
    pub session: Arc<HlsSession>,
    /// Whether it begins with this request, and not with another one at the same moment.
    pub is_new: bool,
}

/// How a playback stands to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It goes on.
    Plays,
    /// The request comes from another place than the playback.
    Elsewhere,
    /// The gate has ended it.
    Over(Kick),
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
            identities: DashMap::new(),
            unproven: Unproven::default(),
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

    /// Starts a playback, or says why there is no room. One that has asked for nothing yet makes way: whoever opens URLs
    /// without playing them keeps nobody out. Where another request has begun it meanwhile, it is that one's playback.
    pub fn open(
        &self,
        newcomer: Newcomer,
        identity: Identity,
        permit: Permit,
    ) -> Result<Begun, Denial> {
        let id = newcomer.id;
        let address = permit.address();
        // A second session of this name would put itself in the place of the first, and nobody could end it any more.
        let _one_at_a_time = lock(&self.beginning);
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
            Err(denial) if *denial.reason() == Reason::Overloaded && self.make_room() => {
                self.sessions.open(newcomer, permit)?
            }
            opened => opened?,
        };
        let now = Instant::now();
        let mut places = Places::default();
        places.settle(address, self.bind);
        let session = Arc::new(HlsSession {
            id,
            identity,
            state: Mutex::new(State {
                life: Life::Playing(guard),
                places,
                moves: Moves::new(now),
                asked: now,
            }),
            proven: AtomicBool::new(false),
            over: AtomicBool::new(false),
            unfinished: AtomicU32::new(0),
            target: AtomicU32::new(0),
            bytes: AtomicU64::new(0),
        });
        self.playing.insert(id, Arc::clone(&session));
        self.identities.insert(identity, id);
        self.dormant.remove(&id);
        self.unproven.push(id);
        Ok(Begun {
            session,
            is_new: true,
        })
    }

    /// Ends the oldest playback that has asked for nothing yet and waits for nothing; whether there was one.
    pub fn make_room(&self) -> bool {
        self.unproven.make_way(|id| {
            let idles = |session: &HlsSession| !session.is_proven() && !session.is_being_answered();
            let removed = self.playing.remove_if(&id, |_, session| idles(session));
            if let Some((_, session)) = removed {
                self.forget(session.identity, session.id);
                session.end(Kick::Superseded);
                return Fate::Goes;
            }
            match self.find(id) {
                Some(session) if !session.is_proven() => Fate::Stays,
                Some(_) | None => Fate::Forgotten,
            }
        })
    }

    /// The playback of this name.
    #[must_use]
    pub fn find(&self, id: SessionId) -> Option<Arc<HlsSession>> {
        self.playing.get(&id).map(|entry| Arc::clone(entry.value()))
    }

    /// The name of the playback that began with the same URL at the same place, in this process or an earlier one.
    #[must_use]
    pub fn name_of(&self, identity: Identity) -> Option<SessionId> {
        self.identities.get(&identity).map(|id| *id)
    }

    /// How a playback stands to a request from `address`. One that plays is asked for something by that.
    #[must_use]
    pub fn standing(&self, session: &HlsSession, address: ClientAddress) -> Standing {
        let now = Instant::now();
        let mut state = session.state();
        session.look_at_end(&mut state, now);
        // Also one that is over: its viewer is not quiet.
        state.asked = now;
        match state.life {
            Life::Over { kick, .. } => Standing::Over(kick),
            Life::Playing(_) if state.places.hold(address, self.bind) => Standing::Plays,
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
        Ok(())
    }

    /// Ends what has been quiet, and forgets what has ended. To be called about once a second.
    pub fn sweep(&self) -> Vec<Ended> {
        let now = Instant::now();
        let (mut ended, mut gone) = (Vec::new(), Vec::new());
        self.playing.retain(|_, session| {
            let mut state = session.state();
            session.look_at_end(&mut state, now);
            let quiet = session.is_quiet(&state, self.idle, now);
            let kick = match &mut state.life {
                Life::Over { told: true, .. } => None,
                Life::Over { kick, told } => {
                    *told = true;
                    Some(Some(*kick))
                }
                Life::Playing(_) => quiet.then_some(None),
            };
            drop(state);
            ended.extend(kick.map(|kick| Ended {
                session: Arc::clone(session),
                kick,
            }));
            if quiet {
                gone.push(Arc::clone(session));
            }
            !quiet
        });
        for session in gone {
            self.forget(session.identity, session.id);
            // Its seat is free from here on, whoever still holds it.
            session.end(Kick::Superseded);
        }
        let is_unproven = |id| self.find(id).is_some_and(|one| !one.is_proven());
        self.unproven.tidy(self.playing.len(), is_unproven);
        let mut until = lock(&self.dormant_until);
        if until.is_some_and(|until| until <= now) {
            *until = None;
            for one in self.dormant.iter() {
                self.forget(one.identity, one.id);
            }
            self.dormant.clear();
        }
        ended
    }

    /// What has to outlive this process: the playbacks that are not over.
    #[must_use]
    pub fn save(&self) -> Vec<Saved> {
        let saved = |session: &HlsSession| {
            let state = session.state();
            matches!(state.life, Life::Playing(_)).then(|| Saved {
                id: session.id,
                identity: session.identity,
                places: state.places,
            })
        };
        let playing = self.playing.iter();
        playing.filter_map(|entry| saved(entry.value())).collect()
    }

    /// Takes over what an earlier process has saved: its viewers have one idle time to ask again.
    pub fn restore(&self, saved: Vec<Saved>) {
        for one in saved {
            self.identities.insert(one.identity, one.id);
            self.dormant.insert(one.id, one);
        }
        *lock(&self.dormant_until) = Some(Instant::now() + self.idle);
    }

    /// What a playback of an earlier process began with that is waited for by this name and at this place.
    #[must_use]
    pub fn dormant(&self, id: SessionId, address: ClientAddress) -> Option<Identity> {
        let saved = self.dormant.get(&id)?;
        let here = saved.places.hold(address, self.bind);
        here.then_some(saved.identity)
    }

    fn forget(&self, identity: Identity, id: SessionId) {
        self.identities.remove_if(&identity, |_, its| *its == id);
    }

    /// Ends a playback that should not have begun.
    pub fn withdraw(&self, session: &HlsSession) {
        self.playing.remove(&session.id);
        self.forget(session.identity, session.id);
        session.end(Kick::Revoked);
    }
}

impl HlsSession {
    /// Its name.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// What it was allowed to play; `None` when it is over.
    #[must_use]
    pub fn permit(&self) -> Option<Permit> {
        match &self.state().life {
            Life::Playing(guard) => Some(guard.permit()),
            Life::Over { .. } => None,
        }
    }

    /// Whether the gate has ended it: what is still under way to its viewer stops.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// It has been asked for something by its ticket.
    pub fn prove(&self) {
        self.proven.store(true, Ordering::Relaxed);
    }

    fn is_proven(&self) -> bool {
        self.proven.load(Ordering::Relaxed)
    }

    fn is_being_answered(&self) -> bool {
        self.unfinished.load(Ordering::Relaxed) > 0
    }

    /// Remembers the target duration of its media playlists: it is quiet three of them later at the soonest.
    pub fn set_target(&self, target: Duration) {
        let target = u32::try_from(target.as_millis()).unwrap_or(u32::MAX);
        self.target.store(target, Ordering::Relaxed);
    }

    /// The target duration, when it is known.
    #[must_use]
    pub fn target(&self) -> Option<Duration> {
        let target = self.target.load(Ordering::Relaxed);
        (target > 0).then(|| Duration::from_millis(target.into()))
    }

    /// An answer to it begins; it is not quiet until that is dropped.
    #[must_use]
    pub fn answer(self: &Arc<Self>) -> Answering {
        self.unfinished.fetch_add(1, Ordering::Relaxed);
        Answering(Arc::clone(self))
    }

    /// Bytes of bodies that went to its viewer.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Ends it when somebody asked for that, or its token says so.
    fn look_at_end(&self, state: &mut State, now: Instant) {
        let end = match &state.life {
            Life::Playing(guard) => guard.end(),
            Life::Over { .. } => None,
        };
        if let Some((_, kick)) = end.filter(|(at, _)| *at <= now) {
            self.over.store(true, Ordering::Relaxed);
            state.life = Life::Over { kick, told: false };
        }
    }

    fn end(&self, kick: Kick) {
        self.over.store(true, Ordering::Relaxed);
        let mut state = self.state();
        if matches!(state.life, Life::Playing(_)) {
            state.life = Life::Over { kick, told: true };
        }
    }

    fn is_quiet(&self, state: &State, idle: Duration, now: Instant) -> bool {
        let idle = idle.max(self.target().unwrap_or_default() * QUIET_TARGETS);
        !self.is_being_answered() && now.saturating_duration_since(state.asked) >= idle
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// An answer under way.
#[derive(Debug)]
pub struct Answering(Arc<HlsSession>);

impl Answering {
    /// Whose it is.
    #[must_use]
    pub fn session(&self) -> &HlsSession {
        &self.0
    }

    /// Counts what went to the viewer.
    pub fn count(&self, bytes: u64) {
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.state().asked = Instant::now();
        self.0.unfinished.fetch_sub(1, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that panics runs while one is held; if it did, what is in it would still be whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "hls/hls_tests.rs"]
mod tests;
