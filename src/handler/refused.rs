//! A request that may not play.

use crate::decision::denial::{Denial, Reason};
use crate::request::PlaybackRequest;
use crate::request::client_address::ClientAddress;

/// A refusal and what it was about, for the record.
#[derive(Debug)]
pub struct Refused {
    /// Every rule that failed.
    pub denial: Denial,
    /// Where the viewer is.
    pub address: ClientAddress,
    /// The request, unless it could not be read.
    pub request: Option<Box<PlaybackRequest>>,
}

impl Refused {
    /// A refusal of what could not be read.
    #[must_use]
    pub fn unnamed(reason: impl Into<Reason>, address: ClientAddress) -> Self {
        Self {
            denial: reason.into().into(),
            address,
            request: None,
        }
    }

    /// Players look for a security service by a check without a token (protocol.md 4): no attack.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        let request = self.request.as_deref();
        request.is_some_and(|r| r.flags.check_and_close && r.security.token.is_empty())
    }
}
