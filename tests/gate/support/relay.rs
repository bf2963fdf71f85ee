//! A relay between two sockets of memory, with a scripted authority. Time is the test's.

use std::future::Future as _;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt as _;
use h5gate::clock::Clock;
use h5gate::decision::denial::Denial;
use h5gate::decision::permit::Permit;
use h5gate::listener::socket::{Side, Tcp};
use h5gate::refusal::Refusal;
use h5gate::relay::frame::{self, FrameHeader, apply_mask, header_length, opcode};
use h5gate::relay::switch::{SwitchRequest, Unreadable};
use h5gate::relay::{
    Authority, Cause, Farewell, Granted, NotGranted, Outcome, Relay, RelayEnd, RelaySettings,
    Silence, Start,
};
use h5gate::request::client_address::ClientAddress;
use h5gate::request::rtmp_url::RtmpUrls;
use h5gate::session::guard::SessionGuard;
use h5gate::session::id::{Receipt, SessionId};
use h5gate::session::live::{PendingId, Session};
use h5gate::session::place::Bind;
use h5gate::session::seats::Delivery;
use h5gate::session::shares::Room;
use h5gate::session::{Newcomer, Sessions, Transport};
use h5gate::token::Grant;
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf, duplex,
};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

pub(crate) use super::permit::{NOW, URL};

/// The stream that plays from the start.
pub(crate) const STREAM: &str = "abcde-one";
/// How often a relay may be polled, or read a socket, in one test. Far above what any test needs; a deadline that stays
/// in the past reaches it at once.
const SPIN: usize = 100_000;

pub(crate) const SETTINGS: RelaySettings = RelaySettings {
    client_message: 16 * 1024,
    any_message: false,
    media_idle: Duration::from_secs(60),
    ping: Duration::from_secs(25),
    switch_answer: Duration::from_secs(10),
    write_stall: Duration::from_secs(30),
    half_close: Duration::from_secs(5),
    linger: Duration::from_secs(2),
    frame_cost: Duration::from_millis(20),
    refusal_cost: Duration::from_millis(100),
};

/// How a test's relay starts.
pub(crate) struct Setup {
    pub(crate) settings: RelaySettings,
    pub(crate) silence: Silence,
    /// Streams that a switch may go to.
    pub(crate) granted: Vec<String>,
    /// Bytes that the viewer's socket takes before it makes the gate wait.
    pub(crate) viewer_room: usize,
    pub(crate) server_room: usize,
    pub(crate) viewer_early: Vec<u8>,
    pub(crate) server_early: Vec<u8>,
    /// When our 101 left: a second ago, past the hold of retried codes.
    pub(crate) opened: Duration,
    /// What its session's expiry is held against.
    pub(crate) clock: Clock,
    pub(crate) change: fn(&mut Grant),
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            settings: SETTINGS,
            silence: Silence::Never,
            granted: vec!["abcde-two".to_owned(), "abcde-three".to_owned()],
            viewer_room: 1 << 20,
            server_room: 1 << 20,
            viewer_early: Vec::new(),
            server_early: Vec::new(),
            opened: Duration::from_secs(1),
            clock: clock(),
            change: |_| {},
        }
    }
}

/// What the authority was asked and told.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) decided: Vec<String>,
    pub(crate) settled: Vec<Outcome>,
    pub(crate) dropped: usize,
    pub(crate) farewells: Vec<Cause>,
}

/// A running relay, and the far ends of its sockets.
pub(crate) struct Rig<W = DuplexStream> {
    pub(crate) viewer: W,
    pub(crate) server: W,
    pub(crate) log: Arc<Mutex<Log>>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) playing: Arc<Session>,
    pub(crate) counts: Arc<Counts>,
    pub(crate) started: Instant,
    task: JoinSet<RelayEnd>,
}

/// How often things were polled.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) polls: AtomicUsize,
    pub(crate) reads: AtomicUsize,
    /// Bytes that were read.
    pub(crate) bytes: AtomicUsize,
    pub(crate) writes: AtomicUsize,
    /// How often a side was asked for its socket, past which nothing else is counted.
    pub(crate) passes: AtomicUsize,
}

impl Counts {
    fn count(counter: &AtomicUsize) {
        assert!(
            counter.fetch_add(1, Ordering::Relaxed) < SPIN,
            "the relay spins"
        );
    }

    pub(crate) fn both(&self) -> usize {
        self.polls.load(Ordering::Relaxed) + self.reads.load(Ordering::Relaxed)
    }
}

/// A permit for a stream, for a viewer whose address is not known.
pub(crate) fn permit(stream: &str, change: impl FnOnce(&mut Grant)) -> Permit {
    super::permit::permit(stream, ClientAddress::Unknown, change)
}

/// Shows [`NOW`], and goes on as the runtime's clock does.
pub(crate) fn clock() -> Clock {
    Clock::by_hand(Duration::from_secs(NOW.get())).0
}

/// A session that plays [`STREAM`].
pub(crate) fn session(
    clock: Clock,
    change: impl FnOnce(&mut Grant),
) -> (Arc<Sessions>, SessionGuard) {
    let sessions = Sessions::new(Room::whole(10), Bind::Prefix, clock);
    let newcomer = Newcomer {
        id: SessionId::new(1 << 100),
        player: String::new(),
        transport: Transport::WebSocket,
        delivery: Delivery::Media,
    };
    let opened = sessions.open(&newcomer, permit(STREAM, change));
    let guard = opened.now_or_never().expect("memory answers at once");
    (sessions, guard.unwrap())
}

impl Rig {
    /// A relay between sockets that are memory, so that time can stand still.
    pub(crate) fn start(setup: Setup) -> Self {
        let viewer = duplex(setup.viewer_room);
        let server = duplex(setup.server_room);
        Self::between(viewer, server, setup)
    }
}

impl Rig<TcpStream> {
    /// A relay between sockets of the system, the viewer's with room for little.
    pub(crate) async fn over_tcp(setup: Setup) -> Self {
        let viewer = tcp_pair(Some(64 * 1024)).await;
        let server = tcp_pair(None).await;
        Self::between(viewer, server, setup)
    }
}

/// Both ends of a connection, the first of which is to receive `room` bytes before it reads.
async fn tcp_pair(room: Option<u32>) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    if let Some(room) = room {
        socket.set_recv_buffer_size(room).unwrap();
    }
    let far = socket.connect(listener.local_addr().unwrap()).await;
    (far.unwrap(), listener.accept().await.unwrap().0)
}

impl<W> Rig<W>
where
    W: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    Counting<W>: Side,
{
    fn between((viewer, gate_viewer): (W, W), (server, gate_server): (W, W), setup: Setup) -> Self {
        let (sessions, guard) = session(setup.clock, setup.change);
        let playing = sessions.find(guard.id()).unwrap();
        let log = Arc::new(Mutex::new(Log::default()));
        let counts = Arc::new(Counts::default());
        let mut viewer_socket = Counting {
            socket: gate_viewer,
            counts: Arc::clone(&counts),
        };
        let server_socket = Counting {
            socket: gate_server,
            counts: Arc::clone(&counts),
        };
        let mut task = JoinSet::new();
        let (counted, logged) = (Arc::clone(&counts), Arc::clone(&log));
        let start = Start {
            viewer_early: setup.viewer_early,
            server_early: setup.server_early,
            opened: Instant::now().checked_sub(setup.opened).unwrap(),
            silence: setup.silence,
        };
        task.spawn(async move {
            let authority = Script {
                guard: &guard,
                granted: setup.granted,
                log: logged,
            };
            let relay = Relay::new(
                &mut viewer_socket,
                server_socket,
                &guard,
                authority,
                &setup.settings,
                start,
            );
            let mut run = pin!(relay.run());
            std::future::poll_fn(|cx| {
                Counts::count(&counted.polls);
                run.as_mut().poll(cx)
            })
            .await
        });
        Self {
            viewer,
            server,
            log,
            sessions,
            playing,
            counts,
            started: Instant::now(),
            task,
        }
    }

    /// The relay's end, and when it came.
    pub(crate) async fn end(&mut self) -> (RelayEnd, Duration) {
        let end = self.task.join_next().await.unwrap().unwrap();
        (end, self.started.elapsed())
    }

    /// The viewer says a text message.
    pub(crate) async fn say(&mut self, text: &str) {
        self.viewer_sends(opcode::TEXT, text.as_bytes()).await;
    }

    /// The viewer sends one frame.
    pub(crate) async fn viewer_sends(&mut self, opcode: u8, payload: &[u8]) {
        self.viewer
            .write_all(&frame::from_client(opcode, [1, 2, 3, 4], payload))
            .await
            .unwrap();
    }

    /// The media server sends one frame.
    pub(crate) async fn server_sends(&mut self, opcode: u8, payload: &[u8]) {
        self.server
            .write_all(&frame::from_server(opcode, payload))
            .await
            .unwrap();
    }

    pub(crate) async fn viewer_gets(&mut self) -> Option<Frame> {
        read_frame(&mut self.viewer).await
    }

    pub(crate) async fn server_gets(&mut self) -> Option<Frame> {
        read_frame(&mut self.server).await
    }

    /// The code and the rest of the close frame that the viewer gets next, and when it came.
    pub(crate) async fn viewer_is_closed(&mut self) -> (u16, Duration) {
        let frame = self.viewer_gets().await.expect("a close frame");
        assert_eq!(frame.opcode, opcode::CLOSE, "{frame:?}");
        (frame.code(), self.started.elapsed())
    }

    /// Waits until the relay has nothing to do, without letting time pass.
    pub(crate) async fn settle(&self) {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    /// Nothing reaches the viewer for this long.
    pub(crate) async fn viewer_gets_nothing_for(&mut self, time: Duration) {
        let got = tokio::time::timeout(time, self.viewer.read_u8()).await;
        assert!(got.is_err(), "{got:?}");
    }

    /// Nothing reaches the server for this long.
    pub(crate) async fn server_gets_nothing_for(&mut self, time: Duration) {
        let got = tokio::time::timeout(time, self.server.read_u8()).await;
        assert!(got.is_err(), "{got:?}");
    }
}

/// A frame as it arrived, unmasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) fin: bool,
    pub(crate) opcode: u8,
    pub(crate) masked: bool,
    pub(crate) payload: Vec<u8>,
    /// The frame's bytes.
    pub(crate) bytes: Vec<u8>,
}

impl Frame {
    pub(crate) fn code(&self) -> u16 {
        u16::from_be_bytes([self.payload[0], self.payload[1]])
    }

    pub(crate) fn text(&self) -> &str {
        assert_eq!(self.opcode, opcode::TEXT, "{self:?}");
        std::str::from_utf8(&self.payload).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(self.text()).unwrap()
    }
}

/// The next frame; `None` at the end of the connection, even inside a frame.
pub(crate) async fn read_frame(socket: &mut (impl AsyncRead + Unpin)) -> Option<Frame> {
    let mut bytes = vec![0; 2];
    socket.read_exact(&mut bytes).await.ok()?;
    let header = header_length(&bytes);
    bytes.resize(header, 0);
    socket.read_exact(&mut bytes[2..]).await.ok()?;
    let read = FrameHeader::read(&bytes).unwrap();
    bytes.resize(header + usize::try_from(read.length).unwrap(), 0);
    socket.read_exact(&mut bytes[header..]).await.ok()?;
    let mut payload = bytes[header..].to_vec();
    apply_mask(&mut payload, read.mask.unwrap_or_default(), 0);
    Some(Frame {
        fin: read.fin,
        opcode: read.opcode,
        masked: read.mask.is_some(),
        payload,
        bytes,
    })
}

/// All frames in `bytes`, and what stands behind the last whole one.
pub(crate) fn frames(mut bytes: &[u8]) -> (Vec<Frame>, &[u8]) {
    let mut frames = Vec::new();
    loop {
        let header = header_length(bytes);
        let Some(read) = bytes.get(..header).and_then(FrameHeader::read) else {
            return (frames, bytes);
        };
        let Some(end) = usize::try_from(read.length)
            .ok()
            .and_then(|length| header.checked_add(length))
        else {
            return (frames, bytes);
        };
        let Some(whole) = bytes.get(..end) else {
            return (frames, bytes);
        };
        let mut payload = whole[header..].to_vec();
        apply_mask(&mut payload, read.mask.unwrap_or_default(), 0);
        frames.push(Frame {
            fin: read.fin,
            opcode: read.opcode,
            masked: read.mask.is_some(),
            payload,
            bytes: whole.to_vec(),
        });
        bytes = &bytes[end..];
    }
}

/// A switch as a player writes it.
pub(crate) fn switch(stream: &str, id: u32) -> String {
    serde_json::json!({
        "eventType": "onUpdateSource",
        "onUpdateSource": {
            "options": { "faststart": 1 },
            "tag": format!("tag-{id}"),
            "count": id,
            "rtmp": { "url": URL, "stream": stream },
            "security": { "token": "h1.a.b.c", "options": "1", "expires": "2", "tag": "" },
        },
        "requestId": id,
    })
    .to_string()
}

/// Grants by the stream's name.
pub(crate) struct Script<'a> {
    pub(crate) guard: &'a SessionGuard,
    pub(crate) granted: Vec<String>,
    pub(crate) log: Arc<Mutex<Log>>,
}

impl Authority for Script<'_> {
    fn decide(&mut self, request: &SwitchRequest) -> Result<Granted, NotGranted> {
        let code = |denial: Denial| NotGranted(Refusal::from(denial.reason()).code);
        let target = request
            .target(&RtmpUrls::new(vec![URL.parse().unwrap()]))
            .map_err(|unreadable| match unreadable {
                Unreadable::Malformed(error) => code(error.into()),
                Unreadable::Token(error) => code(error.into()),
            })?;
        let stream = target.stream.to_string();
        self.log.lock().unwrap().decided.push(stream.clone());
        if !self.granted.contains(&stream) {
            return Err(NotGranted(4901));
        }
        let id = self.guard.propose(permit(&stream, |_| {})).map_err(code)?;
        Ok(Granted {
            id,
            message: request.granted(&target),
        })
    }

    fn too_many(&mut self) -> NotGranted {
        NotGranted(4503)
    }

    fn settle(&mut self, switch: PendingId, outcome: Outcome) {
        self.log.lock().unwrap().settled.push(outcome);
        match outcome {
            Outcome::Taken => self.guard.accept(switch),
            Outcome::NotTaken => self.guard.reject(switch),
            Outcome::Overdue => {}
            Outcome::Superseded => self.guard.supersede(switch),
        }
    }

    fn server_speaks(&mut self) {}

    fn hides_outage(&self) -> bool {
        true
    }

    fn dropped(&mut self) {
        self.log.lock().unwrap().dropped += 1;
    }

    fn farewell(&mut self, cause: Cause) -> Farewell {
        self.log.lock().unwrap().farewells.push(cause);
        Refusal::from(cause).farewell(Receipt::new(0))
    }
}

/// A socket whose reads are counted.
pub(crate) struct Counting<W> {
    pub(crate) socket: W,
    pub(crate) counts: Arc<Counts>,
}

impl Side for Counting<DuplexStream> {
    fn tcp(&self) -> Option<Tcp<'_>> {
        None
    }
}

impl Side for Counting<TcpStream> {
    fn tcp(&self) -> Option<Tcp<'_>> {
        self.counts.passes.fetch_add(1, Ordering::Relaxed);
        self.socket.tcp()
    }
}

impl<W: AsyncRead + Unpin> AsyncRead for Counting<W> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Counts::count(&self.counts.reads);
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buffer);
        let count = buffer.filled().len() - before;
        self.counts.bytes.fetch_add(count, Ordering::Relaxed);
        read
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Counting<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.counts.writes.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
