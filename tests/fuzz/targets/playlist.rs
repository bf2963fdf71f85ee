//! Any playlist: nothing panics, it becomes the same twice, what is no link stays, a browser asks for exactly what was
//! signed, and that is a path of the media server's own. A second gate in front changes none of it.
//!
//! The first byte chooses where the playlist comes from; the rest is its text behind the first line.

#![no_main]

#[path = "../../playlist_support/edge.rs"]
mod edge;

use edge::{Edge, open};
use h5gate::relay::playlist::{Definitions, GROWTH_LIMIT};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&place, rest)) = input.split_first() else { return };
    let text = [b"#EXTM3U\n", rest].concat();
    let inner = edge_at(place);
    let Ok((first, signed)) = inner.rewrite(&text) else { return };
    assert_eq!(inner.rewrite(&text), Ok((first.clone(), signed.clone())));
    assert!(first.text.len() <= text.len() + GROWTH_LIMIT);
    for (definitions, _) in &signed {
        let read = Definitions::decode(definitions).expect("what was encoded");
        assert_eq!(read.encode().as_ref(), Ok(definitions));
    }
    let links = uri_lines(&text, &first.text);
    for link in &links {
        let asked = inner.browser_asks(link).unwrap_or_else(|| panic!("{link} leads elsewhere"));
        let (_, target) = open(&asked, &signed).unwrap_or_else(|| panic!("nobody signed {asked}"));
        let path = target.split('?').next().unwrap_or_default();
        assert!(!path.starts_with('/') && path.split('/').all(|s| !matches!(s, "." | "..")), "{target}");
        assert!(target.bytes().all(|b| b.is_ascii_graphic()), "{target}");
    }

    let below = "h5live/authhttp/~T/";
    let outer = Edge {
        asked: format!("AAAAAAAAAAAAAAAAAAAAAA/{below}{}", inner.asked),
        path: format!("/{below}{}", inner.asked.split('?').next().unwrap_or_default()),
        query: String::new(),
    };
    // Lines that the inner gate left alone may be what the outer one does not take, or become links of its own.
    let Ok((second, signed_again)) = outer.rewrite(&first.text) else { return };
    for (link, again) in lines(&first.text).zip(lines(&second.text)) {
        let Some(link) = str::from_utf8(link).ok().filter(|link| links.contains(&link.to_string())) else { continue };
        // With its longer path it may be too long for a link.
        if link.as_bytes() == again {
            continue;
        }
        let again = str::from_utf8(again).expect("a link");
        let asked = outer.browser_asks(again).expect("a link of the outer gate");
        let (_, target) = open(&asked, &signed_again).expect("signed by the outer gate");
        let through = target.strip_prefix(below).expect("a link of the inner gate");
        let alone = inner.browser_asks(link).expect("checked above");
        assert_eq!(open(through, &signed), open(&alone, &signed), "{link} and {again}");
    }
});

fn edge_at(place: u8) -> Edge {
    let asked = ["playlist.m3u8", "AAAAAAAAAAAAAAAAAAAAAA/live/one/v.m3u8?x=1", "AAAAAAAAAAAAAAAAAAAAAA/~YT1iCg/a//v.m3u8"];
    let path = ["/h5live/http/playlist.m3u8", "/live//v.m3u8", "/~u/v.m3u8", "/v"];
    let query = ["", "q=%26stream%3Db%27&a=..%2F", "stream=abcde-one&url=x&q=%22"];
    let place = usize::from(place);
    Edge {
        asked: asked[place % 3].to_owned(),
        path: path[place / 3 % 4].to_owned(),
        query: query[place / 12 % 3].to_owned(),
    }
}

/// The links that became of URI lines, and that of all others only quoted values have changed.
fn uri_lines(text: &[u8], rewritten: &[u8]) -> Vec<String> {
    let mut links = Vec::new();
    assert_eq!(lines(text).count(), lines(rewritten).count());
    for (old, new) in lines(text).zip(lines(rewritten)) {
        if old == new {
            continue;
        }
        if old.starts_with(b"#") {
            assert_eq!(beside_quotes(old), beside_quotes(new));
        } else {
            links.push(String::from_utf8(new.to_vec()).expect("a link"));
        }
    }
    links
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&b| b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

fn beside_quotes(line: &[u8]) -> Vec<&[u8]> {
    line.split(|&b| b == b'"').step_by(2).collect()
}
