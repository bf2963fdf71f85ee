//! Follows the media server's frames by their headers, in place, so that the gate knows where its own frame may stand.
//! Nothing is copied to be looked at, but for a close frame and, while a switch is pending, text messages.

use super::frame::{
    CONTROL_LIMIT, FrameHeader, HEADER_LIMIT, apply_mask, header_length, is_control, opcode,
};
use super::splice::LARGE;

/// The longest text message that is looked at for the answer to a switch; longer ones are no answer.
const WATCH_LIMIT: usize = 16 * 1024;

/// Where the server's byte stream stands.
#[derive(Debug, Default)]
pub struct Follower {
    header: [u8; HEADER_LIMIT],
    have: usize,
    /// Payload of the current frame that is still to come.
    remaining: u64,
    frame: Option<FrameHeader>,
    /// Inside a fragmented message.
    fragmented: bool,
    /// A close frame, from its first byte on. It is held back until it is whole, so the viewer is between two frames.
    close: Option<Vec<u8>>,
    /// The close frame is complete: nothing behind it counts.
    closed: bool,
    /// Media has been seen.
    media: bool,
    watching: bool,
    last_was_large: bool,
    /// The text message that is being watched.
    text: Option<Vec<u8>>,
}

/// What one read of the server's bytes was.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Followed {
    /// How many of the bytes go on to the viewer as they are. The rest belongs to a close frame or stands behind it.
    pub forward: usize,
    /// The last place in them where a control frame may stand: between two frames.
    pub frame_gap: Option<usize>,
    /// The last place in them where any frame may stand: between two messages.
    pub message_gap: Option<usize>,
    /// The first media of all begins in them: a binary message.
    pub media: bool,
    /// Text messages that ended in them, while watching.
    pub messages: Vec<Vec<u8>>,
    /// The server's close frame, complete.
    pub close: Option<ServerClose>,
}

/// A close frame of the media server.
#[derive(Debug, PartialEq, Eq)]
pub struct ServerClose {
    /// Its code; `None` when it has none.
    pub code: Option<u16>,
    /// The whole frame as it came; `None` for one that is longer than a control frame may be.
    pub frame: Option<Vec<u8>>,
}

impl Follower {
    /// Whether what was to be forwarded ends between two frames.
    #[must_use]
    pub fn between_frames(&self) -> bool {
        self.have == 0 && self.frame.is_none()
    }

    /// Whether what was to be forwarded ends between two messages.
    #[must_use]
    pub fn between_messages(&self) -> bool {
        self.between_frames() && !self.fragmented
    }

    /// Whether media has been seen: a binary message.
    #[must_use]
    pub fn has_media(&self) -> bool {
        self.media
    }

    /// Starts or stops keeping text messages; those under way are not kept.
    pub fn watch(&mut self, on: bool) {
        self.watching = on;
        if !on {
            self.text = None;
        }
    }

    /// How much of a large frame is still to come, unless its payload has to be read.
    #[must_use]
    pub fn rest_of_large(&self) -> u64 {
        let large = self.frame.filter(|frame| frame.length >= LARGE);
        large
            .filter(|_| !self.watching)
            .map_or(0, |_| self.remaining)
    }

    /// Whether the next frame is probably large, too, and its payload need not be read.
    #[must_use]
    pub fn expects_large(&self) -> bool {
        self.last_was_large && !self.watching && self.between_frames() && self.close.is_none()
    }

    /// Follows `count` bytes of a large frame's payload that were not read, at most [`rest_of_large`](Self::rest_of_large).
    pub fn skip(&mut self, count: usize) {
        self.remaining = self.remaining.saturating_sub(count as u64);
        if self.remaining == 0 {
            self.frame = None;
        }
    }

    /// Follows what was read.
    pub fn follow(&mut self, bytes: &[u8]) -> Followed {
        let mut followed = Followed::default();
        let mut rest = bytes;
        while let Some(&first) = rest.first() {
            if self.close.is_none() && self.between_frames() && first & 0x0f == opcode::CLOSE {
                self.close = Some(Vec::new());
            }
            if let Some(close) = &mut self.close {
                if !self.closed {
                    followed.close = collect_close(close, rest);
                    self.closed = followed.close.is_some();
                }
                return followed;
            }
            let taken = if self.frame.is_none() {
                self.take_header(rest, &mut followed)
            } else {
                self.take_payload(rest, &mut followed)
            };
            rest = rest.get(taken..).unwrap_or_default();
            followed.forward += taken;
            if self.between_frames() {
                followed.frame_gap = Some(followed.forward);
                if !self.fragmented {
                    followed.message_gap = Some(followed.forward);
                }
            }
        }
        followed
    }

    fn take_header(&mut self, bytes: &[u8], followed: &mut Followed) -> usize {
        let have = self.header.get(..self.have).unwrap_or_default();
        let room = header_length(have) - self.have;
        let taken = room.min(bytes.len());
        if let (Some(to), Some(from)) = (
            self.header.get_mut(self.have..self.have + taken),
            bytes.get(..taken),
        ) {
            to.copy_from_slice(from);
        }
        self.have += taken;
        let have = self.header.get(..self.have).unwrap_or_default();
        if self.have == header_length(have)
            && let Some(frame) = FrameHeader::read(have)
        {
            self.start(frame, followed);
        }
        taken
    }

    fn start(&mut self, frame: FrameHeader, followed: &mut Followed) {
        self.have = 0;
        self.remaining = frame.length;
        self.frame = Some(frame);
        if frame.opcode == opcode::BINARY {
            followed.media |= !std::mem::replace(&mut self.media, true);
        }
        if !is_control(frame.opcode) {
            self.last_was_large = frame.length >= LARGE;
            if frame.opcode != opcode::CONTINUATION {
                self.text = (self.watching && frame.opcode == opcode::TEXT).then(Vec::new);
            }
            self.fragmented = !frame.fin;
        }
        if frame.length == 0 {
            // Without payload there is no later byte to end it at.
            self.end(frame, followed);
        }
    }

    fn end(&mut self, frame: FrameHeader, followed: &mut Followed) {
        self.frame = None;
        if frame.fin
            && !is_control(frame.opcode)
            && let Some(text) = self.text.take()
        {
            followed.messages.push(text);
        }
    }

    fn take_payload(&mut self, bytes: &[u8], followed: &mut Followed) -> usize {
        let Some(frame) = self.frame else { return 0 };
        let taken = usize::try_from(self.remaining)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        let payload = bytes.get(..taken).unwrap_or_default();
        if !is_control(frame.opcode)
            && let Some(text) = &mut self.text
        {
            let start = text.len();
            text.extend_from_slice(payload);
            if let (Some(mask), Some(fresh)) = (frame.mask, text.get_mut(start..)) {
                let done = usize::try_from(frame.length - self.remaining).unwrap_or_default();
                apply_mask(fresh, mask, done);
            }
            if text.len() > WATCH_LIMIT {
                self.text = None;
            }
        }
        self.remaining -= taken as u64;
        if self.remaining == 0 {
            self.end(frame, followed);
        }
        taken
    }
}

/// Adds to a close frame; the frame when it is complete.
fn collect_close(close: &mut Vec<u8>, rest: &[u8]) -> Option<ServerClose> {
    for &byte in rest {
        close.push(byte);
        let header = header_length(close);
        let Some(head) = close.get(..header).and_then(FrameHeader::read) else {
            continue;
        };
        let Some(length) = usize::try_from(head.length)
            .ok()
            .filter(|&length| length <= CONTROL_LIMIT)
        else {
            return Some(ServerClose {
                code: None,
                frame: None,
            });
        };
        if close.len() == header + length {
            let mut payload = close.get(header..).unwrap_or_default().to_vec();
            apply_mask(&mut payload, head.mask.unwrap_or_default(), 0);
            let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
            return Some(ServerClose {
                code,
                frame: Some(std::mem::take(close)),
            });
        }
    }
    None
}

#[cfg(test)]
#[path = "follower_tests.rs"]
mod tests;
