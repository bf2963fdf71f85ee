//! What a load test does: bounded in count and in time, whatever is asked for.

use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::token::StreamName;

/// How many viewers one test may have.
pub const VIEWERS: RangeInclusive<u32> = 1..=100_000;
/// How long one test may take.
pub const TIME: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(24 * 60 * 60);
/// How many threads one test may have.
pub const WORKERS: RangeInclusive<usize> = 1..=64;

/// The longest ramp that is chosen when none is given.
const RAMP_LIMIT: Duration = Duration::from_secs(10);

/// A load test.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Viewers in all, within [`VIEWERS`].
    pub viewers: u32,
    /// From the first connection to the last, within [`TIME`].
    pub time: Duration,
    /// Over how long the viewers come, evenly; shorter than `time`.
    pub ramp: Duration,
    /// How many of a hundred viewers play HLS, 0 to 100, evenly among the others.
    pub hls_percent: u8,
    /// What they play, in turn; never empty.
    pub streams: Vec<StreamName>,
    /// Threads, within [`WORKERS`].
    pub workers: NonZeroUsize,
    /// How long a WebSocket may be without a frame before it is a stall.
    pub stall: Duration,
    /// The address is a media server: its own paths, and no tokens.
    pub direct: bool,
}

/// What is wrong with a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Too few or too many viewers.
    #[error("--viewers must be from 1 to 100000")]
    Viewers,
    /// Too short or too long.
    #[error("--for must be from 1s to 24h")]
    Time,
    /// The ramp is as long as the test.
    #[error("--ramp must be shorter than --for, so that the last viewer plays too")]
    Ramp,
    /// More than a hundred of a hundred.
    #[error("--hls must be from 0 to 100, the viewers of a hundred that play HLS")]
    Percent,
    /// No stream to play.
    #[error("--stream is missing: name what is to be played; its tokens are minted by the test")]
    Streams,
    /// Too many threads.
    #[error("--workers must be from 1 to 64")]
    Workers,
    /// A stall of no time.
    #[error("--stall must be from 100ms to 1h")]
    Stall,
}

impl Plan {
    /// The plan when it is within its bounds.
    pub fn checked(self) -> Result<Self, PlanError> {
        if !VIEWERS.contains(&self.viewers) {
            Err(PlanError::Viewers)
        } else if !TIME.contains(&self.time) {
            Err(PlanError::Time)
        } else if self.ramp >= self.time {
            Err(PlanError::Ramp)
        } else if self.hls_percent > 100 {
            Err(PlanError::Percent)
        } else if self.streams.is_empty() {
            Err(PlanError::Streams)
        } else if !WORKERS.contains(&self.workers.get()) {
            Err(PlanError::Workers)
        } else if !(Duration::from_millis(100)..=Duration::from_secs(3600)).contains(&self.stall) {
            Err(PlanError::Stall)
        } else {
            Ok(self)
        }
    }

    /// When viewer `index`, from 0, connects after the start.
    #[must_use]
    pub fn due(&self, index: u32) -> Duration {
        self.ramp
            .mul_f64(f64::from(index) / f64::from(self.viewers.max(1)))
    }

    /// Whether viewer `index` plays HLS: at each index so many of those before it do as the percentage asks.
    #[must_use]
    pub fn plays_hls(&self, index: u32) -> bool {
        let percent = u64::from(self.hls_percent);
        let before = u64::from(index) * percent / 100;
        (u64::from(index) + 1) * percent / 100 > before
    }

    /// What viewer `index` plays.
    #[must_use]
    pub fn stream(&self, index: u32) -> Option<&StreamName> {
        let index = usize::try_from(index).ok()?;
        self.streams.get(index.checked_rem(self.streams.len())?)
    }
}

/// The ramp of a test that names none: a tenth of its time, and at most ten seconds.
#[must_use]
pub fn default_ramp(time: Duration) -> Duration {
    (time / 10).min(RAMP_LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan {
            viewers: 200,
            time: Duration::from_secs(60),
            ramp: Duration::from_secs(6),
            hls_percent: 25,
            streams: vec!["abcde-a".parse().unwrap(), "abcde-b".parse().unwrap()],
            workers: NonZeroUsize::MIN,
            stall: Duration::from_secs(2),
            direct: false,
        }
    }

    #[test]
    fn a_plan_is_bounded_in_count_and_time() {
        assert!(plan().checked().is_ok());
        type Change = fn(&mut Plan);
        let changes: [(Change, PlanError); 10] = [
            (|plan| plan.viewers = 0, PlanError::Viewers),
            (|plan| plan.viewers = 100_001, PlanError::Viewers),
            (
                |plan| plan.time = Duration::from_millis(999),
                PlanError::Time,
            ),
            (
                |plan| plan.time = Duration::from_secs(86_401),
                PlanError::Time,
            ),
            (|plan| plan.ramp = plan.time, PlanError::Ramp),
            (|plan| plan.hls_percent = 101, PlanError::Percent),
            (|plan| plan.streams.clear(), PlanError::Streams),
            (
                |plan| plan.workers = NonZeroUsize::new(65).unwrap(),
                PlanError::Workers,
            ),
            (|plan| plan.stall = Duration::ZERO, PlanError::Stall),
            (
                |plan| plan.stall = Duration::from_secs(3601),
                PlanError::Stall,
            ),
        ];
        for (change, error) in changes {
            let mut plan = plan();
            change(&mut plan);
            assert_eq!(plan.checked().unwrap_err(), error);
        }
    }

    #[test]
    fn viewers_come_evenly_and_play_what_was_asked() {
        let plan = plan();
        assert_eq!(plan.due(0), Duration::ZERO);
        assert_eq!(plan.due(100), Duration::from_secs(3));
        assert!(plan.due(199) < plan.ramp);
        let hls = (0..200).filter(|&index| plan.plays_hls(index)).count();
        assert_eq!(hls, 50);
        assert!(
            (0..4).any(|index| plan.plays_hls(index)),
            "not at the end alone"
        );
        assert_eq!(plan.stream(3).unwrap().as_str(), "abcde-b");
        assert_eq!(
            default_ramp(Duration::from_secs(30)),
            Duration::from_secs(3)
        );
        assert_eq!(
            default_ramp(Duration::from_secs(900)),
            Duration::from_secs(10)
        );
    }
}
