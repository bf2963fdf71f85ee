//! HLS playbacks: many requests that are one session. It lives for as long as the viewer keeps asking, is over when it
//! has been quiet for a while, and knows the viewer again by the ticket in its paths or by the URL that it began with.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dashmap::DashMap;
use tokio::time::Instant;

use crate::decision::denial::{Denial, Reason};
use crate::decision::permit::Permit;
use crate::request::client_address::ClientAddress;

use super::identity::Identity;
use super::over::{Over, Remembered};
use super::saved::{Outlook, Saved};
use super::session::{HlsSession, Life, Standing, State, inherited_page, quiet_after};
use crate::session::eviction::{Fate, Line};
use crate::session::guard::{Kick, SessionGuard};
use crate::session::id::SessionId;
use crate::session::place::{Bind, Places};
use crate::session::{Newcomer, Sessions, lock};

/// One that sleeps: it ran in an earlier process and was not heard of since.
#[derive(Clone, Debug)]
struct Dormant {
    saved: Saved,
    /// Since when it is waited for here.
    since: Instant,
    /// For how long it had been waited for by then.
    waited: Duration,
}

/// How long a playback of a single request stands behind its answer, so that no sweep ends it before the answer begins.
const OF_ONE_REQUEST: Duration = Duration::from_secs(1);

/// All HLS playbacks.
#[derive(Debug)]
pub struct HlsSessions {
    sessions: Arc<Sessions>,
    playing: DashMap<SessionId, Arc<HlsSession>>,
    /// Those whose name another playback has taken: the same URL plays in two places.
    aliases: DashMap<Identity, SessionId>,
    line: Line,
    over: Over,
    /// What has ended and was not told of yet.
    ended: Mutex<Vec<Ended>>,
    /// Held while one begins: of two requests that begin the same playback at once the second finds the first one's.
    beginning: Mutex<()>,
    /// Playbacks of an earlier process that have not asked for anything since.
    dormant: DashMap<SessionId, Dormant>,
    idle: Duration,
    bind: Bind,
}

impl Dormant {
    /// For how long it has been waited for, in all processes since it was heard of.
    fn waited(&self) -> Duration {
        self.waited.saturating_add(self.since.elapsed())
    }

    fn is_waited_for(&self, idle: Duration) -> bool {
        self.waited() < quiet_after(idle, self.saved.target)
    }
}

/// What is known of the playback of a first URL.
#[derive(Debug)]
pub enum Known {
    /// It plays, here among others, and what it was allowed to.
    Plays(Arc<HlsSession>, Permit),
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
    /// Nothing of what plays is this viewer's: where it is, is not known.
    Nowhere,
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

/// How many playbacks stand in the tables.
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
    /// Playbacks that end after `idle` of silence and are bound to their addresses as `bind` says.
    #[must_use]
    pub fn new(sessions: Arc<Sessions>, idle: Duration, bind: Bind) -> Self {
        Self {
            over: Over::new(sessions.most()),
            sessions,
            playing: DashMap::new(),
            aliases: DashMap::new(),
            line: Line::default(),
            ended: Mutex::default(),
            beginning: Mutex::default(),
            dormant: DashMap::new(),
            idle,
            bind,
        }
    }

    /// How closely playbacks are bound to addresses.
    #[must_use]
    pub fn bind(&self) -> Bind {
        self.bind
    }

    /// A request asks for the playback that a URL begins: what is known of it. `first` makes its name, and `here` is what it is
    /// found by at this place where that name is taken. One that plays is heard of, as in [`ask`](Self::ask).
    #[must_use]
    pub fn ask_by_url(&self, first: Identity, here: Identity, address: ClientAddress) -> Known {
        let name = first.session();
        if !self.bind.is_place(address) {
            // An end that nothing undoes is told everywhere.
            return match self.over.ask(name, address, self.bind) {
                Some((kick, true)) => Known::Over(name, kick),
                Some((_, false)) | None => Known::Nowhere,
            };
        }
        let alias = self.aliases.get(&here).map(|id| *id);
        let (mut taken, mut joinable, mut over) = (false, None, None);
        for id in [Some(name), alias].into_iter().flatten() {
            if let Some(session) = self.find(id) {
                match self.ask(&session, address) {
                    Standing::Plays => {
                        // Unless it has ended this very moment.
                        if let Some(permit) = session.permit() {
                            return Known::Plays(session, permit);
                        }
                    }
                    Standing::Over(_) => {}
                    Standing::Elsewhere if session.state().places.lack_family_of(address) => {
                        joinable = joinable.or(Some(session));
                    }
                    Standing::Elsewhere => taken = true,
                }
            }
            match self.over.ask(id, address, self.bind) {
                Some((kick, true)) => over = over.or(Some((id, kick))),
                Some((_, false)) => taken = true,
                None if self.is_dormant(id, address) => return Known::Dormant(id),
                None => {}
            }
        }
        if let Some((id, kick)) = over {
            Known::Over(id, kick)
        } else if let Some(session) = joinable {
            Known::Joinable(session)
        } else if taken || self.dormant.contains_key(&name) {
            Known::Taken
        } else {
            Known::Nothing
        }
    }

    /// Starts a playback, or says why there is no room. Those that ask for nothing make way, so that URLs that are opened and
    /// not played keep no viewer out. Where another request has begun it meanwhile, it is that one's playback.
    pub fn open(
        &self,
        newcomer: &Newcomer,
        alias: Option<Identity>,
        permit: &Permit,
    ) -> Result<Begun, Denial> {
        let id = newcomer.id;
        let address = permit.address();
        // A second session of this name would put itself in the place of the first, and nobody could end it any more.
        let _one_at_a_time = lock(&self.beginning);
        let by_alias = alias.and_then(|alias| self.aliases.get(&alias).map(|id| *id));
        if let Some(session) = by_alias.and_then(|id| self.find(id))
            && self.ask(&session, address) == Standing::Plays
        {
            return Ok(Begun {
                session,
                is_new: false,
            });
        }
        if let Some(session) = self.find(id) {
            return match self.ask(&session, address) {
                Standing::Plays => Ok(Begun {
                    session,
                    is_new: false,
                }),
                Standing::Elsewhere => Err(Reason::Elsewhere { address }.into()),
                Standing::Over(_) => Err(Reason::Restless { address }.into()),
            };
        }
        if self.over.knows(id) {
            // Ended this very moment.
            return Err(Reason::Restless { address }.into());
        }
        let guard = self.find_room(newcomer, permit)?;
        let holders = guard.holders();
        // It goes on where it was: a viewer with two kinds of addresses uses both.
        let slept = self.is_dormant(id, address);
        let saved = self.dormant.get(&id).filter(|_| slept);
        let before = saved.map(|one| (one.saved.places, one.saved.alias));
        let (mut places, alias) = before.unwrap_or((Places::default(), alias));
        places.settle(address, self.bind);
        let session = Arc::new(HlsSession::new(guard, alias, places, Instant::now()));
        self.playing.insert(id, Arc::clone(&session));
        // Behind that, so that a save meanwhile has the one or the other.
        self.dormant.remove(&id);
        if let Some(alias) = alias {
            self.aliases.insert(alias, id);
        }
        self.line.push(id);
        let plays = |id| self.playing.contains_key(&id);
        for (line, of) in self.sessions.shares.lines(holders) {
            line.push(id);
            line.tidy(of, plays);
        }
        Ok(Begun {
            session,
            is_new: true,
        })
    }

    /// Opens a session that is no HLS playback. HLS playbacks that idle make way for it where there is no room.
    pub fn open_other(&self, newcomer: &Newcomer, permit: &Permit) -> Result<SessionGuard, Denial> {
        match self.sessions.open(newcomer.clone(), permit.clone()) {
            Err(denial) if denial.reason().is_for_want_of_room() => {
                let _one_at_a_time = lock(&self.beginning);
                self.find_room(newcomer, permit)
            }
            opened => opened,
        }
    }

    /// Opens a session. Where a share is full one of its own idle playbacks makes way, and one of any where nothing is left at
    /// all.
    fn find_room(&self, newcomer: &Newcomer, permit: &Permit) -> Result<SessionGuard, Denial> {
        let open = || self.sessions.open(newcomer.clone(), permit.clone());
        let mut opened = open();
        // Its token's, its network's, and everybody's.
        for _ in 0..3 {
            let Err(denial) = &opened else { break };
            let reason = denial.reason();
            let made_way = match self.sessions.shares.line_of(permit, reason) {
                Some(line) => self.let_one_go(&line),
                None if *reason == Reason::Overloaded => self.let_one_go(&self.line),
                None => false,
            };
            if !made_way {
                break;
            }
            opened = open();
        }
        opened
    }

    /// Ends a playback of a line that waits for nothing and has asked for nothing under its ticket, or for nothing lately;
    /// whether there was one.
    fn let_one_go(&self, line: &Line) -> bool {
        let now = Instant::now();
        line.make_way(|id| {
            let Some(session) = self.find(id) else {
                return Fate::Forgotten;
            };
            let over = session.end_if_due(&mut session.state(), now);
            if let Some(kick) = over {
                // Its place is free from here on.
                return match self.bury(&session, kick) {
                    true => Fate::Goes,
                    false => Fate::Forgotten,
                };
            }
            let idles = |_: &SessionId, one: &Arc<HlsSession>| one.idles(now);
            if self.playing.remove_if(&id, idles).is_none() {
                return match session.is_proven() {
                    true => Fate::Stays,
                    false => Fate::Waits,
                };
            }
            self.forget(&session);
            session.end(Kick::Superseded);
            let kick = None;
            lock(&self.ended).push(Ended { session, kick });
            Fate::Goes
        })
    }

    /// Remembers of a playback that is over why, and nothing else; whether it was among those that play.
    fn bury(&self, session: &HlsSession, kick: Kick) -> bool {
        // One that made way or was quiet meanwhile is nothing to be remembered: its viewer is decided anew.
        let plays = self.playing.get(&session.id);
        if !plays.is_some_and(|one| std::ptr::eq(Arc::as_ptr(one.value()), session)) {
            return false;
        }
        let state = session.state();
        let remembered = Remembered {
            kick,
            alias: session.alias,
            places: state.places,
            asked: state.asked,
            target: session.target().unwrap_or_default(),
            page: state.page.clone(),
        };
        drop(state);
        // Before it is no longer found, so that its viewer never begins anew in between.
        self.remember(session.id, remembered);
        let Some(session) = self.take_out(session) else {
            return false;
        };
        let kick = Some(kick);
        lock(&self.ended).push(Ended { session, kick });
        true
    }

    /// Whether a playback is over because nothing was asked for.
    fn is_quiet(&self, session: &HlsSession, state: &State, now: Instant) -> bool {
        let patience = if state.places.are_none(self.bind) {
            OF_ONE_REQUEST
        } else {
            quiet_after(self.idle, session.target().unwrap_or_default())
        };
        session.is_quiet(state, patience, now)
    }

    fn remember(&self, id: SessionId, remembered: Remembered) {
        if let Some((id, forgotten)) = self.over.remember(id, remembered) {
            self.forget_alias(forgotten.alias, id);
        }
    }

    /// Takes this very playback out of those that play.
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

    /// A request asks for a playback by its name that does not play: why it is over; `None` when that is not remembered. Where
    /// that is told it is remembered for longer.
    #[must_use]
    pub fn ask_over(&self, id: SessionId, address: ClientAddress) -> Option<Kick> {
        self.over.ask(id, address, self.bind).map(|(kick, _)| kick)
    }

    /// The playback of this name.
    #[must_use]
    pub fn find(&self, id: SessionId) -> Option<Arc<HlsSession>> {
        self.playing.get(&id).map(|entry| Arc::clone(entry.value()))
    }

    /// A request from `address` asks for something of a playback: how that stands to it. One that plays there is heard of by
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

    /// Moves a playback to where a new permit was given.
    pub fn move_to(&self, session: &HlsSession, permit: Permit) -> Result<(), Denial> {
        let (address, instant) = (permit.address(), Instant::now());
        let mut state = session.state();
        if matches!(state.life, Life::Playing(_)) && state.places.hold(address, self.bind) {
            // Another request of the same viewer has moved it this very moment.
            state.asked = instant;
            session.presence.hear(address);
            return Ok(());
        }
        let lacks_it = state.places.lack_family_of(address);
        if !lacks_it && session.presence.asks_at(address, instant) {
            return Err(Reason::Elsewhere { address }.into());
        }
        if !state.moves.take(instant) {
            return Err(Reason::Restless { address }.into());
        }
        let Life::Playing(guard) = &state.life else {
            // Ended this very moment.
            return Err(Reason::Restless { address }.into());
        };
        let page = inherited_page(&permit);
        guard.accept(guard.propose(permit)?);
        state.page = page;
        state.places.settle(address, self.bind);
        if !lacks_it {
            // What is still under way to the old place ends, so that it is not watched there as well.
            session.presence.leave(address);
        }
        state.asked = instant;
        session.presence.hear(address);
        Ok(())
    }

    /// Ends what has been quiet, and forgets what has ended. To be called about once a second.
    pub fn sweep(&self) -> Vec<Ended> {
        let now = Instant::now();
        self.end_due();
        // While the gate drains it cannot be asked, so that silence means nothing: what is known by now is for the process
        // that comes next.
        if !self.sessions.is_closed() {
            for (id, forgotten) in self.over.sweep(self.idle, now) {
                self.forget_alias(forgotten.alias, id);
            }
            self.end_quiet(now);
            self.forget_dormant();
        }
        self.line
            .tidy(self.playing.len(), |id| self.playing.contains_key(&id));
        self.take_ended()
    }

    /// Acts at once on the ends that were asked for and whose time has come.
    pub fn end_due(&self) {
        let now = Instant::now();
        let over = self.playing.iter().filter(|one| {
            let session = one.value();
            session.end_if_due(&mut session.state(), now).is_some()
        });
        let over: Vec<_> = over.map(|one| Arc::clone(one.value())).collect();
        over.iter().for_each(|session| self.end_if_due(session));
    }

    /// The same for one.
    pub fn end_if_due(&self, session: &HlsSession) {
        let over = session.end_if_due(&mut session.state(), Instant::now());
        if let Some(kick) = over {
            self.bury(session, kick);
        }
    }

    fn end_quiet(&self, now: Instant) {
        let quiet = self.playing.iter().filter_map(|one| {
            let session = one.value();
            let quiet = self.is_quiet(session, &session.state(), now);
            quiet.then(|| Arc::clone(session))
        });
        let quiet: Vec<_> = quiet.collect();
        for session in quiet {
            // One after the other, so that a viewer who comes back meanwhile begins before or behind it.
            let _one_at_a_time = lock(&self.beginning);
            let still = |_: &SessionId, one: &Arc<HlsSession>| {
                Arc::ptr_eq(one, &session) && self.is_quiet(&session, &session.state(), now)
            };
            if self.playing.remove_if(&session.id, still).is_none() {
                continue;
            }
            self.forget(&session);
            // Its seat is free from here on, though a request may still hold the playback.
            session.end(Kick::Superseded);
            let kick = None;
            lock(&self.ended).push(Ended { session, kick });
        }
    }

    /// Ends a playback by an operator that is in no list of sessions: one that sleeps, or that the drain has ended, and that
    /// would go on in this process or the next; whether there is such a one.
    pub fn settle(&self, id: SessionId) -> bool {
        let _one_at_a_time = lock(&self.beginning);
        let saved = self.dormant.get(&id).map(|one| one.saved.clone());
        let Some(saved) = saved else {
            return self.over.settle(id);
        };
        // Before it no longer sleeps, so that a save meanwhile has the one or the other.
        self.restore_over(&saved, Kick::Operator);
        self.dormant.remove(&id);
        true
    }

    /// What has to outlive this process: the playbacks that may go on, and those that the gate has ended.
    #[must_use]
    pub fn snapshot(&self) -> Vec<Saved> {
        let heard = Outlook::GoesOn {
            waited: Duration::ZERO,
        };
        // Those that still sleep may wake after one more restart, too. They come before those that play, and these before those
        // that are over: a playback that wakes or ends meanwhile is found where it was, or where it went, or in both.
        let dormant = self.dormant.iter().map(|one| {
            // The least that is no longer nothing: it was not heard of here.
            let waited = one.waited().max(Duration::from_millis(1));
            let outlook = Outlook::GoesOn { waited };
            Saved {
                outlook,
                ..one.saved.clone()
            }
        });
        let mut saved: Vec<_> = dormant.collect();
        saved.extend(self.playing.iter().map(|one| {
            let session = one.value();
            let (places, page) = {
                let state = session.state();
                (state.places, state.page.clone())
            };
            Saved {
                id: session.id,
                alias: session.alias,
                places,
                page,
                target: session.target().unwrap_or_default(),
                outlook: heard,
            }
        }));
        saved.extend(self.over.all().into_iter().map(|(id, one)| Saved {
            id,
            alias: one.alias,
            places: one.places,
            target: one.target,
            page: one.page,
            outlook: if one.kick == Kick::Drain {
                heard
            } else {
                Outlook::Over(one.kick)
            },
        }));
        // Without a place there is nowhere to go on.
        saved.retain(|one| one.outlook != heard || !one.places.are_none(self.bind));
        saved
    }

    /// Takes over what an earlier process has saved `ago`: those that are over, and those that may go on, but for those that have
    /// been quiet for too long since. Each of these has as long again to ask, however many restarts that takes; how many they
    /// are.
    pub fn restore(&self, saved: Vec<Saved>, ago: Duration) -> usize {
        let since = Instant::now();
        for one in &saved {
            if let Outlook::Over(kick) = one.outlook {
                self.restore_over(one, kick);
            }
        }
        for one in saved {
            let Outlook::GoesOn { waited } = one.outlook else {
                continue;
            };
            let waited = if waited.is_zero() {
                waited
            } else {
                waited.saturating_add(ago)
            };
            let patience = quiet_after(self.idle, one.target);
            // An end that was saved with it goes before.
            if patience < ago || patience <= waited || self.over.knows(one.id) {
                continue;
            }
            // As many as there may have been before, and no more restart after restart.
            if self.dormant.len() == self.sessions.most() {
                break;
            }
            if let Some(alias) = one.alias {
                self.aliases.insert(alias, one.id);
            }
            let id = one.id;
            // Of two that are one playback the later one counts.
            let dormant = Dormant {
                saved: one,
                since,
                waited,
            };
            self.dormant.insert(id, dormant);
        }
        self.dormant.len()
    }

    fn restore_over(&self, saved: &Saved, kick: Kick) {
        let remembered = Remembered {
            kick,
            alias: saved.alias,
            places: saved.places,
            asked: Instant::now(),
            target: saved.target,
            page: saved.page.clone(),
        };
        if let Some(alias) = saved.alias {
            self.aliases.insert(alias, saved.id);
        }
        self.remember(saved.id, remembered);
    }

    /// Whether a playback of an earlier process is waited for by this name and at this place.
    #[must_use]
    pub fn is_dormant(&self, id: SessionId, address: ClientAddress) -> bool {
        self.dormant.get(&id).is_some_and(|one| {
            one.is_waited_for(self.idle) && one.saved.places.hold(address, self.bind)
        })
    }

    /// The page that a playback of an earlier process inherited.
    #[must_use]
    pub fn page_of_dormant(&self, id: SessionId) -> Option<String> {
        let one = self.dormant.get(&id)?;
        one.saved.page.as_ref().map(|page| page.as_ref().to_owned())
    }

    fn forget_dormant(&self) {
        self.dormant.retain(|id, one| {
            let stays = one.is_waited_for(self.idle);
            if !stays {
                self.forget_alias(one.saved.alias, *id);
            }
            stays
        });
    }

    fn forget(&self, session: &HlsSession) {
        self.forget_alias(session.alias, session.id);
    }

    fn forget_alias(&self, alias: Option<Identity>, of: SessionId) {
        if let Some(alias) = alias {
            self.aliases.remove_if(&alias, |_, id| *id == of);
        }
    }

    /// Ends a playback that should not have begun.
    pub fn withdraw(&self, session: &HlsSession) {
        self.take_out(session);
        self.forget(session);
        session.end(Kick::Revoked);
    }
}

#[cfg(test)]
#[path = "sessions/sessions_tests.rs"]
mod tests;
