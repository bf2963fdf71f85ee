//! Viewers: they connect, take frames, and leave as browsers do.

use std::cell::RefCell;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Result;
use crate::settings::Settings;
use crate::wire::{self, Frames, VIEWER_CLOSE};

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; 256 * 1024].into_boxed_slice());
}

/// A viewer whose first frame has come.
pub struct Viewer {
    socket: TcpStream,
    frames: Frames,
}

/// What all viewers have seen.
#[derive(Default)]
pub struct Seen {
    /// Frames.
    pub frames: AtomicU64,
    /// Bytes.
    pub bytes: AtomicU64,
    /// Whether to keep latencies.
    pub timing: AtomicBool,
    /// From the media server's write to the viewer's read, nanoseconds.
    pub latencies: Mutex<Vec<u64>>,
}

async fn ask(settings: &Settings) -> Result<TcpStream> {
    let mut socket = TcpStream::connect(settings.proxy).await?;
    socket.set_nodelay(true)?;
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{}Sec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate; \
         client_max_window_bits\r\n\r\n",
        settings.target,
        settings.proxy,
        wire::BROWSER,
    );
    socket.write_all(request.as_bytes()).await?;
    Ok(socket)
}

async fn read_head(socket: &mut TcpStream, bytes: &mut Vec<u8>) -> Result<String> {
    loop {
        if let Some(length) = wire::head_length(bytes) {
            let head: Vec<u8> = bytes.drain(..length).collect();
            return Ok(String::from_utf8(head)?);
        }
        if socket.read_buf(bytes).await? == 0 {
            return Err("the proxy closed before it answered".into());
        }
    }
}

impl Viewer {
    /// Connects, and waits for the media server's first frame.
    pub async fn open(settings: &Settings) -> Result<Self> {
        let mut socket = ask(settings).await?;
        let mut bytes = Vec::with_capacity(2048);
        let head = read_head(&mut socket, &mut bytes).await?;
        if !head.starts_with("HTTP/1.1 101 ") {
            return Err(format!("no 101 but {head}").into());
        }
        let (mut frames, mut first) = (Frames::default(), None);
        loop {
            frames.follow(&bytes, |opcode, _| first = first.or(Some(opcode)));
            match first {
                Some(wire::CLOSE) => return Err("closed instead of a first frame".into()),
                Some(_) => return Ok(Self { socket, frames }),
                None => {}
            }
            bytes.clear();
            if socket.read_buf(&mut bytes).await? == 0 {
                return Err("ended before the first frame".into());
            }
        }
    }

    /// Takes what comes, and tells what it was, until the connection ends.
    pub async fn watch(mut self, seen: Arc<Seen>) -> io::Result<Self> {
        loop {
            self.socket.readable().await?;
            let taken: io::Result<usize> = BUFFER.with_borrow_mut(|buffer| {
                let count = self.socket.try_read(buffer)?;
                let timing = seen.timing.load(Ordering::Relaxed);
                self.frames.follow(&buffer[..count], |_, stamp| {
                    seen.frames.fetch_add(1, Ordering::Relaxed);
                    if timing {
                        let latency = wire::now().saturating_sub(stamp);
                        seen.latencies.lock().expect("whole").push(latency);
                    }
                });
                seen.bytes.fetch_add(count as u64, Ordering::Relaxed);
                Ok(count)
            });
            match taken {
                Ok(0) => return Ok(self),
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
    }

    /// Closes and waits until the connection has ended.
    pub async fn leave(mut self) -> Result<()> {
        self.socket.write_all(&VIEWER_CLOSE).await?;
        let mut rest = Vec::new();
        self.socket.read_to_end(&mut rest).await?;
        Ok(())
    }
}

/// Asks for what is refused, and leaves when the answer is whole: any status of 4xx, or a close frame behind a 101, which
/// is answered, and after which the proxy ends the connection as the protocol has it.
pub async fn be_refused(settings: &Settings) -> Result<()> {
    let mut socket = ask(settings).await?;
    let mut bytes = Vec::with_capacity(2048);
    let head = read_head(&mut socket, &mut bytes).await?;
    if head.starts_with("HTTP/1.1 4") {
        let length: usize = wire::header(&head, "content-length")
            .unwrap_or("0")
            .parse()?;
        while bytes.len() < length {
            if socket.read_buf(&mut bytes).await? == 0 {
                return Err("half a refusal".into());
            }
        }
        return Ok(());
    }
    let mut closed = false;
    let mut frames = Frames::default();
    while !closed {
        frames.follow(&bytes, |opcode, _| closed = opcode == wire::CLOSE);
        bytes.clear();
        if !closed && socket.read_buf(&mut bytes).await? == 0 {
            return Err("a 101 without a close frame".into());
        }
    }
    socket.write_all(&VIEWER_CLOSE).await?;
    socket.read_to_end(&mut bytes).await?;
    Ok(())
}
