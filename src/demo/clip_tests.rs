//! What the timeline of a repeated clip promises, read back from the bytes that viewers get.

use super::boxes::Mp4Box;
use super::*;

const CLIPS: [&[u8]; 3] = [
    include_bytes!("media/demo1-camera1.mp4"),
    include_bytes!("media/demo1-camera1-low.mp4"),
    include_bytes!("media/demo1-camera2.mp4"),
];

/// Decode time and duration of each track, and the sequence number, as a fragment's bytes say.
fn read(fragment: &[u8], tracks: usize) -> (u32, Vec<(u64, u64)>) {
    let moof = Mp4Box::file(fragment).child(b"moof").unwrap();
    let mut times = Vec::new();
    for traf in moof.children(0).unwrap() {
        if !traf.is(b"traf") {
            continue;
        }
        let (header, run) = (traf.child(b"tfhd").unwrap(), traf.child(b"trun").unwrap());
        // A flag says that the samples have one duration: it stands behind the track's number, and there are so many.
        assert_eq!(header.u32(0).unwrap() & 0x2b, 0x28);
        let each = u64::from(header.u32(8).unwrap());
        let time = traf.child(b"tfdt").unwrap();
        let time = u64::from(time.u32(4).unwrap()) << 32 | u64::from(time.u32(8).unwrap());
        times.push((time, each * u64::from(run.u32(4).unwrap())));
    }
    assert_eq!(times.len(), tracks);
    (moof.child(b"mfhd").unwrap().u32(4).unwrap(), times)
}

#[test]
fn both_tracks_go_on_without_gap_or_drift_for_a_thousand_loops() {
    for bytes in CLIPS {
        let clip = Clip::parse(bytes).unwrap();
        let loops = 1000;
        let mut expected = vec![0; clip.tracks.len()];
        for index in 0..loops * clip.fragments() {
            let (sequence, times) = read(&clip.fragment(index), clip.tracks.len());
            assert_eq!(u64::from(sequence), index + 1);
            for (expected, (time, duration)) in expected.iter_mut().zip(&times) {
                assert_eq!(*time, *expected, "fragment {index}");
                *expected += duration;
            }
            // Exactly the same moment in both tracks, as fractions.
            let [(video, _), (audio, _)] = times[..] else {
                panic!("{} tracks", times.len())
            };
            let [v, a] = [0, 1].map(|at| u64::from(clip.tracks[at].timescale));
            assert_eq!(video * a, audio * v, "fragment {index}");
        }
        let total = clip.fragment_duration() * u32::try_from(loops * clip.fragments()).unwrap();
        let played = expected[0] as f64 / f64::from(clip.tracks[0].timescale);
        assert!((total.as_secs_f64() - played).abs() < 1e-9);
    }
}

#[test]
fn a_fragment_changes_nothing_but_its_numbers() {
    for bytes in CLIPS {
        let clip = Clip::parse(bytes).unwrap();
        let media = |index| {
            let fragment = clip.fragment(index);
            let mdat = Mp4Box::file(&fragment).child(b"mdat").unwrap();
            fragment.slice(mdat.start()..)
        };
        for index in 0..clip.fragments() {
            assert_eq!(media(index), media(index + 999 * clip.fragments()));
        }
        let whole: Vec<u8> = (0..clip.fragments())
            .flat_map(|index| clip.fragment(index))
            .collect();
        assert_eq!(
            [&clip.init()[..], &whole].concat(),
            bytes,
            "the first loop is the clip"
        );
    }
}

#[test]
fn a_clip_says_what_it_is() {
    let sizes = CLIPS.map(|bytes| {
        let clip = Clip::parse(bytes).unwrap();
        assert_eq!(clip.codecs(), "avc1.42C01E,mp4a.40.2");
        assert_eq!(
            clip.mime_type(),
            r#"video/mp4; codecs="avc1.42C01E,mp4a.40.2""#
        );
        assert_eq!((clip.fragments(), clip.group()), (20, 4));
        assert_eq!(clip.fragment_duration(), Duration::from_millis(320));
        let sum: u64 = clip.group_sizes().sum();
        assert_eq!(clip.group_sizes().count(), 5);
        assert_eq!(sum + clip.init().len() as u64, bytes.len() as u64);
        let sound = Sound {
            sample_rate: 48_000,
            channels: 1,
            bits_per_sample: 16,
        };
        assert_eq!(clip.sound(), sound);
        let Picture {
            width,
            height,
            frame_rate,
        } = clip.picture();
        assert_eq!(frame_rate.to_string(), "25");
        (width, height)
    });
    assert_eq!(sizes, [(640, 360), (320, 180), (512, 288)]);
}

#[test]
fn a_clip_that_is_cut_is_an_error_and_never_a_panic() {
    let whole = CLIPS[1];
    // None of these is the end of a group, where a shorter clip would be whole.
    let ends = (0..4096).chain((4096..whole.len()).step_by(997));
    for end in ends {
        assert!(Clip::parse(&whole[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn a_clip_with_a_damaged_byte_is_never_a_panic() {
    let whole = CLIPS[1];
    for at in 0..3000 {
        let mut damaged = whole[..30_000].to_vec();
        damaged[at] ^= 0xff;
        let _ = Clip::parse(damaged.leak());
    }
}
