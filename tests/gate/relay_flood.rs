//! However much a viewer sends on its WebSocket, the other tasks of its worker have their turns, and what it may ask of the
//! gate has a rate. However much both sides send, the gate meets its own deadlines.

use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use h5gate::decision::revocation::{Revocation, RevocationId, Target};
use h5gate::listener::socket::{Side, Tcp};
use h5gate::relay::frame::{self, opcode};
use h5gate::relay::{Cause, Outcome, Relay, RelaySettings, Silence, Start};
use h5gate::session::Sessions;
use h5gate::session::ends::Kick;
use h5gate::session::guard::SessionGuard;
use h5gate::session::live::Session;
use h5gate::token::{AtExpiry, UnixSeconds};
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf, copy, sink, split,
};
use tokio::task::JoinSet;
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, sleep, timeout};

use crate::support::relay::{
    Log, NOW, Rig, SETTINGS, STREAM, Script, Setup, clock, session, switch,
};

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

/// A side that always has a frame more and takes all that comes, as long as the task has budget: as a socket of the system
/// whose peer is faster than the gate.
struct Endless {
    first: Vec<u8>,
    frame: Vec<u8>,
    /// How much of `frame` has been read.
    at: usize,
    /// The frame that was written to it last, if it was written alone.
    last: Arc<Mutex<Vec<u8>>>,
    /// Whether something was written to it.
    heard: Arc<AtomicBool>,
}

impl Endless {
    fn new(first: Vec<u8>, frame: Vec<u8>) -> Self {
        Self {
            first,
            frame,
            at: 0,
            last: Arc::default(),
            heard: Arc::default(),
        }
    }
}

impl Side for Endless {
    fn tcp(&self) -> Option<Tcp<'_>> {
        None
    }
}

impl AsyncRead for Endless {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(pin!(consume_budget()).poll(cx));
        if !self.first.is_empty() {
            buffer.put_slice(&std::mem::take(&mut self.first));
            return Poll::Ready(Ok(()));
        }
        let piece = &self.frame[self.at..];
        let piece = &piece[..piece.len().min(buffer.remaining())];
        buffer.put_slice(piece);
        self.at = (self.at + piece.len()) % self.frame.len();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Endless {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(pin!(consume_budget()).poll(cx));
        self.heard.store(true, Ordering::Relaxed);
        *self.last.lock().unwrap() = bytes.to_vec();
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Longer than any deadline here; without one that is met, the relay would go on.
const PATIENCE: Duration = Duration::from_secs(10);

/// A relay between two sides that always have data.
struct Flooded {
    sessions: Arc<Sessions>,
    guard: SessionGuard,
    playing: Arc<Session>,
    log: Arc<Mutex<Log>>,
    viewer: Endless,
    server: Endless,
    settings: RelaySettings,
    opened: Instant,
}

impl Flooded {
    fn new(first: Vec<u8>, change: impl FnOnce(&mut h5gate::token::Grant)) -> Self {
        let (sessions, guard) = session(clock(), change);
        Self {
            playing: sessions.find(guard.id()).unwrap(),
            sessions,
            guard,
            log: Arc::default(),
            viewer: Endless::new(first, frame::from_client(opcode::PONG, MASK, b"x")),
            server: Endless::new(Vec::new(), frame::from_server(opcode::BINARY, &[7; 900])),
            settings: SETTINGS,
            opened: Instant::now(),
        }
    }

    /// Relays until the gate ends it: why, and the code that the viewer is told.
    async fn run(mut self) -> (Cause, u16) {
        let authority = Script {
            guard: &self.guard,
            granted: vec!["abcde-two".to_owned()],
            log: Arc::clone(&self.log),
        };
        let start = Start {
            viewer_early: Vec::new(),
            server_early: Vec::new(),
            opened: self.opened,
            silence: Silence::Never,
        };
        let last = Arc::clone(&self.viewer.last);
        let relay = Relay::new(
            &mut self.viewer,
            self.server,
            &self.guard,
            authority,
            &self.settings,
            start,
        );
        let end = timeout(PATIENCE, relay.run()).await;
        let end = end.expect("an end in time");
        assert!(end.closed);
        let last = last.lock().unwrap();
        assert_eq!(last[0], 0x80 | opcode::CLOSE);
        (end.cause, u16::from_be_bytes([last[2], last[3]]))
    }
}

#[tokio::test]
async fn an_end_that_the_gate_asks_for_comes_though_both_sides_always_have_data() {
    let flooded = Flooded::new(Vec::new(), |_| {});
    let playing = Arc::clone(&flooded.playing);
    playing.end_in(Duration::ZERO, Kick::Operator);
    assert_eq!(flooded.run().await, (Cause::Kicked(Kick::Operator), 4901));

    let flooded = Flooded::new(Vec::new(), |_| {});
    let playing = Arc::clone(&flooded.playing);
    let mut asked = JoinSet::new();
    asked.spawn(async move {
        sleep(Duration::from_millis(20)).await;
        playing.end_in(Duration::from_millis(20), Kick::Drain);
    });
    assert_eq!(flooded.run().await.0, Cause::Kicked(Kick::Drain));
    asked.join_next().await.unwrap().unwrap();

    let flooded = Flooded::new(Vec::new(), |_| {});
    let sessions = Arc::clone(&flooded.sessions);
    let mut asked = JoinSet::new();
    asked.spawn(async move {
        let revocation = Revocation {
            id: RevocationId(1),
            owner: "abcde".parse().unwrap(),
            target: Target::Stream(STREAM.parse().unwrap()),
            issued_until: NOW,
            ends: None,
        };
        assert_eq!(sessions.revoke(&revocation, NOW), 1);
    });
    assert_eq!(flooded.run().await, (Cause::Kicked(Kick::Revoked), 4901));
    asked.join_next().await.unwrap().unwrap();
}

#[tokio::test]
async fn a_cut_comes_though_both_sides_always_have_data() {
    let flooded = Flooded::new(Vec::new(), |grant| {
        grant.expires = Some(UnixSeconds::new(NOW.get() + 1));
        grant.at_expiry = AtExpiry::Cut;
    });
    assert_eq!(flooded.run().await, (Cause::Kicked(Kick::Expired), 4903));
}

#[tokio::test]
async fn a_switch_is_overdue_and_a_code_is_held_back_no_longer_than_otherwise() {
    let mut flooded = Flooded::new(text(&switch("abcde-two", 1)), |_| {});
    flooded.settings.switch_answer = Duration::from_millis(20);
    let (log, playing) = (Arc::clone(&flooded.log), Arc::clone(&flooded.playing));
    let opened = flooded.opened;
    let mut seen = JoinSet::new();
    seen.spawn(async move {
        while log.lock().unwrap().settled.is_empty() {
            tokio::task::yield_now().await;
        }
        playing.end_in(Duration::ZERO, Kick::Drain);
        log
    });
    // Players retry after the code of a drain.
    let (cause, code) = flooded.run().await;
    assert_eq!((cause, code), (Cause::Kicked(Kick::Drain), 4503));
    assert!(opened.elapsed() >= h5gate::relay::RETRY_HOLD);
    let log = seen.join_next().await.unwrap().unwrap();
    assert_eq!(log.lock().unwrap().settled, [Outcome::Overdue]);
}

#[tokio::test]
async fn a_viewer_that_asks_too_fast_is_heard_at_its_rate_beside_a_media_server_that_never_rests() {
    let flooded = Flooded::new(Vec::new(), |_| {});
    let (heard, playing) = (
        Arc::clone(&flooded.server.heard),
        Arc::clone(&flooded.playing),
    );
    let mut asked = JoinSet::new();
    asked.spawn(async move {
        for _ in 0..5 {
            // What it may send at once goes on in the first turns; the rest waits for its time.
            while !heard.swap(false, Ordering::Relaxed) {
                tokio::task::yield_now().await;
            }
            sleep(Duration::from_millis(40)).await;
        }
        playing.end_in(Duration::ZERO, Kick::Operator);
    });
    assert_eq!(flooded.run().await.0, Cause::Kicked(Kick::Operator));
    asked.join_next().await.unwrap().unwrap();
}
