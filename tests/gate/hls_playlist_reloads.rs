//! Reloads of a live playlist (rfc8216bis 6.2.5): what a viewer may make of them is a few requests for all viewers, and the
//! rest is answered with what is there.

use std::sync::Mutex;
use std::sync::mpsc::channel;

use crate::support::gate::grant;
use crate::support::hls::{
    MULTI, ask, ask_only, entry, gate_with, live, pages_but, play, scripted, server,
};
use crate::support::http_server::playlist;
use crate::support::media_server::{read_head, target};
use crate::support::until;

const LIST: &str = "/hls/abcde-one/low/media.m3u8";
const LONG: &str = "[hls]\ncache_playlist = \"1h\"\ncache_segment = \"1h\"";

/// Segment 6 is there, and two parts of segment 7.
fn in_parts(parts: u64) -> String {
    let control =
        "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=3.0,CAN-SKIP-UNTIL=12.0\n";
    let mut text = live(6).replace("#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES\n", control)
        + "#EXT-X-PART-INF:PART-TARGET=1.0\n";
    for part in 0..parts {
        text += &format!("#EXT-X-PART:DURATION=1,URI=\"7.{part}.ts\"\n");
    }
    text
}

#[test]
fn what_no_player_says_makes_no_request_of_its_own() {
    let server = server();
    server.set(LIST, playlist(&live(6)));
    let gate = gate_with(server.address, LONG);
    let first = entry(&grant("abcde-one"), "1");
    let (_, media, segments) = play(&gate, &first);
    assert_eq!(segments.len(), 1);
    let mut queries: Vec<_> = (0..20).map(|n| format!("_HLS_q={n}")).collect();
    // What the playlist has already.
    queries.extend((0..=6).map(|n| format!("_HLS_msn={n}&_HLS_part={n}")));
    queries.extend(
        [
            "_HLS_msn=007",
            "_HLS_msn=",
            "_HLS_msn",
            "_HLS_msn=-7",
            "_HLS_msn=7%20",
            "_HLS_msn=%37",
            "_HLS_msn=7&_HLS_msn=7",
            "_HLS_msn=7&_HLS_msn=8",
            "_HLS_msn=18446744073709551616",
            "_HLS_part=1",
            "_HLS_msn=7&_HLS_part=x",
            "_HLS_skip=YES",
            "_HLS_skip=v2",
            "_HLS_skip=no",
            "_HLS_push=1",
            "&&&",
            "",
        ]
        .map(str::to_owned),
    );
    let before = server.heads().len();
    for query in &queries {
        for path in [format!("{media}?{query}"), format!("{first}&{query}")] {
            assert_eq!(ask(&gate, &path).status, 200, "{path}");
        }
    }
    let heads = server.heads();
    let asked: Vec<_> = heads[before..].iter().map(|head| target(head)).collect();
    assert!(asked.is_empty(), "{asked:?}");
}

#[test]
fn what_is_too_far_ahead_is_refused_and_the_media_server_hears_nothing_of_it() {
    for (text, wrong, waits) in [
        (live(6), vec!["9", "10", "18446744073709551615"], "8"),
        (
            in_parts(2),
            vec![
                "9",
                "7&_HLS_part=6",
                "8&_HLS_part=4",
                "8&_HLS_part=18446744073709551615",
            ],
            "7&_HLS_part=2",
        ),
    ] {
        for tables in ["", "cache = false"] {
            let server = server();
            server.set(LIST, playlist(&text));
            let gate = gate_with(server.address, &format!("[hls]\n{tables}"));
            let (_, media, _) = play(&gate, &entry(&grant("abcde-one"), "1"));
            for query in &wrong {
                let path = format!("{media}?_HLS_msn={query}");
                // What is known of it counts for as long as it has hardly got farther.
                until("what is known of the playlist", || {
                    let before = server.heads().len();
                    let status = ask(&gate, &path).status;
                    let asked = server.heads().len() - before;
                    assert!(
                        (status, asked) == (400, 0) || status == 200,
                        "{query} {status}"
                    );
                    (status == 400).then_some(())
                });
            }
            let heads = server.heads();
            assert!(heads.iter().all(|head| !head.contains("_HLS_")));
            // And what is in reach is asked for.
            assert_eq!(ask(&gate, &format!("{media}?_HLS_msn={waits}")).status, 200);
            let heads = server.heads();
            assert!(
                heads.iter().any(|head| head.contains("?_HLS_msn=7")),
                "{tables}"
            );
        }
    }
}

#[test]
fn a_playlist_that_waits_for_nothing_is_never_asked_to() {
    let never = live(6).replace("YES", "NO");
    let unsaid = live(6).replace("#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES\n", "");
    let ended = live(6) + "#EXT-X-ENDLIST\n";
    for text in [never, unsaid, ended] {
        for tables in ["", "cache = false"] {
            let server = server();
            server.set(LIST, playlist(&text));
            let gate = gate_with(server.address, &format!("[hls]\n{tables}"));
            let (_, media, _) = play(&gate, &entry(&grant("abcde-one"), "1"));
            for query in ["7", "8", "9", "999&_HLS_skip=YES"] {
                let path = format!("{media}?_HLS_msn={query}");
                assert_eq!(ask(&gate, &path).status, 200, "{query}");
            }
            let heads = server.heads();
            assert!(heads.iter().all(|head| !head.contains("_HLS_")), "{text}");
        }
    }
}

#[test]
fn all_that_wait_for_a_playlist_wait_for_the_same_few_answers() {
    let (go, gone) = channel::<()>();
    let gone = Mutex::new(gone);
    let mut pages = pages_but(LIST);
    pages[0].1 = playlist(MULTI);
    let server = scripted(pages, move |mut gate| {
        if !target(&gate.head).contains("_HLS_msn") {
            return gate.send_raw(&playlist(&in_parts(2)).last());
        }
        let _ = gone.lock().unwrap().recv();
        let next = in_parts(2) + "#EXTINF:2,\n7.ts\n#EXTINF:2,\n8.ts\n";
        gate.send_raw(&playlist(&next).last());
    });
    let gate = gate_with(
        server.address,
        "[hls]\ncache_playlist = \"1h\"\n[timeouts]\nupstream_head = \"60s\"\nupstream_total = \"60s\"",
    );
    let (_, media, _) = play(&gate, &entry(&grant("abcde-one"), "1"));
    let mut queries = vec!["7".to_owned(), "8".to_owned()];
    queries.extend((2..6).map(|part| format!("7&_HLS_part={part}")));
    queries.extend((0..4).map(|part| format!("8&_HLS_part={part}")));
    let waiting: Vec<_> = queries
        .iter()
        .flat_map(|query| ["", "&_HLS_q=1"].map(|more| format!("{media}?_HLS_msn={query}{more}")))
        .map(|path| ask_only(&gate, &path))
        .collect();
    assert_eq!(waiting.len(), 20);
    let joined = || gate.metric("h5gate_cache_requests_total{reason=\"joined\"}");
    until("all of them wait", || (joined() >= 18.0).then_some(()));
    let asked = || {
        let heads = server.heads();
        let targets = heads.iter().map(|head| target(head).to_owned());
        let mut asked: Vec<_> = targets.filter(|target| target.contains("_HLS_")).collect();
        asked.sort();
        asked
    };
    let (part, whole) = (
        format!("{LIST}?_HLS_msn=7&_HLS_part=2"),
        format!("{LIST}?_HLS_msn=7"),
    );
    until("two requests", || (asked().len() == 2).then_some(()));
    assert_eq!(asked(), [whole, part]);
    drop(go);
    for mut socket in waiting {
        let head = read_head(&mut socket).unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    }
    // What has come meanwhile is what those who are behind get.
    assert!(
        ask(&gate, &format!("{media}?_HLS_msn=8"))
            .body
            .contains("/8.ts")
    );
    assert_eq!(asked().len(), 2);
}

#[test]
fn the_spellings_that_players_use_are_shared_and_no_other_is() {
    let server = server();
    let text =
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n/other/2.ts?u=rtmp://a:1/b&x&p=%2541\n";
    server.set(LIST, playlist(text));
    let gate = gate_with(server.address, LONG);
    let (_, _, segments) = play(&gate, &entry(&grant("abcde-one"), "1"));
    let (path, written) = segments[0].split_once('?').unwrap();
    let asked = |query: &str| {
        let path = format!("{path}?{query}");
        assert_eq!(ask(&gate, &path).body, "segment two", "{path}");
        server.asked("/other/2.ts")
    };
    // As the playlist has it, in any spelling of the same normal form.
    for query in [
        written.to_owned(),
        format!("_=1&{written}&CMCD=bl%3D2000"),
        written.replace("&x", "&%78"),
        written.replace("&x", "&&x"),
        written.replace("%2541", "%25%34%31"),
        written.replace("%2541", "%%341"),
    ] {
        assert_eq!(asked(&query), 1, "{query}");
    }
    // As form encoding has it (URLSearchParams).
    let form = "u=rtmp%3A%2F%2Fa%3A1%2Fb&x=&p=%2541";
    for query in [
        form.to_owned(),
        format!("{form}&_=2"),
        form.to_ascii_lowercase(),
    ] {
        assert_eq!(asked(&query), 2, "{query}");
    }
    // Any other one is its viewer's alone: neither does it become others' answer, nor does theirs become its own.
    let mut fetches = 2;
    for query in [
        written.replace(':', "%3A"),
        written.replace('/', "%2F"),
        written.replace("&x", "&x="),
        form.replace("&x=", "&x"),
    ] {
        for _ in 0..2 {
            fetches += 1;
            assert_eq!(asked(&query), fetches, "{query}");
        }
        assert_eq!(asked(written), fetches, "{query}");
        assert_eq!(asked(form), fetches, "{query}");
    }
    // What the media server is asked for is what was signed, however it is spelled.
    let heads = server.heads();
    assert!(
        heads
            .iter()
            .all(|head| !head.contains("p=A") && !head.contains("p=%41")),
        "{heads:?}"
    );
}

#[test]
fn no_body_is_fetched_for_a_head() {
    for tables in [LONG, "[hls]\ncache = false"] {
        let server = server();
        let gate = gate_with(server.address, tables);
        let first = entry(&grant("abcde-one"), "1");
        let head = |path: &str| {
            let here = [crate::support::hls::HERE];
            crate::support::viewer::request(gate.playback, "HEAD", path, &here, "").status
        };
        assert_eq!(head(&first), 200);
        let (_, media, segments) = play(&gate, &entry(&grant("abcde-one"), "2"));
        let before = server.heads().len();
        for path in [&first, &media, &segments[0], &segments[1]] {
            assert_eq!(head(path), 200, "{path}");
        }
        for head in &server.heads()[before..] {
            assert!(head.starts_with("HEAD "), "{head}");
        }
    }
}
