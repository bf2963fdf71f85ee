//! Where an HLS viewer may ask from. A ticket travels in URLs, which are passed around more easily than a socket.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use tokio::time::Instant;

use crate::request::client_address::ClientAddress;

/// How often a session may move before it has to wait; a train ride is not more than that.
const MOVES: u32 = 4;

/// After how long one more move is free again.
const MOVE_AGAIN: Duration = Duration::from_secs(60);

/// How closely a session is bound to the addresses that it was allowed at (`hls.bind_address`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bind {
    /// To the address.
    Exact,
    /// To its /24 or /56: providers change the last bits under a viewer's feet. The default.
    Prefix,
    /// Not at all.
    Off,
}

impl Bind {
    /// What an address is bound to.
    pub(crate) fn net(self, address: IpAddr) -> IpNet {
        let (v4, v6) = match self {
            Self::Exact => (32, 128),
            Self::Prefix => (24, 56),
            Self::Off => (0, 0),
        };
        let length = if address.is_ipv4() { v4 } else { v6 };
        IpNet::new(address, length).map_or_else(|_| address.into(), |net| net.trunc())
    }

    /// The same text for all addresses that are one place; for those that are none it is only a name.
    #[must_use]
    pub fn place(self, address: ClientAddress) -> String {
        match address {
            _ if self == Self::Off => String::new(),
            ClientAddress::Known(address) => self.net(address).to_string(),
            ClientAddress::Unknown => "unknown".to_owned(),
        }
    }

    /// Whether an address is a place. An unknown one is none: two of them are never the same.
    #[must_use]
    pub fn is_place(self, address: ClientAddress) -> bool {
        match address {
            _ if self == Self::Off => true,
            ClientAddress::Known(_) => true,
            ClientAddress::Unknown => false,
        }
    }
}

/// The places of one session: one of IPv4 and one of IPv6 at a time, since a viewer with both uses both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// The IPv4 prefix.
    pub v4: Option<IpNet>,
    /// The IPv6 prefix.
    pub v6: Option<IpNet>,
}

impl Places {
    /// Whether `address` is in one of them.
    #[must_use]
    pub fn hold(&self, address: ClientAddress, bind: Bind) -> bool {
        match address {
            _ if bind == Bind::Off => true,
            ClientAddress::Known(address) => {
                let nets = [self.v4, self.v6];
                nets.iter().flatten().any(|net| net.contains(&address))
            }
            ClientAddress::Unknown => false,
        }
    }

    /// An address of each.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        [self.v4, self.v6]
            .into_iter()
            .flatten()
            .map(|net| net.addr())
    }

    /// Whether there is none: it was allowed where the address is not known, for one request.
    #[must_use]
    pub fn are_none(&self, bind: Bind) -> bool {
        bind != Bind::Off && self.v4.is_none() && self.v6.is_none()
    }

    /// Whether there is none of the family of `address`.
    #[must_use]
    pub fn lack_family_of(&self, address: ClientAddress) -> bool {
        match address {
            ClientAddress::Known(IpAddr::V4(_)) => self.v4.is_none(),
            ClientAddress::Known(IpAddr::V6(_)) => self.v6.is_none(),
            ClientAddress::Unknown => false,
        }
    }

    /// Puts the place of `address` in the place of the one of its family; an unknown address has none.
    pub fn settle(&mut self, address: ClientAddress, bind: Bind) {
        match address {
            ClientAddress::Known(address @ IpAddr::V4(_)) => self.v4 = Some(bind.net(address)),
            ClientAddress::Known(address @ IpAddr::V6(_)) => self.v6 = Some(bind.net(address)),
            ClientAddress::Unknown => {}
        }
    }
}

/// How many moves a session has left.
#[derive(Clone, Copy, Debug)]
pub struct Moves {
    left: u32,
    since: Instant,
}

impl Moves {
    /// All of them.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            left: MOVES,
            since: now,
        }
    }

    /// Takes one, if there is one. Two viewers that share a ticket take turns at every request, and have none left at once.
    pub fn take(&mut self, now: Instant) -> bool {
        while self.left < MOVES && now.saturating_duration_since(self.since) >= MOVE_AGAIN {
            self.left += 1;
            self.since += MOVE_AGAIN;
        }
        if self.left == MOVES {
            self.since = now;
        }
        let free = self.left > 0;
        self.left = self.left.saturating_sub(1);
        free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> ClientAddress {
        ClientAddress::Known(text.parse().unwrap())
    }

    #[test]
    fn a_place_is_as_wide_as_it_is_configured() {
        for (bind, address, other, held) in [
            (Bind::Exact, "192.0.2.1", "192.0.2.1", true),
            (Bind::Exact, "192.0.2.1", "192.0.2.2", false),
            (Bind::Prefix, "192.0.2.1", "192.0.2.254", true),
            (Bind::Prefix, "192.0.2.1", "192.0.3.1", false),
            (Bind::Prefix, "2001:db8:0:100::1", "2001:db8:0:1ff::9", true),
            (
                Bind::Prefix,
                "2001:db8:0:100::1",
                "2001:db8:0:200::1",
                false,
            ),
            (Bind::Off, "192.0.2.1", "198.51.100.1", true),
            (Bind::Off, "192.0.2.1", "2001:db8::1", true),
        ] {
            let mut places = Places::default();
            places.settle(at(address), bind);
            assert_eq!(
                places.hold(at(other), bind),
                held,
                "{bind:?} {address} {other}"
            );
            let same = bind.place(at(address)) == bind.place(at(other));
            assert_eq!(same, held, "{bind:?} {address} {other}");
        }
    }

    #[test]
    fn there_is_one_place_of_each_family() {
        let mut places = Places::default();
        let bind = Bind::Prefix;
        for address in ["192.0.2.1", "2001:db8::1", "198.51.100.1"] {
            places.settle(at(address), bind);
        }
        assert!(places.hold(at("2001:db8::2"), bind) && places.hold(at("198.51.100.9"), bind));
        assert!(!places.hold(at("192.0.2.1"), bind));
        assert!(!places.hold(ClientAddress::Unknown, bind));
        places.settle(ClientAddress::Unknown, bind);
        assert!(!places.hold(ClientAddress::Unknown, bind));
        assert!(places.hold(ClientAddress::Unknown, Bind::Off));
    }

    #[tokio::test(start_paused = true)]
    async fn moves_run_out_and_come_back() {
        let mut moves = Moves::new(Instant::now());
        let mut take = || moves.take(Instant::now());
        assert_eq!(
            [take(), take(), take(), take(), take()],
            [true, true, true, true, false]
        );
        tokio::time::advance(MOVE_AGAIN).await;
        assert_eq!([take(), take()], [true, false]);
        tokio::time::advance(MOVE_AGAIN * 100).await;
        assert_eq!(
            [take(), take(), take(), take(), take()],
            [true, true, true, true, false]
        );
    }
}
