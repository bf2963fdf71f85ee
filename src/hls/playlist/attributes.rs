//! Tags and their attribute lists (draft-pantos-hls-rfc8216bis, section 4.2), as places in the line.

use std::ops::Range;

use super::Leads;

/// A line that begins with `#` and is a tag with a value.
pub(super) struct TagLine<'a> {
    /// The name, without `#`.
    pub name: &'a [u8],
    /// What stands behind the first colon; empty without one. Always the end of the line.
    pub value: &'a [u8],
}

impl<'a> TagLine<'a> {
    /// Takes a line apart; `None` for a comment.
    pub(super) fn read(line: &'a [u8]) -> Option<Self> {
        let tag = line.strip_prefix(b"#")?;
        if !tag.starts_with(b"EXT") {
            return None;
        }
        // No name that means something is longer, and a title may be.
        let colon = tag.iter().take(32).position(|&b| b == b':');
        let (name, value) = match colon {
            Some(colon) => (tag.get(..colon)?, tag.get(colon + 1..)?),
            None => (tag.trim_ascii_end(), &[][..]),
        };
        Some(Self { name, value })
    }
}

/// What a tag means for the gate.
pub(super) enum Meaning {
    /// It may have URIs, in attributes of these names; an empty name is none.
    Links {
        names: [&'static [u8]; 3],
        leads: Leads,
    },
    /// EXT-X-PREFETCH: its value is a URI.
    Prefetch,
    /// EXT-X-DEFINE
    Define,
    /// Stands in multivariant playlists alone.
    Multivariant,
    /// EXTINF
    Segment,
    /// Says something of reloads.
    Reload(Says),
    /// EXT-X-TARGETDURATION
    TargetDuration,
    /// EXT-X-ENDLIST
    EndList,
    /// Anything else.
    Other,
}

/// What a tag says of reloads.
#[derive(Clone, Copy)]
pub(super) enum Says {
    /// EXT-X-MEDIA-SEQUENCE
    Start,
    /// EXT-X-SERVER-CONTROL
    Control,
    /// EXT-X-PART-INF
    PartTarget,
    /// EXT-X-SKIP
    Skipped,
}

impl Meaning {
    /// Looks a tag up by its whole name.
    pub(super) fn of(name: &[u8]) -> Self {
        let uri = |leads| Self::Links {
            names: [b"URI", b"", b""],
            leads,
        };
        match name {
            b"EXTINF" => Self::Segment,
            b"EXT-X-MEDIA-SEQUENCE" => Self::Reload(Says::Start),
            b"EXT-X-SERVER-CONTROL" => Self::Reload(Says::Control),
            b"EXT-X-PART-INF" => Self::Reload(Says::PartTarget),
            b"EXT-X-SKIP" => Self::Reload(Says::Skipped),
            b"EXT-X-PART" => uri(Leads::Part),
            b"EXT-X-KEY"
            | b"EXT-X-MAP"
            | b"EXT-X-PRELOAD-HINT"
            | b"EXT-X-SESSION-KEY"
            | b"EXT-X-SESSION-DATA" => uri(Leads::Elsewhere),
            b"EXT-X-MEDIA" | b"EXT-X-I-FRAME-STREAM-INF" | b"EXT-X-IMAGE-STREAM-INF" => {
                uri(Leads::ToMedia)
            }
            b"EXT-X-RENDITION-REPORT" => uri(Leads::ToSibling),
            b"EXT-X-CONTENT-STEERING" => Self::Links {
                names: [b"SERVER-URI", b"", b""],
                leads: Leads::Elsewhere,
            },
            b"EXT-X-DATERANGE" => Self::Links {
                names: [b"X-ASSET-URI", b"X-ASSET-LIST", b"X-URI"],
                leads: Leads::Elsewhere,
            },
            b"EXT-X-PREFETCH" => Self::Prefetch,
            b"EXT-X-DEFINE" => Self::Define,
            b"EXT-X-STREAM-INF" => Self::Multivariant,
            b"EXT-X-TARGETDURATION" => Self::TargetDuration,
            b"EXT-X-ENDLIST" => Self::EndList,
            _ => Self::Other,
        }
    }
}

/// Where the quoted value of an attribute stands, without its quotes. `None` when it is not there, has no quotes, occurs
/// twice (readers differ in which one counts), or when the list is malformed anywhere, stray quotes and commas included.
pub(super) fn find(list: &[u8], name: &[u8]) -> Option<Range<usize>> {
    if name.is_empty() {
        return None;
    }
    let mut found = None;
    let mut at = 0;
    while let Some(rest) = list.get(at..).filter(|rest| !rest.trim_ascii().is_empty()) {
        let equals = memchr::memchr(b'=', rest)?;
        let given = rest.get(..equals)?;
        let value_at = at + equals + 1;
        let value = list.get(value_at..)?;
        if memchr::memchr2(b'"', b',', given).is_some() {
            return None;
        }
        let ours = given.trim_ascii() == name;
        let end = if value.first() == Some(&b'"') {
            let end = 1 + memchr::memchr(b'"', value.get(1..)?)?;
            if ours && found.replace(value_at + 1..value_at + end).is_some() {
                return None;
            }
            let behind = value.get(end + 1..)?;
            end + 1 + behind.len() - behind.trim_ascii_start().len()
        } else if ours {
            return None;
        } else {
            memchr::memchr2(b'"', b',', value).unwrap_or(value.len())
        };
        if !matches!(value.get(end), None | Some(b',')) {
            return None;
        }
        at = value_at + end + 1;
    }
    found
}

/// The value of an attribute that has no quotes; the first one of its name.
pub(super) fn unquoted<'a>(list: &'a [u8], name: &[u8]) -> Option<&'a str> {
    let mut rest = list;
    loop {
        let equals = memchr::memchr(b'=', rest)?;
        let (given, value) = (rest.get(..equals)?, rest.get(equals + 1..)?);
        // A comma in quotes ends nothing.
        let quoted = match value.first() {
            Some(b'"') => 2 + memchr::memchr(b'"', value.get(1..)?)?,
            Some(_) | None => 0,
        };
        let comma = memchr::memchr(b',', value.get(quoted..)?).map(|at| quoted + at);
        if given.trim_ascii() == name {
            let value = value.get(..comma.unwrap_or(value.len()))?;
            return std::str::from_utf8(value.trim_ascii()).ok();
        }
        rest = value.get(comma? + 1..)?;
    }
}
