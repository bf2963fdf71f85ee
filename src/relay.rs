//! Step 7: two byte streams and a [`SessionGuard`] become a [`RelayEnd`]. WebSocket frames and back-pressure; it decides
//! nothing and chooses no server.
//!
//! Server to viewer is a wire: bytes go on as they came, followed by their frame headers alone, so that a frame of the
//! gate's own can stand between two frames and never inside one. Viewer to server is an allow-list: whole messages are
//! read, understood and written anew.
//!
//! Both directions are one future that holds no buffer while it waits: the thread's buffer is borrowed between a
//! readiness and the write that follows it, and only what a socket would not take is kept.

mod deadlines;
mod pending;
mod splice;
mod to_server;
mod to_viewer;
mod turn;

pub mod closing;
pub mod follower;
pub mod frame;
pub mod json;
pub mod message;
pub mod outbox;
mod source_keys;
pub mod switch;
pub mod viewer_frames;

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, sleep_until};

use crate::listener::socket::Side;
use crate::pace::Pace;
use crate::session::guard::{Kick, PendingId, SessionGuard};
use follower::Follower;
use frame::{BrokenClose, opcode};
use outbox::Outbox;
use pending::Switches;
use switch::SwitchRequest;
use turn::Turn;
use viewer_frames::ViewerFrames;

/// The most media that waits in the gate for a viewer that takes nothing: what is moved at once of large frames.
pub const WAITING_BYTES: usize = 256 * 1024;

/// The thread's buffer: what is moved at once of smaller frames, which are read.
pub const BUFFER_BYTES: usize = 64 * 1024;
const _: () = assert!(BUFFER_BYTES <= WAITING_BYTES);

/// Answers of the gate that may wait for a gap; beyond it the viewer is not read until the server has finished a frame.
const OWN_LIMIT: usize = 16;

/// How long the gate's close waits for the media server to finish its frame.
const GAP_PATIENCE: Duration = Duration::from_secs(1);

/// A player's retry counter resets when a socket stood open for 200 ms (protocol.md 3): a retried code that leaves sooner
/// would use up the retries, and a short outage would lose the viewer for good.
pub const RETRY_HOLD: Duration = Duration::from_millis(250);

/// What our pings carry, so that their pongs are told from those that the media server waits for.
const PING: &[u8] = b"h5gate";

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; BUFFER_BYTES].into_boxed_slice());
}

/// How a relay behaves.
#[derive(Clone, Copy, Debug)]
pub struct RelaySettings {
    /// The longest message that a viewer may send.
    pub client_message: usize,
    /// Whether messages that are not on the list go on as well.
    pub any_message: bool,
    /// The longest silence of the media server, unless the viewer is quiet.
    pub media_idle: Duration,
    /// How often a quiet viewer is pinged.
    pub ping: Duration,
    /// How long a switch waits for the media server's answer.
    pub switch_answer: Duration,
    /// The longest time in which a viewer takes nothing.
    pub write_stall: Duration,
    /// How long the other direction goes on when the viewer has shut down its own.
    pub half_close: Duration,
    /// How long a closing handshake may take.
    pub linger: Duration,
    /// What a frame of the viewer costs it: see [`pace`](crate::pace).
    pub frame_cost: Duration,
    /// What a refused switch costs it beside that.
    pub refusal_cost: Duration,
}

/// Who the relay asks, since it decides nothing.
pub trait Authority {
    /// Decides a switch: the message for the media server, or why not.
    fn decide(&mut self, request: &SwitchRequest) -> Result<Granted, NotGranted>;
    /// Refuses a switch while too many are waiting for the media server.
    fn too_many(&mut self) -> NotGranted;
    /// Hears what became of a granted switch; [`Overdue`](Outcome::Overdue) and [`Superseded`](Outcome::Superseded) are not
    /// the last word.
    fn settle(&mut self, switch: PendingId, outcome: Outcome);
    /// Hears of a message that was dropped.
    fn dropped(&mut self);
    /// Hears that the media server has said something, before it is closed or lost. Once.
    fn server_speaks(&mut self);
    /// Whether an outage of the media servers is to be hidden from players.
    fn hides_outage(&self) -> bool;
    /// The close frame for an end, and whether players retry after its code.
    fn farewell(&mut self, cause: Cause) -> Farewell;
}

/// A granted switch.
#[derive(Debug)]
pub struct Granted {
    /// Its name until it is answered.
    pub id: PendingId,
    /// The message for the media server.
    pub message: String,
}

/// A switch that goes no further: the player is told this code in band, and what plays goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotGranted(pub u16);

/// What became of a granted switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The media server took it.
    Taken,
    /// The media server did not take it, or can no longer be expected to. It is not heard of again.
    NotTaken,
    /// It waits no longer. The media server may have taken it, or take it later.
    Overdue,
    /// It waits no longer, since the media server took a later one. Its answer may still come, out of turn.
    Superseded,
}

/// The gate's last frame.
#[derive(Debug)]
pub struct Farewell {
    /// The whole frame, behind what has not left yet.
    pub frame: Vec<u8>,
    /// Whether it must not leave before [`RETRY_HOLD`]: players retry after its code, and the outage is hidden as yet.
    pub retried: bool,
}

impl Farewell {
    /// The same behind bytes that have not left yet.
    #[must_use]
    pub fn behind(mut self, bytes: Vec<u8>) -> Self {
        let frame = std::mem::replace(&mut self.frame, bytes);
        self.frame.extend(frame);
        self
    }
}

/// Why a relay ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The viewer closed.
    ViewerClosed,
    /// The viewer closed with what no close frame may say.
    ViewerClosedWrongly(BrokenClose),
    /// The viewer's connection ended without a close frame.
    ViewerGone,
    /// A quiet viewer answered no ping.
    ViewerSilent,
    /// The viewer took nothing for too long.
    ViewerStalled,
    /// The viewer broke the protocol or the rules for its messages.
    Violation(&'static str),
    /// The media server closed with this code.
    ServerClosed(Option<u16>),
    /// The media server is going away (1001) or restarting (1012), which a player must not take for the end.
    ServerGoingAway,
    /// The media server's connection ended without a close frame.
    ServerLost,
    /// The media server was silent for too long.
    MediaIdle,
    /// The gate ended the session.
    Kicked(Kick),
}

impl Cause {
    /// Whether the media server ended it.
    #[must_use]
    pub const fn is_servers(self) -> bool {
        match self {
            Self::ServerClosed(_) | Self::ServerGoingAway | Self::ServerLost | Self::MediaIdle => {
                true
            }
            Self::ViewerClosed
            | Self::ViewerClosedWrongly(_)
            | Self::ViewerGone
            | Self::ViewerSilent
            | Self::ViewerStalled
            | Self::Violation(_)
            | Self::Kicked(_) => false,
        }
    }
}

/// A relay's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayEnd {
    /// Why.
    pub cause: Cause,
    /// Whether the viewer has got a close frame, so that its FIN is worth waiting for.
    pub closed: bool,
    /// Bytes that went to the viewer.
    pub to_viewer: u64,
    /// Bytes that went to the media server.
    pub to_server: u64,
}

/// What a relay starts with.
#[derive(Debug)]
pub struct Start {
    /// Bytes that the viewer sent right behind its handshake.
    pub viewer_early: Vec<u8>,
    /// Bytes that the media server sent right behind its answer.
    pub server_early: Vec<u8>,
    /// When our 101 left.
    pub opened: Instant,
    /// Whether the media server may be silent.
    pub silence: Silence,
}

/// When a silent media server is no fault (protocol.md 4). Then the viewer is pinged instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// Media flows.
    Never,
    /// The viewer has paused.
    Paused,
    /// The viewer asked for metadata alone.
    Always,
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
    /// Frames of ours that wait for a gap between messages.
    own_messages: Vec<Vec<u8>>,
    /// Control frames of ours, which only wait for a gap between frames: pongs, one for each ping, and a ping.
    own_pongs: Vec<Vec<u8>>,
    own_ping: bool,
    close: Option<Box<Close>>,
    server_done: bool,

    to_server: Outbox,
    frames: ViewerFrames,
    viewer_side: ViewerSide,
    /// What was read of the viewer and not looked at yet.
    unread: Vec<u8>,
    pace: Pace,
    /// Until when the viewer is not read, because it asks too fast.
    held_until: Option<Instant>,

    silence: Silence,
    /// When the media server was last heard, or could not be read because the viewer took nothing.
    last_media: Instant,
    /// When the viewer was last heard or pinged.
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

/// An end that has begun.
#[derive(Debug)]
struct Close {
    cause: Cause,
    frame: Vec<u8>,
    not_before: Instant,
    /// `not_before` has come.
    due: bool,
    /// When it is over: without the frame while the frame waits for its place, or for the viewer to take it.
    give_up: Instant,
    /// It was handed to the viewer's outbox.
    placed: bool,
}

impl<'a, V, S, A> Relay<'a, V, S, A>
where
    V: Side,
    S: Side,
    A: Authority,
{
    /// Puts the pieces together; nothing moves yet.
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
        // Without a context nothing is written yet, so nothing can fail.
        let _ = relay.take_from_server(&start.server_early, None);
        relay.take_from_viewer(&start.viewer_early, &mut Turn::default());
        relay
    }

    /// Relays until one side or the gate ends it; then the media server's connection is dropped. Not cancel safe:
    /// dropping it drops what is on its way.
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
                // First, while the task has budget: sides that always have data use it up, and without budget a timer
                // says nothing. What is due is done behind them, since they may have put it off.
                let mut is_due = timer.as_mut().poll(cx).is_ready();
                if let Poll::Ready(cause) = self.poll(cx) {
                    return Poll::Ready(cause);
                }
                if changes.poll_changed(cx).is_ready() {
                    self.asked = guard.end(Instant::now());
                    if guard.is_questioned() {
                        // What is ours finds its place when the sides are looked at.
                        self.own_ping = true;
                        continue;
                    }
                }
                // What was just relayed may have made something due sooner. What is due later is seen when the timer
                // fires: setting it takes a lock of the runtime.
                let deadline = self.next_deadline();
                if deadline < timer.deadline() {
                    timer.as_mut().reset(deadline);
                    is_due = timer.as_mut().poll(cx).is_ready();
                }
                if !is_due {
                    return Poll::Pending;
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
            // The viewer was not read because its answers found no gap; now they have.
            if !held_back || self.has_many_own() {
                return Poll::Pending;
            }
        }
    }

    /// Whether so many answers wait for a gap that the viewer is not read.
    fn has_many_own(&self) -> bool {
        self.own_messages.len() + self.own_pongs.len() >= OWN_LIMIT
    }

    fn is_closing(&self) -> bool {
        self.close.is_some()
    }

    /// Begins to end the relay with the code that belongs to `cause`. The first cause is the one that counts.
    fn begin_close(&mut self, cause: Cause) {
        if !self.is_closing() {
            let farewell = self.authority.farewell(cause);
            let held = !cause.is_servers() || self.authority.hides_outage();
            self.close_with(cause, farewell.frame, farewell.retried && held);
        }
    }

    fn close_with(&mut self, cause: Cause, frame: Vec<u8>, retried: bool) {
        let now = Instant::now();
        let not_before = if retried {
            self.opened + RETRY_HOLD
        } else {
            now
        };
        self.close = Some(Box::new(Close {
            cause,
            frame,
            not_before,
            due: not_before <= now,
            give_up: now.max(not_before) + GAP_PATIENCE,
            placed: false,
        }));
    }

    /// Why it is over when the viewer's socket fails.
    fn viewer_lost(&self) -> Cause {
        match (&self.close, self.viewer_side) {
            (Some(close), _) => close.cause,
            (None, ViewerSide::Closed(_)) => Cause::ViewerClosed,
            (None, ViewerSide::Open | ViewerSide::Ended(_)) => Cause::ViewerGone,
        }
    }

    /// Tells the media server, if its socket takes it at once, that this is no accident. Its connection is dropped right
    /// after.
    fn leave_server(&mut self, cause: Cause) {
        if matches!(self.viewer_side, ViewerSide::Closed(_)) || !self.to_server.is_empty() {
            return;
        }
        // The media server's own code, unless it is one that must not be sent (RFC 6455 section 7.4).
        let code = if let Cause::ServerClosed(Some(code)) = cause {
            if frame::may_be_sent(code) { code } else { 1002 }
        } else {
            1000
        };
        // The mask hides a browser's choice of bytes from the network; in these nobody has a choice.
        let goodbye = frame::from_client(opcode::CLOSE, [0; 4], &frame::close_payload(code, ""));
        let mut cx = Context::from_waker(Waker::noop());
        let _ = Pin::new(&mut self.server).poll_write(&mut cx, &goodbye);
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
