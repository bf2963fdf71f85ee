//! What hyper does not tell of a request's head: whether it has a `Content-Length` beside `Transfer-Encoding`. hyper drops the
//! length then, and two readers of such a request could find two ends of its body.

use std::sync::{Mutex, MutexGuard, PoisonError};

use memchr::memchr;

const NAME: &[u8] = b"content-length:";

/// Follows the bytes of a connection through one head. A head that a client sends before the answer to the one before it is
/// not looked at; hyper closes the connection after a request with both.
#[derive(Debug, Default)]
pub struct HeadLines(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    place: Place,
    /// A line of the head has begun; empty lines may stand before it (RFC 9112 section 2.2).
    begun: bool,
    has_length: bool,
}

#[derive(Debug)]
enum Place {
    /// At the beginning of a line, of which so many bytes are those of [`NAME`].
    Start(usize),
    /// In the rest of a line.
    Rest,
    /// Behind the head.
    Over,
}

impl Default for Place {
    fn default() -> Self {
        Self::Start(0)
    }
}

impl HeadLines {
    /// Bytes that came.
    pub fn read(&self, mut bytes: &[u8]) {
        let mut state = self.state();
        while let Some((&byte, behind)) = bytes.split_first() {
            let (place, rest) = match state.place {
                Place::Over => return,
                Place::Rest => match memchr(b'\n', bytes) {
                    Some(end) => (Place::Start(0), bytes.get(end + 1..).unwrap_or_default()),
                    None => return,
                },
                Place::Start(0) if byte == b'\r' => (Place::Start(0), behind),
                Place::Start(0) if byte == b'\n' && state.begun => (Place::Over, behind),
                Place::Start(_) if byte == b'\n' => (Place::Start(0), behind),
                Place::Start(count) => {
                    state.begun = true;
                    let goes_on = NAME.get(count) == Some(&byte.to_ascii_lowercase());
                    state.has_length |= goes_on && count + 1 == NAME.len();
                    let place = if goes_on && count + 1 < NAME.len() {
                        Place::Start(count + 1)
                    } else {
                        Place::Rest
                    };
                    (place, behind)
                }
            };
            state.place = place;
            bytes = rest;
        }
    }

    /// Whether the head has a `Content-Length`.
    #[must_use]
    pub fn have_length(&self) -> bool {
        self.state().has_length
    }

    /// The next bytes are those of the next head.
    pub fn begin_again(&self) {
        *self.state() = State::default();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_in_the_head_is_seen_however_it_is_spelled_and_cut() {
        let rows = [
            ("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n", true),
            ("POST / HTTP/1.1\nHost: x\nCONTENT-LENGTH:3\n\n", true),
            (
                "\r\n\r\nPOST / HTTP/1.1\r\nHost: x\r\ncontent-length: 3\r\n\r\n",
                true,
            ),
            (
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
                true,
            ),
            ("POST / HTTP/1.1\r\nHost: x\r\n\r\n", false),
            ("POST / HTTP/1.1\r\nX-Content-Length: 3\r\n\r\n", false),
            ("POST / HTTP/1.1\r\nContent-Lengths: 3\r\n\r\n", false),
            ("POST / HTTP/1.1\r\nX: Content-Length: 3\r\n\r\n", false),
            ("POST /content-length: HTTP/1.1\r\nHost: x\r\n\r\n", false),
            // A body, and a trailer.
            (
                "POST / HTTP/1.1\r\nHost: x\r\n\r\nContent-Length: 3\r\n\r\n",
                false,
            ),
            ("POST / HTTP/1.1\n\nContent-Length: 3\n\n", false),
        ];
        for (text, expected) in rows {
            for size in [1, 2, 7, text.len()] {
                let head = HeadLines::default();
                text.as_bytes()
                    .chunks(size)
                    .for_each(|part| head.read(part));
                assert_eq!(head.have_length(), expected, "{text:?} by {size}");
                head.begin_again();
                assert!(!head.have_length());
                head.read(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n");
                assert!(head.have_length());
            }
        }
    }
}
