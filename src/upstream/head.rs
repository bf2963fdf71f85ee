//! What goes up to a media server: rebuilt from what was checked, and nothing else of the viewer's.

use http::HeaderMap;
use http::header::{ACCEPT, ACCEPT_LANGUAGE, HOST, HeaderName, ORIGIN, USER_AGENT};

use crate::decision::permit::Permit;
use crate::request::client_address::ClientAddress;
use crate::request::query::encode_component;
use crate::session::id::SessionId;

/// The viewer's own headers that travel on with a WebSocket handshake.
const PASSED: [HeaderName; 4] = [USER_AGENT, ACCEPT, ACCEPT_LANGUAGE, ORIGIN];

/// A WebSocket handshake for a media server, all but its key.
#[derive(Debug)]
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
}

impl RequestHead {
    /// Writes the handshake. Header values come from hyper, which lets no line end through.
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
        for name in &PASSED {
            // The first alone: a media server may well take the second of two.
            if let Some(value) = parts.headers.get(name) {
                line(&[name.as_str().as_bytes(), b": ", value.as_bytes()]);
            }
        }
        if let ClientAddress::Known(address) = permit.address() {
            line(&[b"X-Forwarded-For: ", address.to_string().as_bytes()]);
        }
        line(&[b"X-Forwarded-Proto: http"]);
        line(&[b"X-H5gate-Session: ", parts.session.to_string().as_bytes()]);
        let tag = &permit.claims().grant.tag;
        if !tag.is_empty() {
            line(&[b"X-H5gate-Tag: ", encode_component(tag.as_str()).as_bytes()]);
        }
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
