//! HLS is plain HTTP: parts, conditions, HEAD, preflights and old clients, for what viewers share and for what they do not.

use std::io::{Read as _, Write as _};

use crate::support::gate::{Gate, Setup, grant};
use crate::support::hls::{HERE, ask, entry, gate_with, links, play};
use crate::support::http_server::{HttpServer, Page, playlist};
use crate::support::media_server::{MediaServer, header, target};
use crate::support::viewer::{Answer, connect, get, request};

const BODY: &str = "segment one";
const SEGMENT: &str = "/hls/abcde-one/1.ts";
const FIELDS: &str =
    "Content-Type: video/mp2t\r\nETag: \"tag\"\r\nLast-Modified: Tue, 14 Nov 2023 22:13:20 GMT\r\n";

fn server() -> HttpServer {
    let media = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n1.ts\n";
    let multi = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nmedia.m3u8\n";
    HttpServer::start(&[
        ("/hls/abcde-one/playlist.m3u8", playlist(multi)),
        ("/hls/abcde-one/media.m3u8", playlist(media)),
        (SEGMENT, answering(200, FIELDS, BODY)),
    ])
}

fn answering(status: u16, fields: &str, body: &str) -> Page {
    Page {
        status,
        fields: fields.to_owned(),
        body: body.as_bytes().to_vec(),
    }
}

/// A viewer that has got as far as the segment's URL, before a gate that keeps what it has.
fn viewer(server: &HttpServer) -> (Gate, String) {
    let gate = gate_with(server.address, "[hls]\ncache_segment = \"1h\"");
    let (_, _, segments) = play(&gate, &entry(&grant("abcde-one"), "1"));
    (gate, segments[0].clone())
}

fn with(gate: &Gate, path: &str, fields: &[&str]) -> Answer {
    get(gate.playback, path, &[&[HERE], fields].concat())
}

fn field<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    header(&answer.head, name)
}

#[test]
fn a_part_of_what_is_held_whole_is_not_fetched() {
    let server = server();
    let (gate, path) = viewer(&server);
    assert_eq!(ask(&gate, &path).body, BODY);
    for (range, place, body) in [
        ("bytes=0-3", "bytes 0-3/11", "segm"),
        ("bytes=8-", "bytes 8-10/11", "one"),
        ("bytes=-3", "bytes 8-10/11", "one"),
        ("bytes=10-99", "bytes 10-10/11", "e"),
        ("bytes=-99", "bytes 0-10/11", BODY),
    ] {
        let part = with(&gate, &path, &[&format!("Range: {range}")]);
        assert_eq!((part.status, part.body.as_str()), (206, body), "{range}");
        assert_eq!(field(&part, "content-range"), Some(place));
        let length = body.len().to_string();
        assert_eq!(field(&part, "content-length"), Some(length.as_str()));
        assert_eq!(field(&part, "content-type"), Some("video/mp2t"));
        assert_eq!(field(&part, "etag"), Some("\"tag\""));
        assert_eq!(field(&part, "access-control-allow-origin"), Some("*"));
    }
    for range in ["bytes=11-", "bytes=-0"] {
        let none = with(&gate, &path, &[&format!("Range: {range}")]);
        assert_eq!((none.status, none.body.as_str()), (416, ""), "{range}");
        assert_eq!(field(&none, "content-range"), Some("bytes */11"));
        assert_eq!(field(&none, "cache-control"), Some("no-store"));
    }
    // All of it, and what is no longer the same.
    let whole: [&[&str]; 4] = [
        &["Range: bytes=0-"],
        &["Range: bytes=0-3", "If-Range: \"other\""],
        &["Range: bytes=0-3", "If-Range: W/\"tag\""],
        &[
            "Range: bytes=0-3",
            "If-Range: Tue, 14 Nov 2023 22:13:20 GMT",
        ],
    ];
    for fields in whole {
        let answer = with(&gate, &path, fields);
        assert_eq!((answer.status, answer.body.as_str()), (200, BODY));
        assert_eq!(field(&answer, "content-range"), None);
    }
    let same = with(&gate, &path, &["Range: bytes=0-3", "If-Range: \"tag\""]);
    assert_eq!((same.status, same.body.as_str()), (206, "segm"));
    let known = ["Range: bytes=0-3", "If-None-Match: \"tag\""];
    assert_eq!(with(&gate, &path, &known).status, 304);
    assert_eq!(server.asked(SEGMENT), 1);
}

#[test]
fn a_part_of_what_is_not_held_is_the_media_servers_answer() {
    let server = server();
    let (gate, path) = viewer(&server);
    let part = format!("{FIELDS}Content-Range: bytes 0-3/11\r\n");
    server.set(SEGMENT, answering(206, &part, "segm"));
    for times in 1..=2 {
        let answer = with(
            &gate,
            &path,
            &["Range: bytes=0-3", "If-Range: \"tag\"", "User-Agent: me"],
        );
        assert_eq!((answer.status, answer.body.as_str()), (206, "segm"));
        assert_eq!(field(&answer, "content-range"), Some("bytes 0-3/11"));
        assert_eq!(server.asked(SEGMENT), times, "it is not kept");
        let head = server.heads().pop().unwrap();
        assert_eq!(header(&head, "range"), Some("bytes=0-3"));
        assert_eq!(header(&head, "if-range"), Some("\"tag\""));
        assert_eq!(header(&head, "user-agent"), Some("me"));
    }
    let beyond = format!("{FIELDS}Content-Range: bytes */11\r\n");
    server.set(SEGMENT, answering(416, &beyond, "nothing"));
    let answer = with(&gate, &path, &["Range: bytes=99-"]);
    assert_eq!((answer.status, answer.body.as_str()), (416, ""));
    assert_eq!(field(&answer, "content-range"), Some("bytes */11"));
    // Nobody was given a part for the whole, and what is asked for in other words is not ours to take apart.
    server.set(SEGMENT, answering(200, FIELDS, BODY));
    assert_eq!(ask(&gate, &path).body, BODY);
    let before = server.asked(SEGMENT);
    let others = ["bytes=0-1,3-4", "seconds=1-2", "bytes=3-1"];
    for range in others {
        let answer = with(&gate, &path, &[&format!("Range: {range}")]);
        assert_eq!((answer.status, answer.body.as_str()), (200, BODY));
        let head = server.heads().pop().unwrap();
        assert_eq!(header(&head, "range"), Some(range));
    }
    assert_eq!(server.asked(SEGMENT), before + others.len());
}

#[test]
fn playlists_are_whole_whatever_part_is_asked_for() {
    let server = server();
    let gate = gate_with(server.address, "");
    let entry = entry(&grant("abcde-one"), "1");
    let (_, media, _) = play(&gate, &entry);
    for path in [&entry, &media] {
        let whole = ask(&gate, path);
        // A playlist is made by the gate: it gives no validator out and believes in none.
        for name in ["etag", "last-modified", "accept-ranges"] {
            assert_eq!(field(&whole, name), None, "{path}: {name}");
        }
        for fields in ["Range: bytes=0-3", "If-None-Match: \"tag\""] {
            let answer = with(&gate, path, &[fields]);
            assert_eq!((answer.status, &answer.body), (200, &whole.body), "{path}");
        }
    }
    for head in server.heads() {
        assert_eq!(header(&head, "range"), None, "{head}");
    }
}

#[test]
fn a_playlist_is_known_by_its_type_as_well() {
    let media = "#EXTM3U\n#EXT-X-TARGETDURATION:100\n#EXTINF:1,\n1.ts\n";
    let server = HttpServer::start(&[
        ("/hls/abcde-one/live", playlist(media)),
        (SEGMENT, answering(200, FIELDS, BODY)),
    ]);
    let gate = Gate::start(&Setup {
        servers: vec![server.address],
        upstream: "http_path = \"/hls/{stream}/\"\nhttp_playlist = \"/hls/{stream}/live\"",
        tables: "[hls]\ncache_playlist = \"1h\"",
        ..Setup::default()
    });
    let entry = entry(&grant("abcde-one"), "1");
    let whole = get(gate.playback, &entry, &[]);
    let part = get(gate.playback, &entry, &["Range: bytes=9-40"]);
    assert_eq!((part.status, &part.body), (200, &whole.body));
    let list = &links(&entry, &part.body)[0];
    let whole = get(gate.playback, list, &[]);
    let part = get(gate.playback, list, &["Range: bytes=9-40"]);
    assert_eq!((part.status, &part.body), (200, &whole.body));
    assert_eq!(server.asked("/hls/abcde-one/live"), 1);
    let path = &links(list, &part.body)[0];
    assert_eq!(get(gate.playback, path, &[]).body, BODY);
}

#[test]
fn who_has_it_already_does_not_get_it_again() {
    let server = server();
    let (gate, path) = viewer(&server);
    const SINCE: &str = "If-Modified-Since: Tue, 14 Nov 2023 22:13:20 GMT";
    let table: [(&[&str], u16); 8] = [
        (&["If-None-Match: \"tag\""], 304),
        (&["If-None-Match: W/\"tag\""], 304),
        (&["If-None-Match: \"a\", \"tag\""], 304),
        (&["If-None-Match: *"], 304),
        (&["If-None-Match: \"other\""], 200),
        (&["If-None-Match: \"other\"", SINCE], 200),
        (&[SINCE], 304),
        (&["If-Modified-Since: Tue, 14 Nov 2023 22:13:19 GMT"], 200),
    ];
    for (fields, status) in table {
        let answer = with(&gate, &path, fields);
        let body = if status == 200 { BODY } else { "" };
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (status, body),
            "{fields:?}"
        );
        assert_eq!(field(&answer, "etag"), Some("\"tag\""), "{fields:?}");
        assert_eq!(field(&answer, "access-control-allow-origin"), Some("*"));
    }
    assert_eq!(server.asked(SEGMENT), 1);
}

#[test]
fn the_conditions_of_what_is_not_shared_are_the_media_servers() {
    let server = server();
    let (gate, path) = viewer(&server);
    server.set(
        SEGMENT,
        answering(200, &format!("{FIELDS}Set-Cookie: a=b\r\n"), BODY),
    );
    assert_eq!(ask(&gate, &path).body, BODY);
    for (status, fields) in [
        (304, "If-None-Match: \"tag\""),
        (412, "If-Match: \"other\""),
    ] {
        server.set(SEGMENT, answering(status, FIELDS, ""));
        let answer = with(&gate, &path, &[fields]);
        assert_eq!((answer.status, answer.body.as_str()), (status, ""));
        assert_eq!(field(&answer, "etag"), Some("\"tag\""));
        let head = server.heads().pop().unwrap();
        assert!(
            head.to_lowercase().contains(&fields.to_lowercase()),
            "{head}"
        );
    }
}

#[test]
fn a_head_is_that_of_the_answer() {
    let server = server();
    let gate = gate_with(server.address, "");
    let entry = entry(&grant("abcde-one"), "1");
    let (_, media, segments) = play(&gate, &entry);
    for path in [&entry, &media, &segments[0]] {
        let whole = ask(&gate, path);
        let head = request(gate.playback, "HEAD", path, &[HERE], "");
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{path}");
        for name in ["content-length", "content-type", "cache-control", "etag"] {
            assert_eq!(field(&head, name), field(&whole, name), "{path}: {name}");
        }
        assert!(field(&head, "content-length").is_some(), "{path}");
    }
    // What is refused has the same head, too.
    let refused = request(
        gate.playback,
        "HEAD",
        &entry.replace("options=1", "options=0"),
        &[HERE],
        "",
    );
    assert_eq!((refused.status, refused.body.as_str()), (403, ""));
    assert!(field(&refused, "x-h5gate-receipt").is_some());
}

#[test]
fn a_preflight_needs_no_token_and_other_methods_are_refused() {
    let server = server();
    let gate = gate_with(server.address, "");
    let (_, media, segments) = play(&gate, &entry(&grant("abcde-one"), "1"));
    let before = server.heads().len();
    let of = |method, path: &str| request(gate.playback, method, path, &[HERE], "");
    for path in ["/h5live/authhttp/playlist.m3u8", &media, &segments[0]] {
        let preflight = of("OPTIONS", path);
        assert_eq!((preflight.status, preflight.body.as_str()), (204, ""));
        for (name, value) in [
            ("access-control-allow-origin", "*"),
            ("access-control-allow-methods", "GET, HEAD, OPTIONS"),
        ] {
            assert_eq!(field(&preflight, name), Some(value), "{path}");
        }
        assert_eq!(field(&preflight, "access-control-allow-credentials"), None);
        for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE"] {
            let refused = of(method, path);
            assert_eq!(refused.status, 405, "{method} {path}");
            assert_eq!(field(&refused, "allow"), Some("GET, HEAD, OPTIONS"));
        }
    }
    assert_eq!(server.heads().len(), before);
}

/// What an HTTP/1.0 client without keep-alive gets until the connection ends, which has to be at once.
fn old_client(gate: &Gate, path: &str) -> Answer {
    let mut socket = connect(gate.playback);
    let asked = format!("GET {path} HTTP/1.0\r\n{HERE}\r\n\r\n");
    socket.write_all(asked.as_bytes()).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    Answer::whole(&answer)
}

#[test]
fn an_old_client_gets_no_chunks_and_the_connection_ends_with_the_body() {
    // A media server that says no length, so that what is new goes on in chunks.
    let server = MediaServer::start(|mut gate| {
        let (kind, text) = match target(&gate.head).split('?').next().unwrap() {
            SEGMENT => ("video/mp2t", BODY),
            _ => (
                "application/vnd.apple.mpegurl",
                "#EXTM3U\n#EXTINF:1,\n1.ts\n",
            ),
        };
        let chunks = text.split_inclusive(' ');
        let chunks = chunks.map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len()));
        let chunks: String = chunks.collect();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked");
        gate.send_raw(format!("{head}\r\n\r\n{chunks}0\r\n\r\n").as_bytes());
    });
    for tables in ["", "[hls]\ncache = false"] {
        let gate = gate_with(server.address, tables);
        let entry = entry(&grant("abcde-one"), "1");
        let list = links(&entry, &old_client(&gate, &entry).body).remove(0);
        let path = links(&list, &old_client(&gate, &list).body).remove(0);
        for (path, status, body) in [
            (entry.as_str(), 200, None),
            (&list, 200, None),
            (&path, 200, Some(BODY)),
            (&path.replace("1.ts", "2.ts"), 403, None),
        ] {
            let answer = old_client(&gate, path);
            assert_eq!(answer.status, status, "{answer:?}");
            assert!(answer.head.starts_with("HTTP/1.0 "), "{answer:?}");
            assert_eq!(field(&answer, "transfer-encoding"), None);
            assert_eq!(body.unwrap_or(&answer.body), answer.body);
            assert!(!answer.body.is_empty());
        }
    }
}
