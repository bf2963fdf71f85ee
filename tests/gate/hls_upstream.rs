//! What a media server may do with HLS: send the gate on to another path, name children in every form, hold a playlist
//! back until there is news. And what it may not.

use std::sync::Mutex;
use std::sync::mpsc::channel;

use crate::support::gate::{Gate, grant};
use crate::support::hls::{
    HERE, MULTI, ask, ask_only, entry, gate_with, links, live, play, scripted, server, variant,
};
use crate::support::http_server::{HttpServer, Page, playlist, segment};
use crate::support::media_server::{read_head, target};
use crate::support::viewer::{Answer, request};
use crate::support::{PATIENCE, until};

const MULTIVARIANT: &str = "/hls/abcde-one/playlist.m3u8";
const LIST: &str = "/hls/abcde-one/low/media.m3u8";

fn redirect(location: &str) -> Page {
    Page {
        status: 302,
        fields: format!("Location: {location}\r\n"),
        body: Vec::new(),
    }
}

/// The links of a playback's media playlist.
fn segments(gate: &Gate, cid: &str) -> Vec<String> {
    play(gate, &entry(&grant("abcde-one"), cid)).2
}

#[test]
fn the_children_of_a_playlist_are_where_its_redirect_leads() {
    let server = server();
    server.set(MULTIVARIANT, redirect("/elsewhere/list.m3u8"));
    let list = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n1.ts\n";
    server.set("/elsewhere/list.m3u8", playlist(list));
    server.set("/elsewhere/1.ts", segment(b"elsewhere"));
    // Once for all, and once for the viewer alone.
    for tables in ["", "[hls]\ncache = false"] {
        let gate = gate_with(server.address, tables);
        let before = server.asked("/elsewhere/1.ts");
        let film = segments(&gate, "1").remove(0);
        assert_eq!(ask(&gate, &film).body, "elsewhere", "{tables}");
        assert_eq!(server.asked("/elsewhere/1.ts"), before + 1, "{tables}");
    }
}

#[test]
fn a_child_with_the_media_servers_own_host_is_a_link() {
    let server = server();
    let list = format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://{}/other/2.ts?x=1\n",
        server.address
    );
    server.set(MULTIVARIANT, playlist(&list));
    let gate = gate_with(server.address, "");
    let entry = entry(&grant("abcde-one"), "1");
    let list = variant(&gate, "192.0.2.1", &entry);
    let text = ask(&gate, &list).body;
    assert!(!text.contains(&server.address.to_string()), "{text}");
    let film = links(&list, &text).remove(0);
    assert_eq!(ask(&gate, &film).body, "segment two");
}

#[test]
fn a_redirect_to_another_host_is_not_followed() {
    let (server, foreign) = (server(), HttpServer::start(&[]));
    let gate = gate_with(server.address, "");
    let (_, media, films) = play(&gate, &entry(&grant("abcde-one"), "1"));
    let mut tried = 0;
    for location in [
        format!("http://{}/1.ts", foreign.address),
        format!("//{}/1.ts", foreign.address),
        format!("https://{}/1.ts", server.address),
        format!("http://{}@{}/1.ts", server.address, foreign.address),
    ] {
        server.set("/other/2.ts", redirect(&location));
        assert_eq!(ask(&gate, &films[1]).status, 502, "{location}");
        tried += 1;
    }
    assert!(tried > 0);
    server.set(LIST, redirect(&format!("http://{}/", foreign.address)));
    until("the cached playlist to be old", || {
        (ask(&gate, &media).status == 502).then_some(())
    });
    assert!(foreign.heads().is_empty(), "{:?}", foreign.heads());
}

#[test]
fn a_variable_of_the_multivariant_playlist_stands_in_the_links_of_the_media_playlist() {
    let server = server();
    let multi = MULTI.replace(
        "#EXTM3U\n",
        "#EXTM3U\n#EXT-X-DEFINE:NAME=\"b\",VALUE=\"deep/er\"\n",
    );
    let media =
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-DEFINE:IMPORT=\"b\"\n#EXTINF:1,\n{$b}/1.ts\n";
    server.set(MULTIVARIANT, playlist(&multi));
    server.set(LIST, playlist(media));
    let path = "/hls/abcde-one/low/deep/er/1.ts";
    server.set(path, segment(b"imported"));
    for tables in ["", "[hls]\ncache = false"] {
        let gate = gate_with(server.address, tables);
        let (_, _, films) = play(&gate, &entry(&grant("abcde-one"), "1"));
        assert!(!films[0].contains("{$b}"), "{films:?}");
        let before = server.asked(path);
        let answer = ask(&gate, &films[0]);
        assert_eq!((answer.status, answer.body.as_str()), (200, "imported"));
        assert_eq!(server.asked(path), before + 1, "{tables}");
    }
}

/// The rest of an answer, on a connection of its own.
fn answer_of(mut socket: std::net::TcpStream) -> u16 {
    let head = read_head(&mut socket).unwrap();
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_playlist_that_is_held_back_until_there_is_news_is_waited_for_and_a_plain_one_is_not() {
    for tables in ["cache_playlist = \"10ms\"", "cache = false"] {
        let media = live(6);
        let (tell, told) = channel();
        let (release, released) = channel::<()>();
        let (tell, released) = (Mutex::new(tell), Mutex::new(released));
        let first = Mutex::new(true);
        let server = scripted(vec![(MULTIVARIANT, playlist(MULTI))], move |mut gate| {
            if std::mem::take(&mut *first.lock().unwrap()) {
                return gate.send_raw(&playlist(&media).last());
            }
            if !target(&gate.head).contains("_HLS_msn=7") {
                // Never answered.
                return gate.drain();
            }
            tell.lock().unwrap().send(()).unwrap();
            let _ = released.lock().unwrap().recv();
            gate.send_raw(&playlist(&live(7)).last());
        });
        let gate = gate_with(
            server.address,
            &format!(
                "[timeouts]\nupstream_head = \"1s\"\nupstream_total = \"1s\"\n[hls]\n{tables}"
            ),
        );
        let (_, media, _) = play(&gate, &entry(&grant("abcde-one"), "1"));
        let blocking = ask_only(&gate, &format!("{media}?_HLS_msn=7"));
        told.recv_timeout(PATIENCE).unwrap();
        // For longer than three plain requests have: each begins after the one before was given up.
        let mut late = 0;
        until("three that are too late", || {
            let status = ask(&gate, &media).status;
            assert!(status == 504 || (status == 200 && late == 0), "{status}");
            late += usize::from(status == 504);
            (late == 3).then_some(())
        });
        release.send(()).unwrap();
        assert_eq!(answer_of(blocking), 200, "{tables}");
    }
}

/// An answer without a length, in pieces.
fn chunked(text: &str) -> Vec<u8> {
    let mut answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.apple.mpegurl\r\n\
                       Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        .to_vec();
    for piece in text.as_bytes().chunks(4096) {
        answer.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        answer.extend_from_slice(piece);
        answer.extend_from_slice(b"\r\n");
    }
    answer.extend_from_slice(b"0\r\n\r\n");
    answer
}

#[test]
fn a_playlist_that_turns_out_too_long_is_refused_and_the_longest_is_not() {
    const LIMIT: usize = 64 << 10;
    let text = |length: usize| {
        let text = "#EXTM3U\n#EXTINF:1,\n1.ts\n";
        format!("{text}{}\n", "#".repeat(length - text.len() - 1))
    };
    for tables in ["", "cache = false"] {
        for (length, expected) in [(LIMIT, 200), (LIMIT + 1, 502), (9 * LIMIT, 502)] {
            let server = scripted(Vec::new(), move |mut gate| {
                gate.send_raw(&chunked(&text(length)));
                gate.drain();
            });
            let gate = gate_with(
                server.address,
                &format!("[hls]\nplaylist = \"64KiB\"\n{tables}"),
            );
            let entry = entry(&grant("abcde-one"), "1");
            let Answer { status, .. } = request(gate.playback, "GET", &entry, &[HERE], "");
            assert_eq!(status, expected, "{length} {tables}");
        }
    }
}
