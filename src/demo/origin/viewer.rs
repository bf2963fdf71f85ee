//! One viewer on a WebSocket, from the greeting to its end.

use std::future::pending;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::{Origin, STALL_TIMEOUT, STOP_TIMEOUT};
use crate::demo::catalogue::LiveStream;
use crate::demo::timeline::Cursor;
use crate::h5live_messages::{self, Abort, Switch, Wish};

/// The longest message of a viewer, in bytes.
const MESSAGE_LIMIT: usize = 16 * 1024;

/// Bytes that are kept for reading, for each viewer. Viewers say little.
const READ_BUFFER: usize = 2 * 1024;

/// What the server can do, as players read it.
const CAPABILITIES: [&str; 5] = [
    "onPlay",
    "onPause",
    "onUpdateSource",
    "paused",
    "metastreamonly",
];

/// What it tells.
const EVENTS: [&str; 7] = [
    "onStreamStatus",
    "onStreamInfo",
    "onRandomAccessPoint",
    "onMetaData",
    "onUpdateSourceSuccess",
    "onUpdateSourceAbort",
    "onUpdateSourceError",
];

/// What a viewer does not want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// It wants everything.
    None,
    /// No media until `onPlay`.
    Paused,
    /// No media at all: it sits beside HLS.
    MetadataOnly,
}

/// Why a viewer's connection ends.
#[derive(Debug)]
enum End {
    /// It closed, or the connection broke.
    Gone,
    /// It took nothing for [`STALL_TIMEOUT`].
    Stalled,
    /// The server stops.
    Stopped,
}

impl From<Error> for End {
    fn from(_: Error) -> Self {
        Self::Gone
    }
}

/// Serves a viewer whose handshake was answered.
pub(super) async fn serve<S>(
    origin: Arc<Origin>,
    stream: Arc<LiveStream>,
    silence: Silence,
    socket: S,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_message_size(Some(MESSAGE_LIMIT))
        .max_frame_size(Some(MESSAGE_LIMIT));
    let socket = WebSocketStream::from_raw_socket(socket, Role::Server, Some(config)).await;
    let mut viewer = Viewer {
        origin,
        socket,
        stream,
        metadata_only: silence == Silence::MetadataOnly,
        cursor: None,
        not_before: 0,
        switch: None,
    };
    // Around everything, so that it also ends a viewer that is just being waited for.
    let stop = viewer.origin.stop.clone();
    let end = tokio::select! {
        () = stop.cancelled() => End::Stopped,
        Err(end) = viewer.play(silence) => end,
    };
    tracing::debug!(
        stream = viewer.stream.name,
        ?end,
        "a viewer of the demo left"
    );
    if matches!(end, End::Stopped) {
        let _ = timeout(STOP_TIMEOUT, viewer.close()).await;
    }
}

struct Viewer<S> {
    origin: Arc<Origin>,
    socket: WebSocketStream<S>,
    stream: Arc<LiveStream>,
    metadata_only: bool,
    /// `None` while it is paused.
    cursor: Option<Cursor>,
    /// The fragment behind the last that it was sent.
    not_before: u64,
    /// Made at the next keyframe.
    switch: Option<(Switch, Arc<LiveStream>)>,
}

/// What happens next.
enum Event {
    Said(Option<Result<Message, Error>>),
    Fragment(u64),
}

impl<S> Viewer<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// Greets, and then sends fragments and hears wishes, for ever.
    async fn play(&mut self, silence: Silence) -> Result<std::convert::Infallible, End> {
        let info = h5live_messages::server_info("h5gate demo", &CAPABILITIES, &EVENTS);
        self.say(info).await?;
        self.say(h5live_messages::connected()).await?;
        self.say(h5live_messages::stream_status(self.stream.name))
            .await?;
        self.announce().await?;
        if silence != Silence::Paused {
            self.resume().await?;
        }
        loop {
            let event = tokio::select! {
                said = self.socket.next() => Event::Said(said),
                index = next_fragment(&mut self.cursor) => Event::Fragment(index),
            };
            match event {
                Event::Fragment(index) => self.send_fragment(index).await?,
                Event::Said(Some(Ok(Message::Text(text)))) => self.hear(&text).await?,
                // Pings and closes are answered by the library.
                Event::Said(Some(Ok(_))) => {}
                Event::Said(Some(Err(_)) | None) => return Err(End::Gone),
            }
        }
    }

    /// What the stream is.
    async fn announce(&mut self) -> Result<(), End> {
        let LiveStream { name, clip, .. } = &*self.stream;
        let (picture, sound) = (clip.picture(), clip.sound());
        let info = h5live_messages::stream_info(name, &clip.mime_type(), picture, sound);
        self.say(info).await
    }

    /// Media from the newest keyframe on.
    async fn resume(&mut self) -> Result<(), End> {
        let group = self.stream.clip.group();
        let cursor = Cursor::live(self.origin.timeline, group, self.not_before);
        self.cursor = Some(cursor);
        self.send_init().await
    }

    async fn send_init(&mut self) -> Result<(), End> {
        if self.metadata_only {
            return Ok(());
        }
        self.show(self.stream.clip.init()).await
    }

    /// One fragment. A keyframe is where a switch is made, and is announced.
    async fn send_fragment(&mut self, index: u64) -> Result<(), End> {
        if self.stream.clip.is_keyframe(index) {
            if let Some((switch, stream)) = self.switch.take() {
                self.take(&switch, stream).await?;
                self.send_init().await?;
            }
            let time = self.origin.timeline.milliseconds(index);
            self.say(h5live_messages::meta_data(self.stream.name, time))
                .await?;
            if !self.metadata_only {
                let point = h5live_messages::random_access_point(self.stream.name, time);
                self.say(point).await?;
            }
        }
        self.not_before = index + 1;
        if self.metadata_only {
            return Ok(());
        }
        self.show(self.stream.clip.fragment(index)).await
    }

    async fn hear(&mut self, text: &str) -> Result<(), End> {
        match Wish::read(text) {
            Some(Wish::Play) if self.cursor.is_none() => {
                self.announce().await?;
                self.resume().await
            }
            Some(Wish::Pause) if !self.metadata_only => {
                self.cursor = None;
                // No keyframe will come on which it could be made.
                match self.switch.take() {
                    Some((switch, stream)) => self.take(&switch, stream).await,
                    None => Ok(()),
                }
            }
            Some(Wish::Switch(message)) => self.prepare(message.into()).await,
            Some(Wish::Play | Wish::Pause | Wish::Unknown) | None => Ok(()),
        }
    }

    /// A switch that was asked for: it is made at the next keyframe, or at once when no media flows.
    async fn prepare(&mut self, switch: Switch) -> Result<(), End> {
        let Some(stream) = self.origin.catalogue.get(switch.stream()) else {
            return self.say(switch.failed()).await;
        };
        let stream = Arc::clone(stream);
        if let Some((earlier, _)) = self.switch.take() {
            self.say(earlier.aborted(Abort::Superseded)).await?;
        }
        if stream.name == self.stream.name {
            self.say(switch.aborted(Abort::EqualSource)).await
        } else if self.cursor.is_none() {
            self.take(&switch, stream).await
        } else {
            self.switch = Some((switch, stream));
            Ok(())
        }
    }

    async fn take(&mut self, switch: &Switch, stream: Arc<LiveStream>) -> Result<(), End> {
        self.stream = stream;
        self.say(switch.succeeded()).await?;
        self.announce().await
    }

    async fn say(&mut self, text: String) -> Result<(), End> {
        self.send(Message::text(text)).await
    }

    async fn show(&mut self, bytes: Bytes) -> Result<(), End> {
        self.send(Message::Binary(bytes)).await
    }

    /// Sends a message and waits until the socket has taken it: nothing is ever kept for a slow viewer.
    async fn send(&mut self, message: Message) -> Result<(), End> {
        match timeout(STALL_TIMEOUT, self.socket.send(message)).await {
            Ok(sent) => Ok(sent?),
            Err(_) => Err(End::Stalled),
        }
    }

    /// Says that the server goes away, and waits for the answer.
    async fn close(&mut self) {
        let frame = CloseFrame {
            code: CloseCode::Away,
            reason: "".into(),
        };
        if self.socket.close(Some(frame)).await.is_ok() {
            while let Some(Ok(_)) = self.socket.next().await {}
        }
    }
}

/// The next fragment; never, while there is no cursor. Cancel safe.
async fn next_fragment(cursor: &mut Option<Cursor>) -> u64 {
    match cursor {
        Some(cursor) => cursor.next().await,
        None => pending().await,
    }
}

#[cfg(test)]
#[path = "viewer_tests.rs"]
mod tests;
