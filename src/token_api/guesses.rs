//! API keys are not found by trying. A request pays for its key before the key is looked at, and gets that back when the key
//! is right; what an address cannot pay for waits a little, and then is told to come back.
//!
//! To answer a right key at once and let wrong ones wait would be no help: then what is not answered at once is wrong. So all
//! of an address wait, which may be a whole company's; but a key that was right from there lately is let through, so that
//! a back end that mints is not shut out by what others do behind its address.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use lru::LruCache;
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep_until};

use crate::pace::{Pace, cost};
use crate::request::client_address::ClientAddress;

/// How many addresses are remembered.
const ADDRESSES: NonZeroUsize = NonZeroUsize::new(4096).unwrap();
/// How many right keys are remembered for each.
const KEYS: usize = 8;
/// The longest wait for a turn.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a key that was right is let through.
const TRUST: Duration = Duration::from_secs(60 * 60);
/// How often an address is named in the log.
const SAID_EVERY: Duration = Duration::from_secs(1);

/// What addresses have tried.
#[derive(Debug)]
pub struct Guesses {
    peers: Mutex<LruCache<Option<IpNet>, Peer>>,
    cost: Duration,
}

#[derive(Debug)]
struct Peer {
    pace: Pace,
    /// Digests of keys that were right, and when.
    right: Vec<([u8; 32], Instant)>,
    said: Option<Instant>,
    unsaid: u64,
}

/// An address has tried too many keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany {
    /// In how many seconds it may try again.
    pub retry_after: u64,
}

impl Guesses {
    /// `rate` wrong keys a second for each address.
    #[must_use]
    pub fn new(rate: u32) -> Self {
        Self {
            peers: Mutex::new(LruCache::new(ADDRESSES)),
            cost: cost(rate),
        }
    }

    /// Waits until a key may be looked at. Cancel safe: what was paid is not given back.
    pub async fn turn(&self, address: ClientAddress, key: &[u8]) -> Result<(), TooMany> {
        let due = {
            let now = Instant::now();
            let mut peers = self.peers();
            let peer = peer(&mut peers, address, now);
            let digest = digest(key);
            let is_known =
                |(right, at): &([u8; 32], Instant)| *right == digest && *at + TRUST > now;
            if peer.right.iter().any(is_known) {
                return Ok(());
            }
            let due = peer.pace.wait(now);
            if let Some(late) = due.filter(|due| *due > now + PATIENCE) {
                let retry_after = (late - now).as_secs().max(1);
                return Err(TooMany { retry_after });
            }
            peer.pace.spend(now, self.cost);
            due
        };
        if let Some(due) = due {
            sleep_until(due).await;
        }
        Ok(())
    }

    /// A key was right: what was paid for it is given back, and it is remembered.
    pub fn right(&self, address: ClientAddress, key: &[u8]) {
        let now = Instant::now();
        let mut peers = self.peers();
        let peer = peer(&mut peers, address, now);
        let digest = digest(key);
        let before = peer.right.len();
        peer.right
            .retain(|(right, at)| *right != digest && *at + TRUST > now);
        // What is remembered has not paid.
        if before == peer.right.len() {
            peer.pace.refund(self.cost);
        }
        if peer.right.len() >= KEYS {
            peer.right.remove(0);
        }
        peer.right.push((digest, now));
    }

    /// Whether a refusal of this address is logged: then how many were not since the last that was.
    pub fn say(&self, address: ClientAddress) -> Option<u64> {
        let now = Instant::now();
        let mut peers = self.peers();
        let peer = peer(&mut peers, address, now);
        if peer.said.is_some_and(|said| said + SAID_EVERY > now) {
            peer.unsaid += 1;
            return None;
        }
        peer.said = Some(now);
        Some(std::mem::take(&mut peer.unsaid))
    }

    fn peers(&self) -> MutexGuard<'_, LruCache<Option<IpNet>, Peer>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn peer(
    peers: &mut LruCache<Option<IpNet>, Peer>,
    address: ClientAddress,
    now: Instant,
) -> &mut Peer {
    peers.get_or_insert_mut(address.network(), || Peer {
        pace: Pace::new(now),
        right: Vec::new(),
        said: None,
        unsaid: 0,
    })
}

fn digest(key: &[u8]) -> [u8; 32] {
    Sha256::digest(key).into()
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    const ONE: ClientAddress =
        ClientAddress::Known(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)));

    /// How many of these are looked at in ten seconds, when each waits for its answer or, refused, for a millisecond.
    async fn looked_at(guesses: &Guesses, of: impl Fn(u16) -> ClientAddress) -> usize {
        let start = Instant::now();
        let (mut count, mut next) = (0, 0_u16);
        while start.elapsed() < Duration::from_secs(10) {
            next = next.wrapping_add(1);
            match guesses.turn(of(next), &next.to_be_bytes()).await {
                Ok(()) => count += 1,
                Err(_) => sleep(Duration::from_millis(1)).await,
            }
        }
        count
    }

    #[tokio::test(start_paused = true)]
    async fn wrong_keys_of_one_address_have_a_rate() {
        let of_64 = |last| ClientAddress::Known([0x2001, 0xdb8, 0, 1, 0, 0, 0, last].into());
        for of in [&|_| ONE as ClientAddress, &of_64, &|_| {
            ClientAddress::Unknown
        }] as [&dyn Fn(u16) -> ClientAddress; 3]
        {
            let count = looked_at(&Guesses::new(5), of).await;
            assert!((50..=57).contains(&count), "{count}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_at_once_gain_nothing() {
        let guesses = Guesses::new(5);
        let all =
            (0..1000_u16).map(async |key| guesses.turn(ONE, &key.to_be_bytes()).await.is_ok());
        let answered = futures_util::future::join_all(all).await;
        let count = answered.iter().filter(|answered| **answered).count();
        // A second's worth at once and that of two seconds' waiting.
        assert!(count <= 17, "{count}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_was_right_from_there_is_let_through_for_an_hour() {
        let guesses = Guesses::new(5);
        guesses.turn(ONE, b"right").await.unwrap();
        guesses.right(ONE, b"right");
        let flood =
            (0..100_u16).map(async |key| guesses.turn(ONE, &key.to_be_bytes()).await.is_ok());
        futures_util::future::join_all(flood).await;
        let start = Instant::now();
        assert_eq!(guesses.turn(ONE, b"right").await, Ok(()));
        assert!(start.elapsed().is_zero());
        // After an hour it is a key like another.
        sleep(TRUST).await;
        let flood =
            (0..100_u16).map(async |key| guesses.turn(ONE, &key.to_be_bytes()).await.is_ok());
        futures_util::future::join_all(flood).await;
        let start = Instant::now();
        let turn = guesses.turn(ONE, b"right").await;
        assert!(turn.is_err() || !start.elapsed().is_zero(), "{turn:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn right_keys_cost_nothing() {
        let guesses = Guesses::new(1);
        let start = Instant::now();
        for key in 0..100_u8 {
            guesses.turn(ONE, &[key]).await.unwrap();
            guesses.right(ONE, &[key]);
        }
        assert!(start.elapsed().is_zero());
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_is_named_once_a_second() {
        let guesses = Guesses::new(5);
        let said: Vec<_> = (0..100).map(|_| guesses.say(ONE)).collect();
        assert_eq!((said[0], said[1..].iter().flatten().count()), (Some(0), 0));
        sleep(SAID_EVERY).await;
        assert_eq!(guesses.say(ONE), Some(99));
    }
}
