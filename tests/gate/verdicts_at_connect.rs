//! Every row of the decision table, at connect: the code that a player reads, and that a refused viewer never causes a
//! connection to a media server.

use h5gate::token::{AtExpiry, Grant, Scope, Security, UnixSeconds};

use crate::support::gate::{Gate, Setup, grant, mint, now};
use crate::support::media_server::MediaServer;
use crate::support::until;
use crate::support::viewer::{Viewer, query};

const ONE: &str = "abcde-one";

/// A grant for the usual stream, changed.
fn changed(change: impl FnOnce(&mut Grant)) -> Security {
    let mut grant = grant(ONE);
    change(&mut grant);
    mint(&grant)
}

fn good() -> Security {
    changed(|_| {})
}

/// A query with one piece replaced.
fn replaced(from: &str, to: &str) -> String {
    let query = query(ONE, &good());
    assert!(query.contains(from), "{from} in {query}");
    query.replacen(from, to, 1)
}

fn without(key: &str) -> String {
    let query = query(ONE, &good());
    let rest: Vec<_> = query
        .split('&')
        .filter(|pair| pair.split('=').next() != Some(key))
        .collect();
    rest.join("&")
}

fn refusals() -> Vec<(&'static str, u16, String)> {
    let expired = |security: &mut Grant| security.expires = Some(UnixSeconds::new(now() - 1));
    let signature = |security: &Security| {
        let mut token = security.token.clone();
        let last = if token.pop() == Some('A') { 'B' } else { 'A' };
        // The fourth-last character carries whole bits of the MAC.
        token.replace_range(
            token.len() - 3..token.len() - 2,
            if token.ends_with("xxx") { "y" } else { "x" },
        );
        Security {
            token: format!("{token}{last}"),
            ..security.clone()
        }
    };
    let masked = |options: &str| {
        query(
            ONE,
            &Security {
                options: options.to_owned(),
                ..good()
            },
        )
    };
    let long_stream = "s".repeat(129);
    vec![
        ("no stream", 4400, without("stream")),
        (
            "an empty stream",
            4400,
            replaced("stream=abcde-one", "stream="),
        ),
        (
            "a stream that is no name",
            4400,
            replaced("stream=abcde-one", "stream=a%2Fb"),
        ),
        (
            "a stream of dots",
            4400,
            replaced("stream=abcde-one", "stream=.."),
        ),
        (
            "a stream with a NUL",
            4400,
            replaced("stream=abcde-one", "stream=abcde-one%00"),
        ),
        (
            "a stream that is too long",
            4400,
            replaced("abcde-one", &long_stream),
        ),
        ("no url", 4400, without("url")),
        (
            "a url that is not configured",
            4400,
            replaced("localhost%2Fplay", "evil.test%2Fplay"),
        ),
        (
            "two streams",
            4400,
            format!("{}&stream=abcde-two", query(ONE, &good())),
        ),
        (
            "the same stream twice",
            4400,
            format!("{}&stream=abcde-one", query(ONE, &good())),
        ),
        (
            "two urls",
            4400,
            format!("{}&url=rtmp%3A%2F%2Flocalhost%2Fsplay", query(ONE, &good())),
        ),
        (
            "a stream in other letter case",
            4400,
            format!("{}&Stream=abcde-two", query(ONE, &good())),
        ),
        (
            "a stream as a list",
            4400,
            format!("{}&stream%5B%5D=abcde-two", query(ONE, &good())),
        ),
        (
            "a tag in other letter case",
            4400,
            format!("{}&TAG=x", query(ONE, &good())),
        ),
        (
            "expires twice",
            4400,
            format!("{}&expires=1", query(ONE, &good())),
        ),
        (
            "options twice",
            4400,
            format!("{}&options=0", query(ONE, &good())),
        ),
        (
            "two tokens of ours",
            4400,
            format!("{}&token=h1.a.b.c", query(ONE, &good())),
        ),
        (
            "two jwtokens",
            4400,
            format!("{}&jwtoken=a&jwtoken=b", query(ONE, &good())),
        ),
        (
            "a broken escape",
            4400,
            format!("{}&x=%zz", query(ONE, &good())),
        ),
        ("no UTF-8", 4400, format!("{}&x=%ff", query(ONE, &good()))),
        (
            "a line end",
            4400,
            format!("{}&x=%0d%0a", query(ONE, &good())),
        ),
        (
            "no security at all",
            4903,
            query(
                ONE,
                &Security {
                    token: String::new(),
                    options: String::new(),
                    expires: String::new(),
                    tag: String::new(),
                },
            ),
        ),
        ("no token", 4903, without("token")),
        ("no options", 4903, without("options")),
        ("no expires though options say it", 4903, without("expires")),
        (
            "a jwtoken alone",
            4903,
            format!("{}&jwtoken=eyJhbGciOiJFZERTQSJ9.e30.x", without("token")),
        ),
        ("expired", 4903, query(ONE, &changed(expired))),
        (
            "not yet valid",
            4903,
            query(
                ONE,
                &changed(|g| g.not_before = Some(UnixSeconds::new(now() + 600))),
            ),
        ),
        (
            "expired and of another page",
            4903,
            query(
                ONE,
                &changed(|g| {
                    expired(g);
                    g.referers = vec!["page.test".parse().unwrap()];
                }),
            ),
        ),
        (
            "a malformed token",
            4901,
            replaced("token=h1.", "token=h1.."),
        ),
        (
            "a token of another kind alone",
            4901,
            replaced("token=h1.", "token=x1."),
        ),
        (
            "a malformed token and no options",
            4901,
            without("options").replace("token=h1.", "token=h1.."),
        ),
        ("options with a leading zero", 4901, masked("01")),
        ("options with a plus", 4901, masked("+1")),
        ("options of 2^32 + 1", 4901, masked("4294967297")),
        ("options with an unknown bit", 4901, masked("33")),
        (
            "options masked down",
            4901,
            without("expires").replace("options=1", "options=0"),
        ),
        ("expires moved", 4901, replaced("expires=1", "expires=2")),
        (
            "expires in 25 digits",
            4901,
            replaced("expires=1", "expires=1000000000000000"),
        ),
        (
            "expires negative",
            4901,
            replaced("expires=1", "expires=-1"),
        ),
        (
            "a tag that was not signed",
            4901,
            format!("{}&tag=x", query(ONE, &good())),
        ),
        ("a wrong signature", 4901, query(ONE, &signature(&good()))),
        (
            "an unknown key",
            4901,
            replaced("token=h1.abcde-1.", "token=h1.abcde-2."),
        ),
        ("another stream", 4901, query("abcde-two", &good())),
        (
            "a stream in other letter case",
            4901,
            query("abcde-One", &good()),
        ),
        (
            "another organisation's stream",
            4901,
            query("fghij-one", &good()),
        ),
        (
            "another organisation's token",
            4901,
            query(
                ONE,
                &mint(&{
                    let mut g = grant("fghij-one");
                    g.scope = Scope::Organisation("fghij".parse().unwrap());
                    g
                }),
            ),
        ),
        (
            "another page",
            4901,
            query(
                ONE,
                &changed(|g| g.referers = vec!["other.test".parse().unwrap()]),
            ),
        ),
        (
            "another address",
            4901,
            query(
                ONE,
                &changed(|g| g.addresses = vec!["192.0.2.1".parse().unwrap()]),
            ),
        ),
        (
            "a lifetime of milliseconds",
            4901,
            query(
                ONE,
                &changed(|g| g.expires = Some(UnixSeconds::new((now() + 60) * 1000))),
            ),
        ),
    ]
}

#[test]
fn every_refusal_has_its_code_a_receipt_and_no_upstream() {
    let server = MediaServer::echo();
    let gate = Gate::before(server.address);
    let rows = refusals();
    assert!(rows.len() >= 45, "{} rows", rows.len());
    for (what, code, query) in &rows {
        let mut viewer = Viewer::open(gate.playback, query, &["Origin: https://page.test"]);
        assert_eq!(viewer.status(), 101, "{what}");
        let receipt = viewer.header("x-h5gate-receipt").unwrap().to_owned();
        assert_eq!(receipt.len(), 10, "{what}");
        assert!(
            receipt
                .bytes()
                .all(|b| b"0123456789ABCDEFGHJKMNPQRSTVWXYZ".contains(&b)),
            "{receipt}"
        );
        assert_eq!(
            viewer.closed(),
            (*code, format!("code {code} {receipt}")),
            "{what}"
        );
    }
    assert_eq!(
        server.heads(),
        Vec::<String>::new(),
        "a refused viewer must not reach the media server"
    );
    let refused = || {
        gate.log()
            .iter()
            .filter(|line| line["message"] == "playback refused")
            .count()
    };
    until("one line for each refusal", || {
        (refused() >= rows.len()).then_some(())
    });
    assert_eq!(refused(), rows.len());
}

#[test]
fn a_denial_records_every_rule_that_failed_and_tells_the_player_one() {
    let gate = Gate::start(&Setup {
        servers: vec![MediaServer::echo().address],
        ..Setup::default()
    });
    let security = changed(|g| {
        g.expires = Some(UnixSeconds::new(now() - 1));
        g.referers = vec!["page.test".parse().unwrap()];
        g.addresses = vec!["192.0.2.1".parse().unwrap()];
    });
    let mut viewer = Viewer::open(
        gate.playback,
        &query("abcde-two", &security),
        &["Origin: https://other.test"],
    );
    let (code, reason) = viewer.closed();
    assert_eq!(code, 4903);
    let line = gate.logged("playback refused");
    assert!(reason.ends_with(line["receipt"].as_str().unwrap()));
    let detail = line["detail"].as_str().unwrap();
    for part in ["expired", "stream abcde-two", "other.test", "127.0.0.1"] {
        assert!(detail.contains(part), "{part} in {detail}");
    }
}

#[test]
fn a_granted_playback_is_a_wire() {
    let server = MediaServer::echo();
    let gate = Gate::before(server.address);
    let grants = [
        changed(|_| {}),
        changed(|g| g.expires = None),
        changed(|g| g.tag = "customer-7".parse().unwrap()),
        changed(|g| g.scope = Scope::Organisation("abcde".parse().unwrap())),
        changed(|g| {
            g.scope = Scope::Streams(["abcde-two", ONE].map(|s| s.parse().unwrap()).to_vec());
        }),
        changed(|g| g.referers = vec!["page.site.test".parse().unwrap()]),
        changed(|g| g.referers = vec!["*.site.test".parse().unwrap()]),
        changed(|g| g.addresses = vec!["127.0.0.0/8".parse().unwrap()]),
        changed(|g| g.at_expiry = AtExpiry::Cut),
    ];
    for security in grants {
        let mut viewer = Viewer::open(
            gate.playback,
            &query(ONE, &security),
            &["Origin: https://page.site.test:8443"],
        );
        assert_eq!(
            (viewer.status(), viewer.header("x-h5gate-receipt")),
            (101, None)
        );
        assert_eq!(viewer.hear(), "hello");
        viewer.say(r#"{"eventType":"onPlay","onPlay":{},"requestId":1}"#);
        let heard: serde_json::Value =
            serde_json::from_str(viewer.hear().strip_prefix("echo:").unwrap()).unwrap();
        assert_eq!(
            heard,
            serde_json::json!({"eventType":"onPlay","onPlay":{},"requestId":1})
        );
        viewer.send(0x8, &1000_u16.to_be_bytes());
        assert_eq!(viewer.receive().unwrap().payload, 1000_u16.to_be_bytes());
        assert_eq!(viewer.receive(), None);
    }
}

#[test]
fn a_check_is_answered_by_the_gate_alone() {
    let server = MediaServer::echo();
    let gate = Gate::before(server.address);
    let check = |query: &str| {
        Viewer::open(
            gate.playback,
            &format!("{query}&flags=faststart%2Ccheckandclose"),
            &[],
        )
        .closed()
        .0
    };
    assert_eq!(check(&query(ONE, &good())), 4200);
    assert_eq!(check(&query("abcde-two", &good())), 4901);
    assert_eq!(check(&without("stream")), 4400);
    // The probe of 5.x players for a security service: no token, no cid; not counted as a refusal.
    let before = gate.metric(
        "h5gate_verdicts_total{verdict=\"refused\",reason=\"token_missing\",code=\"4903\"}",
    );
    assert_eq!(
        check("stream=abcde-one&url=rtmp%3A%2F%2Flocalhost%2Fplay"),
        4903
    );
    assert_eq!(
        gate.metric(
            "h5gate_verdicts_total{verdict=\"refused\",reason=\"token_missing\",code=\"4903\"}"
        ),
        before
    );
    assert_eq!(
        gate.metric(
            "h5gate_verdicts_total{verdict=\"probe\",reason=\"token_missing\",code=\"4903\"}"
        ),
        1.0
    );
    assert_eq!(server.heads(), Vec::<String>::new());
    assert_eq!(gate.metric("h5gate_sessions"), 0.0);
}

#[test]
fn a_legacy_token_beside_ours_is_no_obstacle_and_travels_on() {
    let server = MediaServer::echo();
    let gate = Gate::before(server.address);
    let mut viewer = Viewer::open(
        gate.playback,
        &format!("token=legacy%2B1&{}", query(ONE, &good())),
        &[],
    );
    assert_eq!(viewer.hear(), "hello");
    let head = server.first_head();
    assert!(
        head.lines().next().unwrap().contains("token=legacy%2B1&"),
        "{head}"
    );
    assert!(!head.contains("h1."), "{head}");
}

#[test]
fn a_refusal_can_be_an_http_status() {
    let server = MediaServer::echo();
    let tables = "[refusal]\nwebsocket = \"http-status\"";
    let gate = Gate::start(&Setup {
        servers: vec![server.address],
        tables,
        ..Setup::default()
    });
    for (query, status, code) in [
        (without("token"), 403, 4903),
        (query("abcde-two", &good()), 403, 4901),
        (without("url"), 400, 4400),
    ] {
        let viewer = Viewer::open(gate.playback, &query, &[]);
        assert_eq!(viewer.status(), status);
        assert_eq!(viewer.header("access-control-allow-origin"), Some("*"));
        assert_eq!(viewer.header("cache-control"), Some("no-store"));
        let receipt = viewer.header("x-h5gate-receipt").unwrap().to_owned();
        let mut body = String::new();
        let length: u64 = viewer.header("content-length").unwrap().parse().unwrap();
        std::io::Read::read_to_string(&mut std::io::Read::take(&viewer.socket, length), &mut body)
            .unwrap();
        assert_eq!(
            body,
            format!("{{\"code\":{code},\"receipt\":\"{receipt}\"}}")
        );
    }
    assert_eq!(
        Viewer::open(gate.playback, &query(ONE, &good()), &[]).hear(),
        "hello"
    );
}
