//! Steps 6 and 7 for HTTP: the answer to an admitted request, from what others have just fetched or for this viewer alone.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, IF_NONE_MATCH, RANGE};
use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use tokio::time::Instant;

use crate::gate::Gate;
use crate::gate::sharing::{Cache, Failure, SharedHead};
use crate::relay::cache::LookUp;
use crate::relay::cache::key::CacheKey;
use crate::relay::cache::reader::{Outcome, Reader};
use crate::relay::cache::rules::is_playlist;
use crate::relay::playlist::GROWTH_LIMIT;
use crate::upstream::UpstreamError;
use crate::upstream::head::{FetchRequest, NotATarget, ViewerParts};

use super::super::body::{AnswerBody, Running};
use super::Trouble;
use super::admission::Admitted;
use super::fetching::{fill, holds_playlist, kept_headers, playlist, playlist_headers};
use super::wanted::{TICKET_HERE, Wanted};

/// How often a shared fetch that ended without a word is begun anew before the viewer fetches alone.
const SHARED_TRIES: usize = 2;

/// The answer to an admitted request.
pub async fn content(
    gate: &Arc<Gate>,
    admitted: &Admitted,
    head: &Parts,
    wanted: &Wanted,
) -> Result<Response<AnswerBody>, Trouble> {
    if let (Some(cache), Some(target)) = (&gate.cache, &wanted.shared)
        && is_for_all(head, target)
    {
        for _ in 0..SHARED_TRIES {
            match share(gate, cache, admitted, wanted, target).await? {
                Shared::Found(shared, reader) => {
                    let response = from_cache(admitted, head, &shared, reader);
                    return for_viewer(gate, response, wanted).await;
                }
                Shared::NotForAll => break,
                Shared::Interrupted => {}
            }
        }
    }
    let response = alone(gate, admitted, head, wanted).await?;
    for_viewer(gate, response, wanted).await
}

/// Puts the viewer's ticket into the links of the playlist that its playback begins with.
async fn for_viewer(
    gate: &Gate,
    response: Response<AnswerBody>,
    wanted: &Wanted,
) -> Result<Response<AnswerBody>, Trouble> {
    let Some(ticket) = &wanted.ticket else {
        return Ok(response);
    };
    let (mut head, body) = response.into_parts();
    // A playlist is complete or about to be. What else a media server answers with may have no end.
    let limit = gate.hls_config.playlist.saturating_add(GROWTH_LIMIT);
    let text = Limited::new(body, limit).collect().await;
    let text = text.map_err(|error| match error.is::<LengthLimitError>() {
        true => TOO_LONG,
        false => UpstreamError::Unreachable,
    })?;
    let own = with_ticket(&text.to_bytes(), ticket, limit).ok_or(TOO_LONG)?;
    head.headers.remove(CONTENT_LENGTH);
    let body = AnswerBody::from(Full::new(Bytes::from(own)));
    Ok(Response::from_parts(head, body))
}

const TOO_LONG: UpstreamError = UpstreamError::WrongAnswer("too long for a playlist to begin with");

/// The text with the ticket in its places; `None` when it is longer than `limit` then.
fn with_ticket(text: &[u8], ticket: &str, limit: usize) -> Option<Vec<u8>> {
    let place = TICKET_HERE.as_bytes();
    let ticket = format!("~{ticket}/");
    let places = memchr::memmem::find_iter(text, place).count();
    let length = text.len() + places * ticket.len();
    if length > limit {
        return None;
    }
    let mut own = Vec::with_capacity(length);
    let mut copied = 0;
    for at in memchr::memmem::find_iter(text, place) {
        own.extend_from_slice(text.get(copied..at)?);
        own.extend_from_slice(ticket.as_bytes());
        copied = at + place.len();
    }
    own.extend_from_slice(text.get(copied..)?);
    Some(own)
}

/// Whether the answer to this request is the same for everybody. Part of a body is asked for by the viewer itself; but
/// `bytes=0-`, which some players send with everything, asks for all of it. A HEAD of what is not a playlist costs the
/// media server nothing.
fn is_for_all(head: &Parts, target: &str) -> bool {
    let whole = head
        .headers
        .get(RANGE)
        .is_none_or(|range| range == "bytes=0-");
    let path = target.split('?').next().unwrap_or_default();
    let is_playlist = is_playlist(None, path);
    is_playlist || (whole && head.method == Method::GET)
}

/// What a look into the cache comes to.
enum Shared {
    Found(Arc<SharedHead>, Reader<Arc<SharedHead>, Failure>),
    NotForAll,
    Interrupted,
}

async fn share(
    gate: &Arc<Gate>,
    cache: &Arc<Cache>,
    admitted: &Admitted,
    wanted: &Wanted,
    target: &str,
) -> Result<Shared, Trouble> {
    let links = &wanted.links;
    // A playlist's links depend on these, too.
    let what = format!(
        "{} {} {} {target}",
        links.to_ticket, links.definitions, links.url
    );
    let key = CacheKey::new(Some(&links.owner.to_string()), links.stream.as_str(), &what);
    let mut reader = match cache.look_up(key, Instant::now()) {
        LookUp::Share(reader) => reader,
        LookUp::Alone => return Ok(Shared::NotForAll),
        LookUp::Fill(filler, reader) => {
            let request = FetchRequest::shared(target).map_err(not_a_target)?;
            let patience = wanted.patience(admitted.session.target());
            let fetch = fill(
                Arc::clone(gate),
                admitted.permit.clone(),
                request.waiting(patience).held_back(wanted.blocking),
                links.clone(),
                filler,
            );
            gate.fetches.spawn(fetch);
            reader
        }
    };
    match reader.head().await {
        Ok(head) => Ok(Shared::Found(head, reader)),
        Err(Outcome::NotShared) => Ok(Shared::NotForAll),
        Err(Outcome::Interrupted) => Ok(Shared::Interrupted),
        Err(Outcome::Failed(Failure::Upstream(error))) => Err(error.into()),
        Err(Outcome::Failed(Failure::Status(status))) => Err(Trouble::Status(status)),
    }
}

fn from_cache(
    admitted: &Admitted,
    head: &Parts,
    shared: &SharedHead,
    reader: Reader<Arc<SharedHead>, Failure>,
) -> Response<AnswerBody> {
    if let Some(target) = shared.target_duration {
        admitted.session.set_target(target);
    }
    if is_unchanged(head, &shared.headers) {
        let mut response = whole(StatusCode::NOT_MODIFIED, Bytes::new());
        *response.headers_mut() = shared.headers.clone();
        return response;
    }
    let running = Running::new(reader.into_body(), admitted.session.answer());
    let mut response = Response::new(AnswerBody::Shared(running));
    *response.headers_mut() = shared.headers.clone();
    response
}

/// Whether the viewer has it already (RFC 9110 section 13.1.2).
fn is_unchanged(head: &Parts, headers: &HeaderMap) -> bool {
    let Some(etag) = headers.get(ETAG).and_then(|etag| etag.to_str().ok()) else {
        return false;
    };
    let weak = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let lines = head.headers.get_all(IF_NONE_MATCH).iter();
    let mut tags = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','));
    tags.any(|tag| tag.trim() == "*" || weak(tag) == weak(etag))
}

/// Asks for this viewer, by name and with its own conditions.
async fn alone(
    gate: &Gate,
    admitted: &Admitted,
    head: &Parts,
    wanted: &Wanted,
) -> Result<Response<AnswerBody>, Trouble> {
    let session = &admitted.session;
    let answering = session.answer();
    let path = wanted.alone.split('?').next().unwrap_or_default();
    let parts = ViewerParts {
        target: &wanted.alone,
        headers: &head.headers,
        session: session.id(),
        is_playlist: is_playlist(None, path),
    };
    let request = FetchRequest::for_viewer(&admitted.permit, &parts).map_err(not_a_target)?;
    let patience = wanted.patience(session.target());
    let mut request = request.waiting(patience).held_back(wanted.blocking);
    // The length of a playlist is known when it is rewritten.
    if head.method == Method::HEAD && !parts.is_playlist {
        request = request.head_only();
    }
    let fetched = gate.http_upstream.fetch(&admitted.permit, request).await?;
    let status = fetched.status;
    if holds_playlist(&fetched) && is_whole(status, &fetched.headers) && !is_head(head, &parts) {
        let headers = playlist_headers(&fetched.headers);
        let policy = gate.policy();
        let query = wanted
            .links
            .from_viewer
            .then(|| head.uri.query().unwrap_or_default());
        let rewritten = playlist(gate, &policy.seals, fetched, &wanted.links, query).await?;
        if let Some(target) = rewritten.target_duration {
            session.set_target(target);
        }
        answering.count(rewritten.text.len() as u64);
        let mut response = whole(StatusCode::OK, Bytes::from(rewritten.text));
        *response.headers_mut() = headers;
        return Ok(response);
    }
    let mut headers = kept_headers(&fetched.headers);
    match status {
        // A part of a playlist cannot be rewritten, and one that was not read must not be handed on.
        _ if holds_playlist(&fetched) && status.is_success() && !is_head(head, &parts) => {
            return Err(UpstreamError::WrongAnswer("a part of a playlist").into());
        }
        StatusCode::OK | StatusCode::PARTIAL_CONTENT => {}
        StatusCode::NOT_MODIFIED | StatusCode::PRECONDITION_FAILED => {
            let mut response = whole(status, Bytes::new());
            *response.headers_mut() = headers;
            return Ok(response);
        }
        StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::RANGE_NOT_SATISFIABLE => {
            return Err(Trouble::Status(status));
        }
        _ => return Err(UpstreamError::WrongStatus(status.as_u16()).into()),
    }
    if let Some(length) = fetched.headers.get(CONTENT_LENGTH) {
        headers.insert(CONTENT_LENGTH, length.clone());
    }
    let running = Running::new(fetched.body, answering);
    let mut response = Response::new(AnswerBody::Fetched(running));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// Whether only the head was asked for.
fn is_head(head: &Parts, parts: &ViewerParts<'_>) -> bool {
    head.method == Method::HEAD && !parts.is_playlist
}

/// Whether an answer has all of the body: native players ask for `bytes=0-` of playlists, too.
fn is_whole(status: StatusCode, headers: &HeaderMap) -> bool {
    let range = headers
        .get(CONTENT_RANGE)
        .and_then(|range| range.to_str().ok());
    let all = |range: &str| {
        let (first, rest) = range.strip_prefix("bytes ")?.split_once('-')?;
        let (last, length) = rest.split_once('/')?;
        let (last, length): (u64, u64) = (last.parse().ok()?, length.parse().ok()?);
        Some(first == "0" && last.checked_add(1) == Some(length))
    };
    status == StatusCode::OK
        || (status == StatusCode::PARTIAL_CONTENT && range.and_then(all) == Some(true))
}

fn whole(status: StatusCode, body: Bytes) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::from(Full::new(body)));
    *response.status_mut() = status;
    response
}

/// A path that the media server named and that cannot be asked for.
fn not_a_target(_: NotATarget) -> UpstreamError {
    UpstreamError::WrongAnswer("a path that cannot be asked for")
}
