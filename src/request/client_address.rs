//! Where the viewer is: the socket's address, or the word of a listed neighbour, and nobody else's.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use http::header::{FORWARDED, HeaderName};
use ipnet::IpNet;

use crate::listener::Peer;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The viewer's address. IPv4-mapped IPv6 is IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientAddress {
    /// This one.
    Known(IpAddr),
    /// A neighbour was to tell it and did not, or not readably. A token bound to addresses is refused.
    Unknown,
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(address) => address.fmt(f),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// The one header in which neighbours pass the address on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressHeader {
    /// `X-Forwarded-For`
    XForwardedFor,
    /// `Forwarded` (RFC 7239)
    Forwarded,
    /// None: the socket's address is the viewer's.
    None,
}

/// The reverse proxies in front.
#[derive(Debug)]
pub struct Neighbours {
    /// Their addresses. Empty: nobody is believed.
    pub trusted: Vec<IpNet>,
    /// How they pass the address on.
    pub header: AddressHeader,
}

impl Neighbours {
    /// Whether `address` is a listed neighbour's.
    #[must_use]
    pub fn lists(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted.iter().any(|net| net.contains(&address))
    }

    /// The viewer behind `peer`.
    #[must_use]
    pub fn client(&self, peer: Peer, headers: &HeaderMap) -> ClientAddress {
        match peer {
            Peer::Socket(address) => self.behind(address.ip().to_canonical(), headers),
            Peer::Proxied(Some(address)) => ClientAddress::Known(address.ip().to_canonical()),
            Peer::Proxied(None) => ClientAddress::Unknown,
        }
    }

    fn behind(&self, peer: IpAddr, headers: &HeaderMap) -> ClientAddress {
        if !self.lists(peer) {
            return ClientAddress::Known(peer);
        }
        let hops = match self.header {
            AddressHeader::None => return ClientAddress::Known(peer),
            AddressHeader::XForwardedFor => {
                joined(headers, &X_FORWARDED_FOR).map(|line| x_forwarded_for(&line))
            }
            AddressHeader::Forwarded => joined(headers, &FORWARDED).map(|line| forwarded(&line)),
        };
        let mut client = ClientAddress::Unknown;
        for hop in hops.unwrap_or_default().into_iter().rev() {
            let Some(address) = hop else {
                return ClientAddress::Unknown;
            };
            client = ClientAddress::Known(address);
            if !self.lists(address) {
                return client;
            }
        }
        // Listed neighbours all the way: the farthest of them is the client, as with a health check.
        client
    }
}

/// All lines of a header as one, as RFC 9110 section 5.3 has it; `None` when there is none or it is not text.
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let lines: Result<Vec<_>, _> = headers
        .get_all(name)
        .iter()
        .map(|value| value.to_str())
        .collect();
    lines
        .ok()
        .filter(|lines| !lines.is_empty())
        .map(|lines| lines.join(","))
}

fn x_forwarded_for(line: &str) -> Vec<Option<IpAddr>> {
    line.split(',').map(|hop| node(hop.trim())).collect()
}

/// The `for` of each element of RFC 7239 section 4, `None` where it is absent, doubled, obfuscated or unreadable.
fn forwarded(line: &str) -> Vec<Option<IpAddr>> {
    split_unquoted(line, ',')
        .map(|element| {
            let mut pairs = split_unquoted(element, ';')
                .filter_map(|pair| pair.split_once('='))
                .filter(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
            let (_, value) = pairs.next()?;
            if pairs.next().is_some() {
                return None;
            }
            let value = value.trim();
            node(
                value
                    .strip_prefix('"')
                    .and_then(|v| v.strip_suffix('"'))
                    .unwrap_or(value),
            )
        })
        .collect()
}

fn split_unquoted(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c| {
        quoted ^= c == '"';
        c == separator && !quoted
    })
}

/// An address with or without a port; IPv6 bare or in brackets. No zones, no names.
fn node(text: &str) -> Option<IpAddr> {
    let bracketed = || {
        text.strip_prefix('[')?
            .strip_suffix(']')?
            .parse()
            .ok()
            .filter(IpAddr::is_ipv6)
    };
    let with_port = || text.parse::<SocketAddr>().ok().map(|a| a.ip());
    // `SocketAddr` would take a zone: `[fe80::1%1]:80`.
    let zoneless = !text.contains('%');
    let address = text.parse().ok().or_else(bracketed).or_else(with_port);
    address.filter(|_| zoneless).map(|a| a.to_canonical())
}

#[cfg(test)]
#[path = "client_address_tests.rs"]
mod tests;
