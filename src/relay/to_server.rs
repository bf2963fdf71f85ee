//! Viewer to server: an allow-list. Whole messages are read, understood and written anew.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use crate::listener::socket::Side;
use crate::random;

use super::frame::{self, opcode};
use super::message::{Message, NotAnEvent, PlayPause, hides_switch};
use super::outbox::Outbox;
use super::switch::SwitchRequest;
use super::viewer_frames::{FromViewer, Violation};
use super::{
    Authority, BUFFER, Cause, NotGranted, PING, Relay, Silence, Turn, ViewerSide, poll_read,
};

impl<V, S, A> Relay<'_, V, S, A>
where
    V: Side,
    S: Side,
    A: Authority,
{
    /// Moves what can be moved in this turn. The viewer is read only while nothing waits for the media server, few answers wait
    /// for a gap, and the viewer is within its rate.
    pub(super) fn poll_viewer(&mut self, cx: &mut Context<'_>, turn: &mut Turn) -> Poll<Cause> {
        loop {
            match self.to_server.poll_flush(&mut self.server, cx, || {}) {
                Poll::Ready(Ok(())) => {}
                // The server's end is noticed when it is read, after the last bytes that it sent.
                Poll::Ready(Err(_)) => self.to_server = Outbox::default(),
                Poll::Pending => return Poll::Pending,
            }
            if !self.listens() {
                return Poll::Pending;
            }
            if turn.is_over() {
                Turn::end(cx);
                return Poll::Pending;
            }
            if !self.unread.is_empty() {
                let unread = std::mem::take(&mut self.unread);
                self.take_from_viewer(&unread, turn);
                continue;
            }
            let read = BUFFER.with_borrow_mut(|buffer| {
                let room = turn.room().min(buffer.len());
                let buffer = buffer.get_mut(..room).unwrap_or_default();
                let read = ready!(poll_read(self.viewer, cx, buffer));
                let bytes = read.map(|count| buffer.get(..count).unwrap_or_default());
                Poll::Ready(bytes.map(|bytes| {
                    self.take_from_viewer(bytes, turn);
                    bytes.len()
                }))
            });
            match ready!(read) {
                Ok(0) => {
                    self.viewer_side = ViewerSide::Ended(Instant::now());
                    // Only this direction has ended. If the shutdown cannot be sent now, the later drop does the same.
                    let _ = Pin::new(&mut self.server).poll_shutdown(cx);
                }
                Ok(_) => {}
                Err(_) => return Poll::Ready(Cause::ViewerGone),
            }
        }
    }

    /// Whether the viewer's bytes are parsed now.
    fn listens(&self) -> bool {
        self.viewer_side == ViewerSide::Open
            && !self.is_closing()
            && !self.has_many_own()
            && self.held_until.is_none()
    }

    /// Parses the viewer's bytes; those beyond this turn wait.
    pub(super) fn take_from_viewer(&mut self, mut bytes: &[u8], turn: &mut Turn) {
        if bytes.is_empty() {
            return;
        }
        let now = Instant::now();
        self.last_contact = now;
        self.pings = 0;
        self.guard.hear();
        while self.listens() && !turn.is_over() {
            let before = bytes.len();
            let handled = match self.frames.next(&mut bytes) {
                Ok(None) => return turn.spend(before),
                Ok(Some(frame)) => {
                    turn.spend(before - bytes.len());
                    self.charge(now, self.settings.frame_cost);
                    self.on_viewer_frame(frame)
                }
                Err(violation) => Err(violation),
            };
            if let Err(violation) = handled {
                self.begin_close(Cause::Violation(violation));
            }
        }
        if self.viewer_side == ViewerSide::Open && !self.is_closing() {
            self.unread = bytes.to_vec();
        }
    }

    /// Charges the viewer, which is not read while it is too far ahead.
    fn charge(&mut self, now: Instant, cost: Duration) {
        self.pace.spend(now, cost);
        self.held_until = self.pace.wait(now);
    }

    fn on_viewer_frame(&mut self, frame: FromViewer) -> Result<(), Violation> {
        match frame {
            FromViewer::Fragment => Ok(()),
            FromViewer::Text(text) => self.on_message(opcode::TEXT, &text),
            // Checked like text: a media server may ignore the opcode and find a switch in it.
            FromViewer::Binary(bytes) if self.settings.any_message => {
                self.on_message(opcode::BINARY, &bytes)
            }
            FromViewer::Binary(_) => Err("a binary message"),
            FromViewer::Ping(payload) => {
                // RFC 6455 section 5.5.3 asks only for the latest ping's pong, but some peers count them.
                self.own_pongs.push(payload);
                Ok(())
            }
            FromViewer::Pong(payload) if payload == PING => Ok(()),
            FromViewer::Pong(payload) => self.send_to_server(opcode::PONG, &payload),
            FromViewer::Close(payload) => match frame::check_close(&payload) {
                Ok(()) => {
                    self.viewer_side = ViewerSide::Closed(Instant::now());
                    self.send_to_server(opcode::CLOSE, &payload)
                }
                Err(broken) => {
                    self.begin_close(Cause::ViewerClosedWrongly(broken));
                    Ok(())
                }
            },
        }
    }

    fn on_message(&mut self, opcode: u8, message: &[u8]) -> Result<(), Violation> {
        match Message::read(message) {
            Ok(Message::Switch(request)) => self.on_switch(*request),
            Ok(Message::Forward { text, asks }) => {
                match (self.silence, asks) {
                    (Silence::Never, PlayPause::Pause) => self.silence = Silence::Paused,
                    (Silence::Paused, PlayPause::Play) => {
                        self.silence = Silence::Never;
                        self.last_media = Instant::now();
                    }
                    // A repeated play does not give a silent media server more time.
                    (Silence::Never, PlayPause::Play)
                    | (Silence::Paused, PlayPause::Pause)
                    | (Silence::Always, _) => {}
                }
                self.send_to_server(opcode::TEXT, text.as_bytes())
            }
            Ok(Message::Unlisted) | Err(NotAnEvent) if self.settings.any_message => {
                self.on_foreign(opcode, message)
            }
            Ok(Message::Unlisted) => {
                self.authority.dropped();
                Ok(())
            }
            Err(NotAnEvent) => Err("not one JSON object without duplicate keys"),
        }
    }

    /// A message that is not on the list, where the operator lets all of them pass.
    fn on_foreign(&mut self, opcode: u8, message: &[u8]) -> Result<(), Violation> {
        if hides_switch(message) {
            return Err("a message that could be read as a switch");
        }
        if opcode == opcode::TEXT && std::str::from_utf8(message).is_err() {
            return Err("a text message that is not UTF-8");
        }
        self.send_to_server(opcode, message)
    }

    fn on_switch(&mut self, mut request: SwitchRequest) -> Result<(), Violation> {
        request.give_id(self.switches.next_id());
        let decided = if self.switches.have_room() {
            self.authority.decide(&request)
        } else {
            Err(self.authority.too_many())
        };
        match decided {
            Ok(granted) => {
                if self.follower.has_media() {
                    self.switches.connect_is_over();
                }
                let until = Instant::now() + self.settings.switch_answer;
                self.switches.push(granted.id, request.names(), until);
                self.follower.watch(true);
                self.send_to_server(opcode::TEXT, granted.message.as_bytes())
            }
            Err(NotGranted(code)) => {
                let answer = frame::from_server(opcode::TEXT, request.denied(code).as_bytes());
                self.own_messages.push(answer);
                self.charge(Instant::now(), self.settings.refusal_cost);
                Ok(())
            }
        }
    }

    fn send_to_server(&mut self, opcode: u8, payload: &[u8]) -> Result<(), Violation> {
        // A mask protects the network between us and the media server from a browser's choice of bytes (RFC 6455
        // section 10.3). Without randomness we do not send.
        let mask = random::bytes().ok_or("no randomness")?;
        let frame = frame::from_client(opcode, mask, payload);
        self.sent_to_server += frame.len() as u64;
        self.to_server.push(&frame);
        Ok(())
    }
}
