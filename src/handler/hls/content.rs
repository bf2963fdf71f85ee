//! Steps 6 and 7 for HTTP: the answer to an admitted request, from what others have just fetched or for this viewer alone.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    LAST_MODIFIED, RANGE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use tokio::time::Instant;

use crate::gate::Gate;
use crate::gate::sharing::{Cache, Failure, SharedHead};
use crate::relay::cache::LookUp;
use crate::relay::cache::key::CacheKey;
use crate::relay::cache::reader::{Outcome, Reader};
use crate::relay::playlist::GROWTH_LIMIT;
use crate::session::hls::playback::{Answering, Standing};
use crate::upstream::UpstreamError;
use crate::upstream::head::{FetchRequest, NotATarget, ViewerParts};

use super::super::body::{AnswerBody, Running};
use super::super::first_playlist::FirstPlaylist;
use super::Trouble;
use super::admission::Admitted;
use super::fetching::{fill, holds_playlist, kept_headers, playlist, playlist_headers};
use super::range::{ByteRange, is_of_the_same};
use super::wanted::{TICKET_HERE, Wanted};

/// How often a shared fetch that ended without a word is begun anew before the viewer fetches alone.
const SHARED_TRIES: usize = 2;

/// How many answers one playback reads at once from what is shared; players have a few. Those beyond it are fetched alone.
const SHARED_AT_ONCE: u32 = 16;

/// The answer to an admitted request.
pub async fn content(
    gate: &Arc<Gate>,
    admitted: &Admitted,
    head: &Parts,
    wanted: &Wanted,
) -> Result<Response<AnswerBody>, Trouble> {
    // Whoever waits for the media server is not quiet, however long it takes, and makes way for nobody.
    let answering = admitted.session.answer();
    // What is shared is held for as long as anybody reads it: nobody holds much of it alone.
    let cache = gate.cache.as_ref();
    let cache = cache.filter(|_| admitted.session.answers() <= SHARED_AT_ONCE);
    let shared = match (cache, &wanted.shared) {
        (Some(cache), Some(target)) if is_for_all(head, wanted) => {
            share(gate, cache, admitted, wanted, target).await?
        }
        (Some(cache), Some(target)) if is_for_a_part(head) => held(cache, wanted, target).await,
        _ => None,
    };
    let response = match shared {
        Some((shared, reader)) => from_cache(answering, head, &shared, reader),
        None => alone(gate, admitted, answering, head, wanted).await?,
    };
    for_viewer(gate, admitted, response, wanted).await
}

/// Puts the viewer's ticket into the links of the playlist that its playback begins with.
async fn for_viewer(
    gate: &Gate,
    admitted: &Admitted,
    response: Response<AnswerBody>,
    wanted: &Wanted,
) -> Result<Response<AnswerBody>, Trouble> {
    let Some(ticket) = &wanted.ticket else {
        return Ok(response);
    };
    let (mut head, body) = response.into_parts();
    // A playlist is complete or about to be. What else a media server answers with may have no end.
    let limit = gate.hls_config.playlist.saturating_add(GROWTH_LIMIT);
    let (mut body, mut text) = (Limited::new(body, limit), Vec::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| troubled(gate, admitted, error.as_ref()))?;
        text.extend(frame.into_data().into_iter().flatten());
    }
    head.headers.remove(CONTENT_LENGTH);
    let ticket = format!("~{ticket}/");
    let answering = admitted.session.answer();
    let body = FirstPlaylist::new(text, &TICKET_HERE, ticket, answering);
    Ok(Response::from_parts(head, AnswerBody::First(body)))
}

/// Why a playlist that a playback begins with was not read to its end.
fn troubled(
    gate: &Gate,
    admitted: &Admitted,
    error: &(dyn std::error::Error + Send + Sync + 'static),
) -> Trouble {
    const TOO_LONG: UpstreamError =
        UpstreamError::WrongAnswer("too long for a playlist to begin with");
    if error.is::<LengthLimitError>() {
        return TOO_LONG.into();
    }
    match gate
        .hls
        .standing(&admitted.session, admitted.permit.address())
    {
        Standing::Over(kick) => Trouble::Over(admitted.session.id(), kick),
        Standing::Plays | Standing::Elsewhere => UpstreamError::Unreachable.into(),
    }
}

/// Whether the answer to this request is the same for everybody. Part of a body is asked for by the viewer itself; but
/// `bytes=0-`, which some players send with everything, asks for all of it. A HEAD of what is not a playlist costs the
/// media server nothing.
fn is_for_all(head: &Parts, wanted: &Wanted) -> bool {
    let whole = head
        .headers
        .get(RANGE)
        .is_none_or(|range| range == "bytes=0-");
    wanted.names_playlist || (whole && head.method == Method::GET)
}

/// Whether one part of a body is asked for, which whoever holds the whole can give. Whoever does not leaves it to the media
/// server: a long file is not fetched for a part of it.
fn is_for_a_part(head: &Parts) -> bool {
    head.method == Method::GET && ByteRange::of(&head.headers).is_some()
}

/// An answer that is for all.
type Shared = (Arc<SharedHead>, SharedReader);
type SharedReader = Reader<Arc<SharedHead>, Failure>;

/// What is held whole.
async fn held(cache: &Cache, wanted: &Wanted, target: &str) -> Option<Shared> {
    let mut reader = cache.find_whole(&key(wanted, target), Instant::now())?;
    let head = reader.head().await.ok()?;
    Some((head, reader))
}

/// What others have just fetched, or what is fetched now for all; `None` when it is not for all.
async fn share(
    gate: &Arc<Gate>,
    cache: &Arc<Cache>,
    admitted: &Admitted,
    wanted: &Wanted,
    target: &str,
) -> Result<Option<Shared>, Trouble> {
    for _ in 0..SHARED_TRIES {
        let Some(mut reader) = read_along(gate, cache, admitted, wanted, target)? else {
            return Ok(None);
        };
        match reader.head().await {
            Ok(head) => return Ok(Some((head, reader))),
            Err(Outcome::NotShared) => return Ok(None),
            Err(Outcome::Interrupted) => {}
            Err(Outcome::Failed(Failure::Upstream(error))) => return Err(error.into()),
            Err(Outcome::Failed(Failure::Status(status))) => return Err(Trouble::Status(status)),
        }
    }
    Ok(None)
}

fn read_along(
    gate: &Arc<Gate>,
    cache: &Arc<Cache>,
    admitted: &Admitted,
    wanted: &Wanted,
    target: &str,
) -> Result<Option<SharedReader>, Trouble> {
    match cache.look_up(key(wanted, target), Instant::now()) {
        LookUp::Share(reader) => Ok(Some(reader)),
        LookUp::Alone => Ok(None),
        LookUp::Fill(filler, reader) => {
            let request = FetchRequest::shared(target).map_err(not_a_target)?;
            let patience = wanted.patience(admitted.session.target());
            let fetch = fill(
                Arc::clone(gate),
                admitted.permit.clone(),
                request.waiting(patience).held_back(wanted.blocking),
                wanted.links.clone(),
                filler,
            );
            gate.fetches.spawn(fetch);
            Ok(Some(reader))
        }
    }
}

fn key(wanted: &Wanted, target: &str) -> CacheKey {
    let links = &wanted.links;
    CacheKey::new(&[
        links.owner.as_str(),
        links.stream.as_str(),
        // A playlist's links depend on these, too.
        &links.to_ticket,
        &links.definitions,
        &links.url,
        target,
    ])
}

fn from_cache(
    answering: Answering,
    head: &Parts,
    shared: &SharedHead,
    reader: SharedReader,
) -> Response<AnswerBody> {
    if let Some(target) = shared.target_duration {
        answering.session().set_target(target);
    }
    if is_unchanged(head, &shared.headers) {
        let mut response = whole(StatusCode::NOT_MODIFIED, Bytes::new());
        *response.headers_mut() = shared.headers.clone();
        return response;
    }
    let mut headers = shared.headers.clone();
    let answer = |body| AnswerBody::Shared(Running::new(body, answering));
    let Some((range, length)) = part(head, shared, &reader) else {
        let mut response = Response::new(answer(reader.into_body()));
        *response.headers_mut() = headers;
        return response;
    };
    let Some(bytes) = range.within(length) else {
        return unsatisfiable(HeaderValue::try_from(format!("bytes */{length}")).ok());
    };
    let place = format!("bytes {}-{}/{length}", bytes.start, bytes.end - 1);
    if let Ok(place) = HeaderValue::try_from(place) {
        headers.insert(CONTENT_RANGE, place);
    }
    let mut response = Response::new(answer(reader.into_range(bytes)));
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    *response.headers_mut() = headers;
    response
}

/// The part that is asked for, of how many bytes; `None` when all is to be answered.
fn part(head: &Parts, shared: &SharedHead, reader: &SharedReader) -> Option<(ByteRange, u64)> {
    let range = ByteRange::of(&head.headers).filter(|range| *range != ByteRange::From(0))?;
    let may = is_for_a_part(head)
        && !shared.is_playlist
        && is_of_the_same(&head.headers, &shared.headers);
    may.then(|| Some((range, reader.whole()?))).flatten()
}

/// There is nothing of the part that was asked for; `place` says how much there is (RFC 9110 section 15.5.17).
fn unsatisfiable(place: Option<HeaderValue>) -> Response<AnswerBody> {
    let mut response = whole(StatusCode::RANGE_NOT_SATISFIABLE, Bytes::new());
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(place) = place {
        headers.insert(CONTENT_RANGE, place);
    }
    response
}

/// Whether the viewer has it already (RFC 9110 section 13.2.2). A date counts when it is the very one that it was given.
fn is_unchanged(head: &Parts, headers: &HeaderMap) -> bool {
    if !head.headers.contains_key(IF_NONE_MATCH) {
        let since = head.headers.get(IF_MODIFIED_SINCE);
        return since.is_some() && since == headers.get(LAST_MODIFIED);
    }
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
    answering: Answering,
    head: &Parts,
    wanted: &Wanted,
) -> Result<Response<AnswerBody>, Trouble> {
    let session = &admitted.session;
    let parts = ViewerParts {
        target: &wanted.alone,
        headers: &head.headers,
        session: session.id(),
        is_playlist: wanted.names_playlist,
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
        StatusCode::RANGE_NOT_SATISFIABLE => {
            return Ok(unsatisfiable(headers.remove(CONTENT_RANGE)));
        }
        StatusCode::NOT_FOUND | StatusCode::GONE => return Err(Trouble::Status(status)),
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
