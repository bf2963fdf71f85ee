//! `[[listener]]`, `[admin]` and `[client]`: where the gate listens, and the proxies in front of it.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::digest::sha256;
use super::error::Problem;
use super::findings::{Findings, Place};
use super::limits::count;
use super::reader::{Table, Value};
use super::units::Bounds;
use super::{AdminConfig, ListenerConfig};
use crate::request::client_address::{AddressHeader, Neighbours};

/// The most connections of the operator's side, of each of its two kinds: they are among the file descriptors that are no
/// viewer's.
const ADMIN_CONNECTIONS: u64 = 64;

/// A listener and where its address stands.
pub(super) struct Listening {
    pub(super) config: ListenerConfig,
    pub(super) place: Place,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Service {
    Playback,
    TokenApi,
}

/// `[[listener]]`
pub(super) fn listeners(root: &mut Table<'_>) -> Vec<Listening> {
    const WHAT: &str = "begin a table with [[listener]] and say address and serves";
    let Some(value) = root.need("listener", WHAT) else {
        return Vec::new();
    };
    let tables = value.tables("tables that begin with [[listener]]");
    if tables.as_ref().is_some_and(Vec::is_empty) {
        value.refuse(Problem::Value(format!("is empty: {WHAT}")));
    }
    let mut taken = Vec::<Listening>::new();
    for mut table in tables.unwrap_or_default() {
        let address = table.need("address", "say where to listen, such as \"0.0.0.0:8080\"");
        let services = services(&mut table);
        let proxy_protocol = table.flag("proxy_protocol", false);
        let Some(value) = address else { continue };
        let Some(address) = address_of(&value) else {
            continue;
        };
        refuse_taken(&value, address, &taken);
        let config = ListenerConfig {
            address,
            playback: services.contains(&Service::Playback),
            token_api: services.contains(&Service::TokenApi),
            proxy_protocol,
        };
        taken.push(Listening {
            config,
            place: value.place,
        });
    }
    taken
}

fn services(table: &mut Table<'_>) -> Vec<Service> {
    const EXPECTED: &str = "a list of \"playback\" and \"token-api\"";
    const WORDS: [(&str, Service); 2] = [
        ("playback", Service::Playback),
        ("token-api", Service::TokenApi),
    ];
    let Some(value) = table.need(
        "serves",
        "say what it serves: [\"playback\"], [\"token-api\"] or both",
    ) else {
        return Vec::new();
    };
    let mut services = Vec::new();
    let Some(elements) = value.list(EXPECTED) else {
        return services;
    };
    if elements.is_empty() {
        value.refuse(Problem::Value(format!(
            "must be {EXPECTED}, at least one of them"
        )));
    }
    for element in elements {
        match element.choice(&WORDS) {
            Some(service) if services.contains(&service) => element.refuse(Problem::Repeated),
            service => services.extend(service),
        }
    }
    services
}

/// `[admin]`
pub(super) fn admin(root: &mut Table<'_>, listeners: &[Listening]) -> Option<AdminConfig> {
    let mut table = root.take("admin")?.table()?;
    let address = table.need(
        "address",
        "say where the operator connects, such as \"127.0.0.1:9090\"",
    );
    let token = table.take("token_sha256");
    let has_token = token.is_some();
    let token_sha256 = token.and_then(|token| sha256(&token));
    let names = table
        .take("names")
        .and_then(|names| names.list("a list of host names"));
    let names = names
        .iter()
        .flatten()
        .filter_map(|name| name.parsed_by("a host name", host_name))
        .collect();
    let bounds = Bounds::new(1, ADMIN_CONNECTIONS, "no operator could connect");
    let connections = count(&mut table, "connections", 64, bounds);
    let value = address?;
    let address = address_of(&value)?;
    refuse_taken(&value, address, listeners);
    if !has_token && !address.ip().to_canonical().is_loopback() {
        value.refuse(Problem::Conflict(
            "must be a loopback address such as 127.0.0.1:9090 while there is no admin.token_sha256".to_owned(),
        ));
    }
    Some(AdminConfig {
        address,
        token_sha256,
        names,
        connections,
    })
}

/// `[client]`
pub(super) fn neighbours(root: &mut Table<'_>, listeners: &[Listening]) -> Neighbours {
    let mut table = root.table("client");
    let networks = table.take("trusted_proxies");
    let given = networks.is_some();
    let networks = networks.and_then(|value| value.list("a list of addresses and networks"));
    let expected = "an address or a network, such as \"10.0.0.0/8\"";
    let read = |value: &Value<'_>| value.parsed_by(expected, network);
    let trusted: Vec<_> = networks.iter().flatten().filter_map(read).collect();
    let words = [
        ("x-forwarded-for", AddressHeader::XForwardedFor),
        ("forwarded", AddressHeader::Forwarded),
        ("none", AddressHeader::None),
    ];
    let header = table.choice("header", &words, AddressHeader::XForwardedFor);
    if trusted.iter().any(|network| network.prefix_len() == 0)
        && let Some(value) = table.take("trusted_proxies")
    {
        let what = "lists every address: each viewer says itself what its address is";
        table.findings.danger(&value.place, what);
    }
    // What is given and wrong is told already.
    if !given || networks.is_some_and(|networks| networks.is_empty()) {
        refuse_unlisted_proxies(listeners, table.findings);
    }
    Neighbours { trusted, header }
}

fn refuse_unlisted_proxies(listeners: &[Listening], findings: &Findings) {
    for listener in listeners
        .iter()
        .filter(|listener| listener.config.proxy_protocol)
    {
        findings.add(
            &listener.place,
            Problem::Conflict(
                "has proxy_protocol, but client.trusted_proxies is empty, so that no connection would be accepted; list the \
                 addresses of the proxies there"
                    .to_owned(),
            ),
        );
    }
}

fn address_of(value: &Value<'_>) -> Option<SocketAddr> {
    let expected = "an address and a port, such as \"0.0.0.0:8080\" or \"[::]:8080\"";
    value.parsed_by(expected, |text| {
        text.parse().map_err(|_| format!("must be {expected}"))
    })
}

/// Two sockets of one process that want the same port: the second would not start. Port 0 is any free one.
fn refuse_taken(value: &Value<'_>, address: SocketAddr, taken: &[Listening]) {
    let overlaps = |other: SocketAddr| {
        let wild = address.ip().is_unspecified() || other.ip().is_unspecified();
        address.port() != 0
            && address.port() == other.port()
            && (address.ip() == other.ip() || (wild && address.is_ipv4() == other.is_ipv4()))
    };
    if let Some(first) = taken
        .iter()
        .find(|listener| overlaps(listener.config.address))
    {
        value.refuse_same(&first.place, "one address and port can be listened on once");
    }
}

/// A name or an address in the `Host` header, without a port, in lower case.
fn host_name(text: &str) -> Result<String, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.to_string());
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    if text.is_empty() || text.len() > 253 || !text.bytes().all(allowed) {
        return Err(
            "must be a host name or an address without a port, such as \"gate.example.com\""
                .to_owned(),
        );
    }
    Ok(text.to_ascii_lowercase())
}

/// A network, or one address. What would silently list more or less than it looks like is refused.
fn network(text: &str) -> Result<IpNet, String> {
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse::<IpNet>().map_err(|_| {
            "must be an address or a network, such as \"10.0.0.0/8\" or \"2001:db8::1\"".to_owned()
        })?,
    };
    if let IpAddr::V6(address) = network.addr()
        && address.to_ipv4_mapped().is_some()
    {
        return Err("must be written as IPv4: addresses are compared in that form".to_owned());
    }
    if network.addr() != network.network() {
        let (all, one) = (network.trunc(), network.addr());
        return Err(format!(
            "has bits behind its prefix: write {all} for the network or {one} for the address"
        ));
    }
    Ok(network)
}
