use proptest::collection::vec;
use proptest::prelude::*;

use super::super::frame;
use super::*;
use crate::properties::settings;

/// What a server may send.
#[derive(Clone, Debug)]
struct Sent {
    first: u8,
    mask: Option<[u8; 4]>,
    /// A spelling of the length that is longer than it need be: 2 or 8 bytes.
    long: usize,
    payload: Vec<u8>,
}

impl Sent {
    fn new(first: u8, payload: &[u8]) -> Self {
        Self {
            first,
            mask: None,
            long: 0,
            payload: payload.to_vec(),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let masked = if self.mask.is_some() { 0x80 } else { 0 };
        let length = self.payload.len();
        let mut bytes = match (length, self.long) {
            (0..=125, 0) => vec![self.first, masked | u8::try_from(length).unwrap()],
            (0..=65_535, 0 | 2) => [
                &[self.first, masked | 126][..],
                &u16::try_from(length).unwrap().to_be_bytes(),
            ]
            .concat(),
            _ => [
                &[self.first, masked | 127][..],
                &(length as u64).to_be_bytes(),
            ]
            .concat(),
        };
        let mut payload = self.payload.clone();
        if let Some(mask) = self.mask {
            bytes.extend(mask);
            apply_mask(&mut payload, mask, 0);
        }
        bytes.extend(payload);
        bytes
    }
}

/// Any frame but a close.
fn any_frame() -> impl Strategy<Value = Sent> {
    let opcode = (0..16_u8).prop_filter("a close is the end", |opcode| *opcode != opcode::CLOSE);
    let size = prop_oneof![4 => 0..20_usize, 1 => 120..130_usize, 1 => 65_530..65_540_usize];
    (
        opcode,
        any::<u8>(),
        any::<Option<[u8; 4]>>(),
        prop_oneof![Just(0), Just(2), Just(8)],
        size,
    )
        .prop_map(|(opcode, bits, mask, long, size)| Sent {
            first: bits & 0xf0 | opcode,
            mask,
            long,
            payload: (0..size)
                .map(|at| u8::try_from(at % 251).unwrap())
                .collect(),
        })
}

fn bytes_of(frames: &[Sent]) -> Vec<u8> {
    frames.iter().flat_map(Sent::bytes).collect()
}

/// Follows `bytes` cut at these places: what went on, the texts, the close, and every gap of the whole stream.
fn follow_cut(
    bytes: &[u8],
    cuts: &[usize],
    watch: bool,
) -> (Vec<u8>, Vec<Vec<u8>>, Option<ServerClose>) {
    let mut follower = Follower::default();
    follower.watch(watch);
    let (mut forward, mut messages, mut close) = (Vec::new(), Vec::new(), None);
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    ends.push(bytes.len());
    ends.sort_unstable();
    let mut from = 0;
    for end in ends {
        let followed = follower.follow(&bytes[from..end]);
        forward.extend_from_slice(&bytes[from..from + followed.forward]);
        messages.extend(followed.messages);
        close = close.or(followed.close);
        from = end;
    }
    (forward, messages, close)
}

/// The places between two frames, and those of them between two messages, by adding up lengths.
fn gaps(frames: &[Sent]) -> Vec<(usize, bool)> {
    let mut at = 0;
    let mut fragmented = false;
    frames
        .iter()
        .map(|frame| {
            at += frame.bytes().len();
            if frame.first & 0x08 == 0 {
                fragmented = frame.first & 0x80 == 0;
            }
            (at, !fragmented)
        })
        .collect()
}

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn however_the_stream_is_cut_the_result_is_the_same(
        frames in vec(any_frame(), 0..8),
        cuts in vec(any::<usize>(), 0..12),
        close in any::<Option<[u8; 4]>>(),
        behind in vec(any::<u8>(), 0..10),
        watch: bool,
    ) {
        let mut bytes = bytes_of(&frames);
        let wire = bytes.clone();
        if let Some(mask) = close {
            let close = frame::from_client(opcode::CLOSE, mask, &frame::close_payload(1012, "bye"));
            bytes.extend(close);
            bytes.extend(behind);
        }
        let whole = follow_cut(&bytes, &[], watch);
        prop_assert_eq!(&whole.0, &wire);
        prop_assert_eq!(whole.2.as_ref().map(|close| close.code), close.map(|_| Some(1012)));
        prop_assert_eq!(follow_cut(&bytes, &cuts, watch), whole);
    }

    #[test]
    fn any_bytes_cut_anywhere_are_followed_the_same(bytes in vec(any::<u8>(), 0..300), cuts in vec(any::<usize>(), 0..20)) {
        prop_assert_eq!(follow_cut(&bytes, &cuts, true), follow_cut(&bytes, &[], true));
    }

    #[test]
    fn a_gap_is_where_a_frame_ends_and_nowhere_else(frames in vec(any_frame(), 1..6), cut in any::<usize>()) {
        let bytes = bytes_of(&frames);
        let gaps = gaps(&frames);
        let cut = cut % (bytes.len() + 1);
        let mut follower = Follower::default();
        for (part, start) in [(&bytes[..cut], 0), (&bytes[cut..], cut)] {
            let followed = follower.follow(part);
            let end = start + part.len();
            let last = |wanted: &dyn Fn(bool) -> bool| {
                gaps.iter().rev().find(|(at, message)| *at > start && *at <= end && wanted(*message)).map(|(at, _)| at - start)
            };
            prop_assert_eq!(followed.frame_gap, last(&|_| true));
            prop_assert_eq!(followed.message_gap, last(&|message| message));
            let between = end == 0 || gaps.iter().any(|(at, _)| *at == end);
            prop_assert_eq!(follower.between_frames(), between);
            let message = end == 0 || gaps.iter().any(|(at, message)| *at == end && *message);
            prop_assert_eq!(follower.between_messages(), message);
        }
    }

    #[test]
    fn at_a_gap_the_stream_can_be_read_in_two_halves(frames in vec(any_frame(), 1..6)) {
        let bytes = bytes_of(&frames);
        let Some(gap) = Follower::default().follow(&bytes[..bytes.len() - 1]).frame_gap else { return Ok(()) };
        let mut behind = Follower::default();
        let followed = behind.follow(&bytes[gap..]);
        prop_assert_eq!(followed.frame_gap, Some(bytes.len() - gap));
        prop_assert!(behind.between_frames());
    }

    #[test]
    fn the_first_media_is_told_once_where_it_begins(frames in vec(any_frame(), 0..6), cut in any::<usize>()) {
        let bytes = bytes_of(&frames);
        let cut = cut % (bytes.len() + 1);
        let mut follower = Follower::default();
        let told = [&bytes[..cut], &bytes[cut..]].map(|part| follower.follow(part).media);
        let before = frames.iter().take_while(|frame| frame.first & 0x0f != opcode::BINARY);
        let start: usize = before.map(|frame| frame.bytes().len()).sum();
        // Known when the header is whole.
        let known = frames.iter().find(|frame| frame.first & 0x0f == opcode::BINARY);
        let known = known.map(|frame| start + frame.bytes().len() - frame.payload.len());
        prop_assert_eq!(told, [known.is_some_and(|at| at <= cut), known.is_some_and(|at| at > cut)]);
    }

    #[test]
    fn watched_texts_are_whole_and_nothing_else_is_kept(frames in vec(any_frame(), 0..8), cuts in vec(any::<usize>(), 0..6)) {
        let (_, messages, _) = follow_cut(&bytes_of(&frames), &cuts, true);
        let (_, unwatched, _) = follow_cut(&bytes_of(&frames), &cuts, false);
        prop_assert!(unwatched.is_empty());
        let mut expected = Vec::new();
        let mut text: Option<Vec<u8>> = None;
        for frame in frames.iter().filter(|frame| frame.first & 0x08 == 0) {
            if frame.first & 0x0f != opcode::CONTINUATION {
                text = (frame.first & 0x0f == opcode::TEXT).then(Vec::new);
            }
            if let Some(text) = &mut text {
                text.extend(&frame.payload);
            }
            if frame.first & 0x80 != 0 {
                expected.extend(text.take().filter(|text| text.len() <= WATCH_LIMIT));
            }
        }
        prop_assert_eq!(messages, expected);
    }
}

#[test]
fn a_long_frame_is_no_gap_until_its_last_byte() {
    for length in [
        u64::from(u16::MAX) + 1,
        u64::from(u32::MAX) + 1,
        1 << 62,
        (1 << 63) - 1,
        1 << 63,
        u64::MAX,
    ] {
        let mut follower = Follower::default();
        let header = [&[0x82, 127][..], &length.to_be_bytes()].concat();
        assert_eq!(follower.follow(&header).frame_gap, None, "{length}");
        assert_eq!(follower.follow(&[0; 1000]).forward, 1000);
        assert!(!follower.between_frames(), "{length}");
        follower.remaining = 1;
        assert_eq!(follower.follow(&[0, 0x82]).frame_gap, Some(1), "{length}");
    }
}

#[test]
fn a_control_frame_inside_a_fragmented_text_does_not_disturb_it() {
    let frames = [
        Sent::new(0x01, b"one "),
        Sent::new(0x89, b"ping"),
        Sent::new(0x00, b""),
        Sent::new(0x8a, b""),
        Sent::new(0x80, b"two"),
    ];
    let (_, messages, _) = follow_cut(&bytes_of(&frames), &[], true);
    assert_eq!(messages, [b"one two"]);
    let mut follower = Follower::default();
    let followed = follower.follow(&bytes_of(&frames[..4]));
    assert_eq!(
        (followed.frame_gap, followed.message_gap),
        (Some(bytes_of(&frames[..4]).len()), None)
    );
}

#[test]
fn a_text_that_ends_with_an_empty_fragment_is_heard() {
    let frames = [Sent::new(0x01, b"all"), Sent::new(0x80, b"")];
    assert_eq!(follow_cut(&bytes_of(&frames), &[], true).1, [b"all"]);
    assert_eq!(
        follow_cut(&bytes_of(&[Sent::new(0x81, b"")]), &[], true).1,
        [b""]
    );
}

#[test]
fn a_text_under_way_when_watching_begins_is_not_kept() {
    let mut follower = Follower::default();
    follower.follow(&Sent::new(0x01, b"ear").bytes());
    follower.watch(true);
    assert_eq!(
        follower.follow(&Sent::new(0x80, b"ly").bytes()).messages,
        Vec::<Vec<u8>>::new()
    );
    assert_eq!(
        follower.follow(&Sent::new(0x81, b"next").bytes()).messages,
        [b"next"]
    );
    follower.follow(&Sent::new(0x01, b"la").bytes());
    follower.watch(false);
    assert_eq!(follower.text, None, "nothing is kept while not watching");
    follower.watch(true);
    assert_eq!(
        follower.follow(&Sent::new(0x80, b"te").bytes()).messages,
        Vec::<Vec<u8>>::new()
    );
}

#[test]
fn a_watched_text_is_kept_up_to_its_limit() {
    let exact = Sent::new(0x81, &[b'x'; WATCH_LIMIT]);
    assert_eq!(follow_cut(&exact.bytes(), &[100], true).1.len(), 1);
    let mut follower = Follower::default();
    follower.watch(true);
    let long = Sent::new(0x81, &[b'x'; 10 * WATCH_LIMIT]).bytes();
    for part in long.chunks(1000) {
        assert_eq!(follower.follow(part).messages, Vec::<Vec<u8>>::new());
        assert!(
            follower
                .text
                .as_ref()
                .is_none_or(|text| text.len() <= WATCH_LIMIT)
        );
    }
}

#[test]
fn a_close_frame_is_held_back_until_it_is_whole() {
    let media = Sent::new(0x82, b"media").bytes();
    for payload in [
        &b""[..],
        &[3],
        &frame::close_payload(1001, ""),
        &frame::close_payload(4900, &"x".repeat(123)),
    ] {
        let close = Sent::new(0x88, payload).bytes();
        let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
        for cut in 0..close.len() {
            let mut follower = Follower::default();
            let first = follower.follow(&[&media[..], &close[..cut]].concat());
            assert_eq!((first.forward, first.close), (media.len(), None));
            assert!(
                follower.between_messages(),
                "what the viewer got ends between two messages"
            );
            let second = follower.follow(&[&close[cut..], b"\x82\x00"].concat());
            let whole = ServerClose {
                code,
                frame: Some(close.clone()),
            };
            assert_eq!((second.forward, second.close), (0, Some(whole)));
            assert_eq!(
                follower.follow(b"\x88\x00\x82\x00"),
                Followed::default(),
                "nothing behind it counts"
            );
        }
    }
}

#[test]
fn a_close_frame_with_an_impossible_length_is_known_by_its_header() {
    for header in [
        &[0x88, 126, 0, 126][..],
        &[0x88, 127, 0xff, 0, 0, 0, 0, 0, 0, 0],
    ] {
        let followed = Follower::default().follow(header);
        assert_eq!(
            (followed.forward, followed.close),
            (
                0,
                Some(ServerClose {
                    code: None,
                    frame: None
                })
            )
        );
    }
}

#[test]
fn a_masked_close_tells_its_code() {
    let close = frame::from_client(
        opcode::CLOSE,
        [7, 8, 9, 10],
        &frame::close_payload(1012, "x"),
    );
    let followed = Follower::default().follow(&close);
    assert_eq!(
        followed.close,
        Some(ServerClose {
            code: Some(1012),
            frame: Some(close)
        })
    );
}

#[test]
fn following_media_keeps_nothing() {
    let mut follower = Follower::default();
    let media: Vec<u8> = (0..1000)
        .flat_map(|_| Sent::new(0x82, &[7; 90]).bytes())
        .collect();
    for part in media.chunks(777) {
        let followed = follower.follow(part);
        assert_eq!((followed.messages.capacity(), followed.close), (0, None));
    }
    assert!(follower.text.is_none() && follower.close.is_none());
}
