//! Viewers that stop reading hold their buffer and nothing else, and no other viewer notices.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use h5gate::load::machine::raise_descriptors;
use h5gate::relay::frame::{from_server, opcode};
use h5gate::relay::{BUFFER_BYTES, WAITING_BYTES};
use socket2::{Domain, SockRef, Socket, Type};

use crate::support::gate::{Gate, Setup, grant, mint};
use crate::support::media_server::MediaServer;
use crate::support::viewer::{Viewer, handshake, query};
use crate::support::{PATIENCE, until};

/// What a viewer costs beside the bytes that wait for it: its task, its session, its place in the tables.
const QUIET: usize = 32 * 1024;

/// How many times the processor time of a healthy viewer may be measured beside those that stall. Were they looked at
/// whenever it gets a frame, it would be far more.
const ROOM: u64 = 8;

/// What a stalled viewer's socket has room for, and the media server writes to it at once.
const PIECE: usize = 8 * 1024;

/// What is played, and by how many.
#[derive(Clone, Copy)]
struct Play {
    stalled: usize,
    frame: usize,
    /// The most that may wait in the gate.
    waiting: usize,
    to_healthy: u32,
    /// Several times what all the buffers on the way of one viewer hold.
    to_stalled: u32,
}

const SMALL: Play = Play {
    stalled: 1_000,
    frame: 8 * 1024,
    waiting: BUFFER_BYTES,
    to_healthy: 500,
    to_stalled: 256,
};

/// Frames that pass without being read.
const LARGE: Play = Play {
    stalled: 200,
    frame: 256 * 1024,
    waiting: WAITING_BYTES,
    to_healthy: 50,
    to_stalled: 16,
};

#[test]
fn a_thousand_viewers_that_stop_reading_hold_their_buffer_and_slow_nobody() {
    let stage = Stage::new(SMALL);
    // What the first one costs the process is no viewer's.
    stage.healthy();
    let alone = stage.cpu_of_healthy();
    let mut stalled = stage.stall_all();
    let beside = stage.cpu_of_healthy();
    assert!(beside <= ROOM * alone, "{beside} ticks instead of {alone}");
    // Nothing of what waited is lost.
    stage.read_all(stalled.last_mut().unwrap());
}

#[test]
fn viewers_that_stop_reading_inside_a_large_frame_hold_no_more_than_is_moved_at_once() {
    let stage = Stage::new(LARGE);
    stage.healthy();
    let mut stalled = stage.stall_all();
    stage.healthy();
    stage.read_all(stalled.last_mut().unwrap());
}

/// A gate before a media server of numbered frames.
struct Stage {
    play: Play,
    gate: Gate,
    server: MediaServer,
    /// Pieces that stalled viewers' connections took.
    sent: Arc<AtomicUsize>,
}

impl Stage {
    fn new(play: Play) -> Self {
        let descriptors = raise_descriptors();
        assert!(
            descriptors > 3 * play.stalled as u64,
            "{descriptors} descriptors are too few"
        );
        let sent = Arc::new(AtomicUsize::new(0));
        let server = numbering(play, Arc::clone(&sent));
        // One worker: the healthy viewer shares it with all that stall.
        let gate = Gate::start(&Setup {
            servers: vec![server.address],
            tables: "[limits]\nworkers = 1\n[timeouts]\nwrite_stall = \"1h\"\nuser_timeout = \"1h\"",
            ..Setup::default()
        });
        Self {
            play,
            gate,
            server,
            sent,
        }
    }

    /// Plays a healthy viewer's stream to its end, asking for each frame when it has the one before.
    fn healthy(&self) {
        let mut viewer = Viewer::open(self.gate.playback, &watching("abcde-healthy"), &[]);
        for number in 1..=self.play.to_healthy {
            viewer.say(r#"{"eventType":"onPlay"}"#);
            self.read(&mut viewer, number);
        }
    }

    /// The gate's processor time for a healthy viewer, in the kernel's ticks, begun ones counted.
    fn cpu_of_healthy(&self) -> u64 {
        let before = self.gate.cpu_ticks();
        self.healthy();
        self.gate.cpu_ticks() - before + 1
    }

    /// Viewers that have come to a stand, and hold what they may.
    fn stall_all(&self) -> Vec<Viewer> {
        let (memory, served) = (self.gate.memory(), self.server.heads().len());
        let stalled = stall(&self.gate, self.play.stalled);
        until("all connections to the media server", || {
            (self.server.heads().len() >= served + self.play.stalled).then_some(())
        });
        self.stand_still();
        let each = self.gate.memory().saturating_sub(memory) / self.play.stalled;
        assert!(
            each < self.play.waiting + QUIET,
            "{each} bytes for each viewer"
        );
        stalled
    }

    /// Waits until no stalled viewer got anything in the time in which a healthy one got all of its own. That comes by
    /// itself: what they are sent has an end.
    fn stand_still(&self) {
        loop {
            let before = self.sent.load(Ordering::Relaxed);
            self.healthy();
            if before == self.sent.load(Ordering::Relaxed) {
                return;
            }
        }
    }

    /// Reads a stalled viewer's stream to its end.
    fn read_all(&self, viewer: &mut Viewer) {
        (1..=self.play.to_stalled).for_each(|number| self.read(viewer, number));
    }

    /// Reads the next frame, which must have this number.
    fn read(&self, viewer: &mut Viewer, number: u32) {
        let payload = viewer.receive().expect("a frame before the end").payload;
        assert_eq!(
            (payload.len(), &payload[..4]),
            (self.play.frame, &number.to_be_bytes()[..])
        );
    }
}

fn numbering(play: Play, sent: Arc<AtomicUsize>) -> MediaServer {
    let frame = move |number: u32| {
        let mut payload = vec![7; play.frame];
        payload[..4].copy_from_slice(&number.to_be_bytes());
        from_server(opcode::BINARY, &payload)
    };
    MediaServer::start(move |mut gate| {
        gate.accept();
        if gate.head.contains("stream=abcde-healthy") {
            for number in 1..=play.to_healthy {
                gate.receive();
                gate.send_raw(&frame(number));
            }
        } else {
            SockRef::from(&gate.socket)
                .set_send_buffer_size(PIECE)
                .unwrap();
            for number in 1..=play.to_stalled {
                for piece in frame(number).chunks(PIECE) {
                    gate.send_raw(piece);
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        gate.drain();
    })
}

fn watching(stream: &str) -> String {
    query(stream, &mint(&grant(stream)))
}

/// Viewers with a small buffer of their own that read nothing but the answer to their handshake.
fn stall(gate: &Gate, count: usize) -> Vec<Viewer> {
    let target = format!(
        "/h5live/authstream/stream.mp4?{}",
        watching("abcde-stalled")
    );
    let open = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(PIECE).unwrap();
        socket.connect(&gate.playback.into()).unwrap();
        let mut socket = TcpStream::from(socket);
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
            .write_all(handshake(&target, &[]).as_bytes())
            .unwrap();
        Viewer::answered(socket)
    };
    (0..count).map(|_| open()).collect()
}
