//! A page may bring the headers that it asks for: the answer to its question names them, for `*` does not stand for
//! `Authorization` and is the name of a header to old browsers.

use crate::support::gate::{Gate, Setup};
use crate::support::media_server::header;
use crate::support::viewer::{Answer, request};

const PATHS: [&str; 4] = [
    "/h5live/authhttp/playlist.m3u8",
    "/h5live/authhttp/~ticket/signature/segment.ts",
    "/h5live/authhttp/stream.mp4",
    "/h5live/authstream/stream.mp4",
];

fn gate() -> Gate {
    Gate::start(&Setup {
        servers: vec!["127.0.0.1:1".parse().unwrap()],
        ..Setup::default()
    })
}

fn asks(gate: &Gate, path: &str, lines: &[&str]) -> Answer {
    let standing = [
        "Origin: https://page.test",
        "Access-Control-Request-Method: GET",
    ];
    let answer = request(
        gate.playback,
        "OPTIONS",
        path,
        &[&standing, lines].concat(),
        "",
    );
    assert_eq!(answer.status, 204, "{path} {lines:?}");
    for (name, value) in [
        ("access-control-allow-origin", "*"),
        ("access-control-allow-methods", "GET, HEAD, OPTIONS"),
        ("vary", "Access-Control-Request-Headers"),
    ] {
        assert_eq!(header(&answer.head, name), Some(value), "{path} {lines:?}");
    }
    assert_eq!(
        header(&answer.head, "access-control-allow-credentials"),
        None
    );
    answer
}

#[test]
fn what_a_page_asks_for_is_named() {
    let gate = gate();
    for path in PATHS {
        for (lines, expected) in [
            (
                &["Access-Control-Request-Headers: authorization"][..],
                "authorization",
            ),
            (
                &["Access-Control-Request-Headers: Range, X-Custom_1,authorization"],
                "range, x-custom_1, authorization",
            ),
            (
                &["access-control-request-headers: ,range , ,x-a,"],
                "range, x-a",
            ),
            (
                &[
                    "Access-Control-Request-Headers: range",
                    "Access-Control-Request-Headers: cmcd-object",
                ],
                "range, cmcd-object",
            ),
        ] {
            let answer = asks(&gate, path, lines);
            let allowed = header(&answer.head, "access-control-allow-headers");
            assert_eq!(allowed, Some(expected), "{path} {lines:?}");
        }
    }
}

#[test]
fn nothing_else_is_named() {
    let gate = gate();
    let many = format!("Access-Control-Request-Headers: {}", ["x"; 65].join(","));
    let few = format!("Access-Control-Request-Headers: {}", ["x"; 64].join(","));
    for path in PATHS {
        for lines in [
            &[][..],
            &["Access-Control-Request-Headers: "],
            &["Access-Control-Request-Headers: ,,"],
            &["Access-Control-Request-Headers: two words"],
            &["Access-Control-Request-Headers: range, x: y"],
            &["Access-Control-Request-Headers: range, \"x\""],
            &["Access-Control-Request-Headers: r\u{e4}nge"],
            &["Access-Control-Request-Headers: range;q=1"],
            &[&many],
        ] {
            let answer = asks(&gate, path, lines);
            let allowed = header(&answer.head, "access-control-allow-headers");
            assert_eq!(allowed, None, "{path} {lines:?}");
        }
        assert!(asks(&gate, path, &[&few]).head.contains("x, x"), "{path}");
    }
}
