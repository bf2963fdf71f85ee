//! The requests to media servers: built from checked values, and nothing else of the viewer's.

use std::time::Duration;

use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, HOST, HeaderName, IF_MATCH, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, ORIGIN, RANGE, USER_AGENT,
};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method};

use crate::decision::permit::Permit;
use crate::listener::scheme::Scheme;
use crate::request::client_address::ClientAddress;
use crate::request::query::encode_component;
use crate::session::id::SessionId;

/// The viewer's own headers that are forwarded.
const PASSED: [HeaderName; 4] = [USER_AGENT, ACCEPT, ACCEPT_LANGUAGE, ORIGIN];

/// Those that are forwarded as well where the answer's bytes are passed on unchanged (RFC 9110 sections 13.1 and 14.2).
const CONDITIONS: [HeaderName; 6] = [
    RANGE,
    IF_RANGE,
    IF_NONE_MATCH,
    IF_MODIFIED_SINCE,
    IF_MATCH,
    IF_UNMODIFIED_SINCE,
];

/// A WebSocket handshake for a media server, all but its key.
#[derive(Clone, Debug)]
pub struct RequestHead {
    head: Vec<u8>,
}

/// What a handshake is made from, beside the permit.
#[derive(Debug)]
pub struct HeadParts<'a> {
    /// The path on the media server.
    pub path: &'a str,
    /// The rebuilt query.
    pub query: &'a str,
    /// The viewer's headers, of which few travel on.
    pub headers: &'a HeaderMap,
    /// `Host` for the media server; the viewer's own when `None`.
    pub host: Option<&'a str>,
    /// The session's name.
    pub session: SessionId,
    /// The scheme by which the viewer asks.
    pub scheme: Scheme,
}

impl RequestHead {
    /// Writes the handshake. Header values come from hyper, which refuses line ends in them.
    #[must_use]
    pub fn websocket(permit: &Permit, parts: &HeadParts<'_>) -> Self {
        let mut head = Vec::with_capacity(1024);
        let mut line = |pieces: &[&[u8]]| {
            pieces
                .iter()
                .for_each(|piece| head.extend_from_slice(piece));
            head.extend_from_slice(b"\r\n");
        };
        line(&[
            b"GET ",
            parts.path.as_bytes(),
            b"?",
            parts.query.as_bytes(),
            b" HTTP/1.1",
        ]);
        let viewers = parts
            .headers
            .get(HOST)
            .map_or(&b"localhost"[..], |host| host.as_bytes());
        line(&[b"Host: ", parts.host.map_or(viewers, str::as_bytes)]);
        line(&[b"Upgrade: websocket"]);
        line(&[b"Connection: Upgrade"]);
        line(&[b"Sec-WebSocket-Version: 13"]);
        let field = |name: &str, value: &[u8]| line(&[name.as_bytes(), b": ", value]);
        let viewer = Viewer {
            headers: parts.headers,
            passed: &[&PASSED],
            scheme: parts.scheme,
            session: parts.session,
        };
        viewer.say(permit, field);
        Self { head }
    }

    /// The whole head with a key.
    #[must_use]
    pub fn with_key(&self, key: &str) -> Vec<u8> {
        [
            &self.head[..],
            b"Sec-WebSocket-Key: ",
            key.as_bytes(),
            b"\r\n\r\n",
        ]
        .concat()
    }
}

/// What a media server is told of a viewer, beside the permit.
struct Viewer<'a> {
    headers: &'a HeaderMap,
    /// Which of these travel on.
    passed: &'a [&'a [HeaderName]],
    scheme: Scheme,
    session: SessionId,
}

impl Viewer<'_> {
    /// Writes it field by field: some of the viewer's own headers, and what the gate knows of it.
    fn say(&self, permit: &Permit, mut field: impl FnMut(&str, &[u8])) {
        for name in self.passed.iter().copied().flatten() {
            // Only the first of a name, so that no media server has two to choose from.
            if let Some(value) = self.headers.get(name) {
                field(name.as_str(), value.as_bytes());
            }
        }
        if let ClientAddress::Known(address) = permit.address() {
            field("X-Forwarded-For", address.to_string().as_bytes());
        }
        field("X-Forwarded-Proto", self.scheme.as_str().as_bytes());
        field("X-H5gate-Session", self.session.to_string().as_bytes());
        let tag = &permit.claims().grant.tag;
        if !tag.is_empty() {
            field("X-H5gate-Tag", encode_component(tag.as_str()).as_bytes());
        }
    }
}

/// An HTTP request for a media server, all but `Host`, which the choice of the server adds.
#[derive(Clone, Debug)]
pub struct FetchRequest {
    pub(super) method: Method,
    pub(super) target: PathAndQuery,
    pub(super) headers: HeaderMap,
    pub(super) patience: Duration,
    pub(super) held_back: bool,
}

/// What a viewer's request is made from, beside the permit.
#[derive(Debug)]
pub struct ViewerParts<'a> {
    /// Path and query on the media server.
    pub target: &'a str,
    /// The viewer's headers, of which few travel on.
    pub headers: &'a HeaderMap,
    /// The session's name.
    pub session: SessionId,
    /// The scheme by which the viewer asks.
    pub scheme: Scheme,
    /// A playlist is rewritten on its way: neither a part of it nor its validators mean anything to the media server.
    pub is_playlist: bool,
}

/// A text that is no path and query in ASCII, beginning with `/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a path, which begins with /, and an optional query, in ASCII")]
pub struct NotATarget;

impl FetchRequest {
    /// A GET for one viewer, of which the media server is told the same as in a WebSocket handshake.
    pub fn for_viewer(permit: &Permit, parts: &ViewerParts<'_>) -> Result<Self, NotATarget> {
        let passed: &[&[HeaderName]] = match parts.is_playlist {
            true => &[&PASSED],
            false => &[&PASSED, &CONDITIONS],
        };
        let mut headers = HeaderMap::with_capacity(16);
        let viewer = Viewer {
            headers: parts.headers,
            passed,
            scheme: parts.scheme,
            session: parts.session,
        };
        viewer.say(permit, |name, value| {
            let name = HeaderName::from_bytes(name.as_bytes());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
                headers.insert(name, value);
            }
        });
        Self::get(parts.target, headers)
    }

    /// A GET for many viewers: it carries nothing of any of them.
    pub fn shared(target: &str) -> Result<Self, NotATarget> {
        const OURS: HeaderValue =
            HeaderValue::from_static(concat!("h5gate/", env!("CARGO_PKG_VERSION")));
        let fields = [
            (USER_AGENT, OURS),
            (ACCEPT, HeaderValue::from_static("*/*")),
        ];
        Self::get(target, HeaderMap::from_iter(fields))
    }

    fn get(target: &str, mut headers: HeaderMap) -> Result<Self, NotATarget> {
        // Without this field a server may choose any coding (RFC 9110 section 12.5.3), and a compressed playlist cannot be
        // rewritten.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        Ok(Self {
            method: Method::GET,
            target: parse_target(target).ok_or(NotATarget)?,
            headers,
            patience: Duration::ZERO,
            held_back: false,
        })
    }

    /// The same for a part (RFC 9110 section 14.2).
    #[must_use]
    pub fn part(mut self, range: HeaderValue) -> Self {
        self.headers.insert(RANGE, range);
        self
    }

    /// The same as HEAD.
    #[must_use]
    pub fn head_only(self) -> Self {
        Self {
            method: Method::HEAD,
            ..self
        }
    }

    /// The same for a request that the server may hold back, since the viewer has asked for what does not exist yet: a late
    /// answer, or a 503 in the end, does not make the server unhealthy then.
    #[must_use]
    pub fn held_back(self, held_back: bool) -> Self {
        Self { held_back, ..self }
    }

    /// The same with at least this long for the answer's head, when a server holds it back by intent, such as that of a
    /// blocking playlist reload. Anything up to [`Patience::head`](super::Patience::head) changes nothing.
    #[must_use]
    pub fn waiting(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }
}

/// A target in origin form (RFC 9112 section 3.2.1), as it will stand in the request line; a fragment is left out.
pub(super) fn parse_target(text: &str) -> Option<PathAndQuery> {
    let looks_right = text.starts_with('/') && text.is_ascii();
    looks_right.then(|| text.parse().ok()).flatten()
}
