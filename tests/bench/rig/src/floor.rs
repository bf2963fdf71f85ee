//! The floor: what relaying alone costs, without reading anything of what passes.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

use crate::{Result, splice};

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; 64 * 1024].into_boxed_slice());
}

/// Relays between viewers at `listen` and the media server until the process is killed.
pub fn run(kind: &str, listen: &str, server: &str) -> Result<()> {
    if !["copy", "shared", "splice"].contains(&kind) {
        return Err("the floor is copy, shared or splice".into());
    }
    let kind = kind.to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind(listen).await?;
        loop {
            let (viewer, _) = listener.accept().await?;
            let (server, kind) = (server.to_owned(), kind.clone());
            // What a relay ends with does not matter here.
            tokio::task::spawn_local(async move {
                let _ = match kind.as_str() {
                    "copy" => copy(viewer, &server).await,
                    "shared" => share(viewer, &server).await,
                    _ => splice::relay(viewer, &server).await,
                };
            });
        }
    })
}

async fn copy(mut viewer: TcpStream, server: &str) -> io::Result<()> {
    let mut server = dial(&viewer, server).await?;
    copy_bidirectional(&mut viewer, &mut server)
        .await
        .map(|_| ())
}

pub async fn dial(viewer: &TcpStream, server: &str) -> io::Result<TcpStream> {
    viewer.set_nodelay(true)?;
    let server = TcpStream::connect(server).await?;
    server.set_nodelay(true)?;
    Ok(server)
}

/// One buffer for the whole thread, borrowed between a read and the write that follows; ends with either side.
async fn share(mut viewer: TcpStream, server: &str) -> io::Result<()> {
    let mut server = dial(&viewer, server).await?;
    let (mut down, mut up) = (Vec::new(), Vec::new());
    poll_fn(|cx| {
        if let Poll::Ready(end) = pass(&mut viewer, &mut server, &mut up, cx) {
            return Poll::Ready(end);
        }
        pass(&mut server, &mut viewer, &mut down, cx)
    })
    .await
}

/// Moves what can be moved; what `to` would not take is kept in `left`.
fn pass(
    from: &mut TcpStream,
    to: &mut TcpStream,
    left: &mut Vec<u8>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    loop {
        while !left.is_empty() {
            let written = ready!(Pin::new(&mut *to).poll_write(cx, left))?;
            left.drain(..written);
        }
        *left = Vec::new();
        let ended = BUFFER.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            ready!(Pin::new(&mut *from).poll_read(cx, &mut buffer))?;
            let mut bytes = buffer.filled();
            let ended = bytes.is_empty();
            while !bytes.is_empty() {
                match Pin::new(&mut *to).poll_write(cx, bytes) {
                    Poll::Ready(written) => bytes = &bytes[written?..],
                    Poll::Pending => {
                        left.extend_from_slice(bytes);
                        break;
                    }
                }
            }
            Poll::Ready(io::Result::Ok(ended))
        });
        if ready!(ended)? {
            return Poll::Ready(Ok(()));
        }
    }
}
