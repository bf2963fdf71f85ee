//! Packed bodies (RFC 9110 section 8.4.1): media servers pack a playlist although the gate asks for `identity`, and what is
//! packed cannot be rewritten.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::sync::{Mutex, PoisonError};

use brotli_decompressor::Decompressor;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

/// How much is unpacked at once; between two such steps other tasks have their turn.
const STEP: usize = 64 << 10;

/// The most codings that the log tells of.
const TOLD: usize = 64;

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// Not at all.
    Identity,
    /// `gzip`
    Gzip,
    /// `deflate`: the zlib format, and what some servers take for it, without its frame.
    Deflate,
    /// `br`
    Brotli,
}

/// Why something cannot be unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unpackable {
    /// It is longer than it may be.
    TooLong,
    /// There is no memory for it.
    NoRoom,
    /// It is malformed.
    Malformed,
}

/// A coding that the gate cannot unpack, or several, one on top of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownCoding;

impl Coding {
    /// As the headers say. The log names one that is not known, once.
    pub fn of(headers: &HeaderMap) -> Result<Self, UnknownCoding> {
        let mut coding = Self::Identity;
        for field in headers.get_all(CONTENT_ENCODING) {
            let text = field.to_str().unwrap_or("?");
            for name in text.split(',').map(str::trim) {
                let known = match name.to_ascii_lowercase().as_str() {
                    "" | "identity" => continue,
                    "gzip" | "x-gzip" => Some(Self::Gzip),
                    "deflate" => Some(Self::Deflate),
                    "br" => Some(Self::Brotli),
                    _ => None,
                };
                match known.filter(|_| coding == Self::Identity) {
                    Some(known) => coding = known,
                    None => {
                        tell(headers);
                        return Err(UnknownCoding);
                    }
                }
            }
        }
        Ok(coding)
    }

    fn reader<'a>(self, packed: impl Read + Send + 'a, zlib: bool) -> Box<dyn Read + Send + 'a> {
        match self {
            Self::Identity => Box::new(packed),
            Self::Gzip => Box::new(MultiGzDecoder::new(packed)),
            Self::Deflate if zlib => Box::new(ZlibDecoder::new(packed)),
            Self::Deflate => Box::new(DeflateDecoder::new(packed)),
            Self::Brotli => Box::new(Decompressor::new(packed, 4096)),
        }
    }

    /// Unpacks the first bytes from the first packed ones, as many as there is room for; `None` when these are too few.
    pub fn first_bytes<'r>(
        self,
        packed: &[u8],
        room: &'r mut [u8],
    ) -> Result<Option<&'r [u8]>, Unpackable> {
        let mut reader = self.reader(Beginning(packed), has_zlib_header(packed));
        match reader.read_exact(room) {
            Ok(()) => Ok(Some(room)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(_) => Err(Unpackable::Malformed),
        }
    }

    /// Unpacks all of it, which may become `most` bytes long; `may_grow` is asked before it does.
    pub async fn unpack(
        self,
        packed: &[u8],
        most: usize,
        mut may_grow: impl FnMut(usize) -> bool,
    ) -> Result<Vec<u8>, Unpackable> {
        let mut reader = self.reader(packed, has_zlib_header(packed));
        let mut text = Vec::new();
        loop {
            // One more than may be, to see that it is too much.
            let step = STEP.min((most + 1).saturating_sub(text.len()));
            if step == 0 {
                return Err(Unpackable::TooLong);
            }
            if !may_grow(text.len() + step) {
                return Err(Unpackable::NoRoom);
            }
            let before = text.len();
            let mut part = reader.by_ref().take(step as u64);
            let read = part.read_to_end(&mut text);
            read.map_err(|_: io::Error| Unpackable::Malformed)?;
            if text.len() - before < step {
                return Ok(text);
            }
            tokio::task::yield_now().await;
        }
    }
}

/// The beginning of something of which the rest is not there yet.
struct Beginning<'a>(&'a [u8]);

impl Read for Beginning<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match self.0.read(room)? {
            0 if !room.is_empty() => Err(io::ErrorKind::WouldBlock.into()),
            read => Ok(read),
        }
    }
}

/// Whether it begins as zlib does (RFC 1950 section 2.2).
fn has_zlib_header(packed: &[u8]) -> bool {
    let &[method, flags, ..] = packed else {
        return false;
    };
    method & 0x0f == 8 && u16::from_be_bytes([method, flags]).is_multiple_of(31)
}

fn tell(headers: &HeaderMap) {
    static SEEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let fields = headers.get_all(CONTENT_ENCODING).iter();
    let fields: Vec<_> = fields
        .map(|field| String::from_utf8_lossy(field.as_bytes()))
        .collect();
    let all: String = fields.join(", ").chars().take(64).collect();
    // Every change of it is complete before anything that could panic.
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    if seen.len() < TOLD && seen.insert(all.clone()) {
        tracing::warn!(
            content_encoding = all,
            "a media server packs bodies in a way that cannot be unpacked: identity, gzip, deflate and br can"
        );
    }
}
