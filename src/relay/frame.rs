//! WebSocket frames (RFC 6455 section 5.2): the header, and small frames of our own.

/// The longest header: two bytes, eight of length, four of mask.
pub const HEADER_LIMIT: usize = 14;
/// The most payload of a control frame.
pub const CONTROL_LIMIT: usize = 125;

/// Opcodes that are in use.
pub mod opcode {
    /// Goes on with a fragmented message.
    pub const CONTINUATION: u8 = 0x0;
    /// UTF-8 text.
    pub const TEXT: u8 = 0x1;
    /// Bytes.
    pub const BINARY: u8 = 0x2;
    /// The closing handshake.
    pub const CLOSE: u8 = 0x8;
    /// Asks for a pong.
    pub const PING: u8 = 0x9;
    /// Answers a ping.
    pub const PONG: u8 = 0xa;
}

/// Whether an opcode is of a control frame, which may stand inside a fragmented message.
#[must_use]
pub const fn is_control(opcode: u8) -> bool {
    opcode & 0x8 != 0
}

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// The last frame of its message.
    pub fin: bool,
    /// The three reserved bits.
    pub reserved: u8,
    /// What it is.
    pub opcode: u8,
    /// The masking key, when there is one.
    pub mask: Option<[u8; 4]>,
    /// Bytes of payload.
    pub length: u64,
    /// Whether `length` is spelled in the fewest bytes, as it must be.
    pub minimal: bool,
}

/// How many bytes a header has, as far as its first bytes tell: ask again with so many.
#[must_use]
pub fn header_length(start: &[u8]) -> usize {
    let Some(second) = start.get(1) else { return 2 };
    let length = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    2 + length + if second & 0x80 == 0 { 0 } else { 4 }
}

impl FrameHeader {
    /// Reads a complete header; `None` when `bytes` has not exactly [`header_length`] bytes.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (&[first, second], rest) = bytes.split_first_chunk()?;
        let (length, minimal, rest) = match second & 0x7f {
            126 => {
                let (length, rest) = rest.split_first_chunk()?;
                let length = u64::from(u16::from_be_bytes(*length));
                (length, length > 125, rest)
            }
            127 => {
                let (length, rest) = rest.split_first_chunk()?;
                let length = u64::from_be_bytes(*length);
                (length, length > u64::from(u16::MAX), rest)
            }
            short => (u64::from(short), true, rest),
        };
        let mask = if second & 0x80 == 0 {
            None
        } else {
            Some(*rest.first_chunk()?)
        };
        let used = rest.len() == mask.map_or(0, |mask| mask.len());
        used.then_some(Self {
            fin: first & 0x80 != 0,
            reserved: first >> 4 & 0x7,
            opcode: first & 0x0f,
            mask,
            length,
            minimal,
        })
    }
}

/// Applies a masking key to payload that starts `offset` bytes into its frame (RFC 6455 section 5.3).
pub fn apply_mask(payload: &mut [u8], mask: [u8; 4], offset: usize) {
    let key = mask.iter().cycle().skip(offset % 4);
    payload
        .iter_mut()
        .zip(key)
        .for_each(|(byte, key)| *byte ^= key);
}

/// A whole unfragmented frame as a server sends it.
#[must_use]
pub fn from_server(opcode: u8, payload: &[u8]) -> Vec<u8> {
    write(opcode, None, payload)
}

/// A whole unfragmented frame as a client sends it.
#[must_use]
pub fn from_client(opcode: u8, mask: [u8; 4], payload: &[u8]) -> Vec<u8> {
    write(opcode, Some(mask), payload)
}

/// The payload of a close frame: the code, and a reason of at most 123 bytes.
#[must_use]
pub fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(reason.as_bytes());
    payload.truncate(CONTROL_LIMIT);
    payload
}

/// What is wrong with the payload of a close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokenClose {
    /// Half a code, or one that must not be sent.
    Code,
    /// A reason that is not UTF-8.
    Reason,
}

/// Whether a close frame may say this (RFC 6455 sections 5.5.1 and 7.4).
pub fn check_close(payload: &[u8]) -> Result<(), BrokenClose> {
    if payload.is_empty() {
        return Ok(());
    }
    let (code, reason) = payload.split_first_chunk().ok_or(BrokenClose::Code)?;
    if !may_be_sent(u16::from_be_bytes(*code)) {
        return Err(BrokenClose::Code);
    }
    match std::str::from_utf8(reason) {
        Ok(_) => Ok(()),
        Err(_) => Err(BrokenClose::Reason),
    }
}

/// Whether a close frame may carry this code: those that RFC 6455 defines or IANA has registered for it, those of libraries
/// and those of applications.
#[must_use]
pub const fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

fn write(opcode: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let masked = if mask.is_some() { 0x80 } else { 0 };
    let mut frame = Vec::with_capacity(HEADER_LIMIT + payload.len());
    frame.push(0x80 | opcode);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short @ ..=125), _) => frame.push(masked | short),
        (_, Ok(medium)) => {
            frame.push(masked | 126);
            frame.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            frame.push(masked | 127);
            frame.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    if let Some(mask) = mask {
        frame.extend_from_slice(&mask);
    }
    let start = frame.len();
    frame.extend_from_slice(payload);
    if let (Some(mask), Some(payload)) = (mask, frame.get_mut(start..)) {
        apply_mask(payload, mask, 0);
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back_at_every_length() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
            for mask in [None, Some([1, 2, 3, 4])] {
                let frame = write(opcode::BINARY, mask, &vec![7; length]);
                let needed = header_length(&frame);
                let header = FrameHeader::read(&frame[..needed]).unwrap();
                assert_eq!(
                    (header.length, header.mask, header.minimal),
                    (length as u64, mask, true)
                );
                assert_eq!(frame.len(), needed + length);
                assert_eq!(FrameHeader::read(&frame[..needed - 1]), None);
            }
        }
    }

    #[test]
    fn a_close_says_a_code_that_may_be_sent_and_a_text() {
        for code in [
            1000, 1001, 1002, 1003, 1007, 1011, 1012, 1014, 3000, 3999, 4000, 4999,
        ] {
            assert_eq!(
                check_close(&close_payload(code, "\u{e9}")),
                Ok(()),
                "{code}"
            );
        }
        for code in [
            0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535,
        ] {
            assert_eq!(
                check_close(&close_payload(code, "x")),
                Err(BrokenClose::Code),
                "{code}"
            );
        }
        assert_eq!(check_close(&[]), Ok(()));
        assert_eq!(check_close(&[3]), Err(BrokenClose::Code));
        for reason in [
            &b"\xff"[..],
            b"ok\xc3",
            b"\xed\xa0\x80",
            b"\xc0\x80",
            b"\xf4\x90\x80\x80",
        ] {
            let payload = [&[3, 232], reason].concat();
            assert_eq!(
                check_close(&payload),
                Err(BrokenClose::Reason),
                "{reason:?}"
            );
        }
    }

    #[test]
    fn masking_can_go_on_where_it_stopped() {
        let mut whole: Vec<u8> = (0..50).collect();
        let mut parts = whole.clone();
        apply_mask(&mut whole, [9, 8, 7, 6], 0);
        let (left, right) = parts.split_at_mut(13);
        apply_mask(left, [9, 8, 7, 6], 0);
        apply_mask(right, [9, 8, 7, 6], 13);
        assert_eq!(whole, parts);
    }
}
