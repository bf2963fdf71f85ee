//! What viewers over HTTP share.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode};

use crate::cache::CacheSettings;
use crate::config::HlsConfig;
use crate::hls::playlist::{Form, Reload};
use crate::upstream::UpstreamError;
use crate::upstream::failure::{Evidence, UpstreamFailure};

/// The most playlists and segments that are shared at once; they are far fewer than viewers.
const KEYS: usize = 100_000;

/// How long what turned out to be one viewer's alone is not tried again.
const PASS: Duration = Duration::from_secs(10);

/// What is shared, and what is being fetched for it.
pub type Cache = crate::cache::Cache<Arc<SharedHead>, Failure>;

/// The head of an answer that is for all.
#[derive(Debug)]
pub struct SharedHead {
    /// What viewers get.
    pub headers: HeaderMap,
    /// How a playlist leads to the ticket; `None` is no playlist, and of a playlist no request gets a part.
    pub playlist: Option<Form>,
    /// Players read the playlist with the query that they asked with.
    pub depends_on_query: bool,
    /// Of a media playlist.
    pub target_duration: Option<Duration>,
    /// Of a media playlist.
    pub reload: Reload,
    /// Where it comes from, for the log.
    pub evidence: Arc<Evidence>,
}

/// Why there is nothing for all.
#[derive(Clone, Debug)]
pub enum Failure {
    /// No media server, or a wrong answer.
    Upstream(UpstreamFailure),
    /// An answer that says why there is nothing, and in how many seconds to come back.
    Status(StatusCode, Option<u32>, Arc<Evidence>),
    /// `hls.playlist_memory` is reached.
    NoRoom,
}

impl Failure {
    /// The same with this evidence, where a media server is to blame and nothing is known of it.
    #[must_use]
    pub fn about(self, evidence: impl FnOnce() -> Evidence) -> Self {
        match self {
            Self::Upstream(failure) => Self::Upstream(failure.about(evidence)),
            other @ (Self::Status(..) | Self::NoRoom) => other,
        }
    }
}

impl From<UpstreamError> for Failure {
    fn from(error: UpstreamError) -> Self {
        Self::Upstream(error.into())
    }
}

pub(super) fn settings(hls: &HlsConfig) -> CacheSettings {
    CacheSettings {
        bytes: hls.cache_size,
        object: hls.cache_object.min(hls.cache_size),
        keys: KEYS,

        pass: PASS,
    }
}
