//! A playlist is what begins with `#EXTM3U`, and goes out rewritten; all else goes out as it came. What a media server calls it,
//! by its name or its type, decides nothing.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;

use crate::support::gate::{Gate, grant};
use crate::support::hls::{HERE, ask, begin, entry, gate_with, links, variant};
use crate::support::http_server::{HttpServer, Page, page, playlist};
use crate::support::media_server::{FromGate, MediaServer, header, read_head, target};
use crate::support::viewer::{Answer, connect, get, request};

const BOTH: [&str; 2] = ["", "[hls]\ncache = false"];

/// Names that tell the truth, lie, and say nothing.
const NAMES: [&str; 5] = ["live", "list.m3u8", "1.ts", "k.key", "x.m3u8.bak"];
const TYPES: [Option<&str>; 6] = [
    Some("application/vnd.apple.mpegurl"),
    Some("application/octet-stream"),
    Some("video/mp2t"),
    Some("text/html"),
    Some("audio/mpegurl; charset=utf-8"),
    None,
];

fn called(kind: Option<&str>, body: &[u8]) -> Page {
    match kind {
        Some(kind) => page(kind, body),
        None => Page {
            status: 200,
            fields: String::new(),
            body: body.to_vec(),
        },
    }
}

/// A media playlist with an inner address in it.
fn inner(server: SocketAddr) -> String {
    format!("#EXTM3U\n#EXT-X-TARGETDURATION:100\n#EXTINF:1,\nhttp://{server}/inner/1.ts\n")
}

/// A playlist to begin with that names these.
fn naming(names: &[String]) -> Page {
    let variants = names
        .iter()
        .map(|name| format!("#EXT-X-STREAM-INF:BANDWIDTH=1\n{name}\n"));
    playlist(&format!("#EXTM3U\n{}", variants.collect::<String>()))
}

/// The links to what it names.
fn links_of(gate: &Gate) -> Vec<String> {
    let entry = entry(&grant("abcde-one"), "1");
    links(&entry, &begin(gate, &entry).0.body)
}

/// All names with all types: a path and its type.
fn combinations() -> Vec<(String, Option<&'static str>)> {
    let all = TYPES.into_iter().enumerate().flat_map(|(at, kind)| {
        let path = move |name| (format!("{at}/{name}"), kind);
        NAMES.into_iter().map(path)
    });
    all.collect()
}

/// A server with one body under all names and types.
fn server_with(body: impl Fn(SocketAddr) -> Vec<u8>) -> HttpServer {
    let server = HttpServer::start(&[]);
    let all = combinations();
    let names: Vec<_> = all.iter().map(|(name, _)| name.clone()).collect();
    server.set("/hls/abcde-one/playlist.m3u8", naming(&names));
    for (name, kind) in all {
        let page = called(kind, &body(server.address));
        server.set(&format!("/hls/abcde-one/{name}"), page);
    }
    server
}

fn is_rewritten(what: &str, answer: &Answer, server: SocketAddr) {
    assert_eq!(answer.status, 200, "{what}: {answer:?}");
    assert!(
        !answer.body.contains(&server.to_string()),
        "{what}: {answer:?}"
    );
    assert!(answer.body.contains("/inner/1.ts"), "{what}: {answer:?}");
    let kind = header(&answer.head, "content-type").unwrap();
    assert!(kind.contains("mpegurl"), "{what}: {kind}");
}

#[test]
fn a_playlist_is_rewritten_whatever_it_is_called() {
    for mark in ["", "\u{feff}"] {
        let server = server_with(|address| format!("{mark}{}", inner(address)).into_bytes());
        for tables in BOTH {
            let gate = gate_with(server.address, tables);
            let links = links_of(&gate);
            assert_eq!(links.len(), 30);
            for link in &links {
                is_rewritten(link, &ask(&gate, link), server.address);
                // Native players ask for all of it so.
                let all = get(gate.playback, link, &[HERE, "Range: bytes=0-"]);
                is_rewritten(link, &all, server.address);
            }
        }
    }
}

#[test]
fn what_is_no_playlist_goes_out_as_it_came() {
    for body in [
        &b"G@segment"[..],
        b"",
        b"#",
        b"#EXTM3",
        b"\xef\xbb",
        b"\xef\xbb\xbf#EXTM3",
        b"#EXTM3X\nhttp://inner/\n",
        b" #EXTM3U\n",
        b"#extm3u\n",
        b"\xef\xbb\xbf\xef\xbb\xbf#EXTM3U\n",
        b"<html>#EXTM3U",
    ] {
        let server = server_with(|_| body.to_vec());
        for tables in BOTH {
            let gate = gate_with(server.address, tables);
            for (link, (_, kind)) in links_of(&gate).iter().zip(combinations()) {
                let answer = ask(&gate, link);
                assert_eq!(answer.status, 200, "{link}: {answer:?}");
                assert_eq!(answer.body, String::from_utf8_lossy(body), "{link}");
                assert_eq!(header(&answer.head, "content-type"), kind, "{link}");
            }
        }
    }
}

#[test]
fn a_playback_begins_with_a_playlist_and_with_nothing_else() {
    for kind in TYPES {
        for tables in BOTH {
            let server = HttpServer::start(&[]);
            let gate = gate_with(server.address, tables);
            let entry = entry(&grant("abcde-one"), "1");
            let path = "/hls/abcde-one/playlist.m3u8";
            for film in [&b"G@segment"[..], b"", b"#EXTM3"] {
                server.set(path, called(kind, film));
                assert_eq!(ask(&gate, &entry).status, 502, "{kind:?} {tables}");
            }
            server.set(path, called(kind, inner(server.address).as_bytes()));
            let entry = self::entry(&grant("abcde-one"), "2");
            let list = variant(&gate, "192.0.2.1", &entry);
            is_rewritten("entry", &ask(&gate, &list), server.address);
        }
    }
}

/// A server that keeps to `Range` and to HEAD, without names and types that say anything.
fn strict(bodies: Vec<(&'static str, Vec<u8>)>) -> MediaServer {
    MediaServer::start(move |mut gate| {
        loop {
            let path = target(&gate.head).split('?').next().unwrap().to_owned();
            let found = bodies.iter().find(|(name, _)| path.ends_with(name));
            let answer = match found {
                Some((_, body)) => part_of(&gate, body),
                None => b"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n".to_vec(),
            };
            gate.send_raw(&answer);
            if !gate.next_request() {
                return;
            }
        }
    })
}

fn part_of(gate: &FromGate, body: &[u8]) -> Vec<u8> {
    let fields = "Content-Type: application/octet-stream\r\nETag: \"inner\"\r\n";
    let range = gate.header("range").and_then(|range| {
        let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
        let length = body.len();
        Some(match first.parse::<usize>() {
            Ok(first) => {
                first
                    ..last
                        .parse::<usize>()
                        .map_or(length, |last| length.min(last + 1))
            }
            Err(_) => length - last.parse::<usize>().unwrap()..length,
        })
    });
    let (status, place, part) = match range {
        Some(range) if range.start < range.end => (
            206,
            format!(
                "Content-Range: bytes {}-{}/{}\r\n",
                range.start,
                range.end - 1,
                body.len()
            ),
            &body[range],
        ),
        Some(_) => (
            416,
            format!("Content-Range: bytes */{}\r\n", body.len()),
            &[][..],
        ),
        None => (200, String::new(), body),
    };
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n{fields}{place}\r\n",
        part.len()
    );
    let part = if gate.head.starts_with("HEAD ") {
        &[][..]
    } else {
        part
    };
    [head.as_bytes(), part].concat()
}

const RANGES: [&str; 7] = [
    "bytes=0-0",
    "bytes=0-3",
    "bytes=0-20",
    "bytes=1-",
    "bytes=9-40",
    "bytes=-12",
    "bytes=0-",
];

#[test]
fn no_part_of_a_playlist_goes_out() {
    let text = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n/inner/secret/address/1.ts\n";
    let multi = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlive\n";
    for tables in BOTH {
        let server = strict(vec![
            ("/playlist.m3u8", multi.into()),
            ("/live", text.into()),
        ]);
        let gate = gate_with(server.address, tables);
        for (at, range) in RANGES.into_iter().enumerate() {
            let entry = entry(&grant("abcde-one"), &at.to_string());
            let link = links(&entry, &begin(&gate, &entry).0.body).remove(0);
            let range = format!("Range: {range}");
            let part = get(gate.playback, &link, &[HERE, &range]);
            assert_eq!(part.status, 200, "{range}: {part:?}");
            assert!(part.body.starts_with("#EXTM3U\n"), "{range}: {part:?}");
            assert!(!part.body.contains("\n/inner/"), "{range}: {part:?}");
            assert_eq!(header(&part.head, "content-range"), None, "{range}");
            assert_eq!(header(&part.head, "etag"), None, "{range}");
        }
    }
}

#[test]
fn parts_of_a_segment_go_out_and_what_it_is_is_asked_once() {
    let multi = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nfilm\n";
    for film in ["0123456789abcdefghijklmnopqrstuvwxyz", "#EXTM3"] {
        let server = strict(vec![
            ("/playlist.m3u8", multi.into()),
            ("/film", film.into()),
        ]);
        let gate = gate_with(server.address, "");
        let link = links_of(&gate).remove(0);
        let mut kept = connect(gate.playback);
        let mut asked = 0;
        for (range, part) in [
            ("bytes=-1", &film[film.len() - 1..]),
            ("bytes=0-0", &film[..1]),
            ("bytes=0-2", &film[..film.len().min(3)]),
            ("bytes=-1", &film[film.len() - 1..]),
        ] {
            let head = format!(
                "GET {link} HTTP/1.1\r\nHost: localhost\r\n{HERE}\r\nRange: {range}\r\n\r\n"
            );
            kept.write_all(head.as_bytes()).unwrap();
            let head = read_head(&mut kept).unwrap();
            assert!(head.starts_with("HTTP/1.1 206"), "{range}: {head}");
            let length = header(&head, "content-length").unwrap().parse().unwrap();
            let mut body = vec![0; length];
            kept.read_exact(&mut body).unwrap();
            assert_eq!(String::from_utf8(body).unwrap(), part, "{range}");
            asked += 1;
        }
        // Once for what it is, and each part.
        assert_eq!(server.asked("/hls/abcde-one/film"), asked + 1, "{film}");
    }
}

#[test]
fn a_head_says_nothing_that_is_not_true_of_the_body() {
    let text = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n/inner/1.ts\n";
    let multi =
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlive\n#EXT-X-STREAM-INF:BANDWIDTH=2\nfilm.m3u8\n";
    for tables in BOTH {
        let server = strict(vec![
            ("/playlist.m3u8", multi.into()),
            ("/live", text.into()),
            ("/film.m3u8", b"segment".to_vec()),
        ]);
        let gate = gate_with(server.address, tables);
        for link in links_of(&gate) {
            let head = request(gate.playback, "HEAD", &link, &[HERE], "");
            let whole = ask(&gate, &link);
            assert_eq!((head.status, whole.status), (200, 200), "{link}");
            for name in ["content-length", "etag", "accept-ranges"] {
                let told = header(&head.head, name);
                let is_true = told.is_none() || told == header(&whole.head, name);
                assert!(is_true, "{link}: {name} {told:?}");
            }
        }
    }
}

#[test]
fn the_first_bytes_may_come_one_by_one() {
    for (text, rewritten) in [
        ("\u{feff}#EXTM3U\n#EXTINF:1,\n/inner/1.ts\n", true),
        ("#EXTM3U", true),
        ("#EXTM3", false),
        ("#EXTM3Z is no playlist", false),
        ("segment", false),
    ] {
        for tables in BOTH {
            let server = MediaServer::start(move |mut gate| {
                let is_entry = target(&gate.head).contains("playlist.m3u8");
                let multi = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlive.ts\n";
                let body = if is_entry { multi } else { text };
                gate.send_raw(
                    b"HTTP/1.1 200 X\r\nContent-Type: text/plain\r\nConnection: close\r\n\
                      Transfer-Encoding: chunked\r\n\r\n",
                );
                for byte in body.as_bytes() {
                    gate.send_raw(&[b"1\r\n", &[*byte][..], b"\r\n"].concat());
                }
                gate.send_raw(b"0\r\n\r\n");
                gate.drain();
            });
            let gate = gate_with(server.address, tables);
            let link = links_of(&gate).remove(0);
            let answer = ask(&gate, &link);
            assert_eq!(answer.status, 200, "{text:?}: {answer:?}");
            assert!(!answer.body.contains("\n/inner/"), "{answer:?}");
            let kind = header(&answer.head, "content-type").unwrap();
            assert_eq!(kind.contains("mpegurl"), rewritten, "{text:?}");
        }
    }
}

#[test]
fn a_segment_that_is_called_a_playlist_is_shared_like_any_other() {
    let server = HttpServer::start(&[]);
    server.set("/hls/abcde-one/playlist.m3u8", naming(&["1.ts".to_owned()]));
    let path = "/hls/abcde-one/1.ts";
    server.set(path, page("application/vnd.apple.mpegurl", b"segment"));
    let gate = gate_with(server.address, "[hls]\ncache_segment = \"1h\"");
    let link = links_of(&gate).remove(0);
    for _ in 0..3 {
        assert_eq!(ask(&gate, &link).body, "segment");
    }
    let part = get(gate.playback, &link, &[HERE, "Range: bytes=1-2"]);
    assert_eq!((part.status, part.body.as_str()), (206, "eg"));
    assert_eq!(server.asked(path), 1);
}
