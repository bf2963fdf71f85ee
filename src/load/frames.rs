//! Follows a gate's frames by their headers and keeps nothing of them but their stamps and what control frames say.

use crate::relay::frame::{
    CONTROL_LIMIT, FrameHeader, HEADER_LIMIT, header_length, is_control, opcode,
};

use super::stamp;

/// What a viewer notices.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// A text message has ended.
    Text,
    /// A binary message has ended; its first bytes, as many as a stamp has or fewer.
    Media(Start),
    /// To be answered with the same bytes.
    Ping(Vec<u8>),
    /// The gate closes, with this code if it said one.
    Close(Option<u16>),
    /// Bytes that are no frame of a server.
    Violation,
}

/// The first bytes of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Start {
    bytes: [u8; stamp::LENGTH],
    length: usize,
}

impl Start {
    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    fn push(&mut self, bytes: &[u8]) {
        let room = self.bytes.get_mut(self.length..).unwrap_or_default();
        let count = room.len().min(bytes.len());
        for (to, from) in room.iter_mut().zip(bytes) {
            *to = *from;
        }
        self.length += count;
    }
}

/// Where the gate's byte stream stands.
#[derive(Debug, Default)]
pub struct Frames {
    header: [u8; HEADER_LIMIT],
    have: usize,
    frame: Option<FrameHeader>,
    /// Payload of the current frame that is still to come.
    remaining: u64,
    /// The message is binary.
    binary: bool,
    start: Start,
    control: Vec<u8>,
    /// Bytes of text and binary frames, headers included: what a gate counts as sent to its viewer.
    data_bytes: u64,
}

impl Frames {
    /// Bytes of text and binary frames so far, headers included.
    #[must_use]
    pub fn data_bytes(&self) -> u64 {
        self.data_bytes
    }

    /// Follows what was read; `notice` hears every event in its order. Nothing may be followed behind a violation.
    pub fn follow(&mut self, bytes: &[u8], mut notice: impl FnMut(Event)) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = match self.frame {
                None => self.take_header(rest, &mut notice),
                Some(frame) => self.take_payload(frame, rest, &mut notice),
            };
            let Some(taken) = taken else {
                return notice(Event::Violation);
            };
            rest = rest.get(taken..).unwrap_or_default();
        }
    }

    fn take_header(&mut self, bytes: &[u8], notice: &mut impl FnMut(Event)) -> Option<usize> {
        let have = self.header.get(..self.have)?;
        let taken = (header_length(have) - self.have).min(bytes.len());
        let to = self.header.get_mut(self.have..self.have + taken)?;
        to.copy_from_slice(bytes.get(..taken)?);
        self.have += taken;
        let have = self.header.get(..self.have)?;
        if self.have < header_length(have) {
            return Some(taken);
        }
        let frame = FrameHeader::read(have)?;
        self.start_frame(frame)?;
        if frame.length == 0 {
            // Without payload there is no later byte to end it at.
            self.end_frame(frame, notice);
        }
        Some(taken)
    }

    /// `None` when no server may send such a frame.
    fn start_frame(&mut self, frame: FrameHeader) -> Option<()> {
        if is_control(frame.opcode) {
            if frame.length > CONTROL_LIMIT as u64 || !frame.fin {
                return None;
            }
            self.control.clear();
        } else {
            if !matches!(
                frame.opcode,
                opcode::CONTINUATION | opcode::TEXT | opcode::BINARY
            ) {
                return None;
            }
            if frame.opcode != opcode::CONTINUATION {
                self.binary = frame.opcode == opcode::BINARY;
                self.start = Start::default();
            }
            self.data_bytes += self.have as u64;
        }
        self.have = 0;
        self.remaining = frame.length;
        self.frame = Some(frame);
        (frame.mask.is_none() && frame.reserved == 0).then_some(())
    }

    fn take_payload(
        &mut self,
        frame: FrameHeader,
        bytes: &[u8],
        notice: &mut impl FnMut(Event),
    ) -> Option<usize> {
        let remaining = usize::try_from(self.remaining).unwrap_or(usize::MAX);
        let payload = bytes.get(..remaining.min(bytes.len()))?;
        if is_control(frame.opcode) {
            self.control.extend_from_slice(payload);
        } else {
            self.data_bytes += payload.len() as u64;
            if self.binary {
                self.start.push(payload);
            }
        }
        self.remaining -= payload.len() as u64;
        if self.remaining == 0 {
            self.end_frame(frame, notice);
        }
        Some(payload.len())
    }

    fn end_frame(&mut self, frame: FrameHeader, notice: &mut impl FnMut(Event)) {
        self.frame = None;
        match frame.opcode {
            opcode::PING => notice(Event::Ping(std::mem::take(&mut self.control))),
            opcode::CLOSE => {
                let code = self.control.first_chunk();
                notice(Event::Close(code.map(|code| u16::from_be_bytes(*code))));
            }
            other if is_control(other) || !frame.fin => {}
            _ if self.binary => notice(Event::Media(self.start)),
            _ => notice(Event::Text),
        }
    }
}

#[cfg(test)]
#[path = "frames_tests.rs"]
mod tests;
