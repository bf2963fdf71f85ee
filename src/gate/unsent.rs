//! Memory of what waits to be sent to one viewer alone. How long it waits is up to the viewer, so that no playback and no
//! network takes all of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use ipnet::IpNet;

use crate::request::client_address::ClientAddress;
use crate::session::id::SessionId;
use crate::session::lock;
use crate::session::place::Bind;

/// One network takes at most this part of it, and one playback that one.
const OF_NETWORK: usize = 2;
const OF_PLAYBACK: usize = 8;

/// So many bytes, of which parts are held for playbacks.
#[derive(Debug)]
pub struct Unsent {
    most: usize,
    /// By all that hold any of it.
    used: Mutex<HashMap<Holder, usize>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Holder {
    All,
    /// A /24 or /56, or all whose address is not known.
    Network(Option<IpNet>),
    Playback(SessionId),
}

/// A part of it, given back on drop.
#[derive(Debug)]
pub struct UnsentReservation {
    unsent: Arc<Unsent>,
    holders: [Holder; 3],
    bytes: usize,
}

impl Unsent {
    /// So many bytes.
    #[must_use]
    pub fn new(most: usize) -> Arc<Self> {
        let used = Mutex::default();
        Arc::new(Self { most, used })
    }

    /// A part of it for a playback at an address; `None` when there is not as much left, or not for it or its network. The
    /// first one of a holder is within its share, however large it is.
    pub fn reserve(
        self: &Arc<Self>,
        (playback, address): (SessionId, ClientAddress),
        bytes: usize,
    ) -> Option<UnsentReservation> {
        let network = match address {
            ClientAddress::Known(address) => Some(Bind::Prefix.net(address)),
            ClientAddress::Unknown => None,
        };
        let holders = [
            Holder::All,
            Holder::Network(network),
            Holder::Playback(playback),
        ];
        let mut used = lock(&self.used);
        let fits = |holder: &Holder| {
            let held = used.get(holder);
            held.is_none_or(|held| held + bytes <= self.share(*holder))
        };
        if !holders.iter().all(fits) {
            return None;
        }
        for holder in holders {
            *used.entry(holder).or_default() += bytes;
        }
        let unsent = Arc::clone(self);
        Some(UnsentReservation {
            unsent,
            holders,
            bytes,
        })
    }

    fn share(&self, holder: Holder) -> usize {
        match holder {
            Holder::All => self.most,
            Holder::Network(_) => self.most / OF_NETWORK,
            Holder::Playback(_) => self.most / OF_PLAYBACK,
        }
    }

    /// How many bytes are held.
    #[must_use]
    pub fn used(&self) -> usize {
        lock(&self.used).get(&Holder::All).copied().unwrap_or(0)
    }
}

impl Drop for UnsentReservation {
    fn drop(&mut self) {
        let mut used = lock(&self.unsent.used);
        for holder in self.holders {
            if let Some(held) = used.get_mut(&holder) {
                *held -= self.bytes;
                if *held == 0 {
                    used.remove(&holder);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn viewer(playback: u128, address: &str) -> (SessionId, ClientAddress) {
        let address = ClientAddress::Known(address.parse().unwrap());
        (SessionId::new(playback << 64), address)
    }

    #[test]
    fn no_playback_and_no_network_holds_all() {
        let unsent = Unsent::new(80);
        let hold = |playback, address, bytes| unsent.reserve(viewer(playback, address), bytes);
        let first = hold(1, "192.0.2.1", 6).unwrap();
        assert!(hold(1, "192.0.2.1", 5).is_none(), "its share is 10");
        assert!(hold(1, "198.51.100.1", 5).is_none(), "at any address");
        let mut held: Vec<_> = (2..5)
            .map(|playback| hold(playback, "192.0.2.99", 10).unwrap())
            .collect();
        held.push(hold(1, "192.0.2.1", 4).unwrap());
        assert!(hold(5, "192.0.2.1", 1).is_none(), "its network's is 40");
        for playback in 11..15 {
            held.push(hold(playback, "2001:db8::1", 10).unwrap());
        }
        assert!(hold(21, "198.51.100.1", 1).is_none(), "there are 80");
        assert_eq!(unsent.used(), 80);
        drop(first);
        assert!(hold(5, "192.0.2.1", 6).is_some(), "and gives it back");
        assert!(hold(5, "192.0.2.1", 6).is_some(), "again");
        drop(held);
        assert_eq!(unsent.used(), 0);
        assert!(lock(&unsent.used).is_empty());
    }

    #[test]
    fn the_first_one_is_within_the_share_of_a_playback_and_a_network() {
        let unsent = Unsent::new(80);
        let _huge = unsent.reserve(viewer(1, "192.0.2.1"), 70).unwrap();
        assert!(unsent.reserve(viewer(1, "192.0.2.1"), 1).is_none());
        assert!(unsent.reserve(viewer(2, "192.0.2.2"), 1).is_none());
        let _other = unsent.reserve(viewer(2, "198.51.100.1"), 10).unwrap();
        let larger = Unsent::new(80).reserve(viewer(1, "192.0.2.1"), 81);
        assert!(larger.is_some());
    }

    #[test]
    fn viewers_without_a_known_address_are_one_network() {
        let unsent = Unsent::new(80);
        let hold =
            |playback| unsent.reserve((viewer(playback, "::").0, ClientAddress::Unknown), 10);
        let _held: Vec<_> = (0..4).map(|playback| hold(playback).unwrap()).collect();
        assert!(hold(4).is_none());
    }
}
