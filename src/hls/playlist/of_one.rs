//! The multivariant playlist that a playback begins with where the media server has a media playlist alone.

/// What it says of the one variant, in bits per second. The attribute is required (RFC 8216 section 4.3.4.2) and is to be no less
/// than what any segment takes, which the gate does not know. With one variant there is nothing to choose by it; players size
/// their buffers by it, and hls.js loads by this one no further ahead than without any.
const BANDWIDTH: u32 = 20_000_000;

/// A multivariant playlist whose only variant is at `target` on the media server: its absolute path and query. It is still to be
/// rewritten.
///
/// It says nothing else: CODECS and RESOLUTION are not known, EXT-X-VERSION is 1 where there is none, and all that is said of
/// segments stands in the media playlist itself.
#[must_use]
pub fn of_one(target: &str) -> String {
    format!("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH={BANDWIDTH}\n{target}\n")
}
