//! RFC 3986, section 5, as browsers do it, for URIs that lead to a configured media server by a path that every reader
//! reads alike.

use crate::request::percent::{encode, in_path};

/// What a URI leads to, beside its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reference<'u> {
    /// Behind `?`, as written.
    pub query: Option<&'u str>,
    /// Behind `#`, as written.
    pub fragment: Option<&'u str>,
}

/// An absolute path as links have it: without its leading `/`, without dot segments, encoded. `None` for an unsafe one.
pub(super) fn base(path: &str) -> Option<String> {
    let mut base = String::with_capacity(path.len());
    append(path, &mut base)?;
    Some(base)
}

/// Resolves `uri` against `base` into `path`, of the same form. `None` when it leads elsewhere, to the playlist itself, or
/// by an unsafe path. Without a base no relative path leads anywhere.
pub(super) fn resolve<'u>(
    uri: &'u str,
    base: Option<&str>,
    is_ours: &dyn Fn(&str, &str) -> bool,
    path: &mut String,
) -> Option<Reference<'u>> {
    path.clear();
    let (rest, fragment) = split(uri, '#');
    let (hierarchy, query) = split(rest, '?');
    let absolute = match scheme(hierarchy) {
        Some((scheme, rest)) => {
            let scheme = ["http", "https"]
                .into_iter()
                .find(|known| scheme.eq_ignore_ascii_case(known))?;
            // Browsers read `http:x` and `http:/x` in ways of their own.
            let (authority, rest) = authority(rest)?;
            Some(is_ours(scheme, authority).then_some(rest)?)
        }
        None => match authority(hierarchy) {
            Some((authority, rest)) => {
                let ours = is_ours("https", authority) || is_ours("http", authority);
                Some(ours.then_some(rest)?)
            }
            // Without a host, browsers take what follows for it.
            None => match slashes(hierarchy) {
                0 => None,
                1 => Some(hierarchy),
                _ => return None,
            },
        },
    };
    if let Some(absolute) = absolute {
        append(absolute, path)?;
    } else if hierarchy.is_empty() {
        query?;
        path.push_str(base?);
    } else {
        let base = base?;
        let directory = base.rfind('/').and_then(|slash| base.get(..=slash));
        path.push_str(directory.unwrap_or_default());
        append(hierarchy, path)?;
    }
    // A reader might take the first segment for a host.
    (!path.starts_with('/')).then_some(Reference { query, fragment })
}

fn split(text: &str, at: char) -> (&str, Option<&str>) {
    match text.split_once(at) {
        Some((before, behind)) => (before, Some(behind)),
        None => (text, None),
    }
}

fn is_slash(letter: char) -> bool {
    matches!(letter, '/' | '\\')
}

fn slashes(text: &str) -> usize {
    text.len() - text.trim_start_matches(is_slash).len()
}

/// RFC 3986, section 3.1.
fn scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
    let is_scheme =
        scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.bytes().all(letter);
    is_scheme.then_some((scheme, rest))
}

/// Takes `//host:port` off; `None` when there is no host or one with a user's name.
fn authority(text: &str) -> Option<(&str, &str)> {
    if slashes(text) != 2 {
        return None;
    }
    let rest = text.get(2..)?;
    let end = memchr::memchr2(b'/', b'\\', rest.as_bytes());
    let (authority, path) = rest.split_at_checked(end.unwrap_or(rest.len()))?;
    (!authority.is_empty() && !authority.contains('@')).then_some((authority, path))
}

/// Appends a path's segments to one that is empty or ends in a slash.
fn append(more: &str, path: &mut String) -> Option<()> {
    let mut rest = more.strip_prefix(is_slash).unwrap_or(more);
    loop {
        let end = memchr::memchr2(b'/', b'\\', rest.as_bytes());
        let segment = rest.get(..end.unwrap_or(rest.len()))?;
        match segment {
            "." => {}
            ".." => {
                path.pop();
                path.truncate(path.rfind('/').map_or(0, |slash| slash + 1));
            }
            _ if is_unsafe(segment) => return None,
            _ => {
                encode(segment, in_path, path);
                if end.is_some() {
                    path.push('/');
                }
            }
        }
        let Some(end) = end else { return Some(()) };
        rest = rest.get(end + 1..)?;
    }
}

/// Whether some reader could find another path in a segment: an encoded slash, or dots that are encoded or have
/// parameters behind them, which some servers cut off before they walk up.
fn is_unsafe(segment: &str) -> bool {
    let escaped = |letters: [u8; 3]| {
        let mut escapes = segment.as_bytes().windows(3);
        escapes.any(|escape| escape.eq_ignore_ascii_case(&letters))
    };
    if segment.contains('%') && (escaped(*b"%2f") || escaped(*b"%5c")) {
        return true;
    }
    let mut dots = 0;
    let mut rest = segment.as_bytes();
    loop {
        rest = match rest {
            [b'.', behind @ ..] | [b'%', b'2', b'e' | b'E', behind @ ..] => behind,
            [] | [b';', ..] => return matches!(dots, 1 | 2),
            _ => return false,
        };
        dots += 1;
    }
}
