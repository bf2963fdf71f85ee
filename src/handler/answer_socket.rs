//! A viewer's socket as hyper answers through it. hyper would wait without a limit for a viewer that takes nothing, and send
//! the answer to a handshake at once, though on a loaded gate a packet costs more than the close frame that follows.

use std::io::{self, ErrorKind, IoSlice};
use std::mem::take;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::head_lines::HeadLines;

/// Fails with [`ErrorKind::TimedOut`] when it is written to and its peer takes nothing for `limit`; while there is nothing to
/// write it may be as quiet as it likes. What is written while `holds` is true waits until the socket is taken back.
#[derive(Debug)]
pub struct AnswerSocket<'a, S> {
    socket: S,
    limit: Duration,
    /// Runs while the socket takes nothing.
    stall: Option<Pin<Box<Sleep>>>,
    holds: &'a AtomicBool,
    held: Vec<u8>,
    heads: Option<&'a HeadLines>,
}

impl<'a, S: AsyncWrite + Unpin> AnswerSocket<'a, S> {
    /// Guards a socket.
    #[must_use]
    pub fn new(socket: S, limit: Duration, holds: &'a AtomicBool) -> Self {
        Self {
            socket,
            limit,
            stall: None,
            holds,
            held: Vec::new(),
            heads: None,
        }
    }

    /// Shows what is read to `heads`.
    #[must_use]
    pub fn shown_to(self, heads: &'a HeadLines) -> Self {
        Self {
            heads: Some(heads),
            ..self
        }
    }

    /// The socket, no longer guarded, and what has still to be written to it.
    #[must_use]
    pub fn into_parts(self) -> (S, Vec<u8>) {
        (self.socket, self.held)
    }

    /// Writes what was held, within the same limit; then the socket is no longer guarded.
    pub async fn release(mut self) -> io::Result<S> {
        let held = take(&mut self.held);
        self.holds.store(false, Ordering::Relaxed);
        self.write_all(&held).await?;
        Ok(self.socket)
    }

    /// What a write came to, or that there have been too many in vain.
    fn watch<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stall = None;
            return written;
        }
        let stall = self
            .stall
            .get_or_insert_with(|| Box::pin(sleep(self.limit)));
        ready!(stall.as_mut().poll(cx));
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for AnswerSocket<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.socket).poll_read(cx, buffer));
        if let Some(heads) = self.heads {
            heads.read(buffer.filled().get(before..).unwrap_or_default());
        }
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for AnswerSocket<'_, S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.holds.load(Ordering::Relaxed) {
            self.held.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.watch(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.holds.load(Ordering::Relaxed) {
            let before = self.held.len();
            for piece in pieces {
                self.held.extend_from_slice(piece);
            }
            return Poll::Ready(Ok(self.held.len() - before));
        }
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, pieces);
        self.watch(written, cx)
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
    use tokio::io::{AsyncReadExt as _, duplex};
    use tokio::time::{Instant, sleep, timeout};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);
    static NEVER: AtomicBool = AtomicBool::new(false);

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_given_up_and_one_that_takes_little_is_not() {
        let (mut peer, socket) = duplex(1);
        let mut socket = AnswerSocket::new(socket, LIMIT, &NEVER);
        let start = Instant::now();
        let reading = async {
            for _ in 0..5 {
                sleep(LIMIT - Duration::from_secs(1)).await;
                peer.read_u8().await.unwrap();
            }
            start.elapsed()
        };
        let (written, last_read) = tokio::join!(socket.write_all(&[7; 100]), reading);
        assert_eq!(written.unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(start.elapsed().as_secs(), (last_read + LIMIT).as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_no_stall() {
        let (mut peer, socket) = duplex(10);
        let mut socket = AnswerSocket::new(socket, LIMIT, &NEVER);
        for _ in 0..3 {
            socket.write_all(&[7; 10]).await.unwrap();
            // What was written waits for the peer, and there is nothing more to write.
            sleep(10 * LIMIT).await;
            peer.read_exact(&mut [0; 10]).await.unwrap();
        }
    }

    #[tokio::test]
    async fn what_is_written_while_it_holds_waits_in_order() {
        let holds = AtomicBool::new(false);
        let mut socket = AnswerSocket::new(Vec::new(), LIMIT, &holds);
        socket.write_all(b"first ").await.unwrap();
        holds.store(true, Ordering::Relaxed);
        socket.write_all(b"second ").await.unwrap();
        let pieces = [IoSlice::new(b"third "), IoSlice::new(b"fourth")];
        assert_eq!(socket.write_vectored(&pieces).await.unwrap(), 12);
        let (sent, held) = socket.into_parts();
        assert_eq!(
            (&sent[..], &held[..]),
            (&b"first "[..], &b"second third fourth"[..])
        );
    }

    #[tokio::test]
    async fn what_was_held_follows_what_was_not() {
        let holds = AtomicBool::new(false);
        let mut socket = AnswerSocket::new(Vec::new(), LIMIT, &holds);
        socket.write_all(b"first ").await.unwrap();
        holds.store(true, Ordering::Relaxed);
        socket.write_all(b"second").await.unwrap();
        assert_eq!(socket.release().await.unwrap(), b"first second");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_of_what_was_held_is_given_up_too() {
        let (_peer, socket) = duplex(1);
        let holds = AtomicBool::new(true);
        let mut socket = AnswerSocket::new(socket, LIMIT, &holds);
        socket.write_all(&[7; 100]).await.unwrap();
        let start = Instant::now();
        let released = timeout(2 * LIMIT, socket.release()).await;
        let error = released.expect("given up").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(start.elapsed().as_secs(), LIMIT.as_secs());
    }
}
