//! Where the viewer is: the socket's address, or what a listed neighbour says; no other header is believed.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use http::header::{FORWARDED, HeaderName};
use ipnet::IpNet;

use crate::listener::Peer;
use crate::listener::scheme::Scheme;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The viewer's address. IPv4-mapped IPv6 is IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientAddress {
    /// This one.
    Known(IpAddr),
    /// A neighbour was to tell it and did not, or not readably. A token bound to addresses is refused.
    Unknown,
}

impl ClientAddress {
    /// The network that is taken for one peer where peers are counted: the address of IPv4, and the /64 of IPv6, any address
    /// of which one machine may give itself. All unknown ones are one.
    #[must_use]
    pub fn network(self) -> Option<IpNet> {
        let Self::Known(address) = self else {
            return None;
        };
        let length = if address.is_ipv4() { 32 } else { 64 };
        IpNet::new(address, length)
            .ok()
            .map(|network| network.trunc())
    }
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
    /// Their addresses. Empty: no header is believed.
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

    /// How the viewer behind `peer` asks: as a listed neighbour says it, and else as its `own` connection is. Read by the rules
    /// of the address: `X-Forwarded-Proto`, of which the last value is the nearest neighbour's, or the `proto` of that hop of
    /// `Forwarded` which names the viewer.
    #[must_use]
    pub fn scheme(&self, peer: Peer, headers: &HeaderMap, own: Scheme) -> Scheme {
        let Peer::Socket(address) = peer else {
            return own;
        };
        let told = match self.header {
            AddressHeader::None => None,
            _ if !self.lists(address.ip()) => None,
            AddressHeader::XForwardedFor => {
                let line = headers.get_all(X_FORWARDED_PROTO).iter().next_back();
                let values = line.map(|line| line.as_bytes().rsplit(|&byte| byte == b','));
                let last = values.and_then(|mut values| values.next());
                last.and_then(|last| Scheme::read(last.trim_ascii()))
            }
            AddressHeader::Forwarded => self.walk(headers, FORWARDED, forwarded).scheme,
        };
        told.unwrap_or(own)
    }

    fn behind(&self, peer: IpAddr, headers: &HeaderMap) -> ClientAddress {
        if !self.lists(peer) {
            return ClientAddress::Known(peer);
        }
        let hop = match self.header {
            AddressHeader::None => return ClientAddress::Known(peer),
            AddressHeader::XForwardedFor => self.walk(headers, X_FORWARDED_FOR, x_forwarded_for),
            AddressHeader::Forwarded => self.walk(headers, FORWARDED, forwarded),
        };
        hop.address
            .map_or(ClientAddress::Unknown, ClientAddress::Known)
    }

    /// The first hop from the right that is not listed, or the farthest that is.
    fn walk(&self, headers: &HeaderMap, name: HeaderName, last_hop: LastHop) -> Hop {
        let mut client = Hop::default();
        // Each line alone: a quote that a viewer left open in one must not reach into the next, which is a neighbour's.
        for line in headers.get_all(name).iter().rev() {
            let mut rest = Some(line.as_bytes());
            while let Some(line) = rest {
                let (before, hop) = last_hop(line);
                client = hop;
                if client.address.is_none_or(|address| !self.lists(address)) {
                    return client;
                }
                rest = before;
            }
        }
        // Listed neighbours all the way: the farthest of them is the client, as with a health check.
        client
    }
}

/// What a neighbour says of the peer before it.
#[derive(Clone, Copy, Debug, Default)]
struct Hop {
    /// `None` where it cannot be read.
    address: Option<IpAddr>,
    /// `None` where it is not said, or not readably.
    scheme: Option<Scheme>,
}

/// Takes the last hop off a line: what stands before it, and the hop. Neighbours
/// append: what a viewer wrote stands to the left, and must not change how a hop is read. So hops are read from the right,
/// as bytes, and no further than they are believed.
type LastHop = fn(&[u8]) -> (Option<&[u8]>, Hop);

fn x_forwarded_for(line: &[u8]) -> (Option<&[u8]>, Hop) {
    let (before, hop) = match line.iter().rposition(|&byte| byte == b',') {
        Some(at) => (line.get(..at), line.get(at + 1..).unwrap_or_default()),
        None => (None, line),
    };
    let hop = Hop {
        address: node(hop.trim_ascii()),
        scheme: None,
    };
    (before, hop)
}

/// The `for` and the `proto` of an element of RFC 7239 section 4. There is no address where `for` is absent, doubled or
/// obfuscated, or the element is malformed.
fn forwarded(line: &[u8]) -> (Option<&[u8]>, Hop) {
    match split_last(line, b',') {
        Some((before, element)) => (before, hop_of(element).unwrap_or_default()),
        None => (None, Hop::default()),
    }
}

fn hop_of(element: &[u8]) -> Option<Hop> {
    let (mut rest, mut told, mut proto) = (Some(element), None, None);
    while let Some(pairs) = rest {
        let (before, pair) = split_last(pairs, b';')?;
        rest = before;
        let pair = pair.trim_ascii();
        if pair.is_empty() {
            continue;
        }
        let at = pair.iter().position(|&byte| byte == b'=')?;
        let (name, value) = (pair.get(..at)?, value(pair.get(at + 1..)?)?);
        let twice = if name.eq_ignore_ascii_case(b"for") {
            told.replace(value).is_some()
        } else if name.eq_ignore_ascii_case(b"proto") {
            proto.replace(value).is_some()
        } else {
            false
        };
        if twice {
            return None;
        }
    }
    Some(Hop {
        address: node(&told?),
        scheme: proto.and_then(|proto| Scheme::read(&proto)),
    })
}

/// Splits at the last separator outside of quotes; `None` where a quote has no partner.
fn split_last(text: &[u8], separator: u8) -> Option<(Option<&[u8]>, &[u8])> {
    let mut end = text.len();
    while let Some(at) = end.checked_sub(1) {
        match text.get(at) {
            Some(b'"') => end = opening_quote(text.get(..at)?)?,
            Some(byte) if *byte == separator => {
                return Some((text.get(..at), text.get(end..)?));
            }
            _ => end = at,
        }
    }
    Some((None, text))
}

/// Where a quoted text begins that goes to the end of `text`: at the last quote without a backslash of its own.
fn opening_quote(text: &[u8]) -> Option<usize> {
    let mut end = text.len();
    loop {
        let before = text.get(..end)?;
        let at = before.iter().rposition(|&byte| byte == b'"')?;
        let before = text.get(..at)?;
        let backslashes = before.iter().rev().take_while(|&&byte| byte == b'\\');
        match backslashes.count() {
            count if count.is_multiple_of(2) => return Some(at),
            count => end = at - count,
        }
    }
}

/// A value without its quotes and backslashes. What stands without quotes is taken as it is, though ports and IPv6 should
/// not: it has nothing that ends or opens anything.
fn value(text: &[u8]) -> Option<Vec<u8>> {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let plain = |byte: &u8| byte.is_ascii_graphic() && !b"\"\\".contains(byte);
        return (!text.is_empty() && text.iter().all(plain)).then(|| text.to_vec());
    };
    let mut bytes = quoted.strip_suffix(b"\"")?.iter().copied();
    let mut value = Vec::with_capacity(bytes.len());
    while let Some(byte) = bytes.next() {
        value.push(match byte {
            b'\\' => bytes.next()?,
            b'"' => return None,
            _ => byte,
        });
    }
    Some(value)
}

/// An address with or without a port; IPv6 bare or in brackets. No zones, no names.
fn node(text: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(text).ok()?;
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
