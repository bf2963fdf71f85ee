//! A clip: a fragmented MP4 file (ISO/IEC 14496-12) that is part of the binary, read once.
//!
//! What the rest relies on is checked here: every fragment holds the same duration of every track, to the tick, and
//! every so many fragments one begins with a keyframe. A position on the timeline is then a multiplication, and no
//! number of loops moves one track against another.

mod boxes;
mod fragment;

use std::time::Duration;

use bytes::Bytes;

use crate::h5live_messages::{Picture, Sound};
use boxes::Mp4Box;
use fragment::ClipFragment;

/// What a clip can lack. Always a fault of ours: clips do not come from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClipError {
    /// A box is longer than what holds it.
    #[error("a box is cut short")]
    CutShort,
    /// A box, or a field of one, is missing.
    #[error("{} is missing", .0.escape_ascii())]
    Missing([u8; 4]),
    /// Fragments or tracks differ in duration, or keyframes do not come evenly.
    #[error("the fragments are not evenly long")]
    Uneven,
    /// No fragment.
    #[error("there is nothing in it")]
    Empty,
}

/// A clip, ready to be repeated.
#[derive(Debug)]
pub struct Clip {
    init: Bytes,
    tracks: Vec<Track>,
    fragments: Vec<ClipFragment>,
    fragment_duration: Duration,
    group: u64,
    codecs: String,
    picture: Picture,
    sound: Sound,
}

/// One track of a clip.
#[derive(Debug)]
struct Track {
    id: u32,
    /// Ticks in a second.
    timescale: u32,
    /// Ticks in a fragment.
    fragment_ticks: u64,
    /// Pictures, or frames of sound, in a fragment.
    fragment_samples: u32,
    codec: String,
    kind: Kind,
}

/// What a track shows.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Pictures of this width and height.
    Picture(u16, u16),
    Sound(Sound),
}

impl Clip {
    /// Reads a file: `ftyp` and `moov`, then pairs of `moof` and `mdat`.
    pub fn parse(bytes: &'static [u8]) -> Result<Self, ClipError> {
        let file = Mp4Box::file(bytes);
        let moov = file.child(b"moov")?;
        let mut tracks = Vec::new();
        for trak in moov.children(0)?.iter().filter(|one| one.is(b"trak")) {
            tracks.push(Track::read(*trak)?);
        }
        let fragments = fragment::read_all(file, &mut tracks)?;
        let group = even_group(&fragments).ok_or(ClipError::Uneven)?;
        let codecs: Vec<_> = tracks.iter().map(|track| track.codec.as_str()).collect();
        let codecs = codecs.join(",");
        let fragment_duration = fragment_duration(&tracks)?;
        let seconds = fragment_duration.as_secs_f64();
        let picture = tracks.iter().find_map(|track| track.picture(seconds));
        let sound = tracks.iter().find_map(Track::sound);
        Ok(Self {
            init: Bytes::from_static(file.slice(0, moov.end())?),
            fragment_duration,
            tracks,
            fragments,
            group,
            codecs,
            picture: picture.ok_or(ClipError::Missing(*b"vide"))?,
            sound: sound.ok_or(ClipError::Missing(*b"soun"))?,
        })
    }

    /// The initialisation segment.
    #[must_use]
    pub fn init(&self) -> Bytes {
        self.init.clone()
    }

    /// Fragment `index` of the endless repetition: the clip's own fragment with its sequence number and its decode times
    /// as if the clip had never ended. The same bytes for the same index, always.
    #[must_use]
    pub fn fragment(&self, index: u64) -> Bytes {
        let in_loop = usize::try_from(index % self.fragments()).unwrap_or_default();
        // There is a fragment for every remainder; without one, nothing is the right answer all the same.
        let one = self.fragments.get(in_loop);
        one.map_or_else(Bytes::new, |one| one.at(index, &self.tracks))
    }

    /// How many fragments the clip has before it begins again; never 0.
    #[must_use]
    pub fn fragments(&self) -> u64 {
        self.fragments.len() as u64
    }

    /// How long each fragment is.
    #[must_use]
    pub fn fragment_duration(&self) -> Duration {
        self.fragment_duration
    }

    /// How many fragments there are from one keyframe to the next; never 0.
    #[must_use]
    pub fn group(&self) -> u64 {
        self.group
    }

    /// Whether fragment `index` begins with a keyframe.
    #[must_use]
    pub fn is_keyframe(&self, index: u64) -> bool {
        index.is_multiple_of(self.group)
    }

    /// The codecs as RFC 6381 writes them, such as `avc1.42C01E,mp4a.40.2`.
    #[must_use]
    pub fn codecs(&self) -> &str {
        &self.codecs
    }

    /// The type for a `MediaSource`.
    #[must_use]
    pub fn mime_type(&self) -> String {
        format!("video/mp4; codecs=\"{}\"", self.codecs)
    }

    /// What its pictures are.
    #[must_use]
    pub fn picture(&self) -> Picture {
        self.picture
    }

    /// What its sound is.
    #[must_use]
    pub fn sound(&self) -> Sound {
        self.sound
    }

    /// Bytes from each keyframe to the next, in the order of the clip.
    pub fn group_sizes(&self) -> impl Iterator<Item = u64> {
        let group = usize::try_from(self.group).unwrap_or(usize::MAX);
        let groups = self.fragments.chunks(group);
        groups.map(|fragments| fragments.iter().map(ClipFragment::size).sum())
    }
}

impl Track {
    fn read(trak: Mp4Box<'_>) -> Result<Self, ClipError> {
        let mdia = trak.child(b"mdia")?;
        let stsd = mdia.child(b"minf")?.child(b"stbl")?.child(b"stsd")?;
        let entry = stsd.children(8)?.into_iter().next();
        let entry = entry.ok_or(ClipError::Missing(*b"stsd"))?;
        let (codec, kind) = if entry.is(b"avc1") {
            // Profile, constraints and level stand in the decoder's configuration (14496-15, 5.3.3).
            let avcc = entry
                .children(78)?
                .into_iter()
                .find(|child| child.is(b"avcC"));
            let configuration = avcc.ok_or(ClipError::Missing(*b"avcC"))?.u32(0)?;
            let codec = format!("avc1.{:06X}", configuration & 0xff_ffff);
            (codec, Kind::Picture(entry.u16(24)?, entry.u16(26)?))
        } else if entry.is(b"mp4a") {
            let esds = entry
                .children(28)?
                .into_iter()
                .find(|child| child.is(b"esds"));
            let configuration = aac_configuration(esds.ok_or(ClipError::Missing(*b"esds"))?)?;
            let sound = Sound {
                // Of 16.16 bits the whole ones.
                sample_rate: entry.u16(24)?,
                // The entry's own count of channels is 2, whatever the sound has.
                channels: configuration >> 3 & 0xf,
                bits_per_sample: entry.u16(18)?,
            };
            (
                format!("mp4a.40.{}", configuration >> 11),
                Kind::Sound(sound),
            )
        } else {
            return Err(ClipError::Missing(*b"mp4a"));
        };
        Ok(Self {
            id: behind_two_times(trak.child(b"tkhd")?)?,
            timescale: behind_two_times(mdia.child(b"mdhd")?)?,
            fragment_ticks: 0,
            fragment_samples: 0,
            codec,
            kind,
        })
    }

    fn is_video(&self) -> bool {
        matches!(self.kind, Kind::Picture(..))
    }

    /// `seconds` is how long a fragment is.
    fn picture(&self, seconds: f64) -> Option<Picture> {
        match self.kind {
            Kind::Picture(width, height) => Some(Picture {
                width,
                height,
                frame_rate: f64::from(self.fragment_samples) / seconds,
            }),
            Kind::Sound(_) => None,
        }
    }

    fn sound(&self) -> Option<Sound> {
        match self.kind {
            Kind::Sound(sound) => Some(sound),
            Kind::Picture(..) => None,
        }
    }
}

/// The first two bytes of an AAC decoder's configuration (14496-3, 1.6.2.1): 5 bits of object type, 4 of sample rate, 4 of
/// channels. They stand in a descriptor in a descriptor in a descriptor (14496-1, 7.2.6), each a tag, a length of 7 bits
/// in each byte, and fields.
fn aac_configuration(esds: Mp4Box<'_>) -> Result<u16, ClipError> {
    let mut at = 4; // behind version and flags
    for (tag, fields) in [(3, 3), (4, 13), (5, 0)] {
        if esds.byte(at)? != tag {
            return Err(ClipError::Missing(*b"esds"));
        }
        at += 1;
        while esds.byte(at)? & 0x80 != 0 {
            at += 1;
        }
        at += 1 + fields;
    }
    esds.u16(at)
}

/// What stands behind the times of creation and change, the track's number in `tkhd` and the timescale in `mdhd`: they
/// have 32 bits each in version 0, and 64 in version 1 (14496-12, 8.3.2 and 8.4.2).
fn behind_two_times(full: Mp4Box<'_>) -> Result<u32, ClipError> {
    full.u32(if full.byte(0)? == 1 { 20 } else { 12 })
}

/// The duration of a fragment, when it is the same in all tracks and a whole number of nanoseconds.
fn fragment_duration(tracks: &[Track]) -> Result<Duration, ClipError> {
    let mut duration = None;
    for track in tracks {
        let nanos = track.fragment_ticks.saturating_mul(1_000_000_000);
        let timescale = u64::from(track.timescale);
        if timescale == 0 || nanos == 0 || !nanos.is_multiple_of(timescale) {
            return Err(ClipError::Uneven);
        }
        let this = Duration::from_nanos(nanos / timescale);
        if *duration.get_or_insert(this) != this {
            return Err(ClipError::Uneven);
        }
    }
    duration.ok_or(ClipError::Missing(*b"trak"))
}

/// How far keyframes are apart, when they are evenly so from the first fragment on and across the seam.
fn even_group(fragments: &[ClipFragment]) -> Option<u64> {
    let second = fragments
        .iter()
        .skip(1)
        .position(ClipFragment::is_keyframe)
        .map_or(fragments.len(), |at| at + 1);
    let even = fragments.len().is_multiple_of(second)
        && fragments
            .iter()
            .enumerate()
            .all(|(at, one)| one.is_keyframe() == at.is_multiple_of(second));
    even.then_some(second as u64)
}

#[cfg(test)]
#[path = "clip_tests.rs"]
mod tests;
