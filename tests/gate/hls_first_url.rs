//! The URL that a playback begins with belongs to one playback: whoever opens it again is known, whatever happened
//! meanwhile, and nobody else is.

use std::io::Read as _;
use std::num::NonZeroU16;
use std::sync::Mutex;
use std::sync::mpsc::channel;

use h5gate::token::Grant;
use rustix::process::Signal;

use crate::support::clock::MovedClock;
use crate::support::gate::{Gate, Setup, grant, mint};
use crate::support::hls::{
    MEDIA, ask, ask_from, ask_only, begin, entry, gate_by, gate_with, links, outcome, pages_but,
    play, scripted, server,
};
use crate::support::http_server::{HttpServer, playlist, segment};
use crate::support::media_server::{MediaServer, header, target};
use crate::support::restart::Restarts;
use crate::support::viewer::{Answer, Viewer, get, query, request};
use crate::support::{playing, until};

const HERE: &str = "192.0.2.1";
const THERE: &str = "2001:db8::1";

/// A stream that begins with a media playlist, which players load again and again.
fn of_one_playlist() -> HttpServer {
    let server = server();
    server.set(
        "/hls/abcde-one/playlist.m3u8",
        playlist("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n1.ts\n"),
    );
    server.set("/hls/abcde-one/1.ts", segment(b"segment one"));
    server
}

/// For one viewer alone.
fn one_seat(mut grant: Grant) -> Grant {
    grant.sessions = NonZeroU16::new(1);
    grant
}

#[test]
fn a_token_with_the_id_of_another_joins_no_playback() {
    let server = server();
    let gate = gate_with(server.address, "");
    let victim = grant("abcde-one");
    let victims = entry(&victim, "1");
    begin(&gate, &victims);
    let with_its_id = |stream: &str| {
        let mut other = grant(stream);
        other.id = victim.id;
        other
    };
    let before = server.heads().len();
    // Of another organisation, and for another stream of the same one.
    for stream in ["fghij-x", "abcde-two"] {
        let forged = query("abcde-one", &mint(&with_its_id(stream)));
        let forged = format!("/h5live/authhttp/playlist.m3u8?{forged}&pid=7");
        let forged = forged.replace("cid=123456", "cid=1");
        for path in [
            forged.clone(),
            forged.replace("playlist.m3u8", "stream.mp4"),
        ] {
            assert_eq!(outcome(&ask(&gate, &path)), (403, 4901), "{path}");
        }
    }
    assert_eq!(server.heads().len(), before);
    begin(&gate, &victims);
}

#[test]
fn who_came_back_by_a_link_is_known_by_the_first_url_too() {
    let server = of_one_playlist();
    let clock = MovedClock::default();
    let gate = gate_by(&clock, server.address, "[hls]\nsession_idle = \"5s\"");
    let token = one_seat(clock.expiring());
    let entry = entry(&token, "1");
    let (text, ticket) = begin(&gate, &entry);
    let film = links(&entry, &text.body).remove(0);
    gate.logged("playback ended");
    assert_eq!(ask(&gate, &film).status, 200, "a return");
    assert_eq!(begin(&gate, &entry).1, ticket);
    clock.pass(&token);
    assert_eq!(ask(&gate, &film).status, 200);
    assert_eq!(begin(&gate, &entry).1, ticket);
    assert_eq!(gate.metric("h5gate_sessions"), 1.0);
}

#[test]
fn a_viewer_with_both_kinds_of_addresses_is_one_playback() {
    let server = of_one_playlist();
    let clock = MovedClock::default();
    let gate = gate_by(&clock, server.address, "");
    let token = one_seat(clock.expiring());
    let entry = entry(&token, "1");
    let first = |address| {
        let answer = ask_from(&gate, address, &entry);
        assert_eq!(answer.status, 200, "{address} {answer:?}");
        links(&entry, &answer.body)
    };
    let film = first(HERE);
    assert_eq!(first(THERE), film);
    clock.pass(&token);
    for address in [HERE, THERE] {
        assert_eq!(first(address), film);
        assert_eq!(ask_from(&gate, address, &film[0]).status, 200, "{address}");
    }
    // One of each kind.
    let elsewhere = ask_from(&gate, "198.51.100.1", &entry);
    assert_eq!(outcome(&elsewhere), (403, 4903));
    assert_eq!(gate.metric("h5gate_sessions"), 1.0);
}

#[test]
fn one_url_in_two_places_is_two_playbacks() {
    let server = of_one_playlist();
    let gate = gate_with(server.address, "");
    let shared = entry(&grant("abcde-one"), "1");
    let ticket = |address| {
        let answer = ask_from(&gate, address, &shared);
        links(&shared, &answer.body).remove(0)
    };
    let (here, elsewhere) = (ticket(HERE), ticket("198.51.100.1"));
    assert_ne!(here, elsewhere);
    for (address, link) in [(HERE, &here), ("198.51.100.1", &elsewhere)] {
        assert_eq!(&ticket(address), link, "each is known again");
        assert_eq!(ask_from(&gate, address, link).status, 200);
    }
    assert_eq!(gate.metric("h5gate_sessions"), 2.0);
}

#[test]
fn who_waits_for_the_media_server_makes_way_for_nobody_and_is_not_quiet() {
    let (go, gone) = channel::<()>();
    let gone = Mutex::new(gone);
    let first = "/hls/abcde-one/playlist.m3u8";
    let pages = pages_but(first);
    let server = scripted(pages, move |mut server| {
        let _ = gone.lock().unwrap().recv();
        server.send_raw(&playlist(MEDIA).last());
    });
    let gate = gate_with(
        server.address,
        "[limits]\nsessions = 1\n[hls]\nsession_idle = \"1s\"",
    );
    let entry = entry(&grant("abcde-one"), "1");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| ask(&gate, &entry));
        until("the viewer at the media server", || {
            (server.asked(first) == 1).then_some(())
        });
        let other = query("abcde-two", &mint(&grant("abcde-two")));
        let other = format!("/h5live/authhttp/playlist.m3u8?{other}&pid=8");
        // For longer than the idle time.
        let begun = std::time::Instant::now();
        until("more than the idle time", || {
            assert_eq!(outcome(&ask(&gate, &other)), (503, 4503));
            (begun.elapsed().as_secs() >= 3).then_some(())
        });
        drop(go);
        let answer = waiting.join().unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
    });
}

#[test]
fn a_reload_that_takes_its_source_away_ends_no_playback() {
    let server = of_one_playlist();
    let setup = |urls: &'static str| Setup {
        servers: vec![server.address],
        upstream: urls,
        ..Setup::default()
    };
    let both = "http_path = \"/hls/{stream}/\"\nrtmp_urls = [\"rtmp://localhost/play\", \"rtmp://localhost/other\"]";
    let swapped = "http_path = \"/hls/{stream}/\"\nrtmp_urls = [\"rtmp://localhost/other\", \"rtmp://localhost/play\"]";
    let without = "http_path = \"/hls/{stream}/\"\nrtmp_urls = [\"rtmp://localhost/other\"]";
    let gate = Gate::start(&setup(both));
    let entry = entry(&grant("abcde-one"), "1");
    let answer = get(gate.playback, &entry, &[]);
    let film = links(&entry, &answer.body).remove(0);
    for (count, urls) in [(1, swapped), (2, without)] {
        gate.rewrite(&setup(urls));
        gate.signal(Signal::HUP);
        until("the reload", || {
            (gate.metric("h5gate_reloads_total") == f64::from(count)).then_some(())
        });
        assert_eq!(get(gate.playback, &film, &[]).status, 200, "{urls}");
    }
}

#[test]
fn playbacks_outlive_a_drain_that_is_longer_than_they_may_be_quiet() {
    let server = of_one_playlist();
    let sockets = MediaServer::echo();
    let clock = MovedClock::default();
    let tables = "[timeouts]\ndrain = \"12s\"\n[hls]\nsession_idle = \"3s\"";
    let restarts = Restarts::new(server.address, Some(sockets.address), tables).by(&clock);
    let mut gate = restarts.start();
    let token = clock.expiring();
    let entry = entry(&token, "1");
    let (text, ticket) = begin(&gate, &entry);
    let film = links(&entry, &text.body).remove(0);
    // The last of these is sent away late in the drain.
    let mut others: Vec<Viewer> = (0..3).map(|_| playing(&gate, "abcde-one")).collect();
    clock.pass(&token);
    let began = std::time::Instant::now();
    gate.signal(Signal::TERM);
    others
        .iter_mut()
        .for_each(|viewer| assert_eq!(viewer.closed().0, 4503));
    drop(others);
    assert!(gate.ended().success());
    // Three target durations and the idle time are less.
    assert!(
        began.elapsed().as_secs() >= 5,
        "the drain was too short to tell"
    );

    let gate = restarts.start();
    assert_eq!(ask(&gate, &film).status, 200);
    assert_eq!(begin(&gate, &entry).1, ticket);
}

#[test]
fn a_long_playlist_plays_with_a_long_token() {
    use std::fmt::Write as _;
    let mut text = String::from("#EXTM3U\n#EXT-X-TARGETDURATION:60\n");
    for number in 0..18_000 {
        write!(text, "#EXTINF:1,\n{number}.ts\n").unwrap();
    }
    let server = server();
    server.set("/hls/abcde-one/playlist.m3u8", playlist(&text));
    server.set("/hls/abcde-one/17999.ts", segment(b"the last one"));
    let gate = gate_with(server.address, "[hls]\ncache_playlist = \"1h\"");
    let mut long = grant("abcde-one");
    long.tag = "t".repeat(200).parse().unwrap();
    let pages: Vec<_> = (0..8)
        .map(|n| format!("{n}{}.test", "a".repeat(60)))
        .collect();
    long.referers = pages.iter().map(|page| page.parse().unwrap()).collect();
    let entry = entry(&long, "1");
    let referer = format!("Referer: http://{}/", pages[0]);
    let asked = |method: &str, path: &str| {
        request(
            gate.playback,
            method,
            path,
            &[crate::support::hls::HERE, &referer],
            "",
        )
    };
    let first = asked("GET", &entry);
    assert_eq!(first.status, 200, "{}", first.head);
    let list = links(&entry, &first.body).remove(0);
    let answer = asked("GET", &list);
    let named = links(&list, &answer.body);
    assert_eq!(named.len(), 18_000);
    let length = |answer: &Answer| header(&answer.head, "content-length").map(str::to_owned);
    for (path, answer) in [(&entry, &first), (&list, &answer)] {
        assert_eq!(length(answer), Some(answer.body.len().to_string()));
        assert_eq!(length(&asked("HEAD", path)), length(answer));
    }
    assert_eq!(asked("GET", &named[17_999]).body, "the last one");
}

#[test]
fn one_playback_holds_few_shared_answers_at_once() {
    const AT_ONCE: usize = 16;
    let (go, gone) = channel::<()>();
    let gone = Mutex::new(gone);
    let film = "/hls/abcde-one/low/1.ts";
    let pages = pages_but(film);
    let server = scripted(pages, move |mut server| {
        let _ = gone.lock().unwrap().recv();
        server.send_raw(&segment(b"segment one").last());
    });
    let gate = gate_with(server.address, "");
    let (_, _, segments) = play(&gate, &entry(&grant("abcde-one"), "1"));
    let sockets: Vec<_> = (0..AT_ONCE + 2)
        .map(|_| ask_only(&gate, &segments[0]))
        .collect();
    // One for those who share, and one for each of the others.
    until("what is asked alone", || {
        (server.asked(film) == 3).then_some(())
    });
    drop(go);
    for mut socket in sockets {
        let mut answer = Vec::new();
        while !answer.ends_with(b"segment one") {
            let mut byte = [0];
            socket.read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
        }
    }
    assert_eq!(server.asked(film), 3);
}

#[test]
fn a_segment_that_does_not_say_how_long_it_is_goes_to_its_end() {
    const LENGTH: usize = 300_000;
    let (go, gone) = channel::<()>();
    let gone = Mutex::new(gone);
    let film = "/hls/abcde-one/low/1.ts";
    let pages = pages_but(film);
    let server = scripted(pages, move |mut server| {
        server.send_raw(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\n");
        server.send_raw(b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
        // Until the viewer reads along.
        let _ = gone.lock().unwrap().recv();
        server.send_raw(format!("{:x}\r\n", LENGTH - 1).as_bytes());
        server.send_raw(&[b'x'; LENGTH - 1]);
        server.send_raw(b"\r\n0\r\n\r\n");
    });
    let gate = gate_with(server.address, "[hls]\ncache_object = \"64KiB\"");
    let (_, _, segments) = play(&gate, &entry(&grant("abcde-one"), "1"));
    let mut socket = ask_only(&gate, &segments[0]);
    let mut answer = Vec::new();
    let mut go = Some(go);
    // In chunks, so that its end is known.
    while !answer.ends_with(b"\r\n0\r\n\r\n") {
        let mut bytes = [0; 4096];
        let count = socket.read(&mut bytes).unwrap();
        assert!(count > 0, "cut after {} bytes", answer.len());
        answer.extend_from_slice(&bytes[..count]);
        if answer.ends_with(b"x\r\n") {
            go = None;
        }
    }
    assert!(go.is_none());
    let body = answer
        .windows(4)
        .position(|end| end == b"\r\n\r\n")
        .unwrap();
    let media = answer[body..].iter().filter(|byte| **byte == b'x').count();
    assert_eq!(media, LENGTH);
    assert_eq!(server.asked(film), 1);
}

#[test]
fn no_other_spelling_asks_a_media_server_to_wait() {
    let server = server();
    let gate = gate_with(server.address, "");
    let (_, media, _) = play(&gate, &entry(&grant("abcde-one"), "1"));
    assert_eq!(ask(&gate, &format!("{media}?_HLS_msn=9")).status, 200);
    let before = server.heads().len();
    for query in [
        "%5FHLS_msn=9",
        "_HLS%5Fmsn=9",
        "_HLS_%6Dsn=9",
        "%5fHLS%5fmsn=9&_HLS_part=1",
    ] {
        // What a player adds is no offence, and means nothing.
        let answer = ask(&gate, &format!("{media}?{query}"));
        assert_eq!(answer.status, 200, "{query}");
    }
    for head in &server.heads()[before..] {
        assert_eq!(target(head), "/hls/abcde-one/low/media.m3u8");
    }
}

#[test]
fn what_is_packed_says_so() {
    let server = server();
    let mut packed = segment(b"packed");
    packed.fields += "Content-Encoding: gzip\r\n";
    server.set("/hls/abcde-one/low/1.ts", packed);
    let gate = gate_with(server.address, "");
    let (_, _, segments) = play(&gate, &entry(&grant("abcde-one"), "1"));
    let answer = ask(&gate, &segments[0]);
    assert_eq!(header(&answer.head, "content-encoding"), Some("gzip"));
    for head in server.heads() {
        assert_eq!(header(&head, "accept-encoding"), Some("identity"), "{head}");
    }
}
