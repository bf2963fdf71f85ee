//! What a player adds to a link is no offence and means nothing: it is not signed, makes no other answer, and is told to no
//! media server. The media server's own parameters are held to what its playlist said.

use crate::support::gate::{Gate, grant};
use crate::support::hls::{ask, begin, entry, gate_with, links, outcome};
use crate::support::http_server::{HttpServer, page, playlist, segment};
use crate::support::media_server::target;

const MULTI: &str = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlist.m3u8?a=1&b=2\n";
const MEDIA: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:100\n#EXTINF:1,\nbare.ts\n#EXTINF:1,\n\
                     signed.ts?md5=a/b==&expires=19&expires=20&x\n#EXTINF:1,\nk.key?k=1\n";
const LONG: &str = "[hls]\ncache_segment = \"1h\"\ncache_playlist = \"1h\"";

fn server() -> HttpServer {
    HttpServer::start(&[
        ("/hls/abcde-one/playlist.m3u8", playlist(MULTI)),
        ("/hls/abcde-one/list.m3u8", playlist(MEDIA)),
        ("/hls/abcde-one/bare.ts", segment(b"bare")),
        ("/hls/abcde-one/signed.ts", segment(b"signed")),
        (
            "/hls/abcde-one/k.key",
            page("application/octet-stream", b"0123456789abcdef"),
        ),
    ])
}

/// The links of a playlist, a segment without a query, one with, and a key; and what the media server is asked for them.
fn all_links(gate: &Gate) -> [(String, &'static str); 4] {
    let entry = entry(&grant("abcde-one"), "1");
    let list = links(&entry, &begin(gate, &entry).0.body).remove(0);
    let text = ask(gate, &list);
    assert_eq!(text.status, 200, "{text:?}");
    let [bare, signed, key] = links(&list, &text.body).try_into().unwrap();
    [
        (list, "/hls/abcde-one/list.m3u8?a=1&b=2"),
        (bare, "/hls/abcde-one/bare.ts"),
        (
            signed,
            "/hls/abcde-one/signed.ts?md5=a/b==&expires=19&expires=20&x",
        ),
        (key, "/hls/abcde-one/k.key?k=1"),
    ]
}

/// A link with something before, behind and between its own parameters, once and again, and with nothing.
fn with_additions(link: &str) -> Vec<String> {
    let (path, own) = link.split_once('?').unwrap_or((link, ""));
    let and = if own.is_empty() { "" } else { "&" };
    let mut all = vec![
        format!("{link}?"),
        format!("{link}??"),
        format!("{link}?_=1700000000"),
        format!("{path}?{own}&"),
        format!("{path}?{own}&&"),
        format!("{path}?&{own}"),
        format!("{path}?{own}{and}{own}"),
        format!("{path}?x={and}{own}{and}=&={and}%zz"),
        format!("{path}?{}", own.replace('&', "&_=1&CMCD=&")),
    ];
    for added in [
        "_=1700000000",
        "CMCD=bl%3D2000%2Cbr%3D3000%2Csid%3D%22a%22",
        "_HLS_start_offset=0",
        "_HLS_msn",
        "stream=abcde-two&url=rtmp://evil/play",
        "token=h1.a.b.c&expires=1&options=1&jwtoken=j",
        "a=2",
        "md5=zz",
        "a;b=1",
        "%61=1&+=%2B",
        "nothing",
    ] {
        all.push(format!("{path}?{added}{and}{own}"));
        all.push(format!("{path}?{own}{and}{added}"));
        all.push(format!("{path}?{added}&{added}{and}{own}&{added}"));
    }
    all
}

#[test]
fn what_a_player_adds_to_a_link_changes_nothing() {
    for tables in [LONG, "[hls]\ncache = false"] {
        let server = server();
        let gate = gate_with(server.address, tables);
        let mut tried = 0;
        for (link, asked) in all_links(&gate) {
            let plain = ask(&gate, &link);
            assert_eq!(plain.status, 200, "{link}");
            let before = server.heads().len();
            for added in with_additions(&link) {
                let answer = ask(&gate, &added);
                assert_eq!(answer.status, 200, "{added}: {answer:?}");
                assert_eq!(answer.body, plain.body, "{added}");
                tried += 1;
            }
            for head in &server.heads()[before..] {
                assert_eq!(target(head), asked);
            }
            // A key is never held.
            let shared = tables == LONG && !asked.contains("k.key");
            assert_eq!(shared, server.heads().len() == before, "{asked}");
        }
        assert!(tried > 100, "{tried}");
    }
}

#[test]
fn what_a_player_adds_to_the_first_url_changes_nothing() {
    for (tables, fetches) in [(LONG, 1), ("[hls]\ncache = false", 13)] {
        let server = server();
        let gate = gate_with(server.address, tables);
        let entry = entry(&grant("abcde-one"), "1");
        let plain = ask(&gate, &entry);
        assert_eq!(plain.status, 200);
        let (path, own) = entry.split_once('?').unwrap();
        let mut tried = 1;
        for added in ["_=1700000000", "CMCD=bl%3D2000", "_HLS_x=1", ""] {
            for query in [
                format!("{own}&{added}"),
                format!("{added}&{own}"),
                format!("{added}&{added}&{own}&&"),
            ] {
                let answer = ask(&gate, &format!("{path}?{query}"));
                assert_eq!((answer.status, &answer.body), (200, &plain.body), "{query}");
                tried += 1;
            }
        }
        let heads = server.heads();
        assert_eq!((tried, heads.len()), (13, fetches));
        for head in heads {
            let asked = target(&head);
            let told = ["_=", "CMCD", "_HLS_"]
                .iter()
                .any(|one| asked.contains(one));
            assert!(!told, "{asked}");
        }
        assert_eq!(gate.metric("h5gate_sessions"), 1.0);
    }
}

#[test]
fn what_a_player_adds_to_the_endless_file_changes_nothing() {
    let server = server();
    let film = "/hls/abcde-one/stream.mp4";
    server.set(film, page("video/mp4", b"film"));
    let gate = gate_with(server.address, "");
    let entry = entry(&grant("abcde-one"), "1").replace("playlist.m3u8", "stream.mp4");
    assert_eq!(ask(&gate, &entry).body, "film");
    let (path, own) = entry.split_once('?').unwrap();
    for added in ["_=1700000000", "CMCD=bl%3D2000", "%5F=1&CMCD&&_"] {
        for query in [format!("{own}&{added}"), format!("{added}&{own}&")] {
            assert_eq!(
                ask(&gate, &format!("{path}?{query}")).body,
                "film",
                "{query}"
            );
        }
    }
    let heads = server.heads();
    assert_eq!(heads.len(), 7);
    for head in &heads {
        assert_eq!(target(head), target(&heads[0]));
    }
}

#[test]
fn a_media_servers_own_parameters_are_what_its_playlist_says() {
    let server = server();
    let gate = gate_with(server.address, "[hls]\ncache = false");
    let [(list, _), _, (signed, _), (key, _)] = all_links(&gate);
    let before = server.heads().len();
    let own = signed.split_once('?').unwrap().1.to_owned();
    let asking = |query: &str| signed.replace(&own, query);
    for path in [
        // Changed,
        list.replace("a=1", "a=2"),
        key.replace("k=1", "k=1;k=2"),
        asking("md5=a/b=&expires=19&expires=20&x"),
        asking("md5=a/b==&expires=19&expires=21&x"),
        asking("md5=a/b==&expires=19&expires=20&X"),
        asking("md5=a/b==&expires=19&expires=20&x=1"),
        asking("md5=a/b==%26expires=19&expires=20&x"),
        // dropped,
        list.split('?').next().unwrap().to_owned(),
        list.replace("&b=2", ""),
        key.replace("k=1", ""),
        asking("md5=a/b==&expires=19&x"),
        asking("md5=a/b==&expires=19&expires=20"),
        asking("CMCD=1&_=2&_=3&_=4"),
        // and in another order,
        list.replace("a=1&b=2", "b=2&a=1"),
        asking("md5=a/b==&expires=20&expires=19&x"),
        asking("x&md5=a/b==&expires=19&expires=20"),
        // or with the marks of fewer.
        key.split_once("?k=1").unwrap().0.replacen(
            key.split('/').nth(4).unwrap(),
            &key.split('/').nth(4).unwrap()[..22],
            1,
        ),
    ] {
        assert_eq!(outcome(&ask(&gate, &path)), (403, 4901), "{path}");
    }
    assert_eq!(server.heads().len(), before);
    // The spelling of form encoding is the same, and so are additions around it.
    let anew = asking("_=1&md5=a%2Fb%3D%3D&expires=19&expires=20&x=&_HLS_msn=1");
    assert_eq!(ask(&gate, &anew).body, "signed");
}
