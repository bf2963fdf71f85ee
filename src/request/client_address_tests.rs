//! Which address is believed.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::*;

fn client(header: AddressHeader, peer: &str, lines: &[(&'static str, &str)]) -> String {
    let lines = lines.iter().map(|(name, value)| (*name, value.as_bytes()));
    client_of_bytes(header, peer, lines)
}

fn client_of_bytes<'a>(
    header: AddressHeader,
    peer: &str,
    lines: impl IntoIterator<Item = (&'static str, &'a [u8])>,
) -> String {
    let trusted = ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"].map(|net| net.parse().unwrap());
    let neighbours = Neighbours {
        trusted: trusted.to_vec(),
        header,
    };
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(
            HeaderName::from_static(name),
            HeaderValue::from_bytes(value).unwrap(),
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
        ("for=198.51.100.1 ;\tproto=https", "198.51.100.1"),
        (";;for=198.51.100.1;;", "198.51.100.1"),
        ("for=198.51.100.1:80", "198.51.100.1"),
        ("for=[2001:db9::1]:80", "2001:db9::1"),
        ("for=\"198.\\51.100.1\"", "198.51.100.1"),
        ("for=\"[2001:db9::1\\]\"", "2001:db9::1"),
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

/// What viewers write to swallow, end or spoil what stands behind it.
const HOSTILE: [&[u8]; 24] = [
    b"for=203.0.113.7;by=\"",
    b"for=203.0.113.7;by=\"\\\"\"",
    b"for=203.0.113.7;by=\"\\\\\"",
    b"for=203.0.113.7;by=\"\\",
    b"for=203.0.113.7;by=\"\\\"",
    b"for=203.0.113.7;by=a\"b",
    b"for=203.0.113.7;by=\\",
    b"for=\"203.0.113.7",
    b"for=\"203.0.113.7\", \"",
    b"\"",
    b"\\\"",
    b"\\",
    b"for=203.0.113.7,",
    b"for=203.0.113.7;",
    b"for=203.0.113.7; for=",
    b",,,;;;===",
    b"",
    b" \t",
    b"203.0.113.7, \xff",
    b"\xff",
    b"\xc3\xa9, 203.0.113.7",
    b"unknown, _hidden, [, ]:1, %",
    b"[2001:db9::7]:1, ::1%1",
    b"for=203.0.113.7;by=\",for=203.0.113.8,\"",
];

#[test]
fn nothing_that_a_viewer_wrote_changes_how_what_its_front_added_is_read() {
    // As fronts write them: alone, behind another front's, and with a text of the viewer's in quotes.
    let fronts = [
        (
            AddressHeader::XForwardedFor,
            "x-forwarded-for",
            "198.51.100.1",
        ),
        (
            AddressHeader::XForwardedFor,
            "x-forwarded-for",
            "198.51.100.1, 10.0.0.2",
        ),
        (AddressHeader::Forwarded, "forwarded", "for=198.51.100.1"),
        (
            AddressHeader::Forwarded,
            "forwarded",
            "for=198.51.100.1, for=\"10.0.0.2:80\";by=x",
        ),
        (
            AddressHeader::Forwarded,
            "forwarded",
            "for=\"198.51.100.1:4711\";host=\"a, for=203.0.113.7\"",
        ),
        (
            AddressHeader::Forwarded,
            "forwarded",
            "host=\"\\\";for=203.0.113.7;x=\\\"\" ; for=198.51.100.1",
        ),
        (
            AddressHeader::Forwarded,
            "forwarded",
            "for=198.51.100.1;host=\"\\\\\";by=\"\\\\\\\"\"",
        ),
    ];
    for (header, name, added) in fronts {
        for viewers in HOSTILE {
            let shown = String::from_utf8_lossy(viewers);
            for separator in [&b","[..], b", ", b" , ", b",\t"] {
                let line = [viewers, separator, added.as_bytes()].concat();
                let seen = client_of_bytes(header, "10.0.0.1:1", [(name, &line[..])]);
                assert_eq!(seen, "198.51.100.1", "{shown} then {added}");
            }
            for first in HOSTILE {
                let lines = [first, viewers, added.as_bytes()].map(|line| (name, line));
                let seen = client_of_bytes(header, "10.0.0.1:1", lines);
                assert_eq!(seen, "198.51.100.1", "{shown} above {added}");
            }
        }
    }
}

#[test]
fn a_hop_that_is_reached_and_cannot_be_read_is_unknown() {
    // What stands there was added by a neighbour that is listed, or is all there is.
    for behind in ["", ", 10.0.0.2", ",10.0.0.2,10.0.0.3"] {
        for hop in [
            &b"\xff198.51.100.1"[..],
            b"198.51.100.1\xff",
            b"",
            b"\"198.51.100.1\"",
        ] {
            let line = [b"203.0.113.7,", hop, behind.as_bytes()].concat();
            let lines = [("x-forwarded-for", &line[..])];
            let seen = client_of_bytes(AddressHeader::XForwardedFor, "10.0.0.1:1", lines);
            assert_eq!(seen, "unknown", "{}", String::from_utf8_lossy(&line));
        }
    }
    for behind in [
        "",
        ", for=10.0.0.2",
        ",for=10.0.0.2;proto=http,for=\"10.0.0.3\"",
    ] {
        for hop in [
            "for=\"198.51.100.1",
            "for=198.51.100.1\"",
            "for=19\"8.51.100.1\"",
            "for=\"198.51.100.1\"x",
            "for=\"198.51.100.1\\\"",
            "for=\"\"198.51.100.1",
            "for=198.51.100.1;by=\"",
            "for=198.51.100.1;by=a\"b\"",
            "for=198.51.100.1;host=a b",
            "for=198.51.100.1;host=",
            "for=198.51.100.1;host",
            "for=198.51.100.1;=",
            "for=198.51.100.1;FOR=198.51.100.1",
            "for = 198.51.100.1",
            "for=",
            "for=\"\"",
            "for=\"_x\"",
            "for=_x:80",
            "for=unknown",
            "by=198.51.100.1",
            "",
            ";",
        ] {
            let line = format!("for=203.0.113.7,{hop}{behind}");
            let seen = client(
                AddressHeader::Forwarded,
                "10.0.0.1:1",
                &[("forwarded", &line)],
            );
            assert_eq!(seen, "unknown", "{line}");
        }
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

fn scheme(
    header: AddressHeader,
    peer: &str,
    own: Scheme,
    lines: &[(&'static str, &str)],
) -> Scheme {
    let neighbours = Neighbours {
        trusted: vec!["10.0.0.0/8".parse().unwrap()],
        header,
    };
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    neighbours.scheme(Peer::Socket(peer.parse().unwrap()), &headers, own)
}

#[test]
fn a_listed_neighbour_says_how_the_viewer_asks() {
    use AddressHeader::{Forwarded, XForwardedFor};
    use Scheme::{Http, Https};
    const FOR: (&str, &str) = ("x-forwarded-for", "1.2.3.4");
    let proto = |value| ("x-forwarded-proto", value);
    let forwarded = |value| ("forwarded", value);
    let cases = [
        (XForwardedFor, vec![FOR, proto("https")], Some(Https)),
        (XForwardedFor, vec![FOR, proto(" HTTPS ")], Some(Https)),
        (XForwardedFor, vec![FOR, proto("http")], Some(Http)),
        // The viewer's stands in front.
        (XForwardedFor, vec![FOR, proto("http, https")], Some(Https)),
        (
            XForwardedFor,
            vec![FOR, proto("http"), proto("https")],
            Some(Https),
        ),
        (
            XForwardedFor,
            vec![FOR, proto("\u{fc}\","), proto("https")],
            Some(Https),
        ),
        (XForwardedFor, vec![FOR, proto("https,wss")], None),
        (XForwardedFor, vec![FOR, proto("https,")], None),
        (XForwardedFor, vec![FOR], None),
        (
            XForwardedFor,
            vec![forwarded("for=1.2.3.4;proto=https")],
            None,
        ),
        (
            Forwarded,
            vec![forwarded("for=1.2.3.4;proto=https")],
            Some(Https),
        ),
        (
            Forwarded,
            vec![forwarded("proto=\"HttpS\" ; for=1.2.3.4")],
            Some(Https),
        ),
        (
            Forwarded,
            vec![forwarded("for=1.2.3.4;proto=http")],
            Some(Http),
        ),
        // That of the hop which names the viewer, past listed ones, and nothing in front of it.
        (
            Forwarded,
            vec![forwarded(
                "for=9.9.9.9;proto=http, for=1.2.3.4;proto=https, for=10.0.0.2;proto=http",
            )],
            Some(Https),
        ),
        (
            Forwarded,
            vec![
                forwarded("for=1.2.3.4;proto=http;by=\""),
                forwarded("for=1.2.3.4;proto=https"),
            ],
            Some(Https),
        ),
        (
            Forwarded,
            vec![forwarded("for=9.9.9.9;proto=https, for=1.2.3.4")],
            None,
        ),
        (
            Forwarded,
            vec![forwarded("for=1.2.3.4;proto=https;proto=https")],
            None,
        ),
        (Forwarded, vec![forwarded("for=1.2.3.4;proto=wss")], None),
        (Forwarded, vec![FOR, proto("https")], None),
        (AddressHeader::None, vec![FOR, proto("https")], None),
    ];
    for (header, lines, told) in cases {
        for own in [Http, Https] {
            let seen = scheme(header, "10.0.0.1:1", own, &lines);
            assert_eq!(seen, told.unwrap_or(own), "{lines:?}");
            let unlisted = scheme(header, "11.0.0.1:1", own, &lines);
            assert_eq!(unlisted, own, "{lines:?}");
        }
    }
    let headers = HeaderMap::from_iter([(X_FORWARDED_PROTO, HeaderValue::from_static("https"))]);
    let neighbours = Neighbours {
        trusted: vec!["10.0.0.0/8".parse().unwrap()],
        header: XForwardedFor,
    };
    for proxied in [None, Some("10.0.0.1:1".parse().unwrap())] {
        let seen = neighbours.scheme(Peer::Proxied(proxied), &headers, Http);
        assert_eq!(seen, Http);
    }
}
