//! The live timeline: which fragment is the newest, and when the next one is there.
//!
//! All streams share one, so that all viewers are in step and the renditions of an ABR set are aligned: fragment `n` of
//! one continues fragment `n - 1` of another. There is nothing to be stopped or cleaned up: a timeline is a start and a
//! duration.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// How many fragments are there when the timeline begins, as if it had run before: the first viewer finds a full HLS
/// playlist and a keyframe.
pub const HISTORY: u64 = 40;

/// How many fragments a viewer may lie behind before it goes on at the live edge.
pub const LAG_LIMIT: u64 = 12;

/// A clock that counts fragments.
#[derive(Clone, Copy, Debug)]
pub struct Timeline {
    start: Instant,
    /// Nanoseconds; never 0.
    fragment: u64,
}

impl Timeline {
    /// Begins now. `fragment` is how long each fragment is.
    #[must_use]
    pub fn start(fragment: Duration) -> Self {
        Self {
            start: Instant::now(),
            fragment: nanos(fragment).max(1),
        }
    }

    /// The newest fragment that is there. A fragment is there when its last picture has been taken.
    #[must_use]
    pub fn newest(&self) -> u64 {
        HISTORY - 1 + nanos(self.start.elapsed()) / self.fragment
    }

    /// The newest fragment with a keyframe, when every `group`th has one: where a new viewer begins.
    #[must_use]
    pub fn newest_keyframe(&self, group: u64) -> u64 {
        let newest = self.newest();
        newest - newest % group.max(1)
    }

    /// When fragment `index` is there.
    #[must_use]
    pub fn due(&self, index: u64) -> Instant {
        let later = (index + 1).saturating_sub(HISTORY);
        self.start + Duration::from_nanos(later.saturating_mul(self.fragment))
    }

    /// Media time at the beginning of fragment `index`, in milliseconds.
    #[must_use]
    pub fn milliseconds(&self, index: u64) -> u64 {
        index.saturating_mul(self.fragment) / 1_000_000
    }
}

/// Where one viewer is on the timeline.
#[derive(Debug)]
pub struct Cursor {
    timeline: Timeline,
    group: u64,
    next: u64,
}

impl Cursor {
    /// At the newest keyframe, or at the first one from `not_before` on: a viewer that paused for a moment is not given
    /// the same pictures again.
    #[must_use]
    pub fn live(timeline: Timeline, group: u64, not_before: u64) -> Self {
        let newest = timeline.newest_keyframe(group);
        let next = newest.max(not_before.next_multiple_of(group.max(1)));
        Self {
            timeline,
            group,
            next,
        }
    }

    /// Waits for the next fragment and gives its index: the one behind the last, in real time. A viewer that did not take
    /// fragments as fast as they came goes on at the newest keyframe; nothing is kept for it. Cancel safe.
    pub async fn next(&mut self) -> u64 {
        if self.timeline.newest() > self.next + LAG_LIMIT {
            self.next = self.timeline.newest_keyframe(self.group);
        }
        let index = self.next;
        sleep_until(self.timeline.due(index)).await;
        self.next = index + 1;
        index
    }
}

/// Whole nanoseconds: they last for 584 years.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const FRAGMENT: Duration = Duration::from_millis(320);

    #[tokio::test(start_paused = true)]
    async fn a_viewer_gets_what_is_there_at_once_and_then_one_fragment_at_a_time() {
        let timeline = Timeline::start(FRAGMENT);
        advance(Duration::from_millis(500)).await;
        let start = Instant::now();
        let mut cursor = Cursor::live(timeline, 4, 0);
        assert_eq!(cursor.next().await, HISTORY);
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert_eq!(cursor.next().await, HISTORY + 1);
        assert_eq!(start.elapsed().as_millis(), 2 * 320 - 500);
        for index in 2..1000 {
            assert_eq!(cursor.next().await, HISTORY + index);
        }
        assert_eq!(start.elapsed().as_millis(), 1000 * 320 - 500);
    }

    #[tokio::test(start_paused = true)]
    async fn the_clock_does_not_drift_from_the_media() {
        let timeline = Timeline::start(FRAGMENT);
        let day = Duration::from_secs(24 * 3600);
        advance(day).await;
        let newest = timeline.newest();
        assert_eq!(newest, HISTORY - 1 + 24 * 3600 * 1000 / 320);
        assert_eq!(timeline.due(newest), Instant::now());
        assert_eq!(
            timeline.milliseconds(newest - (HISTORY - 1)),
            24 * 3600 * 1000
        );
    }

    #[tokio::test(start_paused = true)]
    async fn viewers_are_in_step_whenever_they_come() {
        let timeline = Timeline::start(FRAGMENT);
        let mut first = Cursor::live(timeline, 4, 0);
        advance(Duration::from_secs(77)).await;
        let mut second = Cursor::live(timeline, 4, 0);
        let (mut one, mut two) = (first.next().await, second.next().await);
        for _ in 0..10 {
            (one, two) = tokio::join!(first.next(), second.next());
        }
        assert_eq!(one, two);
    }

    #[tokio::test(start_paused = true)]
    async fn a_viewer_that_lies_behind_goes_on_at_the_newest_keyframe() {
        let timeline = Timeline::start(FRAGMENT);
        let mut cursor = Cursor::live(timeline, 4, 0);
        while cursor.next().await < HISTORY - 1 {}
        advance(FRAGMENT * u32::try_from(LAG_LIMIT).unwrap()).await;
        let late = cursor.next().await;
        assert_eq!(late, HISTORY, "a little late is caught up");
        advance(Duration::from_secs(60)).await;
        let after = cursor.next().await;
        assert_eq!(after, timeline.newest_keyframe(4));
        assert!(after > late + 100);
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_pause_repeats_nothing() {
        let timeline = Timeline::start(FRAGMENT);
        let mut cursor = Cursor::live(timeline, 4, 0);
        while cursor.next().await < HISTORY + 1 {}
        let mut resumed = Cursor::live(timeline, 4, HISTORY + 2);
        assert_eq!(resumed.next().await, HISTORY + 4);
    }
}
