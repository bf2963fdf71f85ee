//! The entry of a playback: a request with a token, and the playlist that it is answered with.

use std::sync::Arc;

use crate::decision::denial::Reason;
use crate::gate::Gate;
use crate::gate::policy::Policy;
use crate::hls::ticket::Ticket;
use crate::request::query::Query;

use super::super::refused::Refused;
use super::NotAdmitted;
use super::admitted::Admitted;
use super::media_request::MediaRequest;

/// An admitted request for the entry: the playback begins with it, or its first URL was opened again.
#[derive(Debug)]
pub struct Entry<'a> {
    /// The playback.
    pub admitted: Admitted,
    /// The policy that decided.
    pub policy: Arc<Policy>,
    /// What its links lead to.
    pub ticket: Ticket,
    /// What the viewer sent.
    pub query: Query<'a>,
}

impl Entry<'_> {
    /// The query for the media server.
    pub fn query(&self) -> String {
        self.query.rebuild(self.admitted.permit.url())
    }

    /// The playlist that it begins with.
    pub fn playlist(&self, gate: &Gate) -> Result<MediaRequest, NotAdmitted> {
        // Its token has just been verified, so there is a key to seal with.
        let ticket = self.policy.seals.write(&self.ticket);
        let ticket = ticket
            .ok_or_else(|| Refused::unnamed(Reason::Ticket, self.admitted.permit.address()))?;
        Ok(MediaRequest::playlist(
            gate,
            &self.admitted,
            &self.query,
            ticket,
        ))
    }
}
