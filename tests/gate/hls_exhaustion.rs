//! What people try who would use up what others need, over HTTP: fetches, memory, sockets and places.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use crate::support::clock::MovedClock;
use crate::support::gate::{Gate, Setup, grant, mint};
use crate::support::hls::{
    HERE, ask, ask_from, ask_only, entry, gate_with, links, live, pages_but, play, scripted,
    server, upstream_of, variant,
};
use crate::support::http_server::{HttpServer, Page, playlist, segment};
use crate::support::media_server::{MediaServer, read_head};
use crate::support::viewer::{Viewer, connect, get, query};
use crate::support::{PATIENCE, playing, until};

/// A gate of WebSocket and HLS, each with a media server of its own.
fn gate_of_both(
    clock: &MovedClock,
    media: &MediaServer,
    server: &HttpServer,
    tables: &str,
) -> Gate {
    Gate::start(&Setup {
        servers: vec![media.address],
        upstream: &upstream_of(server.address),
        tables,
        clock: Some(clock),
        ..Setup::default()
    })
}

#[test]
fn a_viewer_multiplies_no_shared_fetches_by_spelling_one_segment_in_many_ways() {
    let server = server();
    let gate = gate_with(server.address, "");
    let (_, _, segments) = play(&gate, &entry(&grant("abcde-one"), "1"));
    let filled = || gate.metric("h5gate_cache_requests_total{reason=\"filled\"}");
    assert_eq!(ask(&gate, &segments[0]).body, "segment one");
    assert_eq!(ask(&gate, &segments[1]).body, "segment two");
    let before = filled();
    assert!(before >= 4.0, "{before}");
    for path in [
        format!("{}?", segments[0]),
        format!("{}?&", segments[0]),
        format!("{}?&&&&", segments[0]),
        format!("{}?_HLS_x=1", segments[0]),
        format!("{}?_HLS_msn=1", segments[0]),
        format!("{}&", segments[1]),
        segments[1].replace("?x", "?&x"),
        segments[1].replace("x=1", "%78=1"),
        segments[1].replace("x=1", "x=%31"),
        format!("{}&_HLS_y=1", segments[1]),
    ] {
        let answer = ask(&gate, &path);
        // It is answered, but at the pace of the one who asks, and nothing is kept for others.
        assert!(answer.body.starts_with("segment"), "{path}: {answer:?}");
    }
    assert_eq!(filled(), before);
}

#[test]
fn who_does_not_read_a_playlist_whose_tickets_would_fill_the_memory_takes_none() {
    let server = server();
    let many = "#EXTM3U\n".to_owned() + &"a\n".repeat(100_000);
    server.set("/hls/abcde-one/playlist.m3u8", playlist(&many));
    let gate = gate_with(server.address, "[hls]\ncache_playlist = \"1h\"");
    let entry = entry(&grant("abcde-one"), "1");
    // What is shared is there, and the memory that one answer takes.
    assert_eq!(ask(&gate, &entry).status, 200);
    let before = gate.memory();
    let silent: Vec<_> = (0..10).map(|_| ask_only(&gate, &entry)).collect();
    until("all of them answered", || {
        (gate.metric("h5gate_http_answers_total") == 11.0).then_some(())
    });
    let each = gate.memory().saturating_sub(before) / silent.len();
    assert!(each < 1 << 20, "{each} bytes for each");
}

#[test]
fn a_playlist_that_comes_drop_by_drop_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut socket in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                read_head(&mut socket);
                let head =
                    "HTTP/1.1 200 OK\r\nContent-Type: application/x-mpegurl\r\n\r\n#EXTM3U\n";
                let mut sent = socket.write_all(head.as_bytes());
                while sent.is_ok() {
                    std::thread::park_timeout(Duration::from_millis(100));
                    sent = socket.write_all(b"#");
                }
            });
        }
    });
    let gate = Gate::start(&Setup {
        servers: vec![address],
        upstream: "http_path = \"/hls/{stream}/\"",
        tables: "[timeouts]\nmedia_idle = \"1s\"\n",
        ..Setup::default()
    });
    let entry = entry(&grant("abcde-one"), "1");
    assert_eq!(get(gate.playback, &entry, &[]).status, 504);
}

#[test]
fn a_viewer_who_asks_for_what_is_not_there_yet_makes_no_server_look_failed() {
    let server = server();
    let gate = gate_with(server.address, "");
    server.set("/hls/abcde-one/low/media.m3u8", playlist(&live(998)));
    let (_, media, _) = play(&gate, &entry(&grant("abcde-one"), "1"));
    let healthy = || {
        gate.metric(&format!(
            "h5gate_upstream_healthy{{server=\"{}\"}}",
            server.address
        ))
    };
    assert_eq!(healthy(), 1.0);
    // What a server says that has held the answer back for long enough.
    let late = Page {
        status: 503,
        ..segment(b"")
    };
    server.set("/hls/abcde-one/low/media.m3u8", late);
    assert_eq!(ask(&gate, &format!("{media}?_HLS_msn=999")).status, 502);
    assert_eq!(healthy(), 1.0);
    until("the cached playlist to be old", || {
        (ask(&gate, &media).status == 502).then_some(())
    });
    assert_eq!(healthy(), 0.0, "its own fault");
}

#[test]
fn a_viewer_who_does_not_read_is_gone_after_a_while() {
    let server = server();
    server.set("/other/2.ts", segment(&vec![7; 12 << 20]));
    let gate = gate_with(server.address, "[timeouts]\nuser_timeout = \"1s\"");
    let (_, _, segments) = play(&gate, &entry(&grant("abcde-one"), "1"));
    let mut socket = connect(gate.playback);
    let head = format!(
        "GET {} HTTP/1.1\r\nHost: localhost\r\n{HERE}\r\n\r\n",
        segments[1]
    );
    socket.write_all(head.as_bytes()).unwrap();
    let connections = || gate.metric("h5gate_connections");
    until("the connection", || (connections() == 1.0).then_some(()));
    until("its end", || (connections() == 0.0).then_some(()));
}

#[test]
fn who_opens_urls_without_playing_keeps_no_websocket_out() {
    let media = MediaServer::echo();
    let server = server();
    let clock = MovedClock::default();
    let gate = gate_of_both(&clock, &media, &server, "[limits]\nsessions = 3\n");
    for cid in 0..10 {
        let entry = entry(&grant("abcde-one"), &cid.to_string());
        assert_eq!(get(gate.playback, &entry, &[]).status, 200);
    }
    assert_eq!(gate.metric("h5gate_sessions"), 3.0);
    let mut viewers: Vec<_> = (0..3)
        .map(|_| {
            Viewer::open(
                gate.playback,
                &query("abcde-one", &mint(&grant("abcde-one"))),
                &[],
            )
        })
        .collect();
    for viewer in &mut viewers {
        assert_eq!(viewer.hear(), "hello");
    }
    // Those who play make way for nobody.
    let entry = entry(&grant("abcde-one"), "1");
    assert_eq!(get(gate.playback, &entry, &[]).status, 503);
}

#[test]
fn who_plays_keeps_its_place_when_others_open_urls_without_playing_them() {
    let media = MediaServer::echo();
    let server = server();
    let clock = MovedClock::default();
    let gate = gate_of_both(
        &clock,
        &media,
        &server,
        "[client]\ntrusted_proxies = [\"127.0.0.1\"]\n[limits]\nsessions = 3\n",
    );
    // It has asked for one link, and its token lets it begin no more.
    let short = clock.expiring();
    let (_, playlist, segments) = play(&gate, &entry(&short, "viewer"));
    clock.pass(&short);
    for cid in 0..10 {
        let entry = entry(&grant("abcde-one"), &cid.to_string());
        assert_eq!(ask(&gate, &entry).status, 200);
    }
    let _viewers = [playing(&gate, "abcde-one"), playing(&gate, "abcde-one")];
    for path in [&playlist, &segments[0]] {
        assert_eq!(ask(&gate, path).status, 200, "{path}");
    }
    // All three play now.
    let one_more = query("abcde-one", &mint(&grant("abcde-one")));
    let closed = Viewer::open(gate.playback, &one_more, &[HERE]).closed();
    assert_eq!(closed.0, 4503);
    assert_eq!(ask(&gate, &playlist).status, 200);
}

#[test]
fn a_request_that_waits_for_the_media_server_ends_with_the_last_who_waits_for_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (held, ends) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for mut socket in listener.incoming().map_while(Result::ok) {
            let held = held.clone();
            std::thread::spawn(move || {
                while let Some(head) = read_head(&mut socket) {
                    if head.contains("_HLS_msn") {
                        held.send("begin").unwrap();
                        let end = socket.read(&mut [0]);
                        assert!(matches!(end, Ok(0) | Err(_)));
                        return held.send("end").unwrap();
                    }
                    let text = match head.contains("low.m3u8") {
                        true => live(9998),
                        false => "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow.m3u8\n".to_owned(),
                    };
                    let head =
                        "HTTP/1.1 200 OK\r\nContent-Type: application/x-mpegurl\r\nContent-Length:";
                    let answer = format!("{head} {}\r\n\r\n{text}", text.len());
                    socket.write_all(answer.as_bytes()).unwrap();
                }
            });
        }
    });
    let gate = Gate::start(&Setup {
        servers: vec![address],
        upstream: "http_path = \"/hls/{stream}/\"",
        tables: "[timeouts]\nupstream_head = \"60s\"\nupstream_total = \"60s\"\n",
        ..Setup::default()
    });
    let entry = entry(&grant("abcde-one"), "1");
    let list = links(&entry, &get(gate.playback, &entry, &[]).body).remove(0);
    assert_eq!(get(gate.playback, &list, &[]).status, 200);
    let head = format!("GET {list}?_HLS_msn=9999 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut sockets = [connect(gate.playback), connect(gate.playback)];
    for socket in &mut sockets {
        socket.write_all(head.as_bytes()).unwrap();
    }
    let [one, other] = sockets;
    assert_eq!(ends.recv_timeout(PATIENCE), Ok("begin"));
    drop(one);
    assert_eq!(
        ends.recv_timeout(Duration::from_secs(3)),
        Err(RecvTimeoutError::Timeout)
    );
    drop(other);
    assert_eq!(ends.recv_timeout(PATIENCE), Ok("end"));
}

/// A playlist of a third of a megabyte, a long one as links, that says something else each time, so that no two answers are one.
fn changing(server_of: &'static str, fields: &'static str) -> MediaServer {
    let turn = std::sync::atomic::AtomicUsize::new(0);
    scripted(pages_but(server_of), move |mut gate| {
        let turn = turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#{turn}\n");
        for number in 0..12_000 {
            text += &format!("#EXTINF:1,\n{turn}/{number:012}.ts\n");
        }
        let mut page = playlist(&text);
        page.fields += fields;
        gate.send_raw(&page.last());
    })
}

#[test]
fn viewers_that_read_no_long_playlist_pin_no_more_than_is_configured() {
    const LIMIT: usize = 8 << 20;
    let entry_page = "/hls/abcde-one/playlist.m3u8";
    for (fields, tables) in [
        // Shared, each for 10 ms; and one viewer's alone, for two reasons.
        (
            "",
            "cache_playlist = \"10ms\"\ncache_size = \"8MiB\"\nplaylist_memory = \"8MiB\"",
        ),
        ("Cache-Control: private\r\n", "playlist_memory = \"8MiB\""),
        ("", "cache = false\nplaylist_memory = \"8MiB\""),
    ] {
        let media = changing(entry_page, fields);
        let tables = format!("[hls]\n{tables}");
        let gate = gate_with(media.address, &tables);
        let before = gate.memory();
        let mut silent = Vec::new();
        for cid in 0..32 {
            let count = gate.metric("h5gate_http_answers_total");
            silent.push(ask_only(
                &gate,
                &entry(&grant("abcde-one"), &cid.to_string()),
            ));
            until("its answer", || {
                (gate.metric("h5gate_http_answers_total") > count).then_some(())
            });
        }
        let pinned = gate.memory().saturating_sub(before);
        let account = gate.metric("h5gate_cache_bytes") + gate.metric("h5gate_playlists_bytes");
        // The limits of both, what one playlist takes while it is rewritten, and sockets.
        assert!(
            pinned < 3 * LIMIT,
            "{pinned} bytes, {account} in account ({tables})"
        );
        assert!(
            account <= 2.0 * 8.0 * 1024.0 * 1024.0,
            "{account} ({tables})"
        );
    }
}

/// A playlist of 1.8 MB that tells no length.
fn of_unknown_length(fields: &str) -> Vec<u8> {
    let mut answer = "HTTP/1.1 200 OK\r\nContent-Type: application/x-mpegurl\r\n".to_owned();
    answer += &format!("Connection: close\r\n{fields}\r\n#EXTM3U\n#EXT-X-TARGETDURATION:1\n");
    for number in 0..1_800 {
        answer += &format!("#EXTINF:1,\n{number:0980}.ts\n");
    }
    answer.into_bytes()
}

const OWN: &str = "Cache-Control: no-store\r\n";

/// Two streams of such playlists: of the first one each viewer has its own.
fn long_playlists(fields_of_two: &'static str) -> MediaServer {
    scripted(Vec::new(), move |mut gate| {
        let of_two = gate.head.contains("/abcde-two/");
        gate.send_raw(&of_unknown_length(if of_two { fields_of_two } else { OWN }));
    })
}

/// The first URL of the second stream.
fn entry_of_two() -> String {
    let query = query("abcde-two", &mint(&grant("abcde-two")));
    format!("/h5live/authhttp/playlist.m3u8?{query}&pid=8")
}

/// Begins a playback from an address, asks for its media playlist and reads nothing of the answer.
fn ask_silently(gate: &Gate, address: &str, entry: &str) -> TcpStream {
    let path = variant(gate, address, entry);
    let count = gate.metric("h5gate_http_answers_total");
    let mut socket = connect(gate.playback);
    let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {address}\r\n\r\n");
    socket.write_all(head.as_bytes()).unwrap();
    until("its answer", || {
        (gate.metric("h5gate_http_answers_total") > count).then_some(())
    });
    socket
}

/// Half of it, which is for what waits to be sent, has room for four of these playlists, and for two of one network.
const ROOM_FOR_FOUR: &str = "[hls]\nplaylist_memory = \"16MiB\"\nown_playlists = \"1GiB\"";

#[test]
fn viewers_of_one_network_that_read_nothing_keep_no_other_from_a_playlist_of_its_own() {
    let media = long_playlists(OWN);
    let gate = gate_with(media.address, ROOM_FOR_FOUR);
    let token = grant("abcde-one");
    let first = entry(&token, "0");
    let mut silent = vec![ask_silently(&gate, "192.0.2.1", &first)];
    let held = gate.metric("h5gate_playlists_bytes");
    assert!(held > 1_800_000.0, "{held}");
    // One more of the same playback, which holds more than its share.
    silent.push(ask_silently(&gate, "192.0.2.1", &first));
    assert_eq!(gate.metric("h5gate_playlists_bytes"), held);
    for cid in 1..8 {
        let address = format!("192.0.2.{cid}");
        silent.push(ask_silently(
            &gate,
            &address,
            &entry(&token, &cid.to_string()),
        ));
    }
    let held_by_all = gate.metric("h5gate_playlists_bytes");
    assert!(held_by_all < 2.5 * held, "{held_by_all}");
    let answer = ask_from(&gate, "198.51.100.1", &entry_of_two());
    assert_eq!(answer.status, 200);
    drop(silent);
    until("it to be given back", || {
        (gate.metric("h5gate_playlists_bytes") == 0.0).then_some(())
    });
    assert_eq!(ask(&gate, &first).status, 200);
}

#[test]
fn viewers_that_read_nothing_keep_no_other_from_a_playlist_that_is_shared() {
    let media = long_playlists("");
    let gate = gate_with(media.address, ROOM_FOR_FOUR);
    let mut silent = Vec::new();
    for network in 0..8 {
        let (address, cid) = (format!("203.0.{network}.1"), network.to_string());
        silent.push(ask_silently(
            &gate,
            &address,
            &entry(&grant("abcde-one"), &cid),
        ));
    }
    let held = gate.metric("h5gate_playlists_bytes");
    assert!((6e6..8.4e6).contains(&held), "{held}");
    let answer = ask_from(&gate, "198.51.100.1", &entry_of_two());
    assert_eq!(answer.status, 200);
}

#[test]
fn playlists_that_have_just_begun_keep_no_memory_for_the_longest_that_there_may_be() {
    let media = scripted(Vec::new(), move |mut gate| {
        if gate.head.contains("/abcde-two/") {
            return gate.send_raw(&of_unknown_length(""));
        }
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-mpegurl\r\n\r\n#EXTM3U\n";
        gate.send_raw(head.as_bytes());
        gate.drain();
    });
    let tables = "[hls]\ncache = false\nplaylist_memory = \"8MiB\"";
    let gate = gate_with(media.address, tables);
    let _viewers: Vec<_> = (0..10)
        .map(|cid| ask_only(&gate, &entry(&grant("abcde-one"), &cid.to_string())))
        .collect();
    until("all to be begun", || {
        let held = gate.metric("h5gate_playlists_bytes");
        (held == 10.0 * 65536.0).then_some(())
    });
    let answer = ask_from(&gate, "198.51.100.1", &entry_of_two());
    assert_eq!(answer.status, 200);
}
