//! Parts of what is held whole (RFC 9110 section 14).

use std::ops::Range;

use http::HeaderMap;
use http::header::{ETAG, HeaderValue, IF_RANGE, RANGE};

/// One range of bytes, as it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteRange {
    /// From this byte on.
    From(u64),
    /// From one byte to another, both of them included; the second is not before the first.
    Between(u64, u64),
    /// So many at the end.
    Last(u64),
}

impl ByteRange {
    /// The one range that a request is for. `None` when it is for all, for several, or says what is not understood: all of
    /// that is the media server's to answer.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut lines = headers.get_all(RANGE).iter();
        let (Some(line), None) = (lines.next(), lines.next()) else {
            return None;
        };
        let (unit, range) = line.to_str().ok()?.split_once('=')?;
        let (first, last) = range.split_once('-')?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return None;
        }
        match (first, last) {
            ("", last) => number(last).map(Self::Last),
            (first, "") => number(first).map(Self::From),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::Between(first, last))
            }
        }
    }

    /// Which bytes these are of a body of `length`; `None` when it has none of them.
    #[must_use]
    pub fn within(self, length: u64) -> Option<Range<u64>> {
        let range = match self {
            Self::From(first) => first..length,
            Self::Between(first, last) => first..length.min(last.saturating_add(1)),
            Self::Last(count) => length.saturating_sub(count)..length,
        };
        (!range.is_empty()).then_some(range)
    }
}

/// Whether a part is wanted of what has these headers (section 13.1.5). A date is never exact enough to tell.
#[must_use]
pub fn is_of_the_same(asked: &HeaderMap, held: &HeaderMap) -> bool {
    let Some(condition) = asked.get(IF_RANGE) else {
        return true;
    };
    let is_strong = |tag: &HeaderValue| tag.as_bytes().starts_with(b"\"");
    held.get(ETAG)
        .is_some_and(|tag| tag == condition && is_strong(tag))
}

fn number(digits: &str) -> Option<u64> {
    let only_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    only_digits.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(ranges: &[&'static str]) -> HeaderMap {
        let lines = ranges
            .iter()
            .map(|range| (RANGE, HeaderValue::from_static(range)));
        lines.collect()
    }

    #[test]
    fn one_range_is_read_and_nothing_else() {
        for (text, expected) in [
            ("bytes=0-", ByteRange::From(0)),
            ("bytes=7-", ByteRange::From(7)),
            ("Bytes=7-7", ByteRange::Between(7, 7)),
            (
                "bytes=7-18446744073709551615",
                ByteRange::Between(7, u64::MAX),
            ),
            ("bytes=-5", ByteRange::Last(5)),
        ] {
            assert_eq!(ByteRange::of(&asking(&[text])), Some(expected), "{text}");
        }
        for text in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=5",
            "bytes=8-7",
            "bytes=0-1,3-4",
            "bytes=+1-2",
            "bytes=1-+2",
            "bytes= 1-2",
            "bytes=1-2-3",
            "bytes=--2",
            "bytes=1-18446744073709551616",
            "seconds=1-2",
        ] {
            assert_eq!(ByteRange::of(&asking(&[text])), None, "{text}");
        }
        assert_eq!(ByteRange::of(&asking(&["bytes=0-1", "bytes=0-1"])), None);
        assert_eq!(ByteRange::of(&asking(&[])), None);
    }

    #[test]
    fn a_range_is_what_of_it_there_is() {
        for (range, length, expected) in [
            (ByteRange::From(0), 10, Some(0..10)),
            (ByteRange::From(9), 10, Some(9..10)),
            (ByteRange::From(10), 10, None),
            (ByteRange::Between(2, 3), 10, Some(2..4)),
            (ByteRange::Between(2, u64::MAX), 10, Some(2..10)),
            (ByteRange::Between(10, 11), 10, None),
            (ByteRange::Last(3), 10, Some(7..10)),
            (ByteRange::Last(11), 10, Some(0..10)),
            (ByteRange::Last(0), 10, None),
            (ByteRange::From(0), 0, None),
            (ByteRange::Last(1), 0, None),
        ] {
            assert_eq!(range.within(length), expected, "{range:?} of {length}");
        }
    }

    #[test]
    fn a_part_is_of_the_same_only_by_a_strong_tag() {
        let held = |tag| HeaderMap::from_iter([(ETAG, HeaderValue::from_static(tag))]);
        let asked = |tag| HeaderMap::from_iter([(IF_RANGE, HeaderValue::from_static(tag))]);
        assert!(is_of_the_same(&HeaderMap::new(), &HeaderMap::new()));
        assert!(is_of_the_same(&asked("\"a\""), &held("\"a\"")));
        for (asked, held) in [
            (asked("\"a\""), held("\"b\"")),
            (asked("W/\"a\""), held("W/\"a\"")),
            (asked("\"a\""), HeaderMap::new()),
            (asked("Tue, 14 Nov 2023 22:13:20 GMT"), held("\"a\"")),
        ] {
            assert!(!is_of_the_same(&asked, &held), "{asked:?} {held:?}");
        }
    }
}
