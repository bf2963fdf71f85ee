//! A socket to a media server that checks what hyper does not: that nothing comes without a request, and that an answer's head
//! comes to an end.

use std::io::{self, ErrorKind, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The most that is read until an answer's head is whole, interim answers (1xx) before it included. A head has at most 16 KiB;
/// what is read behind it at once is part of this.
const BEFORE_BODY: usize = 256 * 1024;

/// One socket, shared by hyper and the connection.
#[derive(Clone, Debug)]
pub(super) struct CheckedSocket(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    socket: TcpStream,
    phase: Phase,
    /// Bytes came without a request.
    strayed: bool,
}

/// Where a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing is asked.
    Idle,
    /// A request is on its way; so many bytes may still be read before the answer's head is whole.
    Asked(usize),
    /// The body is being read.
    Answered,
}

impl CheckedSocket {
    pub(super) fn new(socket: TcpStream) -> Self {
        Self(Arc::new(Mutex::new(State {
            socket,
            phase: Phase::Idle,
            strayed: false,
        })))
    }

    /// A request follows.
    pub(super) fn ask(&self) {
        self.state().phase = Phase::Asked(BEFORE_BODY);
    }

    /// The answer's head is whole.
    pub(super) fn answered(&self) {
        self.state().phase = Phase::Answered;
    }

    /// The answer is over.
    pub(super) fn rest(&self) {
        self.state().phase = Phase::Idle;
    }

    /// Whether more than [`BEFORE_BODY`] came before the body.
    pub(super) fn has_run_over(&self) -> bool {
        self.state().phase == Phase::Asked(0)
    }

    /// Whether bytes came without a request.
    pub(super) fn has_strayed(&self) -> bool {
        self.state().strayed
    }

    /// Whether nothing has come, and the server has not closed it: asked of the system, since the runtime's own knowledge may
    /// be older.
    pub(super) fn is_quiet(&self) -> bool {
        let mut state = self.state();
        let peeked = SockRef::from(&state.socket).peek(&mut [MaybeUninit::uninit()]);
        state.strayed |= matches!(peeked, Ok(1..));
        peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsyncRead for CheckedSocket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.state();
        if state.phase == Phase::Asked(0) {
            return Poll::Ready(Err(ErrorKind::InvalidData.into()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut state.socket).poll_read(cx, buffer))?;
        let count = buffer.filled().len() - before;
        match &mut state.phase {
            Phase::Asked(room) => *room = room.saturating_sub(count),
            Phase::Idle => state.strayed |= count > 0,
            Phase::Answered => {}
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for CheckedSocket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.state().socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.state().socket).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.state().socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.state().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.state().socket).poll_shutdown(cx)
    }
}
