//! Every answer of HLS that is an error has a receipt, and its line in the log says which playback it was, which media server, what
//! that was asked for and what it said; and no secret.

use serde_json::{Value, json};

use crate::support::gate::{Gate, Setup, grant};
use crate::support::hls::{HERE, ask, entry, gate_with, play, scripted, server, session};
use crate::support::http_server::{HttpServer, Page, page};
use crate::support::media_server::{FromGate, header};
use crate::support::until;
use crate::support::viewer::{Answer, get};

const MESSAGE: &str = "no media for a request";
const ENTRY: &str = "/hls/abcde-one/playlist.m3u8";
const SEGMENT: &str = "/hls/abcde-one/low/1.ts";

/// The log line of an answer's receipt, which holds nothing of the link but its path on the media server.
fn told(gate: &Gate, answer: &Answer, asked: &str) -> Value {
    let receipt = header(&answer.head, "x-h5gate-receipt");
    let receipt = receipt.unwrap_or_else(|| panic!("no receipt: {answer:?}"));
    let line = until(&format!("the receipt {receipt} in the log"), || {
        let log = gate.log();
        log.into_iter().find(|line| line["receipt"] == receipt)
    });
    let text = line.to_string();
    let secrets = asked.split(['/', '?', '&', '=']);
    for secret in secrets.filter(|part| part.len() > 12 && !part.ends_with(".m3u8")) {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    assert!(!text.contains("secret"), "{text}");
    line
}

fn says(server: &HttpServer, path: &str, status: u16, fields: &str) {
    let fields = format!("Content-Type: text/html\r\n{fields}");
    let body = if status == 200 {
        b"<html>".to_vec()
    } else {
        Vec::new()
    };
    let page = Page {
        status,
        fields,
        body,
    };
    server.set(path, page);
}

/// What a line says, in these fields.
fn fields(line: &Value, names: &[&str]) -> Value {
    names.iter().map(|name| line[*name].clone()).collect()
}

const ANSWERED: [&str; 6] = [
    "message",
    "reason",
    "path",
    "status",
    "content_type",
    "redirect_host",
];

#[test]
fn what_a_media_server_says_is_told_with_its_subject() {
    let server = server();
    let secret = "?token=a-secret-of-the-media-server";
    let elsewhere = format!("Location: https://user:a-secret@other.test:8443/x{secret}\r\n");
    let table = [
        (400, "", "upstream_status", 400, None),
        (403, "", "upstream_wrong_answer", 502, None),
        (404, "", "upstream_status", 404, None),
        (410, "", "upstream_status", 410, None),
        (412, "", "conditions", 412, None),
        (416, "", "conditions", 416, None),
        (429, "", "upstream_status", 429, None),
        (500, "", "upstream_fault", 502, None),
        (503, "Retry-After: 3\r\n", "upstream_fault", 502, None),
        (
            302,
            &elsewhere,
            "upstream_wrong_answer",
            502,
            Some("other.test:8443"),
        ),
        (
            302,
            "Location: //other.test/\r\n",
            "upstream_wrong_answer",
            502,
            Some("other.test"),
        ),
    ];
    for tables in ["", "[hls]\ncache = false"] {
        let gate = gate_with(server.address, tables);
        for (status, fields_of, reason, expected, host) in table {
            says(&server, SEGMENT, 200, "Set-Cookie: a=b\r\n");
            let (ticket, _, segments) = play(&gate, &entry(&grant("abcde-one"), "1"));
            says(&server, SEGMENT, status, fields_of);
            let answer = ask(&gate, &segments[0]);
            let what = format!("{status} {tables}");
            assert_eq!(answer.status, expected, "{what}: {answer:?}");
            let line = told(&gate, &answer, &segments[0].replace(SEGMENT, ""));
            assert_eq!(line["session"], session(&ticket), "{what}: {line}");
            assert_eq!(line["stream"], "abcde-one", "{what}");
            assert_eq!(line["message"], MESSAGE, "{what}");
            assert_eq!(line["path"], SEGMENT, "{what}");
            assert_eq!(line["reason"], reason, "{what}");
            if reason == "conditions" {
                continue;
            }
            assert_eq!(line["server"], server.address.to_string(), "{what}");
            assert_eq!(
                fields(&line, &ANSWERED),
                json!([MESSAGE, reason, SEGMENT, status, "text/html", host]),
                "{what}"
            );
            let detail = line["detail"].as_str().unwrap();
            assert!(!detail.contains("101"), "{what}: {line}");
        }
    }
}

#[test]
fn a_start_without_a_playlist_names_what_came_instead() {
    for tables in ["", "[hls]\ncache = false"] {
        for (status, reason, expected) in [
            (200, "upstream_wrong_answer", 502),
            (403, "upstream_wrong_answer", 502),
            (404, "upstream_status", 404),
            (500, "upstream_fault", 502),
        ] {
            let server = server();
            says(&server, ENTRY, status, "");
            let gate = gate_with(server.address, tables);
            let entry = entry(&grant("abcde-one"), "1");
            let answer = ask(&gate, &entry);
            assert_eq!(answer.status, expected, "{status} {tables}: {answer:?}");
            let line = told(&gate, &answer, &entry);
            assert_eq!(
                fields(&line, &ANSWERED),
                json!([MESSAGE, reason, ENTRY, status, "text/html", null]),
                "{status} {tables}: {line}"
            );
            assert_eq!(line["server"], server.address.to_string(), "{status}");
            assert_eq!(line["stream"], "abcde-one", "{status}");
            assert!(line["session"].is_string(), "{status}: {line}");
        }
    }
}

#[test]
fn servers_that_do_not_answer_are_told_apart() {
    let hanging = scripted(Vec::new(), FromGate::drain);
    let closing = scripted(Vec::new(), drop);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let refusing = nobody.local_addr().unwrap();
    drop(nobody);
    let mut details = std::collections::BTreeSet::new();
    for (place, reason, status) in [
        (refusing.to_string(), "upstream_refused", 502),
        (hanging.address.to_string(), "upstream_late", 504),
        (closing.address.to_string(), "upstream_unreachable", 502),
        ("media.invalid:80".to_owned(), "upstream_unknown_name", 502),
    ] {
        let gate = Gate::start(&Setup {
            servers: vec![hanging.address],
            upstream: &format!(
                "http_path = \"/hls/{{stream}}/\"\nhttp_servers = [\"http://{place}\"]"
            ),
            tables: "[timeouts]\nupstream_head = \"100ms\"\n\
                     [client]\ntrusted_proxies = [\"127.0.0.1\"]\n",
            ..Setup::default()
        });
        let entry = entry(&grant("abcde-one"), "1");
        let answer = ask(&gate, &entry);
        assert_eq!(answer.status, status, "{place}: {answer:?}");
        let line = told(&gate, &answer, &entry);
        assert_eq!(
            fields(&line, &["message", "reason", "server", "path", "status"]),
            json!([MESSAGE, reason, place, ENTRY, null]),
            "{line}"
        );
        details.insert(line["detail"].to_string());
    }
    assert_eq!(details.len(), 4, "{details:?}");
}

#[test]
fn the_refusal_of_a_link_names_what_it_was_for() {
    let server = server();
    let gate = gate_with(server.address, "");
    let (ticket, media, segments) = play(&gate, &entry(&grant("abcde-one"), "1"));
    let name = session(&ticket);
    for (path, on_server, known) in [
        // Resolved against itself once more: no ticket comes into the log with its path.
        (
            segments[0].replace("/low/", &format!("/{ticket}/low/")),
            "/hls/abcde-one",
            true,
        ),
        (
            segments[0].replace("1.ts", "3.ts"),
            "/hls/abcde-one/low/3.ts",
            true,
        ),
        (segments[1].replace("x=1", "x=2"), "/other/2.ts", true),
        (
            media.replace("low", "high"),
            "/hls/abcde-one/high/media.m3u8",
            true,
        ),
        (
            media.replace(&ticket, "~x"),
            "/hls/abcde-one/low/media.m3u8",
            false,
        ),
    ] {
        let answer = get(gate.playback, &path, &[HERE]);
        assert_eq!(answer.status, 403, "{path}");
        let line = told(&gate, &answer, &path);
        assert_eq!(line["message"], "playback refused");
        assert_eq!(line["path"], on_server, "{line}");
        if known {
            assert_eq!(line["session"], name, "{line}");
            assert_eq!(line["stream"], "abcde-one", "{line}");
        }
    }
}

#[test]
fn lines_of_failures_have_a_rate() {
    let server = server();
    says(&server, SEGMENT, 200, "Set-Cookie: a=b\r\n");
    let gate = gate_with(server.address, "[limits]\nrefusals_logged = 10\n");
    let (_, _, segments) = play(&gate, &entry(&grant("abcde-one"), "1"));
    server.set(
        SEGMENT,
        Page {
            status: 404,
            ..page("text/plain", b"")
        },
    );
    let start = std::time::Instant::now();
    for _ in 0..30 {
        assert_eq!(ask(&gate, &segments[0]).status, 404);
    }
    let most = start.elapsed().as_secs_f64() + 3.0;
    until("those that are left out", || {
        (gate.metric("h5gate_refusals_not_logged_total") >= 30.0 - most).then_some(())
    });
    let lines = gate.log();
    let lines = lines.iter().filter(|line| line["message"] == MESSAGE);
    assert!(lines.count() as f64 <= most);
}

#[test]
fn a_start_without_a_playlist_leaves_no_session_and_is_no_playback() {
    for tables in ["", "[hls]\ncache = false"] {
        for status in [200, 403, 404, 500] {
            let server = server();
            says(&server, ENTRY, status, "");
            let gate = gate_with(server.address, tables);
            let mut token = grant("abcde-one");
            token.sessions = std::num::NonZeroU16::new(1);
            let first = entry(&token, "1");
            let answer = ask(&gate, &first);
            told(&gate, &answer, &first);
            let what = format!("{status} {tables}");
            assert_eq!(gate.metric("h5gate_sessions"), 0.0, "{what}");
            let granted = "h5gate_verdicts_total{verdict=\"granted\",reason=\"\",code=\"0\"}";
            assert_eq!(gate.metric(granted), 0.0, "{what}");
            let log = gate.log();
            let started = log.iter().any(|line| line["message"] == "playback started");
            assert!(!started, "{what}: {log:?}");
            // The only seat of its token is free, and the same URL starts as soon as there is a playlist.
            server.set(
                ENTRY,
                crate::support::http_server::playlist(crate::support::hls::MULTI),
            );
            until(&format!("a start, {what}"), || {
                (ask(&gate, &first).status == 200).then_some(())
            });
            gate.logged("playback started");
            assert_eq!(gate.metric("h5gate_sessions"), 1.0, "{what}");
        }
    }
}
