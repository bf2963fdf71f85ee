//! The proof that a playback was allowed.

use crate::request::client_address::ClientAddress;
use crate::request::rtmp_url::RtmpUrl;
use crate::token::{Claims, StreamName};

use super::Facts;

/// An allowed playback. The decision alone makes one, and nothing goes to a media server without one.
#[derive(Clone, Debug)]
pub struct Permit {
    claims: Claims,
    facts: Facts,
}

impl Permit {
    pub(super) fn new(claims: Claims, facts: Facts) -> Self {
        Self { claims, facts }
    }

    /// What the token proved.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The stream that may be played.
    #[must_use]
    pub fn stream(&self) -> &StreamName {
        &self.facts.stream
    }

    /// Its source.
    #[must_use]
    pub fn url(&self) -> &RtmpUrl {
        &self.facts.url
    }

    /// Where the viewer was.
    #[must_use]
    pub fn address(&self) -> ClientAddress {
        self.facts.address
    }
}
