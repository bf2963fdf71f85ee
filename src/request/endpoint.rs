//! Which endpoint a request is for.

use http::Method;
use http::request::Parts;

use super::handshake::Handshake;
use super::http_playback::HttpTarget;
use super::is_websocket_path;
use super::strict::{self, Rejection};

/// Where tokens are minted.
const TOKEN_PATH: &str = "/secure/token";

/// What a listener serves.
#[derive(Clone, Copy, Debug)]
pub struct Served {
    /// Playback over a WebSocket and over HTTP.
    pub playback: bool,
    /// The token API.
    pub token_api: bool,
}

/// What a request is for.
#[derive(Debug)]
pub enum Endpoint<'a> {
    /// The token API, in any form: it has answers of its own to what it does not take.
    TokenApi,
    /// Playback over a WebSocket, by a handshake that can be answered with 101.
    WebSocket(Handshake),
    /// Playback over HTTP, by a GET or HEAD without a body.
    Http(HttpTarget<'a>),
    /// A page asks what it may send to one of the two.
    Preflight,
    /// None of the gate's.
    Other,
}

impl<'a> Endpoint<'a> {
    /// Reads a head whose target has at most `uri_limit` bytes, or says why its endpoint does not answer it.
    pub fn read(head: &'a Parts, served: Served, uri_limit: usize) -> Result<Self, Rejection> {
        strict::check(head, uri_limit)?;
        let path = head.uri.path();
        if served.token_api && path == TOKEN_PATH {
            return Ok(Self::TokenApi);
        }
        let target = HttpTarget::read(path);
        if !served.playback || target.is_none() && !is_websocket_path(path) {
            return Ok(Self::Other);
        }
        strict::check_no_body(head)?;
        match (&head.method, target) {
            (&Method::OPTIONS, _) => Ok(Self::Preflight),
            (&Method::GET | &Method::HEAD, Some(target)) => Ok(Self::Http(target)),
            (&Method::GET | &Method::HEAD, None) => Handshake::read(head).map(Self::WebSocket),
            _ => Err(Rejection::Method),
        }
    }
}
