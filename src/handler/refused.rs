//! A request that may not play.

use crate::decision::denial::{Denial, Reason};
use crate::request::PlaybackRequest;
use crate::request::client_address::ClientAddress;
use crate::session::id::SessionId;
use crate::token::StreamName;

/// A refusal and what it was about, for the record.
#[derive(Debug)]
pub struct Refused {
    /// Every rule that failed.
    pub denial: Denial,
    /// Where the viewer is.
    pub address: ClientAddress,
    /// The request, unless it could not be read.
    pub request: Option<Box<PlaybackRequest>>,
    /// What it was a part of.
    pub subject: Subject,
}

/// What of a request under a ticket is known when it is refused.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    /// Its playback.
    pub session: Option<SessionId>,
    /// The stream of its ticket.
    pub stream: Option<StreamName>,
    /// The path on the media server.
    pub path: Option<String>,
}

impl Refused {
    /// A refusal of what could not be read.
    #[must_use]
    pub fn unnamed(reason: impl Into<Reason>, address: ClientAddress) -> Self {
        Self {
            denial: reason.into().into(),
            address,
            request: None,
            subject: Subject::default(),
        }
    }

    /// The same about this request under a ticket.
    #[must_use]
    pub fn about(self, subject: Subject) -> Self {
        Self { subject, ..self }
    }

    /// Players look for a security service by a check without a token (protocol.md 4): no attack.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        let request = self.request.as_deref();
        request.is_some_and(|r| r.flags.check_and_close && r.security.token.is_empty())
    }
}
