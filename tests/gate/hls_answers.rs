//! What every answer over HTTP says, whatever it is and whoever it comes from, and how its operator finds it again.

use crate::support::gate::{Gate, grant};
use crate::support::hls::{HERE, ask, entry, gate_with, outcome, play, server, session};
use crate::support::http_server::{HttpServer, Page};
use crate::support::media_server::header;
use crate::support::until;
use crate::support::viewer::{Answer, get, request};

const SEGMENT: &str = "/hls/abcde-one/low/1.ts";

/// What a media server says of itself and to pages: nobody's business behind the gate.
const FOREIGN: &str = "Access-Control-Allow-Origin: https://evil.test\r\n\
                       Access-Control-Allow-Credentials: true\r\n\
                       Access-Control-Expose-Headers: X-Secret\r\n\
                       Alt-Svc: h3=\":443\"\r\nServer: media/1\r\nX-Secret: 1\r\n";

fn says(server: &HttpServer, status: u16, fields: &str, body: &[u8]) {
    let page = Page {
        status,
        fields: format!("Content-Type: video/mp2t\r\nETag: \"tag\"\r\n{FOREIGN}{fields}"),
        body: body.to_vec(),
    };
    server.set(SEGMENT, page);
}

/// All values of a header.
fn all<'a>(answer: &'a Answer, name: &str) -> Vec<&'a str> {
    let fields = answer.head.lines().filter_map(|line| line.split_once(':'));
    let named = fields.filter(|(key, _)| key.eq_ignore_ascii_case(name));
    named.map(|(_, value)| value.trim()).collect()
}

fn is_for_any_page(what: &str, answer: &Answer) {
    assert_eq!(all(answer, "access-control-allow-origin"), ["*"], "{what}");
    let exposed = all(answer, "access-control-expose-headers");
    assert_eq!(exposed.len(), 1, "{what}");
    assert!(
        exposed[0].contains("X-H5gate-Receipt"),
        "{what}: {exposed:?}"
    );
    for foreign in [
        "access-control-allow-credentials",
        "alt-svc",
        "server",
        "set-cookie",
        "x-secret",
    ] {
        assert!(all(answer, foreign).is_empty(), "{what}: {answer:?}");
    }
    assert!(!answer.head.contains("evil.test"), "{what}: {answer:?}");
}

#[test]
fn what_is_wrong_with_a_request_is_its_viewers_and_says_nothing_against_the_server() {
    let server = server();
    // What the media server says, what the viewer gets, and when both say to come back.
    let table = [
        (400, "", 400, None),
        (401, "", 502, None),
        (403, "", 502, None),
        (404, "", 404, None),
        (405, "", 405, None),
        (407, "", 502, None),
        (408, "", 408, None),
        (410, "", 410, None),
        (414, "", 414, None),
        (416, "", 416, None),
        (421, "", 502, None),
        (429, "", 429, None),
        (429, "Retry-After: 7\r\n", 429, Some("7")),
        (429, "Retry-After: -7\r\n", 429, None),
        (451, "", 451, None),
        (503, "", 502, None),
        (503, "Retry-After: 8\r\n", 502, Some("8")),
    ];
    for tables in ["", "[hls]\ncache = false"] {
        let gate = gate_with(server.address, tables);
        for (status, fields, expected, after) in table {
            says(&server, 200, "Set-Cookie: a=b\r\n", b"film");
            let (_, _, segments) = play(&gate, &entry(&grant("abcde-one"), "1"));
            says(&server, status, fields, b"");
            let answer = ask(&gate, &segments[0]);
            let what = format!("{status} {fields:?} {tables:?}");
            assert_eq!(answer.status, expected, "{what}: {answer:?}");
            let told = all(&answer, "retry-after");
            assert_eq!(told, after.into_iter().collect::<Vec<_>>(), "{what}");
            is_for_any_page(&what, &answer);
        }
        let failed = || {
            let mut log = gate.log();
            log.retain(|line| line["message"] == "media server failed");
            log.len()
        };
        // The 503s alone, which come last, whatever a cached answer says.
        until("the lines of the 503s", || (failed() >= 2).then_some(()));
        assert_eq!(failed(), 2, "{tables:?}");
    }
}

#[test]
fn every_answer_is_for_any_page_and_says_nothing_of_the_media_server() {
    let server = server();
    let unchanged = ["If-None-Match: \"tag\""];
    let cookie = "Set-Cookie: a=b\r\n";
    // What the media server says, what the viewer asks with, and what it gets; the cache has a say in each.
    type Row<'a> = (&'a str, u16, &'a str, &'a [&'a str], u16);
    let table: [Row<'_>; 8] = [
        ("for all", 200, "", &[], 200),
        ("for one", 200, cookie, &[], 200),
        ("known already", 200, "", &unchanged, 304),
        ("known to the media server", 304, cookie, &unchanged, 304),
        ("gone", 404, cookie, &[], 404),
        ("refused there", 403, cookie, &[], 502),
        ("failed", 500, cookie, &[], 502),
        ("beyond", 416, cookie, &["Range: bytes=99-"], 416),
    ];
    for tables in ["[hls]\ncache_segment = \"1h\"", "[hls]\ncache = false"] {
        for (what, status, fields, asking, expected) in table {
            if what == "known already" && tables.ends_with("false") {
                continue;
            }
            let what = format!("{what}, {tables}");
            says(
                &server,
                status,
                fields,
                if status == 200 { b"film" } else { b"" },
            );
            let gate = gate_with(server.address, tables);
            let (_, _, segments) = play(&gate, &entry(&grant("abcde-one"), "1"));
            let answer = get(gate.playback, &segments[0], &[&[HERE], asking].concat());
            assert_eq!(answer.status, expected, "{what}: {answer:?}");
            is_for_any_page(&what, &answer);
        }
    }
    let gate = gate_with(server.address, "");
    let entry = entry(&grant("abcde-one"), "1");
    let (ticket, media, segments) = play(&gate, &entry);
    for (what, path, status) in [
        ("the first playlist", &entry, 200),
        ("a playlist", &media, 200),
        (
            "a token that is none",
            &entry.replace("token=h1", "token=h2"),
            403,
        ),
        ("a ticket that is none", &media.replace(&ticket, "~x"), 403),
        (
            "a link that is none",
            &segments[0].replace("1.ts", "3.ts"),
            403,
        ),
        ("no stream", &entry.replace("&stream=", "&x="), 400),
    ] {
        let answer = ask(&gate, path);
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        is_for_any_page(what, &answer);
    }
}

/// The log line of a refusal's receipt.
fn told(gate: &Gate, answer: &Answer) -> serde_json::Value {
    let receipt = header(&answer.head, "x-h5gate-receipt").unwrap();
    assert_eq!(receipt.len(), 10, "{receipt}");
    until(&format!("the receipt {receipt} in the log"), || {
        let log = gate.log();
        log.into_iter().find(|line| line["receipt"] == receipt)
    })
}

#[test]
fn the_receipt_of_a_refusal_stands_in_the_log() {
    let server = server();
    let gate = gate_with(server.address, "");
    let entry = entry(&grant("abcde-one"), "1");
    let (ticket, media, segments) = play(&gate, &entry);
    for (path, expected) in [
        (entry.replace("options=1", "options=0"), (403, 4901)),
        (entry.replace("&token=", "&x="), (403, 4903)),
        (entry.replace("&stream=", "&x="), (400, 4400)),
        (media.replace(&ticket, "~x"), (403, 4901)),
        (segments[0].replace("1.ts", "3.ts"), (403, 4901)),
    ] {
        let refused = ask(&gate, &path);
        assert_eq!(outcome(&refused), expected, "{path}");
        let line = told(&gate, &refused);
        assert_eq!(line["message"], "playback refused");
        assert_eq!(line["code"], expected.1);
        assert_eq!(line["address"], "192.0.2.1");
    }
    says(&server, 500, "", b"");
    let failed = ask(&gate, &segments[0]);
    assert_eq!(failed.status, 502);
    let line = told(&gate, &failed);
    assert_eq!(line["message"], "no media for a request");

    let path = format!("/api/sessions/{}", session(&ticket));
    assert_eq!(request(gate.admin, "DELETE", &path, &[], "").status, 200);
    let over = ask(&gate, &media);
    assert_eq!(outcome(&over), (403, 4901));
    assert_eq!(told(&gate, &over)["session"], session(&ticket));
}
