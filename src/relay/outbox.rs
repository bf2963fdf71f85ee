//! Bytes that a socket would not take yet.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;

/// Bytes on their way to one socket, in order. Holds memory only while there are some.
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
