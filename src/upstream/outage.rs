//! Since when no media server has answered.
//!
//! A player's retry counter resets when its socket stood open for a moment, so the gate holds retried closes back: a short
//! outage must not use the retries up (PROTOCOL.md 3). In a long one that would never let a player give up, and a page
//! never turn to another source. So an outage is hidden for a time, which is counted for all viewers together.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The outage of all media servers, if there is one.
#[derive(Debug)]
pub struct Outage {
    since: Mutex<Option<Instant>>,
    hold: Duration,
}

impl Outage {
    /// None yet; one is hidden for `hold`.
    #[must_use]
    pub fn new(hold: Duration) -> Self {
        Self {
            since: Mutex::default(),
            hold,
        }
    }

    /// A viewer found no media server that serves it.
    pub fn goes_on(&self) {
        self.since().get_or_insert_with(Instant::now);
    }

    /// A media server has answered.
    pub fn ends(&self) {
        *self.since() = None;
    }

    /// Whether it is to be hidden from players as yet.
    #[must_use]
    pub fn is_hidden(&self) -> bool {
        let since = *self.since();
        since.map_or(!self.hold.is_zero(), |since| since.elapsed() < self.hold)
    }

    fn since(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_hidden_from_its_beginning_on_until_a_server_answers() {
        let outage = Outage::new(10 * SECOND);
        advance(100 * SECOND).await;
        assert!(outage.is_hidden());
        for _ in 0..9 {
            outage.goes_on();
            assert!(outage.is_hidden());
            advance(SECOND).await;
        }
        advance(SECOND).await;
        outage.goes_on();
        assert!(!outage.is_hidden());
        outage.ends();
        assert!(outage.is_hidden());
        outage.goes_on();
        advance(9 * SECOND).await;
        assert!(outage.is_hidden());
        assert!(!Outage::new(Duration::ZERO).is_hidden());
    }
}
