//! The media server: greets every WebSocket with one frame and then sends what a row wants; answers requests of HLS.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Handle};

use crate::wire::{self, SERVER_CLOSE};
use crate::{Result, hls};

/// The frame that every viewer gets first, as media servers send what a stream consists of.
const GREETING: usize = 256;
/// How long a writer rests when a socket takes nothing.
const FULL: Duration = Duration::from_millis(1);

/// The media server of one measurement, on a thread of its own.
pub struct Origin {
    stage: Mutex<HashMap<usize, Arc<TcpStream>>>,
    next: AtomicUsize,
    runtime: Handle,
}

impl Origin {
    /// Listens; ends with the process.
    pub fn start(address: std::net::SocketAddr) -> Result<Arc<Self>> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind(address))?;
        let origin = Arc::new(Self {
            stage: Mutex::default(),
            next: AtomicUsize::new(0),
            runtime: runtime.handle().clone(),
        });
        let serving = Arc::clone(&origin);
        thread::spawn(move || {
            runtime.block_on(async {
                while let Ok((socket, _)) = listener.accept().await {
                    let origin = Arc::clone(&serving);
                    tokio::spawn(async move { origin.serve(socket).await });
                }
            });
        });
        Ok(origin)
    }

    /// The WebSockets that are open.
    fn on_stage(&self) -> Vec<Arc<TcpStream>> {
        self.stage
            .lock()
            .expect("whole")
            .values()
            .cloned()
            .collect()
    }

    /// Sends every viewer `rate` frames of `size` bytes a second until the process ends, each stamped with the time, all
    /// viewers' evenly spread over the time between two frames.
    pub fn send_at(&self, rate: f64, size: usize) {
        let stage = self.on_stage();
        let mut frame = wire::frame(size);
        let stamp = wire::payload_start(&frame)..wire::payload_start(&frame) + 8;
        thread::spawn(move || {
            let gap = 1e9 / rate / stage.len() as f64;
            let (start, mut sent) = (wire::now(), 0.0);
            for socket in stage.iter().cycle() {
                let due = start + (gap * sent) as u64;
                sent += 1.0;
                if let Some(wait) = due.checked_sub(wire::now()) {
                    thread::sleep(Duration::from_nanos(wait));
                }
                frame[stamp.clone()].copy_from_slice(&wire::now().to_le_bytes());
                send_whole(socket, &frame);
            }
        });
    }

    /// Sends every viewer one frame.
    pub fn send_once(&self, size: usize) {
        let frame = wire::frame(size);
        self.on_stage()
            .iter()
            .for_each(|socket| send_whole(socket, &frame));
    }

    /// Sends every viewer `count` frames of `size` bytes as fast as it takes them.
    pub fn pour(&self, size: usize, count: usize) {
        let frame = Arc::new(wire::frame(size));
        for socket in self.on_stage() {
            let frame = Arc::clone(&frame);
            self.runtime.spawn(async move {
                for _ in 0..count {
                    let mut rest = &frame[..];
                    while !rest.is_empty() {
                        match socket.try_write(rest) {
                            Ok(written) => rest = &rest[written..],
                            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                                if socket.writable().await.is_err() {
                                    return;
                                }
                            }
                            Err(_) => return,
                        }
                    }
                }
            });
        }
    }

    async fn serve(&self, mut socket: TcpStream) -> io::Result<()> {
        socket.set_nodelay(true)?;
        let mut bytes = Vec::new();
        loop {
            let Some(length) = wire::head_length(&bytes) else {
                if socket.read_buf(&mut bytes).await? == 0 {
                    return Ok(());
                }
                continue;
            };
            let head: Vec<u8> = bytes.drain(..length).collect();
            let head = String::from_utf8_lossy(&head);
            match wire::header(&head, "sec-websocket-key") {
                Some(key) => return self.play(socket, key).await,
                None => socket.write_all(hls::answer(&head)).await?,
            }
        }
    }

    /// A WebSocket until the viewer closes it.
    async fn play(&self, mut socket: TcpStream, key: &str) -> io::Result<()> {
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n\r\n",
            wire::accept_key(key)
        );
        socket.write_all(answer.as_bytes()).await?;
        let (id, socket) = (self.next.fetch_add(1, Ordering::Relaxed), Arc::new(socket));
        // Before the greeting: a row begins to send when every viewer has got that.
        self.stage
            .lock()
            .expect("whole")
            .insert(id, Arc::clone(&socket));
        send_whole(&socket, &wire::frame(GREETING));
        let mut buffer = [0; 256];
        loop {
            socket.readable().await?;
            match socket.try_read(&mut buffer) {
                // A close frame, or something like it: viewers of this benchmark say nothing else.
                Ok(1..) if buffer[0] & 0x0f == wire::CLOSE => drop(socket.try_write(&SERVER_CLOSE)),
                Ok(1..) => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Ok(0) | Err(_) => {}
            }
            self.stage.lock().expect("whole").remove(&id);
            return Ok(());
        }
    }
}

/// Sends a whole frame from a thread of its own, so that no frame is ever cut short; a lost socket is let go.
fn send_whole(socket: &TcpStream, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match socket.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(FULL),
            Err(_) => return,
        }
    }
}
