//! Which answer belongs to which path.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;

use super::{Origin, hls, progressive, viewer};
use crate::demo::catalogue::LiveStream;
use crate::request::handshake::Handshake;
use crate::request::query::Query;
use crate::request::strict::Rejection;

/// Whole, or without an end.
pub(super) type Body = UnsyncBoxBody<Bytes, std::convert::Infallible>;

const PLAYLIST: HeaderValue = HeaderValue::from_static("application/vnd.apple.mpegurl");
const MEDIA: HeaderValue = HeaderValue::from_static("video/mp4");
/// A playlist is old when the next segment is there.
const NEVER_STORED: HeaderValue = HeaderValue::from_static("no-cache");
/// A segment never changes, and no player asks for it once it has left the playlist.
const STORED: HeaderValue = HeaderValue::from_static("max-age=10");

/// Where HLS and the progressive file are.
const HTTP_PREFIX: &str = "/h5live/http/";

/// Answers one request. A WebSocket goes on as a task of its own.
pub(super) fn answer(origin: &Arc<Origin>, request: Request<Incoming>) -> Response<Body> {
    let path = request.uri().path();
    let websocket = matches!(path, "/h5live/stream" | "/h5live/stream/stream.mp4");
    let answer = if websocket {
        upgrade(origin, request)
    } else if let Some(name) = path.strip_prefix(HTTP_PREFIX) {
        media(origin, name, &request)
    } else {
        Err(StatusCode::NOT_FOUND)
    };
    answer.unwrap_or_else(refusal)
}

/// Everything below [`HTTP_PREFIX`].
fn media(
    origin: &Arc<Origin>,
    name: &str,
    request: &Request<Incoming>,
) -> Result<Response<Body>, StatusCode> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(StatusCode::METHOD_NOT_ALLOWED);
    }
    match name {
        "playlist.m3u8" => {
            let stream = stream_of_query(origin, request)?;
            let text = hls::multivariant(&origin.catalogue, &stream);
            Ok(whole(PLAYLIST, NEVER_STORED, text.into()))
        }
        "stream.mp4" => {
            let stream = stream_of_query(origin, request)?;
            let body = progressive::body(origin, stream).boxed_unsync();
            Ok(with_headers(body, MEDIA, NEVER_STORED))
        }
        _ => {
            // The stream is in the path here, so that a playlist's relative names need no query.
            let (stream, file) = name.split_once('/').ok_or(StatusCode::NOT_FOUND)?;
            let stream = origin.catalogue.get(stream).ok_or(StatusCode::NOT_FOUND)?;
            rendition(origin, stream, file).ok_or(StatusCode::NOT_FOUND)
        }
    }
}

/// A file of one rendition.
fn rendition(origin: &Origin, stream: &LiveStream, file: &str) -> Option<Response<Body>> {
    match file {
        "media.m3u8" => {
            let text = hls::media(&stream.clip, origin.timeline);
            Some(whole(PLAYLIST, NEVER_STORED, text.into()))
        }
        "init.mp4" => Some(whole(MEDIA, STORED, stream.clip.init())),
        _ => {
            let number = file.strip_suffix(".m4s")?.parse().ok()?;
            let segment = hls::segment(&stream.clip, origin.timeline, number)?;
            Some(whole(MEDIA, STORED, segment))
        }
    }
}

fn stream_of_query(
    origin: &Origin,
    request: &Request<Incoming>,
) -> Result<Arc<LiveStream>, StatusCode> {
    let query = read_query(request)?;
    find(origin, &query)
}

fn read_query(request: &Request<Incoming>) -> Result<Query<'_>, StatusCode> {
    let raw = request.uri().query().unwrap_or_default();
    Query::parse(raw).map_err(|_| StatusCode::BAD_REQUEST)
}

fn find(origin: &Origin, query: &Query<'_>) -> Result<Arc<LiveStream>, StatusCode> {
    let name = query.stream.as_deref().unwrap_or_default();
    let stream = origin.catalogue.get(name).ok_or(StatusCode::NOT_FOUND)?;
    Ok(Arc::clone(stream))
}

/// Agrees to a WebSocket.
fn upgrade(
    origin: &Arc<Origin>,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, StatusCode> {
    let query = read_query(&request)?;
    let stream = find(origin, &query)?;
    let flags = query.flags.as_deref().unwrap_or_default();
    let has = |flag| flags.split(',').any(|one| one == flag);
    let silence = if has("metastreamonly") {
        viewer::Silence::MetadataOnly
    } else if has("paused") {
        viewer::Silence::Paused
    } else {
        viewer::Silence::None
    };
    drop(query);

    let upgrade = hyper::upgrade::on(&mut request);
    let (head, _) = request.into_parts();
    let handshake = Handshake::read(&head).map_err(|rejection| {
        if rejection == Rejection::UpgradeRequired {
            StatusCode::UPGRADE_REQUIRED
        } else {
            StatusCode::BAD_REQUEST
        }
    })?;
    let accept =
        HeaderValue::try_from(handshake.accept).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    let task = {
        let origin = Arc::clone(origin);
        async move {
            match upgrade.await {
                Ok(socket) => viewer::serve(origin, stream, silence, TokioIo::new(socket)).await,
                Err(error) => tracing::debug!(%error, "a viewer of the demo left early"),
            }
        }
    };
    origin.tasks.spawn(task);

    let mut response = Response::new(Full::default().boxed_unsync());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    Ok(response)
}

fn whole(kind: HeaderValue, cache: HeaderValue, body: Bytes) -> Response<Body> {
    with_headers(Full::new(body).boxed_unsync(), kind, cache)
}

fn with_headers(body: Body, kind: HeaderValue, cache: HeaderValue) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response.headers_mut().insert(CACHE_CONTROL, cache);
    response
}

fn refusal(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Full::default().boxed_unsync());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    match status {
        StatusCode::METHOD_NOT_ALLOWED => {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        StatusCode::UPGRADE_REQUIRED => {
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        _ => {}
    }
    response
}
