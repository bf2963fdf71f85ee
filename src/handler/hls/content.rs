//! Steps 6 and 7 for HTTP: the answer to an admitted request, from what others have just fetched or for this viewer alone.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    LAST_MODIFIED, RANGE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;
use tokio::time::{Instant, sleep};

use crate::cache::LookUp;
use crate::cache::error::Unshared;
use crate::cache::key::CacheKey;
use crate::cache::pieces::Pieces;
use crate::cache::reader::Reader;
use crate::decision::denial::Reason;
use crate::gate::Gate;
use crate::gate::reloads::Known;
use crate::gate::sharing::{Cache, Failure, SharedHead};
use crate::hls::playlist::{Directives, Reach};
use crate::hls::session::{Answering, OwnPlaylist};
use crate::upstream::UpstreamError;
use crate::upstream::fetch::Fetched;
use crate::upstream::fetch::retry_after;
use crate::upstream::head::{FetchRequest, NotATarget, ViewerParts};

use super::super::body::{AnswerBody, Running};
use super::super::first_playlist::FirstPlaylist;
use super::super::refused::Refused;
use super::Trouble;
use super::admitted::Admitted;
use super::fetching::{
    Readable, fill, holds_playlist, kept_headers, note, playlist, playlist_headers, tickets,
};
use super::media_request::{MediaRequest, TICKET_HERE, patience};
use super::range::{ByteRange, is_of_the_same};

/// How often a shared fetch that ended without a word is begun anew before the viewer fetches alone.
const SHARED_TRIES: usize = 2;

/// How many segments one playback reads at once from what is shared; players have a few. Those beyond it are fetched alone.
const SHARED_AT_ONCE: u32 = 16;

/// The answer to an admitted request, which came by `scheme`.
pub async fn content(
    gate: &Arc<Gate>,
    scheme: &'static str,
    admitted: &Admitted,
    head: &Parts,
    wanted: &MediaRequest,
) -> Result<Response<AnswerBody>, Trouble> {
    // Whoever waits for the media server is not quiet, however long it takes, and makes way for nobody.
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
    let (response, tickets) = match shared {
        Some((shared, reader)) => {
            let tickets = shared.is_playlist.then_some(shared.tickets);
            (from_cache(answering, head, &shared, reader), tickets)
        }
        None => alone(gate, scheme, admitted, answering, head, wanted).await?,
    };
    for_viewer(admitted, response, wanted, tickets)
}

/// Puts the viewer's ticket into the links of the playlist that its playback begins with, in so many places; `None` is no
/// playlist, with which no playback begins.
fn for_viewer(
    admitted: &Admitted,
    response: Response<AnswerBody>,
    wanted: &MediaRequest,
    tickets: Option<usize>,
) -> Result<Response<AnswerBody>, Trouble> {
    let Some(ticket) = wanted
        .ticket
        .as_ref()
        .filter(|_| response.status().is_success())
    else {
        return Ok(response);
    };
    let tickets = tickets.ok_or(UpstreamError::WrongAnswer("no playlist to begin with"))?;
    if tickets == 0 {
        return Ok(response);
    }
    let (mut head, body) = response.into_parts();
    head.headers.remove(CONTENT_LENGTH);
    let ticket = format!("~{ticket}/");
    let answering = admitted.session.answer(admitted.address);
    let body = FirstPlaylist::new(body, (&TICKET_HERE, tickets), ticket, answering);
    Ok(Response::from_parts(
        head,
        AnswerBody::First(Box::new(body)),
    ))
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
    let place = gate
        .http
        .reloads()
        .place(&wanted.key(Directives::default()));
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

/// What of a viewer's wish the playlist is asked for with.
fn in_reach(known: Option<&Known>, wanted: &MediaRequest) -> Result<Directives, Trouble> {
    match known.map(|known| known.reload.reach(wanted.asked)) {
        // The playlist as it is says what may be waited for.
        None => Ok(Directives::default()),
        Some(Reach::Ask(directives)) => Ok(directives),
        // Section 6.2.5.2 of the draft.
        Some(Reach::TooFar) => Err(Trouble::Status(StatusCode::BAD_REQUEST, None)),
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

/// Why there is no answer.
fn troubled(failure: Failure, admitted: &Admitted) -> Trouble {
    match failure {
        Failure::Upstream(error) => error.into(),
        Failure::Status(status, retry_after) => Trouble::Status(status, retry_after),
        Failure::NoRoom => refused(Reason::PlaylistMemory, admitted),
    }
}

fn refused(reason: Reason, admitted: &Admitted) -> Trouble {
    Trouble::from(Refused {
        denial: reason.into(),
        address: admitted.permit.address(),
        request: None,
    })
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
            let place = gate
                .http
                .reloads()
                .place(&wanted.key(Directives::default()));
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

/// Asks for this viewer, by name and with its own conditions; and in how many places the answer has room for a ticket, where it
/// is a playlist.
async fn alone(
    gate: &Arc<Gate>,
    scheme: &'static str,
    admitted: &Admitted,
    mut answering: Answering,
    head: &Parts,
    wanted: &MediaRequest,
) -> Result<(Response<AnswerBody>, Option<usize>), Trouble> {
    let session = &admitted.session;
    let place = gate
        .http
        .reloads()
        .place(&wanted.key(Directives::default()));
    let directives = match wanted.asked.is_plain() {
        true => Directives::default(),
        false => in_reach(
            gate.http.reloads().know(place, Instant::now()).as_ref(),
            wanted,
        )?,
    };
    let parts = ViewerParts {
        target: &directives.added_to(&wanted.alone),
        headers: &head.headers,
        session: session.id(),
        scheme,
        is_playlist: wanted.names_playlist,
    };
    let request = FetchRequest::for_viewer(&admitted.permit, &parts).map_err(not_a_target)?;
    let patience = patience(directives, session.target());
    let mut request = request.waiting(patience).held_back(directives.waits());
    let is_head = head.method == Method::HEAD;
    if is_head {
        request = request.head_only();
    }
    let own = match wanted.names_playlist && !is_head {
        true => Some(wait_for_turn(gate, admitted).await?),
        false => None,
    };
    let end_own = |bytes| {
        if let Some(own) = own {
            session.end_own(own, bytes);
        }
    };
    let fetched = gate.http.fetch(&admitted.permit, request).await;
    let fetched = fetched.inspect_err(|_| end_own(0))?;
    let status = fetched.status;
    let of_playlist = holds_playlist(&fetched);
    if of_playlist && is_whole(status, &fetched.headers) {
        let headers = playlist_headers(&fetched.headers);
        let (body, tickets) = if is_head {
            // How long it will be is known when it is rewritten.
            (AnswerBody::from(Full::default()), 0)
        } else {
            let query = wanted
                .links
                .from_viewer
                .then(|| head.uri.query().unwrap_or_default());
            let readable = playlist(gate, fetched, &wanted.links, query).await;
            let Readable { rewritten, held } =
                readable.map_err(|failure| troubled(failure, admitted))?;
            note(gate, place, directives, &rewritten);
            end_own(rewritten.text.len());
            // It waits in memory of its own: viewers that read nothing leave room for reading and rewriting.
            let (viewer, bytes) = ((session.id(), admitted.address), rewritten.text.len());
            let unsent = gate.http.hold_unsent(viewer, bytes);
            let unsent = unsent.ok_or_else(|| refused(Reason::PlaylistMemory, admitted))?;
            drop(held);
            if let Some(target) = rewritten.target_duration {
                session.set_target(target);
            }
            answering.count(rewritten.text.len() as u64);
            let tickets = tickets(&rewritten, &wanted.links);
            let text = Pieces::from(Bytes::from(rewritten.text)).charged(Arc::new(unsent));
            (AnswerBody::Own(Some(text)), tickets)
        };
        let mut response = Response::new(body);
        *response.headers_mut() = headers;
        return Ok((response, Some(tickets)));
    }
    as_it_came(answering, head, fetched).map(|response| (response, None))
}

/// A playback loads playlists of its own at its pace.
async fn wait_for_turn(gate: &Gate, admitted: &Admitted) -> Result<OwnPlaylist, Trouble> {
    let settings = gate.http.settings();
    let (pace, first) = (settings.own_playlists, settings.playlist);
    let most = gate.timeouts.upstream_total;
    let turn = admitted
        .session
        .begin_own(pace, first, most, Instant::now());
    let (wait, own) = turn.ok_or_else(|| refused(Reason::OwnPlaylists, admitted))?;
    if !wait.is_zero() {
        sleep(wait).await;
    }
    Ok(own)
}

/// Hands on what is no whole playlist.
fn as_it_came(
    answering: Answering,
    head: &Parts,
    fetched: Fetched,
) -> Result<Response<AnswerBody>, Trouble> {
    let (status, of_playlist) = (fetched.status, holds_playlist(&fetched));
    let mut headers = kept_headers(&fetched.headers);
    match status {
        // A part of a playlist cannot be rewritten, and one that was not read must not be handed on.
        _ if of_playlist && status.is_success() && head.method == Method::GET => {
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
        _ if is_the_viewers(status) => {
            return Err(Trouble::Status(status, retry_after(&fetched.headers)));
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

/// Whether a refusal of a media server is about what the viewer has asked for. Its quarrel with the gate, which the viewer can do
/// nothing about, is the operator's: 401 and 403, and what is about the connection between the two.
fn is_the_viewers(status: StatusCode) -> bool {
    status.is_client_error() && !matches!(status.as_u16(), 401 | 403 | 407 | 421 | 426)
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
