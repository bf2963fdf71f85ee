//! Any playlist: nothing panics, it becomes the same twice, what is no link stays, a browser asks for exactly what was
//! signed, and that is where the URI led, a path of the media server's own. A second gate in front changes none of it.
//!
//! The first byte chooses where the playlist comes from; the rest is its text behind the first line.

#![no_main]

#[path = "../../gate/support/edge.rs"]
mod edge;

use edge::{Edge, Piece, Place, links, open, pieces};
use h5gate::hls::playlist::{Definitions, GROWTH_LIMIT};
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
    for (uri, link) in links(&text, &first.text) {
        let asked = inner.browser_asks(link).unwrap_or_else(|| panic!("{link} leads elsewhere"));
        let (_, target) = open(&asked, &signed).unwrap_or_else(|| panic!("nobody signed {asked}"));
        let path = target.split('?').next().unwrap_or_default();
        assert!(!path.starts_with('/') && path.split('/').all(|s| !matches!(s, "." | "..")), "{target}");
        assert!(target.bytes().all(|b| b.is_ascii_graphic()), "{target}");
        // What a variable stands for is not known here.
        if !uri.contains("{$") {
            assert_eq!(Some(Place::asked_for(&asked)), inner.meant_by(uri), "{link} for {uri}");
        }
    }

    let below = "h5live/authhttp/~T/";
    let outer = Edge {
        asked: format!("AAAAAAAAAAAAAAAAAAAAAA/{below}{}", inner.asked),
        path: format!("/{below}{}", inner.asked.split('?').next().unwrap_or_default()),
        query: String::new(),
    };
    // Lines that the inner gate left alone may be what the outer one does not take, or become links of its own.
    let Ok((second, signed_again)) = outer.rewrite(&first.text) else { return };
    let all = [&text, &first.text, &second.text].map(|text| pieces(text));
    assert!(all.iter().all(|one| one.len() == all[0].len()), "lines or quotes came or went");
    for ((&uri, &link), &again) in all[0].iter().zip(&all[1]).zip(&all[2]) {
        // With its longer path it may be too long for a link.
        if uri == link || link == again {
            continue;
        }
        let [Piece::MayBeUri(link), Piece::MayBeUri(again)] = [link, again] else { panic!("{link:?} became {again:?}") };
        let [link, again] = [link, again].map(|bytes| str::from_utf8(bytes).expect("a link"));
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
