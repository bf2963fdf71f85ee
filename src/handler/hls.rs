//! Playback over HTTP: each request is admitted to a playback (steps 2 to 5), and then answered from the media server or
//! from the cache (steps 6 and 7).

pub mod admission;
pub mod admitted;
pub mod alone;
pub mod connection_cache;
pub mod content;
pub mod entry;
pub mod fetching;
pub mod maintenance;
pub mod media_request;
pub mod opened;
pub mod packed;
pub mod page;
pub mod range;
pub mod session_start;
pub mod trouble;

use std::sync::Arc;

use http::StatusCode;

use crate::request::client_address::ClientAddress;
use crate::session::ends::Kick;
use crate::session::id::SessionId;
use crate::upstream::UpstreamError;
use crate::upstream::failure::{Evidence, UpstreamFailure};

use super::refused::Refused;
pub use maintenance::{maintain, maintain_worker};

/// Why a request is not admitted to a playback.
#[derive(Debug)]
pub enum NotAdmitted {
    /// It may not play.
    Refused(Box<Refused>),
    /// The gate has ended the playback.
    Over {
        /// Which.
        session: SessionId,
        /// Why.
        kick: Kick,
        /// Where the request came from.
        address: ClientAddress,
    },
}

/// Why an admitted request is not answered with media.
#[derive(Debug)]
pub enum Trouble {
    /// There is no room for it.
    Refused(Box<Refused>),
    /// There is no media server, or its answer is wrong.
    Upstream(UpstreamFailure),
    /// The media server has an answer that players understand, such as 404 for a segment that is gone, and may say in how many
    /// seconds to come back.
    Status(StatusCode, Option<u32>, Arc<Evidence>),
    /// The viewer asks for a reload that is too far ahead.
    TooFar,
}

impl From<Refused> for NotAdmitted {
    fn from(refused: Refused) -> Self {
        Self::Refused(Box::new(refused))
    }
}

impl From<Refused> for Trouble {
    fn from(refused: Refused) -> Self {
        Self::Refused(Box::new(refused))
    }
}

impl From<UpstreamError> for Trouble {
    fn from(error: UpstreamError) -> Self {
        Self::Upstream(error.into())
    }
}

impl From<UpstreamFailure> for Trouble {
    fn from(failure: UpstreamFailure) -> Self {
        Self::Upstream(failure)
    }
}
