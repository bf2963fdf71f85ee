//! Playlists of a live stream that never began and never ends.

use std::fmt::Write as _;
use std::time::Duration;

use crate::token::StreamName;

/// Segments in a playlist.
const WINDOW: u64 = 6;

/// How long a segment is still there after its playlist, in segments.
const KEPT: u64 = 12;

/// The stream that the query of a request names.
pub(super) fn stream(query: &str) -> String {
    let named = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("stream=")?.parse::<StreamName>().ok());
    named.map_or_else(|| "live".to_owned(), |name| name.to_string())
}

/// The one variant of a stream; `query` is that of the request.
pub(super) fn multivariant(query: &str) -> String {
    let name = stream(query);
    format!(
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-STREAM-INF:BANDWIDTH=2000000,CODECS=\"avc1.42C01E\"\n{name}/media.m3u8\n"
    )
}

/// The segments that are complete `now`.
pub(super) fn media(now: Duration, seconds: u32) -> String {
    let edge = edge(now, seconds);
    let first = edge.saturating_sub(WINDOW);
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{seconds}\n#EXT-X-MEDIA-SEQUENCE:{first}\n\
         #EXT-X-MAP:URI=\"init.mp4\"\n"
    );
    for number in first..edge {
        // Writing to a string cannot fail.
        let _ = write!(text, "#EXTINF:{seconds}.000,\n{number}.m4s\n");
    }
    text
}

/// Whether segment `number` is there `now`.
pub(super) fn exists(number: u64, now: Duration, seconds: u32) -> bool {
    let edge = edge(now, seconds);
    (edge.saturating_sub(WINDOW + KEPT)..edge).contains(&number)
}

/// The number of the segment that is not complete yet.
fn edge(now: Duration, seconds: u32) -> u64 {
    now.as_secs() / u64::from(seconds.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_playlist_lists_what_is_there() {
        let now = Duration::from_millis(100_999);
        let text = media(now, 2);
        let listed: Vec<u64> = text
            .lines()
            .filter_map(|line| line.strip_suffix(".m4s")?.parse().ok())
            .collect();
        assert_eq!(listed, [44, 45, 46, 47, 48, 49]);
        assert!(text.contains("#EXT-X-MEDIA-SEQUENCE:44\n"), "{text}");
        assert!(listed.iter().all(|&number| exists(number, now, 2)));
        assert!(exists(32, now, 2) && !exists(31, now, 2) && !exists(50, now, 2));
    }

    #[test]
    fn a_variant_has_the_streams_name_if_it_is_one() {
        assert!(multivariant("url=x&stream=abcde-one").ends_with("\nabcde-one/media.m3u8\n"));
        assert!(multivariant("stream=a%0Ab").ends_with("\nlive/media.m3u8\n"));
    }
}
