//! When a picture stands still: pure, times are arguments.

use std::time::Duration;

/// The frames of one WebSocket. A stall is noticed when the next frame comes or the test ends, so that a quiet viewer
/// needs no timer.
#[derive(Clone, Copy, Debug)]
pub struct FrameGaps {
    first: Duration,
    last: Duration,
    frames: u32,
}

impl FrameGaps {
    /// From the first frame on.
    #[must_use]
    pub fn start(now: Duration) -> Self {
        Self {
            first: now,
            last: now,
            frames: 1,
        }
    }

    /// A frame has come: how long the picture stood before it, if that is a stall. A gap is one when it is longer than
    /// `limit` and than twice the mean gap so far.
    pub fn frame(&mut self, now: Duration, limit: Duration) -> Option<Duration> {
        let stall = self.stalled(now, limit);
        self.last = now;
        self.frames = self.frames.saturating_add(1);
        stall
    }

    /// How long the picture has been standing, if that is a stall.
    #[must_use]
    pub fn stalled(&self, now: Duration, limit: Duration) -> Option<Duration> {
        let gap = now.saturating_sub(self.last);
        if gap <= limit {
            return None;
        }
        let gaps = self.frames.saturating_sub(1);
        let mean = self
            .last
            .saturating_sub(self.first)
            .checked_div(gaps)
            .unwrap_or_default();
        (gap > mean * 2).then_some(gap)
    }
}

/// The playback of an HLS viewer: it begins with the first segment, and each later one must be there before those before
/// it have been played.
#[derive(Clone, Copy, Debug, Default)]
pub struct SegmentClock {
    /// When everything that has arrived will have been played.
    until: Option<Duration>,
}

impl SegmentClock {
    /// A segment of `duration` has arrived: how long the picture had to wait for it, if it had.
    pub fn segment(&mut self, now: Duration, duration: Duration) -> Option<Duration> {
        let late = self.stalled(now);
        let from = self.until.map_or(now, |until| until.max(now));
        self.until = Some(from + duration);
        late
    }

    /// How long the picture has been waiting.
    #[must_use]
    pub fn stalled(&self, now: Duration) -> Option<Duration> {
        now.checked_sub(self.until?).filter(|late| !late.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(2);

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_gap_longer_than_the_limit_is_a_stall() {
        let mut gaps = FrameGaps::start(at(0));
        assert_eq!(gaps.frame(at(33), LIMIT), None);
        assert_eq!(
            gaps.frame(at(2033), LIMIT),
            None,
            "the limit itself is none"
        );
        assert_eq!(gaps.stalled(at(4033), LIMIT), None);
        assert_eq!(gaps.frame(at(4534), LIMIT), Some(at(2501)));
        assert_eq!(gaps.frame(at(4567), LIMIT), None, "it is told once");
        assert_eq!(gaps.stalled(at(7000), LIMIT), Some(at(2433)));
    }

    #[test]
    fn a_stream_of_rare_frames_does_not_stall_between_them() {
        let mut gaps = FrameGaps::start(at(0));
        for frame in 1..10 {
            assert_eq!(gaps.frame(at(frame * 1900), LIMIT), None);
        }
        assert_eq!(gaps.stalled(at(9 * 1900 + 3800), LIMIT), None);
        assert_eq!(gaps.frame(at(9 * 1900 + 3801), LIMIT), Some(at(3801)));
    }

    #[test]
    fn a_segment_is_late_when_those_before_it_have_been_played() {
        let mut clock = SegmentClock::default();
        assert_eq!(clock.stalled(at(9000)), None, "nothing plays yet");
        assert_eq!(clock.segment(at(1000), LIMIT), None);
        assert_eq!(clock.segment(at(1100), LIMIT), None);
        // Four seconds from the first one on.
        assert_eq!(clock.stalled(at(5000)), None);
        assert_eq!(clock.segment(at(5300), LIMIT), Some(at(300)));
        // It plays on from where it stood.
        assert_eq!(clock.segment(at(7300), LIMIT), None);
        assert_eq!(clock.stalled(at(9301)), Some(at(1)));
    }
}
