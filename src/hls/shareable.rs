//! Which responses of a media server may be shared between viewers. Pure functions: the viewer has been decided on before. One
//! operator runs the gate and the media server, and so knows of the cache.

use std::borrow::Cow;
use std::time::Duration;

use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, SET_COOKIE, VARY};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use percent_encoding::percent_decode_str;

/// Media types of a playlist (RFC 8216 section 4, and what is older or by others).
const PLAYLIST_TYPES: &[&str] = &[
    "application/vnd.apple.mpegurl",
    "application/x-mpegurl",
    "audio/mpegurl",
    "audio/x-mpegurl",
];

/// Names of a playlist.
const PLAYLIST_EXTENSIONS: &[&str] = &["m3u8", "m3u"];

/// Names of a segment, for responses with a type that says nothing.
const SEGMENT_EXTENSIONS: &[&str] = &[
    "ts", "m4s", "mp4", "m4v", "m4a", "cmfv", "cmfa", "aac", "ac3", "ec3", "mp3", "vtt", "webvtt",
    "m2ts",
];

/// The endless file of progressive playback (protocol.md 2): it has a type like a segment's and no end.
const ENDLESS: &str = "stream.mp4";

/// A response that may be shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shareable {
    /// The lifetime that the media server gave it, where that is a second or more.
    pub fresh_for: Option<Duration>,
}

impl Shareable {
    /// How long it may be served from its head on: what the media server says, and `at_most` at most.
    #[must_use]
    pub fn lifetime(self, at_most: Duration) -> Duration {
        self.fresh_for.map_or(at_most, |fresh| fresh.min(at_most))
    }
}

/// What is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It changes with every segment.
    Playlist,
    /// It never changes.
    Segment,
}

/// Whether a response may be shared that is of this kind. `path` is the request's, without its query.
///
/// Only a 200 without `Set-Cookie`, without `private` or `no-store`, that varies by nothing but `Accept-Encoding` and `Origin`
/// (the gate sends no encoding up and writes CORS itself), and that is a playlist, or a segment which is not encoded: what is no
/// playlist is a segment by its type, or by its name where it has no type that says anything. Keys (`.key`) are never shared,
/// nor is `stream.mp4`.
///
/// `no-cache`, `max-age=0` and `s-maxage=0` do not forbid it, unlike in RFC 9111: only requests of the same moment share it,
/// and a live playlist that may not be stored is exactly what a thousand viewers ask for at once. A lifetime of a second or
/// more shortens the gate's own. An operator can forbid sharing by `no-store`.
#[must_use]
pub fn shareable(
    status: StatusCode,
    headers: &HeaderMap,
    path: &str,
    kind: Kind,
) -> Option<Shareable> {
    let name = file_name(path);
    if status != StatusCode::OK
        || headers.contains_key(SET_COOKIE)
        || name.eq_ignore_ascii_case(ENDLESS)
        || has_extension(&name, &["key"])
    {
        return None;
    }
    let harmless = |header, harmless: &[&str]| {
        members(headers, header)
            .all(|member| member.is_some_and(|member| is_one_of(member, harmless)))
    };
    if !harmless(VARY, &["accept-encoding", "origin"]) {
        return None;
    }
    let fresh_for = lifetime(headers)?;
    let is_segment = || {
        let content_type = headers.get(CONTENT_TYPE).map(HeaderValue::to_str);
        let content_type = content_type.transpose().ok()?;
        let plain = harmless(CONTENT_ENCODING, &["identity"]);
        // A playlist that is none at the moment will be one.
        let is_named_playlist = has_extension(&name, PLAYLIST_EXTENSIONS);
        (plain && !is_named_playlist && is_segment(content_type, &name)).then_some(())
    };
    if kind == Kind::Segment {
        is_segment()?;
    }
    Some(Shareable { fresh_for })
}

/// Whether a response is called a playlist, by its `Content-Type` (parameters and case do not matter) or by its path, given
/// without its query. That is a guess: it is one when it begins as one.
#[must_use]
pub fn is_called_playlist(content_type: Option<&str>, path: &str) -> bool {
    content_type.is_some_and(|value| is_one_of(essence(value), PLAYLIST_TYPES))
        || has_extension(&file_name(path), PLAYLIST_EXTENSIONS)
}

fn is_segment(content_type: Option<&str>, name: &str) -> bool {
    let essence = content_type.map(essence).unwrap_or_default();
    let top = essence.split_once('/').map_or("", |(top, _)| top);
    if is_one_of(top, &["video", "audio"]) || is_one_of(essence, &["application/mp4", "text/vtt"]) {
        return true;
    }
    let untyped = ["", "application/octet-stream", "binary/octet-stream"];
    // What is called a playlist and is none has a type that says nothing.
    let untyped = is_one_of(essence, &untyped) || is_one_of(essence, PLAYLIST_TYPES);
    untyped && has_extension(name, SEGMENT_EXTENSIONS)
}

/// The least lifetime of a second or more, where there is one; `None` when it must not be stored for others, or cannot be
/// read.
fn lifetime(headers: &HeaderMap) -> Option<Option<Duration>> {
    let mut least = None;
    // A comma inside quotes splits too. What that makes up can only forbid or shorten.
    for directive in members(headers, CACHE_CONTROL) {
        let directive = directive?;
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        let name = name.trim().trim_matches('"');
        if is_one_of(name, &["private", "no-store"]) {
            return None;
        }
        if is_one_of(name, &["max-age", "s-maxage"])
            && let Ok(seconds @ 1..) = value.trim().trim_matches('"').parse()
        {
            let lifetime = Duration::from_secs(seconds);
            least = Some(least.map_or(lifetime, |least: Duration| least.min(lifetime)));
        }
    }
    Some(least)
}

/// The comma-separated members of all fields of a name; `None` for one that is not text.
fn members(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = Option<&str>> {
    let fields = headers.get_all(name).into_iter();
    fields
        .flat_map(|field| {
            let text = field.to_str().ok();
            let members = text.into_iter().flat_map(|text| text.split(',').map(Some));
            members.chain(text.is_none().then_some(None))
        })
        .map(|member| member.map(str::trim))
        .filter(|member| *member != Some(""))
}

fn essence(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// The last segment that is not empty, decoded, so that no spelling hides it.
fn file_name(path: &str) -> Cow<'_, str> {
    let path = path.trim_end_matches('/');
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    percent_decode_str(name).decode_utf8_lossy()
}

fn has_extension(name: &str, extensions: &[&str]) -> bool {
    name.rsplit_once('.')
        .is_some_and(|(_, extension)| is_one_of(extension, extensions))
}

fn is_one_of(text: &str, list: &[&str]) -> bool {
    list.iter().any(|one| text.eq_ignore_ascii_case(one))
}

#[cfg(test)]
#[path = "shareable_tests.rs"]
mod tests;
