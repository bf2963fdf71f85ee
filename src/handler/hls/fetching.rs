//! Step 6 for HTTP, and the rewriting of playlists: one answer of a media server, for one viewer or for all.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    ETAG, HeaderName, HeaderValue, LAST_MODIFIED,
};
use http::uri::PathAndQuery;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use tokio::time::{sleep, timeout};

use crate::cache::fill::{Filler, Writer};
use crate::cache::pieces::Pieces;
use crate::decision::permit::Permit;
use crate::gate::Gate;
use crate::gate::budget::Reservation;
use crate::gate::reloads::PlaylistKey;
use crate::gate::sharing::{Failure, SharedHead};
use crate::hls::link::LinkContext;
use crate::hls::playlist::{
    self, Context, Definitions, Directives, PlaylistError, Reload, Rewritten, rewrite,
};
use crate::hls::seal_keys::SealKeys;
use crate::hls::shareable::{self, Kind, shareable};
use crate::upstream::UpstreamError;
use crate::upstream::fetch::{Fetched, retry_after};
use crate::upstream::head::FetchRequest;

use super::media_request::TICKET_HERE;
use super::opened::{LookedAt, Opened, Sort};
use super::packed::{Coding, Unpackable};

/// A playlist that is longer is rewritten beside the workers: with this many bytes it takes about a millisecond.
const LONG: usize = 64 << 10;

/// How much memory is held at once for a playlist of unknown length.
const STEP: usize = 64 << 10;

const TOO_LONG: UpstreamError = UpstreamError::WrongAnswer("a playlist over hls.playlist");

/// What of a media server's headers a viewer gets. Its CORS, cookies, name and alternatives are not the viewer's business.
const KEPT: [HeaderName; 6] = [
    CONTENT_TYPE,
    CONTENT_ENCODING,
    CONTENT_RANGE,
    ACCEPT_RANGES,
    ETAG,
    LAST_MODIFIED,
];

/// What viewers get of these headers.
pub fn kept_headers(from: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    for name in &KEPT {
        if let Some(value) = from.get(name) {
            headers.insert(name, value.clone());
        }
    }
    headers.insert(CACHE_CONTROL, for_one_viewer(from.get(CACHE_CONTROL)));
    headers
}

/// Every URL belongs to one viewer and one playback: no cache between viewer and gate may answer it.
fn for_one_viewer(theirs: Option<&HeaderValue>) -> HeaderValue {
    let theirs = theirs
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let theirs = theirs.to_ascii_lowercase();
    if theirs.contains("no-store") {
        return HeaderValue::from_static("no-store");
    }
    let mut directives = theirs.split(',').map(str::trim);
    let age = directives.find_map(|one| one.strip_prefix("max-age=")?.parse::<u32>().ok());
    let value = age.map(|age| HeaderValue::try_from(format!("private, max-age={age}")));
    match value {
        Some(Ok(value)) => value,
        Some(Err(_)) | None => HeaderValue::from_static("private"),
    }
}

/// Whether an answer is called a playlist, by what it says of itself or by its name.
pub fn is_called_playlist(fetched: &Fetched) -> bool {
    let content_type = fetched.headers.get(CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    shareable::is_called_playlist(content_type, fetched.target.path())
}

/// A playlist for viewers, and the memory that it takes.
#[derive(Debug)]
pub struct Readable {
    /// The playlist.
    pub rewritten: Rewritten,
    /// Of the half of `hls.playlist_memory` that is for reading and rewriting.
    pub held: Reservation,
}

/// Reads a playlist to its end and makes its URIs links.
pub async fn playlist(
    gate: &Arc<Gate>,
    opened: Opened,
    coding: Coding,
    links: &LinkContext,
    viewers_query: Option<&str>,
) -> Result<Readable, Failure> {
    let evidence = opened.evidence();
    let readable = readable(gate, opened, coding, links, viewers_query).await;
    readable.map_err(|failure| failure.about(|| evidence))
}

async fn readable(
    gate: &Arc<Gate>,
    opened: Opened,
    coding: Coding,
    links: &LinkContext,
    viewers_query: Option<&str>,
) -> Result<Readable, Failure> {
    let declared = opened.headers.get(CONTENT_LENGTH);
    let declared = declared.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|length| length > gate.http.settings().playlist) {
        return Err(TOO_LONG.into());
    }
    let first = declared.unwrap_or(STEP);
    let mut held = gate.http.reserve_playlist(first).ok_or(Failure::NoRoom)?;
    let Opened { body, target, .. } = opened;
    // All viewers wait for all of it, so that a server must not take its time with each piece.
    let text = timeout(gate.timeouts.media_idle, read(gate, body, &mut held)).await;
    let mut text = text.map_err(|_| UpstreamError::TooLate)??;
    if coding != Coding::Identity {
        text = unpacked(gate, coding, &text, &mut held).await?;
    }
    held.resize(text.len());
    let is_viewers_query = viewers_query.is_some();
    let query = viewers_query.or(target.query()).map(str::to_owned);
    let rewriting = Rewriting {
        gate: Arc::clone(gate),
        seals: Arc::clone(&gate.policy().seals),
        links: links.clone(),
        text,
        target,
        query,
        is_viewers_query,
    };
    let rewritten = rewriting.run().await;
    let rewritten = rewritten.map_err(|_| UpstreamError::WrongAnswer("no playlist"))?;
    match held.resize(rewritten.text.len()) {
        true => Ok(Readable { rewritten, held }),
        false => Err(Failure::NoRoom),
    }
}

/// Reads a body to its end. One that is longer than what is held for it takes more as it comes: a server that tells no length
/// keeps no memory for the longest playlist that there may be.
async fn read(gate: &Gate, mut body: LookedAt, held: &mut Reservation) -> Result<Bytes, Failure> {
    let mut text = Pieces::default();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| UpstreamError::Lost)?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        text.push(data);
        let length = text.remaining();
        if length > gate.http.settings().playlist {
            return Err(TOO_LONG.into());
        }
        if length > held.bytes() && !held.resize(length.next_multiple_of(STEP)) {
            return Err(Failure::NoRoom);
        }
    }
    Ok(text.copy_to_bytes(text.remaining()))
}

/// Unpacks a playlist. The limits hold for what it becomes, and for as many at once as there are workers.
async fn unpacked(
    gate: &Gate,
    coding: Coding,
    packed: &[u8],
    held: &mut Reservation,
) -> Result<Bytes, Failure> {
    let _turn = gate.http.rewriting_turn().await;
    let may_grow = |bytes: usize| {
        let both = packed.len() + bytes;
        both <= held.bytes() || held.resize(both.next_multiple_of(STEP))
    };
    let text = coding.unpack(packed, gate.http.settings().playlist, may_grow);
    text.await.map(Bytes::from).map_err(|error| match error {
        Unpackable::TooLong => TOO_LONG.into(),
        Unpackable::NoRoom => Failure::NoRoom,
        Unpackable::Malformed => {
            UpstreamError::WrongAnswer("a packed playlist that cannot be unpacked").into()
        }
    })
}

/// A playlist that is to be rewritten, with all that this takes.
struct Rewriting {
    gate: Arc<Gate>,
    seals: Arc<SealKeys>,
    links: LinkContext,
    text: Bytes,
    target: PathAndQuery,
    query: Option<String>,
    is_viewers_query: bool,
}

impl Rewriting {
    /// A long one is rewritten beside the worker, whose other connections would wait for it.
    async fn run(self) -> Result<Rewritten, PlaylistError> {
        if self.text.len() <= LONG {
            return self.work();
        }
        let gate = Arc::clone(&self.gate);
        let _turn = gate.http.rewriting_turn().await;
        let work = tokio::task::spawn_blocking(move || self.work());
        // It fails when it panics, and when the process ends.
        work.await.unwrap_or(Err(PlaylistError::NotAPlaylist))
    }

    fn work(self) -> Result<Rewritten, PlaylistError> {
        let Self {
            gate,
            seals,
            links,
            text,
            target,
            query,
            is_viewers_query,
        } = self;
        let imported = match links.definitions.as_str() {
            "" => Definitions::default(),
            // Signed by the gate, so that it is one.
            encoded => Definitions::decode(encoded)?,
        };
        let context = Context {
            path: target.path(),
            query: query.as_deref().unwrap_or_default(),
            is_viewers_query,
            to_ticket: &links.to_ticket,
            place: &TICKET_HERE,
            is_ours: &|scheme, authority| gate.http.is_ours(scheme, authority),
            stream: links.stream.as_str(),
            url: &links.url,
            imported: &imported,
            sign: &|definitions, target| links.sign(&seals, definitions, target),
        };
        rewrite(&text, &context)
    }
}

/// Notes what a playlist says of its next reload.
pub fn note(gate: &Gate, place: PlaylistKey, directives: Directives, rewritten: &Rewritten) {
    let (reload, target) = (rewritten.reload, rewritten.target_duration);
    if rewritten.kind == playlist::Kind::Media {
        let now = tokio::time::Instant::now();
        gate.http
            .reloads()
            .note(place, reload, directives, target, now);
    }
}

/// The headers of a rewritten playlist: not those that describe the bytes that it was.
pub fn playlist_headers(from: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    let is_right = |kind: &&HeaderValue| {
        let kind = kind.to_str().ok();
        kind.is_some_and(|kind| shareable::is_called_playlist(Some(kind), ""))
    };
    let kind = from.get(CONTENT_TYPE).filter(is_right).cloned();
    let kind = kind.unwrap_or(HeaderValue::from_static("application/vnd.apple.mpegurl"));
    headers.insert(CONTENT_TYPE, kind);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers
}

/// How often a fetch looks whether a viewer still waits for it.
const LOOK_AROUND: Duration = Duration::from_millis(500);

/// Resolves when no viewer waits any more. A request that joins the fetch at this moment hears that it was interrupted, and
/// begins another one.
async fn abandoned(filler: &Filler<Arc<SharedHead>, Failure>) {
    loop {
        sleep(LOOK_AROUND).await;
        if !filler.is_awaited() {
            return;
        }
    }
}

/// Waits while a segment is far ahead of all that read it, until one of them reads on or none is left.
async fn keep_pace(writer: &Writer<Arc<SharedHead>, Failure>, ahead: usize) {
    while writer.is_ahead_by(ahead) && !writer.is_in_vain() {
        tokio::select! {
            () = writer.read_on() => {}
            // One that goes away tells nothing.
            () = sleep(LOOK_AROUND) => {}
        }
    }
}

/// Fetches for all viewers that wait, and only as long as one of them waits or reads: viewers that come and go hold no more
/// connections to a media server than they have themselves, and it sends no more than `hls.read_ahead` beyond what they read.
pub async fn fill(
    gate: Arc<Gate>,
    permit: Permit,
    request: FetchRequest,
    links: LinkContext,
    (place, directives): (PlaylistKey, Directives),
    filler: Filler<Arc<SharedHead>, Failure>,
) {
    let now = tokio::time::Instant::now;
    let fetched = tokio::select! {
        fetched = gate.http.fetch(&permit, request) => fetched,
        () = abandoned(&filler) => return,
    };
    let fetched = match fetched {
        Ok(fetched) => fetched,
        Err(error) => return filler.fail(Failure::Upstream(error)),
    };
    if fetched.status != StatusCode::OK {
        return match fetched.status {
            // It may be shareable the next time, or for a viewer whose headers go along. A server that is asked too much is
            // not asked by each viewer instead.
            status @ (StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::TOO_MANY_REQUESTS) => {
                let evidence = Arc::new(fetched.evidence());
                filler.fail(Failure::Status(
                    status,
                    retry_after(&fetched.headers),
                    evidence,
                ));
            }
            _ => filler.refuse(now()),
        };
    }
    let may = |headers: &HeaderMap, target: &PathAndQuery, kind| {
        shareable(StatusCode::OK, headers, target.path(), kind)
    };
    // More is shared of what is a playlist.
    if may(&fetched.headers, &fetched.target, Kind::Playlist).is_none() {
        return filler.refuse(now());
    }
    let opened = tokio::select! {
        opened = Opened::look(fetched) => opened,
        () = abandoned(&filler) => return,
    };
    let opened = match opened {
        Ok(opened) => opened,
        Err(error) => return filler.fail(Failure::Upstream(error)),
    };
    let kind = match opened.sort {
        Sort::Playlist(_) => Kind::Playlist,
        Sort::Other | Sort::Short => Kind::Segment,
    };
    let Some(mut may) = may(&opened.headers, &opened.target, kind) else {
        return filler.refuse(now());
    };
    match opened.sort {
        Sort::Playlist(coding) => {
            let headers = playlist_headers(&opened.headers);
            let evidence = Arc::new(opened.evidence());
            let readable = playlist(&gate, opened, coding, &links, None).await;
            let Readable { rewritten, held } = match readable {
                Ok(readable) => readable,
                Err(failure) => return filler.fail(failure),
            };
            note(&gate, place, directives, &rewritten);
            if rewritten.names_progressive || (links.from_viewer && rewritten.depends_on_query) {
                return filler.refuse(now());
            }
            if let Some(target) = rewritten.target_duration {
                may.fresh_for = Some(
                    may.fresh_for
                        .map_or(target / 2, |fresh| fresh.min(target / 2)),
                );
            }
            let head = Arc::new(SharedHead {
                headers,
                playlist: Some(rewritten.form),
                depends_on_query: rewritten.depends_on_query,
                target_duration: rewritten.target_duration,
                reload: rewritten.reload,
                evidence,
            });
            let length = rewritten.text.len() as u64;
            // What goes wrong from here on is told to the readers by the cache.
            let lifetime = may.lifetime(gate.http.settings().cache_playlist);
            if let Ok(mut writer) = filler.open(head, Some(length), lifetime, now())
                && writer.push(&rewritten.text, now()).is_ok()
            {
                let _ = writer.finish();
            }
            drop(held);
        }
        Sort::Other | Sort::Short => {
            let head = Arc::new(SharedHead {
                headers: kept_headers(&opened.headers),
                playlist: None,
                depends_on_query: false,
                target_duration: None,
                reload: Reload::default(),
                evidence: Arc::new(opened.evidence()),
            });
            let mut body = opened.body;
            let length = hyper::body::Body::size_hint(&body).exact();
            let lifetime = may.lifetime(gate.http.settings().cache_segment);
            let Ok(mut writer) = filler.open(head, length, lifetime, now()) else {
                return;
            };
            while let Some(frame) = body.frame().await {
                let Ok(frame) = frame else { return };
                let data: Option<Bytes> = frame.into_data().ok();
                if data.is_some_and(|data| writer.push(&data, now()).is_err()) {
                    return;
                }
                keep_pace(&writer, gate.http.settings().read_ahead).await;
                if writer.is_in_vain() {
                    return;
                }
            }
            let _ = writer.finish();
        }
    }
}
