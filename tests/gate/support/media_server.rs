//! A media server made of a script: what it answers is the test's, what it was asked is kept.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::viewer::{Frame, read_frame};
use super::{PATIENCE, until};

/// A media server; its threads end with the test's process.
pub(crate) struct MediaServer {
    pub(crate) address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

/// One connection of a gate, and the head of its latest request.
pub(crate) struct FromGate {
    pub(crate) socket: TcpStream,
    pub(crate) head: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl MediaServer {
    /// Serves each connection by `script`, on a thread of its own.
    pub(crate) fn start(script: impl Fn(FromGate) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (kept, script) = (Arc::clone(&heads), Arc::new(script));
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let script = Arc::clone(&script);
                let mut gate = FromGate {
                    socket,
                    head: String::new(),
                    heads: Arc::clone(&kept),
                };
                std::thread::spawn(move || {
                    gate.socket.set_read_timeout(Some(PATIENCE)).unwrap();
                    gate.socket.set_nodelay(true).unwrap();
                    if gate.next_request() {
                        script(gate);
                    }
                });
            }
        });
        Self { address, heads }
    }

    /// Answers 101 and greets; whatever a viewer says comes back as `echo:` and the text.
    pub(crate) fn echo() -> Self {
        Self::start(|mut gate| {
            gate.greet();
            while let Some(frame) = gate.receive() {
                match frame.opcode {
                    0x1 => gate.send(0x1, &[b"echo:", &frame.payload[..]].concat()),
                    0x8 => return gate.send(0x8, &frame.payload),
                    _ => {}
                }
            }
        })
    }

    /// Answers 101 and greets; takes every switch.
    pub(crate) fn switching() -> Self {
        Self::start(|mut gate| {
            gate.greet();
            while let Some(frame) = gate.receive() {
                match frame.opcode {
                    0x1 => {
                        let asked: Value = serde_json::from_slice(&frame.payload).unwrap();
                        let id = &asked["requestId"];
                        let taken = json!({
                            "eventType": "onUpdateSourceSuccess",
                            "onUpdateSourceSuccess": { "tag": "", "count": 1, "requestId": id },
                            "requestId": id,
                        });
                        gate.send(0x1, taken.to_string().as_bytes());
                    }
                    0x8 => return gate.send(0x8, &frame.payload),
                    _ => {}
                }
            }
        })
    }

    /// How often a path was asked for.
    pub(crate) fn asked(&self, path: &str) -> usize {
        let is_it = |head: &&String| target(head).split('?').next() == Some(path);
        self.heads().iter().filter(is_it).count()
    }

    /// The heads of all requests so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    /// Waits for the first head.
    pub(crate) fn first_head(&self) -> String {
        until("a request at the media server", || {
            self.heads().first().cloned()
        })
    }
}

impl FromGate {
    /// The right answer to the handshake.
    pub(crate) fn answer(&self) -> String {
        let key = self.header("sec-websocket-key").unwrap();
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n\r\n",
            derive_accept_key(key.as_bytes())
        )
    }

    /// The value of a header of the head.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// Waits for the next request on this connection; whether there is one.
    pub(crate) fn next_request(&mut self) -> bool {
        let Some(head) = read_head(&mut self.socket) else {
            return false;
        };
        self.heads.lock().unwrap().push(head.clone());
        self.head = head;
        true
    }

    /// Agrees to be a WebSocket, and says hello.
    pub(crate) fn greet(&mut self) {
        self.accept();
        self.send(0x1, b"hello");
    }

    /// Greets, and says nothing more until the other side is gone.
    pub(crate) fn greet_only(mut self) {
        self.greet();
        self.drain();
    }

    /// Agrees to be a WebSocket.
    pub(crate) fn accept(&mut self) {
        let answer = self.answer();
        self.send_raw(answer.as_bytes());
    }

    /// Sends bytes; a viewer that has gone is no error of the script.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        let _ = self.socket.write_all(bytes);
    }

    /// Sends one whole frame.
    pub(crate) fn send(&mut self, opcode: u8, payload: &[u8]) {
        self.send_raw(&h5gate::relay::frame::from_server(opcode, payload));
    }

    /// The next frame, unmasked; `None` at the end.
    pub(crate) fn receive(&mut self) -> Option<Frame> {
        read_frame(&mut self.socket)
    }

    /// Reads until the other side is gone.
    pub(crate) fn drain(mut self) {
        let mut rest = Vec::new();
        let _ = self.socket.read_to_end(&mut rest);
    }
}

/// The request target of a head.
pub(crate) fn target(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or_default()
}

/// The value of a header in a head.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let same = |line: &&str| {
        line.split_once(':')
            .is_some_and(|(key, _)| key.eq_ignore_ascii_case(name))
    };
    head.lines()
        .find(same)
        .and_then(|line| line.split_once(':'))
        .map(|(_, value)| value.trim())
}

/// Reads to the end of a head, byte by byte so that nothing behind it is taken.
pub(crate) fn read_head(socket: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match socket.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return None,
        }
    }
    String::from_utf8(head).ok()
}
