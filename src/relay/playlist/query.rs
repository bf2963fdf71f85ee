//! A child's query: what it may say of the stream, and how it is spelled when it is signed.

use memchr::memchr_iter;
use percent_encoding::percent_decode_str;

use crate::request::query::{encode_component, guarded, is_unreserved};

use super::encoding::{encode, escape, in_query, push_escape};

/// What the names of parameters begin with that players add.
const ADDED: &str = "_HLS_";

/// Those that a media server answers differently (draft-pantos-hls-rfc8216bis, section 6.2.5), in a live playlist.
const DIRECTIVES: [&str; 3] = ["_HLS_msn", "_HLS_part", "_HLS_skip"];

/// The longest value of one that makes a shared answer: a number, `YES` or `v2`.
const DIRECTIVE_LIMIT: usize = 12;

/// Whether a query is spelled as players spell it. What it means is settled by the signature (`append_signed`), which reads many
/// spellings alike, and a viewer that tried them all would make as many shared answers of one: so nothing is empty, nothing
/// encoded that no player encodes, and only a playlist has directives, each once.
pub fn is_usual(query: &str, is_playlist: bool) -> bool {
    let mut seen = [false; DIRECTIVES.len()];
    query.split('&').all(|parameter| {
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if parameter.is_empty() || encodes_in_vain(parameter) {
            return false;
        }
        if !key.starts_with(ADDED) {
            return true;
        }
        let mut known = DIRECTIVES.iter().zip(&mut seen);
        let first = known.find(|(name, _)| **name == key);
        let first = first.is_some_and(|(_, seen)| !std::mem::replace(seen, true));
        let plain = value.bytes().all(|b| b.is_ascii_alphanumeric());
        is_playlist && first && plain && value.len() <= DIRECTIVE_LIMIT
    })
}

/// Whether something is encoded that stands for itself everywhere. `~` does not: browsers' form encoding escapes it.
fn encodes_in_vain(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut escapes = memchr_iter(b'%', bytes).filter_map(|at| escape(bytes.get(at..)?));
    escapes.any(|byte| is_unreserved(byte) && byte != b'~')
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
        // As players write it, and no other spelling, so that there is one way to say that an answer may take its time. Some
        // servers find another parameter behind a `;`, which a viewer may not add.
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if key.starts_with(ADDED) && key.bytes().all(plain) && !parameter.contains(';') {
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
    fn few_spellings_of_one_query_are_usual() {
        for (query, of_playlist, of_segment) in [
            ("x=1", true, true),
            ("a:b%20c=%c3%BC+d~", true, true),
            ("url=rtmp%3A%2F%2Fa%7Eb/c&x", true, true),
            ("x=1&_HLS_msn=12&_HLS_part=0&_HLS_skip=YES", true, false),
            ("_HLS_skip=v2", true, false),
            ("_HLS_msn=1&_HLS_msn=1", false, false),
            ("_HLS_msn=1234567890123", false, false),
            ("_HLS_msn=-1", false, false),
            ("_HLS_x=1", false, false),
            ("%5FHLS_msn=1", false, false),
            ("", false, false),
            ("&x=1", false, false),
            ("x=1&", false, false),
            ("x=1&&y", false, false),
            ("%78=1", false, false),
            ("x=%2d", false, false),
        ] {
            assert_eq!(is_usual(query, true), of_playlist, "{query}");
            assert_eq!(is_usual(query, false), of_segment, "{query}");
        }
    }
}
