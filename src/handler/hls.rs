//! Playback over HTTP: each request is admitted as part of a playback (steps 2 to 5), and then answered from the media
//! server or from what others have just fetched (steps 6 and 7).

pub mod admission;
pub mod admitted;
pub mod connection_cache;
pub mod content;
pub mod entry;
pub mod fetching;
pub mod maintenance;
pub mod media_request;
pub mod page;
pub mod range;

use std::sync::Arc;

use http::request::Parts;
use http::{Response, StatusCode};

use crate::gate::Gate;
use crate::listener::Peer;
use crate::request::http_playback::HttpTarget;
use crate::session::guard::Kick;
use crate::session::id::SessionId;
use crate::upstream::UpstreamError;

use super::Refused;
use super::body::AnswerBody;
use admission::{begin, go_on};
use connection_cache::ConnectionCache;
use content::content;
pub use maintenance::{maintain, maintain_worker};
use media_request::MediaRequest;

/// Why a request is not answered with media.
#[derive(Debug)]
pub enum Trouble {
    /// It may not play.
    Refused(Box<Refused>),
    /// The gate has ended the playback.
    Over(SessionId, Kick),
    /// There is no media server, or its answer is wrong.
    Upstream(UpstreamError),
    /// The media server has an answer that players understand, such as 404 for a segment that is gone, and may say in how many
    /// seconds to come back.
    Status(StatusCode, Option<u32>),
}

impl From<Refused> for Trouble {
    fn from(refused: Refused) -> Self {
        Self::Refused(Box::new(refused))
    }
}

impl From<UpstreamError> for Trouble {
    fn from(error: UpstreamError) -> Self {
        Self::Upstream(error)
    }
}

/// Answers a GET or HEAD.
pub async fn answer(
    gate: &Arc<Gate>,
    head: &Parts,
    peer: Peer,
    target: HttpTarget<'_>,
    cache: &ConnectionCache,
) -> Result<Response<AnswerBody>, Trouble> {
    match target {
        HttpTarget::Playlist => {
            let (admitted, first) = match cache.again(gate, head, peer) {
                Some(playing) => playing,
                None => cache.keep(gate, head, begin(gate, head, peer).await?)?,
            };
            content(gate, &admitted, head, &first.wanted).await
        }
        HttpTarget::Progressive => {
            let entry = begin(gate, head, peer).await?;
            let wanted = MediaRequest::progressive(gate, &entry.admitted, &entry.query());
            content(gate, &entry.admitted, head, &wanted).await
        }
        HttpTarget::Link(link) => {
            let (admitted, wanted) = go_on(gate, head, peer, link, cache).await?;
            content(gate, &admitted, head, &wanted).await
        }
    }
}
