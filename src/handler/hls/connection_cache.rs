//! What the last requests of one connection came to. Players ask for one playlist again and again on one connection, and
//! for all else under one ticket: what follows from the same bytes by the same policy is not computed again. What depends
//! on the moment, such as whether the playback still plays and at this place, is asked each time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use http::request::Parts;

use crate::gate::Gate;
use crate::gate::policy::Policy;
use crate::hls::identity::Identity;
use crate::hls::sessions::first_url::Known;
use crate::hls::ticket::{OpenTicket, TicketError};
use crate::listener::Peer;
use crate::request::client_address::ClientAddress;
use crate::request::rtmp_url::RtmpUrl;
use crate::session::id::SessionId;
use crate::token::{Owner, StreamName};

use super::NotAdmitted;
use super::admitted::Admitted;
use super::entry::Entry;
use super::media_request::MediaRequest;

/// The longest target or ticket that is kept, in bytes; those of players are a tenth of it.
const LONGEST: usize = 4096;

/// Of one connection: the first playlist and the ticket that it asked with last.
#[derive(Debug, Default)]
pub struct ConnectionCache(Mutex<Cached>);

#[derive(Debug, Default)]
struct Cached {
    /// By which all the rest was found. It is not kept alive: keys that a reload has replaced must go.
    policy: Weak<Policy>,
    entry: Option<Arc<CachedEntry>>,
    ticket: Option<(Box<str>, Arc<OpenTicket>)>,
    /// What is no playlist, of all that was asked for in parts the last.
    media: Option<Box<str>>,
}

/// A first playlist that was asked for with a good token, and its playback.
#[derive(Debug)]
pub struct CachedEntry {
    target: Box<str>,
    address: ClientAddress,
    identities: (Identity, Identity),
    session: SessionId,
    owner: Owner,
    stream: StreamName,
    url: RtmpUrl,
    /// What it asks for.
    pub media: MediaRequest,
}

impl ConnectionCache {
    /// The playback that the same request was a part of before, if it still is.
    pub fn find(
        &self,
        gate: &Gate,
        peer: Peer,
        head: &Parts,
    ) -> Option<(Admitted, Arc<CachedEntry>)> {
        let policy = gate.policy();
        let cached = self.of(&policy).entry.clone()?;
        let address = policy.edge.neighbours.client(peer, &head.headers);
        // One of the identities is of the address.
        if *cached.target != *target(head) || cached.address != address {
            return None;
        }
        let (everywhere, here) = cached.identities;
        let Known::Plays(session, permit) = gate.hls.ask_by_url(everywhere, here, address) else {
            return None;
        };
        let is_its = session.id() == cached.session
            && session.is_of(&cached.owner, &cached.stream, &cached.url);
        let admitted = Admitted {
            session,
            permit,
            address,
        };
        is_its.then_some((admitted, cached))
    }

    /// Keeps an entry, for the next request of the same bytes.
    pub fn keep(
        &self,
        gate: &Gate,
        head: &Parts,
        entry: Entry<'_>,
    ) -> Result<(Admitted, Arc<CachedEntry>), NotAdmitted> {
        let media = entry.playlist(gate)?;
        let Entry {
            admitted,
            policy,
            identities,
            ..
        } = entry;
        let permit = &admitted.permit;
        let cached = Arc::new(CachedEntry {
            target: target(head).into(),
            address: admitted.address,
            identities,
            session: admitted.session.id(),
            owner: permit.claims().owner.clone(),
            stream: permit.stream().clone(),
            url: permit.url().clone(),
            media,
        });
        if cached.target.len() <= LONGEST {
            self.of(&policy).entry = Some(Arc::clone(&cached));
        }
        Ok((admitted, cached))
    }

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

fn target(head: &Parts) -> &str {
    head.uri
        .path_and_query()
        .map_or("", |target| target.as_str())
}
