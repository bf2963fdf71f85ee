//! How the body of an answer fails.

use crate::cache::error::Broken;
use crate::upstream::body::BodyError;

/// Why a body ends before its end. The connection ends with it, so that no player takes a part for the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cut {
    /// The media server failed.
    #[error(transparent)]
    Fetched(#[from] BodyError),
    /// The shared fetch failed.
    #[error(transparent)]
    Shared(#[from] Broken),
    /// The playback was ended, or has moved to another place.
    #[error("the playback is over, or plays elsewhere")]
    Over,
}
