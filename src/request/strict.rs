//! HTTP that hyper accepts and the gate does not: every line here is a way in which two parsers could disagree.

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::{Method, Version};

/// Why a request is not answered by its endpoint. All of them are the client's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// No endpoint has this path.
    #[error("no such path")]
    NotFound,
    /// The endpoint does not take the method.
    #[error("the method is not allowed here")]
    Method,
    /// The endpoint is a WebSocket and this is no handshake, or one of another version.
    #[error("a WebSocket handshake of version 13 is needed")]
    UpgradeRequired,
    /// A handshake by HTTP/1.0.
    #[error("a WebSocket handshake needs HTTP/1.1")]
    OldVersion,
    /// A handshake that lacks or repeats what RFC 6455 asks for.
    #[error("the WebSocket handshake is malformed")]
    Handshake,
    /// The request target is longer than `limits.uri`.
    #[error("the request target is too long")]
    TargetTooLong,
    /// A request target that is not an absolute path in ASCII, or names another host than `Host`.
    #[error("the request target is malformed")]
    Target,
    /// No `Host`, more than one, or one that is not a host.
    #[error("the Host header is malformed")]
    Host,
    /// A body where none belongs, or `Transfer-Encoding`.
    #[error("a body is not allowed here")]
    Body,
    /// The connection serves something else.
    #[error("the request is for another host")]
    Misdirected,
    /// The token API wants the body's length beforehand.
    #[error("Content-Length is needed")]
    LengthRequired,
}

/// Checks what holds for every request of every listener.
pub fn check(head: &Parts, uri_limit: usize) -> Result<(), Rejection> {
    if head.method == Method::CONNECT {
        return Err(Rejection::Target);
    }
    let target = head
        .uri
        .path_and_query()
        .map_or("", |target| target.as_str());
    if target.len() > uri_limit {
        return Err(Rejection::TargetTooLong);
    }
    // `OPTIONS *` asks about the server as a whole, which no player does.
    if !target.starts_with('/') || !target.is_ascii() {
        return Err(Rejection::Target);
    }
    let mut hosts = head.headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => Some(
            host.to_str()
                .ok()
                .filter(|h| is_authority(h))
                .ok_or(Rejection::Host)?,
        ),
        (None, _) if head.version == Version::HTTP_10 => None,
        _ => return Err(Rejection::Host),
    };
    match (head.uri.authority(), host) {
        (Some(named), Some(host)) if !named.as_str().eq_ignore_ascii_case(host) => {
            Err(Rejection::Target)
        }
        _ => Ok(()),
    }
}

/// Checks that a viewer's request brings no body.
pub fn check_no_body(head: &Parts) -> Result<(), Rejection> {
    let lengths = head.headers.get_all(CONTENT_LENGTH);
    if head.headers.contains_key(TRANSFER_ENCODING) || lengths.iter().any(|length| length != "0") {
        return Err(Rejection::Body);
    }
    Ok(())
}

/// A host and maybe a port, in the characters of names and addresses.
fn is_authority(text: &str) -> bool {
    let plain =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b':' | b'[' | b']');
    let authority = text.parse::<http::uri::Authority>();
    text.bytes().all(plain)
        && authority
            .is_ok_and(|a| !a.host().is_empty() && (a.port().is_none() || a.port_u16().is_some()))
}
