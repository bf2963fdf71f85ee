//! Sessions end: by the gate, by an operator, or because nothing was asked for.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::super::ended::Remembered;
use super::super::session::{HlsSession, State, quiet_after};
use super::{Ended, HlsSessions};
use crate::session::ends::Kick;
use crate::session::id::SessionId;
use crate::session::lock;

/// How long a session of a single request stands behind its answer, so that no sweep ends it before the answer begins.
const OF_ONE_REQUEST: Duration = Duration::from_secs(1);

impl HlsSessions {
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
        self.queue
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
            // One after the other, so that a viewer that comes back meanwhile begins before or behind it. While another one begins
            // the next sweep does this.
            let Ok(_one_at_a_time) = self.beginning.try_lock() else {
                return;
            };
            let still = |_: &SessionId, one: &Arc<HlsSession>| {
                Arc::ptr_eq(one, &session) && self.is_quiet(&session, &session.state(), now)
            };
            if self.playing.remove_if(&session.id, still).is_none() {
                continue;
            }
            self.forget(&session);
            // Its seat is free from here on, though a request may still hold the session.
            session.end(Kick::Superseded);
            let kick = None;
            lock(&self.ended).push(Ended { session, kick });
        }
    }

    /// Whether a session is over because nothing was asked for.
    fn is_quiet(&self, session: &HlsSession, state: &State, now: Instant) -> bool {
        let patience = if state.places.are_none(self.bind) {
            OF_ONE_REQUEST
        } else {
            quiet_after(self.idle, session.target().unwrap_or_default())
        };
        session.is_quiet(state, patience, now)
    }

    /// Remembers of a session that is over why, and nothing else; whether it was among those that play.
    pub(super) fn bury(&self, session: &HlsSession, kick: Kick) -> bool {
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

    /// Ends a session by an operator that is in no list of sessions: one that sleeps, or that the drain has ended, and that
    /// would go on in this process or the next; whether there is such a one.
    pub async fn settle(&self, id: SessionId) -> bool {
        let _one_at_a_time = self.beginning.lock().await;
        let saved = self.dormant.get(&id).map(|one| one.saved.clone());
        let Some(saved) = saved else {
            return self.over.settle(id);
        };
        // Before it no longer sleeps, so that a save meanwhile has the one or the other.
        self.restore_over(&saved, Kick::Operator);
        self.dormant.remove(&id);
        true
    }

    /// Ends a session that no media server has a playlist for, unless another request waits for one or it plays after all.
    pub fn withdraw_unbegun(&self, session: &HlsSession) {
        if !session.has_begun() && !session.is_proven() && session.answers() == 0 {
            self.withdraw(session);
        }
    }

    /// Ends a session that should not have begun.
    pub fn withdraw(&self, session: &HlsSession) {
        self.take_out(session);
        self.forget(session);
        session.end(Kick::Revoked);
    }
}
