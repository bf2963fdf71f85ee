use std::time::Duration;

use super::*;
use crate::relay::frame::{close_payload, from_client, from_server};

fn follow(bytes: &[u8], step: usize) -> (Vec<Event>, u64) {
    let (mut frames, mut events) = (Frames::default(), Vec::new());
    for part in bytes.chunks(step) {
        frames.follow(part, |event| events.push(event));
    }
    (events, frames.data_bytes())
}

#[test]
fn every_event_is_noticed_however_the_bytes_are_cut() {
    let stamp = stamp::write(Duration::from_secs(7));
    let media = [&stamp[..], &[9; 300]].concat();
    let mut fragment = from_server(opcode::BINARY, &media);
    fragment[0] &= 0x7f;
    let data = [
        from_server(opcode::TEXT, b"{}"),
        from_server(opcode::BINARY, &media),
        from_server(opcode::BINARY, b"short"),
        from_server(opcode::BINARY, b""),
        fragment,
        from_server(opcode::CONTINUATION, &[1; 70_000]),
    ];
    let control = [
        from_server(opcode::PING, b"are you there"),
        from_server(opcode::PONG, b""),
        from_server(opcode::CLOSE, &close_payload(4903, "code 4903 abc")),
        from_server(opcode::CLOSE, b""),
    ];
    // The ping stands inside the fragmented message.
    let (before, last) = data.split_at(5);
    let bytes = [
        before.concat(),
        control[0].clone(),
        last.concat(),
        control[1..].concat(),
    ]
    .concat();
    let data_bytes: usize = data.iter().map(Vec::len).sum();
    for step in [1, 2, 7, 1000, bytes.len()] {
        let (events, counted) = follow(&bytes, step);
        let starts: Vec<_> = events
            .iter()
            .map(|event| match event {
                Event::Media(start) => start.bytes().to_vec(),
                Event::Text => b"text".to_vec(),
                Event::Ping(payload) => payload.clone(),
                Event::Close(code) => format!("{code:?}").into_bytes(),
                Event::Violation => b"violation".to_vec(),
            })
            .collect();
        let expected: [&[u8]; 8] = [
            b"text",
            &stamp,
            b"short",
            b"",
            b"are you there",
            &stamp,
            b"Some(4903)",
            b"None",
        ];
        assert_eq!(starts, expected, "in steps of {step}");
        assert_eq!(counted, data_bytes as u64);
    }
}

#[test]
fn what_no_server_may_send_is_a_violation() {
    let long = from_server(opcode::PING, &[0; 126]);
    let mut compressed = from_server(opcode::BINARY, b"x");
    compressed[0] |= 0x40;
    let wrong = [
        from_client(opcode::BINARY, [1, 2, 3, 4], b"masked"),
        from_server(0x3, b"reserved"),
        long,
        compressed,
    ];
    for bytes in wrong {
        let (events, _) = follow(&bytes, bytes.len());
        assert_eq!(events, [Event::Violation], "{bytes:?}");
    }
}
