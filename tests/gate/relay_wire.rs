//! Server to viewer is a wire: every byte arrives as it was sent, and the gate's own frames stand between frames.

use std::time::Duration;

use h5gate::relay::Cause;
use h5gate::relay::frame::{self, close_payload, opcode};
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::properties::settings;
use crate::support::relay::{Rig, SETTINGS, Setup, frames, switch};

/// A message of the server, in fragments, with pings of its own between them.
fn message(long: usize) -> impl Strategy<Value = Vec<Vec<u8>>> {
    // No byte of these frames' payload occurs in ours.
    let fragment = prop_oneof![4 => vec(0..9_u8, 0..40), 1 => vec(0..9_u8, 120..140), 1 => vec(0..9_u8, long - 5..long + 10)];
    (any::<bool>(), vec((fragment, any::<bool>()), 1..4)).prop_map(|(text, fragments)| {
        let count = fragments.len();
        let mut frames = Vec::new();
        for (index, (payload, ping)) in fragments.into_iter().enumerate() {
            let opcode = match (index, text) {
                (0, true) => opcode::TEXT,
                (0, false) => opcode::BINARY,
                _ => opcode::CONTINUATION,
            };
            let mut frame = frame::from_server(opcode, &payload);
            if index + 1 < count {
                frame[0] &= 0x7f;
            }
            frames.push(frame);
            if ping {
                frames.push(frame::from_server(opcode::PING, b"\x01\x02"));
            }
        }
        frames
    })
}

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    /// The server writes so many of its bytes.
    Server(usize),
    /// The viewer reads so many.
    Read(usize),
    /// The viewer pings.
    Ping,
    /// The viewer asks for a stream that it may not have.
    Denied,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..200_usize).prop_map(Step::Server),
        1 => (1..100_000_usize).prop_map(Step::Server),
        3 => (1..300_usize).prop_map(Step::Read),
        1 => Just(Step::Ping),
        1 => Just(Step::Denied),
    ];
    vec(step, 0..60)
}

async fn relayed(
    messages: &[Vec<Vec<u8>>],
    steps: &[Step],
    room: usize,
    early: usize,
) -> Result<(), TestCaseError> {
    let sent: Vec<u8> = messages.iter().flatten().flatten().copied().collect();
    let early = early % (sent.len() + 1);
    let setup = Setup {
        viewer_room: room,
        server_early: sent[..early].to_vec(),
        ..Setup::default()
    };
    let mut rig = Rig::start(setup);
    let (mut written, mut got, mut pings, mut denied) = (early, Vec::new(), 0_u32, 0_u32);
    for step in steps {
        match step {
            Step::Server(count) => {
                let end = (written + count).min(sent.len());
                rig.server.write_all(&sent[written..end]).await.unwrap();
                written = end;
            }
            Step::Read(count) => {
                let mut buffer = vec![0; *count];
                let read =
                    tokio::time::timeout(Duration::from_millis(1), rig.viewer.read(&mut buffer))
                        .await;
                got.extend_from_slice(&buffer[..read.map_or(0, Result::unwrap)]);
            }
            // Both waits keep the viewer's own direction from filling up, which is not what is proved here.
            Step::Ping if pings < 5 => {
                rig.viewer_sends(opcode::PING, b"viewer").await;
                pings += 1;
            }
            Step::Denied if denied < 3 => {
                rig.say(&switch("fghij-one", denied)).await;
                denied += 1;
            }
            Step::Ping | Step::Denied => {}
        }
        rig.settle().await;
    }
    let (mut server, rest) = (rig.server, sent[written..].to_vec());
    let finish = async {
        server.write_all(&rest).await.unwrap();
        server
            .write_all(&frame::from_server(
                opcode::CLOSE,
                &close_payload(1000, "end"),
            ))
            .await
            .unwrap();
        server
    };
    // The viewer reads while the server writes, or neither would end.
    let mut viewer = rig.viewer;
    let (_server, read) = tokio::join!(finish, viewer.read_to_end(&mut got));
    read.unwrap();

    let (frames, behind) = frames(&got);
    prop_assert!(behind.is_empty(), "the last frame is whole");
    let (mut wire, mut pongs, mut answers, mut inside) = (Vec::new(), 0, 0, false);
    for frame in &frames {
        match frame.opcode {
            opcode::PONG if frame.payload == b"viewer" => pongs += 1,
            opcode::TEXT if frame.payload.starts_with(b"{") => {
                prop_assert!(!inside, "an answer inside a fragmented message");
                answers += 1;
            }
            _ => {
                wire.extend_from_slice(&frame.bytes);
                inside = if frame.opcode & 0x08 == 0 {
                    !frame.fin
                } else {
                    inside
                };
            }
        }
    }
    let close = frame::from_server(opcode::CLOSE, &close_payload(1000, "end"));
    prop_assert_eq!(wire.len(), sent.len() + close.len());
    prop_assert!(
        wire == [sent, close].concat(),
        "the server's bytes were changed"
    );
    prop_assert_eq!(answers, denied, "every denied switch is answered");
    prop_assert_eq!(pongs, pings, "every ping has its pong");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, max_shrink_iters: 500, ..settings() })]
    #[test]
    fn every_byte_arrives_unchanged_and_own_frames_stand_in_gaps(
        (messages, room) in prop_oneof![
            (vec(message(200), 0..8), 1..70_usize),
            (vec(message(65_535), 0..8), 1000..100_000_usize),
        ],
        steps in steps(),
        early: usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(relayed(&messages, &steps, room, early))?;
    }
}

#[tokio::test(start_paused = true)]
async fn a_frame_passes_byte_by_byte_without_waiting_for_its_end() {
    let mut rig = Rig::start(Setup::default());
    let bytes = frame::from_server(opcode::BINARY, &[7; 300]);
    for byte in bytes {
        rig.server.write_all(&[byte]).await.unwrap();
        assert_eq!(rig.viewer.read_u8().await.unwrap(), byte);
        tokio::time::advance(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_trickle_is_no_silence_and_a_slow_viewer_is_not_the_servers_fault() {
    let mut rig = Rig::start(Setup {
        viewer_room: 1,
        ..Setup::default()
    });
    let sent = frame::from_server(opcode::BINARY, &[7; 40]);
    rig.server.write_all(&sent).await.unwrap();
    // One byte every 20 s: below the write stall, and far beyond the media server's idle time in all.
    for byte in sent {
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(rig.viewer.read_u8().await.unwrap(), byte);
    }
    rig.server_sends(opcode::CLOSE, &close_payload(1000, ""))
        .await;
    assert_eq!(rig.viewer_is_closed().await.0, 1000);
    assert_eq!(rig.end().await.0.cause, Cause::ServerClosed(Some(1000)));
}

#[tokio::test(start_paused = true)]
async fn an_answer_waits_for_the_end_of_a_fragmented_message_and_a_pong_does_not() {
    let mut rig = Rig::start(Setup::default());
    let mut first = frame::from_server(opcode::TEXT, b"one");
    first[0] = opcode::TEXT;
    rig.server.write_all(&first).await.unwrap();
    assert_eq!(rig.viewer_gets().await.unwrap().payload, b"one");
    rig.say(&switch("fghij-one", 1)).await;
    rig.viewer_sends(opcode::PING, b"p").await;
    assert_eq!(rig.viewer_gets().await.unwrap().opcode, opcode::PONG);
    rig.viewer_gets_nothing_for(Duration::from_secs(1)).await;
    rig.server_sends(opcode::CONTINUATION, b"two").await;
    assert_eq!(rig.viewer_gets().await.unwrap().payload, b"two");
    assert_eq!(
        rig.viewer_gets().await.unwrap().json()["eventType"],
        "onUpdateSourceError"
    );
}

#[tokio::test(start_paused = true)]
async fn pongs_wait_for_the_end_of_a_frame_and_every_ping_has_its_own_in_order() {
    let mut rig = Rig::start(Setup::default());
    let sent = frame::from_server(opcode::BINARY, b"media");
    rig.server.write_all(&sent[..4]).await.unwrap();
    rig.settle().await;
    for payload in [&b"first"[..], b"second", b"third"] {
        rig.viewer_sends(opcode::PING, payload).await;
    }
    rig.settle().await;
    rig.server.write_all(&sent[4..]).await.unwrap();
    assert_eq!(rig.viewer_gets().await.unwrap().payload, b"media");
    for payload in [&b"first"[..], b"second", b"third"] {
        let pong = rig.viewer_gets().await.unwrap();
        assert_eq!(
            (pong.opcode, pong.payload.as_slice()),
            (opcode::PONG, payload)
        );
    }
    rig.viewer_gets_nothing_for(Duration::from_secs(1)).await;
    rig.server_gets_nothing_for(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_servers_ping_passes_and_the_viewers_pong_goes_on() {
    let mut rig = Rig::start(Setup::default());
    rig.server_sends(opcode::PING, b"are you there").await;
    let ping = rig.viewer_gets().await.unwrap();
    assert_eq!(
        (ping.opcode, ping.payload.as_slice()),
        (opcode::PING, &b"are you there"[..])
    );
    rig.viewer_sends(opcode::PONG, b"are you there").await;
    let pong = rig.server_gets().await.unwrap();
    assert_eq!(
        (pong.opcode, pong.masked, pong.payload.as_slice()),
        (opcode::PONG, true, &b"are you there"[..])
    );
}

#[tokio::test(start_paused = true)]
async fn early_bytes_of_both_sides_go_first() {
    let setup = Setup {
        viewer_early: frame::from_client(opcode::TEXT, [1, 2, 3, 4], br#"{"eventType":"onPlay"}"#),
        server_early: frame::from_server(opcode::TEXT, b"early")[..3].to_vec(),
        ..Setup::default()
    };
    let mut rig = Rig::start(setup);
    assert_eq!(
        rig.server_gets().await.unwrap().text(),
        r#"{"eventType":"onPlay"}"#
    );
    rig.server
        .write_all(&frame::from_server(opcode::TEXT, b"early")[3..])
        .await
        .unwrap();
    assert_eq!(rig.viewer_gets().await.unwrap().text(), "early");
}

#[tokio::test(start_paused = true)]
async fn a_viewer_that_does_not_read_stops_the_reading_of_its_server() {
    let mut rig = Rig::start(Setup {
        viewer_room: 100,
        server_room: 1000,
        ..Setup::default()
    });
    let media = frame::from_server(opcode::BINARY, &[7; 60_000]);
    let mut sent = 0;
    loop {
        let write = rig.server.write(&media);
        match tokio::time::timeout(Duration::from_secs(1), write).await {
            Ok(written) => sent += written.unwrap(),
            Err(_) => break,
        }
        assert!(sent < 500_000, "the gate reads on");
    }
    assert!(sent <= 64 * 1024 + 2000, "{sent} bytes went into the gate");
}

#[tokio::test(start_paused = true)]
async fn denials_that_find_no_gap_stop_the_reading_of_their_viewer() {
    let mut rig = Rig::start(Setup {
        viewer_room: 1000,
        ..Setup::default()
    });
    // The server stands inside a frame.
    rig.server
        .write_all(&frame::from_server(opcode::BINARY, &[7; 300])[..10])
        .await
        .unwrap();
    rig.settle().await;
    let mut asked = 0;
    let text = switch("fghij-one", 1);
    let message = frame::from_client(opcode::TEXT, [1, 2, 3, 4], text.as_bytes());
    while tokio::time::timeout(Duration::from_secs(1), rig.viewer.write_all(&message))
        .await
        .is_ok()
    {
        asked += 1;
        assert!(asked < 500, "the gate reads on");
    }
    assert!(rig.log.lock().unwrap().decided.len() < 32);
}

#[tokio::test(start_paused = true)]
async fn a_viewer_that_floods_pings_without_reading_is_stopped_too() {
    let settings = h5gate::relay::RelaySettings {
        write_stall: Duration::from_secs(3600),
        ..SETTINGS
    };
    let mut rig = Rig::start(Setup {
        viewer_room: 64,
        settings,
        ..Setup::default()
    });
    let ping = frame::from_client(opcode::PING, [1, 2, 3, 4], &[9; 125]);
    let mut asked = 0;
    while tokio::time::timeout(Duration::from_secs(1), rig.viewer.write_all(&ping))
        .await
        .is_ok()
    {
        asked += 1;
        assert!(asked < 500, "the gate reads on");
    }
    // What waits are the pongs of two rounds: one that is under way, and one behind it.
    let mut waiting = vec![0; 1 << 20];
    let mut got = 0;
    while let Ok(read) =
        tokio::time::timeout(Duration::from_secs(1), rig.viewer.read(&mut waiting)).await
    {
        got += read.unwrap();
    }
    assert!(got <= asked * 127 && asked < 200, "{got} {asked}");
}
