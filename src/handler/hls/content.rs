//! Steps 6 and 7 for HTTP: the answer to an admitted request, from what others have just fetched or for this viewer alone.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    CONTENT_LENGTH, CONTENT_RANGE, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, RANGE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;
use tokio::time::Instant;

use crate::cache::LookUp;
use crate::cache::error::Unshared;
use crate::cache::key::CacheKey;
use crate::cache::reader::Reader;
use crate::gate::Gate;
use crate::gate::sharing::{Cache, Failure, SharedHead};
use crate::hls::playlist::{Context, Definitions, Directives, Form, Reach, of_one, rewrite};
use crate::hls::session::answering::Answering;
use crate::upstream::head::{FetchRequest, NotATarget};

use super::super::body::{AnswerBody, Running};
use super::super::first_playlist::FirstPlaylist;
use super::super::http_connection::HttpConnection;
use super::Trouble;
use super::admitted::Admitted;
use super::alone::{alone, unsatisfiable, whole};
use super::fetching::fill;
use super::media_request::{MediaRequest, TICKET_HERE, patience};
use super::range::{ByteRange, is_of_the_same};
use super::trouble::{in_reach, no_beginning, not_a_target, troubled};

/// How often a shared fetch that ended without a word is begun anew before the viewer fetches alone.
const SHARED_TRIES: usize = 2;

/// How many segments one playback reads at once from what is shared; players have a few. Those beyond it are fetched alone.
const SHARED_AT_ONCE: u32 = 16;

/// The answer to an admitted request, which came on this connection.
pub async fn content(
    gate: &Arc<Gate>,
    connection: &HttpConnection,
    admitted: &Admitted,
    head: &Parts,
    wanted: &MediaRequest,
) -> Result<Response<AnswerBody>, Trouble> {
    // While a viewer waits for the media server, its playback is not quiet and makes way for no other.
    let answering = admitted.session.answer(admitted.address);
    // What is shared is held for as long as it is read, and a viewer reads a few at once. A playlist is never fetched for one
    // viewer instead: that would take more.
    let few = admitted.session.answers() <= SHARED_AT_ONCE;
    let cache = gate.http.cache();
    let cache = cache.filter(|_| few || wanted.names_playlist);
    let shared = match (cache, &wanted.shared) {
        (Some(cache), Some(target)) if is_for_all(head, wanted) => {
            share(gate, cache, admitted, wanted, target).await?
        }
        (Some(cache), Some(_)) if is_for_what_is_there(head) => held(cache, wanted).await,
        _ => None,
    };
    // What a viewer's own query may have a part in is read anew for it.
    let shared = shared.filter(|(head, _)| !(wanted.links.from_viewer && head.depends_on_query));
    let is_shared = shared.is_some();
    let (response, form) = match shared {
        Some((shared, reader)) => {
            let form = shared.playlist;
            if form.is_none() && wanted.ticket.is_some() {
                return Err(no_beginning(Arc::clone(&shared.evidence)));
            }
            (from_cache(answering, head, &shared, reader), form)
        }
        None => alone(gate, connection, admitted, answering, head, wanted).await?,
    };
    if !response.status().is_success() {
        return Ok(response);
    }
    match form {
        Some(Form::Places { count: 0 }) => Ok(response),
        Some(Form::Places { count }) => Ok(with_ticket(admitted, response, wanted, count)),
        Some(form) if wanted.is_to_be_asked_for_again(form) => {
            let target = match &wanted.shared {
                Some(shared) if is_shared => shared,
                Some(_) | None => &wanted.alone,
            };
            beginning(gate, admitted, response, wanted, target)
        }
        Some(Form::Relative) | None => Ok(response),
    }
}

/// Puts what leads to the ticket into so many places of a playlist.
fn with_ticket(
    admitted: &Admitted,
    response: Response<AnswerBody>,
    wanted: &MediaRequest,
    places: usize,
) -> Response<AnswerBody> {
    let (mut head, body) = response.into_parts();
    head.headers.remove(CONTENT_LENGTH);
    let answering = admitted.session.answer(admitted.address);
    let places = (&**TICKET_HERE, places);
    let body = FirstPlaylist::new(body, places, wanted.to_ticket(), answering);
    Response::from_parts(head, AnswerBody::First(Box::new(body)))
}

/// The multivariant playlist of a playback whose media server has a media playlist alone, at this target. That is read when the
/// player asks for it: by then it is there for all.
fn beginning(
    gate: &Gate,
    admitted: &Admitted,
    response: Response<AnswerBody>,
    wanted: &MediaRequest,
    target: &str,
) -> Result<Response<AnswerBody>, Trouble> {
    let seals = Arc::clone(&gate.policy().seals);
    let (place, links) = (wanted.to_ticket(), &wanted.links);
    let context = Context {
        path: "/",
        query: "",
        is_viewers_query: false,
        to_ticket: &place,
        place: &place,
        is_ours: &|_, _| false,
        stream: links.stream.as_str(),
        url: &links.url,
        imported: &Definitions::default(),
        sign: &|definitions, target| links.sign(&seals, definitions, target),
    };
    let rewritten = rewrite(of_one(target).as_bytes(), &context);
    let text = rewritten
        .ok()
        .filter(|one| one.form == Form::Places { count: 1 });
    let text = text.ok_or_else(|| not_a_target(NotATarget))?.text;
    let mut answering = admitted.session.answer(admitted.address);
    answering.count(text.len() as u64);
    let (mut head, _) = response.into_parts();
    head.headers.remove(CONTENT_LENGTH);
    let body = AnswerBody::from(Full::new(Bytes::from(text)));
    Ok(Response::from_parts(head, body))
}

/// Whether the answer to this request is fetched for all. Part of a body is asked for by the viewer itself; but `bytes=0-`,
/// which some players send with everything, asks for all of it. For a HEAD no body is fetched at all.
fn is_for_all(head: &Parts, wanted: &MediaRequest) -> bool {
    let whole = head
        .headers
        .get(RANGE)
        .is_none_or(|range| range == "bytes=0-");
    head.method == Method::GET && (wanted.names_playlist || whole)
}

/// Whether one part of a body is asked for, or only its head, which what is held whole can give. Where nothing is held that is
/// left to the media server: a long file is not fetched for a part of it.
fn is_for_what_is_there(head: &Parts) -> bool {
    head.method == Method::HEAD || ByteRange::of(&head.headers).is_some()
}

/// An answer that is for all.
type Shared = (Arc<SharedHead>, SharedReader);
type SharedReader = Reader<Arc<SharedHead>, Failure>;

/// What is held whole.
async fn held(cache: &Cache, wanted: &MediaRequest) -> Option<Shared> {
    held_as(cache, wanted.key(Directives::default())).await
}

async fn held_as(cache: &Cache, key: CacheKey) -> Option<Shared> {
    let mut reader = cache.find_whole(&key, Instant::now())?;
    let head = reader.head().await.ok()?;
    Some((head, reader))
}

/// What others have just fetched, or what is fetched now for all; `None` when it is not for all. What a viewer asks of the
/// reload of a playlist is reached by way of the playlist's next news, one after the other.
async fn share(
    gate: &Arc<Gate>,
    cache: &Arc<Cache>,
    admitted: &Admitted,
    wanted: &MediaRequest,
    target: &str,
) -> Result<Option<Shared>, Trouble> {
    if wanted.asked.is_plain() {
        return share_one(gate, cache, admitted, wanted, target, Directives::default()).await;
    }
    let place = gate.http.reloads().key(&wanted.key(Directives::default()));
    let mut known = gate.http.reloads().know(place, Instant::now());
    loop {
        let directives = in_reach(known.as_ref(), wanted)?;
        if let Some(known) = known.filter(|_| !directives.waits()) {
            // There already, in an answer that others have waited for.
            let latest = held_as(cache, wanted.key(directives.or_news_of(known.latest))).await;
            if latest.is_some() {
                return Ok(latest);
            }
        }
        let asked_with = directives.added_to(target);
        let shared = share_one(gate, cache, admitted, wanted, &asked_with, directives).await?;
        let Some((head, _)) = shared.as_ref().filter(|_| directives.waits()) else {
            return Ok(shared);
        };
        let before = known.map(|known| known.reload);
        let is_news = before.is_some_and(|before| head.reload.is_ahead_of(&before));
        let more = matches!(head.reload.reach(wanted.asked), Reach::Ask(next) if next.waits());
        if !(is_news && more) {
            return Ok(shared);
        }
        known = gate.http.reloads().know(place, Instant::now());
    }
}

async fn share_one(
    gate: &Arc<Gate>,
    cache: &Arc<Cache>,
    admitted: &Admitted,
    wanted: &MediaRequest,
    target: &str,
    directives: Directives,
) -> Result<Option<Shared>, Trouble> {
    for _ in 0..SHARED_TRIES {
        let reading = read_along(gate, cache, admitted, wanted, target, directives)?;
        let Some(mut reader) = reading else {
            return Ok(None);
        };
        match reader.head().await {
            Ok(head) => return Ok(Some((head, reader))),
            Err(Unshared::NotShared) => return Ok(None),
            Err(Unshared::Interrupted) => {}
            Err(Unshared::Failed(failure)) => return Err(troubled(failure, admitted)),
        }
    }
    Ok(None)
}

fn read_along(
    gate: &Arc<Gate>,
    cache: &Arc<Cache>,
    admitted: &Admitted,
    wanted: &MediaRequest,
    target: &str,
    directives: Directives,
) -> Result<Option<SharedReader>, Trouble> {
    match cache.look_up(wanted.key(directives), Instant::now()) {
        LookUp::Share(reader) => Ok(Some(reader)),
        LookUp::Alone => Ok(None),
        LookUp::Fill(filler, reader) => {
            let request = FetchRequest::shared(target).map_err(not_a_target)?;
            let patience = patience(directives, admitted.session.target());
            let place = gate.http.reloads().key(&wanted.key(Directives::default()));
            let fetch = fill(
                Arc::clone(gate),
                admitted.permit.clone(),
                request.waiting(patience).held_back(directives.waits()),
                wanted.links.clone(),
                (place, directives),
                filler,
            );
            gate.http.spawn_fetch(fetch);
            Ok(Some(reader))
        }
    }
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
    let may = head.method == Method::GET
        && shared.playlist.is_none()
        && is_of_the_same(&head.headers, &shared.headers);
    may.then(|| Some((range, reader.whole()?))).flatten()
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
