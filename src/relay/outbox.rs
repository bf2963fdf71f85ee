//! Bytes that a socket has not taken yet.

use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::buffer::spare_capacity;
use tokio::io::AsyncWrite;

/// Bytes that wait for one socket, in order. Without any it holds no memory.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    sent: usize,
}

impl Outbox {
    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Adds bytes behind those that wait.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Adds the next `count` bytes of a pipe, which must be there, behind those that wait.
    pub fn push_from(&mut self, pipe: impl AsFd, count: usize) -> io::Result<()> {
        self.bytes.reserve_exact(count);
        let end = self.bytes.len() + count;
        while self.bytes.len() < end {
            if rustix::io::read(&pipe, spare_capacity(&mut self.bytes))? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    /// Hands `bytes` to the socket at once, as many as it takes while nothing else waits; the rest waits.
    pub fn write<W: AsyncWrite + Unpin>(
        &mut self,
        mut bytes: &[u8],
        socket: &mut W,
        cx: &mut Context<'_>,
    ) -> io::Result<()> {
        while self.is_empty() && !bytes.is_empty() {
            match Pin::new(&mut *socket).poll_write(cx, bytes) {
                Poll::Ready(written) => bytes = rest(bytes, written?)?,
                Poll::Pending => break,
            }
        }
        self.push(bytes);
        Ok(())
    }

    /// Sends what waits; ready when nothing does. `progress` tells whether the socket took anything.
    pub fn poll_flush<W: AsyncWrite + Unpin>(
        &mut self,
        socket: &mut W,
        cx: &mut Context<'_>,
        mut progress: impl FnMut(),
    ) -> Poll<io::Result<()>> {
        while let Some(waiting) = self
            .bytes
            .get(self.sent..)
            .filter(|waiting| !waiting.is_empty())
        {
            match Pin::new(&mut *socket).poll_write(cx, waiting) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => {
                    self.sent += written;
                    progress();
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        // Given back at once: a quiet viewer holds no buffer.
        *self = Self::default();
        Poll::Ready(Ok(()))
    }
}

fn rest(bytes: &[u8], written: usize) -> io::Result<&[u8]> {
    match bytes.get(written..) {
        Some(rest) if written > 0 => Ok(rest),
        _ => Err(io::ErrorKind::WriteZero.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// Takes a few bytes at a time, and nothing on every second try.
    #[derive(Default)]
    struct Slow {
        taken: Vec<u8>,
        tries: usize,
    }

    impl AsyncWrite for Slow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.tries += 1;
            if self.tries.is_multiple_of(2) {
                return Poll::Pending;
            }
            let count = bytes.len().min(3);
            self.taken.extend_from_slice(&bytes[..count]);
            Poll::Ready(Ok(count))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn bytes_leave_in_order_and_the_memory_is_given_back() {
        let (mut socket, mut outbox) = (Slow::default(), Outbox::default());
        let mut cx = Context::from_waker(Waker::noop());
        let sent: Vec<u8> = (0..100).collect();
        outbox.write(&sent[..50], &mut socket, &mut cx).unwrap();
        outbox.push(&sent[50..60]);
        // What waits goes first.
        outbox.write(&sent[60..], &mut socket, &mut cx).unwrap();
        let mut progress = 0;
        while outbox
            .poll_flush(&mut socket, &mut cx, || progress += 1)
            .is_pending()
        {
            assert!(!outbox.is_empty());
        }
        assert_eq!(socket.taken, sent);
        assert_eq!((outbox.bytes.capacity(), progress), (0, 33));
    }

    #[test]
    fn what_a_socket_takes_at_once_is_never_kept() {
        let mut outbox = Outbox::default();
        let mut cx = Context::from_waker(Waker::noop());
        let mut socket = Vec::new();
        outbox.write(&[7; 70_000], &mut socket, &mut cx).unwrap();
        assert_eq!((socket.len(), outbox.bytes.capacity()), (70_000, 0));
    }

    #[test]
    fn a_socket_that_takes_nothing_any_more_is_an_error() {
        let mut room = [0; 4];
        let mut full = io::Cursor::new(&mut room[..]);
        let mut outbox = Outbox::default();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(outbox.write(&[7; 10], &mut full, &mut cx).is_err());
        outbox.push(b"x");
        assert!(matches!(
            outbox.poll_flush(&mut full, &mut cx, || {}),
            Poll::Ready(Err(_))
        ));
    }
}
