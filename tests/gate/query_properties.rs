//! What goes upstream parses back to exactly what was decided, by our reader and by a lenient one.

use h5gate::request::query::{Query, QueryError, encode_component};
use h5gate::request::rtmp_url::RtmpUrls;
use proptest::prelude::*;

use crate::properties::settings;

const SOURCE: &str = "rtmp://localhost/play";

fn urls() -> RtmpUrls {
    RtmpUrls::new(vec![SOURCE.parse().unwrap()])
}

/// A reader that takes `+` for a space, ignores broken escapes, and folds letter case: whoever stands behind us.
fn lenient(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| {
        percent_encoding::percent_decode_str(&text.replace('+', " "))
            .decode_utf8_lossy()
            .into_owned()
    };
    let pairs = query
        .split(['&', ';'])
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs
        .map(|(key, value)| (decode(key).trim().to_lowercase(), decode(value)))
        .collect()
}

/// A query in any spelling: some bytes escaped, some not, keys near the guarded ones among them.
fn spelled() -> impl Strategy<Value = String> {
    let key = prop_oneof![
        "[a-z]{1,6}",
        Just("stream".to_owned()),
        Just("Stream".to_owned()),
        Just("stream[]".to_owned()),
        Just("url".to_owned()),
        Just("token".to_owned()),
        Just("options".to_owned()),
        Just("jwtoken".to_owned()),
        "\\PC{0,6}",
    ];
    let value = prop_oneof![
        "[ -~]{0,12}",
        "\\PC{0,12}",
        Just("h1.k.x.y".to_owned()),
        Just("abcde-two".to_owned())
    ];
    let pair = (key, value, any::<bool>()).prop_map(|(key, value, raw)| {
        if raw && (key.clone() + &value).bytes().all(|b| b.is_ascii_graphic()) {
            format!("{key}={value}")
        } else {
            format!("{}={}", encode_component(&key), encode_component(&value))
        }
    });
    proptest::collection::vec(pair, 0..8).prop_map(|pairs| pairs.join("&"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..settings() })]

    #[test]
    fn what_goes_upstream_says_what_was_decided(extra in spelled(), tail in spelled()) {
        let raw = format!("{extra}&stream=abcde-one&url=RTMP%3A%2F%2FLOCALHOST%2Fplay&token=h1.a.b.c&expires=1&options=1&tag=t&{tail}");
        let Ok(query) = Query::parse(&raw) else { return Ok(()) };
        prop_assert_eq!(query.stream.as_deref(), Some("abcde-one"));
        let url = urls().find(query.url.as_deref().unwrap()).unwrap();
        let rebuilt = query.rebuild(&url);

        let again = Query::parse(&rebuilt).unwrap();
        prop_assert_eq!(again.stream.as_deref(), Some("abcde-one"));
        prop_assert_eq!(again.url.as_deref(), Some(SOURCE));
        let pairs = |query: &Query<'_>| -> Vec<(String, Option<String>)> {
            query.forwarded().filter(|(key, _)| *key != "url").map(|(k, v)| (k.to_owned(), v.map(str::to_owned))).collect()
        };
        prop_assert_eq!(pairs(&query), pairs(&again));
        prop_assert_eq!(again.rebuild(&url), rebuilt.clone());

        for (key, value) in lenient(&rebuilt) {
            match key.as_str() {
                "stream" => prop_assert_eq!(value, "abcde-one"),
                "url" => prop_assert_eq!(value, SOURCE),
                "token" => prop_assert!(!value.starts_with("h1.")),
                "expires" | "tag" | "options" | "jwtoken" => prop_assert!(false, "{} went upstream", key),
                _ => {}
            }
        }
    }

    #[test]
    fn no_query_makes_the_reader_panic(raw in "\\PC{0,200}") {
        let _ = Query::parse(&raw);
    }
}

#[test]
fn values_are_decoded_once_and_a_plus_is_a_plus() {
    let query = Query::parse("stream=a&x=%252B&y=a+b&z=%2B&tag=a%2Bb+c").unwrap();
    let pairs: Vec<_> = query.forwarded().collect();
    assert_eq!(
        pairs,
        [
            ("stream", Some("a")),
            ("x", Some("%2B")),
            ("y", Some("a+b")),
            ("z", Some("+"))
        ]
    );
    assert_eq!(query.security.tag, "a+b+c");
}

#[test]
fn two_readers_must_not_be_able_to_disagree() {
    for (raw, error) in [
        ("a=%", QueryError::Encoding),
        ("a=%4", QueryError::Encoding),
        ("a=%4g", QueryError::Encoding),
        ("a=%c3", QueryError::Encoding),
        ("a=%00", QueryError::Control),
        ("a=%7f", QueryError::Control),
        ("a=%c2%85", QueryError::Control),
        ("stream=a&stream=a", QueryError::Repeated("stream")),
        ("stream=a&str%65am=b", QueryError::Repeated("stream")),
        ("STREAM=a", QueryError::Spelling("stream")),
        ("stream%20=a", QueryError::Spelling("stream")),
        ("stream%5B0%5D=a", QueryError::Spelling("stream")),
        ("token=h1.a&token=h1.b", QueryError::Repeated("token")),
        ("token=a&token=b", QueryError::Repeated("token")),
    ] {
        assert_eq!(Query::parse(raw), Err(error), "{raw}");
    }
    let many = vec!["a=b"; 65].join("&");
    assert_eq!(Query::parse(&many), Err(QueryError::TooMany));
}

#[test]
fn either_order_of_the_doubled_token_is_read() {
    for raw in ["token=legacy&token=h1.a", "token=h1.a&token=legacy"] {
        let query = Query::parse(raw).unwrap();
        assert_eq!(query.security.token, "h1.a");
        assert_eq!(
            query.forwarded().collect::<Vec<_>>(),
            [("token", Some("legacy"))]
        );
    }
    assert_eq!(
        Query::parse("token=legacy").unwrap().security.token,
        "legacy",
        "malformed is never treated as absent"
    );
    assert_eq!(Query::parse("jwtoken=x").unwrap().security.token, "");
}
