//! However much a viewer sends on its WebSocket, the other tasks of its worker have their turns, and what it may ask of the
//! gate has a rate.

use std::cell::Cell;
use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::time::Duration;

use h5gate::relay::RelaySettings;
use h5gate::relay::frame::{self, opcode};
use h5gate::session::guard::Kick;
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy, sink, split};
use tokio::time::{sleep, timeout};

use crate::support::relay::{Rig, SETTINGS, Setup, switch};

const MASK: [u8; 4] = [1, 2, 3, 4];

fn text(text: &str) -> Vec<u8> {
    frame::from_client(opcode::TEXT, MASK, text.as_bytes())
}

/// What a viewer may send again and again without being closed, and how many milliseconds each costs it.
fn floods() -> Vec<(&'static str, Vec<u8>, Vec<u8>, usize)> {
    let mut start = text("{");
    start[0] &= 0x7f;
    let fragment = |payload: &[u8]| {
        let mut fragment = frame::from_client(opcode::CONTINUATION, MASK, payload);
        fragment[0] &= 0x7f;
        fragment
    };
    let plain = |flood: Vec<u8>| (Vec::new(), flood);
    let kinds = [
        (
            "refused switches",
            plain(text(&switch("fghij-one", 1))),
            120,
        ),
        (
            "switches without a body",
            plain(text(r#"{"eventType":"onUpdateSource"}"#)),
            120,
        ),
        (
            "messages that are dropped",
            plain(text(r#"{"eventType":"x"}"#)),
            20,
        ),
        (
            "listed messages",
            plain(text(r#"{"eventType":"onPause"}"#)),
            20,
        ),
        (
            "pings",
            plain(frame::from_client(opcode::PING, MASK, b"")),
            20,
        ),
        (
            "pongs",
            plain(frame::from_client(opcode::PONG, MASK, b"x")),
            20,
        ),
        ("empty fragments", (start.clone(), fragment(b"")), 20),
        ("fragments of a byte", (start, fragment(b" ")), 20),
    ];
    kinds
        .into_iter()
        .map(|(what, (first, flood), cost)| (what, first, flood, cost))
        .collect()
}

async fn send_for_ever<W: AsyncWrite + Unpin>(
    viewer: &mut W,
    first: &[u8],
    flood: &[u8],
    sent: &Cell<usize>,
) -> Infallible {
    viewer.write_all(first).await.unwrap();
    loop {
        viewer.write_all(flood).await.unwrap();
        sent.set(sent.get() + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_viewer_sends_is_heard_at_a_rate() {
    assert!(!floods().is_empty());
    for (what, first, flood, cost) in floods() {
        let rig = Rig::start(Setup {
            // So that what the gate does not read is not written.
            viewer_room: 128,
            ..Setup::default()
        });
        let Rig { viewer, server, .. } = rig;
        let ((mut answers, mut viewer), (mut upstream, _server)) = (split(viewer), split(server));
        let (sent, mut nowhere, mut beyond) = (Cell::new(0), sink(), sink());
        tokio::select! {
            never = send_for_ever(&mut viewer, &first, &flood, &sent) => match never {},
            _ = copy(&mut answers, &mut nowhere) => panic!("{what}: the gate has closed"),
            _ = copy(&mut upstream, &mut beyond) => panic!("{what}: the gate has left"),
            () = sleep(Duration::from_secs(20)) => {}
        }
        // A second's worth at once; what the gate has read ahead and what is in the socket was sent as well.
        let (sent, waiting) = (sent.get(), 16 * 1024 / flood.len() + 128 / flood.len() + 2);
        assert!(sent <= 21_000 / cost + waiting, "{what}: {sent} in 20 s");
        assert!(sent >= 19_000 / cost, "{what}: {sent} in 20 s");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_viewer_sends_at_once_is_looked_at_in_many_turns() {
    const COUNT: usize = 4000;
    for (what, first, flood, _) in floods() {
        let settings = RelaySettings {
            frame_cost: Duration::ZERO,
            refusal_cost: Duration::ZERO,
            ..SETTINGS
        };
        let mut rig = Rig::start(Setup {
            settings,
            viewer_room: 1 << 22,
            ..Setup::default()
        });
        let bytes = [first, flood.repeat(COUNT)].concat();
        rig.viewer.write_all(&bytes).await.unwrap();
        let mut waiting = vec![0; 1 << 20];
        while rig.counts.bytes.load(Ordering::Relaxed) < bytes.len() {
            rig.settle().await;
            let answers = rig.viewer.read(&mut waiting);
            let _ = timeout(Duration::from_millis(1), answers).await;
        }
        // The last of it is read and not yet looked at.
        let (turns, seen) = (
            rig.counts.polls.load(Ordering::Relaxed),
            COUNT - 16 * 1024 / flood.len(),
        );
        assert!(turns >= seen / 32, "{what}: {turns} turns for {seen}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_viewer_that_is_made_to_wait_still_gets_its_media_and_its_end() {
    let mut rig = Rig::start(Setup::default());
    for id in 0..50 {
        rig.say(&switch("fghij-one", id)).await;
    }
    rig.settle().await;
    assert!(rig.log.lock().unwrap().decided.len() < 20);
    rig.server_sends(opcode::BINARY, b"media").await;
    loop {
        let frame = rig.viewer_gets().await.unwrap();
        if frame.opcode == opcode::BINARY {
            break;
        }
    }
    assert!(rig.started.elapsed() < Duration::from_millis(10));
    rig.playing.end_in(Duration::ZERO, Kick::Operator);
    rig.settle().await;
    assert_eq!(rig.viewer_is_closed().await.0, 4901);
}

#[tokio::test(start_paused = true)]
async fn a_viewer_that_has_waited_is_heard_again_in_order() {
    let mut rig = Rig::start(Setup::default());
    for id in 0..30 {
        rig.say(&switch("fghij-one", id)).await;
    }
    rig.viewer_sends(opcode::PING, b"last").await;
    for id in 0..30 {
        let answer = rig.viewer_gets().await.unwrap();
        let text = String::from_utf8(answer.payload).unwrap();
        assert!(text.contains(&format!("\"tag-{id}\"")), "{text}");
    }
    assert_eq!(rig.viewer_gets().await.unwrap().payload, b"last");
    let waited = rig.started.elapsed();
    assert!(
        waited > Duration::from_secs(2) && waited < Duration::from_secs(4),
        "{waited:?}"
    );
}
