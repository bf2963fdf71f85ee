//! Step 7: two byte streams and a [`SessionGuard`] become a [`RelayEnd`]. WebSocket frames and back-pressure; it decides
//! nothing and chooses no server.
//!
//! Server to viewer is a wire: bytes go on as they came, followed by their frame headers alone, so that a frame of the
//! gate's own can stand between two frames and never inside one. Viewer to server is an allow-list: whole messages are
//! read, understood and written anew.
//!
//! Both directions are one future that holds no buffer while it waits: the thread's buffer is borrowed between a
//! readiness and the write that follows it, and only what a socket would not take is kept.

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
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until};

use crate::session::guard::{Kick, PendingId, SessionGuard};
use follower::Follower;
use frame::opcode;
use message::{Message, Playing};
use outbox::Outbox;
use switch::{Answer, SwitchRequest};
use viewer_frames::{FromViewer, ViewerFrames};

/// The thread's buffer: one read moves at most so much.
const BUFFER_BYTES: usize = 64 * 1024;

/// Answers of the gate that may wait for a gap; beyond it the viewer is not read until the server has finished a frame.
const OWN_LIMIT: usize = 16;

/// How long the gate's close waits for the media server to finish its frame.
const GAP_PATIENCE: Duration = Duration::from_secs(1);

/// A player's retry counter resets when a socket stood open for 200 ms (PROTOCOL.md 3): a retried code that leaves sooner
/// would use up the retries, and a short outage would lose the viewer for good.
pub const RETRY_HOLD: Duration = Duration::from_millis(250);

/// What our pings carry, so that their pongs are told from those that the media server waits for.
const PING: &[u8] = b"h5gate";
/// Unanswered pings after which a quiet viewer is gone.
const PINGS_UNANSWERED: u8 = 2;

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
    /// The longest time in which a viewer takes nothing.
    pub write_stall: Duration,
    /// How long the other direction goes on when the viewer has shut down its own.
    pub half_close: Duration,
    /// How long a closing handshake may take.
    pub linger: Duration,
}

/// Who the relay asks, since it decides nothing.
pub trait Authority {
    /// Decides a switch: the message for the media server, or why not.
    fn decide(&mut self, request: &SwitchRequest) -> Result<Granted, NotGranted>;
    /// Hears the media server's answer to a granted switch.
    fn answered(&mut self, switch: PendingId, taken: bool);
    /// Hears of a message that was dropped.
    fn dropped(&mut self);
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

/// A switch that goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotGranted {
    /// The player is told this code in band; what plays goes on.
    Denied(u16),
    /// Too many are waiting for the media server.
    TooManyPending,
}

/// The gate's last frame.
#[derive(Debug)]
pub struct Farewell {
    /// The whole frame.
    pub frame: Vec<u8>,
    /// Whether it must not leave before [`RETRY_HOLD`].
    pub retried: bool,
}

/// Why a relay ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The viewer closed.
    ViewerClosed,
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

/// When a silent media server is no fault (PROTOCOL.md 4). Then the viewer is pinged instead.
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
    settings: RelaySettings,
    opened: Instant,

    to_viewer: Outbox,
    follower: Follower,
    pending: Vec<(PendingId, SwitchRequest)>,
    /// Frames of ours that wait for a gap between messages.
    own_messages: Vec<Vec<u8>>,
    /// Control frames of ours, which only wait for a gap between frames: at most a pong and a ping.
    own_pong: Option<Vec<u8>>,
    own_ping: bool,
    close: Option<Close>,
    server_done: bool,

    to_server: Outbox,
    frames: ViewerFrames,
    viewer_side: ViewerSide,

    silence: Silence,
    last_media: Instant,
    last_heard: Instant,
    pings: u8,
    stalled_since: Option<Instant>,
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
    give_up: Instant,
    /// It was handed to the viewer's outbox.
    placed: bool,
}

impl<'a, V, S, A> Relay<'a, V, S, A>
where
    V: AsyncRead + AsyncWrite + Unpin,
    S: AsyncRead + AsyncWrite + Unpin,
    A: Authority,
{
    /// Puts the pieces together; nothing moves yet.
    pub fn new(
        viewer: &'a mut V,
        server: S,
        guard: &'a SessionGuard,
        authority: A,
        settings: RelaySettings,
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
            pending: Vec::new(),
            own_messages: Vec::new(),
            own_pong: None,
            own_ping: false,
            close: None,
            server_done: false,
            to_server: Outbox::default(),
            frames: ViewerFrames::new(settings.client_message),
            viewer_side: ViewerSide::Open,
            silence: start.silence,
            last_media: now,
            last_heard: now,
            pings: 0,
            stalled_since: None,
            sent_to_viewer: 0,
            sent_to_server: 0,
        };
        // Without a context nothing is written yet, so nothing can fail.
        let _ = relay.from_server(&start.server_early, None);
        relay.from_viewer(&start.viewer_early);
        relay
    }

    /// Relays until one side or the gate ends it. Not cancel safe: dropping it drops what is on its way.
    pub async fn run(mut self) -> RelayEnd {
        let guard = self.guard;
        let mut timer = pin!(sleep_until(self.next_deadline()));
        let cause = loop {
            tokio::select! {
                biased;
                cause = poll_fn(|cx| self.poll(cx)) => break cause,
                () = guard.end_changed() => {}
                () = timer.as_mut() => {
                    if let Some(cause) = self.on_deadline(Instant::now()) {
                        break cause;
                    }
                }
            }
            let deadline = self.next_deadline();
            timer.as_mut().reset(deadline);
        };
        self.leave_server().await;
        RelayEnd {
            cause,
            closed: self.close.is_some_and(|close| close.placed) && self.to_viewer.is_empty(),
            to_viewer: self.sent_to_viewer,
            to_server: self.sent_to_server,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Cause> {
        loop {
            if let Poll::Ready(cause) = self.poll_viewer(cx) {
                return Poll::Ready(cause);
            }
            let held_back = self.own_messages.len() >= OWN_LIMIT;
            if let Poll::Ready(cause) = self.poll_server(cx) {
                return Poll::Ready(cause);
            }
            // The viewer was not read because its answers found no gap; now they have.
            if !held_back || self.own_messages.len() >= OWN_LIMIT {
                return Poll::Pending;
            }
        }
    }

    /// Server to viewer.
    fn poll_server(&mut self, cx: &mut Context<'_>) -> Poll<Cause> {
        loop {
            match self
                .to_viewer
                .poll_flush(self.viewer, cx, || self.stalled_since = None)
            {
                Poll::Ready(Ok(())) => self.stalled_since = None,
                Poll::Ready(Err(_)) => return Poll::Ready(Cause::ViewerGone),
                Poll::Pending => {
                    self.stalled_since.get_or_insert_with(Instant::now);
                    return Poll::Pending;
                }
            }
            if self.follower.between_frames() || self.server_done {
                self.place_own(self.follower.between_messages());
                if !self.to_viewer.is_empty() {
                    continue;
                }
            }
            if let Some(close) = self.close.as_ref().filter(|close| close.placed) {
                return Poll::Ready(close.cause);
            }
            if self.server_done {
                return Poll::Pending;
            }
            let read = BUFFER.with_borrow_mut(|buffer| {
                let read = ready!(poll_read(&mut self.server, cx, buffer));
                let bytes = read.map(|count| buffer.get(..count).unwrap_or_default());
                Poll::Ready(match bytes {
                    Ok([]) | Err(_) => None,
                    Ok(bytes) => {
                        self.last_media = Instant::now();
                        Some(self.from_server(bytes, Some(cx)))
                    }
                })
            });
            match ready!(read) {
                Some(Ok(())) => {}
                Some(Err(_)) => return Poll::Ready(Cause::ViewerGone),
                None => {
                    if let Some(cause) = self.on_server_end() {
                        return Poll::Ready(cause);
                    }
                }
            }
        }
    }

    /// Passes on what the media server sent, with our own frames in its gaps. With a context, the viewer's socket is
    /// tried at once.
    fn from_server(&mut self, bytes: &[u8], cx: Option<&mut Context<'_>>) -> io::Result<()> {
        let followed = self.follower.follow(bytes);
        let forward = bytes.get(..followed.forward).unwrap_or_default();
        let (gap, between_messages) = match (followed.message_gap, followed.frame_gap) {
            (Some(gap), _) => (Some(gap), true),
            (None, gap) => (gap, false),
        };
        match gap
            .filter(|_| self.has_own(between_messages))
            .and_then(|gap| forward.split_at_checked(gap))
        {
            Some((before, behind)) => {
                self.send_to_viewer(before, None)?;
                self.place_own(between_messages);
                if self.close.as_ref().is_none_or(|close| !close.placed) {
                    self.send_to_viewer(behind, None)?;
                }
            }
            None => self.send_to_viewer(forward, cx)?,
        }
        for message in followed.messages {
            self.on_server_message(&message);
        }
        if let Some(close) = followed.close {
            self.server_done = true;
            match close.code {
                Some(1001 | 1012) => self.begin_close(Cause::ServerGoingAway),
                code => {
                    let cause = match self.viewer_side {
                        ViewerSide::Closed(_) => Cause::ViewerClosed,
                        ViewerSide::Open | ViewerSide::Ended(_) => Cause::ServerClosed(code),
                    };
                    self.close_with(cause, close.frame, false);
                }
            }
        }
        Ok(())
    }

    fn send_to_viewer(&mut self, bytes: &[u8], cx: Option<&mut Context<'_>>) -> io::Result<()> {
        self.sent_to_viewer += bytes.len() as u64;
        match cx {
            Some(cx) => self.to_viewer.write(bytes, self.viewer, cx),
            None => {
                self.to_viewer.push(bytes);
                Ok(())
            }
        }
    }

    fn has_own(&self, between_messages: bool) -> bool {
        self.own_ping
            || self.own_pong.is_some()
            || self.close.as_ref().is_some_and(|close| !close.placed)
            || between_messages && !self.own_messages.is_empty()
    }

    /// Hands our frames to the viewer's outbox; the caller knows that the server's bytes are between two frames.
    fn place_own(&mut self, between_messages: bool) {
        if self.close.as_ref().is_some_and(|close| close.placed) {
            return;
        }
        if between_messages {
            for message in std::mem::take(&mut self.own_messages) {
                self.to_viewer.push(&message);
            }
        }
        if let Some(pong) = self.own_pong.take() {
            self.to_viewer
                .push(&frame::from_server(opcode::PONG, &pong));
        }
        if std::mem::take(&mut self.own_ping) {
            self.to_viewer.push(&frame::from_server(opcode::PING, PING));
        }
        if let Some(close) = self
            .close
            .as_mut()
            .filter(|close| close.not_before <= Instant::now())
        {
            self.to_viewer.push(&close.frame);
            close.placed = true;
        }
    }

    fn on_server_message(&mut self, text: &[u8]) {
        let Some(answer) = Answer::read(text) else {
            return;
        };
        let Some(index) = self
            .pending
            .iter()
            .position(|(_, request)| request.is_answered_by(&answer))
        else {
            return;
        };
        let (id, _) = self.pending.remove(index);
        self.authority.answered(id, answer.taken);
        self.follower.watch(!self.pending.is_empty());
    }

    /// The media server's connection ended without a close frame.
    fn on_server_end(&mut self) -> Option<Cause> {
        self.server_done = true;
        let cause = match self.viewer_side {
            ViewerSide::Open => Cause::ServerLost,
            ViewerSide::Closed(_) => Cause::ViewerClosed,
            ViewerSide::Ended(_) => return Some(Cause::ViewerGone),
        };
        if !self.follower.between_frames() {
            // Inside a frame there is no place for a close; the connection's end says it.
            return Some(cause);
        }
        self.begin_close(cause);
        None
    }

    /// Viewer to server.
    fn poll_viewer(&mut self, cx: &mut Context<'_>) -> Poll<Cause> {
        loop {
            match self.to_server.poll_flush(&mut self.server, cx, || {}) {
                Poll::Ready(Ok(())) => {}
                // That the server is gone is seen, with what it still sent, where it is read.
                Poll::Ready(Err(_)) => self.to_server = Outbox::default(),
                Poll::Pending => return Poll::Pending,
            }
            if self.viewer_side != ViewerSide::Open
                || self.is_closing()
                || self.own_messages.len() >= OWN_LIMIT
            {
                return Poll::Pending;
            }
            let read = BUFFER.with_borrow_mut(|buffer| {
                let read = ready!(poll_read(self.viewer, cx, buffer));
                let bytes = read.map(|count| buffer.get(..count).unwrap_or_default());
                Poll::Ready(bytes.map(|bytes| {
                    self.from_viewer(bytes);
                    bytes.len()
                }))
            });
            match ready!(read) {
                Ok(0) => {
                    self.viewer_side = ViewerSide::Ended(Instant::now());
                    // Only this direction has ended. A shutdown that cannot be sent at once is made up for by the drop.
                    let _ = Pin::new(&mut self.server).poll_shutdown(cx);
                }
                Ok(_) => {}
                Err(_) => return Poll::Ready(Cause::ViewerGone),
            }
        }
    }

    fn from_viewer(&mut self, mut bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.last_heard = Instant::now();
        self.pings = 0;
        while self.viewer_side == ViewerSide::Open && !self.is_closing() {
            let handled = match self.frames.next(&mut bytes) {
                Ok(None) => return,
                Ok(Some(whole)) => self.on_viewer_message(whole),
                Err(violation) => Err(violation),
            };
            if let Err(violation) = handled {
                self.begin_close(Cause::Violation(violation));
            }
        }
    }

    fn on_viewer_message(&mut self, message: FromViewer) -> Result<(), &'static str> {
        match message {
            FromViewer::Text(text) => self.on_text(text),
            FromViewer::Binary(bytes) if !self.settings.any_message => {
                drop(bytes);
                Err("a binary message")
            }
            // A reader that does not care for the opcode must not find a switch in it.
            FromViewer::Binary(bytes) if starts_object(&bytes) => self.on_text(bytes),
            FromViewer::Binary(bytes) => self.send_to_server(opcode::BINARY, &bytes),
            FromViewer::Ping(payload) => {
                // Only the latest needs an answer (RFC 6455 section 5.5.3).
                self.own_pong = Some(payload);
                Ok(())
            }
            FromViewer::Pong(payload) if payload == PING => Ok(()),
            FromViewer::Pong(payload) => self.send_to_server(opcode::PONG, &payload),
            FromViewer::Close(payload) => {
                if payload.len() == 1 {
                    return Err("a close frame with half a code");
                }
                self.viewer_side = ViewerSide::Closed(Instant::now());
                self.send_to_server(opcode::CLOSE, &payload)
            }
        }
    }

    fn on_text(&mut self, text: Vec<u8>) -> Result<(), &'static str> {
        if self.settings.any_message && !starts_object(&text) {
            return match std::str::from_utf8(&text) {
                Ok(_) => self.send_to_server(opcode::TEXT, &text),
                Err(_) => Err("a text message that is not UTF-8"),
            };
        }
        match Message::read(&text).map_err(|_| "not one JSON object without duplicate keys")? {
            Message::Switch(request) => self.on_switch(*request),
            Message::Forward { text, playing } => {
                self.silence = match (self.silence, playing) {
                    (Silence::Always, _) => Silence::Always,
                    (_, Playing::Pause) => Silence::Paused,
                    (_, Playing::Play) => Silence::Never,
                };
                self.last_media = Instant::now();
                self.send_to_server(opcode::TEXT, text.as_bytes())
            }
            Message::Unlisted if self.settings.any_message => {
                self.send_to_server(opcode::TEXT, &text)
            }
            Message::Unlisted => {
                self.authority.dropped();
                Ok(())
            }
        }
    }

    fn on_switch(&mut self, request: SwitchRequest) -> Result<(), &'static str> {
        match self.authority.decide(&request) {
            Ok(granted) => {
                self.pending.push((granted.id, request));
                self.follower.watch(true);
                self.send_to_server(opcode::TEXT, granted.message.as_bytes())
            }
            Err(NotGranted::Denied(code)) => {
                self.own_messages.push(frame::from_server(
                    opcode::TEXT,
                    request.denied(code).as_bytes(),
                ));
                Ok(())
            }
            Err(NotGranted::TooManyPending) => {
                Err("too many switches before the media server answered")
            }
        }
    }

    fn send_to_server(&mut self, opcode: u8, payload: &[u8]) -> Result<(), &'static str> {
        let mut mask = [0; 4];
        // A mask protects the network between us and the media server from a browser's choice of bytes (RFC 6455
        // section 10.3). Without randomness we do not send.
        getrandom::fill(&mut mask).map_err(|_| "no randomness")?;
        let frame = frame::from_client(opcode, mask, payload);
        self.sent_to_server += frame.len() as u64;
        self.to_server.push(&frame);
        Ok(())
    }

    fn is_closing(&self) -> bool {
        self.close.is_some()
    }

    /// Begins to end the relay with the code that belongs to `cause`.
    fn begin_close(&mut self, cause: Cause) {
        if !self.is_closing() {
            let farewell = self.authority.farewell(cause);
            self.close_with(cause, farewell.frame, farewell.retried);
        }
    }

    fn close_with(&mut self, cause: Cause, frame: Vec<u8>, retried: bool) {
        let now = Instant::now();
        let not_before = if retried {
            self.opened + RETRY_HOLD
        } else {
            now
        };
        self.close = Some(Close {
            cause,
            frame,
            not_before,
            give_up: now.max(not_before) + GAP_PATIENCE,
            placed: false,
        });
    }

    /// The nearest time at which something is due.
    fn next_deadline(&self) -> Instant {
        let now = Instant::now();
        let mut next = match &self.close {
            // Only the viewer's socket is waited for.
            Some(close) if close.placed => now + self.settings.write_stall,
            Some(close) if close.not_before > now => close.not_before,
            Some(close) => close.give_up,
            None if self.silence != Silence::Never => {
                self.last_heard + self.settings.ping * (u32::from(self.pings) + 1)
            }
            None => self.last_media + self.settings.media_idle,
        };
        let viewers = match self.viewer_side {
            _ if self.is_closing() => None,
            ViewerSide::Open => None,
            ViewerSide::Closed(since) => Some(since + self.settings.linger),
            ViewerSide::Ended(since) => Some(since + self.settings.half_close),
        };
        let stalled = self
            .stalled_since
            .map(|since| since + self.settings.write_stall);
        let asked = self
            .guard
            .end()
            .filter(|_| !self.is_closing())
            .map(|(at, _)| at);
        for deadline in [viewers, stalled, asked].into_iter().flatten() {
            next = next.min(deadline);
        }
        next
    }

    /// Does what is due; the cause when the relay is over.
    fn on_deadline(&mut self, now: Instant) -> Option<Cause> {
        if self
            .stalled_since
            .is_some_and(|since| since + self.settings.write_stall <= now)
        {
            return Some(Cause::ViewerStalled);
        }
        if let Some(close) = &self.close {
            // Before its time it is placed by the next poll; behind it, the server never finished its frame.
            return (close.give_up <= now && !close.placed).then_some(close.cause);
        }
        match self.viewer_side {
            ViewerSide::Ended(since) if since + self.settings.half_close <= now => {
                return Some(Cause::ViewerGone);
            }
            ViewerSide::Closed(since) if since + self.settings.linger <= now => {
                self.begin_close(Cause::ViewerClosed);
                return None;
            }
            ViewerSide::Open | ViewerSide::Closed(_) | ViewerSide::Ended(_) => {}
        }
        if let Some((_, kick)) = self.guard.end().filter(|(at, _)| *at <= now) {
            self.begin_close(Cause::Kicked(kick));
        } else if self.silence == Silence::Never {
            if self.last_media + self.settings.media_idle <= now {
                self.begin_close(Cause::MediaIdle);
            }
        } else if self.last_heard + self.settings.ping * (u32::from(self.pings) + 1) <= now {
            if self.pings == PINGS_UNANSWERED {
                return Some(Cause::ViewerSilent);
            }
            self.pings += 1;
            self.own_ping = true;
        }
        None
    }

    /// Tells the media server, if its socket takes it, that this is no accident. Its connection is dropped right after.
    async fn leave_server(&mut self) {
        if matches!(self.viewer_side, ViewerSide::Closed(_)) {
            return;
        }
        let goodbye = frame::from_client(opcode::CLOSE, [0; 4], &frame::close_payload(1000, ""));
        poll_fn(|cx| {
            let _ = Pin::new(&mut self.server).poll_write(cx, &goodbye);
            Poll::Ready(())
        })
        .await;
    }
}

/// Whether a message can be a JSON object.
fn starts_object(message: &[u8]) -> bool {
    message.trim_ascii_start().first() == Some(&b'{')
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
