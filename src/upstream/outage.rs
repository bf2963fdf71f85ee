//! Since when no media server has answered.
//!
//! A player's retry counter resets when its socket stood open for 200 ms (protocol.md 3), so the gate delays retried closes: a
//! short outage must not use the retries up. In a long outage that delay would keep every player retrying for ever, and no
//! page would turn to another source. So the delay ends when the outage has lasted for a configured time, counted for all
//! viewers together. From then on viewers no longer dial, since a media server that hangs would also hold them for longer
//! than those 200 ms. Instead one probe at a time finds out whether a media server is back, and a viewer waits for its result
//! for less than the 200 ms.

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
    /// No outage yet; one will be hidden from players for `hold`.
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

    /// Whether an outage, if there is one, is still to be hidden from players.
    #[must_use]
    pub fn is_hidden(&self) -> bool {
        !self.hold.is_zero() && !self.is_long()
    }

    /// Whether there is an outage that is no longer hidden.
    #[must_use]
    pub fn is_long(&self) -> bool {
        let since = *self.since.borrow();
        since.is_some_and(|since| since.elapsed() >= self.hold)
    }

    /// The right to probe, until it is dropped; `None` while another probe has it.
    #[must_use]
    pub fn probe(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.probe).try_acquire_owned().ok()
    }

    /// Resolves when there is no outage. Cancel safe.
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
