//! What viewers share and what they do not: the media server is asked once for all, or by each in its own name; and a body
//! is handed on as it comes, either way.

use std::io::Read as _;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Barrier, Mutex};
use std::time::{Duration, Instant};

use crate::support::gate::{Gate, grant};
use crate::support::hls::{
    ask, ask_from, ask_only, entry, gate_with, links, outcome, pages_but, play, scripted, server,
};
use crate::support::http_server::{playlist, segment};
use crate::support::media_server::{FromGate, MediaServer, header, read_head, target};
use crate::support::until;

const MULTIVARIANT: &str = "/hls/abcde-one/playlist.m3u8";
const LIST: &str = "/hls/abcde-one/low/media.m3u8";
const SEGMENT: &str = "/hls/abcde-one/low/1.ts";
const WITHOUT: &str = "[hls]\ncache = false";

/// The pages of the support but for the first segment: `script` answers it when it is told to, which is at the end of
/// the sender at the latest.
fn holding(
    script: impl Fn(&mut FromGate, &dyn Fn()) + Send + Sync + 'static,
) -> (MediaServer, Sender<()>) {
    let (go, gone) = channel::<()>();
    let gone: Mutex<Receiver<()>> = Mutex::new(gone);
    let pages = pages_but(SEGMENT);
    let server = scripted(pages, move |mut gate| {
        let wait = || {
            // Without end: a viewer that gets nothing meanwhile is the first to give up.
            let _ = gone.lock().unwrap().recv();
        };
        script(&mut gate, &wait);
    });
    (server, go)
}

/// How often the cache was asked for anything.
fn looked_up(gate: &Gate) -> usize {
    let count = gate.metric("h5gate_cache_requests_total").to_string();
    count.parse().unwrap()
}

#[test]
fn many_viewers_at_once_cost_what_one_does_and_each_is_checked() {
    const VIEWERS: usize = 200;
    let (server, go) = holding(|gate, wait| {
        wait();
        gate.send_raw(&segment(b"segment one").last());
    });
    let gate = gate_with(
        server.address,
        "[hls]\ncache_playlist = \"1h\"\ncache_segment = \"1h\"",
    );
    let token = grant("abcde-one");
    let together = Barrier::new(VIEWERS + 1);
    let watch = |viewer: usize| {
        let (ticket, media, segments) = play(&gate, &entry(&token, &viewer.to_string()));
        together.wait();
        together.wait();
        let body = ask(&gate, &segments[0]).body;
        (ticket, media, body)
    };
    let watched = std::thread::scope(|scope| {
        let viewers: Vec<_> = (0..VIEWERS)
            .map(|viewer| scope.spawn(move || watch(viewer)))
            .collect();
        together.wait();
        let before = looked_up(&gate);
        together.wait();
        // All of them wait for the one answer.
        until("every viewer's request", || {
            (looked_up(&gate) == before + VIEWERS).then_some(())
        });
        // What is on its way to others is nothing for one without a ticket.
        let thief = "/h5live/authhttp/~x/y/hls/abcde-one/low/1.ts";
        assert_eq!(outcome(&ask(&gate, thief)), (403, 4901));
        drop(go);
        let done = viewers.into_iter().map(|viewer| viewer.join().unwrap());
        done.collect::<Vec<_>>()
    });
    let mut tickets: Vec<_> = watched.iter().map(|(ticket, ..)| ticket).collect();
    tickets.sort();
    tickets.dedup();
    assert_eq!(tickets.len(), VIEWERS, "each is a playback of its own");
    for (_, _, body) in &watched {
        assert_eq!(body, "segment one");
    }
    assert_eq!(server.asked(SEGMENT), 1);
    assert_eq!(server.asked(MULTIVARIANT), 1);
    let whole = |media: &str| ask(&gate, media).body;
    let (_, first, _) = &watched[0];
    let (_, last, _) = &watched[VIEWERS - 1];
    assert_eq!(whole(first), whole(last), "all viewers get the same bytes");
    assert_eq!(gate.metric("h5gate_sessions"), VIEWERS as f64);
}

#[test]
fn without_the_cache_the_media_server_hears_of_each_viewer_and_with_it_of_none() {
    const ADDRESSES: [&str; 2] = ["192.0.2.1", "198.51.100.7"];
    for (tables, heard) in [
        ("[hls]\ncache_segment = \"1h\"", &[None][..]),
        (WITHOUT, &ADDRESSES.map(Some)),
    ] {
        let server = server();
        let gate = gate_with(server.address, tables);
        for address in ADDRESSES {
            let mut path = entry(&grant("abcde-one"), address);
            for _ in 0..2 {
                let answer = ask_from(&gate, address, &path);
                path = links(&path, &answer.body).remove(0);
            }
            assert_eq!(ask_from(&gate, address, &path).body, "segment one");
        }
        let heads = server.heads();
        let of_segment = heads.iter().filter(|head| target(head) == SEGMENT);
        let told: Vec<_> = of_segment
            .map(|head| header(head, "x-forwarded-for"))
            .collect();
        assert_eq!(told, heard, "{tables}");
    }
}

#[test]
fn a_live_playlist_is_shared_for_half_a_target_duration_and_no_longer() {
    let server = server();
    let text = "#EXTM3U\n#EXT-X-TARGETDURATION:8\n#EXTINF:8,\n1.ts\n";
    server.set(LIST, playlist(text));
    let gate = gate_with(server.address, "[hls]\ncache_playlist = \"1h\"");
    let begun = Instant::now();
    let (_, media, _) = play(&gate, &entry(&grant("abcde-one"), "1"));
    assert_eq!(server.asked(LIST), 1);
    until("the media server to be asked again", || {
        assert_eq!(ask(&gate, &media).status, 200);
        (server.asked(LIST) == 2).then_some(())
    });
    let target = Duration::from_secs(8);
    let shared = begun.elapsed();
    assert!(shared >= target / 2 && shared < target, "{shared:?}");
    // What says no target duration is shared for as long as is configured.
    assert_eq!(ask(&gate, &entry(&grant("abcde-one"), "2")).status, 200);
    assert_eq!(server.asked(MULTIVARIANT), 1);
}

#[test]
fn what_does_not_fit_into_the_cache_is_answered_all_the_same() {
    let server = server();
    let long = vec![b'x'; 3 << 20];
    server.set(SEGMENT, segment(&long));
    let gate = gate_with(
        server.address,
        "[hls]\ncache_size = \"1MiB\"\ncache_segment = \"1h\"",
    );
    for cid in ["1", "2"] {
        let (_, _, segments) = play(&gate, &entry(&grant("abcde-one"), cid));
        let before = server.asked(SEGMENT);
        let answer = ask(&gate, &segments[0]);
        assert_eq!((answer.status, answer.body.len()), (200, long.len()));
        assert!(server.asked(SEGMENT) > before, "it is not kept");
    }
    // More than fits in all, each of which would.
    let many: Vec<_> = (0..9).map(|at| format!("/hls/abcde-one/{at}.ts")).collect();
    let text: String = many
        .iter()
        .map(|path| format!("#EXTINF:1,\n{path}\n"))
        .collect();
    server.set(
        LIST,
        playlist(&format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n{text}")),
    );
    for (path, at) in many.iter().zip(b'0'..) {
        server.set(path, segment(&vec![at; 300_000]));
    }
    let gate = gate_with(
        server.address,
        "[hls]\ncache_size = \"1MiB\"\ncache_segment = \"1h\"",
    );
    let (_, _, segments) = play(&gate, &entry(&grant("abcde-one"), "1"));
    assert_eq!(segments.len(), many.len());
    for _ in 0..2 {
        for (path, at) in segments.iter().zip('0'..) {
            let body = ask(&gate, path).body;
            assert!(
                body.len() == 300_000 && body.chars().all(|one| one == at),
                "{path}"
            );
        }
    }
    assert!(gate.metric("h5gate_cache_bytes") <= 1024.0 * 1024.0);
}

#[test]
fn a_body_is_handed_on_as_it_comes() {
    const HALVES: [&[u8]; 2] = [b"the first half, ", b"the other half!!"];
    for (tables, fetches) in [("", 1), (WITHOUT, 2)] {
        let (server, go) = holding(|gate, wait| {
            let length = HALVES.concat().len();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nContent-Length: {length}\r\n\
                 Connection: close\r\n\r\n"
            );
            gate.send_raw(&[head.as_bytes(), HALVES[0]].concat());
            wait();
            gate.send_raw(HALVES[1]);
        });
        let gate = gate_with(server.address, tables);
        let (_, _, segments) = play(&gate, &entry(&grant("abcde-one"), "1"));
        let mut viewers = [(); 2].map(|()| ask_only(&gate, &segments[0]));
        let mut half = [0; HALVES[0].len()];
        for viewer in &mut viewers {
            let head = read_head(viewer).unwrap();
            assert!(head.starts_with("HTTP/1.1 200"), "{head}");
            viewer.read_exact(&mut half).unwrap();
            assert_eq!(half, HALVES[0], "{tables}");
        }
        drop(go);
        for viewer in &mut viewers {
            viewer.read_exact(&mut half).unwrap();
            assert_eq!(half, HALVES[1], "{tables}");
        }
        assert_eq!(server.asked(SEGMENT), fetches, "{tables}");
    }
}
