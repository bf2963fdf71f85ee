//! One connection of an origin: HTTP/1.1 requests one after the other, or a WebSocket.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::h5live_messages::{self, Abort, Switch, Wish};
use crate::load::{machine::monotonic, stamp};
use crate::relay::frame::{FrameHeader, apply_mask, from_server, header_length, opcode};

use super::media::{Fragment, SMALLEST};
use super::sink::{Sink, Sinks};
use super::{Origin, hls, media};

/// The longest head of a request, and the longest message of a viewer.
const LIMIT: usize = 64 * 1024;

/// Fields of a request's head.
const FIELDS: usize = 64;

/// What it can do: streams are alike, and so a viewer can change to any.
const CAPABILITIES: [&str; 1] = ["onUpdateSource"];

/// What it tells.
const EVENTS: [&str; 4] = [
    "onStreamStatus",
    "onStreamInfo",
    "onUpdateSourceSuccess",
    "onUpdateSourceAbort",
];

/// A request.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    path: String,
    query: String,
    head_only: bool,
    /// `Sec-WebSocket-Key`.
    key: Option<String>,
    close: bool,
}

/// Serves a connection to its end.
pub(super) async fn serve(origin: Arc<Origin>, sinks: Arc<Sinks>, mut socket: TcpStream) {
    let mut buffer = Vec::new();
    while let Some((asked, length)) = request(&mut socket, &mut buffer).await {
        buffer.drain(..length);
        if let Some(key) = asked.key.as_deref().filter(|_| is_websocket(&asked.path)) {
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {}\r\n\r\n",
                derive_accept_key(key.as_bytes())
            );
            let stream = hls::stream(&asked.query);
            let greeting = greeting(&origin, &stream);
            // Media servers begin at once, with what a decoder needs.
            let mut first = Fragment::new(SMALLEST);
            let first = first.stamped(monotonic());
            let opened = [answer.as_bytes(), &greeting, first].concat();
            if socket.write_all(&opened).await.is_ok() {
                origin.viewers.fetch_add(1, Ordering::Relaxed);
                let sink = Sink::new(socket);
                sinks.add(&sink);
                listen(&origin, &sink, stream, buffer).await;
            }
            return;
        }
        if answer(&origin, &mut socket, &asked).await.is_err() || asked.close {
            return;
        }
    }
}

/// What every WebSocket begins with (protocol.md 5).
fn greeting(origin: &Origin, stream: &str) -> Vec<u8> {
    let texts = [
        h5live_messages::server_info("h5gate load", &CAPABILITIES, &EVENTS),
        h5live_messages::connected(),
        h5live_messages::stream_status(stream),
        stream_info(origin, stream),
    ];
    let frames = texts.map(|text| from_server(opcode::TEXT, text.as_bytes()));
    frames.concat()
}

fn stream_info(origin: &Origin, stream: &str) -> String {
    let picture = media::picture(origin.plan.rate);
    h5live_messages::stream_info(stream, media::TYPE, picture, media::SOUND)
}

/// The next request, and how many bytes of the buffer it has; `None` at the end, or for what is no request.
async fn request(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<(Asked, usize)> {
    loop {
        if let Some(found) = read_head(buffer).ok()? {
            return Some(found);
        }
        if buffer.len() > LIMIT || socket.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

fn read_head(bytes: &[u8]) -> Result<Option<(Asked, usize)>, httparse::Error> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut head = httparse::Request::new(&mut fields);
    let httparse::Status::Complete(length) = head.parse(bytes)? else {
        return Ok(None);
    };
    let field = |name: &str| {
        let found = head
            .headers
            .iter()
            .find(|field| field.name.eq_ignore_ascii_case(name));
        found.and_then(|field| std::str::from_utf8(field.value).ok())
    };
    let (path, query) = head
        .path
        .and_then(|path| path.split_once('?'))
        .unwrap_or((head.path.unwrap_or_default(), ""));
    let asked = Asked {
        path: path.to_owned(),
        query: query.to_owned(),
        head_only: head.method == Some("HEAD"),
        key: field("sec-websocket-key").map(str::to_owned),
        close: field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")),
    };
    Ok(Some((asked, length)))
}

fn is_websocket(path: &str) -> bool {
    matches!(last(path), "stream" | "stream.mp4" | "authstream")
}

/// The last part of a path; 3.x players put a `/` behind it (protocol.md 2).
fn last(path: &str) -> &str {
    path.trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default()
}

async fn answer(origin: &Origin, socket: &mut TcpStream, asked: &Asked) -> io::Result<()> {
    const PLAYLIST: &str = "application/vnd.apple.mpegurl";
    let (seconds, now) = (origin.plan.segment_seconds, monotonic());
    let name = last(&asked.path);
    let number = name
        .strip_suffix(".m4s")
        .and_then(|number| number.parse().ok());
    let (start, rest): (Vec<u8>, &[u8]) = match (name, number) {
        ("playlist.m3u8", _) => (hls::multivariant(&asked.query).into_bytes(), &[]),
        ("media.m3u8", _) => (hls::media(now, seconds).into_bytes(), &[]),
        ("init.mp4", _) => (Vec::new(), media::INIT),
        (_, Some(number)) if hls::exists(number, now, seconds) => {
            let rest = origin.segment.get(stamp::LENGTH..).unwrap_or_default();
            (stamp::write(now).to_vec(), rest)
        }
        _ => {
            return socket
                .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                .await;
        }
    };
    let (kind, cache) = match name {
        "playlist.m3u8" | "media.m3u8" => (PLAYLIST, "no-cache"),
        _ => ("video/mp4", "max-age=60"),
    };
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nCache-Control: {cache}\r\n\r\n",
        start.len() + rest.len()
    );
    let start = if asked.head_only { Vec::new() } else { start };
    socket
        .write_all(&[head.as_bytes(), &start].concat())
        .await?;
    let rest = if asked.head_only { &[] } else { rest };
    socket.write_all(rest).await
}

/// Hears what a viewer says: nothing counts but switches, pings and the end.
async fn listen(origin: &Origin, sink: &Sink, mut stream: String, mut buffer: Vec<u8>) {
    loop {
        while let Some((frame, length)) = whole_frame(&buffer) {
            let mut payload = buffer.get(length.0..length.1).unwrap_or_default().to_vec();
            apply_mask(&mut payload, frame.mask.unwrap_or_default(), 0);
            match frame.opcode {
                opcode::CLOSE => return sink.end(&from_server(opcode::CLOSE, &payload)),
                opcode::PING => sink.say(&from_server(opcode::PONG, &payload)),
                opcode::TEXT => sink.say(&answer_to(origin, &mut stream, &payload)),
                _ => {}
            }
            buffer.drain(..length.1);
        }
        let mut bytes = [0; 512];
        let read = match sink.socket.readable().await {
            Ok(()) => sink.socket.try_read(&mut bytes),
            Err(error) => Err(error),
        };
        match read {
            Ok(count) if count > 0 && buffer.len() < LIMIT => {
                buffer.extend_from_slice(bytes.get(..count).unwrap_or_default());
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(_) | Err(_) => return sink.end(&[]),
        }
    }
}

/// The frames that answer a viewer's text, which may change the stream: none, but for a switch.
fn answer_to(origin: &Origin, stream: &mut String, text: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(text).unwrap_or_default();
    let Some(Wish::Switch(message)) = Wish::read(text) else {
        return Vec::new();
    };
    let switch = Switch::from(message);
    let texts = if switch.stream() == stream {
        vec![switch.aborted(Abort::EqualSource)]
    } else {
        switch.stream().clone_into(stream);
        vec![switch.succeeded(), stream_info(origin, stream)]
    };
    let frames = texts.iter();
    frames
        .flat_map(|text| from_server(opcode::TEXT, text.as_bytes()))
        .collect()
}

/// The first frame of a buffer when it is whole, and where its payload begins and ends.
fn whole_frame(buffer: &[u8]) -> Option<(FrameHeader, (usize, usize))> {
    let header = header_length(buffer);
    let frame = FrameHeader::read(buffer.get(..header)?)?;
    let end = header.checked_add(usize::try_from(frame.length).ok()?)?;
    (buffer.len() >= end).then_some((frame, (header, end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_known_by_its_end() {
        for path in [
            "/h5live/stream",
            "/h5live/stream.mp4",
            "/x/authstream/",
            "/h5live/authstream/stream.mp4/",
        ] {
            assert!(is_websocket(path), "{path}");
        }
        for path in ["/", "/h5live", "/h5live/streams", "/stream/x"] {
            assert!(!is_websocket(path), "{path}");
        }
    }

    #[test]
    fn requests_are_read_one_after_the_other() {
        let first = b"GET /a/media.m3u8?x=1 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
        let both = [&first[..], b"HEAD /b HTTP/1.1\r\nSec-WebSocket-Key: k\r\n"].concat();
        let (asked, length) = read_head(&both).unwrap().unwrap();
        assert_eq!(
            (asked.path.as_str(), asked.query.as_str()),
            ("/a/media.m3u8", "x=1")
        );
        assert!(asked.close && !asked.head_only && asked.key.is_none());
        assert_eq!(length, first.len());
        assert_eq!(read_head(&both[length..]), Ok(None));
        assert!(read_head(b"\0\0").is_err());
    }
}
