//! A viewer that speaks raw bytes, and a plain HTTP client.

use std::io::{ErrorKind, Read, Write as _};
use std::net::{SocketAddr, TcpStream};

use h5gate::relay::frame;
use h5gate::request::query::encode_component;
use h5gate::token::Security;

use super::PATIENCE;
use super::media_server::{header, read_head};

/// A frame, unmasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) first: u8,
    pub(crate) opcode: u8,
    pub(crate) payload: Vec<u8>,
}

/// A viewer's connection after its handshake was answered.
pub(crate) struct Viewer {
    pub(crate) socket: TcpStream,
    /// The answer's head.
    pub(crate) head: String,
}

/// The query of a playback: the usual source, the stream and the four strings; empty values left out.
pub(crate) fn query(stream: &str, security: &Security) -> String {
    let pairs = [
        ("url", "rtmp://localhost/play"),
        ("stream", stream),
        ("cid", "123456"),
        ("pid", ""),
        ("expires", &security.expires),
        ("tag", &security.tag),
        ("token", &security.token),
        ("options", &security.options),
    ];
    let set = pairs.iter().filter(|(_, value)| !value.is_empty());
    set.map(|(key, value)| format!("{key}={}", encode_component(value)))
        .collect::<Vec<_>>()
        .join("&")
}

impl Viewer {
    /// A handshake on the usual path with this query and these header lines.
    pub(crate) fn open(gate: SocketAddr, query: &str, headers: &[&str]) -> Self {
        Self::open_path(
            gate,
            &format!("/h5live/authstream/stream.mp4?{query}"),
            headers,
            b"",
        )
    }

    /// A handshake on any target, and bytes right behind it.
    pub(crate) fn open_path(
        gate: SocketAddr,
        target: &str,
        headers: &[&str],
        behind: &[u8],
    ) -> Self {
        let mut socket = connect(gate);
        let request = [handshake(target, headers).as_bytes(), behind].concat();
        socket.write_all(&request).unwrap();
        Self::answered(socket)
    }

    /// Reads the answer to a handshake that was sent.
    pub(crate) fn answered(mut socket: TcpStream) -> Self {
        let head = read_head(&mut socket).expect("an answer to the handshake");
        Self { socket, head }
    }

    /// The answer's status.
    pub(crate) fn status(&self) -> u16 {
        status(&self.head).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// Sends a text message.
    pub(crate) fn say(&mut self, text: &str) {
        self.send(0x1, text.as_bytes());
    }

    /// Sends one whole frame.
    pub(crate) fn send(&mut self, opcode: u8, payload: &[u8]) {
        self.send_raw(&frame::from_client(opcode, [1, 2, 3, 4], payload));
    }

    /// Sends bytes; that the gate has closed is seen by reading.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        let _ = self.socket.write_all(bytes);
    }

    /// The next frame; `None` at the end of the connection.
    pub(crate) fn receive(&mut self) -> Option<Frame> {
        read_frame(&mut self.socket)
    }

    /// The next text message.
    pub(crate) fn hear(&mut self) -> String {
        let frame = self.receive().expect("a text message before the end");
        assert_eq!(frame.opcode, 0x1, "{frame:?}");
        String::from_utf8(frame.payload).unwrap()
    }

    /// Reads to the close frame, and checks that the connection then ends without a reset: its code and reason.
    pub(crate) fn closed(&mut self) -> (u16, String) {
        let payload = loop {
            let frame = self.receive().expect("a close frame before the end");
            if frame.opcode == 0x8 {
                break frame.payload;
            }
        };
        let code = u16::from_be_bytes([payload[0], payload[1]]);
        let reason = String::from_utf8(payload[2..].to_vec()).unwrap();
        // As a browser: the close is echoed, and then the server ends the connection.
        self.send(0x8, &payload[..2]);
        assert_eq!(self.receive(), None, "nothing may follow a close frame");
        (code, reason)
    }
}

/// A handshake as a browser writes it.
pub(crate) fn handshake(target: &str, headers: &[&str]) -> String {
    let extra: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    format!(
        "GET {target} HTTP/1.1\r\nHost: gate.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Extensions: permessage-deflate\r\n{extra}\r\n"
    )
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}

/// The next frame; `None` at an orderly end. A reset is a failure: it can overtake a close code.
pub(crate) fn read_frame(socket: &mut TcpStream) -> Option<Frame> {
    let mut head = [0; 2];
    match socket.read(&mut head[..1]) {
        Ok(0) => return None,
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
        Err(error) => panic!("{error}"),
    }
    socket.read_exact(&mut head[1..]).ok()?;
    let mut header = head.to_vec();
    header.resize(frame::header_length(&head), 0);
    socket.read_exact(&mut header[2..]).ok()?;
    let header = frame::FrameHeader::read(&header).unwrap();
    let mut payload = vec![0; usize::try_from(header.length).unwrap()];
    socket.read_exact(&mut payload).ok()?;
    frame::apply_mask(&mut payload, header.mask.unwrap_or_default(), 0);
    Some(Frame {
        first: head[0],
        opcode: header.opcode,
        payload,
    })
}

/// An HTTP answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// One request of any form on a connection of its own; reads to the end.
pub(crate) fn exchange(address: SocketAddr, request: &[u8]) -> Answer {
    let mut socket = connect(address);
    socket.write_all(request).unwrap();
    let mut bytes = Vec::new();
    let _ = socket.read_to_end(&mut bytes);
    Answer::whole(&bytes)
}

/// The next answer on a connection that goes on, which says its length.
pub(crate) fn next_answer(socket: &mut TcpStream) -> Answer {
    let head = read_head(socket).expect("an answer");
    let length = header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    socket.read_exact(&mut body).unwrap();
    Answer::whole(&[head.into_bytes(), body].concat())
}

impl Answer {
    /// From all of its bytes; the status is 0 where there is none.
    pub(crate) fn whole(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        Self {
            status: status(head).unwrap_or(0),
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }
}

/// The status of an answer's head.
fn status(head: &str) -> Option<u16> {
    head.split(' ').nth(1)?.parse().ok()
}

pub(crate) fn get(address: SocketAddr, target: &str, headers: &[&str]) -> Answer {
    request(address, "GET", target, headers, "")
}

pub(crate) fn request(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[&str],
    body: &str,
) -> Answer {
    let extra: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let length = if body.is_empty() {
        String::new()
    } else {
        format!("Content-Length: {}\r\n", body.len())
    };
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{extra}{length}\r\n"
    );
    exchange(address, &[head.as_bytes(), body.as_bytes()].concat())
}
