//! What of the sessions outlives a restart, and those of an earlier process that may go on.

use std::time::Duration;

use tokio::time::Instant;

use crate::request::client_address::ClientAddress;

use super::super::ended::Remembered;
use super::super::saved::{Outlook, Saved};
use super::super::session::quiet_after;
use super::HlsSessions;
use crate::session::ends::Kick;
use crate::session::id::SessionId;

/// One that sleeps: it ran in an earlier process and was not heard of since.
#[derive(Clone, Debug)]
pub(super) struct Dormant {
    pub(super) saved: Saved,
    /// Since when it is waited for here.
    since: Instant,
    /// For how long it had been waited for by then.
    waited: Duration,
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

impl HlsSessions {
    /// What has to outlive this process: the sessions that may go on, and those that the gate has ended.
    #[must_use]
    pub fn snapshot(&self) -> Vec<Saved> {
        let heard = Outlook::GoesOn {
            waited: Duration::ZERO,
        };
        // Those that still sleep may wake after one more restart, too. They come before those that play, and these before those
        // that are over: a session that wakes or ends meanwhile is found where it was, or where it went, or in both.
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
                self.aliases.insert(alias.here, one.id);
            }
            let id = one.id;
            // Of two that are one session the later one counts.
            let dormant = Dormant {
                saved: one,
                since,
                waited,
            };
            self.dormant.insert(id, dormant);
        }
        self.dormant.len()
    }

    pub(super) fn restore_over(&self, saved: &Saved, kick: Kick) {
        let remembered = Remembered {
            kick,
            alias: saved.alias,
            places: saved.places,
            asked: Instant::now(),
            target: saved.target,
            page: saved.page.clone(),
        };
        if let Some(alias) = saved.alias {
            self.aliases.insert(alias.here, saved.id);
        }
        self.remember(saved.id, remembered);
    }

    /// Whether a session of an earlier process is waited for by this name and at this place.
    #[must_use]
    pub fn is_dormant(&self, id: SessionId, address: ClientAddress) -> bool {
        self.dormant.get(&id).is_some_and(|one| {
            one.is_waited_for(self.idle) && one.saved.places.hold(address, self.bind)
        })
    }

    /// The page that a session of an earlier process inherited.
    #[must_use]
    pub fn page_of_dormant(&self, id: SessionId) -> Option<String> {
        let one = self.dormant.get(&id)?;
        one.saved.page.as_ref().map(|page| page.as_ref().to_owned())
    }

    pub(super) fn forget_dormant(&self) {
        self.dormant.retain(|id, one| {
            let stays = one.is_waited_for(self.idle);
            if !stays {
                self.forget_alias(one.saved.alias, *id);
            }
            stays
        });
    }
}
