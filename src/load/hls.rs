//! One try of a viewer with HLS: the entry, playlists, and segments as a live player loads them, all on one connection.
//!
//! What is under way when the test ends is still read to its end: the gate has counted it, and the counts of both sides
//! are to agree. Whether the picture stands is judged by when the test ended.

mod loading;
pub mod playlist;

use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use super::attempt::Attempt;
use super::end::{End, Failure, Loss};
use super::fetch::Fetcher;
use super::machine::monotonic;
use super::stalls::SegmentClock;
use super::stamp;
use super::{CLOSE_LIMIT, HANDSHAKE_LIMIT};
use loading::Unloaded;
use playlist::{Media, Playlist};

/// How many segments before the last one a live player begins (RFC 8216, section 6.3.3).
const BEHIND: usize = 3;

/// After so many target durations without anything new a stream has ended.
const SILENT_TARGETS: u32 = 10;

/// Plays until the test ends. Not cancel safe: dropping it cuts the connection.
pub async fn play(viewer: &Attempt<'_>, query: &str) -> End {
    let mut playback = Playback {
        viewer,
        fetcher: Fetcher::new(&viewer.context.target, viewer.context.tasks.clone()),
        began: monotonic(),
        granted: false,
        clock: SegmentClock::default(),
        playing: false,
    };
    let mut stopped = None;
    let ended = {
        let mut run = pin!(playback.run(query));
        tokio::select! {
            end = &mut run => end,
            () = viewer.context.stop.cancelled() => {
                stopped = Some(monotonic());
                timeout(CLOSE_LIMIT, run).await.unwrap_or_default()
            }
        }
    };
    if playback.playing {
        viewer.tally().playing -= 1;
    }
    match (ended, stopped) {
        // A verdict is the gate's, however late; what else goes wrong behind the end does not count.
        (Some(end), None) | (Some(end @ End::Refused(_)), Some(_)) => end,
        (_, stopped) => playback.stopped(stopped.unwrap_or_else(monotonic)),
    }
}

/// A playback.
struct Playback<'a> {
    viewer: &'a Attempt<'a>,
    fetcher: Fetcher,
    began: Duration,
    /// The first playlist has come.
    granted: bool,
    clock: SegmentClock,
    /// The first segment has come.
    playing: bool,
}

impl Playback<'_> {
    /// Plays; `None` when the test has ended before the playback.
    async fn run(&mut self, query: &str) -> Option<End> {
        let failure = match self.follow(query).await {
            Ok(()) => Failure::PlaylistEnded,
            Err(Unloaded::Stopped) => return None,
            Err(Unloaded::Failure(failure)) => failure,
            Err(Unloaded::Refused(code)) if self.granted => {
                return Some(End::Lost(Loss::Code(code)));
            }
            Err(Unloaded::Refused(code)) => {
                self.viewer.verdict(self.began);
                return Some(End::Refused(code));
            }
        };
        Some(if self.granted {
            End::Lost(Loss::Failure(failure))
        } else {
            End::Failed(failure)
        })
    }

    /// The test ended then.
    fn stopped(&self, then: Duration) -> End {
        if !self.playing {
            return End::Unfinished;
        }
        let stall = self.clock.stalled(then);
        self.viewer.tally().stall(stall);
        match stall {
            Some(_) => End::StoodStill,
            None => End::Played,
        }
    }

    fn is_stopped(&self) -> bool {
        self.viewer.context.stop.is_cancelled()
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
            tokio::select! {
                () = self.viewer.context.stop.cancelled() => return Err(Unloaded::Stopped),
                () = sleep_until(loaded + wait) => {}
            }
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
            if self.is_stopped() {
                // It came too late to move the picture.
                return Err(Unloaded::Stopped);
            }
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
}

fn media(list: Playlist) -> Result<Media, Failure> {
    match list {
        Playlist::Media(media) => Ok(media),
        Playlist::Multivariant(_) => Err(Failure::LeadsAway),
    }
}

#[cfg(test)]
#[path = "hls_tests.rs"]
mod tests;
