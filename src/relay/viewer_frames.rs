//! Reads the viewer's frames, strictly (RFC 6455 section 5), into whole messages of bounded size.

use super::frame::{
    CONTROL_LIMIT, FrameHeader, HEADER_LIMIT, apply_mask, header_length, is_control, opcode,
};

/// Collects bytes to whole frames and messages. Holds memory only while a frame or a fragmented message is incomplete.
#[derive(Debug)]
pub struct ViewerFrames {
    header: [u8; HEADER_LIMIT],
    have: usize,
    /// Boxed: most of the time there is none.
    frame: Option<Box<Frame>>,
    /// The data message so far, and whether it is text.
    message: Option<(bool, Vec<u8>)>,
    limit: usize,
}

#[derive(Debug)]
struct Frame {
    header: FrameHeader,
    mask: [u8; 4],
    length: usize,
    payload: Vec<u8>,
}

/// A whole frame of the viewer, with the message that it completes.
#[derive(Debug, PartialEq, Eq)]
pub enum FromViewer {
    /// A fragment of a message that goes on.
    Fragment,
    /// A text message: not yet known to be UTF-8.
    Text(Vec<u8>),
    /// A binary message.
    Binary(Vec<u8>),
    /// A ping's payload.
    Ping(Vec<u8>),
    /// A pong's payload.
    Pong(Vec<u8>),
    /// A close frame's payload.
    Close(Vec<u8>),
}

/// How the viewer broke the protocol.
pub type Violation = &'static str;

impl ViewerFrames {
    /// Messages of at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            header: [0; HEADER_LIMIT],
            have: 0,
            frame: None,
            message: None,
            limit,
        }
    }

    /// Takes one frame from `bytes`, or uses them up. After an error nothing more can be read.
    pub fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<FromViewer>, Violation> {
        while !bytes.is_empty() {
            let Some(mut frame) = self.frame.take() else {
                self.take_header(bytes)?;
                // A frame without payload is whole with its header.
                if self.frame.as_ref().is_none_or(|frame| frame.length > 0) {
                    continue;
                }
                match self.frame.take() {
                    Some(frame) => return Ok(Some(self.finish(*frame))),
                    None => continue,
                }
            };
            let (payload, rest) =
                bytes.split_at((frame.length - frame.payload.len()).min(bytes.len()));
            *bytes = rest;
            let done = frame.payload.len();
            frame.payload.extend_from_slice(payload);
            apply_mask(
                frame.payload.get_mut(done..).unwrap_or_default(),
                frame.mask,
                done,
            );
            if frame.payload.len() < frame.length {
                self.frame = Some(frame);
            } else {
                return Ok(Some(self.finish(*frame)));
            }
        }
        Ok(None)
    }

    fn take_header(&mut self, bytes: &mut &[u8]) -> Result<(), Violation> {
        let have = self.header.get(..self.have).unwrap_or_default();
        let (taken, rest) = bytes.split_at((header_length(have) - self.have).min(bytes.len()));
        *bytes = rest;
        if let Some(room) = self.header.get_mut(self.have..self.have + taken.len()) {
            room.copy_from_slice(taken);
        }
        self.have += taken.len();
        let have = self.header.get(..self.have).unwrap_or_default();
        if self.have < header_length(have) {
            return Ok(());
        }
        self.have = 0;
        let header = FrameHeader::read(have).ok_or("a frame header that cannot be read")?;
        let (mask, length) = self.check(header)?;
        self.frame = Some(Box::new(Frame {
            header,
            mask,
            length,
            payload: Vec::new(),
        }));
        Ok(())
    }

    /// Checks a header before a byte of its payload is kept.
    fn check(&self, header: FrameHeader) -> Result<([u8; 4], usize), Violation> {
        let mask = header.mask.ok_or("a frame without a mask")?;
        if header.reserved != 0 {
            return Err("a frame with reserved bits");
        }
        if !header.minimal || header.length >> 63 != 0 {
            return Err("a frame length that is not allowed");
        }
        match header.opcode {
            opcode::TEXT | opcode::BINARY if self.message.is_some() => {
                return Err("a new message inside a fragmented one");
            }
            opcode::CONTINUATION if self.message.is_none() => {
                return Err("a continuation of nothing");
            }
            opcode::TEXT | opcode::BINARY | opcode::CONTINUATION => {}
            opcode::CLOSE | opcode::PING | opcode::PONG if !header.fin => {
                return Err("a fragmented control frame");
            }
            opcode::CLOSE | opcode::PING | opcode::PONG => {}
            _ => return Err("a reserved opcode"),
        }
        let kept = if is_control(header.opcode) {
            0
        } else {
            self.message.as_ref().map_or(0, |(_, kept)| kept.len())
        };
        let limit = if is_control(header.opcode) {
            CONTROL_LIMIT
        } else {
            self.limit
        };
        match usize::try_from(header.length) {
            Ok(length) if kept.saturating_add(length) <= limit => Ok((mask, length)),
            _ => Err("a message that is too long"),
        }
    }

    fn finish(&mut self, frame: Frame) -> FromViewer {
        match frame.header.opcode {
            opcode::PING => return FromViewer::Ping(frame.payload),
            opcode::PONG => return FromViewer::Pong(frame.payload),
            opcode::CLOSE => return FromViewer::Close(frame.payload),
            _ => {}
        }
        let message = match self.message.take() {
            Some((text, mut message)) => {
                message.extend_from_slice(&frame.payload);
                (text, message)
            }
            None => (frame.header.opcode == opcode::TEXT, frame.payload),
        };
        if !frame.header.fin {
            self.message = Some(message);
            return FromViewer::Fragment;
        }
        let (text, message) = message;
        if text {
            FromViewer::Text(message)
        } else {
            FromViewer::Binary(message)
        }
    }
}

#[cfg(test)]
#[path = "viewer_frames_tests.rs"]
mod tests;
