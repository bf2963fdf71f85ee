//! The WebSocket opening handshake (RFC 6455 section 4.2.1).

use http::header::{
    CONNECTION, HeaderMap, HeaderName, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::request::Parts;
use http::{Method, Version};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::strict::Rejection;

/// A handshake that can be answered with 101.
#[derive(Debug)]
pub struct Handshake {
    /// For `Sec-WebSocket-Accept`.
    pub accept: String,
}

impl Handshake {
    /// Reads a handshake. Subprotocols and extensions are not looked at: none is ever agreed to.
    pub fn read(head: &Parts) -> Result<Self, Rejection> {
        let headers = &head.headers;
        if head.method != Method::GET
            || !has_token(headers, &UPGRADE, "websocket")
            || !has_token(headers, &CONNECTION, "upgrade")
        {
            return Err(Rejection::UpgradeRequired);
        }
        if head.version != Version::HTTP_11 {
            return Err(Rejection::OldVersion);
        }
        let version = single(headers, &SEC_WEBSOCKET_VERSION).ok_or(Rejection::Handshake)?;
        if version != "13" {
            return Err(Rejection::UpgradeRequired);
        }
        let key = single(headers, &SEC_WEBSOCKET_KEY).ok_or(Rejection::Handshake)?;
        if !is_nonce(key) {
            return Err(Rejection::Handshake);
        }
        Ok(Self {
            accept: derive_accept_key(key.as_bytes()),
        })
    }
}

/// Whether a comma-separated header has `token`, in any letter case.
pub fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let lines = headers
        .get_all(name)
        .iter()
        .filter_map(|line| line.to_str().ok());
    lines
        .flat_map(|line| line.split(','))
        .any(|one| one.trim().eq_ignore_ascii_case(token))
}

/// The value of a header that occurs once.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

/// Sixteen bytes in base64 are 22 characters and `==`.
fn is_nonce(key: &str) -> bool {
    let digits = key.strip_suffix("==").unwrap_or_default();
    digits.len() == 22
        && digits
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
}
