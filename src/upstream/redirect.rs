//! Where a redirect leads (RFC 9110 section 15.4), inside the media servers.

use http::header::LOCATION;
use http::uri::PathAndQuery;
use http::{HeaderMap, StatusCode};

use crate::request::percent::normal_path;

use super::head::parse_target;

/// Whether a status redirects to another URL.
pub(super) fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// What to ask for next, or what is wrong with the redirect. Only a URL with scheme http and an authority that `is_ours` is
/// followed.
pub(super) fn next(
    asked: &PathAndQuery,
    headers: &HeaderMap,
    is_ours: impl Fn(&str) -> bool,
) -> Result<PathAndQuery, &'static str> {
    let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
    let location = location.ok_or("a redirect to nowhere")?;
    let reference = match scheme_and_rest(location) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") && rest.starts_with("//") => {
            rest
        }
        Some(_) => return Err("a redirect to somewhere else"),
        None => location,
    };
    let reference = match reference.strip_prefix("//") {
        None => reference,
        Some(rest) => {
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            let (authority, rest) = rest.split_at_checked(end).unwrap_or((rest, ""));
            if !is_ours(authority) {
                return Err("a redirect to somewhere else");
            }
            // Without a path it is the root.
            let path = if rest.starts_with('/') { "" } else { "/" };
            return parse_target(&normalised(&format!("{path}{rest}"))).ok_or(UNREADABLE);
        }
    };
    parse_target(&normalised(&joined(asked, reference))).ok_or(UNREADABLE)
}

const UNREADABLE: &str = "a redirect that cannot be read";

/// Splits `http://…`; a colon behind a slash or in a query makes no scheme.
fn scheme_and_rest(location: &str) -> Option<(&str, &str)> {
    let end = location.find([':', '/', '?', '#'])?;
    let (scheme, rest) = location.split_at_checked(end)?;
    rest.strip_prefix(':').map(|rest| (scheme, rest))
}

/// Host and port of a reference that names them; without a user name, which may be a secret.
pub(super) fn host_of(location: &str) -> Option<&str> {
    let rest = scheme_and_rest(location).map_or(location, |(_, rest)| rest);
    let rest = rest.strip_prefix("//")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    authority.rsplit('@').next()
}

/// A reference without authority, resolved against what was asked for (RFC 3986 section 5.2.2).
fn joined(asked: &PathAndQuery, reference: &str) -> String {
    let path = asked.path();
    let directory = path.rfind('/').and_then(|slash| path.get(..=slash));
    match reference.chars().next() {
        Some('/') => reference.to_owned(),
        Some('?') => format!("{path}{reference}"),
        None | Some('#') => asked.as_str().to_owned(),
        Some(_) => format!("{}{reference}", directory.unwrap_or("/")),
    }
}

/// With its path in the normal form, as links have it, and without a fragment.
fn normalised(target: &str) -> String {
    let whole = target.split_once('#').map_or(target, |(whole, _)| whole);
    let end = whole.find('?').unwrap_or(whole.len());
    let (path, query) = whole.split_at_checked(end).unwrap_or((whole, ""));
    normal_path(path) + query
}

#[cfg(test)]
#[path = "redirect_tests.rs"]
mod tests;
