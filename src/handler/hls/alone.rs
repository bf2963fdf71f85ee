//! Steps 6 and 7 for an answer that is one viewer's alone: the media server is asked by name and with the viewer's own conditions.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;
use tokio::time::{Instant, sleep};

use crate::cache::pieces::Pieces;
use crate::decision::denial::Reason;
use crate::gate::Gate;
use crate::hls::playlist::Directives;
use crate::hls::session::{Answering, OwnPlaylist};
use crate::upstream::UpstreamError;
use crate::upstream::fetch::{Fetched, retry_after};
use crate::upstream::head::{FetchRequest, ViewerParts};

use super::super::body::{AnswerBody, Running};
use super::Trouble;
use super::admitted::Admitted;
use super::fetching::{
    Readable, holds_playlist, kept_headers, note, playlist, playlist_headers, tickets,
};
use super::media_request::{MediaRequest, patience};
use super::trouble::{in_reach, not_a_target, refused, troubled};

/// Asks for this viewer, by name and with its own conditions; and in how many places the answer has room for a ticket, where it
/// is a playlist.
pub async fn alone(
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

/// There is nothing of the part that was asked for; `place` says how much there is (RFC 9110 section 15.5.17).
pub fn unsatisfiable(place: Option<HeaderValue>) -> Response<AnswerBody> {
    let mut response = whole(StatusCode::RANGE_NOT_SATISFIABLE, Bytes::new());
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(place) = place {
        headers.insert(CONTENT_RANGE, place);
    }
    response
}

/// An answer whose body is there.
pub fn whole(status: StatusCode, body: Bytes) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::from(Full::new(body)));
    *response.status_mut() = status;
    response
}
