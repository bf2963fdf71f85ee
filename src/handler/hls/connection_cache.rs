//! What the last requests of one connection came to. Players ask for all under one ticket: what follows from the same bytes by
//! the same policy is not computed again. What depends on the moment, such as whether the playback still plays and at this
//! place, is asked each time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::gate::policy::Policy;
use crate::hls::ticket::{OpenTicket, TicketError};

/// The longest target or ticket that is kept, in bytes; those of players are a tenth of it.
const LONGEST: usize = 4096;

/// Of one connection: the ticket that it asked with last.
#[derive(Debug, Default)]
pub struct ConnectionCache(Mutex<Cached>);

#[derive(Debug, Default)]
struct Cached {
    /// By which all the rest was found. It is not kept alive: keys that a reload has replaced must go.
    policy: Weak<Policy>,
    ticket: Option<(Box<str>, Arc<OpenTicket>)>,
    /// What is no playlist, of all that was asked for in parts the last.
    media: Option<Box<str>>,
}

impl ConnectionCache {
    /// Reads a ticket and checks its seal.
    pub fn open(&self, policy: &Arc<Policy>, text: &str) -> Result<Arc<OpenTicket>, TicketError> {
        let mut cached = self.of(policy);
        if let Some((_, ticket)) = cached.ticket.as_ref().filter(|(known, _)| **known == *text) {
            return Ok(Arc::clone(ticket));
        }
        let ticket = Arc::new(policy.seals.open(text)?);
        if text.len() <= LONGEST {
            cached.ticket = Some((text.into(), Arc::clone(&ticket)));
        }
        Ok(ticket)
    }

    /// Whether a target of the media server was seen to be no playlist.
    pub fn is_media(&self, policy: &Arc<Policy>, target: &str) -> bool {
        self.of(policy).media.as_deref() == Some(target)
    }

    /// Keeps that it is none.
    pub fn keep_media(&self, policy: &Arc<Policy>, target: &str) {
        if target.len() <= LONGEST {
            self.of(policy).media = Some(target.into());
        }
    }

    /// What was cached under this policy; nothing of another one.
    fn of(&self, policy: &Arc<Policy>) -> MutexGuard<'_, Cached> {
        // Every change of it is complete before anything that could panic.
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if cached.policy.as_ptr() != Arc::as_ptr(policy) {
            *cached = Cached {
                policy: Arc::downgrade(policy),
                ..Cached::default()
            };
        }
        cached
    }
}
