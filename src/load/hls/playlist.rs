//! What a viewer needs of a playlist (RFC 8216, section 4), which is six tags; the rest it skips as the RFC asks.

use std::time::Duration;

/// The most segments that are looked at.
const SEGMENTS: usize = 10_000;

/// The longest segment, and the longest target duration. A player adds these up; the limit keeps the sum representable.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The highest number of a first segment: those after it are to have a number, too.
const LAST_SEQUENCE: u64 = u64::MAX - SEGMENTS as u64;

/// A playlist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Playlist {
    /// The URI of the first variant.
    Multivariant(String),
    /// Segments.
    Media(Media),
}

/// A media playlist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Media {
    /// `EXT-X-TARGETDURATION`, a day at most.
    pub target: Duration,
    /// The number of the first segment; those of all its segments are numbers, too.
    pub sequence: u64,
    /// `EXT-X-MAP`: what must be loaded before any segment.
    pub init: Option<String>,
    /// URIs and durations, a day at most.
    pub segments: Vec<(String, Duration)>,
    /// `EXT-X-ENDLIST`: nothing will be added.
    pub ended: bool,
}

/// Reads a playlist; `None` when it is none.
#[must_use]
pub fn read(text: &str) -> Option<Playlist> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.next().filter(|first| *first == "#EXTM3U")?;
    let (mut media, mut variant, mut duration) = (Media::default(), false, None);
    for line in lines {
        if let Some(seconds) = line.strip_prefix("#EXT-X-TARGETDURATION:") {
            media.target = bounded(Duration::from_secs(seconds.trim().parse().ok()?))?;
        } else if let Some(number) = line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:") {
            media.sequence = number.trim().parse().ok()?;
            if media.sequence > LAST_SEQUENCE {
                return None;
            }
        } else if let Some(attributes) = line.strip_prefix("#EXT-X-MAP:") {
            media.init = Some(quoted(attributes, "URI")?);
        } else if let Some(information) = line.strip_prefix("#EXTINF:") {
            let seconds = information.split(',').next()?.trim().parse().ok()?;
            duration = Some(bounded(Duration::try_from_secs_f64(seconds).ok()?)?);
        } else if line.starts_with("#EXT-X-STREAM-INF:") {
            variant = true;
        } else if line == "#EXT-X-ENDLIST" {
            media.ended = true;
        } else if !line.starts_with('#') {
            if variant {
                return Some(Playlist::Multivariant(line.to_owned()));
            }
            media.segments.push((line.to_owned(), duration.take()?));
            if media.segments.len() > SEGMENTS {
                return None;
            }
        }
    }
    (!media.target.is_zero() && !variant).then_some(Playlist::Media(media))
}

fn bounded(duration: Duration) -> Option<Duration> {
    (duration <= LONGEST).then_some(duration)
}

/// The value of an attribute in quotes.
fn quoted(attributes: &str, name: &str) -> Option<String> {
    let start = attributes.find(&format!("{name}=\""))?;
    let (_, value) = attributes.get(start..)?.split_once('"')?;
    value.split_once('"').map(|(value, _)| value.to_owned())
}

/// The path and query that a reference means in a document at `base`, itself a path and query (RFC 3986, section 5.2).
/// `None` when it leads to another host than `authority`.
#[must_use]
pub fn resolve(base: &str, reference: &str, authority: &str) -> Option<String> {
    let reference = reference.split('#').next()?;
    if let Some(rest) = reference.strip_prefix("http://") {
        let (host, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let same = host.eq_ignore_ascii_case(authority);
        return (same && path.starts_with('/')).then(|| path.to_owned());
    }
    let base = base.split('?').next()?;
    // A scheme, or another host without one.
    let before_query = reference.split('?').next()?;
    let first = before_query.split('/').next()?;
    if reference.starts_with("//") || first.contains(':') {
        return None;
    }
    if reference.starts_with('/') {
        return Some(reference.to_owned());
    }
    if before_query.is_empty() {
        return Some(format!("{base}{reference}"));
    }
    let query = reference.get(before_query.len()..)?;
    let mut segments: Vec<_> = base.split('/').skip(1).collect();
    segments.pop();
    let mut parts = before_query.split('/').peekable();
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        match part {
            "." if last => segments.push(""),
            "." => {}
            ".." => {
                segments.pop();
                if last {
                    segments.push("");
                }
            }
            part => segments.push(part),
        }
    }
    Some(format!("/{}{query}", segments.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_variant_is_taken() {
        let text = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow/media.m3u8?a=b\n\
                    #EXT-X-STREAM-INF:BANDWIDTH=2\nhigh.m3u8\n";
        assert_eq!(
            read(text),
            Some(Playlist::Multivariant("low/media.m3u8?a=b".to_owned()))
        );
    }

    #[test]
    fn a_media_playlist_has_its_segments() {
        let text = "#EXTM3U\r\n#EXT-X-TARGETDURATION:2\r\n#EXT-X-MEDIA-SEQUENCE:7\r\n#EXT-X-MAP:URI=\"init.mp4\",BYTERANGE=\"1@0\"\r\n\
                    #EXTINF:2.000,title\r\n7.m4s\r\n\r\n#EXT-X-PROGRAM-DATE-TIME:x\r\n#EXTINF:1.5\r\n8.m4s\r\n#EXT-X-ENDLIST\r\n";
        let media = Media {
            target: Duration::from_secs(2),
            sequence: 7,
            init: Some("init.mp4".to_owned()),
            segments: vec![
                ("7.m4s".to_owned(), Duration::from_secs(2)),
                ("8.m4s".to_owned(), Duration::from_millis(1500)),
            ],
            ended: true,
        };
        assert_eq!(read(text), Some(Playlist::Media(media)));
    }

    #[test]
    fn what_is_no_playlist_is_none() {
        for text in [
            "",
            "<html>",
            "#EXTM3U\n",
            "#EXTM3U\n#EXT-X-TARGETDURATION:2\nno-duration.m4s",
            "#EXTM3U\n#EXT-X-TARGETDURATION:-2\n",
            "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:-1,\na",
            "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:NaN,\na",
            "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n",
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }

    #[test]
    fn numbers_that_cannot_be_counted_with_are_no_playlist() {
        let day = 24 * 60 * 60;
        let text = |target: u64, sequence: u64, seconds: u64| {
            format!(
                "#EXTM3U\n#EXT-X-TARGETDURATION:{target}\n#EXT-X-MEDIA-SEQUENCE:{sequence}\n#EXTINF:{seconds},\na\n"
            )
        };
        let last = u64::MAX - SEGMENTS as u64;
        assert!(read(&text(day, last, day)).is_some());
        for (target, sequence, seconds) in [
            (day + 1, 0, 1),
            (u64::MAX, 0, 1),
            (1, last + 1, 1),
            (1, u64::MAX, 1),
            (1, 0, day + 1),
            (1, 0, u64::MAX),
        ] {
            assert_eq!(read(&text(target, sequence, seconds)), None);
        }
    }

    #[test]
    fn a_reference_is_resolved_on_its_own_gate() {
        let base = "/h5live/authhttp/~t/playlist.m3u8?stream=a/b";
        for (reference, expected) in [
            ("media.m3u8?x=1", "/h5live/authhttp/~t/media.m3u8?x=1"),
            ("sub/a.m4s", "/h5live/authhttp/~t/sub/a.m4s"),
            ("../a.m4s", "/h5live/authhttp/a.m4s"),
            ("./a", "/h5live/authhttp/~t/a"),
            ("../../../../../a", "/a"),
            ("..", "/h5live/authhttp/"),
            ("?x", "/h5live/authhttp/~t/playlist.m3u8?x"),
            ("/a?b=/../c", "/a?b=/../c"),
            ("a?b=c:d", "/h5live/authhttp/~t/a?b=c:d"),
            ("http://Gate.test:1/a", "/a"),
        ] {
            let found = resolve(base, reference, "gate.test:1");
            assert_eq!(found.as_deref(), Some(expected), "{reference}");
        }
        for elsewhere in [
            "http://gate.test/a",
            "http://gate.test:1.other.test/a",
            "https://gate.test:1/a",
            "//other.test/a",
            "data:text/plain,a",
        ] {
            assert_eq!(resolve(base, elsewhere, "gate.test:1"), None, "{elsewhere}");
        }
    }
}
