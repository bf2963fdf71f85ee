//! Step 2: an HTTP head becomes a [`PlaybackRequest`], or it is [`Malformed`].
//!
//! Everything that the decision looks at is read here, once, and everything that goes on to the media server is rebuilt
//! here from what was read. No keys, no clock, no status codes.

pub mod client_address;
pub mod endpoint;
pub mod handshake;
pub mod http_playback;
pub mod percent;
pub mod query;
pub mod referer;
pub mod rtmp_url;
pub mod strict;

use http::request::Parts;

use crate::listener::Peer;
use crate::token::{NameError, Security, StreamName};
use client_address::{ClientAddress, Neighbours};
use query::{Query, QueryError};
use referer::Referer;
use rtmp_url::{RtmpUrl, RtmpUrls, Unlisted};

/// The WebSocket paths that a player uses; 3.x players put a `/` before the `?` (protocol.md 2). Matched byte for byte.
const WEBSOCKET_PATHS: [&str; 4] = [
    "/h5live/authstream",
    "/h5live/authstream/",
    "/h5live/authstream/stream.mp4",
    "/h5live/authstream/stream.mp4/",
];

/// The flag of a player that asks only whether it may play.
pub const CHECK_AND_CLOSE: &str = "checkandclose";

/// Whether a path is the WebSocket endpoint.
#[must_use]
pub fn is_websocket_path(path: &str) -> bool {
    WEBSOCKET_PATHS.contains(&path)
}

/// What the operator says of requests: the reverse proxies in front, and which sources there are.
#[derive(Debug)]
pub struct Edge {
    /// The reverse proxies that are believed about the client's address.
    pub neighbours: Neighbours,
    /// The sources that a viewer may name.
    pub rtmp_urls: RtmpUrls,
}

/// Why a request is no playback request. The player gets 4400 for all of them: repeating it will not help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The query cannot be read.
    #[error("query: {0}")]
    Query(#[from] QueryError),
    /// No `stream`.
    #[error("stream is missing")]
    StreamMissing,
    /// A `stream` that is no name.
    #[error("stream {0}")]
    Stream(NameError),
    /// No `url`.
    #[error("url is missing")]
    UrlMissing,
    /// A `url` that is not configured.
    #[error("url {0} is none of upstream.rtmp_urls")]
    Url(Unlisted),
    /// A message on the socket that breaks the rules of WebSocket or of the player's messages.
    #[error("message: {0}")]
    Message(&'static str),
}

/// A request to play, understood but not yet allowed.
#[derive(Clone, Debug)]
pub struct PlaybackRequest {
    /// The stream.
    pub stream: StreamName,
    /// The source, in the operator's spelling.
    pub url: RtmpUrl,
    /// The four strings, each empty when absent.
    pub security: Security,
    /// Where the viewer is.
    pub address: ClientAddress,
    /// On which host the page is.
    pub referer: Referer,
    /// `pid`: constant for one player instance (protocol.md 2). The viewer's own word.
    pub player: String,
    /// `cid`: new for every URL that a player builds. The viewer's own word.
    pub connection: String,
    /// What the player asked for.
    pub flags: Flags,
    /// Whether there was a `jwtoken` as well, which is not checked (protocol.md 6).
    pub jwt: bool,
}

/// The flags that mean something to the gate; all travel on (protocol.md 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// Only the answer whether it may play is wanted.
    pub check_and_close: bool,
    /// No media until `onPlay`.
    pub paused: bool,
    /// No media at all.
    pub meta_stream_only: bool,
}

impl Flags {
    fn read(list: &str) -> Self {
        let has = |flag| list.split(',').any(|one| one == flag);
        Self {
            check_and_close: has(CHECK_AND_CLOSE),
            paused: has("paused"),
            meta_stream_only: has("metastreamonly"),
        }
    }
}

impl PlaybackRequest {
    /// Reads the head of a WebSocket handshake on one of the playback paths. The query that it was read from comes with
    /// it, but for the security.
    pub fn read_websocket<'a>(
        head: &'a Parts,
        peer: Peer,
        edge: &Edge,
    ) -> Result<(Self, Query<'a>), Malformed> {
        let query = Query::parse(head.uri.query().unwrap_or_default())?;
        let referer = Referer::of_websocket(&head.headers);
        Self::read(query, head, peer, edge, referer)
    }

    /// Reads the head of a request that begins a playback over HTTP. `checkandclose` means nothing here and does not
    /// travel on: iOS players have it in the URL of their HLS too (protocol.md 4). Nor does what players add to any URL by
    /// themselves. The query comes with it as well.
    pub fn read_http<'a>(
        head: &'a Parts,
        peer: Peer,
        edge: &Edge,
    ) -> Result<(Self, Query<'a>), Malformed> {
        let mut query = Query::parse(head.uri.query().unwrap_or_default())?;
        query.drop_flag(CHECK_AND_CLOSE);
        query.drop_additions();
        let referer = Referer::of_http(&head.headers);
        Self::read(query, head, peer, edge, referer)
    }

    fn read<'a>(
        mut query: Query<'a>,
        head: &Parts,
        peer: Peer,
        edge: &Edge,
        referer: Referer,
    ) -> Result<(Self, Query<'a>), Malformed> {
        let stream = query.stream.as_deref().ok_or(Malformed::StreamMissing)?;
        let stream: StreamName = stream.parse().map_err(Malformed::Stream)?;
        let url = query.url.as_deref().ok_or(Malformed::UrlMissing)?;
        let url = edge.rtmp_urls.find(url).map_err(Malformed::Url)?;
        let request = Self {
            address: edge.neighbours.client(peer, &head.headers),
            referer,
            player: query.pid.as_deref().unwrap_or_default().to_owned(),
            connection: query.cid.as_deref().unwrap_or_default().to_owned(),
            flags: Flags::read(query.flags.as_deref().unwrap_or_default()),
            security: std::mem::take(&mut query.security),
            jwt: query.jwt,
            stream,
            url,
        };
        Ok((request, query))
    }
}
