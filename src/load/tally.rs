//! What one worker counts; the counts of all workers add up to the test's.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;

use super::end::End;

/// The longest time that is told apart, in microseconds: a quarter of an hour. Longer ones count as this.
const LONGEST: u64 = 15 * 60 * 1_000_000;

/// Times, in microseconds, to three digits.
#[derive(Clone, Debug)]
pub struct Times {
    histogram: Option<Histogram<u64>>,
    max: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            // With these constants there always is one.
            histogram: Histogram::new_with_bounds(1, LONGEST, 3).ok(),
            max: Duration::ZERO,
        }
    }
}

impl Times {
    /// Adds one.
    pub fn record(&mut self, time: Duration) {
        self.max = self.max.max(time);
        if let Some(histogram) = &mut self.histogram {
            histogram.saturating_record(u64::try_from(time.as_micros()).unwrap_or(LONGEST));
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.histogram.as_ref().map_or(0, Histogram::len)
    }

    /// The time that so many of all, 0 to 1, do not exceed; `None` without any.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let histogram = self.histogram.as_ref();
        let histogram = histogram.filter(|histogram| !histogram.is_empty())?;
        // The histogram's own answer is the upper end of a step.
        Some(Duration::from_micros(histogram.value_at_quantile(share)).min(self.max))
    }

    /// The longest one, exactly.
    #[must_use]
    pub fn max(&self) -> Option<Duration> {
        (self.count() > 0).then_some(self.max)
    }

    fn add(&mut self, other: &Self) {
        self.max = self.max.max(other.max);
        if let (Some(histogram), Some(other)) = (&mut self.histogram, &other.histogram) {
            // Both have the same bounds.
            let _ = histogram.add(other);
        }
    }
}

/// The counts.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Viewers that began.
    pub started: u64,
    /// Viewers that play right now.
    pub playing: u64,
    /// Viewers that played from their first try to the end of the test.
    pub served: u64,
    /// Viewers that the test's end found before their first media, at their first try.
    pub unfinished: u64,
    /// Viewers that were refused, failed or lost at least once.
    pub failed: u64,
    /// Tries of all viewers.
    pub tries: u64,
    /// Tries that were granted.
    pub granted: u64,
    /// Tries that were refused, by code.
    pub refused: BTreeMap<u16, u64>,
    /// Tries without a verdict, by why.
    pub failures: BTreeMap<String, u64>,
    /// Playbacks that ended too early, by code or why.
    pub lost: BTreeMap<String, u64>,
    /// When the first try began, and when the last first try had its verdict, on the machine's clock.
    pub verdicts: Option<(Duration, Duration)>,
    /// Verdicts at first tries.
    pub first_verdicts: u64,
    /// Requests to the token API, each from when it is its turn on the worker's one connection.
    pub token: Times,
    /// From connecting to the 101.
    pub handshake: Times,
    /// From connecting to the end of the first binary frame.
    pub first_frame: Times,
    /// From an origin's stamp to the end of its frame.
    pub frame_age: Times,
    /// From connecting to the end of the first playlist, with redirects to it if there are any.
    pub hls_entry: Times,
    /// Later playlists.
    pub hls_playlist: Times,
    /// Segments.
    pub hls_segment: Times,
    /// From an origin's stamp to the end of its segment.
    pub segment_age: Times,
    /// From connecting to the end of the first segment.
    pub first_segment: Times,
    /// Times that a picture stood still.
    pub stalls: u64,
    /// The longest of them.
    pub longest_stall: Duration,
    /// Viewers whose picture stood still when the test ended.
    pub stood_still: u64,
    /// Binary frames.
    pub frames: u64,
    /// Bytes of text and binary frames, headers included.
    pub websocket_bytes: u64,
    /// Whole segments.
    pub segments: u64,
    /// Bytes of HLS bodies.
    pub hls_bytes: u64,
}

impl Tally {
    /// A stall of so long; none counts nothing.
    pub fn stall(&mut self, stall: Option<Duration>) {
        if let Some(stall) = stall {
            self.stalls += 1;
            self.longest_stall = self.longest_stall.max(stall);
        }
    }

    /// A try has had its verdict; `first` says that it was its viewer's first one.
    pub fn verdict(&mut self, began: Duration, now: Duration, first: bool) {
        if first {
            self.first_verdicts += 1;
            self.verdicts = add_span(self.verdicts, Some((began, now)));
        }
    }

    /// How a try ended.
    pub fn end(&mut self, end: End) {
        match end {
            End::Played | End::Unfinished => {}
            End::StoodStill => self.stood_still += 1,
            End::Refused(code) => *self.refused.entry(code).or_default() += 1,
            End::Failed(failure) => *self.failures.entry(failure.to_string()).or_default() += 1,
            End::Lost(loss) => *self.lost.entry(loss.to_string()).or_default() += 1,
        }
    }

    /// First tries that had a verdict in each second.
    #[must_use]
    pub fn connects_per_second(&self) -> f64 {
        let Some((from, to)) = self.verdicts else {
            return 0.0;
        };
        let seconds = to.saturating_sub(from).as_secs_f64();
        let count = u32::try_from(self.first_verdicts).unwrap_or(u32::MAX);
        if seconds > 0.0 {
            f64::from(count) / seconds
        } else {
            0.0
        }
    }

    /// Whether every viewer that began was served; those that Ctrl-C cut short do not count when it did.
    #[must_use]
    pub fn all_served(&self, ended_early: bool) -> bool {
        let excused = if ended_early { self.unfinished } else { 0 };
        self.served > 0 && self.served + excused == self.started
    }

    /// Adds the counts of another worker.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in [
            (&mut self.started, other.started),
            (&mut self.playing, other.playing),
            (&mut self.served, other.served),
            (&mut self.unfinished, other.unfinished),
            (&mut self.failed, other.failed),
            (&mut self.tries, other.tries),
            (&mut self.granted, other.granted),
            (&mut self.first_verdicts, other.first_verdicts),
            (&mut self.stalls, other.stalls),
            (&mut self.stood_still, other.stood_still),
            (&mut self.frames, other.frames),
            (&mut self.websocket_bytes, other.websocket_bytes),
            (&mut self.segments, other.segments),
            (&mut self.hls_bytes, other.hls_bytes),
        ] {
            *mine += theirs;
        }
        add_counts(&mut self.refused, &other.refused);
        add_counts(&mut self.failures, &other.failures);
        add_counts(&mut self.lost, &other.lost);
        self.verdicts = add_span(self.verdicts, other.verdicts);
        self.longest_stall = self.longest_stall.max(other.longest_stall);
        for (mine, theirs) in [
            (&mut self.token, &other.token),
            (&mut self.handshake, &other.handshake),
            (&mut self.first_frame, &other.first_frame),
            (&mut self.frame_age, &other.frame_age),
            (&mut self.hls_entry, &other.hls_entry),
            (&mut self.hls_playlist, &other.hls_playlist),
            (&mut self.hls_segment, &other.hls_segment),
            (&mut self.segment_age, &other.segment_age),
            (&mut self.first_segment, &other.first_segment),
        ] {
            mine.add(theirs);
        }
    }
}

fn add_counts<K: Clone + Ord>(mine: &mut BTreeMap<K, u64>, theirs: &BTreeMap<K, u64>) {
    for (key, count) in theirs {
        *mine.entry(key.clone()).or_default() += count;
    }
}

fn add_span(
    one: Option<(Duration, Duration)>,
    other: Option<(Duration, Duration)>,
) -> Option<(Duration, Duration)> {
    match (one, other) {
        (Some((from, to)), Some((other_from, other_to))) => {
            Some((from.min(other_from), to.max(other_to)))
        }
        (one, other) => one.or(other),
    }
}

/// A worker's counts, which the progress line reads once in a while. Held for as long as one read's bytes are counted.
#[derive(Debug, Default)]
pub struct Shared(Mutex<Tally>);

impl Shared {
    /// The counts, to be given back before anything is awaited.
    pub fn lock(&self) -> MutexGuard<'_, Tally> {
        // Counts are right after a panic, too.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "tally_tests.rs"]
mod tests;
