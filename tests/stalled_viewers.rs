//! Viewers that stop reading hold their buffer and nothing else, and no other viewer notices.

#![cfg(feature = "gate")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod support;

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use h5gate::load::machine::raise_descriptors;
use h5gate::relay::BUFFER_BYTES;
use socket2::{Domain, SockRef, Socket, Type};

use support::gate::{Gate, Setup, grant, mint};
use support::media_server::{FromGate, MediaServer};
use support::viewer::{Viewer, handshake, query};
use support::{PATIENCE, until};

const STALLED: usize = 1_000;

/// What a viewer costs beside the bytes that wait for it: its task, its session, its place in the tables.
const QUIET: usize = 32 * 1024;

/// How many times the processor time of a healthy viewer may be measured beside those that stall. Were they looked at
/// whenever it gets a frame, it would be far more.
const ROOM: u64 = 8;

const FRAME: usize = 8 * 1024;
const TO_HEALTHY: u32 = 500;
/// Several times what all the buffers on the way of one viewer hold.
const TO_STALLED: u32 = 256;

#[test]
fn a_thousand_viewers_that_stop_reading_hold_their_buffer_and_slow_nobody() {
    let descriptors = raise_descriptors();
    assert!(
        descriptors > 3 * STALLED as u64,
        "{descriptors} descriptors are too few"
    );
    let sent = Arc::new(AtomicUsize::new(0));
    let server = numbering(&sent);
    // One worker: the healthy viewer shares it with all that stall.
    let gate = Gate::start(&Setup {
        servers: vec![server.address],
        tables: "[limits]\nworkers = 1\n[timeouts]\nwrite_stall = \"1h\"\nuser_timeout = \"1h\"",
        ..Setup::default()
    });
    // What the first one costs the process is no viewer's.
    healthy(&gate);
    let alone = cpu_of(&gate, || healthy(&gate));
    let memory = gate.memory();

    let mut stalled = stall_all(&gate);
    until("all connections to the media server", || {
        (server.heads().len() > STALLED).then_some(())
    });
    stand_still(&gate, &sent);

    let each = gate.memory().saturating_sub(memory) / STALLED;
    assert!(each < BUFFER_BYTES + QUIET, "{each} bytes for each viewer");
    let beside = cpu_of(&gate, || healthy(&gate));
    assert!(beside <= ROOM * alone, "{beside} ticks instead of {alone}");
    // Nothing of what waited is lost.
    let one = stalled.last_mut().unwrap();
    (1..=TO_STALLED).for_each(|number| read(one, number));
}

/// A media server of numbered frames; `sent` counts those that stalled viewers' connections took.
fn numbering(sent: &Arc<AtomicUsize>) -> MediaServer {
    let sent = Arc::clone(sent);
    MediaServer::start(move |mut gate| {
        gate.accept();
        if gate.head.contains("stream=abcde-healthy") {
            for number in 1..=TO_HEALTHY {
                gate.receive();
                send(&mut gate, number);
            }
        } else {
            SockRef::from(&gate.socket)
                .set_send_buffer_size(FRAME)
                .unwrap();
            for number in 1..=TO_STALLED {
                send(&mut gate, number);
                sent.fetch_add(1, Ordering::Relaxed);
            }
        }
        gate.drain();
    })
}

fn send(gate: &mut FromGate, number: u32) {
    let mut payload = vec![7; FRAME];
    payload[..4].copy_from_slice(&number.to_be_bytes());
    gate.send(0x2, &payload);
}

/// Plays a healthy viewer's stream to its end, asking for each frame when it has the one before.
fn healthy(gate: &Gate) {
    let mut viewer = Viewer::open(gate.playback, &watching("abcde-healthy"), &[]);
    for number in 1..=TO_HEALTHY {
        viewer.say(r#"{"eventType":"onPlay"}"#);
        read(&mut viewer, number);
    }
}

/// Waits until no stalled viewer got a frame in the time in which a healthy one got all of its own. That comes by itself:
/// what they are sent has an end.
fn stand_still(gate: &Gate, sent: &AtomicUsize) {
    loop {
        let before = sent.load(Ordering::Relaxed);
        healthy(gate);
        if before == sent.load(Ordering::Relaxed) {
            return;
        }
    }
}

/// Reads the next frame, which must have this number.
fn read(viewer: &mut Viewer, number: u32) {
    let payload = viewer.receive().expect("a frame before the end").payload;
    assert_eq!(
        (payload.len(), &payload[..4]),
        (FRAME, &number.to_be_bytes()[..])
    );
}

fn watching(stream: &str) -> String {
    query(stream, &mint(&grant(stream)))
}

/// Viewers with a small buffer of their own that read nothing but the answer to their handshake.
fn stall_all(gate: &Gate) -> Vec<Viewer> {
    let target = format!(
        "/h5live/authstream/stream.mp4?{}",
        watching("abcde-stalled")
    );
    let open = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(FRAME).unwrap();
        socket.connect(&gate.playback.into()).unwrap();
        let mut socket = TcpStream::from(socket);
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
            .write_all(handshake(&target, &[]).as_bytes())
            .unwrap();
        Viewer::answered(socket)
    };
    (0..STALLED).map(|_| open()).collect()
}

/// The gate's processor time while something is done, in the kernel's ticks, begun ones counted.
fn cpu_of(gate: &Gate, done: impl FnOnce()) -> u64 {
    let before = gate.cpu_ticks();
    done();
    gate.cpu_ticks() - before + 1
}
