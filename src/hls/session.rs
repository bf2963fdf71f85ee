//! One HLS session.

pub mod answering;
pub mod own_playlists;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use crate::decision::admits;
use crate::decision::permit::Permit;
use crate::request::client_address::ClientAddress;
use crate::request::rtmp_url::RtmpUrl;
use crate::token::{Owner, StreamName};

use super::identity::Alias;
use crate::session::ends::Kick;
use crate::session::guard::SessionGuard;
use crate::session::id::SessionId;
use crate::session::lock;
use crate::session::place::{Moves, Places};
use crate::session::presence::Presence;
use answering::Answering;
use own_playlists::{Own, OwnPlaylist};

/// A session is quiet after at least so many target durations: a player asks once in each.
const QUIET_TARGETS: u32 = 3;

/// One that has asked for nothing for so long, or for so many target durations, makes way where there is no room.
const IDLES_AFTER: Duration = Duration::from_secs(8);
const IDLES_TARGETS: u32 = 2;

/// One HLS session.
#[derive(Debug)]
pub struct HlsSession {
    pub(super) id: SessionId,
    /// What it is found by where its name is not what its first URL makes.
    pub(super) alias: Option<Alias>,
    state: Mutex<State>,
    /// Whether anything was asked for under its ticket.
    proven: AtomicBool,
    /// Whether anything of the media was answered.
    begun: AtomicBool,
    over: AtomicBool,
    /// Answers that are not finished.
    unfinished: AtomicU32,
    /// Whether its viewer is still at its places.
    pub(super) presence: Arc<Presence>,
    bytes: AtomicU64,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) life: Life,
    pub(super) places: Places,
    pub(super) moves: Moves,
    pub(super) asked: Instant,
    /// The page that its permit inherited: known when it is over, too.
    pub(super) page: Option<Arc<str>>,
    own: Own,
}

#[derive(Debug)]
pub(super) enum Life {
    Playing(SessionGuard),
    /// Ended by the gate.
    Over(Kick),
}

impl State {
    /// Whether its token admits `address`: an ip claim is exact, however wide the place is.
    pub(super) fn admits(&self, address: ClientAddress) -> bool {
        match &self.life {
            Life::Playing(guard) => guard.look(|permit| admits(permit.claims(), address)),
            Life::Over(_) => true,
        }
    }
}

/// How a session stands to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It goes on.
    Plays,
    /// The request comes from another place than the session, or from an address that its token does not admit.
    Elsewhere,
    /// The gate has ended it.
    Over(Kick),
}

impl HlsSession {
    /// One that begins at `places`.
    pub(super) fn new(
        guard: SessionGuard,
        alias: Option<Alias>,
        places: Places,
        now: Instant,
    ) -> Self {
        let presence = Arc::clone(guard.presence());
        let page = guard.look(inherited_page);
        // As much as the request that it begins with.
        for address in places.addresses() {
            presence.hear(ClientAddress::Known(address));
        }
        Self {
            id: guard.id(),
            alias,
            presence,
            state: Mutex::new(State {
                life: Life::Playing(guard),
                places,
                moves: Moves::new(now),
                asked: now,
                page,
                own: Own::new(now),
            }),
            proven: AtomicBool::new(false),
            begun: AtomicBool::new(false),
            over: AtomicBool::new(false),
            unfinished: AtomicU32::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// What it was allowed to play; `None` when it is over.
    #[must_use]
    pub fn permit(&self) -> Option<Permit> {
        self.look(Permit::clone)
    }

    /// Where it plays from; `None` when it is over.
    #[must_use]
    pub fn source(&self) -> Option<RtmpUrl> {
        self.look(|permit| permit.url().clone())
    }

    /// Whether it plays this by a token of this owner. One that is over is to be told so, whatever it was.
    #[must_use]
    pub fn is_of(&self, owner: &Owner, stream: &StreamName, url: &RtmpUrl) -> bool {
        let same = |permit: &Permit| {
            permit.claims().owner == *owner && permit.stream() == stream && permit.url() == url
        };
        self.look(same).unwrap_or(true)
    }

    fn look<T>(&self, look: impl FnOnce(&Permit) -> T) -> Option<T> {
        match &self.state().life {
            Life::Playing(guard) => Some(guard.look(look)),
            Life::Over(_) => None,
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

    /// Whether it was asked for anything by its ticket.
    pub(super) fn is_proven(&self) -> bool {
        self.proven.load(Ordering::Relaxed)
    }

    /// It was answered with something of the media; whether that is the first time.
    #[must_use]
    pub fn begin(&self) -> bool {
        !self.has_begun() && !self.begun.swap(true, Ordering::Relaxed)
    }

    /// Whether it was answered with anything of the media.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// How many answers to it are under way.
    #[must_use]
    pub fn answers(&self) -> u32 {
        self.unfinished.load(Ordering::Relaxed)
    }

    /// Whether it makes way where there is no room: it waits for nothing, and has asked for nothing under its ticket yet, or
    /// for nothing lately.
    pub(super) fn idles(&self, now: Instant) -> bool {
        let state = self.state();
        let patience = IDLES_AFTER.max(self.target().unwrap_or_default() * IDLES_TARGETS);
        let lately = now.saturating_duration_since(state.asked) < patience;
        self.answers() == 0 && !(self.is_proven() && lately)
    }

    /// Remembers the target duration of its media playlists: it is quiet three of them later at the soonest.
    pub fn set_target(&self, target: Duration) {
        self.presence.set_target(target);
    }

    /// The target duration, when it is known.
    #[must_use]
    pub fn target(&self) -> Option<Duration> {
        self.presence.target()
    }

    /// An answer to a request from `address` begins; it is not quiet until that is dropped.
    #[must_use]
    pub fn answer(self: &Arc<Self>, address: ClientAddress) -> Answering {
        self.unfinished.fetch_add(1, Ordering::Relaxed);
        self.presence.wait(address);
        Answering {
            times_left: self.presence.times_left(address),
            session: Arc::clone(self),
            address,
            waits: true,
        }
    }

    /// Another playlist of its own is to be loaded, of which it may load `pace` bytes in a second: how long it has to wait. It is
    /// charged as much as for the last one, or `first`, until its length is known. `None` when it would wait for longer than
    /// `most`, and is charged nothing.
    #[must_use]
    pub fn begin_own(
        &self,
        pace: usize,
        first: usize,
        most: Duration,
        now: Instant,
    ) -> Option<(Duration, OwnPlaylist)> {
        self.state().own.begin(pace, first, most, now)
    }

    /// It is so long.
    pub fn end_own(&self, playlist: OwnPlaylist, bytes: usize) {
        self.state().own.end(playlist, bytes);
    }

    /// Bytes of bodies that went to its viewer.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Ends it when that was asked for, or its token says so; why it is over, if it is.
    pub(super) fn end_if_due(&self, state: &mut State, now: Instant) -> Option<Kick> {
        let end = match &state.life {
            Life::Playing(guard) => guard.end(now),
            Life::Over(kick) => return Some(*kick),
        };
        let (_, kick) = end.filter(|(at, _)| *at <= now)?;
        self.over.store(true, Ordering::Relaxed);
        state.life = Life::Over(kick);
        Some(kick)
    }

    pub(super) fn end(&self, kick: Kick) {
        self.over.store(true, Ordering::Relaxed);
        let mut state = self.state();
        if matches!(state.life, Life::Playing(_)) {
            state.life = Life::Over(kick);
        }
    }

    pub(super) fn is_quiet(&self, state: &State, patience: Duration, now: Instant) -> bool {
        self.answers() == 0 && now.saturating_duration_since(state.asked) >= patience
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// The page that a session inherited.
pub(super) fn inherited_page(permit: &Permit) -> Option<Arc<str>> {
    permit.facts().inherited_page().map(Arc::from)
}

/// How long a session may ask for nothing before it is over.
pub(super) fn quiet_after(idle: Duration, target: Duration) -> Duration {
    idle.max(target * QUIET_TARGETS)
}
