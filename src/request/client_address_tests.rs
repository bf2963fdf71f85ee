//! Which address is believed.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::*;

fn client(header: AddressHeader, peer: &str, lines: &[(&'static str, &'static str)]) -> String {
    let trusted = ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"].map(|net| net.parse().unwrap());
    let neighbours = Neighbours {
        trusted: trusted.to_vec(),
        header,
    };
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    neighbours
        .client(Peer::Socket(peer.parse().unwrap()), &headers)
        .to_string()
}

#[test]
fn an_unlisted_peer_speaks_for_itself_alone() {
    let forged = [
        ("x-forwarded-for", "1.2.3.4"),
        ("forwarded", "for=1.2.3.4"),
        ("x-real-ip", "1.2.3.4"),
        ("x_forwarded_for", "1.2.3.4"),
        ("connection", "X-Forwarded-For"),
    ];
    for header in [
        AddressHeader::XForwardedFor,
        AddressHeader::Forwarded,
        AddressHeader::None,
    ] {
        assert_eq!(client(header, "203.0.113.9:1", &forged), "203.0.113.9");
        assert_eq!(
            client(header, "[::ffff:203.0.113.9]:1", &forged),
            "203.0.113.9"
        );
    }
}

#[test]
fn a_listed_neighbour_is_read_from_the_right() {
    let cases = [
        ("198.51.100.1", "198.51.100.1"),
        ("1.2.3.4, 198.51.100.1", "198.51.100.1"),
        ("1.2.3.4, 198.51.100.1, 10.9.9.9, 192.0.2.7", "198.51.100.1"),
        ("10.1.1.1, 10.2.2.2", "10.1.1.1"),
        ("198.51.100.1:4711", "198.51.100.1"),
        ("[2001:db9::1]:4711", "2001:db9::1"),
        ("[2001:db9::1]", "2001:db9::1"),
        ("2001:db9::1", "2001:db9::1"),
        ("::ffff:198.51.100.1", "198.51.100.1"),
        ("unknown", "unknown"),
        ("198.51.100.1, garbage", "unknown"),
        ("garbage, 198.51.100.1", "198.51.100.1"),
        ("198.51.100.1,", "unknown"),
        ("fe80::1%eth0", "unknown"),
        ("[fe80::1%1]:80", "unknown"),
        ("[198.51.100.1]", "unknown"),
        ("", "unknown"),
    ];
    for (line, expected) in cases {
        assert_eq!(
            client(
                AddressHeader::XForwardedFor,
                "10.0.0.1:1",
                &[("x-forwarded-for", line)]
            ),
            expected,
            "{line}"
        );
    }
}

#[test]
fn several_lines_are_one_list() {
    let lines = [
        ("x-forwarded-for", "198.51.100.1"),
        ("x-forwarded-for", "10.0.0.2"),
    ];
    assert_eq!(
        client(AddressHeader::XForwardedFor, "10.0.0.1:1", &lines),
        "198.51.100.1"
    );
}

#[test]
fn only_the_configured_header_is_read() {
    let other = [("forwarded", "for=198.51.100.1")];
    assert_eq!(
        client(AddressHeader::XForwardedFor, "10.0.0.1:1", &other),
        "unknown"
    );
    assert_eq!(
        client(AddressHeader::None, "10.0.0.1:1", &other),
        "10.0.0.1"
    );
    assert_eq!(
        client(AddressHeader::Forwarded, "10.0.0.1:1", &other),
        "198.51.100.1"
    );
}

#[test]
fn forwarded_is_read_as_rfc_7239_writes_it() {
    let cases = [
        ("for=198.51.100.1;proto=https;by=10.0.0.1", "198.51.100.1"),
        ("For=\"[2001:db9::1]:4711\"", "2001:db9::1"),
        (
            "for=1.2.3.4, for=198.51.100.1, for=10.0.0.2",
            "198.51.100.1",
        ),
        ("proto=https;for=\"198.51.100.1:80\"", "198.51.100.1"),
        ("for=_hidden", "unknown"),
        ("for=unknown", "unknown"),
        ("proto=https", "unknown"),
        ("for=198.51.100.1;for=1.2.3.4", "unknown"),
        ("by=\"a,for=1.2.3.4\";for=198.51.100.1", "198.51.100.1"),
    ];
    for (line, expected) in cases {
        assert_eq!(
            client(
                AddressHeader::Forwarded,
                "10.0.0.1:1",
                &[("forwarded", line)]
            ),
            expected,
            "{line}"
        );
    }
}

#[test]
fn a_proxied_address_comes_from_no_header() {
    let neighbours = Neighbours {
        trusted: vec!["10.0.0.0/8".parse().unwrap()],
        header: AddressHeader::XForwardedFor,
    };
    let mut headers = HeaderMap::new();
    headers.append("x-forwarded-for", HeaderValue::from_static("1.2.3.4"));
    let told = Peer::Proxied(Some("10.0.0.9:1".parse().unwrap()));
    assert_eq!(neighbours.client(told, &headers).to_string(), "10.0.0.9");
    assert_eq!(
        neighbours.client(Peer::Proxied(None), &headers),
        ClientAddress::Unknown
    );
}
