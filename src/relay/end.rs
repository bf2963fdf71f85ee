//! The end of a relay: its cause, and the close frame that waits for a gap between the server's frames.

use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::frame::{self, BrokenClose, opcode};
use super::{Authority, Relay, ViewerSide};
use crate::listener::socket::Side;
use crate::session::ends::Kick;

/// How long the gate's close waits for the media server to finish its frame.
const GAP_PATIENCE: Duration = Duration::from_secs(1);

/// A player's retry counter resets when a socket stood open for 200 ms (protocol.md 3): a retried code that leaves sooner
/// would use up the retries, and a short outage would lose the viewer for good.
pub const RETRY_HOLD: Duration = Duration::from_millis(250);

/// Why a relay ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The viewer closed.
    ViewerClosed,
    /// The viewer's close frame breaks RFC 6455.
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
    /// The media server is going away (1001) or restarting (1012): players are told 4503, since 1001 would be final for them.
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

/// An end that has begun.
#[derive(Debug)]
pub(super) struct Close {
    pub(super) cause: Cause,
    pub(super) frame: Vec<u8>,
    pub(super) not_before: Instant,
    /// `not_before` has come.
    pub(super) due: bool,
    /// When the relay ends even if the frame has found no gap, or the viewer has not taken it.
    pub(super) give_up: Instant,
    /// The frame is in the viewer's outbox.
    pub(super) placed: bool,
}

impl<V, S, A> Relay<'_, V, S, A>
where
    V: Side,
    S: Side,
    A: Authority,
{
    pub(super) fn is_closing(&self) -> bool {
        self.close.is_some()
    }

    /// Begins to end the relay with the code that belongs to `cause`. Later causes are ignored.
    pub(super) fn begin_close(&mut self, cause: Cause) {
        if !self.is_closing() {
            let farewell = self.authority.farewell(cause);
            let held = !cause.is_servers() || self.authority.hides_outage();
            self.close_with(cause, farewell.frame, farewell.retried && held);
        }
    }

    pub(super) fn close_with(&mut self, cause: Cause, frame: Vec<u8>, retried: bool) {
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

    /// The cause when the viewer's socket fails.
    pub(super) fn viewer_lost(&self) -> Cause {
        match (&self.close, self.viewer_side) {
            (Some(close), _) => close.cause,
            (None, ViewerSide::Closed(_)) => Cause::ViewerClosed,
            (None, ViewerSide::Open | ViewerSide::Ended(_)) => Cause::ViewerGone,
        }
    }

    /// Sends the media server a close frame if its socket takes one at once; its connection is dropped right after.
    pub(super) fn leave_server(&mut self, cause: Cause) {
        if matches!(self.viewer_side, ViewerSide::Closed(_)) || !self.to_server.is_empty() {
            return;
        }
        // The media server's own code, unless it is one that must not be sent (RFC 6455 section 7.4).
        let code = if let Cause::ServerClosed(Some(code)) = cause {
            if frame::may_be_sent(code) { code } else { 1002 }
        } else {
            1000
        };
        // A mask keeps bytes of a browser's choice off the network (RFC 6455 section 10.3). No browser chooses these, so the
        // key may be zero.
        let goodbye = frame::from_client(opcode::CLOSE, [0; 4], &frame::close_payload(code, ""));
        let mut cx = Context::from_waker(Waker::noop());
        let _ = Pin::new(&mut self.server).poll_write(&mut cx, &goodbye);
    }
}
