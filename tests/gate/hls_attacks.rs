//! What people try who want to watch or pass on what they may not, or to end it for everybody: none of it works.

use std::io::{Read as _, Write as _};

use h5gate::hls::link::Link;
use h5gate::hls::seal_keys::SealKeys;
use h5gate::hls::ticket::Ticket;
use h5gate::session::id::SessionId;
use h5gate::state::lines::{self, Kind};
use h5gate::token::{Key, KeyState, Keyring, Secret, UnixSeconds};
use rustix::process::Signal;

use crate::support::gate::{Gate, Setup, grant, mint, now};
use crate::support::hls::{
    HERE, ask, ask_from, begin, entry, gate_with, links, outcome, play, server,
};
use crate::support::http_server::{HttpServer, Page, playlist, segment};
use crate::support::media_server::{header, target};
use crate::support::until;
use crate::support::viewer::{Answer, connect, exchange, next_answer, query, request};

/// A second organisation's stream on the same media server.
fn with_neighbour() -> HttpServer {
    let server = server();
    let text = "#EXTM3U\n#EXTINF:1,\n1.ts\n";
    server.set("/hls/fghij-one/playlist.m3u8", playlist(text));
    server.set("/hls/fghij-one/1.ts", segment(b"the neighbour's"));
    server
}

/// An organisation that mints by itself has its key, and this library.
fn own_seals() -> SealKeys {
    let secret = Secret::new(vec![1; 32]).unwrap();
    let (id, owner) = ("abcde-1".parse().unwrap(), "abcde".parse().unwrap());
    let key = Key::new(id, owner, KeyState::Active, &secret);
    SealKeys::new(&Keyring::new([], [key]).unwrap(), None)
}

#[test]
fn tickets_and_links_of_another_organisation_open_nothing() {
    let server = with_neighbour();
    let gate = gate_with(server.address, "");
    let (ticket, media, segments) = play(&gate, &entry(&grant("abcde-one"), "1"));
    let neighbours = query("fghij-one", &mint(&grant("fghij-one")));
    let neighbours = format!("/h5live/authhttp/playlist.m3u8?{neighbours}");
    let (foreign, _, films) = play(&gate, &neighbours);
    let film = &films[0];
    assert_eq!(ask(&gate, film).body, "the neighbour's");
    let before = server.heads().len();
    let signature = |link: &str| link.split('/').nth(4).unwrap().to_owned();
    for path in [
        film.replace(&foreign, &ticket),
        media.replace(&ticket, &foreign),
        segments[0].replace(&ticket, &foreign),
        // Each with the other's signature.
        film.replace(&signature(film), &signature(&segments[0])),
        segments[0].replace(&signature(&segments[0]), &signature(&media)),
        media.replace(&signature(&media), &signature(&segments[0])),
    ] {
        assert_eq!(outcome(&ask(&gate, &path)), (403, 4901), "{path}");
    }
    assert_eq!(server.heads().len(), before);
}

#[test]
fn who_has_the_key_of_one_organisation_signs_no_link_to_anothers_stream() {
    let server = with_neighbour();
    let gate = gate_with(server.address, "");
    let (ticket, ..) = play(&gate, &entry(&grant("abcde-one"), "1"));
    let owner = "abcde".parse().unwrap();
    let seals = own_seals();
    let before = server.heads().len();
    for target in ["hls/fghij-one/1.ts", "stat"] {
        let link = Link {
            owner: &owner,
            stream: &"abcde-one".parse().unwrap(),
            definitions: "",
            target,
        };
        let forged = link.sign(&seals);
        let forged = str::from_utf8(forged.as_bytes()).unwrap();
        let path = format!("/h5live/authhttp/{ticket}/{forged}/{target}");
        assert_eq!(outcome(&ask(&gate, &path)), (403, 4901), "{target}");
    }
    assert_eq!(server.heads().len(), before);
}

#[test]
fn a_ticket_names_no_playback_of_anybody_else() {
    let server = with_neighbour();
    let gate = gate_with(server.address, "");
    let (mine, media, _) = play(&gate, &entry(&grant("abcde-one"), "1"));
    let neighbours = query("fghij-one", &mint(&grant("fghij-one")));
    let (_, foreign) = begin(
        &gate,
        &format!("/h5live/authhttp/playlist.m3u8?{neighbours}"),
    );
    // By the key of its organisation somebody seals a ticket of an expired token for a playback that runs.
    let mut expired = grant("abcde-one");
    expired.expires = Some(UnixSeconds::new(now() - 1));
    let forged = own_seals().write(&Ticket {
        session: SessionId::parse(&foreign[1..17]).unwrap(),
        player: String::new(),
        url: "rtmp://localhost/play".to_owned(),
        stream: "abcde-one".parse().unwrap(),
        key: "abcde-1".parse().unwrap(),
        grant: expired,
    });
    let forged = format!("~{}", forged.unwrap());
    assert_eq!(
        outcome(&ask(&gate, &media.replace(&mine, &forged))),
        (403, 4901)
    );
}

#[test]
fn no_spelling_of_a_path_leads_anywhere_else() {
    let server = server();
    let gate = gate_with(server.address, "");
    let (ticket, media, segments) = play(&gate, &entry(&grant("abcde-one"), "1"));
    let root = "/h5live/authhttp";
    let film = &segments[0];
    let under = film.strip_suffix("1.ts").unwrap();
    let before = server.heads().len();
    let mut tried = 0;
    for path in [
        format!("{root}/stat"),
        format!("{root}/~x/../../../stat"),
        format!("{root}/{ticket}/stat"),
        format!("{root}/{ticket}//stat"),
        format!("{root}/{ticket}/../../stat"),
        format!("{root}/{ticket}/{}/stat", "A".repeat(22)),
        format!("{root}/{ticket}/~/stat"),
        format!("{under}../../../stat"),
        format!("{under}..%2f..%2f..%2fstat"),
        format!("{under}%2e%2e/%2e%2e/%2e%2e/stat"),
        format!("{under}%252e%252e/stat"),
        format!("{under}..;/..;/stat"),
        format!("{under}..\\..\\..\\stat"),
        format!("{under}/1.ts"),
        format!("{film}%00"),
        format!("{film}%00.m3u8"),
        format!("{film}/"),
        format!("{film};x"),
        format!("{film}%3Fx"),
        format!("{film}%23x"),
        format!("{film}%0d%0aX-Evil:%201"),
        format!("{film}%c0%ae"),
        film.replace("/hls/", "//hls/"),
        film.replace("/hls/", "/HLS/"),
        film.replace("/h5live/", "//h5live/"),
        film.replace("/h5live/", "/H5live/"),
        film.replace("/authhttp/", "/authhttp%2f"),
        film.replace("1.ts", &"a".repeat(7_000)),
        film.replace("1.ts", &"a".repeat(9_000)),
        media.replace("media.m3u8", "../../abcde-two/playlist.m3u8"),
    ] {
        let answer = ask(&gate, &path);
        assert!(
            matches!(answer.status, 400 | 403 | 404 | 414),
            "{path}: {answer:?}"
        );
        tried += 1;
    }
    assert!(tried > 25);
    for target in [
        format!("http://{}/stat", server.address),
        format!("http://localhost{film}/../../stat"),
        "*".to_owned(),
        format!("localhost:80{film}"),
        format!("{film}\u{e9}"),
        format!("{film}\0"),
    ] {
        let answer = ask(&gate, &target);
        assert!(
            matches!(answer.status, 400 | 403 | 404),
            "{target:?}: {answer:?}"
        );
    }
    // A fragment is no part of what is asked for.
    assert_eq!(server.heads().len(), before, "{:?}", server.heads());
}

#[test]
fn the_query_of_a_child_is_what_the_playlist_says() {
    let server = server();
    let child = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlist.m3u8?stream=abcde-two&x=1;y=2\n";
    server.set("/hls/abcde-one/playlist.m3u8", playlist(child));
    let media = "#EXTM3U\n#EXTINF:1,\n1.ts?x=1\n";
    server.set("/hls/abcde-one/list.m3u8", playlist(media));
    server.set("/hls/abcde-one/1.ts", segment(b"one"));
    let gate = gate_with(server.address, "");
    let entry = entry(&grant("abcde-one"), "1");
    let list = links(&entry, &begin(&gate, &entry).0.body).remove(0);
    assert!(list.contains("stream=abcde-one") && !list.contains("abcde-two"));
    let text = ask(&gate, &list);
    assert_eq!(text.status, 200);
    let film = links(&list, &text.body).remove(0);
    assert_eq!(ask(&gate, &film).status, 200);
    let before = server.heads().len();
    let bare = list.split('?').next().unwrap();
    for path in [
        bare.to_owned(),
        list.replace("abcde-one&", "abcde-two&"),
        format!("{list};stream=abcde-two"),
        format!("{list}%26stream=abcde-two"),
        format!("{bare}?_HLS_a=1;{}", list.split('?').nth(1).unwrap()),
        film.replace("x=1", "x=2"),
        film.replace("?x=1", ""),
    ] {
        assert_eq!(outcome(&ask(&gate, &path)), (403, 4901), "{path}");
    }
    assert_eq!(server.heads().len(), before);
    // What is added is no offence, and no media server hears of it.
    for path in [
        format!("{list}&stream=abcde-two"),
        format!("{list}&Stream=abcde-two"),
        format!("{list}&stream%5B%5D=abcde-two"),
        format!("{list}?stream=abcde-two"),
        format!("{list}&token=x"),
        format!("{list}&_hls_msn=1"),
        format!("{list}&HLS_msn=1"),
        // What a server reads that separates by `;`, behind what is not signed.
        format!("{list}&_HLS_msn=1;stream=abcde-two"),
        format!("{list}&_HLS_msn;stream=abcde-two"),
        format!("{list}&%5FHLS_msn;stream=abcde-two"),
        format!("{film}&x=2"),
    ] {
        assert_eq!(ask(&gate, &path).status, 200, "{path}");
    }
    for head in server.heads() {
        let asked = target(&head);
        assert!(
            !asked.contains("abcde-two") && !asked.contains("x=2"),
            "{asked}"
        );
        assert!(
            !asked.contains("token") && !asked.contains("msn"),
            "{asked}"
        );
    }
    // hls.js spells it anew when it adds its own.
    let anew = list.replace("x=1;y=2", "x=1%3By%3D2");
    assert_eq!(outcome(&ask(&gate, &anew)), (403, 4901));
    assert_eq!(ask(&gate, &format!("{list}&_HLS_msn=1")).status, 200);
}

#[test]
fn a_playback_that_was_ended_stays_ended_for_its_ticket_and_its_url() {
    let server = server();
    let gate = gate_with(server.address, "[hls]\nsession_idle = \"1s\"");
    let token = grant("abcde-one");
    let entry = entry(&token, "1");
    let (_, media, segments) = play(&gate, &entry);
    let body = format!(
        "{{\"token_id\":\"{}\",\"organisation\":\"abcde\"}}",
        token.id
    );
    let json = ["Content-Type: application/json"];
    let revoked = request(gate.admin, "POST", "/api/revocations", &json, &body);
    assert!(revoked.status < 300, "{revoked:?}");
    // At once; and from the cache no more than from the media server.
    for path in [&segments[0], &media, &entry] {
        assert_eq!(outcome(&ask(&gate, path)), (403, 4901), "{path}");
    }
    assert_eq!(gate.metric("h5gate_sessions"), 0.0);
    // Also when it was quiet for long enough to be forgotten, from wherever, and with another name.
    let (_, later, _) = play(&gate, &self::entry(&grant("abcde-one"), "3"));
    assert_eq!(ask(&gate, &later).status, 200);
    until("the end of one that was asked for later", || {
        let log = gate.log();
        let quiet = |line: &serde_json::Value| line["reason"] == "quiet";
        log.iter().any(quiet).then_some(())
    });
    for path in [
        &segments[0],
        &media,
        &entry,
        &entry.replace("cid=1", "cid=2"),
    ] {
        assert_eq!(outcome(&ask(&gate, path)), (403, 4901), "{path}");
        assert_eq!(outcome(&ask_from(&gate, "198.51.100.7", path)), (403, 4901));
    }
}

#[test]
fn a_token_for_one_address_plays_at_that_one_however_wide_its_place_is() {
    let server = server();
    for bind in ["exact", "prefix", "off"] {
        let gate = gate_with(server.address, &format!("[hls]\nbind_address = \"{bind}\""));
        let mut bound = grant("abcde-one");
        bound.addresses = ["192.0.2.1", "192.0.2.64/30", "2001:db8::/64"]
            .map(|one| one.parse().unwrap())
            .to_vec();
        let entry = entry(&bound, "1");
        let (_, media, segments) = play(&gate, &entry);
        for address in [
            "192.0.2.2",
            "192.0.2.255",
            "192.0.2.68",
            "192.0.3.1",
            "198.51.100.1",
            "2001:db8:0:1::1",
            "unknown",
        ] {
            for path in [&entry, &media, &segments[0]] {
                let answer = ask_from(&gate, address, path);
                assert_eq!(outcome(&answer), (403, 4901), "{bind} {address} {path}");
            }
        }
        // On one connection as well, which knows what it has shown.
        let mut kept = connect(gate.playback);
        for (address, status) in [("192.0.2.1", 200), ("192.0.2.9", 403), ("192.0.2.1", 200)] {
            let head = format!(
                "GET {entry} HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: {address}\r\n\r\n"
            );
            kept.write_all(head.as_bytes()).unwrap();
            let answer = next_answer(&mut kept);
            assert_eq!(answer.status, status, "{bind} {address} {answer:?}");
        }
        for address in ["192.0.2.1", "2001:db8::9"] {
            assert_eq!(
                ask_from(&gate, address, &media).status,
                200,
                "{bind} {address}"
            );
        }
    }
}

#[test]
fn the_ticket_is_put_into_links_and_nowhere_else() {
    let server = server();
    let text = "#EXTM3U\n# ~{ticket}/\nhttps://evil.test/~{ticket}/1.ts\n#EXTINF:1,\n~{ticket}/1.ts\n1.ts\n";
    server.set("/hls/abcde-one/playlist.m3u8", playlist(text));
    let gate = gate_with(server.address, "");
    let answer = ask(&gate, &entry(&grant("abcde-one"), "1"));
    let ticket = answer.body.lines().last().unwrap().split('/').next();
    let ticket = ticket.unwrap();
    assert!(ticket.len() > 100, "{answer:?}");
    for line in answer.body.lines() {
        let told = line.contains(ticket);
        assert_eq!(told, line.starts_with(ticket), "{line}");
    }
}

#[test]
fn an_entry_that_leads_to_no_playlist_is_no_film() {
    let server = server();
    let film = Page {
        status: 302,
        fields: "Location: /film.mp4\r\n".to_owned(),
        body: Vec::new(),
    };
    server.set("/hls/abcde-one/playlist.m3u8", film);
    server.set(
        "/film.mp4",
        crate::support::http_server::page("video/mp4", &vec![7; 20 << 20]),
    );
    let gate = gate_with(server.address, "");
    assert_eq!(ask(&gate, &entry(&grant("abcde-one"), "1")).status, 502);
}

#[test]
fn a_token_goes_to_no_media_server_that_asks_for_it() {
    let server = server();
    let text = "#EXTM3U\n#EXT-X-DEFINE:QUERYPARAM=\"token\"\n#EXT-X-DEFINE:QUERYPARAM=\"pid\"\n\
                #EXTINF:1,\n1.ts?t={$token}\n#EXTINF:1,\n1.ts?p={$pid}\n";
    server.set("/hls/abcde-one/playlist.m3u8", playlist(text));
    server.set("/hls/abcde-one/1.ts", segment(b"one"));
    let gate = gate_with(server.address, "");
    let entry = entry(&grant("abcde-one"), "1");
    let (_, _, links) = play(&gate, &entry);
    for link in &links {
        ask(&gate, link);
    }
    let asked: Vec<_> = server
        .heads()
        .iter()
        .map(|head| target(head).to_owned())
        .collect();
    assert!(
        asked.iter().any(|target| target.ends_with("1.ts?p=7")),
        "{asked:?}"
    );
    assert!(
        asked.iter().all(|target| !target.contains("h1.")),
        "{asked:?}"
    );
    let told = gate
        .log()
        .iter()
        .any(|line| line.to_string().contains("h1.abcde-1."));
    assert!(!told, "a token in the log");
}

#[test]
fn what_two_parsers_could_read_differently_is_not_answered_twice() {
    let server = server();
    let gate = gate_with(server.address, "");
    let (_, _, segments) = play(&gate, &entry(&grant("abcde-one"), "1"));
    let film = &segments[0];
    let smuggled = format!("GET {film} HTTP/1.1\r\nHost: localhost\r\n{HERE}\r\n\r\n");
    let mut tried = 0;
    for fields in [
        format!("Content-Length: {}\r\n\r\n", smuggled.len()),
        format!(
            "Content-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            smuggled.len()
        ),
        "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        "Transfer-Encoding: identity\r\n\r\n".to_owned(),
        "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n".to_owned(),
        "Content-Length: +0\r\n\r\n".to_owned(),
        "Content-Length: 0\r\nContent-Length: 5\r\n\r\n".to_owned(),
        "Content-Length: 0, 5\r\n\r\n".to_owned(),
        "Host: other\r\n\r\n".to_owned(),
        "X: y\r\n folded: z\r\n\r\n".to_owned(),
    ] {
        let one = format!("GET {film} HTTP/1.1\r\nHost: localhost\r\n{HERE}\r\n{fields}{smuggled}");
        let answer = exchange(gate.playback, one.as_bytes());
        assert_eq!(answer.status, 400, "{fields:?}: {answer:?}");
        assert!(!answer.body.contains("HTTP/1.1"), "{fields:?}: {answer:?}");
        tried += 1;
    }
    assert!(tried > 5);
    // Requests in a row are answered in a row, and HTTP/1.0 without a host as well.
    let two = format!(
        "GET {film} HTTP/1.1\r\nHost: localhost\r\n{HERE}\r\n\r\n\
         GET {film} HTTP/1.0\r\n{HERE}\r\n\r\n"
    );
    let answer = exchange(gate.playback, two.as_bytes());
    assert_eq!(answer.status, 200);
    let whole = answer.head + &answer.body;
    assert_eq!(whole.matches("HTTP/1.").count(), 2, "{whole}");
    assert_eq!(whole.matches("segment one").count(), 2, "{whole}");
}

#[test]
fn nothing_that_a_viewer_sends_splits_a_request_or_an_answer() {
    let server = server();
    let gate = gate_with(server.address, "");
    let (_, media, _) = play(&gate, &entry(&grant("abcde-one"), "1"));
    let split = "%0d%0aX-Evil:%20yes%0d%0a%0d%0aGET%20/stat%20HTTP/1.1";
    for path in [
        format!("{media}?_HLS_msn=1{split}"),
        format!("{}&_HLS_skip={split}", entry(&grant("abcde-one"), "2")),
        format!("{}&x={split}", entry(&grant("abcde-one"), "3")),
    ] {
        let answer = ask(&gate, &path);
        assert_eq!(header(&answer.head, "x-evil"), None, "{path}");
    }
    for head in server.heads() {
        assert!(!head.to_lowercase().contains("\nx-evil"), "{head}");
        assert!(!target(&head).starts_with("/stat"), "{head}");
    }
}

#[test]
fn a_forged_or_broken_file_of_saved_playbacks_harms_nobody() {
    let server = server();
    let state = std::env::temp_dir().join(format!("h5gate-attack-state-{}", std::process::id()));
    std::fs::create_dir_all(&state).unwrap();
    let file = state.join("hls-sessions");
    let at = now();
    // With checksums that are right.
    let saved = |at: u64, lines: &[String]| {
        let kind = Kind {
            name: "hls-sessions",
            version: 2,
        };
        lines::write(kind, at, lines)
    };
    let line = |name: &str| format!("{name:0>16} {:032x} 0.0.0.0/0 ::/0 4294967295", 7);
    let many = |fate: &str| {
        let lines: Vec<_> = (0..10_000)
            .map(|number| format!("{} {fate}", line(&number.to_string())))
            .collect();
        saved(at, &lines)
    };
    let one = line("0");
    let mut tried = 0;
    for text in [
        String::new(),
        "\0".repeat(4096),
        saved(at, &[format!("{one} 1 1")]),
        saved(at, &[format!("{one} drained")]),
        saved(at, &[format!("{one} 99999999999999999999")]),
        saved(at, &[format!("{one} 4294967295"), format!("{one} 0")]),
        saved(u64::MAX, &[format!("{one} 0")]),
        saved(0, &[format!("{one} operator")]),
        saved(at, &[format!("{one} 0")]).repeat(2),
        many("0"),
        many("revoked"),
    ] {
        std::fs::write(&file, &text).unwrap();
        let mut gate = Gate::start(&Setup {
            servers: vec![server.address],
            upstream: "http_path = \"/hls/{stream}/\"",
            before: &format!("state_dir = \"{}\"", state.display()),
            tables: "[client]\ntrusted_proxies = [\"127.0.0.1\"]\n[timeouts]\ndrain = \"0s\"\n",
            ..Setup::default()
        });
        play(&gate, &entry(&grant("abcde-one"), "1"));
        assert_eq!(gate.metric("h5gate_sessions"), 1.0, "{text:.60}");
        gate.signal(Signal::TERM);
        assert!(gate.ended().success());
        tried += 1;
    }
    assert!(tried > 5);
    std::fs::remove_dir_all(&state).unwrap();
}

#[test]
fn a_playlist_of_which_there_is_only_a_part_is_not_handed_on() {
    let server = server();
    let gate = gate_with(server.address, "");
    let part = Page {
        status: 206,
        fields: "Content-Type: application/vnd.apple.mpegurl\r\nContent-Range: bytes 0-7/99\r\n"
            .to_owned(),
        body: b"#EXTM3U\n".to_vec(),
    };
    server.set("/hls/abcde-one/playlist.m3u8", part);
    assert_eq!(ask(&gate, &entry(&grant("abcde-one"), "3")).status, 502);
}

#[test]
fn many_who_begin_one_playback_at_once_are_one_that_can_be_ended() {
    let server = server();
    let gate = gate_with(server.address, "");
    for round in 0..20 {
        let entry = entry(&grant("abcde-one"), &round.to_string());
        let request = format!(
            "GET {entry} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{HERE}\r\n\r\n"
        );
        let mut sockets: Vec<_> = (0..8).map(|_| connect(gate.playback)).collect();
        for socket in &mut sockets {
            socket.write_all(request.as_bytes()).unwrap();
        }
        for socket in &mut sockets {
            let mut text = String::new();
            socket.read_to_string(&mut text).unwrap();
            assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        }
        let id = |ticket: &str| ticket[1..17].to_owned();
        let (_, ticket) = begin(&gate, &entry);
        let path = format!("/api/sessions/{}", id(&ticket));
        let ended = request_delete(&gate, &path);
        assert_eq!(ended.status, 200, "round {round}");
        assert_eq!(outcome(&ask(&gate, &entry)), (403, 4901));
    }
}

fn request_delete(gate: &Gate, path: &str) -> Answer {
    request(gate.admin, "DELETE", path, &[], "")
}
