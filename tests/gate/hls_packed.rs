//! A playlist that a media server packs, although it is asked not to, is unpacked and rewritten; within `hls.playlist`, which counts
//! what it becomes. What is no playlist goes out as it came.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

use crate::support::gate::{Gate, grant};
use crate::support::hls::{HERE, ask, begin, entry, gate_with, links, outcome, variant};
use crate::support::http_server::{HttpServer, Page, playlist};
use crate::support::media_server::{MediaServer, header, read_head, target};
use crate::support::until;
use crate::support::viewer::connect;

const BOTH: [&str; 2] = ["", "cache = false"];
const MULTI: &str = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlive\n";
const TEXT: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n/inner/1.ts\n";
const LIVE: &str = "/hls/abcde-one/live";

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    packer.write_all(text).unwrap();
    packer.finish().unwrap()
}

fn zlib(text: &[u8]) -> Vec<u8> {
    let mut packer = ZlibEncoder::new(Vec::new(), Compression::best());
    packer.write_all(text).unwrap();
    packer.finish().unwrap()
}

fn deflate(text: &[u8]) -> Vec<u8> {
    let mut packer = DeflateEncoder::new(Vec::new(), Compression::best());
    packer.write_all(text).unwrap();
    packer.finish().unwrap()
}

/// One block that is stored as it is (RFC 7932 section 9.2), at most 64 KiB, and an empty last one.
fn brotli(text: &[u8]) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap() - 1;
    assert!(length < 1 << 16);
    let head = (length << 4 | 1 << 20).to_le_bytes();
    [&head[..3], text, &[3]].concat()
}

fn packed(coding: &str, body: Vec<u8>) -> Page {
    Page {
        status: 200,
        fields: format!("Content-Type: application/octet-stream\r\nContent-Encoding: {coding}\r\n"),
        body,
    }
}

fn server() -> HttpServer {
    HttpServer::start(&[("/hls/abcde-one/playlist.m3u8", playlist(MULTI))])
}

fn start(server: std::net::SocketAddr, keys: &str) -> (Gate, String) {
    let gate = gate_with(server, &format!("[hls]\ncache_playlist = \"10ms\"\n{keys}"));
    let entry = entry(&grant("abcde-one"), "1");
    let link = links(&entry, &begin(&gate, &entry).0.body).remove(0);
    (gate, link)
}

/// The head and the bytes of an answer's body.
fn get_bytes(gate: &Gate, link: &str) -> (String, Vec<u8>) {
    let mut socket = connect(gate.playback);
    let head =
        format!("GET {link} HTTP/1.1\r\nHost: localhost\r\n{HERE}\r\nConnection: close\r\n\r\n");
    socket.write_all(head.as_bytes()).unwrap();
    let head = read_head(&mut socket).unwrap();
    let mut body = Vec::new();
    socket.read_to_end(&mut body).unwrap();
    (head, body)
}

#[test]
fn a_packed_playlist_is_unpacked_and_rewritten() {
    let two = [gzip(&TEXT.as_bytes()[..20]), gzip(&TEXT.as_bytes()[20..])].concat();
    let table = [
        ("gzip", gzip(TEXT.as_bytes())),
        ("GZip", gzip(TEXT.as_bytes())),
        ("x-gzip", gzip(TEXT.as_bytes())),
        ("identity, gzip", gzip(TEXT.as_bytes())),
        ("gzip", two),
        ("deflate", zlib(TEXT.as_bytes())),
        ("deflate", deflate(TEXT.as_bytes())),
        ("br", brotli(TEXT.as_bytes())),
        // Called so, and not packed.
        ("gzip", TEXT.into()),
        ("br", format!("\u{feff}{TEXT}").into()),
        ("identity", TEXT.into()),
    ];
    for keys in BOTH {
        for (at, (coding, body)) in table.iter().enumerate() {
            let server = server();
            server.set(LIVE, packed(coding, body.clone()));
            let (gate, link) = start(server.address, keys);
            let answer = ask(&gate, &link);
            let what = format!("{at} {coding} {keys}");
            assert_eq!(answer.status, 200, "{what}: {answer:?}");
            assert!(answer.body.contains("#EXTM3U\n"), "{what}: {answer:?}");
            assert!(!answer.body.contains("\n/inner/"), "{what}: {answer:?}");
            assert!(answer.body.ends_with("/inner/1.ts\n"), "{what}: {answer:?}");
            assert_eq!(header(&answer.head, "content-encoding"), None, "{what}");
            // A playback begins with one as well.
            server.set("/hls/abcde-one/playlist.m3u8", packed(coding, body.clone()));
            until("the entry to be fetched again", || {
                let entry = entry(&grant("abcde-one"), "2");
                let text = ask(&gate, &variant(&gate, "192.0.2.1", &entry)).body;
                text.ends_with("/inner/1.ts\n").then_some(())
            });
        }
    }
}

#[test]
fn a_packed_playlist_may_come_byte_by_byte() {
    for (coding, body) in [
        ("gzip", gzip(TEXT.as_bytes())),
        ("deflate", deflate(TEXT.as_bytes())),
        ("br", brotli(TEXT.as_bytes())),
    ] {
        let server = MediaServer::start(move |mut gate| {
            if target(&gate.head).contains("playlist.m3u8") {
                return gate.send_raw(&playlist(MULTI).last());
            }
            let head = format!(
                "HTTP/1.1 200 X\r\nContent-Encoding: {coding}\r\nConnection: close\r\n\
                 Transfer-Encoding: chunked\r\n\r\n"
            );
            gate.send_raw(head.as_bytes());
            for byte in &body {
                gate.send_raw(&[b"1\r\n", &[*byte][..], b"\r\n"].concat());
            }
            gate.send_raw(b"0\r\n\r\n");
            gate.drain();
        });
        for keys in BOTH {
            let (gate, link) = start(server.address, keys);
            let answer = ask(&gate, &link);
            assert!(
                answer.body.ends_with("/inner/1.ts\n"),
                "{coding}: {answer:?}"
            );
            assert!(!answer.body.contains("\n/inner/"), "{coding}: {answer:?}");
        }
    }
}

#[test]
fn a_packed_segment_goes_out_as_it_came() {
    for keys in BOTH {
        for (coding, body) in [
            ("gzip", gzip(b"segment")),
            ("deflate", zlib(b"segment")),
            ("deflate", deflate(b"segment")),
            ("br", brotli(b"segment")),
            ("gzip", gzip(b"")),
            ("gzip", b"segment".to_vec()),
            ("br", b"\xff\xffsegment".to_vec()),
            ("gzip", Vec::new()),
        ] {
            let server = server();
            server.set(LIVE, packed(coding, body.clone()));
            let (gate, link) = start(server.address, keys);
            let (head, got) = get_bytes(&gate, &link);
            assert!(head.starts_with("HTTP/1.1 200"), "{coding}: {head}");
            assert_eq!(header(&head, "content-encoding"), Some(coding), "{keys}");
            assert_eq!(got, body, "{coding} {keys}");
        }
    }
}

#[test]
fn what_a_playlist_becomes_is_bounded() {
    const LIMIT: usize = 64 << 10;
    let long = |length: usize| {
        let mut text = b"#EXTM3U\n".to_vec();
        text.resize(length - 1, b'#');
        text.push(b'\n');
        text
    };
    for keys in BOTH {
        for (what, coding, body, status) in [
            ("the longest", "gzip", gzip(&long(LIMIT)), 200),
            ("the longest", "deflate", zlib(&long(LIMIT)), 200),
            ("one more", "gzip", gzip(&long(LIMIT + 1)), 502),
            ("one more", "deflate", deflate(&long(LIMIT + 1)), 502),
            ("a bomb", "gzip", gzip(&long(64 << 20)), 502),
            ("a bomb", "deflate", zlib(&long(64 << 20)), 502),
            (
                "many members",
                "gzip",
                gzip(&long(LIMIT / 2)).repeat(3),
                502,
            ),
            ("cut off", "gzip", gzip(&long(LIMIT))[..40].to_vec(), 502),
        ] {
            let server = server();
            server.set(LIVE, packed(coding, body));
            let keys = format!("playlist = \"64KiB\"\n{keys}");
            let (gate, link) = start(server.address, &keys);
            let began = Instant::now();
            assert_eq!(ask(&gate, &link).status, status, "{what} {coding} {keys}");
            assert!(began.elapsed() < Duration::from_secs(5), "{what}");
            until("the memory that it took", || {
                (gate.metric("h5gate_playlists_bytes") == 0.0).then_some(())
            });
        }
    }
}

#[test]
fn what_cannot_be_unpacked_is_502_and_named_in_the_log() {
    for keys in BOTH {
        let server = server();
        let (gate, link) = start(server.address, keys);
        for coding in [
            "zstd",
            "compress",
            "gzip, br",
            "gzip\r\nContent-Encoding: gzip",
            "dcb",
        ] {
            server.set(LIVE, packed(coding, gzip(TEXT.as_bytes())));
            until("the cached playlist to be old", || {
                (ask(&gate, &link).status == 502).then_some(())
            });
            let answer = ask(&gate, &link);
            assert_eq!(outcome(&answer).0, 502, "{coding}");
            let named = coding.replace("\r\nContent-Encoding: ", ", ");
            until(&format!("a line that names {named}"), || {
                let told = |line: &serde_json::Value| line["content_encoding"] == named.as_str();
                gate.log().iter().any(told).then_some(())
            });
        }
    }
}
