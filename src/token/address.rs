//! Addresses of the ip claim: one address, or a prefix of them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An IPv4 or IPv6 network, its host bits zero. A single address is a prefix of full length. IPv4-mapped IPv6 is IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressPrefix {
    network: IpAddr,
    length: u8,
}

/// Why a text or a pair is not a prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressPrefixError {
    /// Not an IPv4 or IPv6 address, or a prefix of IPv4-mapped IPv6, which is written as one of IPv4.
    #[error("must be an IPv4 or IPv6 address, or a prefix such as 192.0.2.0/24")]
    Address,
    /// The length is not a number from 1 to 32 (IPv4) or 128 (IPv6).
    #[error("has a prefix length outside 1 to {0}")]
    Length(u8),
    /// Bits behind the prefix are set: which network was meant is unclear.
    #[error("has bits set behind its prefix; the network is {0}")]
    HostBits(AddressPrefix),
}

impl AddressPrefix {
    /// The one address.
    #[must_use]
    pub fn single(address: IpAddr) -> Self {
        let network = address.to_canonical();
        Self {
            network,
            length: full_length(network),
        }
    }

    /// A network. A length of zero would bind nothing and is refused.
    pub fn new(network: IpAddr, length: u8) -> Result<Self, AddressPrefixError> {
        if network != network.to_canonical() {
            return Err(AddressPrefixError::Address);
        }
        let full = full_length(network);
        if length == 0 || length > full {
            return Err(AddressPrefixError::Length(full));
        }
        let masked = Self {
            network: mask(network, length),
            length,
        };
        if masked.network == network {
            Ok(masked)
        } else {
            Err(AddressPrefixError::HostBits(masked))
        }
    }

    /// The network's first address.
    #[must_use]
    pub fn network(&self) -> IpAddr {
        self.network
    }

    /// How many leading bits are fixed.
    #[must_use]
    pub fn length(&self) -> u8 {
        self.length
    }

    /// Whether `address` lies in the network.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.network.is_ipv4() && mask(address, self.length) == self.network
    }
}

impl FromStr for AddressPrefix {
    type Err = AddressPrefixError;

    /// `192.0.2.1`, `192.0.2.0/24`, `2001:db8::1`, `2001:db8::/32`.
    fn from_str(text: &str) -> Result<Self, AddressPrefixError> {
        let Some((address, length)) = text.split_once('/') else {
            return text
                .parse()
                .map(Self::single)
                .map_err(|_| AddressPrefixError::Address);
        };
        let network: IpAddr = address.parse().map_err(|_| AddressPrefixError::Address)?;
        let length = super::time::canonical_decimal(length)
            .and_then(|n| u8::try_from(n).ok())
            .ok_or(AddressPrefixError::Length(full_length(network)))?;
        Self::new(network, length)
    }
}

impl fmt::Display for AddressPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.length == full_length(self.network) {
            self.network.fmt(f)
        } else {
            write!(f, "{}/{}", self.network, self.length)
        }
    }
}

fn full_length(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// Keeps the first `length` bits; `length` is at most the address's own.
fn mask(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            Ipv4Addr::from_bits(v4.to_bits() & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_holds_its_own_addresses_and_no_others() {
        let prefix: AddressPrefix = "192.0.2.0/24".parse().unwrap();
        assert!(prefix.contains("192.0.2.255".parse().unwrap()));
        assert!(
            prefix.contains("::ffff:192.0.2.9".parse().unwrap()),
            "IPv4-mapped IPv6 is IPv4"
        );
        assert!(!prefix.contains("192.0.3.0".parse().unwrap()));
        assert!(!prefix.contains("2001:db8::1".parse().unwrap()));
        let six: AddressPrefix = "2001:db8::/33".parse().unwrap();
        assert!(six.contains("2001:db8:7fff::1".parse().unwrap()));
        assert!(!six.contains("2001:db8:8000::1".parse().unwrap()));
    }

    #[test]
    fn what_binds_nothing_or_is_unclear_is_refused() {
        for bad in [
            "",
            "1.2.3",
            "1.2.3.4/0",
            "1.2.3.4/33",
            "1.2.3.0/024",
            "1.2.3.4/24",
            "::/0",
            "fe80::1%eth0",
            "1.2.3.4/+8",
            "a.de",
        ] {
            assert!(bad.parse::<AddressPrefix>().is_err(), "{bad}");
        }
        assert_eq!(
            "::ffff:1.2.3.4"
                .parse::<AddressPrefix>()
                .unwrap()
                .to_string(),
            "1.2.3.4"
        );
    }
}
