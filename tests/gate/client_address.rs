//! Whose word on the viewer's address is believed, with the running gate.

use std::io::Write as _;

use crate::support::gate::{Gate, Setup, grant, mint};
use crate::support::media_server::{MediaServer, header};
use crate::support::viewer::{Viewer, connect, handshake, query};

/// A query whose token is bound to an address.
fn bound_to(address: &str) -> String {
    let mut bound = grant("abcde-one");
    bound.addresses = vec![address.parse().unwrap()];
    query("abcde-one", &mint(&bound))
}

fn gate(client: &str, listener: &str, server: &MediaServer) -> Gate {
    Gate::start(&Setup {
        servers: vec![server.address],
        tables: client,
        listener,
        ..Setup::default()
    })
}

fn plays(gate: &Gate, query: &str, headers: &[&str]) -> bool {
    let mut viewer = Viewer::open(gate.playback, query, headers);
    let frame = viewer.receive().unwrap();
    match frame.opcode {
        0x1 => true,
        _ => {
            assert_eq!(frame.payload[..2], 4901_u16.to_be_bytes());
            false
        }
    }
}

#[test]
fn without_listed_neighbours_every_header_is_forged() {
    let gate = gate("", "", &MediaServer::echo());
    let forged = [
        "X-Forwarded-For: 192.0.2.9",
        "Forwarded: for=192.0.2.9",
        "X-Real-IP: 192.0.2.9",
        "X_Forwarded_For: 192.0.2.9",
    ];
    assert!(!plays(&gate, &bound_to("192.0.2.9"), &forged));
    assert!(plays(&gate, &bound_to("127.0.0.1"), &forged));
}

#[test]
fn a_listed_neighbour_tells_the_address_and_it_goes_upstream() {
    let server = MediaServer::echo();
    let gate = gate("[client]\ntrusted_proxies = [\"127.0.0.0/8\"]", "", &server);
    assert!(plays(
        &gate,
        &bound_to("192.0.2.9"),
        &["X-Forwarded-For: 1.2.3.4, 192.0.2.9"]
    ));
    assert_eq!(
        header(&server.first_head(), "x-forwarded-for"),
        Some("192.0.2.9")
    );
    assert!(!plays(
        &gate,
        &bound_to("1.2.3.4"),
        &["X-Forwarded-For: 1.2.3.4, 192.0.2.9"]
    ));
    assert!(!plays(
        &gate,
        &bound_to("192.0.2.9"),
        &["Forwarded: for=192.0.2.9"]
    ));
    assert!(
        !plays(&gate, &bound_to("127.0.0.1"), &[]),
        "missing is unknown"
    );
    assert!(!plays(
        &gate,
        &bound_to("127.0.0.1"),
        &["X-Forwarded-For: unknown"]
    ));
    let unbound = query("abcde-one", &mint(&grant("abcde-one")));
    assert!(plays(&gate, &unbound, &[]));
    assert_eq!(
        header(server.heads().last().unwrap(), "x-forwarded-for"),
        None,
        "unknown is not written"
    );
}

#[test]
fn forwarded_is_read_where_it_is_configured() {
    let client = "[client]\ntrusted_proxies = [\"127.0.0.1\"]\nheader = \"forwarded\"";
    let gate = gate(client, "", &MediaServer::echo());
    assert!(plays(
        &gate,
        &bound_to("2001:db8::9"),
        &["Forwarded: for=\"[2001:db8::9]:4711\";proto=https"]
    ));
    assert!(!plays(
        &gate,
        &bound_to("192.0.2.9"),
        &["X-Forwarded-For: 192.0.2.9"]
    ));
}

#[test]
fn what_a_viewer_sends_does_not_hide_what_its_front_adds() {
    let server = MediaServer::echo();
    for (header, name, viewers, added) in [
        (
            "x-forwarded-for",
            "X-Forwarded-For",
            &b"\xff"[..],
            "192.0.2.9",
        ),
        (
            "x-forwarded-for",
            "X-Forwarded-For",
            b"203.0.113.7, \xc3\xa9",
            "192.0.2.9",
        ),
        (
            "forwarded",
            "Forwarded",
            b"for=203.0.113.7;by=\"",
            "for=192.0.2.9",
        ),
        (
            "forwarded",
            "Forwarded",
            b"for=203.0.113.7;by=\"\\\"\"",
            "for=192.0.2.9",
        ),
        (
            "forwarded",
            "Forwarded",
            b"for=203.0.113.7;by=\"\\",
            "for=192.0.2.9;host=\"a\"",
        ),
    ] {
        let client = "[client]\ntrusted_proxies = [\"127.0.0.1\"]\nheader = ";
        let gate = gate(&format!("{client}\"{header}\""), "", &server);
        for between in [", ".to_owned(), format!("\r\n{name}: ")] {
            for (address, opcode) in [("192.0.2.9", 0x1), ("203.0.113.7", 0x8)] {
                let target = format!("/h5live/authstream?{}", bound_to(address));
                let head = handshake(&target, &[&format!("{name}: <>{between}{added}")]);
                let (before, behind) = head.split_once("<>").unwrap();
                let mut socket = connect(gate.playback);
                let request = [before.as_bytes(), viewers, behind.as_bytes()].concat();
                socket.write_all(&request).unwrap();
                let frame = Viewer::answered(socket).receive().unwrap();
                assert_eq!(frame.opcode, opcode, "{address} for {head}");
            }
        }
    }
}

/// Opens a playback behind a PROXY header; `None` when the gate closed without a word.
fn proxied(gate: &Gate, proxy: &[u8], query: &str) -> Option<u8> {
    let mut socket = connect(gate.playback);
    let request = handshake(
        &format!("/h5live/authstream?{query}"),
        &["X-Forwarded-For: 203.0.113.1"],
    );
    socket.write_all(proxy).unwrap();
    let _ = socket.write_all(request.as_bytes());
    let head = crate::support::media_server::read_head(&mut socket)?;
    Some(Viewer { socket, head }.receive()?.opcode)
}

/// A version 2 header: TCP over IPv4 from this address, with an extension behind it, as fronts add them.
fn version_2(command: u8, address: [u8; 4]) -> Vec<u8> {
    version_2_with(command, address, &[0x04, 0, 1, 0])
}

fn version_2_with(command: u8, address: [u8; 4], extension: &[u8]) -> Vec<u8> {
    let addresses = [
        &address[..],
        &[10, 0, 0, 1],
        &4711_u16.to_be_bytes(),
        &80_u16.to_be_bytes(),
    ]
    .concat();
    let length = u16::try_from(addresses.len() + extension.len())
        .unwrap()
        .to_be_bytes();
    [
        &b"\r\n\r\n\0\r\nQUIT\n"[..],
        &[0x20 | command, 0x11],
        &length,
        &addresses,
        extension,
    ]
    .concat()
}

#[test]
fn the_proxy_protocol_tells_the_address_and_no_header_does() {
    let client = "[client]\ntrusted_proxies = [\"127.0.0.1\"]";
    let gate = gate(client, "proxy_protocol = true", &MediaServer::echo());
    let bound = bound_to("192.0.2.9");
    assert_eq!(
        proxied(&gate, b"PROXY TCP4 192.0.2.9 10.0.0.1 4711 80\r\n", &bound),
        Some(0x1)
    );
    assert_eq!(
        proxied(&gate, &version_2(1, [192, 0, 2, 9]), &bound),
        Some(0x1)
    );
    assert_eq!(
        proxied(&gate, b"PROXY TCP4 192.0.2.8 10.0.0.1 4711 80\r\n", &bound),
        Some(0x8)
    );
    assert_eq!(
        proxied(&gate, b"PROXY UNKNOWN\r\n", &bound),
        Some(0x8),
        "unknown refuses a bound token"
    );
    assert_eq!(
        proxied(
            &gate,
            b"PROXY TCP4 203.0.113.1 10.0.0.1 4711 80\r\n",
            &bound_to("203.0.113.1")
        ),
        Some(0x1)
    );
    let six = b"PROXY TCP6 2001:db8::9 2001:db8::1 4711 80\r\n";
    assert_eq!(proxied(&gate, six, &bound_to("2001:db8::9")), Some(0x1));
}

#[test]
fn what_is_no_proxy_header_is_closed_without_a_word() {
    let server = MediaServer::echo();
    let client = "[client]\ntrusted_proxies = [\"127.0.0.1\"]";
    let gate = gate(client, "proxy_protocol = true", &server);
    let unbound = query("abcde-one", &mint(&grant("abcde-one")));
    for proxy in [
        &b""[..],
        b"PROXY TCP4 192.0.2.9\r\n",
        b"PROXY TCP4 999.0.2.9 10.0.0.1 4711 80\r\n",
        &[b'P'; 200],
        b"PROXY UNKNOWN".repeat(20).as_slice(),
        b"\r\n\r\n\0\r\nQUIT\n\xff\x11\0\0",
    ] {
        assert_eq!(proxied(&gate, proxy, &unbound), None, "{proxy:?}");
    }
    assert_eq!(server.heads(), Vec::<String>::new());
}

#[test]
fn a_proxy_header_of_an_unlisted_peer_is_closed_without_a_word() {
    let client = "[client]\ntrusted_proxies = [\"192.0.2.1\"]";
    let gate = gate(client, "proxy_protocol = true", &MediaServer::echo());
    let unbound = query("abcde-one", &mint(&grant("abcde-one")));
    assert_eq!(
        proxied(
            &gate,
            b"PROXY TCP4 192.0.2.9 10.0.0.1 4711 80\r\n",
            &unbound
        ),
        None
    );
}

/// What a media server hears of how the viewer asks.
fn scheme(client: &str, listener: &str, proxy: &[u8], headers: &[&str]) -> String {
    let server = MediaServer::echo();
    let gate = gate(client, listener, &server);
    let mut socket = connect(gate.playback);
    socket.write_all(proxy).unwrap();
    let target = format!(
        "/h5live/authstream?{}",
        query("abcde-one", &mint(&grant("abcde-one")))
    );
    socket
        .write_all(handshake(&target, headers).as_bytes())
        .unwrap();
    assert_eq!(Viewer::answered(socket).hear(), "hello");
    header(&server.first_head(), "x-forwarded-proto")
        .unwrap()
        .to_owned()
}

#[test]
fn a_front_that_ends_tls_tells_the_media_server_so() {
    let listed = "[client]\ntrusted_proxies = [\"127.0.0.1\"]\n";
    let by_forwarded = format!("{listed}header = \"forwarded\"");
    let address = "X-Forwarded-For: 192.0.2.9";
    for (client, headers, told) in [
        (listed, &[address, "X-Forwarded-Proto: https"], "https"),
        (
            listed,
            &[address, "X-Forwarded-Proto: http, HTTPS"],
            "https",
        ),
        (listed, &[address, "X-Forwarded-Proto: gopher"], "http"),
        (
            &by_forwarded,
            &[
                "Forwarded: for=1.2.3.4;proto=http",
                "Forwarded: for=192.0.2.9;proto=https",
            ],
            "https",
        ),
        (
            &by_forwarded,
            &["Forwarded: for=192.0.2.9", "X-Forwarded-Proto: https"],
            "http",
        ),
        ("", &[address, "X-Forwarded-Proto: https"], "http"),
    ] {
        assert_eq!(scheme(client, "", b"", headers), told, "{headers:?}");
    }
    let ssl = |flags| [0x20, 0, 5, flags, 0, 0, 0, 0];
    for (extension, told) in [
        (&ssl(0x01)[..], "https"),
        (&[&[0x04, 0, 1, 0][..], &ssl(0x07)].concat(), "https"),
        (&ssl(0x06), "http"),
        (&[0x20, 0, 0], "http"),
        (&[0x04, 0, 1, 0], "http"),
    ] {
        let proxy = version_2_with(1, [192, 0, 2, 9], extension);
        let heard = scheme(
            listed,
            "proxy_protocol = true",
            &proxy,
            &["X-Forwarded-Proto: https"],
        );
        assert_eq!(heard, told, "{extension:?}");
    }
}
