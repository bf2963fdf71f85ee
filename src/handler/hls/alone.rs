//! Steps 6 and 7 for an answer that is one viewer's alone: the media server is asked by name and with the viewer's own conditions.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG,
    HeaderName, LAST_MODIFIED,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;
use tokio::time::{Instant, sleep};

use crate::cache::pieces::Pieces;
use crate::decision::denial::Reason;
use crate::gate::Gate;
use crate::hls::playlist::{Directives, Form};
use crate::hls::session::answering::Answering;
use crate::hls::session::own_playlists::OwnPlaylist;
use crate::listener::scheme::Scheme;
use crate::upstream::UpstreamError;
use crate::upstream::failure::UpstreamFailure;
use crate::upstream::fetch::{Fetched, retry_after};
use crate::upstream::head::{FetchRequest, ViewerParts};

use super::super::body::{AnswerBody, Running};
use super::super::http_connection::HttpConnection;
use super::Trouble;
use super::admitted::Admitted;
use super::connection_cache::ConnectionCache;
use super::fetching::{
    Readable, is_called_playlist, kept_headers, note, playlist, playlist_headers,
};
use super::media_request::{MediaRequest, patience};
use super::opened::{Opened, Sort};
use super::packed::Coding;
use super::trouble::{in_reach, no_beginning, not_a_target, refused, troubled};

/// What says something of a body that is handed on as it is, and nothing of a playlist that is rewritten.
const OF_BYTES: [HeaderName; 5] = [
    ACCEPT_RANGES,
    CONTENT_ENCODING,
    CONTENT_RANGE,
    ETAG,
    LAST_MODIFIED,
];

/// How many bytes are asked for to see what something is that was asked for in part.
const FIRST_BYTES: HeaderValue = HeaderValue::from_static("bytes=0-1023");

/// What is asked for one viewer.
struct Alone<'a> {
    gate: &'a Arc<Gate>,
    scheme: Scheme,
    admitted: &'a Admitted,
    head: &'a Parts,
    wanted: &'a MediaRequest,
    directives: Directives,
}

/// Asks for this viewer, by name and with its own conditions; and how the answer leads to the ticket, where it is a playlist.
pub async fn alone(
    gate: &Arc<Gate>,
    connection: &HttpConnection,
    admitted: &Admitted,
    answering: Answering,
    head: &Parts,
    wanted: &MediaRequest,
) -> Result<(Response<AnswerBody>, Option<Form>), Trouble> {
    let directives = match wanted.asked.is_plain() {
        true => Directives::default(),
        false => {
            let place = gate.http.reloads().key(&wanted.key(Directives::default()));
            in_reach(
                gate.http.reloads().know(place, Instant::now()).as_ref(),
                wanted,
            )?
        }
    };
    let scheme = {
        let edge = &gate.policy().edge;
        edge.neighbours
            .scheme(connection.peer, &head.headers, connection.scheme)
    };
    let alone = Alone {
        gate,
        scheme,
        admitted,
        head,
        wanted,
        directives,
    };
    if head.method == Method::HEAD {
        let request = alone.request(wanted.names_playlist)?.head_only();
        let fetched = gate.http.fetch(&admitted.permit, request).await?;
        // Nothing of a body says what it would be.
        return Ok((alone.head_of(&fetched)?, Some(Form::Places { count: 0 })));
    }
    let turn = match wanted.names_playlist {
        true => Some(wait_for_turn(gate, admitted).await?),
        false => None,
    };
    let session = &admitted.session;
    let end_turn = |bytes| {
        if let Some(turn) = turn {
            session.end_own(turn, bytes);
        }
    };
    let fetched = alone.fetch(wanted.names_playlist).await;
    let fetched = fetched.inspect_err(|_| end_turn(0))?;
    if !has_media(fetched.status) {
        end_turn(0);
        return Ok((without_media(&fetched)?, None));
    }
    let mut opened = Opened::look(fetched).await.inspect_err(|_| end_turn(0))?;
    if alone
        .is_part_of_playlist(&opened, &connection.hls_cache)
        .await?
    {
        let fetched = alone.fetch(true).await?;
        if !has_media(fetched.status) {
            return Ok((without_media(&fetched)?, None));
        }
        opened = Opened::look(fetched).await?;
    }
    let Sort::Playlist(coding) = opened.sort else {
        end_turn(0);
        if wanted.ticket.is_some() {
            return Err(no_beginning(Arc::new(opened.evidence())));
        }
        return Ok((as_it_came(answering, opened), None));
    };
    if !is_whole(opened.status, &opened.headers) {
        let part = UpstreamError::WrongAnswer("a part of a playlist");
        return Err(UpstreamFailure::from(part)
            .about(|| opened.evidence())
            .into());
    }
    let turn = match turn {
        Some(turn) => turn,
        // Its name did not say so.
        None => wait_for_turn(gate, admitted).await?,
    };
    alone.rewritten(answering, opened, coding, turn).await
}

impl Alone<'_> {
    /// All of it, or what the viewer's own conditions say.
    fn request(&self, whole: bool) -> Result<FetchRequest, UpstreamError> {
        let parts = ViewerParts {
            target: &self.directives.added_to(&self.wanted.alone),
            headers: &self.head.headers,
            session: self.admitted.session.id(),
            scheme: self.scheme,
            is_playlist: whole,
        };
        let request = FetchRequest::for_viewer(&self.admitted.permit, &parts);
        let patience = patience(self.directives, self.admitted.session.target());
        let request = request.map_err(not_a_target)?.waiting(patience);
        Ok(request.held_back(self.directives.waits()))
    }

    async fn fetch(&self, whole: bool) -> Result<Fetched, UpstreamFailure> {
        let upstream = &self.gate.http;
        let request = self.request(whole)?;
        upstream.fetch(&self.admitted.permit, request).await
    }

    /// Whether an answer is not all of a playlist. One that does not begin at its first byte tells nothing of that: the first
    /// ones are asked for as well, once for each file that a connection asks for.
    async fn is_part_of_playlist(
        &self,
        opened: &Opened,
        cache: &ConnectionCache,
    ) -> Result<bool, UpstreamFailure> {
        if is_whole(opened.status, &opened.headers) {
            return Ok(false);
        }
        match opened.sort {
            Sort::Playlist(_) => return Ok(true),
            Sort::Other if first_byte(&opened.headers) == Some(0) => return Ok(false),
            Sort::Other | Sort::Short => {}
        }
        let policy = self.gate.policy();
        if cache.is_media(&policy, &self.wanted.alone) {
            return Ok(false);
        }
        let request = self.request(true)?.part(FIRST_BYTES);
        let upstream = &self.gate.http;
        let fetched = upstream.fetch(&self.admitted.permit, request).await?;
        if !has_media(fetched.status) {
            return Err(wrong_status(&fetched));
        }
        let begins = Opened::look(fetched).await?;
        let is_playlist = matches!(begins.sort, Sort::Playlist(_));
        begins.body.discard();
        if !is_playlist {
            cache.keep_media(&policy, &self.wanted.alone);
        }
        Ok(is_playlist)
    }

    /// The head of an answer of which the body is not asked for: it says what is true whatever the body is.
    fn head_of(&self, fetched: &Fetched) -> Result<Response<AnswerBody>, Trouble> {
        if !has_media(fetched.status) {
            return without_media(fetched);
        }
        let mut response = whole(fetched.status, Bytes::new());
        *response.headers_mut() = match is_called_playlist(fetched) {
            true => playlist_headers(&fetched.headers),
            false => {
                let mut headers = kept_headers(&fetched.headers);
                OF_BYTES.iter().for_each(|name| drop(headers.remove(name)));
                headers
            }
        };
        Ok(response)
    }

    /// A playlist for this viewer.
    async fn rewritten(
        &self,
        mut answering: Answering,
        opened: Opened,
        coding: Coding,
        turn: OwnPlaylist,
    ) -> Result<(Response<AnswerBody>, Option<Form>), Trouble> {
        let (gate, admitted, links) = (self.gate, self.admitted, &self.wanted.links);
        let session = &admitted.session;
        let headers = playlist_headers(&opened.headers);
        let query = links
            .from_viewer
            .then(|| self.head.uri.query().unwrap_or_default());
        let readable = playlist(gate, opened, coding, links, query).await;
        let Readable { rewritten, held } =
            readable.map_err(|failure| troubled(failure, admitted))?;
        let place = gate
            .http
            .reloads()
            .key(&self.wanted.key(Directives::default()));
        note(gate, place, self.directives, &rewritten);
        session.end_own(turn, rewritten.text.len());
        if let Some(target) = rewritten.target_duration {
            session.set_target(target);
        }
        let form = rewritten.form;
        if self.wanted.is_to_be_asked_for_again(form) {
            let mut response = whole(StatusCode::OK, Bytes::new());
            *response.headers_mut() = headers;
            return Ok((response, Some(form)));
        }
        // It waits in memory of its own: viewers that read nothing leave room for reading and rewriting.
        let (viewer, bytes) = ((session.id(), admitted.address), rewritten.text.len());
        let unsent = gate.http.reserve_unsent(viewer, bytes);
        let unsent = unsent.ok_or_else(|| refused(Reason::PlaylistMemory, admitted))?;
        drop(held);
        answering.count(rewritten.text.len() as u64);
        let text = Pieces::from(Bytes::from(rewritten.text)).charged(Arc::new(unsent));
        let mut response = Response::new(AnswerBody::Own(Some(text)));
        *response.headers_mut() = headers;
        Ok((response, Some(form)))
    }
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

/// Whether an answer to a GET has a body that is meant for the viewer.
fn has_media(status: StatusCode) -> bool {
    matches!(status, StatusCode::OK | StatusCode::PARTIAL_CONTENT)
}

/// Hands on what is no playlist.
fn as_it_came(answering: Answering, opened: Opened) -> Response<AnswerBody> {
    let mut headers = kept_headers(&opened.headers);
    if let Some(length) = opened.headers.get(CONTENT_LENGTH) {
        headers.insert(CONTENT_LENGTH, length.clone());
    }
    let running = Running::new(opened.body, answering);
    let mut response = Response::new(AnswerBody::Fetched(running));
    *response.status_mut() = opened.status;
    *response.headers_mut() = headers;
    response
}

/// Hands on a status that comes without media.
fn without_media(fetched: &Fetched) -> Result<Response<AnswerBody>, Trouble> {
    let mut headers = kept_headers(&fetched.headers);
    match fetched.status {
        status @ (StatusCode::NOT_MODIFIED | StatusCode::PRECONDITION_FAILED) => {
            let mut response = whole(status, Bytes::new());
            *response.headers_mut() = headers;
            Ok(response)
        }
        StatusCode::RANGE_NOT_SATISFIABLE => Ok(unsatisfiable(headers.remove(CONTENT_RANGE))),
        status if is_the_viewers(status) => {
            let evidence = Arc::new(fetched.evidence());
            Err(Trouble::Status(
                status,
                retry_after(&fetched.headers),
                evidence,
            ))
        }
        _ => Err(wrong_status(fetched).into()),
    }
}

fn wrong_status(fetched: &Fetched) -> UpstreamFailure {
    let error = UpstreamError::WrongStatus(fetched.status.as_u16());
    UpstreamFailure::from(error).about(|| fetched.evidence())
}

/// Whether a refusal of a media server is about what the viewer has asked for. Its quarrel with the gate, which the viewer can do
/// nothing about, is the operator's: 401 and 403, and what is about the connection between the two.
fn is_the_viewers(status: StatusCode) -> bool {
    status.is_client_error() && !matches!(status.as_u16(), 401 | 403 | 407 | 421 | 426)
}

/// At which byte an answer begins that has a part of the body (RFC 9110 section 14.4).
fn first_byte(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    let (first, _) = range.strip_prefix("bytes ")?.split_once('-')?;
    first.parse().ok()
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
