//! Whatever a media server writes: only links change, a browser asks for exactly what was signed, and that is a path of
//! the media server's own: the one to which the URI leads that the link was made of.

use std::collections::BTreeMap;

use crate::properties::settings;
use crate::support::edge::{Edge, Piece, Place, links, open, pieces, request};
use h5gate::hls::link::{Signature, link_target};
use h5gate::hls::playlist::Definitions;
use h5gate::request::query::{QueryError, guarded};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

/// A URI in any spelling, near what matters.
fn uri() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        8 => "[a-zA-Z0-9_~.-]{1,6}",
        6 => Just("/".to_owned()),
        2 => prop::sample::select(vec![
            "..", "../", "./", "//", "\\", "%2e", "%2F", "%5c", ";", "?", "#", "&", "=", "'", " ", "\"", "<", "{$none}",
            "%", "%41", "+", "[", "ü", "\u{a0}", "|", ":", "@", "stream=", "Url=", "stream%5B%5D=", "_HLS_msn=1",
        ]).prop_map(str::to_owned),
        1 => prop::sample::select(vec!["{$a}", "{$q}", "{$i}"]).prop_map(str::to_owned),
        1 => "\\PC{1,3}",
    ];
    let start = prop::sample::select(vec![
        "",
        "",
        "",
        "/",
        "?",
        "//media:8181/",
        "http://media:8181",
        "https://media:8181/",
        "HTTP://media:8181\\",
        "//cdn/",
        "https://cdn/",
        "data:",
        "http:",
        "\\\\media:8181/",
        "/\\",
        "#",
    ]);
    (start, proptest::collection::vec(piece, 0..8))
        .prop_map(|(start, pieces)| start.to_owned() + &pieces.concat())
}

/// Tags with a URI, which stands where the `@` is.
const TAGS: &[&str] = &[
    "#EXT-X-MAP:BYTERANGE=\"1,2\",URI=\"@\",X=1",
    "#EXT-X-KEY:METHOD=AES-128,URI=\"@\",IV=0x1",
    "#EXT-X-SESSION-KEY:METHOD=AES-128,URI=\"@\"",
    "#EXT-X-SESSION-DATA:DATA-ID=\"a\",URI=\"@\"",
    "#EXT-X-PART:DURATION=1,URI=\"@\",INDEPENDENT=YES",
    "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"@\"",
    "#EXT-X-RENDITION-REPORT:URI=\"@\",LAST-MSN=1",
    "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"a,b\",URI=\"@\"",
    "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"@\"",
    "#EXT-X-IMAGE-STREAM-INF:BANDWIDTH=1,URI=\"@\"",
    "#EXT-X-CONTENT-STEERING:SERVER-URI=\"@\",PATHWAY-ID=\"a\"",
    "#EXT-X-DATERANGE:X-ASSET-LIST=\"@\",X-ASSET-URI=\"@\",X-URI=\"@\"",
];

/// A line, without its end.
fn line() -> impl Strategy<Value = String> {
    let quoted = || uri().prop_map(|uri| uri.replace('"', "'"));
    prop_oneof![
        5 => uri(),
        4 => (prop::sample::select(TAGS), quoted()).prop_map(|(tag, uri)| tag.replace('@', &uri)),
        1 => uri().prop_map(|uri| format!("#EXT-X-PREFETCH:{uri}")),
        1 => quoted().prop_map(|value| format!("#EXT-X-DEFINE:NAME=\"a\",VALUE=\"{value}\"")),
        1 => prop::sample::select(vec!["#EXT-X-DEFINE:QUERYPARAM=\"q\"", "#EXT-X-DEFINE:IMPORT=\"i\""]).prop_map(str::to_owned),
        1 => prop::sample::select(vec![
            "#EXTINF:1,", "#EXT-X-STREAM-INF:BANDWIDTH=1", "#EXT-X-TARGETDURATION:4", "# a comment", "", "#EXT-X-KEY:METHOD=NONE", "#EXT-X-FOO:URI=\"a\"",
        ]).prop_map(str::to_owned),
        1 => "#\\PC{0,30}",
    ]
}

fn playlist() -> impl Strategy<Value = String> {
    let ended = (line(), prop::sample::select(vec!["\n", "\r\n"]));
    (
        any::<bool>(),
        proptest::collection::vec(ended, 0..12),
        any::<bool>(),
    )
        .prop_map(|(mark, lines, cut)| {
            let mut text = if mark {
                "\u{feff}#EXTM3U\n"
            } else {
                "#EXTM3U\r\n"
            }
            .to_owned();
            for (line, end) in lines {
                text += &line;
                text += end;
            }
            if cut {
                text.pop();
            }
            text
        })
}

fn edge() -> impl Strategy<Value = Edge> {
    let asked = prop::sample::select(vec![
        "playlist.m3u8",
        "AAAAAAAAAAAAAAAAAAAAAA/live/one/v.m3u8?q=1",
        "AAAAAAAAAAAAAAAAAAAAAA/~YT1iCg/live//v.m3u8?_HLS_msn=1",
    ]);
    let path = prop::sample::select(vec![
        "/h5live/http/playlist.m3u8",
        "/live//v.m3u8",
        "/v",
        "/~u/v.m3u8",
    ]);
    let query = prop::sample::select(vec!["", "q=%26stream%3Db%27", "q=..%2F..&stream=abcde-one"]);
    (asked, path, query).prop_map(|(asked, path, query)| Edge {
        asked: asked.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
    })
}

/// The variables that [`line`] may define, as a player has them at the end: of two definitions the first stands.
#[derive(Default)]
struct Variables(BTreeMap<&'static str, String>);

impl Variables {
    fn read(edge: &Edge, text: &str) -> Self {
        let mut variables = Self::default();
        for line in text.lines() {
            let Some(list) = line.strip_prefix("#EXT-X-DEFINE:") else {
                continue;
            };
            let value = list.strip_prefix("NAME=\"a\",VALUE=\"");
            if let Some(value) = value.and_then(|value| value.strip_suffix('"')) {
                variables.define("a", variables.fill(value));
            } else if list.starts_with("QUERYPARAM") {
                let mut pairs = edge.query.split('&');
                let value = pairs.find_map(|pair| pair.strip_prefix("q="));
                let decoded = |value| percent_encoding::percent_decode_str(value).decode_utf8();
                variables.define("q", value.map(|value| decoded(value).unwrap().into_owned()));
            } else if list.starts_with("IMPORT") {
                variables.define("i", Some("j".to_owned()));
            }
        }
        variables
    }

    fn define(&mut self, name: &'static str, value: Option<String>) {
        if let Some(value) = value {
            self.0.entry(name).or_insert(value);
        }
    }

    /// `None` where one is not defined.
    fn fill(&self, text: &str) -> Option<String> {
        let mut filled = String::new();
        for (at, part) in text.split("{$").enumerate() {
            match part.split_once('}') {
                Some((name, behind)) if at > 0 && ["a", "q", "i", "none"].contains(&name) => {
                    filled += self.0.get(name)?;
                    filled += behind;
                }
                _ if at > 0 => filled = filled + "{$" + part,
                _ => filled += part,
            }
        }
        Some(filled)
    }
}

/// Checks each link that the edge wrote, and that nothing else changed.
fn check(edge: &Edge, text: &str) -> Result<(), TestCaseError> {
    let Ok((rewritten, signed)) = edge.rewrite(text.as_bytes()) else {
        return Ok(());
    };
    let variables = Variables::read(edge, text);
    for (uri, link) in links(text.as_bytes(), &rewritten.text) {
        let asked = edge.browser_asks(link).unwrap_or_default();
        let opened = open(&asked, &signed);
        prop_assert!(
            opened.is_some(),
            "{} asks for {}, which nobody signed",
            link,
            asked
        );
        let (_, target) = opened.unwrap();
        let meant = variables.fill(uri).and_then(|uri| edge.meant_by(&uri));
        let leads_to = Some(Place::asked_for(&asked));
        prop_assert_eq!(leads_to, meant, "{} for {}", link, uri);
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        prop_assert!(!path.starts_with('/'), "{}", target);
        prop_assert!(
            path.split('/').all(|s| !matches!(s, "." | "..")),
            "{}",
            target
        );
        prop_assert!(target.bytes().all(|b| b.is_ascii_graphic()), "{}", target);
        let guarded: Vec<_> = query
            .split(['&', ';'])
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(key, value)| {
                (
                    percent_encoding::percent_decode_str(key).decode_utf8_lossy(),
                    value,
                )
            })
            .filter(|(key, _)| {
                let named = guarded(key);
                let (Ok(Some(name)) | Err(QueryError::Spelling(name))) = named else {
                    return false;
                };
                matches!(name, "stream" | "url")
            })
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        prop_assert!(
            guarded.is_empty()
                || guarded == ["url=rtmp%3A%2F%2Flocalhost%2Fpl%27ay", "stream=abcde-one"],
            "{:?} in {}",
            guarded,
            target
        );
        // A player that adds a directive by URLSearchParams spells the query anew.
        let mut asked = edge.base().join(link).unwrap();
        let pairs: Vec<_> = asked.query_pairs().into_owned().collect();
        if !query.contains(';')
            && pairs
                .iter()
                .all(|(key, value)| !(key.clone() + value).contains('\u{fffd}'))
        {
            asked
                .query_pairs_mut()
                .clear()
                .extend_pairs(&pairs)
                .append_pair("_HLS_msn", "7");
            prop_assert!(
                open(&request(&asked).unwrap(), &signed).is_some(),
                "{} with a directive",
                asked
            );
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..settings() })]

    #[test]
    fn a_browser_asks_for_what_was_signed_and_nothing_else_changed(edge in edge(), text in playlist()) {
        check(&edge, &text)?;
    }

    #[test]
    fn the_same_text_becomes_the_same(edge in edge(), text in playlist()) {
        let again = edge.rewrite(text.as_bytes());
        prop_assert_eq!(edge.rewrite(text.as_bytes()), again);
    }

    #[test]
    fn two_gates_in_a_row_lead_where_one_does(text in playlist()) {
        let inner = Edge { asked: "SSSSSSSSSSSSSSSSSSSSSS/live/one/v.m3u8".to_owned(), path: "/live/one/v.m3u8".to_owned(), query: String::new() };
        let Ok((first, signed_first)) = inner.rewrite(text.as_bytes()) else { return Ok(()) };
        let outer = Edge {
            asked: "TTTTTTTTTTTTTTTTTTTTTT/h5live/authhttp/~T/SSSSSSSSSSSSSSSSSSSSSS/live/one/v.m3u8".to_owned(),
            path: "/h5live/authhttp/~T/SSSSSSSSSSSSSSSSSSSSSS/live/one/v.m3u8".to_owned(),
            query: String::new(),
        };
        let Ok((second, signed_second)) = outer.rewrite(&first.text) else { return Ok(()) };
        let all = [text.as_bytes(), &first.text, &second.text].map(pieces);
        prop_assert!(all.iter().all(|one| one.len() == all[0].len()));
        for ((&text, &first), &second) in all[0].iter().zip(&all[1]).zip(&all[2]) {
            let [Piece::MayBeUri(link), Piece::MayBeUri(again)] = [first, second] else { continue };
            if text == first {
                continue;
            }
            let through_one = open(&inner.browser_asks(str::from_utf8(link).unwrap()).unwrap(), &signed_first);
            let request = outer.browser_asks(str::from_utf8(again).unwrap()).unwrap();
            let (_, target) = open(&request, &signed_second).unwrap();
            // What the outer gate asks the inner one for.
            let behind = target.strip_prefix("h5live/authhttp/~T/").unwrap();
            prop_assert_eq!(open(behind, &signed_first), through_one);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), edge in edge()) {
        let _ = edge.rewrite(&bytes);
        let _ = edge.rewrite(&[b"#EXTM3U\n".as_slice(), &bytes].concat());
    }

    #[test]
    fn definitions_are_read_as_they_were_written(text in "(#EXT-X-DEFINE:NAME=\"[a-c]\",VALUE=\"\\PC{0,9}\"\n){0,9}", noise in "[A-Za-z0-9_-]{0,40}") {
        let edge = Edge { asked: "p.m3u8".to_owned(), path: "/p.m3u8".to_owned(), query: String::new() };
        let text = format!("#EXTM3U\n{text}#EXT-X-STREAM-INF:BANDWIDTH=1\nlow.m3u8\n");
        let (_, signed) = edge.rewrite(text.as_bytes()).unwrap();
        let (definitions, _) = signed.last().unwrap();
        prop_assert_eq!(&Definitions::decode(definitions).unwrap().encode().unwrap(), definitions);
        if let Ok(read) = Definitions::decode(&noise) {
            prop_assert_eq!(read.encode().unwrap(), noise);
        }
    }

    #[test]
    fn what_is_signed_of_a_target_is_signed_of_itself(target in "[a-z/?&=;%+_HLS.~ 0-9]{0,40}") {
        let signed = |target: &str| link_target(target).split('#').next().unwrap().to_owned();
        let once = signed(&target);
        prop_assert_eq!(signed(&once), once);
    }
}

#[test]
fn a_target_has_one_spelling() {
    for (request, target) in [
        ("a.ts", "a.ts"),
        ("a%2e.ts", "a%2e.ts"),
        ("a.ts?", "a.ts"),
        ("a.ts?_HLS_msn=1&_HLS_part=2", "a.ts"),
        ("a.ts?_HLS_msn=1&x=1", "a.ts?x=1"),
        ("a.ts?x=1&_HLS_skip=YES&y=2", "a.ts?x=1&y=2"),
        ("a.ts?x=a:b%20c&y", "a.ts?x=a%3Ab%20c&y="),
        ("a.ts?x=a%3Ab+c&y=", "a.ts?x=a%3Ab%20c&y="),
        ("a.ts?x=1;y=2", "a.ts?x=1;y%3D2"),
        ("a.ts?x=1%3By=2", "a.ts?x=1%3By%3D2"),
        ("a.ts?x=%2B&y=%26", "a.ts?x=%2B&y=%26"),
    ] {
        let signed = link_target(request);
        let (signed, spelling) = signed.split_once('#').unwrap_or((&signed, ""));
        assert_eq!(signed, target, "{request}");
        // How it was spelled is signed as well.
        assert_eq!(spelling.len(), 4 * usize::from(target.contains('?')));
    }
}

#[test]
fn a_signature_is_22_characters_of_base64url() {
    let text = Signature::new([0xff; 16]);
    assert_eq!(text.as_bytes(), b"_____________________w");
}

#[test]
fn short_uris_do_not_grow_without_end() {
    let edge = |path: String| Edge {
        asked: "p.m3u8".to_owned(),
        path,
        query: String::new(),
    };
    let long = edge(format!("/{}/p.m3u8", "d".repeat(6_000)));
    for line in ["a\n", "a%2f\n"] {
        let text = format!("#EXTM3U\n{}", line.repeat(50_000));
        assert_eq!(
            long.rewrite(text.as_bytes()).unwrap_err().to_string(),
            "the links grow too long"
        );
    }
    let define = format!("#EXT-X-DEFINE:NAME=\"a\",VALUE=\"{}\"\n", "v".repeat(6_000));
    for line in ["{$a}\n", "{$a}{$none}\n", "{$a}%2f\n"] {
        let text = format!("#EXTM3U\n{define}{}", line.repeat(10_000));
        assert!(
            edge("/p".to_owned()).rewrite(text.as_bytes()).is_err(),
            "{line}"
        );
    }
    let defines = "#EXT-X-DEFINE:NAME=\"a\",VALUE=\"b\"\n";
    assert!(
        edge("/p".to_owned())
            .rewrite(format!("#EXTM3U\n{}", defines.repeat(256)).as_bytes())
            .is_ok()
    );
    assert!(
        edge("/p".to_owned())
            .rewrite(format!("#EXTM3U\n{}", defines.repeat(257)).as_bytes())
            .is_err()
    );
}

#[test]
fn definitions_that_fit_no_link_are_an_error() {
    let edge = Edge {
        asked: "p.m3u8".to_owned(),
        path: "/p.m3u8".to_owned(),
        query: String::new(),
    };
    let with = |length: usize| {
        let value = "v".repeat(length);
        format!(
            "#EXTM3U\n#EXT-X-DEFINE:NAME=\"a\",VALUE=\"{value}\"\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow.m3u8\n"
        )
    };
    assert!(edge.rewrite(with(765).as_bytes()).is_ok());
    assert!(edge.rewrite(with(766).as_bytes()).is_err());
    assert!(Definitions::decode(&"A".repeat(1028)).is_err());
    for bad in [
        "Yg",
        "YT1iCmE9Ygo",
        "Yj1iCmE9Ygo",
        "YT1i",
        "YT1iDQo",
        "PWIK",
    ] {
        assert!(Definitions::decode(bad).is_err(), "{bad}");
    }
}

#[test]
fn the_generators_make_links() {
    // Otherwise the properties above hold of nothing.
    let mut runner = TestRunner::deterministic();
    let mut of_lines = 0;
    let mut of_tags = vec![0; TAGS.len()];
    let mut filled = 0;
    for _ in 0..500 {
        let text = playlist().new_tree(&mut runner).unwrap().current();
        let edge = edge().new_tree(&mut runner).unwrap().current();
        let Ok((rewritten, _)) = edge.rewrite(text.as_bytes()) else {
            continue;
        };
        let rewritten = String::from_utf8(rewritten.text).unwrap();
        let lines = text.lines().zip(rewritten.lines());
        for (old, _) in lines.filter(|(old, new)| old != new) {
            filled += usize::from(old.contains("{$"));
            let name = old.split(':').next().unwrap();
            match TAGS
                .iter()
                .position(|tag| old.starts_with('#') && tag.split(':').next() == Some(name))
            {
                Some(tag) => of_tags[tag] += 1,
                None => of_lines += 1,
            }
        }
    }
    assert!(of_lines > 300, "{of_lines} URI lines");
    assert!(of_tags.iter().all(|&links| links > 5), "{of_tags:?}");
    assert!(filled > 5, "{filled} with variables");
}
