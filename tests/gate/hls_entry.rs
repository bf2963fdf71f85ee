//! What a playback begins with: a multivariant playlist, so that the ticket stands in a few links of one answer, and all that a
//! player reloads is the same for all viewers.

use std::fmt::Write as _;

use crate::support::gate::{Gate, grant};
use crate::support::hls::{
    HERE, MEDIA, ask, ask_from, begin, entry, gate_with, links, live, pages_but, play, scripted,
    server,
};
use crate::support::http_server::{HttpServer, playlist, segment};
use crate::support::media_server::{header, target};
use crate::support::viewer::{Answer, get, request};

const FIRST: &str = "/hls/abcde-one/playlist.m3u8";

/// A stream that has this playlist alone.
fn of_one(text: &str) -> HttpServer {
    let server = server();
    server.set(FIRST, playlist(text));
    server.set("/hls/abcde-one/1.ts", segment(b"segment one"));
    server
}

/// How often the playlist was asked for, and with which queries.
fn asked(server: &HttpServer) -> Vec<String> {
    let heads = server.heads();
    let targets = heads.iter().map(|head| target(head).to_owned());
    targets.filter(|target| target.starts_with(FIRST)).collect()
}

/// What a player gets at first, and then by the only link in it.
fn begins(gate: &Gate, address: &str, entry: &str) -> (Answer, String, Answer) {
    let first = ask_from(gate, address, entry);
    assert_eq!(first.status, 200, "{first:?}");
    let child = links(entry, &first.body).remove(0);
    let text = ask_from(gate, address, &child);
    assert_eq!(text.status, 200, "{text:?}");
    (first, child, text)
}

#[test]
fn a_media_playlist_is_the_only_variant_of_one_and_is_fetched_once() {
    let server = of_one("#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\n1.ts\n");
    let gate = gate_with(server.address, "");
    let entry = entry(&grant("abcde-one"), "1");
    let (first, child, text) = begins(&gate, "192.0.2.1", &entry);
    let lines: Vec<_> = first.body.lines().collect();
    let [start, variant, link] = lines[..] else {
        panic!("{lines:?}")
    };
    assert_eq!(start, "#EXTM3U");
    let bandwidth = variant
        .strip_prefix("#EXT-X-STREAM-INF:BANDWIDTH=")
        .unwrap();
    assert!(bandwidth.parse::<u64>().unwrap() > 0);
    assert!(link.starts_with('~'), "{link}");
    let kind = header(&first.head, "content-type").unwrap();
    assert_eq!(kind, "application/vnd.apple.mpegurl");
    let segments = links(&child, &text.body);
    assert_eq!(ask(&gate, &segments[0]).body, "segment one");
    assert!(!text.body.contains('~'), "{}", text.body);
    assert_eq!(asked(&server).len(), 1, "{:?}", asked(&server));
    // The media server's own multivariant playlist goes on as it is.
    server.set(FIRST, playlist(crate::support::hls::MULTI));
    let gate = gate_with(server.address, "");
    let (first, _) = begin(&gate, &entry);
    assert_eq!(first.body.lines().count(), 3);
    assert!(first.body.contains("low/media.m3u8"), "{}", first.body);
}

#[test]
fn a_reload_is_no_longer_than_twice_the_media_servers_and_the_same_for_all() {
    const SEGMENTS: u32 = 43_200;
    let mut text = String::from("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n");
    for number in 0..SEGMENTS {
        write!(
            text,
            "#EXTINF:2.00000,\nsegment_1700000000_{number:08}.ts\n"
        )
        .unwrap();
    }
    let server = of_one(&text);
    let gate = gate_with(server.address, "[hls]\ncache_playlist = \"1h\"");
    let token = grant("abcde-one");
    let viewers = [("192.0.2.1", "1"), ("198.51.100.1", "2")];
    let [(one, _, here), (two, _, there)] =
        viewers.map(|(address, cid)| begins(&gate, address, &entry(&token, cid)));
    assert_ne!(one.body, two.body, "each has its ticket");
    for first in [&one, &two] {
        assert!(first.body.len() < 1024, "{}", first.body.len());
    }
    assert!(here.body == there.body, "the reloads differ");
    assert_eq!(links("/x", &here.body).len(), SEGMENTS as usize);
    let (own, theirs) = (here.body.len(), text.len());
    assert!(own <= 2 * theirs, "{own} of {theirs}");
    println!("{theirs} bytes of the media server's are {own}");
    assert_eq!(asked(&server).len(), 1);
}

#[test]
fn a_stream_that_is_not_there_is_not_there_at_the_first_url() {
    let server = HttpServer::start(&pages_but(FIRST));
    for tables in ["", "[hls]\ncache = false"] {
        let gate = gate_with(server.address, tables);
        let entry = entry(&grant("abcde-one"), "1");
        assert_eq!(ask(&gate, &entry).status, 404, "{tables}");
        let head = request(gate.playback, "HEAD", &entry, &[HERE], "");
        assert_eq!(head.status, 404, "{tables}");
    }
}

#[test]
fn a_head_and_a_range_from_the_first_byte_are_answered_like_a_get() {
    let server = of_one(MEDIA);
    let gate = gate_with(server.address, "[hls]\ncache_playlist = \"1h\"");
    let entry = entry(&grant("abcde-one"), "1");
    let whole = ask(&gate, &entry);
    let head = request(gate.playback, "HEAD", &entry, &[HERE], "");
    assert_eq!(head.status, 200);
    for name in ["content-length", "content-type"] {
        assert_eq!(
            header(&head.head, name),
            header(&whole.head, name),
            "{name}"
        );
    }
    for range in ["Range: bytes=0-", "Range: bytes=0-1"] {
        let part = get(gate.playback, &entry, &[HERE, range]);
        assert_eq!((part.status, &part.body), (200, &whole.body), "{range}");
    }
}

#[test]
fn a_playlist_of_the_progressive_file_is_answered_as_it_is() {
    let server = of_one("#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\nstream.mp4?h5pltc=1\n");
    let gate = gate_with(server.address, "");
    let entry = entry(&grant("abcde-one"), "1");
    let (first, ticket) = begin(&gate, &entry);
    assert!(first.body.contains("#EXTINF:6,\n"), "{}", first.body);
    assert_eq!(first.body.matches(&ticket).count(), 1);
    let file = links(&entry, &first.body).remove(0);
    assert_eq!(ask(&gate, &file).body, "progressive");
    // It is no way to have the ticket in each line.
    let mut many = String::from("#EXTM3U\n#EXT-X-TARGETDURATION:6\n");
    for number in 0..9 {
        write!(many, "#EXTINF:6,\n{number}.ts\n").unwrap();
    }
    server.set(FIRST, playlist(&(many + "#EXTINF:6,\nstream.mp4\n")));
    let (_, _, text) = begins(&gate, "192.0.2.1", &entry);
    assert_eq!(links("/x", &text.body).len(), 10);
    assert!(!text.body.contains(&ticket));
}

#[test]
fn what_a_playlist_takes_from_the_query_goes_on_to_the_variant() {
    let text = "#EXTM3U\n#EXT-X-VERSION:11\n#EXT-X-DEFINE:QUERYPARAM=\"room\"\n\
                #EXT-X-TARGETDURATION:6\n#EXTINF:6,\n1.ts?room={$room}\n";
    for tables in ["", "[hls]\ncache = false"] {
        let server = of_one(text);
        let gate = gate_with(server.address, tables);
        let rooms = ["red", "blue"].map(|room| {
            let entry = entry(&grant("abcde-one"), room) + "&room=" + room;
            let (_, child, text) = begins(&gate, "192.0.2.1", &entry);
            // Players read the query that they asked with.
            assert!(child.contains(&format!("room={room}")), "{child}");
            assert!(!child.contains("token="), "{child}");
            let film = links(&child, &text.body).remove(0);
            assert!(film.ends_with(&format!("1.ts?room={room}")), "{film}");
            assert_eq!(ask(&gate, &film).body, "segment one");
            text.body
        });
        assert_ne!(rooms[0], rooms[1], "{tables}");
    }
}

#[test]
fn a_media_server_that_forbids_sharing_is_asked_in_the_name_of_each() {
    let mut own = playlist("#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\n1.ts\n");
    own.fields += "Cache-Control: private\r\n";
    let server = server();
    server.set(FIRST, own);
    let gate = gate_with(server.address, "");
    let entry = entry(&grant("abcde-one"), "1") + "&room=red";
    let (_, _, text) = begins(&gate, "192.0.2.1", &entry);
    assert!(text.body.contains("1.ts"));
    let asked = asked(&server);
    let last = asked.last().unwrap();
    assert!(
        last.contains("room=red") && !last.contains("token="),
        "{asked:?}"
    );
}

#[test]
fn news_are_waited_for_by_the_variant() {
    let waits = "_HLS_msn=7";
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let gone = std::sync::Mutex::new(gone);
    let server = scripted(pages_but(FIRST), move |mut gate| {
        let text = match target(&gate.head).contains(waits) {
            true => {
                let _ = gone.lock().unwrap().recv();
                live(7)
            }
            false => live(6),
        };
        gate.send_raw(&playlist(&text).last());
    });
    let gate = gate_with(server.address, "");
    let (_, child, segments) = play(&gate, &entry(&grant("abcde-one"), "1"));
    assert!(segments[0].ends_with("6.ts"));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| ask(&gate, &format!("{child}&{waits}")));
        drop(go);
        let news = waiting.join().unwrap();
        assert!(news.body.contains("7.ts"), "{news:?}");
    });
    let gone = format!("{child}&_HLS_msn=99");
    assert_eq!(ask(&gate, &gone).status, 400);
}
