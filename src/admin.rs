//! The operator's side: its own listener, never reachable by a viewer.
//!
//! A foreign page in the operator's browser must not be able to use it. So `Host` has to be a loopback name or a listed one
//! (DNS rebinding: a page's own name that resolves to 127.0.0.1 is neither), a request with a foreign `Origin` changes nothing,
//! and a body has to be JSON.
//!
//! A connection that has not shown the token is answered once, and has little time.

pub mod api;
mod connections;

use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HOST, HeaderValue, ORIGIN,
};
use http::request::Parts;
use http::uri::Authority;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::AdminConfig;
use crate::gate::Gate;
use crate::handler::answer_socket::AnswerSocket;
use crate::handler::http_connection::close_in_order;
use crate::listener::accept;
use crate::listener::limit::ConnectionLimit;
use crate::listener::socket::Socket;
use crate::refusal::rejection;
use crate::request::strict;
use connections::{Connections, Slot};

/// The longest body: a revocation is far shorter.
const BODY_LIMIT: usize = 16 * 1024;
/// How long a head or a body may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Serves the operator until the process ends.
pub async fn serve(gate: Arc<Gate>, config: AdminConfig, socket: TcpListener) {
    let connections = Connections::new(config.connections);
    let config = Arc::new(config);
    let tasks = TaskTracker::new();
    // The operator sees the drain to its end, so this listener does not stop with the others.
    let never = CancellationToken::new();
    // `Connections` bounds them: it closes the oldest instead of refusing the newest.
    let limit = ConnectionLimit::new(usize::MAX);
    let serve = |incoming: crate::listener::Incoming| {
        let (gate, config) = (Arc::clone(&gate), Arc::clone(&config));
        let slot = connections.enter();
        tasks.spawn(async move {
            let (socket, _permit) = incoming.into_parts();
            tokio::select! {
                () = slot.is_over(PATIENCE) => {}
                () = serve_connection(&gate, &config, &slot, socket) => {}
            }
        });
    };
    accept(&socket, &limit, &never, serve).await;
}

/// Answers one connection's requests.
async fn serve_connection(gate: &Gate, config: &AdminConfig, slot: &Slot, socket: Socket) {
    let service = service_fn(|request: Request<Incoming>| {
        // hyper wants to move the future.
        Box::pin(async move { Ok::<_, Infallible>(answer(gate, config, slot, request).await) })
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(gate.limits.head);
    let never = AtomicBool::new(false);
    let socket = AnswerSocket::new(socket, PATIENCE, &never);
    let mut conversation = http.serve_connection(TokioIo::new(socket), service);
    // Its errors are the client's; what is no HTTP has been answered by hyper.
    match poll_fn(|cx| conversation.poll_without_shutdown(cx)).await {
        Err(error) if !error.is_parse() => {}
        Ok(()) | Err(_) => {
            let mut socket = conversation.into_parts().io.into_inner();
            close_in_order(&mut socket, gate).await;
        }
    }
}

async fn answer(
    gate: &Gate,
    config: &AdminConfig,
    slot: &Slot,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    if let Err(error) = strict::check(&head, gate.limits.uri) {
        return last(text(rejection(error).0, &format!("{error}\n")));
    }
    let refusal = refusal(&head, config);
    if refusal.is_none() {
        slot.show_token();
    }
    match (health(gate, &head), refusal) {
        (Some(health), None) => health,
        (None, None) => perform(gate, &head, body).await,
        (Some(answer), Some(_)) | (None, Some(answer)) => last(answer),
    }
}

/// An answer with which the connection ends.
fn last(mut response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(CONNECTION, close);
    response
}

/// The two answers that need no token: they hold no data, and an orchestrator may ask for them by any `Host`.
fn health(gate: &Gate, head: &Parts) -> Option<Response<Full<Bytes>>> {
    let (status, body) = match (&head.method, head.uri.path()) {
        (&Method::GET | &Method::HEAD, "/healthz") => (StatusCode::OK, "alive\n"),
        (&Method::GET | &Method::HEAD, "/readyz") if gate.is_ready() => (StatusCode::OK, "ready\n"),
        (&Method::GET | &Method::HEAD, "/readyz") => {
            (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
        }
        _ => return None,
    };
    Some(text(status, body))
}

/// What is answered unless the operator asks: by a name that is its own and with the token.
fn refusal(head: &Parts, config: &AdminConfig) -> Option<Response<Full<Bytes>>> {
    if !is_called_by_name(head, config) {
        return Some(text(
            StatusCode::MISDIRECTED_REQUEST,
            "this name is not in admin.names\n",
        ));
    }
    if !is_authorized(head, config) {
        let mut response = text(
            StatusCode::UNAUTHORIZED,
            "a bearer token is needed (admin.token_sha256)\n",
        );
        let challenge = HeaderValue::from_static("Bearer realm=\"h5gate\"");
        response
            .headers_mut()
            .insert(http::header::WWW_AUTHENTICATE, challenge);
        return Some(response);
    }
    None
}

/// What the operator asks for.
async fn perform(gate: &Gate, head: &Parts, body: Incoming) -> Response<Full<Bytes>> {
    if head.method != Method::GET && head.method != Method::HEAD {
        if has_foreign_origin(head) {
            return last(text(
                StatusCode::FORBIDDEN,
                "a foreign Origin changes nothing here\n",
            ));
        }
        let json = head.headers.get(CONTENT_TYPE).is_some_and(api::is_json);
        if !json && !hyper::body::Body::is_end_stream(&body) {
            return last(text(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the body must be application/json\n",
            ));
        }
    }
    let body = match tokio::time::timeout(PATIENCE, Limited::new(body, BODY_LIMIT).collect()).await
    {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => {
            return last(text(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the body is too large or broken off\n",
            ));
        }
        Err(_) => return last(text(StatusCode::REQUEST_TIMEOUT, "the body is too slow\n")),
    };
    api::answer(gate, head, &body).await
}

/// Loopback addresses, `localhost`, and the configured names; any port.
fn is_called_by_name(head: &Parts, config: &AdminConfig) -> bool {
    let host = head
        .headers
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .and_then(|host| host.parse::<Authority>().ok());
    // HTTP/1.0 without a name: no browser.
    let Some(host) = host else { return true };
    let name = host
        .host()
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_ascii_lowercase();
    name == "localhost"
        || name
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
        || config.names.contains(&name)
}

fn is_authorized(head: &Parts, config: &AdminConfig) -> bool {
    let Some(expected) = &config.token_sha256 else {
        return true;
    };
    let given = head
        .headers
        .get(AUTHORIZATION)
        .map_or(&b""[..], HeaderValue::as_bytes);
    let token = match given.split_at_checked(7) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"Bearer ") => token,
        _ => return false,
    };
    Sha256::digest(token).as_slice().ct_eq(expected).into()
}

fn has_foreign_origin(head: &Parts) -> bool {
    let Some(origin) = head
        .headers
        .get(ORIGIN)
        .map(|origin| origin.to_str().unwrap_or_default())
    else {
        return false;
    };
    let host = head
        .headers
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    origin
        .split_once("://")
        .is_none_or(|(_, authority)| !authority.eq_ignore_ascii_case(host))
}

fn text(status: StatusCode, body: &str) -> Response<Full<Bytes>> {
    respond(status, "text/plain; charset=utf-8", body.to_owned())
}

/// An answer of this side, never to be stored and never taken for another type.
fn respond(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        http::header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}
