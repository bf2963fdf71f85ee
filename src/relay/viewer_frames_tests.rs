use proptest::collection::vec;
use proptest::prelude::*;

use super::super::frame;
use super::*;
use crate::properties::settings;

const LIMIT: usize = 300;

/// A frame with any first byte, masked.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = frame::from_client(0, [1, 2, 3, 4], payload);
    bytes[0] = first;
    bytes
}

/// Everything that is whole in `bytes` when they come in these parts, to the first violation.
fn read<'a>(
    parts: impl IntoIterator<Item = &'a [u8]>,
    limit: usize,
) -> (Vec<FromViewer>, Result<(), Violation>) {
    let mut frames = ViewerFrames::new(limit);
    let mut whole = Vec::new();
    for mut part in parts {
        loop {
            match frames.next(&mut part) {
                Ok(None) => break,
                Ok(Some(FromViewer::Fragment)) => {}
                Ok(Some(message)) => whole.push(message),
                Err(violation) => return (whole, Err(violation)),
            }
        }
        assert!(part.is_empty());
    }
    (whole, Ok(()))
}

fn one(bytes: &[u8]) -> (Vec<FromViewer>, Result<(), Violation>) {
    read([bytes], LIMIT)
}

fn violates(bytes: &[u8], what: &str) {
    assert_eq!(one(bytes), (vec![], Err(what)), "{bytes:?}");
    // Not later than with the last byte of the header.
    assert_eq!(
        read(bytes.chunks(1), LIMIT),
        (vec![], Err(what)),
        "{bytes:?}"
    );
}

fn cut<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    ends.push(bytes.len());
    ends.sort_unstable();
    let mut from = 0;
    ends.into_iter()
        .map(|end| {
            let part = &bytes[from..end];
            from = end;
            part
        })
        .collect()
}

/// A message in fragments, with control frames between them.
#[derive(Clone, Debug)]
struct Message {
    text: bool,
    fragments: Vec<Vec<u8>>,
    control: Vec<(u8, Vec<u8>)>,
}

fn messages() -> impl Strategy<Value = Vec<Message>> {
    let control = (
        prop_oneof![Just(opcode::PING), Just(opcode::PONG)],
        vec(any::<u8>(), 0..=CONTROL_LIMIT),
    );
    let message = (
        any::<bool>(),
        vec(vec(any::<u8>(), 0..60), 1..5),
        vec(control, 0..3),
    );
    vec(
        message.prop_map(|(text, fragments, control)| Message {
            text,
            fragments,
            control,
        }),
        0..5,
    )
}

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn messages_are_whole_however_they_are_fragmented_and_cut(messages in messages(), cuts in vec(any::<usize>(), 0..12)) {
        let (mut bytes, mut expected) = (Vec::new(), Vec::new());
        for Message { text, fragments, control } in messages {
            let mut control = control.into_iter();
            for (index, fragment) in fragments.iter().enumerate() {
                let opcode = match (index, text) {
                    (0, true) => opcode::TEXT,
                    (0, false) => opcode::BINARY,
                    _ => opcode::CONTINUATION,
                };
                let fin = if index + 1 == fragments.len() { 0x80 } else { 0 };
                bytes.extend(masked(fin | opcode, fragment));
                if fin == 0 && let Some((opcode, payload)) = control.next() {
                    bytes.extend(masked(0x80 | opcode, &payload));
                    expected.push(if opcode == opcode::PING { FromViewer::Ping(payload) } else { FromViewer::Pong(payload) });
                }
            }
            let whole = fragments.concat();
            expected.push(if text { FromViewer::Text(whole) } else { FromViewer::Binary(whole) });
        }
        prop_assert_eq!(read(cut(&bytes, &cuts), LIMIT), (expected, Ok(())));
    }

    #[test]
    fn any_bytes_cut_anywhere_are_read_the_same(
        mut bytes in vec(any::<u8>(), 0..200),
        plausible: bool,
        cuts in vec(any::<usize>(), 0..20),
    ) {
        if plausible && let [first, second, ..] = &mut bytes[..] {
            (*first, *second) = (0x81, 0x80 | *second & 0x3f);
        }
        let whole = one(&bytes);
        prop_assert_eq!(read(cut(&bytes, &cuts), LIMIT), whole);
    }

    #[test]
    fn never_more_is_kept_than_came(bytes in vec(any::<u8>(), 0..100), length: u64) {
        let mut frames = ViewerFrames::new(usize::MAX);
        let header = [&[0x82, 0xff][..], &(length >> 1 | 1 << 32).to_be_bytes(), &[1, 2, 3, 4]].concat();
        let mut rest = &header[..];
        prop_assert_eq!(frames.next(&mut rest), Ok(None));
        let mut rest = &bytes[..];
        prop_assert_eq!(frames.next(&mut rest), Ok(None));
        prop_assert!(frames.frame.unwrap().payload.capacity() <= 2 * bytes.len().max(8));
    }
}

#[test]
fn every_broken_rule_is_noticed_before_the_payload() {
    let header = |bytes: &[u8]| bytes[..header_length(bytes)].to_vec();
    violates(
        &frame::from_server(opcode::TEXT, b""),
        "a frame without a mask",
    );
    for reserved in [0x10, 0x20, 0x40] {
        violates(
            &header(&masked(0x81 | reserved, b"x")),
            "a frame with reserved bits",
        );
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        violates(&header(&masked(0x80 | opcode, b"x")), "a reserved opcode");
    }
    for opcode in [opcode::CLOSE, opcode::PING, opcode::PONG] {
        violates(&header(&masked(opcode, b"x")), "a fragmented control frame");
        violates(
            &header(&masked(0x80 | opcode, &[0; CONTROL_LIMIT + 1])),
            "a message that is too long",
        );
    }
    for fin in [0, 0x80] {
        violates(&header(&masked(fin, b"x")), "a continuation of nothing");
    }
    violates(
        &header(&masked(0x81, &[0; LIMIT + 1])),
        "a message that is too long",
    );
}

#[test]
fn a_length_has_one_spelling() {
    for length in [0_u16, 1, 125] {
        let bytes = [&[0x81, 0xfe][..], &length.to_be_bytes(), &[1, 2, 3, 4]].concat();
        violates(&bytes, "a frame length that is not allowed");
    }
    for length in [0_u64, 125, 126, 65_535, 1 << 63, u64::MAX] {
        let bytes = [&[0x81, 0xff][..], &length.to_be_bytes(), &[1, 2, 3, 4]].concat();
        violates(&bytes, "a frame length that is not allowed");
    }
    for length in [65_536, (1 << 63) - 1] {
        let bytes = [&[0x81, 0xff][..], &u64::to_be_bytes(length), &[1, 2, 3, 4]].concat();
        violates(&bytes, "a message that is too long");
    }
}

#[test]
fn a_message_may_be_as_long_as_the_limit_and_no_byte_longer() {
    assert_eq!(
        one(&masked(0x81, &[b'x'; LIMIT])),
        (vec![FromViewer::Text(vec![b'x'; LIMIT])], Ok(()))
    );
    let two = [masked(0x01, &[b'x'; LIMIT - 1]), masked(0x80, b"x")].concat();
    assert_eq!(
        one(&two),
        (vec![FromViewer::Text(vec![b'x'; LIMIT])], Ok(()))
    );
    let long = [
        masked(0x01, &[b'x'; LIMIT - 1]),
        masked(0x00, b"x"),
        masked(0x80, b"x"),
    ]
    .concat();
    assert_eq!(one(&long), (vec![], Err("a message that is too long")));
    let many = [
        masked(0x01, b""),
        masked(0x00, b"").repeat(10_000),
        masked(0x80, b"x"),
    ]
    .concat();
    assert_eq!(one(&many), (vec![FromViewer::Text(b"x".to_vec())], Ok(())));
}

#[test]
fn a_control_frame_does_not_count_towards_the_message_around_it() {
    let bytes = [
        masked(0x01, &[b'x'; LIMIT]),
        masked(0x89, &[7; CONTROL_LIMIT]),
        masked(0x80, b""),
    ]
    .concat();
    let expected = vec![
        FromViewer::Ping(vec![7; CONTROL_LIMIT]),
        FromViewer::Text(vec![b'x'; LIMIT]),
    ];
    assert_eq!(one(&bytes), (expected, Ok(())));
}

#[test]
fn a_new_message_inside_a_fragmented_one_is_a_violation() {
    for first in [0x81, 0x01, 0x82, 0x02] {
        let bytes = [masked(0x01, b"a"), masked(first, b"b")].concat();
        assert_eq!(one(&bytes).1, Err("a new message inside a fragmented one"));
    }
}

#[test]
fn a_fragmented_message_keeps_the_kind_of_its_first_frame() {
    let bytes = [masked(0x02, b"a"), masked(0x80, b"b")].concat();
    assert_eq!(one(&bytes).0, [FromViewer::Binary(b"ab".to_vec())]);
    let bytes = [masked(0x81, b""), masked(0x88, b""), masked(0x82, b"")].concat();
    let whole = [
        FromViewer::Text(vec![]),
        FromViewer::Close(vec![]),
        FromViewer::Binary(vec![]),
    ];
    assert_eq!(one(&bytes).0, whole);
}

#[test]
fn nothing_is_held_between_messages() {
    let mut frames = ViewerFrames::new(LIMIT);
    let bytes = [masked(0x01, b"a"), masked(0x80, b"b")].concat();
    let mut rest = &bytes[..];
    assert_eq!(frames.next(&mut rest), Ok(Some(FromViewer::Fragment)));
    assert!(frames.next(&mut rest).unwrap().is_some());
    assert!(frames.frame.is_none() && frames.message.is_none());
}
