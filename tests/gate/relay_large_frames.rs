//! Large frames pass between sockets of the system without being read, and everything else that a relay promises holds
//! on.

use std::sync::atomic::Ordering;
use std::time::Duration;

use h5gate::relay::frame::{self, close_payload, opcode};
use h5gate::relay::{Cause, Outcome};
use h5gate::session::ends::Kick;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::relay::{Counts, Rig, Setup, switch};

/// Frames of every size that matters, large ones behind each other and with small ones between.
fn media() -> Vec<Vec<u8>> {
    const SIZES: [usize; 16] = [
        0, 200, 32_767, 32_768, 32_769, 65_536, 65_536, 131_072, 131_058, 100, 1_000_000, 1,
        40_000, 300_000, 9, 131_073,
    ];
    SIZES
        .iter()
        .enumerate()
        .map(|(index, &size)| {
            let byte = |at| u8::try_from((at * 7 + index) % 256).unwrap();
            let payload: Vec<u8> = (0..size).map(byte).collect();
            frame::from_server(opcode::BINARY, &payload)
        })
        .collect()
}

/// Sends in pieces of `piece` bytes; the server comes back to be kept open.
#[expect(
    clippy::disallowed_methods,
    reason = "the test waits for it, or its runtime ends it"
)]
fn send(mut server: TcpStream, bytes: Vec<u8>, piece: usize) -> tokio::task::JoinHandle<TcpStream> {
    tokio::spawn(async move {
        for piece in bytes.chunks(piece) {
            server.write_all(piece).await.unwrap();
        }
        server
    })
}

/// A relay whose server's far end is elsewhere.
async fn start() -> (Rig<TcpStream>, TcpStream) {
    let mut rig = Rig::over_tcp(Setup::default()).await;
    let (spare, _) = tcp_pair().await;
    let server = std::mem::replace(&mut rig.server, spare);
    (rig, server)
}

async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let far = TcpStream::connect(listener.local_addr().unwrap()).await;
    (far.unwrap(), listener.accept().await.unwrap().0)
}

#[tokio::test]
async fn frames_arrive_as_they_were_sent_however_they_come_and_are_taken() {
    let sent = media().concat();
    // Whole, in odd pieces, and so that a header comes in two.
    for (piece, taken) in [
        (1 << 20, 1 << 20),
        (70_001, 4096),
        (1461, 100_000),
        (65_541, 65_536),
    ] {
        let (mut rig, server) = start().await;
        let server = send(server, sent.clone(), piece);
        let mut got = Vec::new();
        let mut buffer = vec![0; taken];
        while got.len() < sent.len() {
            let count = rig.viewer.read(&mut buffer).await.unwrap();
            assert!(count > 0, "ended after {} of {}", got.len(), sent.len());
            got.extend_from_slice(&buffer[..count]);
        }
        assert!(got == sent, "pieces of {piece}, taken by {taken}");
        drop(server.await.unwrap());
        assert_eq!(
            rig.viewer_is_closed().await.0,
            4503,
            "still between two frames"
        );
        let (end, _) = rig.end().await;
        assert_eq!(
            (end.cause, end.to_viewer),
            (Cause::ServerLost, sent.len() as u64)
        );
    }
}

#[tokio::test]
async fn what_is_large_is_not_read() {
    let (mut rig, server) = start().await;
    let frames = vec![frame::from_server(opcode::BINARY, &[7; 200_000]); 50].concat();
    let length = frames.len();
    let server = send(server, frames, 1 << 20);
    let mut got = vec![0; length];
    rig.viewer.read_exact(&mut got).await.unwrap();
    let read = rig.counts.bytes.load(Ordering::Relaxed);
    // The first read cannot know what comes.
    assert!(read <= 2 * 64 * 1024, "{read} of {length} bytes were read");
    drop(server.await.unwrap());
}

/// What a small frame costs beside the kernel's price for its bytes: nothing is tried that cannot bring any further.
#[tokio::test]
async fn a_small_frame_is_one_wake_one_read_and_one_write() {
    const FRAMES: usize = 100;
    let mut rig = Rig::over_tcp(Setup::default()).await;
    let small = frame::from_server(opcode::BINARY, &[7; 1200]);
    let counted = |rig: &Rig<TcpStream>| {
        let Counts {
            polls,
            reads,
            writes,
            passes,
            ..
        } = &*rig.counts;
        [polls, reads, writes, passes].map(|count| count.load(Ordering::Relaxed))
    };
    let before = counted(&rig);
    for _ in 0..FRAMES {
        rig.server.write_all(&small).await.unwrap();
        assert!(rig.viewer_gets().await.unwrap().bytes == small);
    }
    let after = counted(&rig);
    let [polls, reads, writes, passes] = [0, 1, 2, 3].map(|at| after[at] - before[at]);
    // Neither side is looked at by another way than reading and writing.
    assert_eq!(passes, 0);
    assert_eq!(writes, FRAMES);
    // The first one may come with the start's own.
    assert!(polls <= FRAMES + 1, "{polls} wakes");
    // Each wake looks for something of the viewer's, and finds that nothing more is there: neither is a system call,
    // since a read that stopped short has told the runtime.
    assert!(reads <= 3 * (FRAMES + 1), "{reads} reads");
}

#[tokio::test]
async fn the_gates_own_frames_stand_between_large_ones() {
    let (mut rig, server) = start().await;
    let frames = vec![frame::from_server(opcode::BINARY, &[7; 200_000]); 50];
    let server = send(server, frames.concat(), 1 << 20);
    let (mut media, mut pongs) = (0, 0);
    while media < frames.len() || pongs < 10 {
        if media % 5 == 0 {
            rig.viewer_sends(opcode::PING, b"here").await;
        }
        let got = rig.viewer_gets().await.unwrap();
        match got.opcode {
            opcode::BINARY => {
                assert!(got.bytes == frames[0]);
                media += 1;
            }
            opcode::PONG => {
                assert_eq!(got.payload, b"here");
                pongs += 1;
            }
            _ => panic!("{got:?}"),
        }
    }
    assert_eq!(media, frames.len());
    drop(server.await.unwrap());
}

#[tokio::test]
async fn the_answer_to_a_switch_is_heard_between_large_frames() {
    let mut rig = Rig::over_tcp(Setup::default()).await;
    let large = frame::from_server(opcode::BINARY, &[7; 100_000]);
    rig.server.write_all(&large.repeat(2)).await.unwrap();
    for _ in 0..2 {
        rig.viewer_gets().await.unwrap();
    }
    rig.say(&switch("abcde-two", 1)).await;
    assert!(
        rig.server_gets()
            .await
            .unwrap()
            .text()
            .contains("onUpdateSource")
    );
    let success =
        r#"{"eventType":"onUpdateSourceSuccess","onUpdateSourceSuccess":{"requestId":1}}"#;
    let answer = frame::from_server(opcode::TEXT, success.as_bytes());
    let behind = [&large[..], &answer, &large].concat();
    rig.server.write_all(&behind).await.unwrap();
    let mut got = vec![0; behind.len()];
    rig.viewer.read_exact(&mut got).await.unwrap();
    assert!(got == behind);
    assert_eq!(rig.log.lock().unwrap().settled, [Outcome::Taken]);
}

#[tokio::test]
async fn a_servers_close_behind_a_large_frame_is_a_close() {
    let mut rig = Rig::over_tcp(Setup::default()).await;
    let large = frame::from_server(opcode::BINARY, &[7; 100_000]);
    let close = frame::from_server(opcode::CLOSE, &close_payload(1001, ""));
    let sent = [&large[..], &large, &close].concat();
    rig.server.write_all(&sent).await.unwrap();
    for _ in 0..2 {
        assert_eq!(rig.viewer_gets().await.unwrap().opcode, opcode::BINARY);
    }
    assert_eq!(rig.viewer_is_closed().await.0, 4503);
}

#[tokio::test]
async fn a_viewer_that_vanishes_inside_a_large_frame_spoils_nothing_for_the_next() {
    for _ in 0..5 {
        let (mut rig, server) = start().await;
        let (spare, _) = tcp_pair().await;
        let mut viewer = std::mem::replace(&mut rig.viewer, spare);
        let server = send(
            server,
            frame::from_server(opcode::BINARY, &[1; 3_000_000]),
            1 << 20,
        );
        viewer.read_exact(&mut [0; 70_000]).await.unwrap();
        drop(viewer);
        assert_eq!(rig.end().await.0.cause, Cause::ViewerGone);
        server.abort();

        // The same thread has another viewer.
        let mut next = Rig::over_tcp(Setup::default()).await;
        let sent = frame::from_server(opcode::BINARY, &[2; 60_000]).repeat(2);
        next.server.write_all(&sent).await.unwrap();
        let mut got = vec![0; sent.len()];
        next.viewer.read_exact(&mut got).await.unwrap();
        assert!(got == sent);
    }
}

#[tokio::test]
async fn a_server_that_vanishes_inside_a_large_frame_is_lost_and_no_close_is_inside_it() {
    let (mut rig, mut server) = start().await;
    let media = frame::from_server(opcode::BINARY, &[7; 100_000]);
    let sent = [&media[..], &media[..70_000]].concat();
    server.write_all(&sent).await.unwrap();
    drop(server);
    let mut got = Vec::new();
    rig.viewer.read_to_end(&mut got).await.unwrap();
    let (end, _) = rig.end().await;
    assert_eq!((end.cause, end.closed), (Cause::ServerLost, false));
    assert!(got == sent);
}

#[tokio::test]
async fn a_kicked_viewer_gets_its_large_frame_whole_before_the_close() {
    let (mut rig, mut server) = start().await;
    let media = frame::from_server(opcode::BINARY, &[7; 100_000]);
    server.write_all(&media).await.unwrap();
    server.write_all(&media[..50_000]).await.unwrap();
    assert!(rig.viewer_gets().await.unwrap().bytes == media);
    let mut begun = vec![0; 50_000];
    rig.viewer.read_exact(&mut begun).await.unwrap();
    rig.playing.end_in(Duration::ZERO, Kick::Operator);
    while rig.log.lock().unwrap().farewells.is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // Frames that are there as well come too late.
    let rest = [&media[50_000..], &media, &media].concat();
    server.write_all(&rest).await.unwrap();
    let mut rest = vec![0; media.len() - begun.len()];
    rig.viewer.read_exact(&mut rest).await.unwrap();
    assert!([begun, rest].concat() == media);
    assert_eq!(rig.viewer_is_closed().await.0, 4901);
}
