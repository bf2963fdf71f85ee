//! Viewer to server: an allow-list. Whole messages are read, understood and written anew.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::Instant;

use crate::random;

use super::frame::{self, opcode};
use super::message::{Message, NotAnEvent, Playing, hides_switch};
use super::outbox::Outbox;
use super::passage::Side;
use super::switch::SwitchRequest;
use super::viewer_frames::{FromViewer, Violation};
use super::{
    Authority, BUFFER, Cause, NotGranted, OWN_LIMIT, PING, Relay, Silence, ViewerSide, poll_read,
};

impl<V, S, A> Relay<'_, V, S, A>
where
    V: Side,
    S: Side,
    A: Authority,
{
    /// Moves what can be moved. The viewer is read only when nothing waits for the media server, and when its answers
    /// find their place.
    pub(super) fn poll_viewer(&mut self, cx: &mut Context<'_>) -> Poll<Cause> {
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
                    self.take_from_viewer(bytes);
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

    pub(super) fn take_from_viewer(&mut self, mut bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.last_contact = Instant::now();
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

    fn on_viewer_message(&mut self, message: FromViewer) -> Result<(), Violation> {
        match message {
            FromViewer::Text(text) => self.on_message(opcode::TEXT, &text),
            // A reader that does not care for the opcode must not find a switch in it.
            FromViewer::Binary(bytes) if self.settings.any_message => {
                self.on_message(opcode::BINARY, &bytes)
            }
            FromViewer::Binary(_) => Err("a binary message"),
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

    fn on_message(&mut self, opcode: u8, message: &[u8]) -> Result<(), Violation> {
        match Message::read(message) {
            Ok(Message::Switch(request)) => self.on_switch(&request),
            Ok(Message::Forward { text, playing }) => {
                match (self.silence, playing) {
                    (Silence::Never, Playing::Pause) => self.silence = Silence::Paused,
                    (Silence::Paused, Playing::Play) => {
                        self.silence = Silence::Never;
                        self.last_media = Instant::now();
                    }
                    // Asking again does not excuse a media server that is silent.
                    (Silence::Never, Playing::Play)
                    | (Silence::Paused, Playing::Pause)
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

    fn on_switch(&mut self, request: &SwitchRequest) -> Result<(), Violation> {
        let decided = if self.switches.have_room() {
            self.authority.decide(request)
        } else {
            Err(self.authority.too_many())
        };
        match decided {
            Ok(granted) => {
                let until = Instant::now() + self.settings.switch_answer;
                self.switches.push(granted.id, request.names(), until);
                self.follower.watch(true);
                self.send_to_server(opcode::TEXT, granted.message.as_bytes())
            }
            Err(NotGranted(code)) => {
                let answer = frame::from_server(opcode::TEXT, request.denied(code).as_bytes());
                self.own_messages.push(answer);
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
