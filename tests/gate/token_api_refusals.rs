//! What the token API does not grant it refuses by name, with what is wrong and what would be right.

use h5gate::token::{TokenId, UnixSeconds};
use h5gate::token_api::error::ApiError;
use h5gate::token_api::mint;
use http::StatusCode;
use serde_json::{Value, json};

use crate::support::token_api_asking::{HOUR, NOW, api_key, ask, ask_text, keyring, rules};

#[test]
fn what_is_wrong_is_said_and_what_would_be_right() {
    let mut table = bad_bodies();
    for (body, error, field, message, expected) in bad_scopes() {
        table.push((body.to_string(), error, field, message, expected));
    }
    let fields = [
        ("expires", bad_expires()),
        ("ip", bad_ips()),
        ("tag", bad_tags()),
        ("referer", bad_referers()),
    ];
    for (field, values) in fields {
        assert!(!values.is_empty(), "{field}");
        for (value, error, message, expected) in values {
            table.push((with(field, value), error, Some(field), message, expected));
        }
    }
    assert!(!table.is_empty());
    for (body, error, field, message, expected) in table {
        let refused = match ask_text("abcde", body.as_bytes()) {
            Err(refused) => refused,
            Ok(_) => panic!("{body} was granted"),
        };
        assert_eq!(refused.report().status, StatusCode::BAD_REQUEST, "{body}");
        let told: Value = serde_json::from_str(&refused.to_json()).unwrap();
        assert_eq!(told["error"], error, "{body}");
        assert_eq!(told["field"], json!(field), "{body}");
        for (key, words) in [("message", message), ("expected", expected)] {
            let text = told[key].as_str().unwrap();
            assert!(
                text.contains(words),
                "{body}: {key} {text:?} has no {words:?}"
            );
        }
        // The contract's four keys, and no fifth.
        assert_eq!(told.as_object().unwrap().len(), 4, "{told}");
    }
}

#[test]
fn milliseconds_are_told_with_the_seconds_that_were_meant() {
    let refused = ask_text("abcde", with("expires", "1700003600000").as_bytes()).unwrap_err();
    let told: Value = serde_json::from_str(&refused.to_json()).unwrap();
    let expected = json!({
        "error": "expires_in_milliseconds",
        "field": "expires",
        "message": "`expires` is in milliseconds: 1700003600000 divided by 1000 is 1700003600",
        "expected": "Unix time in whole seconds: 1700003600",
    });
    assert_eq!(told, expected);
}

#[test]
fn a_body_that_is_not_utf8_is_refused() {
    let error = ask_text("abcde", b"{\"streamname\":\"abcde-one\",\"tag\":\"\xff\"}").unwrap_err();
    assert_eq!(error.report().error, "not_json");
    assert!(error.to_string().contains("UTF-8"), "{error}");
}

#[test]
fn the_name_of_an_unknown_field_is_not_echoed_at_length() {
    let error = ask_text("abcde", with(&"ü".repeat(1000), "").as_bytes()).unwrap_err();
    assert_eq!(error.report().field.unwrap().chars().count(), 64);
}

#[test]
fn an_expiry_is_in_the_future_and_within_the_lifetime() {
    let year = 365 * 24 * HOUR;
    let table = [
        ("abcde", NOW + 1, None),
        ("abcde", NOW + year, None),
        ("abcde", NOW, Some("expires_in_the_past")),
        ("abcde", NOW - 1, Some("expires_in_the_past")),
        ("abcde", 0, Some("expires_in_the_past")),
        ("abcde", NOW + year + 1, Some("expires_too_far")),
        ("abcde", 99_999_999_999, Some("expires_too_far")),
        ("abcde", 100_000_000_000, Some("expires_in_milliseconds")),
        (
            "abcde",
            (NOW + HOUR) * 1000,
            Some("expires_in_milliseconds"),
        ),
        ("abcde", u64::MAX, Some("expires_in_milliseconds")),
        ("fghij", NOW + HOUR, None),
        ("fghij", NOW + HOUR + 1, Some("expires_too_far")),
    ];
    assert!(!table.is_empty());
    for (owner, expires, refusal) in table {
        let body = json!({"streamname": format!("{owner}-one"), "expires": expires.to_string()});
        let told = ask(owner, &body).map_err(|error| error.report().error);
        assert_eq!(told.err(), refusal, "{body}");
    }
}

#[test]
fn a_token_must_expire_where_the_operator_says_so() {
    for body in [
        json!({"streamname": "fghij-one"}),
        json!({"streamname": "fghij-one", "expires": ""}),
    ] {
        let report = ask("fghij", &body).unwrap_err().report();
        assert_eq!(
            (report.status, report.error, report.field.as_deref()),
            (StatusCode::BAD_REQUEST, "expires_required", Some("expires"))
        );
        assert!(
            report.expected.contains(&(NOW + HOUR).to_string()),
            "{report:?}"
        );
    }
}

#[test]
fn an_api_key_mints_for_its_own_streams_only() {
    let stream = |name: &str| json!({"streamname": name});
    let orga = |hash: &str| json!({"orga": hash});
    for (owner, body) in [
        ("abcde", stream("abcde-one")),
        ("abcde", orga("abcde")),
        ("*", stream("live")),
        ("*", stream("vwxyz-one")),
    ] {
        assert!(ask(owner, &body).is_ok(), "{body} of {owner}");
    }
    let batch = json!({"streamnames": ["abcde-one", "fghij-one", "abcde-two"]});
    let foreign = [
        ("abcde", stream("fghij-one"), "stream_forbidden"),
        ("abcde", stream("ABCDE-one"), "stream_forbidden"),
        ("abcde", stream("abcdef-one"), "stream_forbidden"),
        ("abcde", stream("abcde"), "stream_forbidden"),
        ("abcde", stream("live"), "stream_forbidden"),
        ("abcde", batch, "stream_forbidden"),
        ("abcde", orga("fghij"), "orga_forbidden"),
        ("abcde", orga("vwxyz"), "orga_forbidden"),
        ("*", stream("abcde-one"), "stream_forbidden"),
        ("*", stream("klmno-one"), "stream_forbidden"),
        ("*", orga("vwxyz"), "orga_forbidden"),
        ("*", orga("abcde"), "orga_forbidden"),
    ];
    assert!(!foreign.is_empty());
    for (owner, body, error) in foreign {
        let report = ask(owner, &body).unwrap_err().report();
        assert_eq!(report.status, StatusCode::FORBIDDEN, "{body} of {owner}");
        assert_eq!(report.error, error, "{body} of {owner}");
        let field = report.field.unwrap();
        assert!(!body[&field].is_null(), "{field} of {body}");
    }
}

#[test]
fn an_organisation_without_an_active_key_is_the_operators_fault() {
    let error = ask("klmno", &json!({"streamname": "klmno-one"})).unwrap_err();
    let report = error.report();
    assert_eq!(
        (report.status, report.error, report.field),
        (StatusCode::SERVICE_UNAVAILABLE, "no_active_key", None)
    );
}

#[test]
fn no_token_is_minted_without_randomness() {
    let body = json!({"streamnames": ["abcde-one", "abcde-two"]}).to_string();
    let mut left = Some(TokenId::new([1; 16]));
    let now = UnixSeconds::new(NOW);
    let answer = mint::answer(
        body.as_bytes(),
        &api_key("abcde"),
        &keyring(),
        &rules(),
        now,
        || left.take(),
    );
    let error = answer.unwrap_err();
    assert_eq!(error, ApiError::NoRandomness);
    assert_eq!(error.report().status, StatusCode::INTERNAL_SERVER_ERROR);
}

/// A body with one stream and one more field.
fn with(field: &str, value: impl Into<Value>) -> String {
    let mut body = json!({"streamname": "abcde-one"});
    body[field] = value.into();
    body.to_string()
}

/// A value of a field, the error's name, and words of the message and of what would be right.
type Bad = (Value, &'static str, &'static str, &'static str);

#[rustfmt::skip] // a line each
fn bad_scopes() -> Vec<(Value, &'static str, Option<&'static str>, &'static str, &'static str)> {
    let stream = |name: &str| json!({"streamname": name});
    let orga = |hash: &str| json!({"orga": hash});
    let batch = |names: Value| json!({"streamnames": names});
    let names = |count: usize| json!((0..count).map(|n| format!("abcde-{n}")).collect::<Vec<_>>());
    let (one, three) = (Some("streamname"), Some("streamnames"));
    let both = json!({"streamname": "abcde-one", "orga": "abcde"});
    let others = json!({"orga": "abcde", "streamnames": ["abcde-two"]});
    let long = format!("abcde-{}", "x".repeat(123));
    vec![
        (json!({}), "scope_missing", None, "nothing says", "exactly one of"),
        (json!({"tag": "t"}), "scope_missing", None, "nothing says", "exactly one of"),
        (json!({"streamname": "", "orga": ""}), "scope_missing", None, "nothing says", "streamnames"),
        (both, "scope_ambiguous", None, "more than one", "exactly one of"),
        (others, "scope_ambiguous", None, "more than one", "exactly one of"),
        (stream("abcde one"), "streamname_character", one, "' ' at position 6", "A-Z a-z 0-9 . _ ~ -"),
        (stream("abcde-%31"), "streamname_character", one, "'%' at position 7", "A-Z"),
        (stream("abcde/one"), "streamname_character", one, "'/' at position 6", "A-Z"),
        (stream(&long), "streamname_too_long", one, "129 bytes", "1 to 128"),
        (stream(".."), "streamname_dots", one, "`..`", "A-Z"),
        (json!({"streamname": ["abcde-one"]}), "not_a_string", one, "an array", "JSON string"),
        (orga("abcd"), "orga_too_short", Some("orga"), "4 characters", "5 or 6"),
        (orga("abcdefg"), "orga_too_long", Some("orga"), "7 bytes", "5 or 6"),
        (orga("abc-e"), "orga_character", Some("orga"), "'-' at position 4", "5 or 6"),
        (orga("*"), "orga_character", Some("orga"), "'*'", "5 or 6"),
        (json!({"orga": 12345}), "not_a_string", Some("orga"), "a number", "JSON string"),
        (batch(json!([])), "streamnames_count", three, "0 entries", "1 to 16"),
        (batch(names(17)), "streamnames_count", three, "17 entries", "1 to 16"),
        (batch(json!(["abcde-a", "abcde-b", "abcde-a"])), "streamnames_repeated", three, "entry 3", "once"),
        (batch(json!(["abcde-a", ""])), "streamname_empty", three, "entry 2", "1 to 128"),
        (batch(json!(["abcde-a", "a b"])), "streamname_character", three, "entry 2", "1 to 128"),
        (batch(json!(["abcde-a", 7])), "not_a_string", three, "entry 2 of `streamnames` is a number", "strings"),
        (batch(json!("abcde-a")), "not_an_array", three, "a string", "an array of 1 to 16"),
        (batch(json!(null)), "not_an_array", three, "null", "an array of 1 to 16"),
    ]
}

#[rustfmt::skip] // a line each
fn bad_expires() -> Vec<Bad> {
    let malformed = |text: &str, expected| (json!(text), "expires_malformed", "plain decimal digits", expected);
    let milliseconds = "1700003600000 divided by 1000 is 1700003600";
    vec![
        (json!("1700003600000"), "expires_in_milliseconds", milliseconds, "1700003600"),
        (json!("1600000000"), "expires_in_the_past", "it is 1600000000, and now is 1700000000", "at most 1731536000"),
        (json!("1731536001"), "expires_too_far", "latest allowed is 1731536000", "at most 1731536000"),
        (json!(1_700_003_600), "not_a_string", "`expires` is a number", "JSON string"),
        malformed("+9", "without sign"),
        malformed("-1", "without sign"),
        malformed("09", "leading zero"),
        malformed(" 9", "space"),
        malformed("9\n", "space"),
        malformed("1e3", "exponent"),
        malformed("1700003600.5", "point"),
        malformed("0x6553f100", "seconds"),
        malformed("١٧", "seconds"),
        malformed(&"1".repeat(25), "seconds"),
        malformed("2030-01-01T00:00:00Z", "seconds"),
    ]
}

fn bad_ips() -> Vec<Bad> {
    let table = [
        ("192.0.2", "IPv4 or IPv6"),
        ("192.0.2.256", "IPv4 or IPv6"),
        ("192.0.2.01", "IPv4 or IPv6"),
        ("192.0.2.1:80", "port"),
        ("192.0.2.0/24", "prefix"),
        ("[2001:db8::1]", "IPv4 or IPv6"),
        ("2001:db8::g", "IPv4 or IPv6"),
        ("fe80::1%eth0", "zone"),
        (" 192.0.2.1", "IPv4 or IPv6"),
        ("192.0.2.1,192.0.2.2", "one IPv4 or IPv6"),
        ("example.com", "IPv4 or IPv6"),
        ("3221225985", "IPv4 or IPv6"),
    ];
    let bad = |(ip, expected)| (json!(ip), "ip_malformed", "not an IP address", expected);
    table.map(bad).into()
}

#[rustfmt::skip] // a line each
fn bad_tags() -> Vec<Bad> {
    vec![
        (json!("x".repeat(257)), "tag_too_long", "257 bytes", "256 bytes"),
        (json!("ü".repeat(129)), "tag_too_long", "258 bytes", "256 bytes"),
        (json!("a\nb"), "tag_character", "'\\n' at position 2", "control characters"),
        (json!("\u{0}"), "tag_character", "position 1", "control characters"),
        (json!("a\u{7f}"), "tag_character", "position 2", "control characters"),
        (json!("a\u{85}"), "tag_character", "position 2", "control characters"),
        (json!(null), "not_a_string", "`tag` is null", "no field for none"),
        (json!(true), "not_a_string", "`tag` is true or false", "JSON string"),
        (json!(["t"]), "not_a_string", "`tag` is an array", "JSON string"),
        (json!({}), "not_a_string", "`tag` is an object", "JSON string"),
    ]
}

#[rustfmt::skip] // a line each
fn bad_referers() -> Vec<Bad> {
    let long_label = format!("{}.de", "a".repeat(64));
    let long_name = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(62));
    let (whole, bare) = ("the domain name alone: demo.nanocosmos.de", "the domain name alone: nanocosmos.de");
    let table = [
        // The vendor's three.
        ("https://demo.nanocosmos.de", "referer_scheme", "must not have a scheme", whole),
        ("nanocosmos.de/nanoplayer", "referer_path", "must not have a path", bare),
        ("nanocosmos", "referer_single_label", "at least two labels", "such as example.com"),
        // What was meant is said where it can be seen.
        ("https://demo.nanocosmos.de:8443/a?b#c", "referer_scheme", "scheme", whole),
        ("https://localhost/", "referer_scheme", "scheme", "at least two labels"),
        ("https://user@nanocosmos.de/", "referer_scheme", "scheme", "at least two labels"),
        ("nanocosmos.de?x", "referer_path", "a query", bare),
        ("nanocosmos.de:443", "referer_port", "must not have a port", bare),
        ("[2001:db8::1]", "referer_port", "must not have a port", "letters, digits"),
        ("*.nanocosmos.de", "referer_wildcard", "must not have a wildcard", "wildcard"),
        ("*", "referer_wildcard", "must not have a wildcard", "wildcard"),
        (&long_name, "referer_too_long", "is 254 characters long", "at most 253"),
        (&long_label, "referer_label_too_long", "64 characters", "1 to 63"),
        (".", "referer_empty_label", "empty label", "1 to 63"),
        ("a..de", "referer_empty_label", "empty label", "1 to 63"),
        (".nanocosmos.de", "referer_empty_label", "empty label", "1 to 63"),
        ("nanocosmos.de..", "referer_empty_label", "empty label", "1 to 63"),
        ("-nanocosmos.de", "referer_hyphen", "hyphen", "inner hyphens"),
        ("nanocosmos-.de", "referer_hyphen", "hyphen", "inner hyphens"),
        ("nanocosmos.-de", "referer_hyphen", "hyphen", "inner hyphens"),
        ("nano_cosmos.de", "referer_character", "'_'", "letters, digits"),
        ("bücher.de", "referer_character", "xn--", "letters, digits"),
        (" nanocosmos.de", "referer_character", "' '", "letters, digits"),
        ("a.de,b.de", "referer_character", "','", "letters, digits"),
        ("user@nanocosmos.de", "referer_character", "'@'", "letters, digits"),
        ("192.168.1.1", "referer_numeric_top_label", "digits only", "letters, digits"),
        ("nanocosmos.123", "referer_numeric_top_label", "digits only", "letters, digits"),
    ];
    table.map(|(referer, error, message, expected)| (json!(referer), error, message, expected)).into()
}

/// Bodies that are not JSON objects of our fields, each once.
#[rustfmt::skip] // a line each
fn bad_bodies() -> Vec<(String, &'static str, Option<&'static str>, &'static str, &'static str)> {
    let text = str::to_owned;
    let all = "streamname, orga, streamnames, tag, expires, ip, referer";
    let deep = format!("{}{}", "[".repeat(4000), "]".repeat(4000));
    let escaped = r#"{"streamname":"abcde-one","t\u0061g":"","tag":"b"}"#;
    vec![
        (with("expiry", "1700003600"), "unknown_field", Some("expiry"), "no field \"expiry\"", all),
        (with("Expires", "1700003600"), "unknown_field", Some("Expires"), "no field \"Expires\"", all),
        (with("options", ""), "unknown_field", Some("options"), "no field \"options\"", all),
        (with("", ""), "unknown_field", Some(""), "no field \"\"", all),
        (text(r#"{"orga":"abcde","tag":"a","tag":"b"}"#), "repeated_field", Some("tag"), "more than once", "once"),
        (text(r#"{"orga":"abcde","orga":"abcde"}"#), "repeated_field", Some("orga"), "more than once", "once"),
        (text(escaped), "repeated_field", Some("tag"), "`tag` is there more than once", "once"),
        (text(""), "not_json", None, "not JSON", "one JSON object"),
        (text("{"), "not_json", None, "line 1 column 1", "one JSON object"),
        (text("streamname=abcde-one&tag=t"), "not_json", None, "not JSON", "one JSON object"),
        (text(r#"{"streamname":"abcde-one",}"#), "not_json", None, "trailing comma", "one JSON object"),
        (text(r#"{'streamname':'abcde-one'}"#), "not_json", None, "not JSON", "one JSON object"),
        (text(r#"{"streamname":"abcde-one"} {}"#), "not_json", None, "trailing characters", "one JSON object"),
        (text(r#"{"streamname":"abcde-\ud800"}"#), "not_json", None, "not JSON", "one JSON object"),
        (text("{\"tag\":\"a\tb\"}"), "not_json", None, "not JSON", "one JSON object"),
        (text("\u{feff}{}"), "not_json", None, "not JSON", "one JSON object"),
        (deep, "not_json", None, "recursion limit", "one JSON object"),
        (text(r#"[{"streamname":"abcde-one"}]"#), "not_an_object", None, "an array", "one JSON object"),
        (text("null"), "not_an_object", None, "null", "one JSON object"),
        (text("\"abcde-one\""), "not_an_object", None, "a string", "one JSON object"),
    ]
}
