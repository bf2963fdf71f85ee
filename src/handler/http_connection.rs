//! A connection while it speaks HTTP: requests are answered one after the other until one of them becomes a WebSocket.

use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, CACHE_CONTROL, CONNECTION,
    CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::config::{ListenerConfig, WebSocketRefusal};
use crate::gate::Gate;
use crate::listener::limit::ConnectionPermit;
use crate::listener::{Accepted, Peer};
use crate::pace::Pace;
use crate::refusal::{Refusal, rejection};
use crate::request::handshake::Handshake;
use crate::request::http_playback::HttpTarget;
use crate::request::is_websocket_path;
use crate::request::strict::{self, Rejection};
use crate::session::id::Receipt;
use crate::token_api::http::{self as token_api, TokenApi};
use crate::upstream::UpstreamError;

use super::answer_socket::AnswerSocket;
use super::body::AnswerBody;
use super::hls::connection_cache::ConnectionCache;
use super::hls::{self, Trouble};
use super::{Verdict, judge, random, record};

const RECEIPT: HeaderName = HeaderName::from_static("x-h5gate-receipt");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
/// What pages may read of an answer, beside what they always may.
const EXPOSED: &str = "X-H5gate-Receipt, Content-Length, Content-Range, Date, ETag, Retry-After";
/// What the endpoints of viewers take.
const VIEWER_METHODS: &str = "GET, HEAD, OPTIONS";
/// After how many seconds what cannot be had now is worth another try.
const RETRY_SOON: &str = "1";
/// Where tokens are minted.
const TOKEN_PATH: &str = "/secure/token";

/// A connection that has become a WebSocket: our 101 is out, or before the close frame that follows it.
#[derive(Debug)]
pub struct Opened {
    /// The socket.
    pub socket: TcpStream,
    /// What the viewer sent right behind its handshake.
    pub early: Vec<u8>,
    /// What follows the 101.
    pub verdict: Verdict,
    /// The connection's place.
    pub permit: ConnectionPermit,
}

/// What one connection's requests share.
struct Shared {
    /// Set by the request that became a WebSocket.
    verdict: Mutex<Option<Verdict>>,
    /// Set with the verdict: our 101 waits for what follows it.
    decided: AtomicBool,
    /// What was shown over HTTP.
    hls_cache: ConnectionCache,
    /// A complete head has been read.
    heard: AtomicBool,
    /// How often it was refused.
    pace: Mutex<Pace>,
}

impl Shared {
    /// Lets a refusal wait that follows too many others on this connection.
    async fn refuse_in_turn(&self, gate: &Gate) {
        let now = Instant::now();
        let due = {
            let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
            let due = pace.wait(now);
            pace.spend(now, gate.relay.refusal_cost);
            due
        };
        if let Some(due) = due {
            sleep_until(due).await;
        }
    }
}

/// Answers requests until the connection ends (`None`) or one of them is a WebSocket.
pub async fn hold(
    gate: &Arc<Gate>,
    listener: &ListenerConfig,
    accepted: Accepted,
    stop: CancellationToken,
) -> Option<Opened> {
    let Accepted {
        socket,
        peer,
        head_deadline,
        permit,
    } = accepted;
    let shared = Arc::new(Shared {
        verdict: Mutex::new(None),
        decided: AtomicBool::new(false),
        hls_cache: ConnectionCache::default(),
        heard: AtomicBool::new(false),
        pace: Mutex::new(Pace::new(Instant::now())),
    });
    let service = service_fn(|request: Request<Incoming>| {
        shared.heard.store(true, Ordering::Relaxed);
        let (gate, shared) = (Arc::clone(gate), Arc::clone(&shared));
        // hyper wants to move the future.
        Box::pin(async move {
            let response = answer(&gate, listener, peer, request, &shared).await;
            // A listed neighbour's connection is many viewers'.
            if response.status().is_client_error() && !is_neighbour(&gate, peer) {
                shared.refuse_in_turn(&gate).await;
            }
            Ok::<_, Infallible>(response)
        })
    });
    let mut http = http1::Builder::new();
    // The timer is what makes the timeout real.
    http.timer(TokioTimer::new())
        .header_read_timeout(gate.timeouts.keep_alive);
    http.max_headers(gate.limits.fields)
        .max_buf_size(gate.limits.head);
    let socket = AnswerSocket::new(socket, gate.timeouts.write_stall, &shared.decided);
    let mut conversation = http.serve_connection(TokioIo::new(socket), service);

    let mut deadline = std::pin::pin!(sleep_until(head_deadline));
    let (mut first, mut draining) = (true, false);
    loop {
        tokio::select! {
            biased;
            ended = poll_fn(|cx| conversation.poll_without_shutdown(cx)) => {
                // Errors are the client's: a reset, a head that is too slow or no HTTP. hyper has answered what it could.
                ended.ok()?;
                break;
            }
            () = deadline.as_mut(), if first => {
                // Looked at here and not in the condition, which is looked at once for the whole conversation.
                if !shared.heard.load(Ordering::Relaxed) {
                    return None;
                }
                first = false;
            }
            () = stop.cancelled(), if !draining => {
                // Requests under way are answered; a connection that waits for its next one ends.
                draining = true;
                Pin::new(&mut conversation).graceful_shutdown();
            }
        }
    }
    let parts = conversation.into_parts();
    let verdict = shared
        .verdict
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take()?;
    let socket = parts.io.into_inner();
    let (socket, verdict) = match verdict {
        Verdict::Close(farewell) if !farewell.retried => {
            let (socket, answer) = socket.into_parts();
            (socket, Verdict::Close(farewell.behind(answer)))
        }
        verdict @ (Verdict::Play(_) | Verdict::Close(_)) => (socket.release().await.ok()?, verdict),
    };
    Some(Opened {
        socket,
        early: parts.read_buf.to_vec(),
        verdict,
        permit,
    })
}

fn is_neighbour(gate: &Gate, peer: Peer) -> bool {
    match peer {
        Peer::Socket(address) => gate.policy().edge.neighbours.lists(address.ip()),
        Peer::Proxied(_) => false,
    }
}

/// Answers one request.
async fn answer(
    gate: &Arc<Gate>,
    listener: &ListenerConfig,
    peer: Peer,
    request: Request<Incoming>,
    shared: &Shared,
) -> Response<AnswerBody> {
    let (head, body) = request.into_parts();
    if let Err(error) = strict::check(&head, gate.limits.uri) {
        return reject(gate, error).map(AnswerBody::from);
    }
    if listener.token_api && head.uri.path() == TOKEN_PATH {
        return mint(gate, &head, peer, body).await.map(AnswerBody::from);
    }
    let target = HttpTarget::read(head.uri.path()).filter(|_| listener.playback);
    match target {
        Some(target) => http_playback(gate, &head, peer, target, &shared.hls_cache).await,
        None => answer_whole(gate, listener, peer, &head, shared).map(AnswerBody::from),
    }
}

/// HLS and the progressive file.
async fn http_playback(
    gate: &Arc<Gate>,
    head: &Parts,
    peer: Peer,
    target: HttpTarget<'_>,
    cache: &ConnectionCache,
) -> Response<AnswerBody> {
    match (&head.method, strict::check_no_body(head)) {
        (_, Err(error)) => return reject(gate, error).map(AnswerBody::from),
        (&Method::OPTIONS, _) => return preflight().map(AnswerBody::from),
        (&Method::GET | &Method::HEAD, _) => {}
        _ => return reject(gate, Rejection::Method).map(AnswerBody::from),
    }
    // Boxed: a WebSocket's connection does not carry the room for it.
    let answered = Box::pin(hls::answer(gate, head, peer, target, cache)).await;
    let mut response = answered.unwrap_or_else(|trouble| {
        let address = || gate.policy().edge.neighbours.client(peer, &head.headers);
        let receipt = Receipt::new(random());
        let refused = |refusal: &Refusal| http_refusal(refusal, receipt).map(AnswerBody::from);
        match trouble {
            Trouble::Refused(why) => {
                let refusal = Refusal::from(why.denial.reason());
                record::refused(gate, &why, &refusal, receipt);
                refused(&refusal)
            }
            Trouble::Over(session, kick) => {
                let refusal = Refusal::from(kick);
                record::refused_as_over(gate, session, address(), &refusal, receipt);
                refused(&refusal)
            }
            Trouble::Upstream(error) => {
                let refusal = Refusal::from(error);
                record::no_media(gate, error, address(), &refusal, receipt);
                let mut response = refused(&refusal);
                if let UpstreamError::Busy(after) = error {
                    response.headers_mut().insert(RETRY_AFTER, after.into());
                }
                response
            }
            Trouble::Status(status, after) => nothing_there(status, after).map(AnswerBody::from),
        }
    });
    record::answered(gate, response.status());
    let headers = response.headers_mut();
    allow_any_origin(headers);
    headers.insert(
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(EXPOSED),
    );
    // A page that is isolated from others may still show what is meant for any page.
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
    response
}

/// The media server has nothing there, or not now.
fn nothing_there(status: StatusCode, retry_after: Option<u32>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, no_store);
    if let Some(after) = retry_after {
        response.headers_mut().insert(RETRY_AFTER, after.into());
    }
    response
}

/// Everything whose answer is there at once.
fn answer_whole(
    gate: &Gate,
    listener: &ListenerConfig,
    peer: Peer,
    head: &Parts,
    shared: &Shared,
) -> Response<Full<Bytes>> {
    if !listener.playback || !is_websocket_path(head.uri.path()) {
        let page = gate.site.as_ref().and_then(|site| site.answer(head));
        return page.unwrap_or_else(|| reject(gate, Rejection::NotFound));
    }
    let handshake = match (&head.method, strict::check_no_body(head)) {
        (_, Err(error)) => return reject(gate, error),
        (&Method::OPTIONS, _) => return preflight(),
        (&Method::GET | &Method::HEAD, _) => Handshake::read(head),
        _ => return reject(gate, Rejection::Method),
    };
    match handshake {
        Ok(handshake) => websocket(gate, head, peer, handshake, shared),
        Err(error) => reject(gate, error),
    }
}

/// The token API, by the policy of this moment.
async fn mint(gate: &Gate, head: &Parts, peer: Peer, body: Incoming) -> Response<Full<Bytes>> {
    let policy = gate.policy();
    let api = TokenApi {
        keyring: &policy.keyring,
        rules: &policy.rules,
        api_keys: &policy.api_keys,
        body_limit: gate.limits.body,
        body_deadline: gate.timeouts.head,
        address: policy.edge.neighbours.client(peer, &head.headers),
        guesses: &gate.guesses,
    };
    let answered = token_api::answer(&api, head, body).await;
    record::token_api(gate, answered.outcome);
    answered.response
}

/// Verdict first; then 101, also for a refusal, since a page can read nothing but a close code (protocol.md 3).
fn websocket(
    gate: &Gate,
    head: &Parts,
    peer: Peer,
    handshake: Handshake,
    shared: &Shared,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    let verdict = match judge(gate, head, peer) {
        Ok(verdict) => verdict,
        Err(refused) => {
            let receipt = Receipt::new(random());
            let refusal = Refusal::from(refused.denial.reason());
            record::refused(gate, &refused, &refusal, receipt);
            if gate.policy().websocket_refusal == WebSocketRefusal::HttpStatus {
                return http_refusal(&refusal, receipt);
            }
            response
                .headers_mut()
                .insert(RECEIPT, receipt_value(receipt));
            Verdict::Close(refusal.farewell(receipt))
        }
    };
    *shared
        .verdict
        .lock()
        .unwrap_or_else(PoisonError::into_inner) = Some(verdict);
    shared.decided.store(true, Ordering::Relaxed);
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Ok(accept) = HeaderValue::try_from(handshake.accept) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    response
}

/// A refusal for players that understand an HTTP status.
fn http_refusal(refusal: &Refusal, receipt: Receipt) -> Response<Full<Bytes>> {
    let body = format!("{{\"code\":{},\"receipt\":\"{receipt}\"}}", refusal.code);
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = refusal.status;
    let headers = response.headers_mut();
    headers.insert(RECEIPT, receipt_value(receipt));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if refusal.status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_SOON));
    }
    headers.insert(
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(EXPOSED),
    );
    allow_any_origin(headers);
    response
}

fn receipt_value(receipt: Receipt) -> HeaderValue {
    // Crockford's base32 is always a header value.
    HeaderValue::try_from(receipt.to_string()).unwrap_or(HeaderValue::from_static(""))
}

/// The answer to a request that is not for an endpoint, or not in its form. The connection ends with it: what follows
/// might be read differently by somebody else.
fn reject(gate: &Gate, error: Rejection) -> Response<Full<Bytes>> {
    let (status, label) = rejection(error);
    record::rejected(gate, label);
    let mut response = Response::new(Full::from(format!("{error}\n")));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    allow_any_origin(headers);
    match error {
        Rejection::UpgradeRequired => {
            headers.insert(CONNECTION, HeaderValue::from_static("Upgrade, close"));
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        Rejection::Method => {
            headers.insert(ALLOW, HeaderValue::from_static(VIEWER_METHODS));
        }
        Rejection::NotFound
        | Rejection::OldVersion
        | Rejection::Handshake
        | Rejection::TargetTooLong
        | Rejection::Target
        | Rejection::Host
        | Rejection::Body
        | Rejection::Misdirected
        | Rejection::LengthRequired => {}
    }
    response
}

fn preflight() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    let methods = HeaderValue::from_static(VIEWER_METHODS);
    headers.insert(ALLOW, methods.clone());
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    allow_any_origin(headers);
    response
}

fn allow_any_origin(headers: &mut http::HeaderMap) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
}
