//! Server to viewer: a wire, with frames of the gate's own in its gaps.

use std::io;
use std::task::{Context, Poll, ready};

use tokio::time::Instant;

use super::follower::{Followed, ServerClose};
use super::frame::{self, HEADER_LIMIT, opcode};
use super::splice::{self, Splice};
use super::switch::Answer;
use super::{Authority, BUFFER, Cause, Outcome, PING, Relay, ViewerSide, poll_read};
use crate::listener::socket::Side;
use crate::session::live::PendingId;

impl<V, S, A> Relay<'_, V, S, A>
where
    V: Side,
    S: Side,
    A: Authority,
{
    /// Moves what can be moved. The media server is read only when nothing waits for the viewer.
    pub(super) fn poll_server(&mut self, cx: &mut Context<'_>) -> Poll<Cause> {
        loop {
            let stalled = self.stalled_since.is_some();
            match self
                .to_viewer
                .poll_flush(self.viewer, cx, || self.stalled_since = None)
            {
                Poll::Ready(Ok(())) if stalled => {
                    self.stalled_since = None;
                    // The viewer takes bytes again, so that the media server is waited for from now on.
                    self.last_media = Instant::now();
                }
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(self.viewer_lost()),
                Poll::Pending => {
                    self.stalled_since.get_or_insert_with(Instant::now);
                    return Poll::Pending;
                }
            }
            let between_messages = self.follower.between_messages();
            // Checked first, since at most wakes the gate has nothing of its own to send.
            if self.follower.between_frames() && self.has_own(between_messages) {
                self.place_own(between_messages);
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
            match ready!(self.poll_splice(cx)) {
                Ok(0) => {}
                Ok(_) => continue,
                Err(_) => return Poll::Ready(self.viewer_lost()),
            }
            let read = BUFFER.with_borrow_mut(|buffer| {
                let read = ready!(poll_read(&mut self.server, cx, buffer));
                let bytes = read.map(|count| buffer.get(..count).unwrap_or_default());
                Poll::Ready(match bytes {
                    Ok([]) | Err(_) => None,
                    Ok(bytes) => {
                        self.last_media = Instant::now();
                        Some(self.take_from_server(bytes, Some(cx)))
                    }
                })
            });
            match ready!(read) {
                Some(Ok(())) => {}
                Some(Err(_)) => return Poll::Ready(self.viewer_lost()),
                None => {
                    if let Some(cause) = self.on_server_end() {
                        return Poll::Ready(cause);
                    }
                }
            }
        }
    }

    /// Splices large frames, of which only the headers are read; ready with 0 when the media server has to be read.
    fn poll_splice(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // Most frames are small: they cost nothing here.
        if self.follower.rest_of_large() == 0 && !self.follower.expects_large() {
            return Poll::Ready(Ok(0));
        }
        let Some(mut splice) = self.viewer.tcp().and_then(|_| Splice::begin()) else {
            return Poll::Ready(Ok(0));
        };
        // Several frames are written at once where they are there: the write costs most.
        let stopped = loop {
            let taken = self.poll_take(&mut splice, cx);
            if taken.is_pending() || taken == Poll::Ready(0) {
                break taken;
            }
        };
        let Some(viewer) = self.viewer.tcp() else {
            return Poll::Ready(Ok(0));
        };
        let moved = splice.hand_on(viewer, &mut self.to_viewer)?;
        if moved == 0 {
            return stopped.map(Ok);
        }
        self.sent_to_viewer += moved as u64;
        self.last_media = Instant::now();
        Poll::Ready(Ok(moved))
    }

    /// Takes what is there of the present large frame, or of the next one unless a frame of the gate's has to come first.
    fn poll_take(&mut self, splice: &mut Splice, cx: &mut Context<'_>) -> Poll<usize> {
        let rest = self.follower.rest_of_large();
        let begins_next =
            self.follower.expects_large() && !self.has_own(self.follower.between_messages());
        let Some(server) = self.server.tcp().filter(|_| splice.room() > 0) else {
            return Poll::Ready(0);
        };
        let mut header = [0; HEADER_LIMIT];
        let (header_length, payload) = if rest > 0 {
            (0, rest)
        } else if begins_next
            && let Some(frame) = ready!(splice::poll_large_frame(server, cx, &mut header))
        {
            frame
        } else {
            return Poll::Ready(0);
        };
        let most = payload.saturating_add(header_length as u64);
        // A frame that does not fit whole is left for the next splice: its beginning alone would make a small packet.
        if rest == 0 && !splice.is_empty() && most > splice.room() as u64 {
            return Poll::Ready(0);
        }
        let taken = ready!(splice.poll_take(server, most, cx));
        if taken > 0 {
            let seen = header_length.min(taken);
            self.follow(header.get(..seen).unwrap_or_default());
            self.follower.skip(taken - seen);
        }
        Poll::Ready(taken)
    }

    /// Passes on what the media server sent, with the gate's own frames in its gaps. With a context, it is written to the
    /// viewer's socket at once as far as that takes it.
    pub(super) fn take_from_server(
        &mut self,
        bytes: &[u8],
        cx: Option<&mut Context<'_>>,
    ) -> io::Result<()> {
        let followed = self.follow(bytes);
        let forward = bytes.get(..followed.forward).unwrap_or_default();
        let (gap, between_messages) = match (followed.message_gap, followed.frame_gap) {
            (Some(gap), _) => (Some(gap), true),
            (None, gap) => (gap, false),
        };
        let gap = gap.filter(|_| self.has_own(between_messages));
        match gap.and_then(|gap| forward.split_at_checked(gap)) {
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
            self.on_server_close(close);
        }
        Ok(())
    }

    fn follow(&mut self, bytes: &[u8]) -> Followed {
        let followed = self.follower.follow(bytes);
        if followed.media {
            self.guard.has_media();
        }
        followed
    }

    fn send_to_viewer(&mut self, bytes: &[u8], cx: Option<&mut Context<'_>>) -> io::Result<()> {
        if self.sent_to_viewer == 0 && !bytes.is_empty() {
            self.authority.server_speaks();
        }
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
            || !self.own_pongs.is_empty()
            || self
                .close
                .as_ref()
                .is_some_and(|close| close.due && !close.placed)
            || between_messages && !self.own_messages.is_empty()
    }

    /// Puts the gate's own frames into the viewer's outbox. Only to be called between two frames of the server.
    fn place_own(&mut self, between_messages: bool) {
        if self.close.as_ref().is_some_and(|close| close.placed) {
            return;
        }
        if between_messages {
            for message in std::mem::take(&mut self.own_messages) {
                self.to_viewer.push(&message);
            }
        }
        for pong in std::mem::take(&mut self.own_pongs) {
            self.to_viewer
                .push(&frame::from_server(opcode::PONG, &pong));
        }
        if std::mem::take(&mut self.own_ping) {
            self.to_viewer.push(&frame::from_server(opcode::PING, PING));
        }
        if let Some(close) = self.close.as_mut().filter(|close| close.due) {
            self.to_viewer.push(&close.frame);
            close.placed = true;
            // From here on only the viewer's socket is waited for.
            close.give_up = Instant::now() + self.settings.write_stall;
        }
    }

    fn on_server_message(&mut self, text: &[u8]) {
        let Some(answer) = Answer::read(text) else {
            return;
        };
        let outcomes = self.switches.answer(&answer);
        self.settle(outcomes);
    }

    /// Tells the authority what became of switches. The media server's texts are read as long as any may still be answered.
    pub(super) fn settle(&mut self, outcomes: Vec<(PendingId, Outcome)>) {
        for (switch, outcome) in outcomes {
            self.authority.settle(switch, outcome);
        }
        self.follower.watch(!self.switches.is_empty());
    }

    fn on_server_close(&mut self, close: ServerClose) {
        let closed = matches!(self.viewer_side, ViewerSide::Closed(_));
        match (close.code, close.frame) {
            _ if self.is_closing() => {}
            // The answer to the viewer's own close, whatever its code.
            (_, Some(frame)) if closed => self.close_with(Cause::ViewerClosed, frame, false),
            (_, None) => self.begin_close(if closed {
                Cause::ViewerClosed
            } else {
                Cause::ServerLost
            }),
            (Some(1001 | 1012), _) => self.begin_close(Cause::ServerGoingAway),
            (code, Some(frame)) => {
                let held = is_retried(code) && self.authority.hides_outage();
                self.close_with(Cause::ServerClosed(code), frame, held);
            }
        }
    }

    /// The media server's connection ended without a close frame.
    fn on_server_end(&mut self) -> Option<Cause> {
        self.server_done = true;
        let cause = match (&self.close, self.viewer_side) {
            (Some(close), _) => close.cause,
            (None, ViewerSide::Open) => Cause::ServerLost,
            (None, ViewerSide::Closed(_)) => Cause::ViewerClosed,
            (None, ViewerSide::Ended(_)) => return Some(Cause::ViewerGone),
        };
        if !self.follower.between_frames() {
            // Inside a frame no close frame can be sent: the viewer sees the connection's end alone.
            return Some(cause);
        }
        self.begin_close(cause);
        None
    }
}

/// Whether players retry after a media server's code (protocol.md 3).
const fn is_retried(code: Option<u16>) -> bool {
    matches!(
        code,
        None | Some(1002 | 1003 | 1005..=1009 | 1011 | 1015 | 4500 | 4503)
    )
}
