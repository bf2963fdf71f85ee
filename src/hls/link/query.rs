//! The query of a link: what of it is signed, and what the media server is asked with.

use std::borrow::Cow;

use crate::request::percent::{escape, push_escape};
use crate::request::query::is_unreserved;

/// What the names of parameters begin with that players add.
const ADDED: &str = "_HLS_";

/// What of a link's path and query is signed, and what of a request's is compared with it.
///
/// The path stands for itself, byte for byte. Of the query, parameters whose name begins with `_HLS_` are left out, since
/// players add them (draft-pantos-hls-rfc8216bis, section 6.2.5); and players that add them spell the others anew
/// (hls.js by `URLSearchParams`: `a:b%20c` becomes `a%3Ab+c`), so all spellings that form encoding reads alike are one:
/// `%41` is `A`, `+` is `%20`, `a` is `a=`, empty parameters are nothing. A raw `;` is not `%3B`, because some servers
/// separate parameters by it. This is no address: the media server is asked with what the player sent.
#[must_use]
pub fn link_target(path_and_query: &str) -> Cow<'_, str> {
    if !path_and_query.contains('?') {
        return Cow::Borrowed(path_and_query);
    }
    let mut target = String::with_capacity(path_and_query.len());
    write_target(path_and_query, &mut target);
    if target == path_and_query {
        Cow::Borrowed(path_and_query)
    } else {
        Cow::Owned(target)
    }
}

/// The same into a buffer.
pub(in crate::hls) fn write_target(path_and_query: &str, out: &mut String) {
    out.clear();
    match path_and_query.split_once('?') {
        Some((path, query)) => {
            out.push_str(path);
            append_signed(query, out);
        }
        None => out.push_str(path_and_query),
    }
}

/// A query as the media server is asked with it: without what players add (`_HLS_*`) and without what is empty, and what is
/// encoded that stands for itself everywhere decoded (RFC 3986, section 6.2.2). The rest is as the player sent it.
#[must_use]
pub fn for_server(query: &str) -> String {
    let mut out = String::with_capacity(query.len());
    let meant = |parameter: &&str| !parameter.is_empty() && !is_added(parameter);
    for parameter in query.split('&').filter(meant) {
        if !out.is_empty() {
            out.push('&');
        }
        let mut rest = parameter;
        while let Some(at) = memchr::memchr(b'%', rest.as_bytes()) {
            let (run, behind) = rest.split_at_checked(at).unwrap_or((rest, ""));
            out.push_str(run);
            let (byte, length) = match escape(behind.as_bytes()) {
                Some(byte) => (Some(byte), 3),
                None => (None, 1),
            };
            match byte {
                Some(byte) if is_unreserved(byte) => out.push(char::from(byte)),
                Some(byte) => push_escape(byte, &mut out),
                None => out.push('%'),
            }
            rest = behind.get(length..).unwrap_or_default();
        }
        out.push_str(rest);
    }
    out
}

/// Appends what of a query is signed, with its `?` when anything is left; see [`link_target`].
fn append_signed(query: &str, out: &mut String) {
    let mut separator = '?';
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        // As players write it, and no other spelling, so that there is one way to say that an answer may take its time.
        if is_added(parameter) {
            continue;
        }
        out.push(separator);
        append_canonical(key, out);
        out.push('=');
        append_canonical(value, out);
        separator = '&';
    }
}

/// One spelling for all that form encoding reads as the same, but for `;`, which some servers take for a separator.
fn append_canonical(text: &str, out: &mut String) {
    let plain = |b: u8| is_unreserved(b) || b == b';';
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        let (byte, behind) = match escape(rest) {
            Some(byte) => (byte, behind.get(2..).unwrap_or_default()),
            None if *first == b'+' => (b' ', behind),
            None => (*first, behind),
        };
        let raw = behind.len() + 1 == rest.len();
        if is_unreserved(byte) || raw && plain(byte) {
            out.push(char::from(byte));
        } else {
            push_escape(byte, out);
        }
        rest = behind;
    }
}

/// Whether a parameter of a link's query is one that players add, as they spell it. Some servers find another parameter
/// behind a `;`, which a viewer may not add.
fn is_added(parameter: &str) -> bool {
    // Most parameters of a playlist's many links are not.
    if !parameter.starts_with(ADDED) {
        return false;
    }
    let key = parameter.split('=').next().unwrap_or_default();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    key.bytes().all(plain) && !parameter.contains(';')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_server_is_asked_with_what_its_own_playlist_says() {
        for (query, asked) in [
            ("x=1", "x=1"),
            ("a:b%20c=%c3%BC+d~", "a:b%20c=%C3%BC+d~"),
            ("url=rtmp%3a%2F%2Fa%7Eb/c&x", "url=rtmp%3A%2F%2Fa~b/c&x"),
            ("x=1&_HLS_msn=12&_HLS_part=0&_HLS_skip=YES", "x=1"),
            ("_HLS_msn=1&_HLS_q&_HLS_x=2", ""),
            ("%5FHLS_msn=1", "_HLS_msn=1"),
            ("", ""),
            ("&x=1&&y&", "x=1&y"),
            ("%78=%31%2d%zz%", "x=1-%zz%"),
        ] {
            assert_eq!(for_server(query), asked, "{query}");
        }
    }
}
