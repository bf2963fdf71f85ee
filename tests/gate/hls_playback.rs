//! An HLS viewer is one playback: checked when it starts, undisturbed past the expiry, over when it has been quiet, and
//! checked again when it comes back.

use std::num::NonZeroU16;

use h5gate::token::{AtExpiry, UnixSeconds};
use rustix::process::Signal;

use crate::support::clock::MovedClock;
use crate::support::gate::{grant, mint, now};
use crate::support::hls::{
    MULTI, ask, begin, code, entry, gate_by, gate_with, links, play, server,
};
use crate::support::http_server::{Page, playlist, segment};
use crate::support::media_server::{header, target};
use crate::support::restart::Restarts;
use crate::support::until;
use crate::support::viewer::{get, query, request};

#[test]
fn playlists_and_segments_come_through_one_ticket() {
    let server = server();
    let gate = gate_with(server.address, "");
    let (_, _, segments) = play(&gate, &entry(&grant("abcde-one"), "1"));
    let one = ask(&gate, &segments[0]);
    assert_eq!((one.status, one.body.as_str()), (200, "segment one"));
    assert_eq!(header(&one.head, "cache-control"), Some("private"));
    assert_eq!(ask(&gate, &segments[1]).body, "segment two");
    // No key of the token and nothing of the viewer has reached the media server.
    for head in server.heads() {
        let lower = head.to_ascii_lowercase();
        assert!(
            !lower.contains("token=") && !lower.contains("192.0.2.1"),
            "{head}"
        );
        assert!(!target(&head).contains("cid="), "{head}");
    }
    assert_eq!(gate.metric("h5gate_sessions"), 1.0);
}

#[test]
fn a_playback_outlives_its_token_and_a_return_does_not() {
    let server = server();
    let clock = MovedClock::default();
    let gate = gate_by(&clock, server.address, "[hls]\nsession_idle = \"5s\"");
    let grant = clock.expiring();
    let entry = entry(&grant, "1");
    let (first, media, segments) = play(&gate, &entry);
    clock.pass(&grant);
    assert_eq!(ask(&gate, &media).status, 200);
    assert_eq!(ask(&gate, &segments[0]).status, 200);
    // A player that reloads the URL it was given goes on, too.
    assert_eq!(begin(&gate, &entry).1, first);
    // Quiet for the idle time and for three target durations.
    let line = gate.logged("playback ended");
    assert_eq!(line["reason"], "quiet");
    for path in [&entry, &media, &segments[0]] {
        let refused = ask(&gate, path);
        assert_eq!((refused.status, code(&refused)), (403, 4903), "{path}");
    }
    assert_eq!(gate.metric("h5gate_sessions"), 0.0);
}

#[test]
fn a_return_with_a_valid_token_goes_on_under_the_same_ticket() {
    let server = server();
    let gate = gate_with(server.address, "[hls]\nsession_idle = \"1s\"");
    let entry = entry(&grant("abcde-one"), "1");
    let (ticket, media, _) = play(&gate, &entry);
    gate.logged("playback ended");
    assert_eq!(ask(&gate, &media).status, 200);
    assert_eq!(gate.metric("h5gate_sessions"), 1.0);
    // By its first URL, too: players compare the URIs of segments that they have seen.
    let ended = || {
        gate.log()
            .iter()
            .filter(|line| line["message"] == "playback ended")
            .count()
    };
    until("the second end", || (ended() == 2).then_some(()));
    assert_eq!(begin(&gate, &entry).1, ticket);
}

#[test]
fn a_bad_token_is_refused_before_the_media_server_hears_of_it() {
    let server = server();
    let gate = gate_with(server.address, "");
    let good = query("abcde-one", &mint(&grant("abcde-one")));
    let mut expired = grant("abcde-one");
    expired.expires = Some(UnixSeconds::new(now() - 1));
    for file in ["playlist.m3u8", "stream.mp4"] {
        for (query, status, expected) in [
            (query("abcde-one", &mint(&expired)), 403, 4903),
            (query("abcde-two", &mint(&grant("abcde-one"))), 403, 4901),
            (good.replace("options=1", "options=0"), 403, 4901),
            (good.replace("&token=", "&x="), 403, 4903),
            (good.replace("&stream=", "&x="), 400, 4400),
            (format!("{good}&Stream=abcde-two"), 400, 4400),
        ] {
            let refused = ask(&gate, &format!("/h5live/authhttp/{file}?{query}"));
            assert_eq!(
                (refused.status, code(&refused)),
                (status, expected),
                "{query}"
            );
        }
    }
    assert!(server.heads().is_empty());
}

#[test]
fn a_ticket_opens_only_what_the_gate_named() {
    let server = server();
    let gate = gate_with(server.address, "");
    let (ticket, media, segments) = play(&gate, &entry(&grant("abcde-one"), "1"));
    let signature = segments[0].split('/').nth(4).unwrap();
    let before = server.heads().len();
    let other_end = if ticket.ends_with('A') { 'Q' } else { 'A' };
    for path in [
        format!("/h5live/authhttp/{ticket}/{signature}/stat"),
        format!("/h5live/authhttp/{ticket}/{signature}/hls/abcde-two/playlist.m3u8"),
        format!("/h5live/authhttp/{ticket}/{signature}/hls/abcde-one/low/../../../stat"),
        segments[0].replace("1.ts", "2.ts"),
        segments[1].replace("x=1", "x=2"),
        media.replace(
            &ticket,
            &format!("{}{other_end}", &ticket[..ticket.len() - 1]),
        ),
    ] {
        let refused = ask(&gate, &path);
        assert_eq!((refused.status, code(&refused)), (403, 4901), "{path}");
    }
    assert_eq!(server.heads().len(), before);
    // Another viewer's ticket for another stream of the same organisation.
    let other = query("abcde-two", &mint(&grant("abcde-two")));
    let before = server.heads().len() + 1;
    let (_, foreign) = begin(&gate, &format!("/h5live/authhttp/playlist.m3u8?{other}"));
    let refused = ask(&gate, &media.replace(&ticket, &foreign));
    assert_eq!((refused.status, code(&refused)), (403, 4901));
    assert_eq!(server.heads().len(), before);
    // What players add to a blocking reload is no change.
    assert_eq!(ask(&gate, &format!("{media}?_HLS_msn=5")).status, 200);
}

#[test]
fn what_is_one_viewers_alone_is_not_shared() {
    let server = server();
    let child = "#EXTM3U\nstream.mp4?url=rtmp://localhost/play&stream=abcde-two&cid=9&h5pltc=1\n";
    server.set("/hls/abcde-one/playlist.m3u8", playlist(child));
    let gate = gate_with(server.address, "");
    for viewer in ["1", "2"] {
        let entry = entry(&grant("abcde-one"), viewer);
        let film = links(&entry, &begin(&gate, &entry).0.body).remove(0);
        // The stream is the ticket's, whatever the playlist echoes.
        assert!(
            film.contains("stream=abcde-one") && !film.contains("abcde-two"),
            "{film}"
        );
        assert_eq!(ask(&gate, &film).body, "progressive");
    }
    assert_eq!(server.asked("/hls/abcde-one/stream.mp4"), 2);
    let own = |head: &String| target(head).contains("cid=1") && head.contains("192.0.2.1");
    assert!(server.heads().iter().any(own), "{:?}", server.heads());
    // A segment with a cookie is its viewer's.
    let cookie = Page {
        fields: "Content-Type: video/mp2t\r\nSet-Cookie: a=b\r\nServer: x\r\n".to_owned(),
        ..segment(b"mine")
    };
    server.set("/hls/abcde-one/low/1.ts", cookie);
    server.set("/hls/abcde-one/playlist.m3u8", playlist(MULTI));
    let (_, _, segments) = play(&gate, &entry(&grant("abcde-one"), "3"));
    let before = server.asked("/hls/abcde-one/low/1.ts");
    for _ in 0..2 {
        let answer = ask(&gate, &segments[0]);
        assert_eq!(answer.body, "mine");
        assert_eq!(header(&answer.head, "set-cookie"), None);
        assert_eq!(header(&answer.head, "server"), None);
    }
    assert!(server.asked("/hls/abcde-one/low/1.ts") >= before + 2);
}

#[test]
fn the_progressive_file_needs_no_ticket() {
    let server = server();
    let gate = gate_with(server.address, "");
    let query = query("abcde-one", &mint(&grant("abcde-one")));
    let flags = "flags=checkandclose%2Cfaststart";
    let answer = ask(
        &gate,
        &format!("/h5live/authhttp/stream.mp4?{query}&{flags}"),
    );
    assert_eq!((answer.status, answer.body.as_str()), (200, "progressive"));
    let head = server.heads().pop().unwrap();
    assert!(target(&head).ends_with("&flags=faststart"), "{head}");
}

#[test]
fn the_media_servers_troubles_have_their_status() {
    let server = server();
    let gate = gate_with(server.address, "");
    let (_, media, segments) = play(&gate, &entry(&grant("abcde-one"), "1"));
    for (status, expected) in [(404, 404), (410, 410), (401, 502), (500, 502), (204, 502)] {
        let gone = Page {
            status,
            ..segment(b"")
        };
        server.set("/other/2.ts", gone);
        let answer = ask(&gate, &segments[1]);
        assert_eq!(answer.status, expected, "{status}");
        assert_eq!(
            header(&answer.head, "access-control-allow-origin"),
            Some("*")
        );
    }
    server.set(
        "/hls/abcde-one/low/media.m3u8",
        playlist(&format!("#EXTM3U\n{}", "#\n".repeat(2 << 20))),
    );
    until(
        "502 for a playlist that is longer than hls.playlist",
        || (ask(&gate, &media).status == 502).then_some(()),
    );
}

#[test]
fn the_operator_ends_a_playback_and_it_does_not_come_back_by_itself() {
    let server = server();
    let gate = gate_with(server.address, "");
    let entry = entry(&grant("abcde-one"), "1");
    let (_, media, _) = play(&gate, &entry);
    let list = get(gate.admin, "/api/sessions", &[]).body;
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let id = list["sessions"][0]["id"].as_str().unwrap();
    let ended = request(
        gate.admin,
        "DELETE",
        &format!("/api/sessions/{id}"),
        &[],
        "",
    );
    assert_eq!(ended.status, 200);
    for path in [&media, &entry] {
        let refused = ask(&gate, path);
        assert_eq!((refused.status, code(&refused)), (403, 4901), "{path}");
    }
    assert_eq!(gate.metric("h5gate_sessions"), 0.0);
}

#[test]
fn a_token_that_cuts_ends_the_playback_and_seats_are_counted() {
    let server = server();
    let clock = MovedClock::default();
    let gate = gate_by(&clock, server.address, "");
    let mut cut = clock.expiring();
    cut.at_expiry = AtExpiry::Cut;
    let (_, media, _) = play(&gate, &entry(&cut, "1"));
    clock.pass(&cut);
    let refused = ask(&gate, &media);
    assert_eq!((refused.status, code(&refused)), (403, 4903));
    let mut once = grant("abcde-one");
    once.sessions = NonZeroU16::new(1);
    let open = |pid: &str| {
        ask(
            &gate,
            &entry(&once, "1").replace("pid=7", &format!("pid={pid}")),
        )
    };
    assert_eq!(open("1").status, 200);
    assert_eq!(open("1").status, 200, "the same viewer");
    let refused = open("2");
    assert_eq!((refused.status, code(&refused)), (403, 4901));
}

#[test]
fn playbacks_go_on_after_a_restart_with_a_state_directory() {
    let server = server();
    let clock = MovedClock::default();
    let drain = "[timeouts]\ndrain = \"0s\"";
    let restarts = Restarts::new(server.address, None, drain).by(&clock);
    let mut gate = restarts.start();
    let short = clock.expiring();
    let entry = entry(&short, "1");
    let (first, media, _) = play(&gate, &entry);
    clock.pass(&short);
    assert_eq!(ask(&gate, &media).status, 200);
    gate.signal(Signal::TERM);
    assert!(gate.ended().success());

    let gate = restarts.start();
    assert_eq!(
        ask(&gate, &media).status,
        200,
        "expired, and still the same playback"
    );
    assert_eq!(begin(&gate, &entry).1, first);
    let elsewhere = get(gate.playback, &media, &["X-Forwarded-For: 203.0.113.9"]);
    assert_eq!((elsewhere.status, code(&elsewhere)), (403, 4903));

    let gate = gate_by(&clock, server.address, "");
    let refused = ask(&gate, &media);
    assert_eq!(
        (refused.status, code(&refused)),
        (403, 4903),
        "nothing was kept"
    );
}

#[test]
fn what_a_viewer_got_is_counted_to_the_byte() {
    let server = server();
    let gate = gate_with(
        server.address,
        "[hls]\nsession_idle = \"1s\"\ncache_playlist = \"1h\"",
    );
    // Once for all, and once for this viewer.
    let first = ask(&gate, &entry(&grant("abcde-one"), "1")).body.len();
    let mut private = playlist(MULTI);
    private.fields += "Cache-Control: private\r\n";
    server.set("/hls/abcde-two/playlist.m3u8", private);
    let own = query("abcde-two", &mint(&grant("abcde-two")));
    let own = format!("/h5live/authhttp/playlist.m3u8?{own}&pid=7");
    let second = ask(&gate, &own).body.len();
    let heads = server.heads();
    let named: Vec<_> = heads
        .iter()
        .map(|head| header(head, "x-forwarded-for"))
        .collect();
    assert_eq!(named, [None, None, Some("192.0.2.1")], "a fetch of its own");
    assert!(first > MULTI.len() && second > MULTI.len());
    until("both to be over", || {
        (gate.metric("h5gate_sessions") == 0.0).then_some(())
    });
    let counted = gate.metric("h5gate_to_viewers_bytes_total");
    assert_eq!(counted, f64::from(u32::try_from(first + second).unwrap()));
}
