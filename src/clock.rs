//! The only place that asks the system for the time of day; everything else is handed it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::token::UnixSeconds;

/// The time of day. A clock before 1970 reads as 1970: every token is then not yet valid or not expired, never a panic.
#[must_use]
pub fn now() -> UnixSeconds {
    UnixSeconds::new(since_1970().as_secs())
}

/// The same, to the nanosecond.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn since_1970() -> Duration {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default()
}

/// The least that is a jump; corrections of a synchronised clock are far smaller.
const JUMP: Duration = Duration::from_secs(1);

/// Compares the time of day with a clock that only ever goes on.
#[derive(Debug)]
pub struct JumpWatch {
    time: Duration,
    at: Instant,
}

/// The time of day is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jump {
    /// By how much.
    pub by: Duration,
    /// Whether it is later than it should be.
    pub forward: bool,
}

impl JumpWatch {
    /// From this moment on.
    #[must_use]
    pub fn new(time: Duration, at: Instant) -> Self {
        Self { time, at }
    }

    /// Whether the time of day has jumped since the last jump, or has come away from the other clock little by little.
    pub fn look(&mut self, time: Duration, at: Instant) -> Option<Jump> {
        let expected = self.time + at.saturating_duration_since(self.at);
        let by = time.abs_diff(expected);
        if by < JUMP {
            return None;
        }
        *self = Self { time, at };
        let forward = time > expected;
        Some(Jump { by, forward })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_jump_is_seen_once_with_its_size_and_direction() {
        let second = Duration::from_secs(1);
        let start = Duration::from_secs(1_700_000_000);
        for (by, forward) in [
            (second, true),
            (second, false),
            (3600 * second, false),
            (365 * 86_400 * second, true),
            (1_700_000_000 * second, false),
        ] {
            let (mut time, mut at) = (start, Instant::now());
            let mut watch = JumpWatch::new(time, at);
            let mut pass = |jump: Duration, forward| {
                at += second;
                time += second;
                time = if forward { time + jump } else { time - jump };
                watch.look(time, at)
            };
            assert_eq!(pass(Duration::ZERO, true), None);
            assert_eq!(pass(by, forward), Some(Jump { by, forward }));
            assert_eq!(pass(Duration::ZERO, true), None);
            // Back again is a jump as well.
            assert_eq!(
                pass(by, !forward),
                Some(Jump {
                    by,
                    forward: !forward
                })
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn small_corrections_are_none_until_they_are_a_second() {
        let (mut time, mut at) = (Duration::from_secs(1000), Instant::now());
        let mut watch = JumpWatch::new(time, at);
        let mut jumps = 0;
        for _ in 0..2500 {
            at += Duration::from_secs(1);
            time += Duration::from_millis(1001);
            jumps += usize::from(watch.look(time, at).is_some());
        }
        assert_eq!(jumps, 2);
    }
}
