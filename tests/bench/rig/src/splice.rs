//! The floor without copying: `splice(2)` through pipes that the thread's relays share.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};

use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice};
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::floor;

/// The most that one splice is asked to move: more than a pipe holds.
const MOST: usize = 1024 * 1024;

struct Pipe {
    write: OwnedFd,
    read: OwnedFd,
    filled: usize,
}

thread_local! {
    static POOL: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
}

fn pipe() -> io::Result<Pipe> {
    if let Some(pipe) = POOL.with_borrow_mut(Vec::pop) {
        return Ok(pipe);
    }
    let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    Ok(Pipe {
        write,
        read,
        filled: 0,
    })
}

/// Ends with either side.
pub async fn relay(viewer: TcpStream, server: &str) -> io::Result<()> {
    let server = floor::dial(&viewer, server).await?;
    let (mut down, mut up) = (None, None);
    poll_fn(|cx| {
        if let Poll::Ready(end) = pass(&viewer, &server, &mut up, cx) {
            return Poll::Ready(end);
        }
        pass(&server, &viewer, &mut down, cx)
    })
    .await
}

fn pass(
    from: &TcpStream,
    to: &TcpStream,
    held: &mut Option<Pipe>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    loop {
        if let Some(pipe) = held {
            while pipe.filled > 0 {
                ready!(to.poll_write_ready(cx))?;
                let moved = to.try_io(Interest::WRITABLE, || {
                    splice(&pipe.read, None, to, None, pipe.filled, flags).map_err(io::Error::from)
                });
                match moved {
                    Ok(count) => pipe.filled -= count,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
            POOL.with_borrow_mut(|pool| pool.extend(held.take()));
        }
        ready!(from.poll_read_ready(cx))?;
        let mut pipe = pipe()?;
        let moved = from.try_io(Interest::READABLE, || {
            splice(from, None, &pipe.write, None, MOST, flags).map_err(io::Error::from)
        });
        match moved {
            Ok(0) => return Poll::Ready(Ok(())),
            Ok(count) => {
                pipe.filled = count;
                *held = Some(pipe);
            }
            Err(error) => {
                POOL.with_borrow_mut(|pool| pool.push(pipe));
                if error.kind() != io::ErrorKind::WouldBlock {
                    return Poll::Ready(Err(error));
                }
            }
        }
    }
}
