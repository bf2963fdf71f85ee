//! An HLS viewer, request by request: it begins with a token and goes on under the ticket of its links.

use std::net::SocketAddr;

use h5gate::token::Grant;

use super::gate::{Gate, Setup, mint};
use super::viewer::{Answer, get, query};

/// Where the viewer is.
pub const HERE: &str = "X-Forwarded-For: 192.0.2.1";

/// A gate whose neighbours say where viewers are, and further tables.
pub fn gate_with(server: SocketAddr, tables: &str) -> Gate {
    Gate::start(&Setup {
        servers: vec![server],
        upstream: "http_path = \"/hls/{stream}/\"",
        tables: &format!("{tables}\n[client]\ntrusted_proxies = [\"127.0.0.1\"]\n"),
        ..Setup::default()
    })
}

/// The URL that a playback of `abcde-one` begins with.
pub fn entry(grant: &Grant, cid: &str) -> String {
    let query = query("abcde-one", &mint(grant));
    format!("/h5live/authhttp/playlist.m3u8?{query}&pid=7&cid={cid}")
}

/// A GET from there.
pub fn ask(gate: &Gate, path: &str) -> Answer {
    get(gate.playback, path, &[HERE])
}

/// What an entry is answered with, and the ticket in it.
pub fn begin(gate: &Gate, entry: &str) -> (Answer, String) {
    let answer = ask(gate, entry);
    assert_eq!(answer.status, 200, "{answer:?}");
    let ticket = links(entry, &answer.body).remove(0);
    let ticket = ticket.split('/').nth(3).unwrap().to_owned();
    assert!(ticket.starts_with('~'), "{ticket}");
    (answer, ticket)
}

/// The links of a playlist, as a player resolves them.
pub fn links(base: &str, text: &str) -> Vec<String> {
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

/// Plays to the first segment: the ticket, the media playlist's URL and the segments'.
pub fn play(gate: &Gate, entry: &str) -> (String, String, Vec<String>) {
    let (multi, ticket) = begin(gate, entry);
    let media = links(entry, &multi.body).remove(0);
    let text = ask(gate, &media);
    assert_eq!(text.status, 200, "{text:?}");
    assert!(!text.body.contains(&ticket), "a playlist that all share");
    let segments = links(&media, &text.body);
    (ticket, media, segments)
}
