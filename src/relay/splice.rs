//! Large frames pass through a pipe of the thread by `splice(2)`: their bytes are never copied into the process.
//!
//! Like the thread's buffer, the pipe is borrowed between a readiness and the write that follows, and is empty whenever
//! it is not borrowed: what the viewer's socket would not take is copied to the viewer's outbox.

use std::cell::Cell;
use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};

use rustix::io::retry_on_intr;
use rustix::pipe::{
    PipeFlags, SpliceFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with, splice,
};
use tokio::io::{Interest, ReadBuf};

use crate::listener::socket::Tcp;

use super::frame::{FrameHeader, HEADER_LIMIT, header_length, is_control};
use super::outbox::Outbox;
use super::{BUFFER_BYTES, WAITING_BYTES};

/// The smallest frame for which two splices cost less than a read and a write.
pub(super) const LARGE: u64 = 32 * 1024;

/// The pipe's size. Each page that is touched takes the room of a whole one, and frames begin anywhere.
const PIPE_BYTES: usize = 2 * WAITING_BYTES;

struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
}

thread_local! {
    static PIPE: Cell<Option<Pipe>> = const { Cell::new(None) };
}

/// The header of a large data frame that a server's socket has ready; what else is ready must be read.
pub(super) fn poll_large_frame(
    server: Tcp<'_>,
    cx: &mut Context<'_>,
    header: &mut [u8; HEADER_LIMIT],
) -> Poll<Option<(usize, u64)>> {
    let ready = ready!(server.poll_peek(cx, &mut ReadBuf::new(header)));
    let bytes = header.get(..ready.unwrap_or_default()).unwrap_or_default();
    let length = header_length(bytes);
    let frame = bytes.get(..length).and_then(FrameHeader::read);
    let large = frame.filter(|frame| !is_control(frame.opcode) && frame.length >= LARGE);
    Poll::Ready(large.map(|frame| (length, frame.length)))
}

/// The thread's pipe while it is borrowed.
pub(super) struct Splice {
    pipe: Pipe,
    filled: usize,
}

impl Splice {
    /// Borrows the pipe; `None` without a descriptor for one, when everything has to be copied.
    pub(super) fn begin() -> Option<Self> {
        let pipe = PIPE.take().or_else(Pipe::open)?;
        Some(Self { pipe, filled: 0 })
    }

    /// Whether nothing has been taken yet.
    pub(super) fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// How much more may be taken.
    pub(super) fn room(&self) -> usize {
        WAITING_BYTES - self.filled
    }

    /// Takes at most `most` bytes, at least one, and no more than there is [`room`](Self::room) for. Ready with how many have
    /// left the media server's socket; with 0 when the socket has to be read to learn its error or end, or when the pipe has to
    /// be emptied first.
    pub(super) fn poll_take(
        &mut self,
        server: Tcp<'_>,
        most: u64,
        cx: &mut Context<'_>,
    ) -> Poll<usize> {
        debug_assert!(most > 0, "a splice of nothing");
        let most = usize::try_from(most).map_or(self.room(), |most| most.min(self.room()));
        let taken = if self.is_empty() {
            ready!(self.pipe.poll_fill(server, most, cx)).unwrap_or(0)
        } else {
            // The call may block because the pipe is full, so that the runtime must not clear the socket's readiness.
            self.pipe.fill(server, most).unwrap_or(0)
        };
        self.filled += taken;
        Poll::Ready(taken)
    }

    /// Writes what was taken to the viewer; what its socket does not take is copied to `outbox`, which is empty before. How
    /// much it was. An error is that of the viewer's socket.
    pub(super) fn hand_on(self, viewer: Tcp<'_>, outbox: &mut Outbox) -> io::Result<usize> {
        // An error leaves bytes in the pipe, which is dropped with them.
        self.pipe.empty(viewer, self.filled, outbox)?;
        PIPE.set(Some(self.pipe));
        Ok(self.filled)
    }
}

impl Pipe {
    fn open() -> Option<Self> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
        // A new pipe holds 64 KiB, and less when the data does not begin at a page's start. Without the right to a larger one it
        // stays so. A user that has used up its pages for pipes gets one that is so small that copying costs less.
        let size = fcntl_setpipe_size(&writer, PIPE_BYTES).or_else(|_| fcntl_getpipe_size(&writer));
        let useful = size.is_ok_and(|size| size >= BUFFER_BYTES);
        useful.then_some(Self { reader, writer })
    }

    fn fill(&self, server: Tcp<'_>, most: usize) -> io::Result<usize> {
        let filled = retry_on_intr(|| splice(server, None, &self.writer, None, most, FLAGS));
        Ok(filled?)
    }

    /// The same for an empty pipe: waits for the socket.
    fn poll_fill(
        &self,
        server: Tcp<'_>,
        most: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(server.poll_read_ready(cx))?;
            match server.try_io(Interest::READABLE, || self.fill(server, most)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                filled => return Poll::Ready(filled),
            }
        }
    }

    /// Writes all of the pipe's `filled` bytes to the viewer or to `outbox`.
    fn empty(&self, viewer: Tcp<'_>, mut filled: usize, outbox: &mut Outbox) -> io::Result<()> {
        while filled > 0 {
            match viewer.try_io(Interest::WRITABLE, || {
                Ok(retry_on_intr(|| {
                    splice(&self.reader, None, viewer, None, filled, FLAGS)
                })?)
            }) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(taken) => filled -= taken,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        outbox.push_from(&self.reader, filled)
    }
}

const FLAGS: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::AsyncWriteExt as _;
    use tokio::net::{TcpListener, TcpStream};

    use crate::listener::socket::Side as _;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await;
        (near.unwrap(), listener.accept().await.unwrap().0)
    }

    /// As on a system that gives a user no larger pipes any more (pipe(7), pipe-user-pages-soft).
    #[tokio::test]
    async fn a_pipe_that_is_full_hides_nothing_that_is_still_in_the_socket() {
        let (server, mut far) = pair().await;
        let (viewer, _far) = pair().await;
        far.write_all(&[7; 40_000]).await.unwrap();
        server.readable().await.unwrap();
        let (server, viewer) = (server.tcp().unwrap(), viewer.tcp().unwrap());
        let mut cx = Context::from_waker(Waker::noop());
        let (mut outbox, mut moved, mut rounds) = (Outbox::default(), 0, 0);
        while moved < 40_000 {
            let pipe = Pipe::open().unwrap();
            assert_eq!(fcntl_setpipe_size(&pipe.writer, 4096).unwrap(), 4096);
            let mut splice = Splice { pipe, filled: 0 };
            while let Poll::Ready(1..) = splice.poll_take(server, 100_000, &mut cx) {}
            assert!(!splice.is_empty(), "{moved} bytes, and then nothing");
            moved += splice.hand_on(viewer, &mut outbox).unwrap();
            rounds += 1;
        }
        assert!(rounds >= 10, "{rounds} rounds of a page");
    }
}
