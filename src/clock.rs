//! The time of day. Nothing else asks the system for it: what needs it holds a [`Clock`] or is handed the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::token::UnixSeconds;

/// What tells the time of day. Clones are the same clock.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// Of one that is moved by hand; the system's has none.
    dial: Option<Arc<Dial>>,
}

/// Moves a clock that was made by [`Clock::by_hand`].
#[derive(Clone, Debug)]
pub struct Hands {
    dial: Arc<Dial>,
}

#[derive(Debug)]
struct Dial {
    /// What it showed at `since`.
    start: Duration,
    since: Instant,
    /// How far it was moved, in nanoseconds.
    moved: AtomicI64,
}

impl Clock {
    /// The system's.
    #[must_use]
    pub fn system() -> Self {
        Self::default()
    }

    /// One that shows `start`, the time since 1970, goes on as the runtime's clock does, and jumps where its hands are moved.
    #[must_use]
    #[allow(dead_code, reason = "tests tell the time by it")]
    pub fn by_hand(start: Duration) -> (Self, Hands) {
        let dial = Arc::new(Dial {
            start,
            since: Instant::now(),
            moved: AtomicI64::new(0),
        });
        let clock = Self {
            dial: Some(Arc::clone(&dial)),
        };
        (clock, Hands { dial })
    }

    /// The time of day, in whole seconds. A clock before 1970 reads as 1970: every token is then not yet valid or not expired,
    /// never a panic.
    #[must_use]
    pub fn now(&self) -> UnixSeconds {
        UnixSeconds::new(self.since_1970().as_secs())
    }

    /// The same, to the nanosecond.
    #[must_use]
    pub fn since_1970(&self) -> Duration {
        self.dial.as_ref().map_or_else(systems, |dial| dial.shows())
    }

    /// When the second `time` begins, by the clock that never jumps: `now` where it has begun already, `None` where that is
    /// farther ahead than can be told. To be asked again when this clock has jumped.
    #[must_use]
    pub fn when(&self, time: UnixSeconds, now: Instant) -> Option<Instant> {
        let time = Duration::from_secs(time.get());
        now.checked_add(time.saturating_sub(self.since_1970()))
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one place")]
fn systems() -> Duration {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default()
}

impl Dial {
    fn shows(&self) -> Duration {
        let unmoved = self.start.saturating_add(self.since.elapsed());
        let moved = self.moved.load(Ordering::Relaxed);
        let by = Duration::from_nanos(moved.unsigned_abs());
        if moved < 0 {
            unmoved.saturating_sub(by)
        } else {
            unmoved.saturating_add(by)
        }
    }

    fn turn(&self, nanos: i64) {
        self.moved.fetch_add(nanos, Ordering::Relaxed);
    }
}

#[allow(dead_code, reason = "tests move the time by them")]
impl Hands {
    /// The clock jumps ahead, by at most 292 years.
    pub fn advance(&self, by: Duration) {
        self.dial.turn(nanos(by));
    }

    /// The clock jumps back, by at most 292 years.
    pub fn set_back(&self, by: Duration) {
        self.dial.turn(-nanos(by));
    }
}

fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
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
    async fn a_clock_that_is_moved_by_hand_goes_on_in_between() {
        let (clock, hands) = Clock::by_hand(Duration::from_millis(1_000_600));
        assert_eq!(clock.now().get(), 1_000);
        let same = clock.clone();
        for (moved, shows) in [(0, 1_000), (400, 1_001), (3_600_000, 4_601)] {
            hands.advance(Duration::from_millis(moved));
            assert_eq!(same.now().get(), shows);
        }
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!(clock.now().get(), 4_610);
        hands.set_back(Duration::from_secs(4_000));
        assert_eq!(same.now().get(), 610);
        // It does not go before 1970.
        hands.set_back(Duration::from_secs(100_000));
        assert_eq!(clock.since_1970(), Duration::ZERO);
        hands.advance(Duration::from_secs(100_000));
        assert_eq!(clock.since_1970(), Duration::from_secs(610));
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_begins_when_it_does_and_not_a_whole_number_of_seconds_from_now() {
        let now = Instant::now();
        let mut times = 0;
        for (begins, parts) in [(1_010, 600), (1_001, 999), (1_001, 0), (1_001, 1)] {
            let shown = Duration::from_millis(1_000_000 + parts);
            let (clock, _) = Clock::by_hand(shown);
            let when = clock.when(UnixSeconds::new(begins), now).unwrap();
            assert_eq!(shown + (when - now), Duration::from_secs(begins));
            times += 1;
        }
        let (clock, hands) = Clock::by_hand(Duration::from_millis(1_000_600));
        for begun in [0, 999, 1_000] {
            assert_eq!(clock.when(UnixSeconds::new(begun), now), Some(now));
            times += 1;
        }
        assert_eq!(clock.when(UnixSeconds::new(u64::MAX), now), None);
        hands.set_back(Duration::from_secs(600));
        let later = clock.when(UnixSeconds::new(1_000), now);
        assert_eq!(later, Some(now + Duration::from_millis(599_400)));
        assert_eq!(times, 7);
    }

    #[test]
    fn the_systems_clock_is_the_systems() {
        let before = systems();
        let shown = Clock::system().since_1970();
        assert!(before <= shown && shown <= systems());
    }

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
