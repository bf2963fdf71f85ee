//! Answers over HTTP that are the gate's own, and what any page may read of them.

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ALLOW,
    CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER,
    SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_VERSION, UPGRADE, VARY,
};
use http::request::Parts;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::Full;

use crate::gate::Gate;
use crate::refusal::{Refusal, rejection};
use crate::request::handshake::Handshake;
use crate::request::strict::Rejection;
use crate::session::id::Receipt;
use crate::upstream::UpstreamError;
use crate::upstream::failure::UpstreamFailure;

use super::body::AnswerBody;
use super::hls::admitted::Asked;
use super::hls::{NotAdmitted, Trouble};
use super::record::NoMedia;
use super::refused::Refused;
use super::{names, record};

const RECEIPT: HeaderName = HeaderName::from_static("x-h5gate-receipt");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
/// What pages may read of an answer, beside what they always may.
const EXPOSED: &str = "X-H5gate-Receipt, Content-Length, Content-Range, Date, ETag, Retry-After";
/// What the endpoints of viewers take.
const VIEWER_METHODS: &str = "GET, HEAD, OPTIONS";
/// How many names of headers a page may ask for.
const ASKED_LIMIT: usize = 64;
/// After how many seconds what cannot be had now is worth another try.
const RETRY_SOON: &str = "1";

/// The connection is a WebSocket from here on; with a receipt where a refusal follows.
pub fn switching_protocols(
    handshake: Handshake,
    receipt: Option<Receipt>,
) -> Response<Full<Bytes>> {
    let mut response = with_status(StatusCode::SWITCHING_PROTOCOLS);
    let headers = response.headers_mut();
    if let Some(receipt) = receipt {
        headers.insert(RECEIPT, receipt_value(receipt));
    }
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Ok(accept) = HeaderValue::try_from(handshake.accept) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    response
}

/// A refusal for players that understand an HTTP status.
pub fn refused(refusal: &Refusal, receipt: Receipt) -> Response<Full<Bytes>> {
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
    expose(headers);
    response
}

fn receipt_value(receipt: Receipt) -> HeaderValue {
    // Crockford's base32 is always a header value.
    HeaderValue::try_from(receipt.to_string()).unwrap_or(HeaderValue::from_static(""))
}

/// A request over HTTP that is not admitted to a playback.
pub fn not_admitted(gate: &Gate, why: &NotAdmitted) -> Response<AnswerBody> {
    match why {
        NotAdmitted::Refused(why) => refused_media(gate, why),
        NotAdmitted::Over {
            session,
            kick,
            address,
        } => {
            let (refusal, receipt) = (Refusal::from(*kick), names::receipt());
            record::refused_as_over(gate, *session, *address, &refusal, receipt);
            refused(&refusal, receipt).map(AnswerBody::from)
        }
    }
}

/// An admitted request over HTTP for which there is no media.
pub fn no_content(gate: &Gate, why: Trouble, asked: &Asked<'_>) -> Response<AnswerBody> {
    let receipt = names::receipt();
    match why {
        Trouble::Refused(mut why) => {
            why.subject.path = Some(asked.path.to_owned());
            refused_media(gate, &why)
        }
        Trouble::Upstream(UpstreamFailure { error, evidence }) => {
            let refusal = Refusal::from(error);
            let no_media = NoMedia {
                code: Some(refusal.code),
                reason: refusal.label,
                detail: &error,
                evidence: evidence.as_deref(),
            };
            record::media_server_failed(gate, &refusal);
            record::no_media(gate, asked, &no_media, receipt);
            let mut response = refused(&refusal, receipt);
            if let UpstreamError::Busy(after) = error {
                response.headers_mut().insert(RETRY_AFTER, after.into());
            }
            response.map(AnswerBody::from)
        }
        Trouble::Status(status, after, evidence) => {
            let no_media = NoMedia {
                code: None,
                reason: "upstream_status",
                detail: &format_args!("the media server answered {}", status.as_u16()),
                evidence: Some(&*evidence),
            };
            record::no_media(gate, asked, &no_media, receipt);
            nothing_there(status, after, receipt).map(AnswerBody::from)
        }
        Trouble::TooFar => {
            let no_media = NoMedia {
                code: None,
                reason: "reload_too_far",
                detail: &"the reload is further ahead than the playlist says",
                evidence: None,
            };
            record::no_media(gate, asked, &no_media, receipt);
            nothing_there(StatusCode::BAD_REQUEST, None, receipt).map(AnswerBody::from)
        }
    }
}

/// The answer to an admitted request: with a receipt where the viewer's own conditions leave nothing of the media, which are 412
/// and 416.
pub fn content(
    gate: &Gate,
    mut response: Response<AnswerBody>,
    asked: &Asked<'_>,
) -> Response<AnswerBody> {
    if response.status().is_client_error() {
        let receipt = names::receipt();
        let no_media = NoMedia {
            code: None,
            reason: "conditions",
            detail: &format_args!(
                "the viewer's conditions make it {}",
                response.status().as_u16()
            ),
            evidence: None,
        };
        record::no_media(gate, asked, &no_media, receipt);
        response
            .headers_mut()
            .insert(RECEIPT, receipt_value(receipt));
    } else {
        record::begun(gate, asked.admitted);
    }
    response
}

fn refused_media(gate: &Gate, why: &Refused) -> Response<AnswerBody> {
    let (refusal, receipt) = (Refusal::from(why.denial.reason()), names::receipt());
    record::refused(gate, why, &refusal, receipt);
    refused(&refusal, receipt).map(AnswerBody::from)
}

fn nothing_there(
    status: StatusCode,
    retry_after: Option<u32>,
    receipt: Receipt,
) -> Response<Full<Bytes>> {
    let mut response = with_status(status);
    response
        .headers_mut()
        .insert(RECEIPT, receipt_value(receipt));
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, no_store);
    if let Some(after) = retry_after {
        response.headers_mut().insert(RETRY_AFTER, after.into());
    }
    response
}

/// Counts an answer of playback over HTTP, and lets any page use it.
pub fn for_pages(gate: &Gate, mut response: Response<AnswerBody>) -> Response<AnswerBody> {
    record::answered(gate, response.status());
    let headers = response.headers_mut();
    expose(headers);
    // A page that is isolated from others may still show what is meant for any page.
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
    response
}

/// A page beside the endpoints, where there are any.
pub fn page(gate: &Gate, head: &Parts) -> Response<Full<Bytes>> {
    let page = gate.site.as_ref().and_then(|site| site.answer(head));
    page.unwrap_or_else(|| rejected(gate, Rejection::NotFound))
}

/// The answer to a request that is not for an endpoint, or not in its form. The connection ends with it: another parser
/// might take what follows for something else.
pub fn rejected(gate: &Gate, error: Rejection) -> Response<Full<Bytes>> {
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
        | Rejection::Body => {}
    }
    response
}

/// What a page may send to a playback endpoint: the headers that it asks for.
pub fn preflight(head: &Parts) -> Response<Full<Bytes>> {
    let mut response = with_status(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    let methods = HeaderValue::from_static(VIEWER_METHODS);
    headers.insert(ALLOW, methods.clone());
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
    // `*` would not stand for `Authorization`, and is the name of a header to old browsers.
    if let Some(asked) = asked_headers(&head.headers) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked);
    }
    headers.insert(
        VARY,
        HeaderValue::from_static("Access-Control-Request-Headers"),
    );
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    allow_any_origin(headers);
    response
}

/// The names in `Access-Control-Request-Headers`, written anew; `None` where there are none, too many, or others than names of
/// headers.
fn asked_headers(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut names = Vec::new();
    for line in headers.get_all(ACCESS_CONTROL_REQUEST_HEADERS) {
        let listed = line.to_str().ok()?.split(',').map(str::trim);
        // An empty element is none (RFC 9110 section 5.6.1).
        for name in listed.filter(|name| !name.is_empty()) {
            names.push(HeaderName::try_from(name).ok()?);
        }
    }
    if names.is_empty() || names.len() > ASKED_LIMIT {
        return None;
    }
    let names: Vec<_> = names.iter().map(HeaderName::as_str).collect();
    HeaderValue::try_from(names.join(", ")).ok()
}

fn expose(headers: &mut HeaderMap) {
    allow_any_origin(headers);
    headers.insert(
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(EXPOSED),
    );
}

fn allow_any_origin(headers: &mut HeaderMap) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
}

fn with_status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}
