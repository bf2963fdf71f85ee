//! The answer to a handshake leaves together with what follows it: on a loaded gate a packet costs more than the verdict.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A socket on which nothing leaves while its switch is on: it waits for whoever takes the socket apart.
#[derive(Debug)]
pub struct Together<S> {
    socket: S,
    waits: Arc<AtomicBool>,
    waiting: Vec<u8>,
}

impl<S> Together<S> {
    /// A socket and its switch.
    #[must_use]
    pub fn new(socket: S, waits: Arc<AtomicBool>) -> Self {
        Self {
            socket,
            waits,
            waiting: Vec::new(),
        }
    }

    /// The socket, and what has still to be written to it.
    #[must_use]
    pub fn into_parts(self) -> (S, Vec<u8>) {
        (self.socket, self.waiting)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Together<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Together<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.waits.load(Ordering::Relaxed) {
            self.waiting.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.waits.load(Ordering::Relaxed) {
            let before = self.waiting.len();
            for piece in pieces {
                self.waiting.extend_from_slice(piece);
            }
            return Poll::Ready(Ok(self.waiting.len() - before));
        }
        Pin::new(&mut self.socket).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test]
    async fn what_is_written_after_the_switch_waits_in_order() {
        let waits = Arc::new(AtomicBool::new(false));
        let mut socket = Together::new(Vec::new(), Arc::clone(&waits));
        socket.write_all(b"first ").await.unwrap();
        waits.store(true, Ordering::Relaxed);
        socket.write_all(b"second ").await.unwrap();
        let pieces = [IoSlice::new(b"third "), IoSlice::new(b"fourth")];
        assert_eq!(socket.write_vectored(&pieces).await.unwrap(), 12);
        let (sent, waiting) = socket.into_parts();
        assert_eq!(
            (&sent[..], &waiting[..]),
            (&b"first "[..], &b"second third fourth"[..])
        );
    }
}
