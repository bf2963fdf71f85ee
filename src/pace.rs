//! A rate limit: everything that a peer asks for costs it some time, and it may be at most a second ahead.

use std::time::Duration;

use tokio::time::Instant;

/// How far a peer may be ahead: what it asks for at once may cost as much.
const AHEAD: Duration = Duration::from_secs(1);

/// One peer's account. A thing that may be done ten times a second costs 100 ms.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Until when everything so far is paid for.
    paid: Instant,
}

/// What one of `rate` things a second costs.
#[must_use]
pub fn cost(rate: u32) -> Duration {
    Duration::from_secs(1) / rate.max(1)
}

impl Pace {
    /// Of a peer that has asked nothing yet.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { paid: now }
    }

    /// Charges for what is done.
    pub fn spend(&mut self, now: Instant, cost: Duration) {
        self.paid = self.paid.max(now) + cost;
    }

    /// Gives back what was charged.
    pub fn refund(&mut self, cost: Duration) {
        self.paid = self.paid.checked_sub(cost).unwrap_or(self.paid);
    }

    /// Until when the peer has to wait, when it is too far ahead.
    #[must_use]
    pub fn wait(&self, now: Instant) -> Option<Instant> {
        let due = self.paid.checked_sub(AHEAD)?;
        (due > now).then_some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_second_of_things_at_once_and_then_their_rate() {
        let one = cost(10);
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let mut done = 0;
        while start.elapsed() < Duration::from_secs(5) {
            match pace.wait(Instant::now()) {
                Some(due) => tokio::time::sleep_until(due).await,
                None => {
                    pace.spend(Instant::now(), one);
                    done += 1;
                }
            }
        }
        assert!((59..=61).contains(&done), "{done}");
        // Rest is not saved up for more than that second.
        tokio::time::sleep(Duration::from_secs(60)).await;
        let mut at_once = 0;
        while pace.wait(Instant::now()).is_none() {
            pace.spend(Instant::now(), one);
            at_once += 1;
        }
        assert_eq!(at_once, 11);
    }
}
