//! What is sent: boxes of the right form (ISO/IEC 14496-12) around nothing, with a stamp at their beginning.

use std::time::Duration;

use crate::h5live_messages::{Picture, Sound};
use crate::load::stamp;
use crate::relay::frame::{from_server, opcode};

/// A stamp, a `moof` with its `mfhd`, and the header of an `mdat`.
pub(super) const SMALLEST: u64 = 64;

/// `ftyp`, and a `moov` without tracks.
pub(super) const INIT: &[u8] = b"\0\0\0\x18ftypiso6\0\0\0\0iso6mp41\0\0\0\x08moov";

/// What is between the stamp and the media: an `mfhd` in a `moof`.
const MOOF: &[u8] = b"\0\0\0\x18moof\0\0\0\x10mfhd\0\0\0\0\0\0\0\x01";

/// What the media is said to be: there is none in it.
pub(super) const TYPE: &str = "video/mp4; codecs=\"avc1.42C01E,mp4a.40.2\"";

/// The sound that it is said to have.
pub(super) const SOUND: Sound = Sound {
    sample_rate: 48_000,
    channels: 2,
    bits_per_sample: 16,
};

/// The picture that it is said to have: one in each of the fragments, of which there are `rate` in a second.
pub(super) fn picture(rate: u32) -> Picture {
    Picture {
        width: 640,
        height: 360,
        frame_rate: rate.into(),
    }
}

/// A fragment of so many bytes, [`SMALLEST`] at least; its stamp is still to be written.
pub(super) fn segment(size: u64) -> Vec<u8> {
    let mut bytes = stamp::write(Duration::ZERO).to_vec();
    bytes.extend_from_slice(MOOF);
    let media = u32::try_from(size.saturating_sub(SMALLEST - 8)).unwrap_or(u32::MAX);
    bytes.extend_from_slice(&media.to_be_bytes());
    bytes.extend_from_slice(b"mdat");
    bytes.resize(
        usize::try_from(size)
            .unwrap_or(bytes.len())
            .max(bytes.len()),
        0,
    );
    bytes
}

/// A WebSocket frame that is sent to all viewers, stamped anew each time.
#[derive(Debug)]
pub(super) struct Fragment {
    frame: Vec<u8>,
    /// Where the stamp begins: behind the frame's header.
    stamp: usize,
}

impl Fragment {
    pub(super) fn new(size: u64) -> Self {
        let media = segment(size);
        let frame = from_server(opcode::BINARY, &media);
        Self {
            stamp: frame.len() - media.len(),
            frame,
        }
    }

    /// The whole frame, with this time in its stamp.
    pub(super) fn stamped(&mut self, time: Duration) -> &[u8] {
        let stamp = stamp::write(time);
        if let Some(place) = self.frame.get_mut(self.stamp..self.stamp + stamp.len()) {
            place.copy_from_slice(&stamp);
        }
        &self.frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fragment_is_boxes_that_fill_it_and_its_age_can_be_told() {
        for size in [64, 65, 8192, 100_000] {
            let mut fragment = Fragment::new(size);
            let (sent, now) = (Duration::from_secs(5), Duration::from_secs(6));
            let header = fragment.stamp;
            let bytes = fragment.stamped(sent)[header..].to_vec();
            assert_eq!(bytes.len() as u64, size);
            assert_eq!(stamp::age(&bytes, now), Some(Duration::from_secs(1)));
            let (mut rest, mut kinds) = (&bytes[..], Vec::new());
            while !rest.is_empty() {
                let length = u32::from_be_bytes(*rest.first_chunk().unwrap()) as usize;
                kinds.push(String::from_utf8(rest[4..8].to_vec()).unwrap());
                rest = &rest[length..];
            }
            assert_eq!(kinds, ["uuid", "moof", "mdat"]);
        }
        assert_eq!(INIT.len(), 32);
    }
}
