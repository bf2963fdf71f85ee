//! HTTP that hyper accepts and the gate does not: every line here is a way in which two parsers could disagree.

use std::net::Ipv6Addr;

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::{Method, Version};

/// The longest name that the DNS has room for (RFC 1035 section 2.3.4).
const HOST_LIMIT: usize = 255;

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
        (Some(named), None) if !is_authority(named.as_str()) => Err(Rejection::Target),
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

/// A host and maybe a port (RFC 9110 section 7.2, RFC 3986 section 3.2.2), of the forms that have a meaning: a name in the
/// characters of names, an IPv4 address, or an IPv6 address in brackets. Behind a colon are the digits of a port, or nothing.
fn is_authority(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let Some((address, port)) = rest.split_once(']') else {
                return false;
            };
            if address.parse::<Ipv6Addr>().is_err() {
                return false;
            }
            (address, port)
        }
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let is_name = text.starts_with('[') || host.bytes().all(is_of_name);
    let is_port = match port.strip_prefix(':') {
        Some(digits) => {
            digits.bytes().all(|b| b.is_ascii_digit())
                && (digits.is_empty() || digits.parse::<u16>().is_ok())
        }
        None => port.is_empty(),
    };
    !host.is_empty() && host.len() <= HOST_LIMIT && is_name && is_port
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_and_maybe_a_port() {
        let long = "a".repeat(255);
        for good in [
            "gate.test",
            "gate.test.",
            "a_b",
            "x:80",
            "x:0",
            "x:65535",
            "x:",
            "192.0.2.1:8080",
            "[::1]",
            "[2001:db8::1]:443",
            "[::ffff:192.0.2.1]:",
            &long,
        ] {
            assert!(is_authority(good), "{good}");
        }
        let long = "a".repeat(256);
        for bad in [
            "",
            ":",
            ":80",
            "e:99999",
            "e:65536",
            "e:184467440737095516160",
            "e:+80",
            "e:-1",
            "e:8 0",
            "e:80:80",
            "e::80",
            "e:0x50",
            "e f",
            " e",
            "e\t",
            "u@e",
            "u:p@e",
            "@e",
            "e/",
            "e?x",
            "e#x",
            "e%41",
            "%65",
            "e%",
            "[::1",
            "::1",
            "::1]",
            "[]",
            "[]:80",
            "[::1]x",
            "[::1]80",
            "[::1]:x",
            "[::1]:99999",
            "[[::1]]",
            "[e]",
            "[fe80::1%25eth0]",
            "[fe80::1%eth0]",
            "[v1.x]",
            "[1.2.3.4]",
            "a[::1]",
            "e\0",
            "e\u{7f}",
            "\u{e9}",
            "e,f",
            "e;f",
            "e!",
            "*",
            "e\\f",
            "\"e\"",
            "<e>",
            &long,
        ] {
            assert!(!is_authority(bad), "{bad:?}");
        }
    }
}
