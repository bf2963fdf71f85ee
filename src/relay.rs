//! Step 7: two byte streams and a [`SessionGuard`] become a [`RelayEnd`]. WebSocket frames and back-pressure; it decides
//! nothing and chooses no server.
//!
//! Server to viewer is a wire: bytes go on as they came, followed by their frame headers alone, so that a frame of the
//! gate's own can stand between two frames and never inside one. Viewer to server is an allow-list: whole messages are
//! read, understood and written anew.
//!
//! Both directions are one future that holds no buffer while it waits: it borrows the thread's buffer when a socket is ready,
//! and gives it back when the bytes are written. Only bytes that the other socket did not take are kept.

mod authority;
mod deadlines;
mod end;
mod pending;
mod source_keys;
mod splice;
mod start;
mod to_server;
mod to_viewer;
mod turn;

pub mod closing;
pub mod follower;
pub mod frame;
pub mod json;
pub mod message;
pub mod outbox;
pub mod switch;
pub mod viewer_frames;

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, sleep_until};

use crate::listener::socket::Side;
use crate::pace::Pace;
use crate::session::ends::Kick;
use crate::session::guard::SessionGuard;
use end::Close;
use follower::Follower;
use outbox::Outbox;
use pending::Switches;
use turn::Turn;
use viewer_frames::ViewerFrames;

pub use authority::{Authority, Farewell, Granted, NotGranted, Outcome};
pub use end::{Cause, RETRY_HOLD, RelayEnd};
pub use start::{RelaySettings, Silence, Start};

/// The most media that waits in the gate for a viewer that takes nothing, and the most of large frames that is moved at once.
pub const WAITING_BYTES: usize = 256 * 1024;

/// The size of the thread's buffer, through which smaller frames are read and written.
pub const BUFFER_BYTES: usize = 64 * 1024;
const _: () = assert!(BUFFER_BYTES <= WAITING_BYTES);

/// How many answers of the gate may wait for a gap. With so many the viewer is not read until the server has ended a frame.
const OWN_LIMIT: usize = 16;

/// The payload of the gate's own pings, by which their pongs are told from those that are for the media server.
const PING: &[u8] = b"h5gate";

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; BUFFER_BYTES].into_boxed_slice());
}

/// A viewer and its media server.
pub struct Relay<'a, V, S, A> {
    viewer: &'a mut V,
    server: S,
    authority: A,
    guard: &'a SessionGuard,
    settings: &'a RelaySettings,
    opened: Instant,

    to_viewer: Outbox,
    follower: Follower,
    switches: Switches,
    /// The gate's own messages, which wait for a gap between the server's messages.
    own_messages: Vec<Vec<u8>>,
    /// The gate's own control frames, which only wait for a gap between frames: a pong for each ping, and a ping.
    own_pongs: Vec<Vec<u8>>,
    own_ping: bool,
    close: Option<Box<Close>>,
    server_done: bool,

    to_server: Outbox,
    frames: ViewerFrames,
    viewer_side: ViewerSide,
    /// Bytes of the viewer that have been read but not parsed yet.
    unread: Vec<u8>,
    pace: Pace,
    /// Until when the viewer is not read, because it asks too fast.
    held_until: Option<Instant>,

    silence: Silence,
    /// When the media server last sent something, or was last not read because the viewer took nothing.
    last_media: Instant,
    /// When the viewer last sent something or was last pinged.
    last_contact: Instant,
    /// Unanswered pings.
    pings: u8,
    stalled_since: Option<Instant>,
    /// When the session is to end, as of the last change.
    asked: Option<(Instant, Kick)>,
    sent_to_viewer: u64,
    sent_to_server: u64,
}

/// What still comes from the viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ViewerSide {
    Open,
    /// It sent a close frame, at this time.
    Closed(Instant),
    /// It shut down its direction, at this time.
    Ended(Instant),
}

impl<'a, V, S, A> Relay<'a, V, S, A>
where
    V: Side,
    S: Side,
    A: Authority,
{
    /// Makes a relay. Nothing is written yet.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "what came early is given back to the allocator with it"
    )]
    pub fn new(
        viewer: &'a mut V,
        server: S,
        guard: &'a SessionGuard,
        authority: A,
        settings: &'a RelaySettings,
        start: Start,
    ) -> Self {
        let now = Instant::now();
        let mut relay = Self {
            viewer,
            server,
            authority,
            guard,
            settings,
            opened: start.opened,
            to_viewer: Outbox::default(),
            follower: Follower::default(),
            switches: Switches::default(),
            own_messages: Vec::new(),
            own_pongs: Vec::new(),
            own_ping: false,
            close: None,
            server_done: false,
            to_server: Outbox::default(),
            frames: ViewerFrames::new(settings.client_message),
            viewer_side: ViewerSide::Open,
            unread: Vec::new(),
            pace: Pace::new(now),
            held_until: None,
            silence: start.silence,
            last_media: now,
            last_contact: now,
            pings: 0,
            stalled_since: None,
            asked: guard.end(now),
            sent_to_viewer: 0,
            sent_to_server: 0,
        };
        // Without a context nothing is written, so nothing can fail.
        let _ = relay.take_from_server(&start.server_early, None);
        relay.take_from_viewer(&start.viewer_early, &mut Turn::default());
        relay
    }

    /// Relays until one side or the gate ends it; then the media server's connection is dropped. Not cancel safe: bytes that
    /// are on their way are lost when the future is dropped.
    #[expect(
        clippy::manual_async_fn,
        reason = "an async fn keeps room for a moved `self` twice"
    )]
    pub fn run(mut self) -> impl Future<Output = RelayEnd> {
        async move { self.relay().await }
    }

    async fn relay(&mut self) -> RelayEnd {
        let guard = self.guard;
        let mut changes = guard.watch();
        let mut timer = pin!(sleep_until(self.next_deadline()));
        let cause = poll_fn(|cx| {
            loop {
                if let Poll::Ready(cause) = self.poll(cx) {
                    return Poll::Ready(cause);
                }
                if changes.poll_changed(cx).is_ready() {
                    self.asked = guard.end(Instant::now());
                    if guard.take_question() {
                        // The ping is placed when the sides are polled again.
                        self.own_ping = true;
                        continue;
                    }
                }
                // What was just relayed may have moved the deadline. The timer is set when the deadline is sooner; when it is
                // later, the timer may fire too early once, which is cheaper than the runtime's lock at each wake.
                let deadline = self.next_deadline();
                if deadline < timer.deadline() {
                    timer.as_mut().reset(deadline);
                }
                // Two sides that always have data use up the task's budget, and a timer that is polled without budget is
                // never ready. Then the time of the last media shows that something is due.
                if self.last_media < deadline {
                    ready!(timer.as_mut().poll(cx));
                }
                if let Some(cause) = self.on_deadline(Instant::now()) {
                    return Poll::Ready(cause);
                }
                timer.as_mut().reset(self.next_deadline());
            }
        })
        .await;
        self.leave_server(cause);
        RelayEnd {
            cause,
            closed: self.close.as_ref().is_some_and(|close| close.placed)
                && self.to_viewer.is_empty(),
            to_viewer: self.sent_to_viewer,
            to_server: self.sent_to_server,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Cause> {
        let mut turn = Turn::default();
        loop {
            if let Poll::Ready(cause) = self.poll_viewer(cx, &mut turn) {
                return Poll::Ready(cause);
            }
            let held_back = self.has_many_own();
            if let Poll::Ready(cause) = self.poll_server(cx) {
                return Poll::Ready(cause);
            }
            // Go on: the viewer was not read while its answers waited for a gap, and they have been placed now.
            if !held_back || self.has_many_own() {
                return Poll::Pending;
            }
        }
    }

    /// Whether so many answers wait for a gap that the viewer is not read.
    fn has_many_own(&self) -> bool {
        self.own_messages.len() + self.own_pongs.len() >= OWN_LIMIT
    }
}

fn poll_read<R: AsyncRead + Unpin>(
    source: &mut R,
    cx: &mut Context<'_>,
    buffer: &mut [u8],
) -> Poll<io::Result<usize>> {
    let mut buffer = ReadBuf::new(buffer);
    ready!(Pin::new(source).poll_read(cx, &mut buffer))?;
    Poll::Ready(Ok(buffer.filled().len()))
}
