//! Which refusals are logged: so many a second, and of them a tenth for any one address, so that one peer can neither fill
//! the log nor keep others out of it.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use lru::LruCache;
use tokio::time::Instant;

use crate::pace::{Pace, cost};
use crate::request::client_address::ClientAddress;

/// How many addresses are remembered; of more, those that were refused least lately begin anew.
const ADDRESSES: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// The log's room for refusals.
#[derive(Debug)]
pub struct RefusalLines {
    room: Mutex<Room>,
    unsaid: AtomicU64,
}

#[derive(Debug)]
struct Room {
    all: Pace,
    cost: Duration,
    each: LruCache<Option<IpNet>, Pace>,
    cost_each: Duration,
}

impl RefusalLines {
    /// Room for `rate` lines a second.
    #[must_use]
    pub fn new(rate: u32) -> Self {
        Self {
            room: Mutex::new(Room {
                all: Pace::new(Instant::now()),
                cost: cost(rate),
                each: LruCache::new(ADDRESSES),
                cost_each: cost(rate / 10),
            }),
            unsaid: AtomicU64::new(0),
        }
    }

    /// Whether a refusal of this address is logged; otherwise it is counted.
    pub fn take(&self, address: ClientAddress) -> bool {
        let now = Instant::now();
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        let Room {
            all,
            cost,
            each,
            cost_each,
        } = &mut *room;
        let each = each.get_or_insert_mut(address.network(), || Pace::new(now));
        let logged = each.wait(now).is_none() && all.wait(now).is_none();
        if logged {
            each.spend(now, *cost_each);
            all.spend(now, *cost);
        } else {
            self.unsaid.fetch_add(1, Ordering::Relaxed);
        }
        logged
    }

    /// How many were not logged since this was last asked.
    pub fn take_unsaid(&self) -> u64 {
        self.unsaid.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_address_has_a_tenth_and_all_have_the_whole() {
        let lines = RefusalLines::new(100);
        let of = |last: u8| ClientAddress::Known([192, 0, 2, last].into());
        let logged = |address| (0..1000).filter(|_| lines.take(address)).count();
        assert_eq!(logged(of(1)), 11);
        assert_eq!(logged(of(2)), 11);
        assert_eq!(logged(ClientAddress::Unknown), 11);
        let rest: usize = (3..200).map(|last| logged(of(last))).sum();
        assert_eq!(rest, 101 - 33);
        assert_eq!(lines.take_unsaid(), 200_000 - 101);
        assert_eq!(lines.take_unsaid(), 0);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(logged(of(1)), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_of_ipv6_is_one_peer() {
        let lines = RefusalLines::new(100);
        let of = |last: u16| ClientAddress::Known([0x2001, 0xdb8, 0, 1, 0, 0, 0, last].into());
        assert_eq!((0..1000).filter(|last| lines.take(of(*last))).count(), 11);
    }
}
