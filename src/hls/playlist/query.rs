//! A child's query: what it may say of the stream is the ticket's, and all else the media server's.

use percent_encoding::percent_decode_str;

use crate::request::query::{QueryError, cut, encode_component, guarded, is_security};

use crate::request::percent::{encode, in_query};

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

/// Appends `query` with `?`. When it says anything of the stream, or has a token of the gate's, that is replaced by `front`. All
/// else is the media server's own, whatever the names mean to the gate: `token`, `expires` and the like sign its own URL.
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

/// Whether a server could take a parameter for `stream` or `url`, or it is a token of the gate's: as [`guarded`] sees its
/// name, with a `+` for a space, control characters around it, and letters that only Unicode folds.
fn is_guarded(parameter: &str) -> bool {
    let (key, value) = cut(parameter, b'=');
    let value = value.unwrap_or_default();
    if !key.bytes().any(|b| matches!(b, b'%' | b'+')) {
        return is_viewers(key, value);
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
    is_viewers(folded, value)
}

fn is_viewers(key: &str, value: &str) -> bool {
    match guarded(key) {
        Ok(Some("stream" | "url")) | Err(QueryError::Spelling("stream" | "url")) => true,
        Ok(Some(key @ "token")) | Err(QueryError::Spelling(key @ "token")) => {
            is_security(key, &percent_decode_str(value).decode_utf8_lossy())
        }
        Ok(_) | Err(_) => false,
    }
}
