//! On which host the page is that plays.

use std::fmt;

use http::HeaderMap;
use http::header::{HeaderName, ORIGIN, REFERER};

/// The page's host, as the browser tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Referer {
    /// Not told: no browser, or a page without an origin (`null`).
    Absent,
    /// This host, in lower case, without port and trailing dot.
    Host(String),
    /// Told in a way that no browser does, or twice. Matches no claim.
    Unusable,
}

impl Referer {
    /// The host of `Origin`, the only one that browsers send on a WebSocket handshake (protocol.md 2).
    #[must_use]
    pub fn of_websocket(headers: &HeaderMap) -> Self {
        Self::told(headers, &ORIGIN, |origin| match origin {
            "null" => Self::Absent,
            origin => origin_host(origin).map_or(Self::Unusable, Self::Host),
        })
    }

    /// The host of `Referer`, else of `Origin`; two different ones match no claim. A native `<video>` sends the first
    /// alone, hls.js both (protocol.md 2).
    #[must_use]
    pub fn of_http(headers: &HeaderMap) -> Self {
        let referer = Self::told(headers, &REFERER, |referer| match referer {
            "" => Self::Absent,
            referer => url_host(referer).map_or(Self::Unusable, Self::Host),
        });
        match (referer, Self::of_websocket(headers)) {
            (Self::Absent, told) | (told, Self::Absent) => told,
            (referer, origin) if referer == origin => referer,
            _ => Self::Unusable,
        }
    }

    /// What a header tells that must not occur twice.
    fn told(headers: &HeaderMap, name: &HeaderName, read: impl FnOnce(&str) -> Self) -> Self {
        let mut lines = headers.get_all(name).iter();
        match (lines.next(), lines.next()) {
            (None, _) => Self::Absent,
            (Some(line), None) => line.to_str().map_or(Self::Unusable, read),
            (Some(_), Some(_)) => Self::Unusable,
        }
    }
}

impl fmt::Display for Referer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("absent"),
            Self::Host(host) => host.fmt(f),
            Self::Unusable => f.write_str("unusable"),
        }
    }
}

/// The host of an absolute URL, as a page's address is sent (RFC 9110 section 10.1.3): what stands before its path.
fn url_host(url: &str) -> Option<String> {
    let begin = url.find("://")? + 3;
    let end = url.get(begin..)?.find(['/', '?', '#']);
    origin_host(end.map_or(url, |end| url.get(..begin + end).unwrap_or_default()))
}

/// The host of a serialised origin: `scheme "://" host [ ":" port ]` (RFC 6454 section 6.1) and nothing else.
fn origin_host(origin: &str) -> Option<String> {
    let (scheme, authority) = origin.split_once("://")?;
    if scheme.is_empty()
        || !scheme
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
    {
        return None;
    }
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => host,
        Some((host, _)) if host.starts_with('[') => authority,
        Some(_) => return None,
        None => authority,
    };
    let name = host.strip_suffix('.').unwrap_or(host);
    let inner = name.strip_prefix('[').and_then(|n| n.strip_suffix(']'));
    let plain = match inner {
        Some(literal) => literal
            .bytes()
            .all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.')),
        None => name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')),
    };
    let labels = inner.is_some() || name.split('.').all(|label| !label.is_empty());
    (plain && labels && !name.is_empty()).then(|| name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn referer(origins: &[&'static str]) -> String {
        let mut headers = HeaderMap::new();
        for origin in origins {
            headers.append(ORIGIN, HeaderValue::from_static(origin));
        }
        Referer::of_websocket(&headers).to_string()
    }

    #[test]
    fn the_host_is_compared_without_port_case_and_trailing_dot() {
        for (origin, host) in [
            ("https://demo.example.com", "demo.example.com"),
            ("http://Demo.Example.COM:8080", "demo.example.com"),
            ("https://demo.example.com.", "demo.example.com"),
            ("https://xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("http://[::1]:8080", "[::1]"),
            ("http://[::1]", "[::1]"),
            ("null", "absent"),
        ] {
            assert_eq!(referer(&[origin]), host, "{origin}");
        }
        assert_eq!(referer(&[]), "absent");
    }

    #[test]
    fn what_no_browser_sends_matches_nothing() {
        for origin in [
            "demo.example.com",
            "https://user@demo.example.com",
            "https://demo.example.com/path",
            "https://",
            "://a.b",
            "https://a.b, https://c.d",
            "https://a.b:",
            "https://a.b:x",
            "https://a b",
            "https://demo.example.com?x",
            "https://demo.example.com#x",
            "https://b\\demo.example.com",
            "",
            "https://.",
            "https://..a.b",
            "https://a..b",
            "https://a.b..",
        ] {
            assert_eq!(referer(&[origin]), "unusable", "{origin}");
        }
        assert_eq!(referer(&["https://a.b", "https://a.b"]), "unusable");
        assert_eq!(referer(&["null", "https://a.b"]), "unusable");
    }

    #[test]
    fn over_http_both_headers_tell_the_same_host_or_nothing_fits() {
        let told = |referer: &[&'static str], origin: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for (name, values) in [(REFERER, referer), (ORIGIN, origin)] {
                for value in values {
                    headers.append(&name, HeaderValue::from_static(value));
                }
            }
            Referer::of_http(&headers).to_string()
        };
        for (referer, origin, host) in [
            (&["https://a.b/page?x#y"][..], &[][..], "a.b"),
            (&["https://A.b:8080/"], &["https://a.B"], "a.b"),
            (&["https://a.b"], &["null"], "a.b"),
            (&["https://a.b?x=https://c.d/"], &[], "a.b"),
            (&[], &["https://a.b"], "a.b"),
            (&[], &["null"], "absent"),
            (&[""], &[], "absent"),
            (&[], &[], "absent"),
            (&["https://a.b/"], &["https://c.d"], "unusable"),
            (&["https://a.b/", "https://a.b/"], &[], "unusable"),
            (
                &["https://a.b/"],
                &["https://a.b", "https://a.b"],
                "unusable",
            ),
            (&["https://user@a.b/"], &[], "unusable"),
            (&["https://evil.com\\@a.b/"], &[], "unusable"),
            (&["about:client"], &[], "unusable"),
            (&["/page"], &["https://a.b"], "unusable"),
        ] {
            assert_eq!(told(referer, origin), host, "{referer:?} {origin:?}");
        }
    }
}
