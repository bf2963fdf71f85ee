//! One try of a viewer with HLS: the entry and its redirect, playlists, and segments as a live player loads them, all on
//! one connection.

pub mod playlist;

use std::time::Duration;

use bytes::Bytes;
use http::header::LOCATION;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use tokio::time::{Instant, sleep_until, timeout};

use super::end::{End, Failure, Loss};
use super::fetch::{Fetcher, verdict};
use super::machine::monotonic;
use super::stalls::SegmentClock;
use super::stamp;
use super::viewer::Viewer;
use super::{ANSWER_LIMIT, HANDSHAKE_LIMIT};
use playlist::{Media, Playlist, read, resolve};

/// The longest playlist, and the longest refusal.
const PLAYLIST_LIMIT: usize = 1024 * 1024;

/// Redirects from the entry to a playlist.
const REDIRECTS: usize = 4;

/// How many segments before the last one a live player begins (RFC 8216, section 6.3.3).
const BEHIND: usize = 3;

/// After so many target durations without anything new a stream has ended.
const SILENT_TARGETS: u32 = 10;

/// Why something could not be loaded.
enum Unloaded {
    Refused(u16),
    Failure(Failure),
}

impl From<Failure> for Unloaded {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// Plays until the test ends. Not cancel safe: dropping it cuts the connection.
pub async fn play(viewer: &Viewer<'_>, query: &str) -> End {
    let mut playback = Playback {
        viewer,
        fetcher: Fetcher::new(&viewer.context.target, viewer.context.tasks.clone()),
        began: monotonic(),
        granted: false,
        clock: SegmentClock::default(),
        playing: false,
    };
    let played = tokio::select! {
        () = viewer.context.stop.cancelled() => None,
        end = playback.run(query) => Some(end),
    };
    let mut tally = viewer.tally();
    if playback.playing {
        tally.playing -= 1;
    }
    match played {
        Some(end) => end,
        None if playback.playing => {
            tally.stall(playback.clock.stalled(monotonic()));
            End::Played
        }
        None => End::Unfinished,
    }
}

/// A playback.
struct Playback<'a> {
    viewer: &'a Viewer<'a>,
    fetcher: Fetcher,
    began: Duration,
    /// The first playlist has come.
    granted: bool,
    clock: SegmentClock,
    /// The first segment has come.
    playing: bool,
}

impl Playback<'_> {
    async fn run(&mut self, query: &str) -> End {
        let failure = match self.follow(query).await {
            Ok(()) => Failure::PlaylistEnded,
            Err(Unloaded::Failure(failure)) => failure,
            Err(Unloaded::Refused(code)) if self.granted => return End::Lost(Loss::Code(code)),
            Err(Unloaded::Refused(code)) => {
                self.viewer.verdict(self.began);
                return End::Refused(code);
            }
        };
        if self.granted {
            End::Lost(Loss::Failure(failure))
        } else {
            End::Failed(failure)
        }
    }

    /// From the entry on; ends well when the stream does.
    async fn follow(&mut self, query: &str) -> Result<(), Unloaded> {
        let entry = if self.viewer.context.plan.direct {
            "/h5live/http/playlist.m3u8"
        } else {
            "/h5live/authhttp/playlist.m3u8"
        };
        let entry = format!("{}?{query}", self.fetcher.path(entry));
        let entered = timeout(HANDSHAKE_LIMIT, self.enter(entry));
        let (mut path, mut list) = entered.await.map_err(|_| Failure::Timeout)??;
        self.grant();
        if let Playlist::Multivariant(variant) = &list {
            path = self.resolve(&path, variant)?;
            list = self.playlist(&path).await?;
        }
        let mut media = media(list)?;
        if let Some(init) = &media.init {
            let init = self.resolve(&path, init)?;
            self.segment(&init).await?;
        }
        let newest = media.sequence + media.segments.len() as u64;
        let mut next = if media.ended {
            media.sequence
        } else {
            newest.saturating_sub(BEHIND as u64).max(media.sequence)
        };
        let (mut loaded, mut news) = (Instant::now(), Instant::now());
        loop {
            let before = next;
            next = self.load_new(&path, &media, next).await?;
            if media.ended {
                return Ok(());
            }
            let changed = next > before;
            if changed {
                news = Instant::now();
            } else if news.elapsed() > media.target * SILENT_TARGETS {
                return Ok(());
            }
            // RFC 8216, section 6.3.4.
            let wait = if changed {
                media.target
            } else {
                media.target / 2
            };
            sleep_until(loaded + wait).await;
            loaded = Instant::now();
            media = self::media(self.playlist(&path).await?)?;
        }
    }

    fn grant(&mut self) {
        self.granted = true;
        let now = monotonic();
        let mut tally = self.viewer.tally();
        tally.granted += 1;
        tally.verdict(self.began, now, self.viewer.is_first());
        tally.hls_entry.record(now.saturating_sub(self.began));
    }

    /// Loads what is new in a playlist, from segment `next` on; which one is next then.
    async fn load_new(&mut self, path: &str, media: &Media, next: u64) -> Result<u64, Unloaded> {
        // A player that has fallen out of the window goes on with what there is.
        let mut next = next.max(media.sequence);
        let skipped = usize::try_from(next - media.sequence).unwrap_or(usize::MAX);
        for (uri, duration) in media.segments.iter().skip(skipped) {
            let segment = self.resolve(path, uri)?;
            let asked = monotonic();
            let start = self.segment(&segment).await?;
            let now = monotonic();
            let mut tally = self.viewer.tally();
            tally.segments += 1;
            tally.hls_segment.record(now.saturating_sub(asked));
            if let Some(age) = stamp::age(&start, now) {
                tally.segment_age.record(age);
            }
            tally.stall(self.clock.segment(now, *duration));
            if !self.playing {
                self.playing = true;
                tally.playing += 1;
                tally.first_segment.record(now.saturating_sub(self.began));
            }
            drop(tally);
            next += 1;
        }
        Ok(next)
    }

    fn resolve(&self, base: &str, reference: &str) -> Result<String, Failure> {
        let authority = &self.viewer.context.target.authority;
        resolve(base, reference, authority).ok_or(Failure::LeadsAway)
    }

    /// The first playlist and its path, behind the entry's redirect.
    async fn enter(&mut self, mut path: String) -> Result<(String, Playlist), Unloaded> {
        for _ in 0..=REDIRECTS {
            let answer = self.get(&path).await?;
            if !answer.status().is_redirection() {
                let list = self.read_playlist(answer).await?;
                return Ok((path, list));
            }
            let location = answer.headers().get(LOCATION).map(HeaderValue::to_str);
            let location = location.and_then(Result::ok).ok_or(Failure::BadAnswer)?;
            path = self.resolve(&path, location)?;
            Fetcher::whole(answer.into_body(), PLAYLIST_LIMIT).await?;
        }
        Err(Failure::LeadsAway.into())
    }

    async fn playlist(&mut self, path: &str) -> Result<Playlist, Unloaded> {
        let asked = monotonic();
        let loaded = timeout(ANSWER_LIMIT, async {
            let answer = self.get(path).await?;
            self.read_playlist(answer).await
        });
        let list = loaded.await.map_err(|_| Failure::Timeout)??;
        let mut tally = self.viewer.tally();
        tally.hls_playlist.record(monotonic().saturating_sub(asked));
        Ok(list)
    }

    async fn get(&mut self, path: &str) -> Result<Response<Incoming>, Failure> {
        let request = Request::get(path)
            .header("user-agent", "h5gate-load")
            .body(Full::new(Bytes::new()))
            .map_err(|_| Failure::BadAnswer)?;
        self.fetcher.send(request).await
    }

    async fn read_playlist(&self, answer: Response<Incoming>) -> Result<Playlist, Unloaded> {
        let answer = accepted(answer).await?;
        let body = Fetcher::whole(answer.into_body(), PLAYLIST_LIMIT).await?;
        self.viewer.tally().hls_bytes += body.len() as u64;
        let text = std::str::from_utf8(&body).map_err(|_| Failure::BadAnswer)?;
        Ok(read(text).ok_or(Failure::BadAnswer)?)
    }

    /// Loads a segment and keeps its first bytes, as many as a stamp has.
    async fn segment(&mut self, path: &str) -> Result<Vec<u8>, Unloaded> {
        let answer = timeout(ANSWER_LIMIT, self.get(path));
        let answer = accepted(answer.await.map_err(|_| Failure::Timeout)??).await?;
        let (mut body, mut start) = (answer.into_body(), Vec::with_capacity(stamp::LENGTH));
        while let Some(frame) = timeout(ANSWER_LIMIT, body.frame())
            .await
            .map_err(|_| Failure::Timeout)?
        {
            let frame = frame.map_err(|_| Failure::CutShort)?;
            if let Some(data) = frame.data_ref() {
                self.viewer.tally().hls_bytes += data.len() as u64;
                let room = stamp::LENGTH - start.len();
                start.extend(data.iter().take(room));
            }
        }
        Ok(start)
    }
}

/// An answer of 200, or what else it says.
async fn accepted(answer: Response<Incoming>) -> Result<Response<Incoming>, Unloaded> {
    let status = answer.status();
    if status == 200 {
        return Ok(answer);
    }
    let body = Fetcher::whole(answer.into_body(), PLAYLIST_LIMIT).await?;
    Err(verdict(&body).map_or(
        Unloaded::Failure(Failure::Status(status.as_u16())),
        Unloaded::Refused,
    ))
}

fn media(list: Playlist) -> Result<Media, Failure> {
    match list {
        Playlist::Media(media) => Ok(media),
        Playlist::Multivariant(_) => Err(Failure::LeadsAway),
    }
}
