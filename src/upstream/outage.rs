//! Since when no media server has answered.
//!
//! A player's retry counter resets when its socket stood open for a moment, so the gate holds retried closes back: a short
//! outage must not use the retries up (protocol.md 3). In a long one that would never let a player give up, and a page
//! never turn to another source. So an outage is hidden for a time, which is counted for all viewers together. In a longer
//! one viewers dial no more, since a media server that hangs would hold them for longer than that moment, too: one probe at a
//! time finds out whether a media server is back, and viewers wait for it as long as a player counts on.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

/// The outage of all media servers, if there is one.
#[derive(Debug)]
pub struct Outage {
    since: watch::Sender<Option<Instant>>,
    hold: Duration,
    /// One permit: of the probe that is under way.
    probe: Arc<Semaphore>,
}

impl Outage {
    /// None yet; one is hidden for `hold`.
    #[must_use]
    pub fn new(hold: Duration) -> Self {
        Self {
            since: watch::Sender::new(None),
            hold,
            probe: Arc::new(Semaphore::new(1)),
        }
    }

    /// A viewer found no media server that serves it.
    pub fn goes_on(&self) {
        self.since.send_if_modified(|since| {
            since.get_or_insert_with(Instant::now);
            false
        });
    }

    /// A media server has answered.
    pub fn ends(&self) {
        self.since.send_if_modified(|since| since.take().is_some());
    }

    /// Whether it is to be hidden from players as yet.
    #[must_use]
    pub fn is_hidden(&self) -> bool {
        !self.hold.is_zero() && !self.is_long()
    }

    /// Whether there is one that is hidden no more.
    #[must_use]
    pub fn is_long(&self) -> bool {
        let since = *self.since.borrow();
        since.is_some_and(|since| since.elapsed() >= self.hold)
    }

    /// The one place of a probe, until it is dropped; `None` while it is taken.
    #[must_use]
    pub fn probe(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.probe).try_acquire_owned().ok()
    }

    /// Resolves when there is none. Cancel safe.
    pub async fn over(&self) {
        // The sender lives as long as this borrow of it.
        let _ = self.since.subscribe().wait_for(Option::is_none).await;
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
            assert!(outage.is_hidden() && !outage.is_long());
            advance(SECOND).await;
        }
        advance(SECOND).await;
        outage.goes_on();
        assert!(!outage.is_hidden() && outage.is_long());
        outage.ends();
        assert!(outage.is_hidden() && !outage.is_long());
        outage.goes_on();
        advance(9 * SECOND).await;
        assert!(outage.is_hidden());
        let never = Outage::new(Duration::ZERO);
        assert!(!never.is_hidden() && !never.is_long());
        never.goes_on();
        assert!(!never.is_hidden() && never.is_long());
    }

    #[tokio::test(start_paused = true)]
    async fn one_probes_at_a_time_and_all_hear_of_the_end() {
        let outage = Outage::new(Duration::ZERO);
        outage.over().await;
        outage.goes_on();
        let probe = outage.probe().unwrap();
        assert!(outage.probe().is_none());
        drop(probe);
        assert!(outage.probe().is_some());
        let waiting = || tokio::time::timeout(SECOND, outage.over());
        assert!(waiting().await.is_err());
        let ended = async { outage.ends() };
        let (one, other, ()) = tokio::join!(waiting(), waiting(), ended);
        assert!(one.is_ok() && other.is_ok());
    }
}
