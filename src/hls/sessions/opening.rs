//! Sessions begin, and where there is no room idle ones make way for them.

use std::sync::Arc;

use tokio::time::Instant;

use crate::decision::denial::{Denial, Reason};
use crate::decision::permit::Permit;

use super::super::identity::Alias;
use super::super::session::{HlsSession, Standing};
use super::{Ended, HlsSessions};
use crate::session::ends::Kick;
use crate::session::eviction::{Candidate, EvictionQueue};
use crate::session::guard::SessionGuard;
use crate::session::id::SessionId;
use crate::session::place::Places;
use crate::session::{Newcomer, lock};

/// A session that was asked to begin.
#[derive(Debug)]
pub struct Opened {
    /// The session.
    pub session: Arc<HlsSession>,
    /// Whether it begins with this request, and not with another one at the same moment.
    pub is_new: bool,
}

impl HlsSessions {
    /// Starts a session, or says why there is no room. Those that ask for nothing make way, so that URLs that are opened and
    /// not played keep no viewer out. Where another request has begun it meanwhile, it is that one's session. Waits for others that
    /// begin, and for the seats as [`crate::session::Sessions::open`] does. Cancel safe.
    pub async fn open(
        &self,
        newcomer: &Newcomer,
        alias: Option<Alias>,
        permit: &Permit,
    ) -> Result<Opened, Denial> {
        let id = newcomer.id;
        let address = permit.address();
        // A second session of this name would take the place of the first, which could not be ended any more then.
        let _one_at_a_time = self.beginning.lock().await;
        let by_alias = alias.and_then(|alias| self.aliases.get(&alias.here).map(|id| *id));
        if let Some(session) = by_alias.and_then(|id| self.find(id))
            && self.ask(&session, address) == Standing::Plays
        {
            return Ok(Opened {
                session,
                is_new: false,
            });
        }
        if let Some(session) = self.find(id) {
            return match self.ask(&session, address) {
                Standing::Plays => Ok(Opened {
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
        let guard = self.find_room(newcomer, permit).await?;
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
            self.aliases.insert(alias.here, id);
        }
        self.queue.push(id);
        let plays = |id| self.playing.contains_key(&id);
        for (queue, of) in self.sessions.shares.queues(holders) {
            queue.push(id);
            queue.tidy(of, plays);
        }
        Ok(Opened {
            session,
            is_new: true,
        })
    }

    /// Opens a session that is no HLS session. HLS sessions that idle make way for it where there is no room.
    pub async fn open_other(
        &self,
        newcomer: &Newcomer,
        permit: &Permit,
    ) -> Result<SessionGuard, Denial> {
        let opened = self.sessions.open(newcomer, permit.clone());
        match opened.await {
            Err(denial) if denial.reason().is_for_want_of_room() => {
                let _one_at_a_time = self.beginning.lock().await;
                self.find_room(newcomer, permit).await
            }
            opened => opened,
        }
    }

    /// Opens a session. Where a share is full one of its own idle sessions makes way, and one of any where nothing is left at
    /// all.
    async fn find_room(
        &self,
        newcomer: &Newcomer,
        permit: &Permit,
    ) -> Result<SessionGuard, Denial> {
        let open = || self.sessions.open(newcomer, permit.clone());
        let mut opened = open().await;
        // The share of its token, the one of its network, and all there is.
        for _ in 0..3 {
            let Err(denial) = &opened else { break };
            let reason = denial.reason();
            let evicted = match self.sessions.shares.queue_of(permit, reason) {
                Some(queue) => self.evict_one(&queue),
                None if *reason == Reason::Overloaded => self.evict_one(&self.queue),
                None => false,
            };
            if !evicted {
                break;
            }
            opened = open().await;
        }
        opened
    }

    /// Ends a session of a queue that waits for nothing and has asked for nothing under its ticket, or for nothing lately;
    /// whether there was one.
    fn evict_one(&self, queue: &EvictionQueue) -> bool {
        let now = Instant::now();
        queue.evict(|id| {
            let Some(session) = self.find(id) else {
                return Candidate::Gone;
            };
            let over = session.end_if_due(&mut session.state(), now);
            if let Some(kick) = over {
                // Its place is free from here on.
                return match self.bury(&session, kick) {
                    true => Candidate::Evicted,
                    false => Candidate::Gone,
                };
            }
            let idles = |_: &SessionId, one: &Arc<HlsSession>| one.idles(now);
            if self.playing.remove_if(&id, idles).is_none() {
                return match session.is_proven() {
                    true => Candidate::Plays,
                    false => Candidate::Waits,
                };
            }
            self.forget(&session);
            session.end(Kick::Superseded);
            let kick = None;
            lock(&self.ended).push(Ended { session, kick });
            Candidate::Evicted
        })
    }
}
