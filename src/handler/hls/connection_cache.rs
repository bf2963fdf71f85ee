//! What the last requests of one connection came to. Players ask for one playlist again and again on one connection, and
//! for all else under one ticket: what follows from the same bytes by the same policy is not worked out anew. What depends
//! on the moment, such as whether the playback still plays and at this place, is asked each time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use http::request::Parts;

use crate::gate::{Gate, Policy};
use crate::hls::identity::Identity;
use crate::hls::playbacks::Known;
use crate::hls::ticket::{OpenTicket, TicketError};
use crate::listener::Peer;
use crate::request::client_address::ClientAddress;
use crate::request::rtmp_url::RtmpUrl;
use crate::session::id::SessionId;
use crate::token::{Owner, StreamName};

use super::Trouble;
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
    first: Option<Arc<First>>,
    ticket: Option<(Box<str>, Arc<OpenTicket>)>,
}

/// A first playlist that was asked for with a good token.
#[derive(Debug)]
pub struct First {
    target: Box<str>,
    address: ClientAddress,
    identities: (Identity, Identity),
    session: SessionId,
    owner: Owner,
    stream: StreamName,
    url: RtmpUrl,
    /// What it asks for.
    pub wanted: MediaRequest,
}

impl ConnectionCache {
    /// The playback that the same request was a part of before, if it still is.
    pub fn again(&self, gate: &Gate, head: &Parts, peer: Peer) -> Option<(Admitted, Arc<First>)> {
        let policy = gate.policy();
        let first = self.of(&policy).first.clone()?;
        let address = policy.edge.neighbours.client(peer, &head.headers);
        // One of the identities is of the address.
        if *first.target != *target(head) || first.address != address {
            return None;
        }
        let (everywhere, here) = first.identities;
        let Known::Plays(session) = gate.hls.known(everywhere, here, address) else {
            return None;
        };
        let is_its =
            session.id() == first.session && session.is_of(&first.owner, &first.stream, &first.url);
        let admitted = Admitted::going_on(session, address).filter(|_| is_its)?;
        Some((admitted, first))
    }

    /// Keeps what a playback begins with.
    pub fn keep(
        &self,
        gate: &Gate,
        head: &Parts,
        entry: Entry<'_>,
    ) -> Result<(Admitted, Arc<First>), Trouble> {
        let wanted = entry.playlist(gate)?;
        let Entry {
            admitted,
            policy,
            identities,
            ..
        } = entry;
        let permit = &admitted.permit;
        let first = Arc::new(First {
            target: target(head).into(),
            address: admitted.address,
            identities,
            session: admitted.session.id(),
            owner: permit.claims().owner.clone(),
            stream: permit.stream().clone(),
            url: permit.url().clone(),
            wanted,
        });
        if first.target.len() <= LONGEST {
            self.of(&policy).first = Some(Arc::clone(&first));
        }
        Ok((admitted, first))
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
