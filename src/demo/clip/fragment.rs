//! One `moof` and `mdat` of a clip, and how it moves along the timeline.

use bytes::{Bytes, BytesMut};

use super::boxes::Mp4Box;
use super::{ClipError, Track};

/// A fragment as it stands in the clip, and where in it the numbers are that depend on its place on the timeline.
#[derive(Debug)]
pub(super) struct ClipFragment {
    bytes: &'static [u8],
    /// Where the sequence number is: 32 bits (14496-12, 8.8.5).
    sequence_at: usize,
    /// Where each track's decode time is, in the order of the tracks: 64 bits (8.8.12).
    times_at: Vec<usize>,
    is_keyframe: bool,
}

/// Flags of `tfhd` and `trun`: which optional fields there are (8.8.7, 8.8.8).
mod flag {
    pub(super) const BASE_DATA_OFFSET: u32 = 0x1;
    pub(super) const DESCRIPTION_INDEX: u32 = 0x2;
    pub(super) const DEFAULT_DURATION: u32 = 0x8;
    pub(super) const DEFAULT_SIZE: u32 = 0x10;
    pub(super) const DEFAULT_FLAGS: u32 = 0x20;
    pub(super) const DATA_OFFSET: u32 = 0x1;
    pub(super) const FIRST_SAMPLE_FLAGS: u32 = 0x4;
    pub(super) const SAMPLE_DURATION: u32 = 0x100;
    /// Of a sample: it is no keyframe (8.8.3.1).
    pub(super) const IS_NON_SYNC: u32 = 0x0001_0000;
}

/// All fragments of a file. Fills in how long a fragment of each track is.
pub(super) fn read_all(
    file: Mp4Box<'static>,
    tracks: &mut [Track],
) -> Result<Vec<ClipFragment>, ClipError> {
    let boxes = file.children(0)?;
    let mut fragments = Vec::new();
    for (place, moof) in boxes.iter().enumerate() {
        if !moof.is(b"moof") {
            continue;
        }
        let mdat = boxes.get(place + 1).filter(|next| next.is(b"mdat"));
        let mdat = mdat.ok_or(ClipError::Missing(*b"mdat"))?;
        let bytes = file.slice(moof.start(), mdat.end())?;
        fragments.push(ClipFragment::read(bytes, *moof, tracks)?);
    }
    if fragments.is_empty() {
        Err(ClipError::Empty)
    } else {
        Ok(fragments)
    }
}

impl ClipFragment {
    fn read(
        bytes: &'static [u8],
        moof: Mp4Box<'_>,
        tracks: &mut [Track],
    ) -> Result<Self, ClipError> {
        let children = moof.children(0)?;
        let mut times_at = Vec::with_capacity(tracks.len());
        let mut is_keyframe = false;
        for track in tracks {
            let mut run = None;
            for traf in children.iter().filter(|child| child.is(b"traf")) {
                let header = traf.child(b"tfhd")?;
                if header.u32(4)? == track.id {
                    run = Some(Run::read(*traf, header)?);
                }
            }
            let run = run.ok_or(ClipError::Missing(*b"traf"))?;
            // The first fragment says how long all of them are.
            if track.fragment_ticks == 0 {
                (track.fragment_ticks, track.fragment_samples) = (run.ticks, run.samples);
            }
            if (track.fragment_ticks, track.fragment_samples) != (run.ticks, run.samples) {
                return Err(ClipError::Uneven);
            }
            is_keyframe |= track.is_video() && run.starts_with_keyframe;
            times_at.push(run.time_at - moof.start());
        }
        Ok(Self {
            bytes,
            sequence_at: moof.child(b"mfhd")?.at() + 4 - moof.start(),
            times_at,
            is_keyframe,
        })
    }

    /// Its bytes as fragment `index` of the timeline. Sequence numbers begin with 1 and wrap after 2³², or 43 years.
    pub(super) fn at(&self, index: u64, tracks: &[Track]) -> Bytes {
        let mut bytes = BytesMut::from(self.bytes);
        let [.., a, b, c, d] = index.wrapping_add(1).to_be_bytes();
        put(&mut bytes, self.sequence_at, &[a, b, c, d]);
        for (at, track) in self.times_at.iter().zip(tracks) {
            let time = index.wrapping_mul(track.fragment_ticks);
            put(&mut bytes, *at, &time.to_be_bytes());
        }
        bytes.freeze()
    }

    pub(super) fn is_keyframe(&self) -> bool {
        self.is_keyframe
    }

    /// Bytes.
    pub(super) fn size(&self) -> u64 {
        self.bytes.len() as u64
    }
}

fn put(bytes: &mut [u8], at: usize, number: &[u8]) {
    // Every place was read through when the clip was parsed.
    if let Some(place) = bytes.get_mut(at..at + number.len()) {
        place.copy_from_slice(number);
    }
}

/// What one track has in a fragment.
struct Run {
    /// Its duration.
    ticks: u64,
    samples: u32,
    /// Where its decode time is in the file.
    time_at: usize,
    starts_with_keyframe: bool,
}

impl Run {
    fn read(traf: Mp4Box<'_>, header: Mp4Box<'_>) -> Result<Self, ClipError> {
        let time = traf.child(b"tfdt")?;
        if time.byte(0)? != 1 {
            return Err(ClipError::Missing(*b"tfdt"));
        }
        // Read so that it is known to be there: it will be overwritten.
        time.u32(8)?;
        let run = traf.child(b"trun")?;
        Ok(Self {
            ticks: ticks(header, run)?,
            samples: run.u32(4)?,
            time_at: time.at() + 4,
            starts_with_keyframe: first_flags(header, run)? & flag::IS_NON_SYNC == 0,
        })
    }
}

/// Flags of a full box: the last three bytes of its first word.
fn flags(full: Mp4Box<'_>) -> Result<u32, ClipError> {
    Ok(full.u32(0)? & 0xff_ffff)
}

/// The duration of all samples of a run.
fn ticks(header: Mp4Box<'_>, run: Mp4Box<'_>) -> Result<u64, ClipError> {
    let present = flags(run)?;
    let count = run.u32(4)?;
    if present & flag::SAMPLE_DURATION == 0 {
        let each = default(header, flag::DEFAULT_DURATION)?;
        return Ok(u64::from(count) * u64::from(each));
    }
    let fields = |mask: u32| (present & mask).count_ones() as usize * 4;
    let first = 8 + fields(flag::DATA_OFFSET | flag::FIRST_SAMPLE_FLAGS);
    let stride = fields(0xf00);
    let mut ticks = 0;
    for sample in 0..count as usize {
        ticks += u64::from(run.u32(first + sample * stride)?);
    }
    Ok(ticks)
}

/// The flags of a run's first sample.
fn first_flags(header: Mp4Box<'_>, run: Mp4Box<'_>) -> Result<u32, ClipError> {
    let present = flags(run)?;
    if present & flag::FIRST_SAMPLE_FLAGS == 0 {
        return default(header, flag::DEFAULT_FLAGS);
    }
    run.u32(
        8 + if present & flag::DATA_OFFSET == 0 {
            0
        } else {
            4
        },
    )
}

/// A default of `tfhd`: behind the track's number, and those optional fields before it that are there.
fn default(header: Mp4Box<'_>, wanted: u32) -> Result<u32, ClipError> {
    let present = flags(header)?;
    if present & wanted == 0 {
        return Err(ClipError::Missing(*b"tfhd"));
    }
    let lengths = [
        (flag::BASE_DATA_OFFSET, 8),
        (flag::DESCRIPTION_INDEX, 4),
        (flag::DEFAULT_DURATION, 4),
        (flag::DEFAULT_SIZE, 4),
    ];
    let before = lengths
        .iter()
        .filter(|(flag, _)| *flag < wanted && present & flag != 0);
    header.u32(8 + before.map(|(_, length)| length).sum::<usize>())
}
