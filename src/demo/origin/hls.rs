//! Live HLS (RFC 8216): playlists and segments, cut from the timeline. A segment is what lies between two keyframes, and
//! segment numbers are group numbers, so that they are the same in all renditions.

use std::fmt::Write as _;

use bytes::{Bytes, BytesMut};

use crate::demo::catalogue::{Catalogue, LiveStream};
use crate::demo::clip::Clip;
use crate::demo::timeline::Timeline;

/// Segments in a media playlist.
const WINDOW: u64 = 6;

/// For how many segments more one is still there that a playlist no longer has: as long as a playlist lasts, and one
/// segment (RFC 8216, 6.2.2).
const GRACE: u64 = WINDOW + 1;

/// The playlist of playlists: every rendition of the stream, best first.
pub(super) fn multivariant(catalogue: &Catalogue, stream: &LiveStream) -> String {
    let mut text = String::from("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n");
    for name in stream.renditions {
        let Some(rendition) = catalogue.get(name) else {
            continue;
        };
        let clip = &rendition.clip;
        let [peak, average] = bits_per_second(clip);
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "#EXT-X-STREAM-INF:BANDWIDTH={peak},AVERAGE-BANDWIDTH={average},CODECS=\"{}\",RESOLUTION={}x{}\n\
             {name}/media.m3u8\n",
            clip.codecs(),
            clip.picture().width,
            clip.picture().height,
        );
    }
    text
}

/// The newest segments.
pub(super) fn media(clip: &Clip, timeline: Timeline) -> String {
    let duration = seconds(clip);
    let end = first_missing(clip, timeline);
    let first = end.saturating_sub(WINDOW);
    let target = duration.ceil();
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{target}\n#EXT-X-MEDIA-SEQUENCE:{first}\n\
         #EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-MAP:URI=\"init.mp4\"\n",
    );
    for number in first..end {
        let _ = write!(text, "#EXTINF:{duration:.5},\n{number}.m4s\n");
    }
    text
}

/// Segment `number`; `None` when it is too old, or still to come.
pub(super) fn segment(clip: &Clip, timeline: Timeline, number: u64) -> Option<Bytes> {
    let end = first_missing(clip, timeline);
    let kept = end.saturating_sub(WINDOW + GRACE)..end;
    if !kept.contains(&number) {
        return None;
    }
    let first = number * clip.group();
    let mut segment = BytesMut::new();
    for index in first..first + clip.group() {
        segment.extend_from_slice(&clip.fragment(index));
    }
    Some(segment.freeze())
}

/// The number of the first segment that is not yet there to its end.
fn first_missing(clip: &Clip, timeline: Timeline) -> u64 {
    (timeline.newest() + 1) / clip.group()
}

/// How long a segment is.
fn seconds(clip: &Clip) -> f64 {
    let group = u32::try_from(clip.group()).unwrap_or(u32::MAX);
    clip.fragment_duration().as_secs_f64() * f64::from(group)
}

/// The bit rate of the largest segment, and of all.
fn bits_per_second(clip: &Clip) -> [u64; 2] {
    let nanos = clip.fragment_duration().as_nanos() * u128::from(clip.group());
    let rate = |bytes: u64| {
        let rate = (u128::from(bytes) * 8 * 1_000_000_000).div_ceil(nanos.max(1));
        u64::try_from(rate).unwrap_or(u64::MAX)
    };
    let sizes: Vec<u64> = clip.group_sizes().collect();
    let peak = sizes.iter().copied().max().unwrap_or_default();
    let average = sizes.iter().sum::<u64>() / (sizes.len() as u64).max(1);
    [rate(peak), rate(average)]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_segment_is_there_when_its_last_picture_is_and_until_nobody_can_ask_for_it() {
        let catalogue = Catalogue::load().unwrap();
        let clip = &catalogue.get("demo1-camera1").unwrap().clip;
        let timeline = Timeline::start(catalogue.fragment_duration());
        let there = |number| segment(clip, timeline, number).is_some();
        let listed = |number| media(clip, timeline).contains(&format!("\n{number}.m4s\n"));

        assert!(there(9) && listed(9), "what came before the start");
        advance(Duration::from_millis(1279)).await;
        assert!(!there(10) && !listed(10));
        advance(Duration::from_millis(1)).await;
        assert!(there(10) && listed(10) && !there(11));

        // It is listed for six segments, and there for seven more.
        advance(Duration::from_millis(5 * 1280)).await;
        assert!(there(10) && listed(10));
        advance(Duration::from_millis(1280)).await;
        assert!(there(10) && !listed(10));
        advance(Duration::from_millis(6 * 1280)).await;
        assert!(there(10));
        advance(Duration::from_millis(1280)).await;
        assert!(!there(10) && there(11));
    }
}
