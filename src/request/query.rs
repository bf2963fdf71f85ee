//! The query of a playback URL (protocol.md 2), read strictly and rebuilt from what was read.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::rtmp_url::RtmpUrl;
use crate::token::{Presented, Security};

/// The most parameters that a query may have; players send about ten.
pub const PARAMETER_LIMIT: usize = 64;

/// Keys that decide: a second one, or one in another spelling, might be read by the media server and not by us.
const GUARDED: [&str; 7] = [
    "stream", "url", "expires", "tag", "token", "options", "jwtoken",
];

/// What every token of ours begins with. Players may send an older `token` of another kind before it.
const OURS: &str = "h1.";

/// Whether a byte stands for itself in every part of a URL (RFC 3986 section 2.3).
#[must_use]
pub const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// What `encodeURIComponent` leaves as it is.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// Why a query cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// More than [`PARAMETER_LIMIT`] parameters.
    #[error("more than {PARAMETER_LIMIT} parameters")]
    TooMany,
    /// A `%` without two hexadecimal digits, or bytes that are no UTF-8.
    #[error("a value is not percent-encoded UTF-8")]
    Encoding,
    /// A control character, NUL among them.
    #[error("a control character")]
    Control,
    /// A guarded key that occurs twice (for `token`: two of ours, or two of another kind).
    #[error("{0} is repeated")]
    Repeated(&'static str),
    /// A guarded key in other letter case, or dressed up as a list.
    #[error("{0} is spelled in another way")]
    Spelling(&'static str),
}

/// A query taken apart. Values are decoded once; `+` is a plus.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Query<'a> {
    /// `stream`
    pub stream: Option<Cow<'a, str>>,
    /// `url`
    pub url: Option<Cow<'a, str>>,
    /// `flags`
    pub flags: Option<Cow<'a, str>>,
    /// `pid`
    pub pid: Option<Cow<'a, str>>,
    /// `cid`
    pub cid: Option<Cow<'a, str>>,
    /// The four strings; absent ones are empty. `jwtoken` is left out here and everywhere.
    pub security: Security,
    /// Whether there was a `jwtoken`.
    pub jwt: bool,
    /// What travels on, in the viewer's order, `stream` and `url` among them.
    forwarded: Vec<(Cow<'a, str>, Option<Cow<'a, str>>)>,
}

impl<'a> Query<'a> {
    /// Reads a query as it stands in the request target, without the `?`.
    pub fn parse(raw: &'a str) -> Result<Self, QueryError> {
        let mut query = Self::default();
        let mut seen = [false; GUARDED.len()];
        let mut foreign: Option<Cow<'a, str>> = None;
        let mut rest = Some(raw);
        let mut count = 0;
        while let Some(text) = rest {
            let parameter;
            (parameter, rest) = cut(text, b'&');
            if parameter.is_empty() {
                continue;
            }
            if count == PARAMETER_LIMIT {
                return Err(QueryError::TooMany);
            }
            count += 1;
            let (key, value) = cut(parameter, b'=');
            let (key, value) = (decode(key)?, value.map(decode).transpose()?);
            let Some(guarded) = guarded(&key)? else {
                let slot = match &*key {
                    "flags" => Some(&mut query.flags),
                    "pid" => Some(&mut query.pid),
                    "cid" => Some(&mut query.cid),
                    _ => None,
                };
                if let Some(slot) = slot {
                    *slot = slot.take().or_else(|| value.clone());
                }
                query.forwarded.push((key, value));
                continue;
            };
            let value = value.unwrap_or_default();
            if guarded == "token" && !value.starts_with(OURS) {
                if foreign.replace(value.clone()).is_some() {
                    return Err(QueryError::Repeated(guarded));
                }
                query.forwarded.push((key, Some(value)));
                continue;
            }
            let first = GUARDED
                .iter()
                .zip(&mut seen)
                .find(|(name, _)| **name == guarded);
            if first.is_some_and(|(_, seen)| std::mem::replace(seen, true)) {
                return Err(QueryError::Repeated(guarded));
            }
            match guarded {
                "stream" | "url" => {
                    let slot = if guarded == "url" {
                        &mut query.url
                    } else {
                        &mut query.stream
                    };
                    if !value.is_empty() {
                        *slot = Some(value.clone());
                    }
                    query.forwarded.push((key, Some(value)));
                }
                "expires" => query.security.expires = value.into_owned(),
                "tag" => query.security.tag = value.into_owned(),
                "token" => query.security.token = value.into_owned(),
                "options" => query.security.options = value.into_owned(),
                // A JWT is another issuer's: not checked, not forwarded, not logged.
                _ => query.jwt = true,
            }
        }
        // A token that is not ours is a malformed one when it stands alone, and travels on beside one of ours.
        if let Some(foreign) = foreign
            && query.security.token.is_empty()
        {
            query.security.token = foreign.into_owned();
        }
        Ok(query)
    }

    /// The query for the media server: every value encoded again, no security key of ours, `url` as configured.
    #[must_use]
    pub fn rebuild(&self, url: &RtmpUrl) -> String {
        let mut text = String::with_capacity(256);
        for (key, value) in &self.forwarded {
            let value = if key == "url" {
                Some(url.as_str())
            } else {
                value.as_deref()
            };
            push(&mut text, key, value);
        }
        text
    }

    /// The query for the media server when the source and the stream are known from elsewhere: these two, and of the rest
    /// that travels on those whose key is `kept`.
    #[must_use]
    pub fn for_source(&self, (url, stream): (&str, &str), kept: impl Fn(&str) -> bool) -> String {
        let mut text = String::with_capacity(256);
        push(&mut text, "url", Some(url));
        push(&mut text, "stream", Some(stream));
        for (key, value) in &self.forwarded {
            if !matches!(&**key, "url" | "stream" | "token") && kept(key) {
                push(&mut text, key, value.as_deref());
            }
        }
        text
    }

    /// Takes a flag out of every list of flags; a list that is empty then is no parameter any more.
    pub fn drop_flag(&mut self, flag: &str) {
        let without = |list: &str| {
            let kept = list.split(',').filter(|one| *one != flag);
            kept.collect::<Vec<_>>().join(",")
        };
        self.forwarded.retain_mut(|(key, value)| {
            let Some(list) = value.as_mut().filter(|_| *key == "flags") else {
                return true;
            };
            *list = without(list).into();
            !list.is_empty()
        });
        self.flags = self.flags.as_deref().map(|list| without(list).into());
    }

    /// Takes out what players add to any URL by themselves: what they tell of themselves (CTA-5004), and a number against
    /// caches.
    pub fn drop_additions(&mut self) {
        self.forwarded
            .retain(|(key, _)| !matches!(&**key, "CMCD" | "_"));
    }

    /// The parameters that travel on, decoded.
    pub fn forwarded(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.forwarded
            .iter()
            .map(|(key, value)| (&**key, value.as_deref()))
    }
}

/// Appends one parameter.
fn push(text: &mut String, key: &str, value: Option<&str>) {
    if !text.is_empty() {
        text.push('&');
    }
    push_encoded(text, key);
    if let Some(value) = value {
        text.push('=');
        push_encoded(text, value);
    }
}

fn push_encoded(text: &mut String, plain: &str) {
    if plain.bytes().all(is_unreserved) {
        text.push_str(plain);
    } else {
        text.extend(utf8_percent_encode(plain, COMPONENT));
    }
}

/// Percent-encodes one value as `encodeURIComponent` does.
#[must_use]
pub fn encode_component(text: &str) -> String {
    utf8_percent_encode(text, COMPONENT).to_string()
}

/// A playback's query as players write it (protocol.md 2): empty values are left out.
#[must_use]
pub fn playback_query(source: &str, stream: &str, security: Presented<'_>) -> String {
    let parameters = [
        ("url", source),
        ("stream", stream),
        ("expires", security.expires),
        ("tag", security.tag),
        ("token", security.token),
        ("options", security.options),
    ];
    let set = parameters.iter().filter(|(_, value)| !value.is_empty());
    let pairs = set.map(|(key, value)| format!("{key}={}", encode_component(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// Whether a parameter is for the gate alone, and not for the media server. A `token` of another kind is not.
#[must_use]
pub fn is_security(key: &str, value: &str) -> bool {
    match guarded(key) {
        Ok(None | Some("stream" | "url")) => false,
        Ok(Some("token")) => value.starts_with(OURS),
        Ok(Some(_)) | Err(_) => true,
    }
}

/// Which guarded key this is; an error when it only looks like one. `stream[]` and ` stream` are what some servers take
/// for `stream`.
pub fn guarded(key: &str) -> Result<Option<&'static str>, QueryError> {
    if key.bytes().all(|b| b.is_ascii_lowercase()) {
        // As players spell all keys.
        return Ok(GUARDED.iter().find(|name| **name == key).copied());
    }
    let bare = key.split('[').next().unwrap_or_default().trim();
    match GUARDED.iter().find(|name| bare.eq_ignore_ascii_case(name)) {
        Some(name) if *name == key => Ok(Some(name)),
        Some(name) => Err(QueryError::Spelling(name)),
        None => Ok(None),
    }
}

/// What stands before the first of these bytes, which are ASCII, and what stands behind it.
#[must_use]
pub fn cut(text: &str, at: u8) -> (&str, Option<&str>) {
    let found = memchr::memchr(at, text.as_bytes()).and_then(|at| text.split_at_checked(at));
    found.map_or((text, None), |(before, behind)| (before, behind.get(1..)))
}

fn decode(text: &str) -> Result<Cow<'_, str>, QueryError> {
    // Most of a query, the token among it. All bytes are looked at, which compilers do many at once.
    let plain = |b: u8| b.is_ascii_graphic() & (b != b'%');
    if text.bytes().fold(true, |all, b| all & plain(b)) {
        return Ok(text.into());
    }
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|&b| b == b'%') {
        match rest.get(at + 1..at + 3) {
            Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => {}
            _ => return Err(QueryError::Encoding),
        }
        rest = rest.get(at + 3..).unwrap_or_default();
    }
    let decoded = percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| QueryError::Encoding)?;
    if decoded.chars().any(char::is_control) {
        Err(QueryError::Control)
    } else {
        Ok(decoded)
    }
}
