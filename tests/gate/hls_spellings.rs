//! A link may be asked for in any spelling that RFC 3986 (section 6.2.2) takes for the same, and the media server is asked in
//! one. No spelling leads to another resource.

use crate::support::gate::{Gate, grant};
use crate::support::hls::{ask, begin, entry, gate_with, links, outcome};
use crate::support::http_server::{HttpServer, Page, playlist, segment};
use crate::support::media_server::target;

const MULTI: &str = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n%6cow/%7Euser/media.m3u8\n";
const MEDIA: &str =
    "#EXTM3U\n#EXT-X-TARGETDURATION:100\n#EXTINF:1,\n%c3%bc/%41%2dtitle~/./x/../1%2Ets?q=%7e%c3\n";
/// In the normal form.
const SEGMENT: &str = "/hls/abcde-one/low/~user/%C3%BC/A-title~/1.ts";

fn server() -> HttpServer {
    HttpServer::start(&[
        ("/hls/abcde-one/playlist.m3u8", playlist(MULTI)),
        ("/hls/abcde-one/low/~user/media.m3u8", playlist(MEDIA)),
        (SEGMENT, segment(b"segment")),
        ("/hls/abcde-one/1.ts", segment(b"another")),
        ("/stat", segment(b"secret")),
    ])
}

/// The first URL's path, the media playlist's and the segment's.
fn walk(gate: &Gate) -> (String, String) {
    let entry = entry(&grant("abcde-one"), "1");
    let media = links(&entry, &begin(gate, &entry).0.body).remove(0);
    let text = ask(gate, &media);
    assert_eq!(text.status, 200, "{media}: {text:?}");
    let film = text.body.lines().last().unwrap().to_owned();
    (media, film)
}

/// As a client without a resolver joins them: the `..` are left to the server.
fn joined(base: &str, link: &str) -> String {
    let directory = base.rsplit_once('/').unwrap().0;
    format!("{directory}/{link}")
}

#[test]
fn links_leave_in_the_normal_form() {
    let server = server();
    let gate = gate_with(server.address, "");
    let (media, film) = walk(&gate);
    assert!(
        media.ends_with("/hls/abcde-one/low/~user/media.m3u8"),
        "{media}"
    );
    let path = film.split('?').next().unwrap();
    assert!(path.ends_with(SEGMENT), "{film}");
    assert!(film.ends_with("?q=~%C3"), "{film}");
}

#[test]
fn every_spelling_of_a_link_is_the_same() {
    let server = server();
    let gate = gate_with(server.address, "[hls]\ncache_segment = \"1h\"");
    let (media, film) = walk(&gate);
    let resolved = links(&media, &film).remove(0);
    let mut tried = 0;
    for path in [
        resolved.clone(),
        joined(&media, &film),
        resolved.replace("%C3%BC", "%c3%bc"),
        resolved.replace("%C3%BC", "%C3%bC"),
        resolved.replace("~user", "%7Euser"),
        resolved.replace("~user", "%7euser"),
        resolved.replace("A-title", "%41%2dtitle"),
        resolved.replace("A-title", "%41%2D%74itle"),
        resolved.replace("1.ts", "%31%2Ets"),
        resolved.replace("/hls/", "/./hls/"),
        resolved.replace("/hls/", "/x/../hls/"),
        resolved.replace("/hls/", "/x/%2e%2E/hls/"),
        resolved.replace("/low/", "/low/y/z/.././../"),
        resolved.replace("/authhttp/~", "/authhttp/%7e"),
        resolved.replace("/authhttp/", "/./authhttp/other/../"),
        resolved.replace("q=~%C3", "q=%7e%c3"),
        resolved.replace("?q=~%C3", "?%71=~%c3&_=1"),
    ] {
        let answer = ask(&gate, &path);
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (200, "segment"),
            "{path}"
        );
        tried += 1;
    }
    assert_eq!((tried, server.asked(SEGMENT)), (17, 1));
    for head in server.heads() {
        assert!(!target(&head).contains("%7"), "{head}");
        assert!(!target(&head).contains("/."), "{head}");
    }
    // A playlist, whose links are relative to what was asked for.
    let odd = media.replace("/low/", "/low/a/b/../../");
    let text = ask(&gate, &odd);
    assert_eq!(text.status, 200);
    assert_eq!(
        ask(&gate, &joined(&odd, text.body.lines().last().unwrap())).body,
        "segment"
    );
}

#[test]
fn no_spelling_leads_to_another_resource() {
    let server = server();
    let gate = gate_with(server.address, "");
    let (media, film) = walk(&gate);
    let resolved = links(&media, &film).remove(0);
    let before = server.heads().len();
    let mut tried = 0;
    for (what, with) in [
        ("1.ts", "..%2f..%2f..%2f1.ts"),
        ("1.ts", "%2e%2e%2f1.ts"),
        ("1.ts", "../../../../1.ts"),
        ("1.ts", "%2e%2e/%2e%2e/%2e%2e/%2e%2e/1.ts"),
        ("1.ts", "../../../../../../stat"),
        ("/~user/", "%2F~user/"),
        ("/~user/", "/~user%2f"),
        ("/~user/", "/~user//"),
        ("/~user/", "/~USER/"),
        ("/~user/", "/%257Euser/"),
        ("/~user/", "/.../~user/"),
        ("%C3%BC", "%C3%9C"),
        ("%C3%BC", "%25C3%25BC"),
        ("%C3%BC", "ue"),
        ("1.ts", "1.ts/."),
        ("1.ts", "1.ts/"),
        ("1.ts", "1.ts/.."),
        ("1.ts", "%00/../1.ts%00"),
    ] {
        let path = resolved.replace(what, with);
        assert_ne!(path, resolved, "{what}");
        let answer = ask(&gate, &path);
        assert_eq!(outcome(&answer), (403, 4901), "{path}");
        tried += 1;
    }
    assert!(tried > 10);
    assert_eq!(server.heads().len(), before, "{:?}", server.heads());
}

#[test]
fn a_redirect_leads_by_the_same_rule() {
    let server = server();
    server.set(
        "/hls/abcde-one/low/~user/media.m3u8",
        Page {
            status: 302,
            fields: "Location: /moved/%7euser/./%6Dedia.m3u8?t=%7e\r\n".to_owned(),
            body: Vec::new(),
        },
    );
    server.set(
        "/moved/~user/media.m3u8",
        playlist("#EXTM3U\n#EXTINF:1,\n1.ts\n"),
    );
    server.set("/moved/~user/1.ts", segment(b"moved"));
    let gate = gate_with(server.address, "");
    let (media, film) = walk(&gate);
    assert_eq!(ask(&gate, &links(&media, &film)[0]).body, "moved");
    let asked = server
        .heads()
        .iter()
        .any(|head| target(head) == "/moved/~user/media.m3u8?t=%7e");
    assert!(asked, "{:?}", server.heads());
}
