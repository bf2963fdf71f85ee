//! As much of HTTP/1.1 and WebSocket as a measurement needs.

use std::sync::OnceLock;
use std::time::Instant;

use base64::Engine as _;
use sha1::{Digest as _, Sha1};

/// What a browser sends with a handshake, and with a request of HLS.
pub const BROWSER: &str = "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
    Chrome/130.0.0.0 Safari/537.36\r\nOrigin: https://player.example.com\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-GB,en;q=0.9\r\nCache-Control: no-cache\r\nPragma: no-cache\r\n";

/// The opcode of a close frame.
pub const CLOSE: u8 = 0x8;
/// A viewer's close frame: code 1000, masked with zeroes.
pub const VIEWER_CLOSE: [u8; 8] = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8];
/// A media server's close frame: code 1000.
pub const SERVER_CLOSE: [u8; 4] = [0x88, 0x02, 0x03, 0xe8];

/// A binary frame of a media server with `length` bytes of payload.
pub fn frame(length: usize) -> Vec<u8> {
    let mut frame = vec![0x82];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ 0..=125), _) => frame.push(short),
        (_, Ok(medium)) => {
            frame.push(126);
            frame.extend(medium.to_be_bytes());
        }
        _ => {
            frame.push(127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.resize(frame.len() + length, 0xa5);
    frame
}

/// Where the payload of a frame of [`frame`] begins.
pub fn payload_start(frame: &[u8]) -> usize {
    match frame[1] & 0x7f {
        126 => 4,
        127 => 10,
        _ => 2,
    }
}

/// Nanoseconds since the first call in this process: the one clock of both ends.
pub fn now() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

/// `Sec-WebSocket-Accept` for a key.
pub fn accept_key(key: &str) -> String {
    let digest = Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
    base64::engine::general_purpose::STANDARD.encode(digest)
}

/// The length of a complete head at the beginning of `bytes`.
pub fn head_length(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .map(|at| at + 4)
}

/// A header's value.
pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// Follows unmasked frames in a stream of bytes.
#[derive(Debug, Default)]
pub struct Frames {
    header: Vec<u8>,
    remaining: u64,
    inside: bool,
    stamp: Vec<u8>,
}

impl Frames {
    /// Tells `seen` the opcode and the first eight bytes of the payload (as a number, 0 when there are fewer) of each
    /// frame that ends in `bytes`.
    pub fn follow(&mut self, mut bytes: &[u8], mut seen: impl FnMut(u8, u64)) {
        while let Some((&first, rest)) = bytes.split_first() {
            if self.inside {
                let taken =
                    usize::try_from(self.remaining).map_or(bytes.len(), |all| all.min(bytes.len()));
                let wanted = (8 - self.stamp.len()).min(taken);
                self.stamp.extend_from_slice(&bytes[..wanted]);
                self.remaining -= taken as u64;
                bytes = &bytes[taken..];
            } else {
                self.header.push(first);
                bytes = rest;
                let Some(length) = length(&self.header) else {
                    continue;
                };
                (self.inside, self.remaining) = (true, length);
                self.stamp.clear();
            }
            if self.remaining == 0 {
                let stamp = self
                    .stamp
                    .first_chunk()
                    .map_or(0, |stamp| u64::from_le_bytes(*stamp));
                seen(self.header[0] & 0x0f, stamp);
                self.inside = false;
                self.header.clear();
            }
        }
    }
}

/// The payload's length, once the header of an unmasked frame is complete.
fn length(header: &[u8]) -> Option<u64> {
    match (header.get(1)?, header.len()) {
        (126, 4) => Some(u64::from(u16::from_be_bytes([header[2], header[3]]))),
        (127, 10) => header[2..]
            .first_chunk()
            .map(|length| u64::from_be_bytes(*length)),
        (126 | 127, _) => None,
        (&short, _) => Some(u64::from(short)),
    }
}
