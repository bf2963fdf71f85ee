//! What the tests of the demonstration's media server share: a running one, its clients, and a look into MP4.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use h5gate::demo::clip::ClipError;
use h5gate::demo::origin;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long anything may take before a test calls it missing.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Ticks in a fragment of 320 ms: of pictures at 90 kHz, of sound at 48 kHz.
pub(crate) const TICKS: [u64; 2] = [28_800, 15_360];

/// A running media server.
pub(crate) struct Demo {
    pub(crate) address: SocketAddr,
    pub(crate) stop: CancellationToken,
    pub(crate) serving: JoinHandle<Result<(), ClipError>>,
}

impl Demo {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let serving = TaskTracker::new().spawn(origin::serve(listener, stop.clone()));
        Self {
            address,
            stop,
            serving,
        }
    }

    /// A handshake on this path and query.
    pub(crate) async fn open(&self, target: &str) -> Result<Viewer, Error> {
        let socket = TcpStream::connect(self.address).await.unwrap();
        let (socket, _) = client_async(format!("ws://{}{target}", self.address), socket).await?;
        Ok(Viewer(socket))
    }

    pub(crate) async fn play(&self, stream: &str) -> Viewer {
        let query = format!("url=rtmp%3A%2F%2Flocalhost%2Fplay&stream={stream}&cid=1&pid=2");
        self.open(&format!("/h5live/stream/stream.mp4?{query}"))
            .await
            .unwrap()
    }

    /// One HTTP request; reads to the end.
    pub(crate) async fn ask(&self, method: &str, target: &str) -> Answer {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        let request =
            format!("{method} {target} HTTP/1.1\r\nHost: demo.test\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        let end = timeout(PATIENCE, socket.read_to_end(&mut bytes));
        end.await.expect("an end").expect("an orderly end");
        let split = bytes
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap();
        let head = String::from_utf8(bytes[..split].to_vec()).unwrap();
        Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head: head.to_lowercase(),
            body: bytes[split + 4..].to_vec(),
        }
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.ask("GET", target).await
    }
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

pub(crate) struct Viewer(pub WebSocketStream<TcpStream>);

impl Viewer {
    pub(crate) async fn next(&mut self) -> Option<Message> {
        let next = timeout(PATIENCE, self.0.next()).await;
        next.expect("a message or the end").transpose().unwrap()
    }

    /// The next message, which is a text of this event: its body.
    pub(crate) async fn hear(&mut self, event: &str) -> Value {
        let Some(Message::Text(text)) = self.next().await else {
            panic!("no text where {event} belongs")
        };
        let mut message: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(message["eventType"], event);
        message[event].take()
    }

    /// The next message, which is binary.
    pub(crate) async fn see(&mut self) -> Bytes {
        match self.next().await {
            Some(Message::Binary(bytes)) => bytes,
            other => panic!("{other:?} where media belongs"),
        }
    }

    /// The next media, whatever text comes before.
    pub(crate) async fn media(&mut self) -> Bytes {
        loop {
            if let Message::Binary(bytes) = self.next().await.unwrap() {
                return bytes;
            }
        }
    }

    pub(crate) async fn switch(&mut self, stream: &str) {
        let text = json!({ "eventType": "onUpdateSource", "onUpdateSource": { "tag": "a", "count": 1,
            "options": { "faststart": true }, "rtmp": { "url": "rtmp://localhost/play", "stream": stream } },
            "requestId": 9 });
        self.0.send(Message::text(text.to_string())).await.unwrap();
    }
}

/// The decode times of all fragments in some media: of pictures and of sound.
pub(crate) fn times(media: &[u8]) -> Vec<[u64; 2]> {
    let mut all = Vec::new();
    let mut rest = media;
    while !rest.is_empty() {
        let length = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
        let (this, after) = rest.split_at(length);
        if &this[4..8] == b"moof" {
            let starts = this
                .windows(4)
                .enumerate()
                .filter(|(_, four)| four == b"tfdt");
            let times: Vec<_> = starts
                .map(|(at, _)| u64::from_be_bytes(this[at + 8..at + 16].try_into().unwrap()))
                .collect();
            all.push(times.try_into().unwrap());
        }
        rest = after;
    }
    all
}

/// Asserts that each fragment begins where the one before ended.
pub(crate) fn assert_continuous(times: &[[u64; 2]]) {
    for (one, next) in times.iter().zip(&times[1..]) {
        assert_eq!([one[0] + TICKS[0], one[1] + TICKS[1]], *next);
    }
}

pub(crate) fn is_init(media: &[u8]) -> bool {
    &media[4..8] == b"ftyp"
}
