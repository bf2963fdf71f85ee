//! Any query: nothing panics, and what goes to the media server reads back as what was decided, with no security key of
//! ours.

#![no_main]

use std::sync::LazyLock;

use h5gate::request::query::Query;
use h5gate::request::rtmp_url::RtmpUrl;
use libfuzzer_sys::fuzz_target;

static URL: LazyLock<RtmpUrl> = LazyLock::new(|| "rtmp://localhost/play".parse().expect("a source"));

fuzz_target!(|input: &[u8]| {
    let Ok(raw) = std::str::from_utf8(input) else { return };
    let Ok(query) = Query::parse(raw) else { return };
    let rebuilt = query.rebuild(&URL);
    assert!(rebuilt.is_ascii() && !rebuilt.contains([';', '+', '#', ' ']), "{rebuilt}");
    let again = Query::parse(&rebuilt).expect("what is rebuilt is a query");
    let forwarded: Vec<_> = query
        .forwarded()
        // A parameter with neither key nor value is nothing.
        .filter(|(key, value)| !(key.is_empty() && value.is_none()))
        .map(|(key, value)| (key, if key == "url" { Some(URL.as_str()) } else { value }))
        .collect();
    assert_eq!(again.forwarded().collect::<Vec<_>>(), forwarded, "{rebuilt}");
    assert_eq!((&again.stream, &again.flags, &again.pid), (&query.stream, &query.flags, &query.pid), "{rebuilt}");
    for (key, value) in forwarded {
        assert!(!matches!(key, "expires" | "tag" | "options" | "jwtoken"), "{key} went on: {rebuilt}");
        assert!(key != "token" || !value.unwrap_or_default().starts_with("h1."), "{rebuilt}");
    }
    assert_eq!((again.security.expires, again.security.tag, again.security.options), Default::default());
    assert!(!again.security.token.starts_with("h1."));
});
