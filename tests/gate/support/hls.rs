//! An HLS viewer, and a media server with two renditions of a stream: what the tests of playback over HLS share.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};

use h5gate::token::Grant;

use super::clock::MovedClock;
use super::gate::{Gate, Setup, mint};
use super::http_server::{HttpServer, Page, page, playlist, segment};
use super::media_server::{FromGate, MediaServer, header, target};
use super::viewer::{Answer, connect, get, query};

pub(crate) const MULTI: &str = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow/media.m3u8\n";
pub(crate) const MEDIA: &str =
    "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n1.ts\n#EXTINF:1,\n/other/2.ts?x=1\n";

/// A live playlist of one segment, whose reload may wait for the next one.
pub(crate) fn live(segment: u64) -> String {
    format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES\n\
         #EXT-X-MEDIA-SEQUENCE:{segment}\n#EXTINF:2,\n{segment}.ts\n"
    )
}

pub(crate) fn server() -> HttpServer {
    HttpServer::start(&pages())
}

/// The pages of [`server`].
pub(crate) fn pages() -> Vec<(&'static str, Page)> {
    vec![
        ("/hls/abcde-one/playlist.m3u8", playlist(MULTI)),
        ("/hls/abcde-one/low/media.m3u8", playlist(MEDIA)),
        ("/hls/abcde-one/low/1.ts", segment(b"segment one")),
        ("/other/2.ts", segment(b"segment two")),
        (
            "/hls/abcde-one/stream.mp4",
            page("video/mp4", b"progressive"),
        ),
        ("/hls/abcde-two/playlist.m3u8", playlist(MEDIA)),
        ("/stat", page("text/plain", b"secret")),
    ]
}

/// The same but for one, which is then a script's to answer.
pub(crate) fn pages_but(one: &str) -> Vec<(&'static str, Page)> {
    let mut pages = pages();
    pages.retain(|(path, _)| *path != one);
    pages
}

/// The same pages, each on a connection of its own; what is not among them is `script`'s to answer.
pub(crate) fn scripted(
    pages: Vec<(&'static str, Page)>,
    script: impl Fn(FromGate) + Send + Sync + 'static,
) -> MediaServer {
    MediaServer::start(move |mut gate| {
        let path = target(&gate.head).split('?').next().unwrap_or_default();
        let found = pages.iter().find(|(known, _)| *known == path);
        match found {
            Some((_, page)) => gate.send_raw(&page.last()),
            None => script(gate),
        }
    })
}

pub(crate) fn gate_with(server: SocketAddr, tables: &str) -> Gate {
    start(None, server, tables)
}

/// The same with a clock that the test moves.
pub(crate) fn gate_by(clock: &MovedClock, server: SocketAddr, tables: &str) -> Gate {
    start(Some(clock), server, tables)
}

/// What `[upstream]` says for HLS from a media server of its own.
pub(crate) fn upstream_of(http: SocketAddr) -> String {
    format!("http_path = \"/hls/{{stream}}/\"\nhttp_servers = [\"http://{http}\"]")
}

fn start(clock: Option<&MovedClock>, server: SocketAddr, tables: &str) -> Gate {
    Gate::start(&Setup {
        servers: vec![server],
        upstream: "http_path = \"/hls/{stream}/\"",
        tables: &format!("{tables}\n[client]\ntrusted_proxies = [\"127.0.0.1\"]\n"),
        clock,
        ..Setup::default()
    })
}

/// Gives the organisation another key in the configuration, in the place of the one that signs in these tests.
pub(crate) fn exchange_key(gate: &Gate) {
    let next = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI5OTk5";
    super::gate::write_secret(&gate.dir().join("next.secret"), next);
    let file = std::fs::read_to_string(gate.dir().join("h5gate.toml")).unwrap();
    let gone = "id = \"abcde-1\"\nsecret_file = \"abcde.secret\"\n";
    assert!(file.contains(gone), "{file}");
    gate.rewrite_text(&file.replace(gone, "id = \"next\"\nsecret_file = \"next.secret\"\n"));
}

pub(crate) fn entry(grant: &Grant, cid: &str) -> String {
    let query = query("abcde-one", &mint(grant)).replace("cid=123456", &format!("cid={cid}"));
    format!("/h5live/authhttp/playlist.m3u8?{query}&pid=7")
}

pub(crate) const HERE: &str = "X-Forwarded-For: 192.0.2.1";

pub(crate) fn ask(gate: &Gate, path: &str) -> Answer {
    get(gate.playback, path, &[HERE])
}

/// A request from another place than [`HERE`].
pub(crate) fn ask_from(gate: &Gate, address: &str, path: &str) -> Answer {
    let header = format!("X-Forwarded-For: {address}");
    get(gate.playback, path, &[&header])
}

/// Sends a request and reads nothing of its answer.
pub(crate) fn ask_only(gate: &Gate, path: &str) -> TcpStream {
    let mut socket = connect(gate.playback);
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{HERE}\r\n\r\n");
    socket.write_all(head.as_bytes()).unwrap();
    socket
}

/// What an entry is answered with, and the ticket in it.
pub(crate) fn begin(gate: &Gate, entry: &str) -> (Answer, String) {
    let answer = ask(gate, entry);
    assert_eq!(answer.status, 200, "{answer:?}");
    let ticket = links(entry, &answer.body).remove(0);
    let ticket = ticket.split('/').nth(3).unwrap().to_owned();
    assert!(ticket.starts_with('~'), "{ticket}");
    (answer, ticket)
}

/// Where the media playlist is that a playback begins with from an address.
pub(crate) fn variant(gate: &Gate, address: &str, entry: &str) -> String {
    let answer = ask_from(gate, address, entry);
    assert_eq!(answer.status, 200, "{answer:?}");
    links(entry, &answer.body).remove(0)
}

/// The links of a playlist, as a player resolves them.
pub(crate) fn links(base: &str, text: &str) -> Vec<String> {
    let mut base: Vec<_> = base.split('?').next().unwrap().split('/').collect();
    base.pop();
    let uris = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    let resolve = |uri: &str| {
        let mut path = base.clone();
        let mut rest = uri;
        while let Some(up) = rest.strip_prefix("../") {
            path.pop();
            rest = up;
        }
        format!("{}/{rest}", path.join("/"))
    };
    uris.map(resolve).collect()
}

/// The session's name in a ticket.
pub(crate) fn session(ticket: &str) -> &str {
    ticket[1..].split('.').next().unwrap()
}

/// Plays to the first segment: the ticket, the media playlist's URL and the segments'.
pub(crate) fn play(gate: &Gate, entry: &str) -> (String, String, Vec<String>) {
    let (multi, ticket) = begin(gate, entry);
    let media = links(entry, &multi.body).remove(0);
    let text = ask(gate, &media);
    assert_eq!(text.status, 200, "{text:?}");
    assert!(!text.body.contains(&ticket), "a playlist that all share");
    let segments = links(&media, &text.body);
    (ticket, media, segments)
}

/// A refusal's status and code.
pub(crate) fn outcome(answer: &Answer) -> (u16, u64) {
    (answer.status, code(answer))
}

pub(crate) fn code(answer: &Answer) -> u64 {
    let json = serde_json::from_str::<serde_json::Value>(&answer.body);
    let json = json.unwrap_or_else(|_| panic!("no refusal: {answer:?}"));
    assert_eq!(
        header(&answer.head, "access-control-allow-origin"),
        Some("*")
    );
    assert_eq!(header(&answer.head, "cache-control"), Some("no-store"));
    assert_eq!(
        json["receipt"].as_str(),
        header(&answer.head, "x-h5gate-receipt")
    );
    json["code"].as_u64().unwrap()
}
