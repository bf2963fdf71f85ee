//! A connection as the rest of the gate knows it: bytes both ways, its scheme, and the TCP socket below it where its bytes are
//! the socket's own.

use std::future::pending;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use super::scheme::Scheme;

/// A viewer's connection.
#[derive(Debug)]
pub struct Socket(TcpStream);

/// One side of a relay: a viewer's connection, or one to a media server.
pub trait Side: AsyncRead + AsyncWrite + Unpin {
    /// The TCP socket that the side is; `None` where its bytes are not the socket's own, as under TLS.
    fn tcp(&self) -> Option<Tcp<'_>>;
}

/// A TCP socket whose bytes may be moved past the process.
#[derive(Clone, Copy, Debug)]
pub struct Tcp<'a>(&'a TcpStream);

impl Socket {
    /// A connection whose bytes are the socket's own.
    pub(super) fn plain(socket: TcpStream) -> Self {
        Self(socket)
    }

    /// How is asked on it.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        Scheme::Http
    }

    /// Resolves when the viewer has ended the connection. One that has sent something already is not watched: what it sent
    /// waits in the socket. Cancel safe.
    pub async fn hung_up(&self) {
        if matches!(self.0.peek(&mut [0]).await, Ok(1..)) {
            pending::<()>().await;
        }
    }
}

impl Side for Socket {
    #[inline]
    fn tcp(&self) -> Option<Tcp<'_>> {
        self.0.tcp()
    }
}

impl Side for TcpStream {
    #[inline]
    fn tcp(&self) -> Option<Tcp<'_>> {
        Some(Tcp(self))
    }
}

impl Tcp<'_> {
    /// Looks at the bytes that are there, and leaves them there.
    #[inline]
    pub fn poll_peek(
        self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        self.0.poll_peek(cx, buffer)
    }

    /// Ready when there may be something to take.
    #[inline]
    pub fn poll_read_ready(self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_read_ready(cx)
    }

    /// Does something with the socket that fails with [`WouldBlock`](io::ErrorKind::WouldBlock) by the socket's fault alone,
    /// which is then no longer ready for it.
    #[inline]
    pub fn try_io<T>(
        self,
        interest: Interest,
        act: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        self.0.try_io(interest, act)
    }
}

impl AsFd for Tcp<'_> {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsyncRead for Socket {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    #[inline]
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, pieces)
    }

    #[inline]
    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    #[inline]
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    #[inline]
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
