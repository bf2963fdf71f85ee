//! The query of a link: what of it is signed, how its own parameters are found again among what players add, and what the
//! media server is asked with.

use std::borrow::Cow;

use crate::request::percent::{escape, push_escape, push_normal};
use crate::request::query::{cut, is_unreserved};

/// What the names of parameters begin with that no media server means by itself: a reload's directives.
const DIRECTIVE: &str = "_HLS_";

/// How many question marks within a parameter may be what a player has begun its own parameters with, although there was
/// a query.
const QUESTION_MARKS: usize = 4;

/// What of a link's path and query is signed.
///
/// The path stands for itself, byte for byte. Of the query, directives of reloads (`_HLS_*`) are left out, since they are
/// the player's (draft-pantos-hls-rfc8216bis, section 6.2.5). Players that add something spell the rest anew (hls.js by
/// `URLSearchParams`: `a:b%20c` becomes `a%3Ab+c`), so all spellings that form encoding reads alike are one: `%41` is `A`,
/// `+` is `%20`, `a` is `a=`, empty parameters are nothing. A raw `;` is not `%3B`, because some servers separate
/// parameters by it. This is no address: the media server is asked with what the player sent of it.
///
/// Behind a query stands `#` and a digest of how the playlist spelled it: a request that spells it so can share its answer
/// with others, and one that spells it in a way of its own cannot, for the media server may answer that otherwise.
#[must_use]
#[allow(dead_code, reason = "tests hold what is signed against it")]
pub fn link_target(path_and_query: &str) -> Cow<'_, str> {
    if !path_and_query.contains('?') {
        return Cow::Borrowed(path_and_query);
    }
    let mut target = String::with_capacity(path_and_query.len());
    write_target(path_and_query, &mut target);
    Cow::Owned(target)
}

/// The same into a buffer.
pub(in crate::hls) fn write_target(path_and_query: &str, out: &mut String) {
    out.clear();
    let (path, query) = cut(path_and_query, b'?');
    out.push_str(path);
    // As players write it, and no other spelling, so that there is one way to say that an answer may take its time.
    let own = || each(query.unwrap_or_default()).filter(|one| !is_directive(one));
    append_signed(own(), out);
    if own().next().is_some() {
        let mut written = String::with_capacity(path_and_query.len());
        append_for_server(own(), &mut written);
        out.push('#');
        out.extend(spelling(&written).map(char::from));
    }
}

/// A path and query as a media server is asked for them: without directives, and in the normal form.
pub(super) fn for_server(path_and_query: &str) -> String {
    let (path, query) = cut(path_and_query, b'?');
    let mut asked = path.to_owned();
    let own = each(query.unwrap_or_default()).filter(|one| !is_directive(one));
    append_for_server(own, &mut asked);
    asked
}

/// Two characters that a link has for each of its own parameters, so that they are found among those that a player adds. A
/// mark proves nothing: the signature does.
pub type Mark = [u8; 2];

/// How many characters tell how a query was spelled, and how many marks they would be.
pub(super) const SPELLING: usize = 4;
pub(super) const SPELLING_MARKS: usize = SPELLING / size_of::<Mark>();

/// The marks of a [`link_target`], one for each parameter.
pub(super) fn marks(target: &str) -> impl Iterator<Item = Mark> {
    let (_, query) = cut(cut(target, b'#').0, b'?');
    each(query.unwrap_or_default()).map(mark)
}

/// How its query was spelled; empty without one.
pub(super) fn spelling_of(target: &str) -> &str {
    cut(target, b'#').1.unwrap_or_default()
}

/// How many bytes the marks and the spelling take.
pub(super) fn marks_length(target: &str) -> usize {
    let (_, query) = cut(target, b'?');
    let more = |query: &str| memchr::memchr_iter(b'&', query.as_bytes()).count();
    let parameters = query.map_or(0, |query| 1 + more(query));
    size_of::<Mark>() * parameters + query.map_or(0, |_| SPELLING)
}

/// Of one parameter, in the spelling that is signed.
fn mark(parameter: &str) -> Mark {
    let [first, second, ..] = letters(parameter);
    [first, second]
}

/// Of a whole query as a media server is asked with it.
pub(super) fn spelling(query: &str) -> [u8; SPELLING] {
    letters(query)
}

/// Whether a query that begins with `?` is spelled as form encoding does it (`URLSearchParams`), where `signed` is what is
/// signed of it.
pub(super) fn is_form(query: &str, signed: &str) -> bool {
    signed.replace("%20", "+").replace("%2A", "*") == query
}

/// A hash of eight bytes at a time.
fn letters(text: &str) -> [u8; SPELLING] {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mix = |hash: u64, word: [u8; 8]| {
        let hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^ hash >> 29
    };
    let (words, rest) = text.as_bytes().as_chunks();
    let mut last = [0; 8];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    let hash = words
        .iter()
        .fold(text.len() as u64, |hash, word| mix(hash, *word));
    let [first, second, third, fourth, ..] = mix(hash, last).to_be_bytes();
    let letter = |byte: u8| LETTERS.get(usize::from(byte & 63)).copied();
    [first, second, third, fourth].map(|byte| letter(byte).unwrap_or(b'A'))
}

/// What may be a link's own parameters among those of a request: in their order, each with its mark, the earliest that fit
/// and the latest. What a player adds has such a mark once in 4,096 times, and misleads only where it does on both sides.
pub(super) fn own<'q>(query: &'q str, marks: &[Mark]) -> impl Iterator<Item = Vec<&'q str>> {
    let mut scratch = String::new();
    let earliest = fitting(parameters(query), marks.iter(), &mut scratch);
    let latest = fitting(parameters(query).rev(), marks.iter().rev(), &mut scratch);
    let latest = latest.map(|mut own| {
        own.reverse();
        own
    });
    earliest.into_iter().chain(latest)
}

fn fitting<'q, 'm>(
    parameters: impl Iterator<Item = &'q str>,
    mut marks: impl Iterator<Item = &'m Mark>,
    scratch: &mut String,
) -> Option<Vec<&'q str>> {
    let mut own = Vec::new();
    let mut next = marks.next();
    for parameter in parameters {
        let Some(wanted) = next else { break };
        let cuts = std::iter::successors(Some(parameter), |longer| {
            longer.rsplit_once('?').map(|(before, _)| before)
        });
        let found = cuts.take(1 + QUESTION_MARKS).find(|part| {
            scratch.clear();
            append_parameter(part, scratch);
            mark(scratch) == *wanted
        });
        if let Some(found) = found {
            own.push(found);
            next = marks.next();
        }
    }
    next.is_none().then_some(own)
}

/// The parameters that are not empty, one after the other. A playlist has many links.
fn each(query: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(query);
    let next = move || {
        let (parameter, behind) = cut(rest?, b'&');
        rest = behind;
        Some(parameter)
    };
    std::iter::from_fn(next).filter(|parameter| !parameter.is_empty())
}

/// The same from both ends.
fn parameters(query: &str) -> impl DoubleEndedIterator<Item = &str> {
    query.split('&').filter(|parameter| !parameter.is_empty())
}

/// Parameters as the media server is asked with them: what is encoded that stands for itself everywhere is decoded (RFC 3986,
/// section 6.2.2), and the rest is as the player sent it. A `%` that begins no escape becomes one: what follows it could
/// else make an escape with it that was not signed.
pub(super) fn append_for_server<'q>(own: impl Iterator<Item = &'q str>, out: &mut String) {
    let mut separator = '?';
    for parameter in own {
        out.push(separator);
        separator = '&';
        let mut rest = parameter;
        while let Some(at) = memchr::memchr(b'%', rest.as_bytes()) {
            let (run, behind) = rest.split_at_checked(at).unwrap_or((rest, ""));
            out.push_str(run);
            let length = match escape(behind.as_bytes()) {
                Some(byte) => {
                    push_normal(byte, out);
                    3
                }
                None => {
                    push_escape(b'%', out);
                    1
                }
            };
            rest = behind.get(length..).unwrap_or_default();
        }
        out.push_str(rest);
    }
}

/// Appends what is signed of parameters, with `?` when there are any; see [`link_target`].
pub(super) fn append_signed<'q>(own: impl Iterator<Item = &'q str>, out: &mut String) {
    let mut separator = '?';
    for parameter in own {
        out.push(separator);
        append_parameter(parameter, out);
        separator = '&';
    }
}

fn append_parameter(parameter: &str, out: &mut String) {
    let (key, value) = cut(parameter, b'=');
    append_canonical(key, out);
    out.push('=');
    append_canonical(value.unwrap_or_default(), out);
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

/// Whether a parameter of a media server's URI is a directive, as players spell it. Some servers find another parameter behind
/// a `;`.
fn is_directive(parameter: &str) -> bool {
    // Most parameters of a playlist's many links are not.
    if !parameter.starts_with(DIRECTIVE) {
        return false;
    }
    let key = parameter.split('=').next().unwrap_or_default();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    key.bytes().all(plain) && !parameter.contains(';')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(link: &str, request: &str) -> Option<String> {
        let target = link_target(link);
        let marks: Vec<_> = marks(&target).collect();
        let mut fits = own(request, &marks).filter_map(|own| {
            let mut signed = "a".to_owned();
            append_signed(own.iter().copied(), &mut signed);
            let mut asked = "a".to_owned();
            append_for_server(own.into_iter(), &mut asked);
            (signed == cut(&target, b'#').0).then_some(asked)
        });
        fits.next()
    }

    #[test]
    fn a_media_server_is_asked_with_what_its_own_playlist_says() {
        for (query, asked) in [
            ("x=1", "?x=1"),
            ("a:b%20c=%c3%BC+d~", "?a:b%20c=%C3%BC+d~"),
            ("url=rtmp%3a%2F%2Fa%7Eb/c&x", "?url=rtmp%3A%2F%2Fa~b/c&x"),
            ("x=1&_HLS_msn=12&_HLS_part=0&_HLS_skip=YES", "?x=1"),
            ("_HLS_msn=1&_HLS_q&_HLS_x=2", ""),
            ("%5FHLS_msn=1", "?_HLS_msn=1"),
            ("", ""),
            ("&x=1&&y&", "?x=1&y"),
            ("%78=%31%2d%zz%", "?x=1-%25zz%25"),
        ] {
            let asked = format!("a{asked}");
            assert_eq!(found(&format!("a?{query}"), query), Some(asked), "{query}");
        }
    }

    #[test]
    fn no_spelling_makes_an_escape_that_was_not_signed() {
        for (written, again) in [
            ("f=%2541", "f=%%341"),
            ("f=%2541", "f=%4%31"),
            ("f=%2541", "%66=%25%34%31"),
            ("f=%252526", "f=%%32526"),
            ("f=%%", "f=%25%"),
        ] {
            let asked = found(&format!("a?{written}"), again);
            let decoded = link_target(&format!("a?{written}")).into_owned();
            let asked = asked.expect(again);
            assert_eq!(link_target(&asked), decoded, "{again}");
            assert_eq!(for_server(&asked), asked, "{again}");
        }
    }

    #[test]
    fn own_parameters_are_found_among_any_others() {
        let link = "a?b=2&a=1&a=1?c&d";
        let again = "b=2&a=1&a=1?c&d";
        for added in [
            again.to_owned(),
            format!("_=17&{again}"),
            format!("{again}&CMCD=bl%3D2000&_=17"),
            format!("{again}&{again}"),
            format!("b=3&{again}&b=4&d=5"),
            "&x&b=2&x&a=1&&x=?&a=1?c&d&".to_owned(),
            format!("{again}?_=17"),
            format!("{again}???"),
            "b=2?x&a=1&a=1?c?x=1&d=".to_owned(),
        ] {
            assert!(found(link, &added).is_some(), "{added}");
        }
        for changed in [
            "",
            "b=2",
            "b=2&a=1&a=1?c",
            "a=1&b=2&a=1?c&d",
            "b=2&a=1?c&a=1&d",
            "b=2&a=1&d&a=1?c",
            "b=3&a=1&a=1?c&d",
            "b=2&a=1&a=1&d",
            "b=2&a=1&a=1?c&d=;x",
            "b=2&a=1&a=1?c%26d",
        ] {
            assert_eq!(found(link, changed), None, "{changed}");
        }
    }

    #[test]
    fn a_parameter_that_only_looks_like_an_own_one_misleads_nobody() {
        let own = "key=abc";
        let wanted = mark(own);
        let same = (0..).map(|number| format!("_={number}"));
        let same = same.filter(|one| mark(one) == wanted).take(3);
        let mut tried = 0;
        for same in same {
            for request in [format!("{same}&{own}"), format!("{own}&{same}")] {
                assert!(found("a?key=abc", &request).is_some(), "{request}");
                tried += 1;
            }
            assert_eq!(found("a?key=abc", &same), None, "{same}");
        }
        assert_eq!(tried, 6);
    }
}
