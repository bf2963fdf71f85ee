//! A child's query: what it may say of the stream, and how it is spelled when it is signed.

use percent_encoding::percent_decode_str;

use crate::request::query::{encode_component, guarded, is_unreserved};

use super::encoding::{encode, escape, in_query, push_escape};
use super::reload::is_added;

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

/// The ticket's `url` and `stream` as they stand at the front of a child's query.
pub(super) fn front(url: &str, stream: &str) -> String {
    let pairs = format!(
        "url={}&stream={}",
        encode_component(url),
        encode_component(stream)
    );
    let mut front = String::with_capacity(pairs.len());
    encode(&pairs, in_query, &mut front);
    front
}

/// Appends `query` with `?`. When it says anything of the stream or of security, all that is replaced by `front`.
/// `scratch` is overwritten.
pub(super) fn append_child(query: &str, front: &str, scratch: &mut String, out: &mut String) {
    scratch.clear();
    encode(query, in_query, scratch);
    out.push('?');
    if !parameters(scratch).any(|(_, parameter)| is_guarded(parameter)) {
        out.push_str(scratch);
        return;
    }
    out.push_str(front);
    // A `;` behind something that was removed would add to what now stands before it.
    let mut follows = false;
    for (separator, parameter) in parameters(scratch) {
        let kept = !is_guarded(parameter);
        if kept {
            out.push(if follows { separator } else { '&' });
            out.push_str(parameter);
        }
        follows = kept;
    }
}

/// Each parameter with what stands before it. `;` separates as well, since some servers read it so.
fn parameters(query: &str) -> impl Iterator<Item = (char, &str)> {
    let mut rest = Some(query);
    let mut separator = '&';
    std::iter::from_fn(move || {
        let text = rest?;
        let before = separator;
        let end = memchr::memchr2(b'&', b';', text.as_bytes());
        let parameter = text.get(..end.unwrap_or(text.len()))?;
        rest = end.and_then(|end| {
            separator = if text.as_bytes().get(end) == Some(&b';') {
                ';'
            } else {
                '&'
            };
            text.get(end + 1..)
        });
        Some((before, parameter))
    })
}

/// Whether a server could take a parameter for a guarded one: as [`guarded`] sees it, with a `+` for a space, control
/// characters around it, and letters that only Unicode folds.
fn is_guarded(parameter: &str) -> bool {
    let key = parameter.split('=').next().unwrap_or_default();
    let is_name = |key: &str| !matches!(guarded(key), Ok(None));
    if !key.bytes().any(|b| matches!(b, b'%' | b'+')) {
        return is_name(key);
    }
    let key = key.replace('+', " ");
    let key = percent_decode_str(&key).decode_utf8_lossy();
    let folded: String = key
        .trim_matches(|c: char| c.is_whitespace() || c.is_control())
        .chars()
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .collect();
    // A NUL ends a name for some.
    let folded = folded.split('\0').next().unwrap_or_default();
    is_name(folded)
}

/// Appends what of a query is signed, with its `?` when anything is left; see [`super::link_target`].
pub(super) fn append_signed(query: &str, out: &mut String) {
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
