//! The proof that a playback was allowed.

use std::sync::Arc;

use crate::request::client_address::ClientAddress;
use crate::request::rtmp_url::RtmpUrl;
use crate::token::{Claims, StreamName};

use super::Facts;

/// An allowed playback. The decision alone makes one, and nothing goes to a media server without one. A clone is the
/// same permit.
#[derive(Clone, Debug)]
pub struct Permit(Arc<Allowed>);

#[derive(Debug)]
struct Allowed {
    claims: Claims,
    facts: Facts,
}

impl Permit {
    pub(super) fn new(claims: Claims, facts: Facts) -> Self {
        Self(Arc::new(Allowed { claims, facts }))
    }

    /// What the token proved.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.0.claims
    }

    /// What was decided about.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.0.facts
    }

    /// The stream that may be played.
    #[must_use]
    pub fn stream(&self) -> &StreamName {
        &self.0.facts.stream
    }

    /// Its source.
    #[must_use]
    pub fn url(&self) -> &RtmpUrl {
        &self.0.facts.url
    }

    /// Where the viewer was.
    #[must_use]
    pub fn address(&self) -> ClientAddress {
        self.0.facts.address
    }
}
