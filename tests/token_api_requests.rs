//! The token API gives exactly what was asked for, or says what is wrong and what would be right. Without HTTP: bodies
//! in, answers out, at a fixed time.

#![cfg(feature = "gate")]

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use h5gate::decision::rules::{OrganisationRules, Rules};
use h5gate::token::{
    AddressPrefix, Grant, Key, KeyState, Keyring, Owner, Presented, RefererPattern, Scope, Secret,
    Security, StreamName, TokenId, UnixSeconds,
};
use h5gate::token_api::api_key::ApiKey;
use h5gate::token_api::error::ApiError;
use h5gate::token_api::mint::{self, Answer};
use http::StatusCode;
use serde_json::{Value, json};

const NOW: u64 = 1_700_000_000;
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// Two organisations with an active key, one whose key is retiring, and the streams of nobody.
fn keyring() -> Keyring {
    let keys = [
        ("abcde", KeyState::Active),
        ("fghij", KeyState::Active),
        ("klmno", KeyState::Retiring),
        ("*", KeyState::Active),
    ];
    let keys = keys.map(|(owner, state)| {
        let id = if owner == "*" { "unlisted" } else { owner };
        let secret = Secret::new(vec![7; 32]).unwrap();
        Key::new(id.parse().unwrap(), owner.parse().unwrap(), state, &secret)
    });
    Keyring::new([], keys).unwrap()
}

/// `fghij` wants tokens of at most an hour; the others are as by default.
fn rules() -> Rules {
    let strict = OrganisationRules {
        require_expires: true,
        max_lifetime: Duration::from_secs(HOUR),
        ..OrganisationRules::default()
    };
    Rules::new(HashMap::from([("fghij".parse().unwrap(), strict)]))
}

fn api_key(owner: &str) -> ApiKey {
    ApiKey {
        id: "test".to_owned(),
        owner: owner.parse().unwrap(),
        sha256: [0; 32],
    }
}

/// Ids are counted up, so that a test knows them.
fn ask_text(owner: &str, body: &[u8]) -> Result<Answer, ApiError> {
    let mut next = 0;
    let now = UnixSeconds::new(NOW);
    mint::answer(body, &api_key(owner), &keyring(), &rules(), now, || {
        next += 1;
        Some(TokenId::new([next; 16]))
    })
}

fn ask(owner: &str, body: &Value) -> Result<Answer, ApiError> {
    ask_text(owner, body.to_string().as_bytes())
}

fn one(answer: Result<Answer, ApiError>) -> Security {
    match answer {
        Ok(Answer::One(security)) => security,
        other => panic!("one token, not {other:?}"),
    }
}

/// What the token proves to say.
fn grant(security: &Security) -> Grant {
    keyring().verify(Presented::from(security)).unwrap().grant
}

fn address(text: &str) -> AddressPrefix {
    AddressPrefix::single(text.parse::<IpAddr>().unwrap())
}

/// The options that a request gets, for every mask of the vendor's examples and a few beside them.
#[test]
fn the_documented_examples_get_their_options() {
    let expires = (NOW + HOUR).to_string();
    let stream = |more: Value| merged(json!({"streamname": "abcde-one"}), more);
    let orga = |more: Value| merged(json!({"orga": "abcde"}), more);
    let table = [
        // The vendor's four.
        (stream(json!({"tag": "t", "expires": expires})), "9"),
        (orga(json!({"tag": "t", "expires": expires})), "25"),
        (stream(json!({"ip": "192.0.2.1"})), "2"),
        (
            stream(json!({"tag": "t", "referer": "nanocosmos.de"})),
            "12",
        ),
        // What players were seen with, and back ends that send every field.
        (stream(json!({})), "0"),
        (
            stream(
                json!({"tag": "", "expires": "", "ip": "", "referer": "", "orga": "", "streamnames": ""}),
            ),
            "0",
        ),
        (stream(json!({"expires": expires, "tag": ""})), "1"),
        (
            stream(json!({"expires": expires, "tag": "t", "referer": "nanocosmos.de"})),
            "13",
        ),
        (
            stream(
                json!({"expires": expires, "tag": "t", "referer": "nanocosmos.de", "ip": "2001:db8::1"}),
            ),
            "15",
        ),
        (orga(json!({"streamname": ""})), "16"),
        (orga(json!({"ip": "192.0.2.1"})), "18"),
    ];
    assert!(!table.is_empty());
    for (body, options) in table {
        assert_eq!(one(ask("abcde", &body)).options, options, "{body}");
    }
}

#[test]
fn every_combination_gets_a_token_that_says_exactly_what_was_asked() {
    let mut masks = Vec::new();
    for mask in 0..32_u8 {
        let has = |bit: u8| mask & bit != 0;
        let mut body = match has(16) {
            true => json!({"orga": "abcde"}),
            false => json!({"streamname": "abcde-one"}),
        };
        let mut expected = Grant::new(
            TokenId::new([1; 16]),
            UnixSeconds::new(NOW),
            match has(16) {
                true => Scope::Organisation("abcde".parse().unwrap()),
                false => Scope::stream("abcde-one".parse().unwrap()),
            },
        );
        if has(1) {
            body["expires"] = (NOW + HOUR).to_string().into();
            expected.expires = Some(UnixSeconds::new(NOW + HOUR));
        }
        if has(2) {
            body["ip"] = "192.0.2.1".into();
            expected.addresses = vec![address("192.0.2.1")];
        }
        if has(4) {
            body["referer"] = "Demo.Nanocosmos.DE.".into();
            expected.referers = vec!["demo.nanocosmos.de".parse().unwrap()];
        }
        if has(8) {
            body["tag"] = "Kunde \"ü\" \\ 1".into();
            expected.tag = "Kunde \"ü\" \\ 1".parse().unwrap();
        }
        let answer = ask("abcde", &body);
        let text = answer.as_ref().unwrap().to_json();
        let security = one(answer);
        assert_eq!(grant(&security), expected, "{body}");
        // The vendor's answer: these four strings and nothing beside them.
        let expected = json!({"h5live": {"security": {
            "expires": if has(1) { (NOW + HOUR).to_string() } else { String::new() },
            "tag": if has(8) { "Kunde \"ü\" \\ 1" } else { "" },
            "token": security.token,
            "options": mask.to_string(),
        }}});
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
        masks.push(mask);
    }
    assert_eq!(masks.len(), 32);
}

#[test]
fn an_address_is_of_either_kind() {
    let table = [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("2001:0DB8:0:0::1", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
    ];
    assert!(!table.is_empty());
    for (ip, bound_to) in table {
        let body = json!({"streamname": "abcde-one", "ip": ip});
        let grant = grant(&one(ask("abcde", &body)));
        assert_eq!(grant.addresses, [address(bound_to)], "{ip}");
    }
}

#[test]
fn a_referer_is_a_domain_name() {
    let long_label = "a".repeat(63);
    let longest = format!("{0}.{0}.{0}.{1}", long_label, "b".repeat(61));
    assert_eq!(longest.len(), 253);
    let table = [
        "nanocosmos.de",
        "demo-nanocosmos123.de",
        "xn--bcher-kva.example",
        "1.2.3.a",
        &longest,
        &format!("{longest}."),
    ];
    assert!(!table.is_empty());
    for referer in table {
        let body = json!({"streamname": "abcde-one", "referer": referer});
        let grant = grant(&one(ask("abcde", &body)));
        let domain = referer.trim_end_matches('.').parse().unwrap();
        assert_eq!(grant.referers, [RefererPattern::Exact(domain)], "{referer}");
    }
}

#[test]
fn a_batch_is_one_token_for_each_stream_in_the_order_asked_for() {
    let names: Vec<_> = (0..16).rev().map(|n| format!("abcde-{n}")).collect();
    let body = json!({"streamnames": names, "tag": "t", "expires": (NOW + 1).to_string(), "streamname": "", "orga": ""});
    let answer = ask("abcde", &body).unwrap();
    assert_eq!(answer.count(), 16);
    let text: Value = serde_json::from_str(&answer.to_json()).unwrap();
    let streams = text["h5live"]["streams"].as_array().unwrap();
    assert_eq!(text, json!({"h5live": {"streams": streams}}));
    let Answer::Batch(minted) = answer else {
        panic!("a batch")
    };
    assert_eq!((minted.len(), streams.len()), (16, 16));
    let mut ids = Vec::new();
    for ((name, (stream, security)), shown) in names.iter().zip(&minted).zip(streams) {
        assert_eq!(stream.as_str(), name);
        let Security {
            expires,
            tag,
            token,
            options,
        } = security;
        let fields = json!({"expires": expires, "tag": tag, "token": token, "options": options});
        assert_eq!(*shown, json!({"streamname": name, "security": fields}));
        let grant = grant(security);
        assert_eq!(grant.scope, Scope::stream(stream.clone()));
        assert_eq!((grant.tag.as_str(), options.as_str()), ("t", "9"));
        ids.push(grant.id);
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 16, "each has an id of its own");
    // A batch of one is a batch.
    let one = ask("abcde", &json!({"streamnames": ["abcde-one"]})).unwrap();
    assert!(matches!(one, Answer::Batch(minted) if minted.len() == 1));
}

#[test]
fn an_api_key_mints_for_its_own_streams_only() {
    let table = [
        ("abcde", json!({"streamname": "abcde-one"}), None),
        (
            "abcde",
            json!({"streamname": "fghij-one"}),
            Some(("stream_forbidden", "streamname")),
        ),
        (
            "abcde",
            json!({"streamname": "ABCDE-one"}),
            Some(("stream_forbidden", "streamname")),
        ),
        (
            "abcde",
            json!({"streamname": "abcdef-one"}),
            Some(("stream_forbidden", "streamname")),
        ),
        (
            "abcde",
            json!({"streamname": "abcde"}),
            Some(("stream_forbidden", "streamname")),
        ),
        (
            "abcde",
            json!({"streamname": "live"}),
            Some(("stream_forbidden", "streamname")),
        ),
        (
            "abcde",
            json!({"orga": "fghij"}),
            Some(("orga_forbidden", "orga")),
        ),
        (
            "abcde",
            json!({"orga": "vwxyz"}),
            Some(("orga_forbidden", "orga")),
        ),
        (
            "abcde",
            json!({"streamnames": ["abcde-one", "fghij-one", "abcde-two"]}),
            Some(("stream_forbidden", "streamnames")),
        ),
        ("*", json!({"streamname": "live"}), None),
        ("*", json!({"streamname": "vwxyz-one"}), None),
        (
            "*",
            json!({"streamname": "abcde-one"}),
            Some(("stream_forbidden", "streamname")),
        ),
        (
            "*",
            json!({"streamname": "klmno-one"}),
            Some(("stream_forbidden", "streamname")),
        ),
        (
            "*",
            json!({"orga": "vwxyz"}),
            Some(("orga_forbidden", "orga")),
        ),
        (
            "*",
            json!({"orga": "abcde"}),
            Some(("orga_forbidden", "orga")),
        ),
    ];
    assert!(!table.is_empty());
    for (owner, body, refusal) in table {
        match (ask(owner, &body), refusal) {
            (Ok(_), None) => {}
            (Err(error), Some((name, field))) => {
                let report = error.report();
                assert_eq!(report.status, StatusCode::FORBIDDEN, "{body}");
                assert_eq!(
                    (report.error, report.field.as_deref()),
                    (name, Some(field)),
                    "{body}"
                );
            }
            (answer, expected) => panic!("{body} of {owner}: {answer:?}, not {expected:?}"),
        }
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

#[test]
fn an_expiry_is_in_the_future_and_within_the_lifetime() {
    let year = 365 * DAY;
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

/// A body with one stream and one more field.
fn with(field: &str, value: impl Into<Value>) -> String {
    let mut body = json!({"streamname": "abcde-one"});
    body[field] = value.into();
    body.to_string()
}

/// What is wrong, the error's name, the field, and words of the message and of what would be right.
type Refusal = (
    String,
    &'static str,
    Option<&'static str>,
    &'static str,
    &'static str,
);

fn bad_fields() -> Vec<Refusal> {
    let some = |field: &'static str| Some(field);
    let stream = |name: &str| json!({"streamname": name}).to_string();
    let batch = |names: Value| json!({"streamnames": names}).to_string();
    let names = |count: usize| (0..count).map(|n| format!("abcde-{n}")).collect::<Vec<_>>();
    vec![
        // The scope.
        (
            "{}".to_owned(),
            "scope_missing",
            None,
            "nothing says",
            "exactly one of",
        ),
        (
            json!({"streamname": "", "orga": ""}).to_string(),
            "scope_missing",
            None,
            "nothing says",
            "streamnames",
        ),
        (
            json!({"tag": "t"}).to_string(),
            "scope_missing",
            None,
            "nothing says",
            "exactly one of",
        ),
        (
            with("orga", "abcde"),
            "scope_ambiguous",
            None,
            "more than one",
            "exactly one of",
        ),
        (
            with("streamnames", vec!["abcde-two"]),
            "scope_ambiguous",
            None,
            "more than one",
            "exactly one of",
        ),
        (
            json!({"orga": "abcde", "streamnames": ["abcde-two"]}).to_string(),
            "scope_ambiguous",
            None,
            "more than one",
            "exactly one of",
        ),
        // Names.
        (
            stream("abcde one"),
            "streamname_character",
            some("streamname"),
            "' ' at position 6",
            "A-Z a-z 0-9 . _ ~ -",
        ),
        (
            stream("abcde-%31"),
            "streamname_character",
            some("streamname"),
            "'%'",
            "A-Z",
        ),
        (
            stream("abcde/one"),
            "streamname_character",
            some("streamname"),
            "'/'",
            "A-Z",
        ),
        (
            stream(&format!("abcde-{}", "x".repeat(123))),
            "streamname_too_long",
            some("streamname"),
            "129 bytes",
            "1 to 128",
        ),
        (
            stream(".."),
            "streamname_dots",
            some("streamname"),
            "`..`",
            "A-Z",
        ),
        (
            json!({"orga": "abcd"}).to_string(),
            "orga_too_short",
            some("orga"),
            "4 characters",
            "5 or 6",
        ),
        (
            json!({"orga": "abcdefg"}).to_string(),
            "orga_too_long",
            some("orga"),
            "7 bytes",
            "5 or 6",
        ),
        (
            json!({"orga": "abc-e"}).to_string(),
            "orga_character",
            some("orga"),
            "'-' at position 4",
            "5 or 6",
        ),
        (
            json!({"orga": "*"}).to_string(),
            "orga_character",
            some("orga"),
            "'*'",
            "5 or 6",
        ),
        // A batch.
        (
            batch(json!([])),
            "streamnames_count",
            some("streamnames"),
            "0 entries",
            "1 to 16",
        ),
        (
            batch(json!(names(17))),
            "streamnames_count",
            some("streamnames"),
            "17 entries",
            "1 to 16",
        ),
        (
            batch(json!(["abcde-a", "abcde-b", "abcde-a"])),
            "streamnames_repeated",
            some("streamnames"),
            "entry 3",
            "once",
        ),
        (
            batch(json!(["abcde-a", ""])),
            "streamname_empty",
            some("streamnames"),
            "entry 2",
            "1 to 128",
        ),
        (
            batch(json!(["abcde-a", "a b"])),
            "streamname_character",
            some("streamnames"),
            "entry 2",
            "1 to 128",
        ),
        (
            batch(json!(["abcde-a", 7])),
            "not_a_string",
            some("streamnames"),
            "entry 2 of `streamnames` is a number",
            "strings",
        ),
        (
            batch(json!("abcde-a")),
            "not_an_array",
            some("streamnames"),
            "a string",
            "an array of 1 to 16",
        ),
        (
            batch(json!(null)),
            "not_an_array",
            some("streamnames"),
            "null",
            "an array of 1 to 16",
        ),
        // expires: its form; its time is another table.
        (
            with("expires", "1700003600000"),
            "expires_in_milliseconds",
            some("expires"),
            "1700003600000 divided by 1000 is 1700003600",
            "1700003600",
        ),
        (
            with("expires", "1600000000"),
            "expires_in_the_past",
            some("expires"),
            "it is 1600000000, and now is 1700000000",
            "at most 1731536000",
        ),
        (
            with("expires", "1731536001"),
            "expires_too_far",
            some("expires"),
            "latest allowed is 1731536000",
            "at most 1731536000",
        ),
        (
            with("expires", "+9"),
            "expires_malformed",
            some("expires"),
            "plain decimal digits",
            "without sign",
        ),
        (
            with("expires", "-1"),
            "expires_malformed",
            some("expires"),
            "plain decimal digits",
            "without sign",
        ),
        (
            with("expires", "09"),
            "expires_malformed",
            some("expires"),
            "plain decimal digits",
            "leading zero",
        ),
        (
            with("expires", " 9"),
            "expires_malformed",
            some("expires"),
            "plain decimal digits",
            "space",
        ),
        (
            with("expires", "9\n"),
            "expires_malformed",
            some("expires"),
            "plain decimal digits",
            "space",
        ),
        (
            with("expires", "1e3"),
            "expires_malformed",
            some("expires"),
            "plain decimal digits",
            "exponent",
        ),
        (
            with("expires", "1700003600.5"),
            "expires_malformed",
            some("expires"),
            "plain decimal digits",
            "point",
        ),
        (
            with("expires", "0x6553f100"),
            "expires_malformed",
            some("expires"),
            "plain decimal digits",
            "seconds",
        ),
        (
            with("expires", "١٧"),
            "expires_malformed",
            some("expires"),
            "plain decimal digits",
            "seconds",
        ),
        (
            with("expires", "1".repeat(25)),
            "expires_malformed",
            some("expires"),
            "plain decimal digits",
            "seconds",
        ),
        (
            with("expires", "2030-01-01T00:00:00Z"),
            "expires_malformed",
            some("expires"),
            "plain decimal digits",
            "seconds",
        ),
        (
            with("expires", 1_700_003_600),
            "not_a_string",
            some("expires"),
            "`expires` is a number",
            "JSON string",
        ),
        // ip.
        (
            with("ip", "192.0.2"),
            "ip_malformed",
            some("ip"),
            "not an IP address",
            "IPv4 or IPv6",
        ),
        (
            with("ip", "192.0.2.256"),
            "ip_malformed",
            some("ip"),
            "not an IP address",
            "IPv4 or IPv6",
        ),
        (
            with("ip", "192.0.2.01"),
            "ip_malformed",
            some("ip"),
            "not an IP address",
            "IPv4 or IPv6",
        ),
        (
            with("ip", "192.0.2.1:80"),
            "ip_malformed",
            some("ip"),
            "not an IP address",
            "port",
        ),
        (
            with("ip", "192.0.2.0/24"),
            "ip_malformed",
            some("ip"),
            "not an IP address",
            "prefix",
        ),
        (
            with("ip", "[2001:db8::1]"),
            "ip_malformed",
            some("ip"),
            "not an IP address",
            "IPv4 or IPv6",
        ),
        (
            with("ip", "2001:db8::g"),
            "ip_malformed",
            some("ip"),
            "not an IP address",
            "IPv4 or IPv6",
        ),
        (
            with("ip", "fe80::1%eth0"),
            "ip_malformed",
            some("ip"),
            "not an IP address",
            "zone",
        ),
        (
            with("ip", " 192.0.2.1"),
            "ip_malformed",
            some("ip"),
            "not an IP address",
            "IPv4 or IPv6",
        ),
        (
            with("ip", "example.com"),
            "ip_malformed",
            some("ip"),
            "not an IP address",
            "IPv4 or IPv6",
        ),
        (
            with("ip", "3221225985"),
            "ip_malformed",
            some("ip"),
            "not an IP address",
            "IPv4 or IPv6",
        ),
        // tag.
        (
            with("tag", "x".repeat(257)),
            "tag_too_long",
            some("tag"),
            "257 bytes",
            "256 bytes",
        ),
        (
            with("tag", "ü".repeat(129)),
            "tag_too_long",
            some("tag"),
            "258 bytes",
            "256 bytes",
        ),
        (
            with("tag", "a\nb"),
            "tag_character",
            some("tag"),
            "'\\n' at position 2",
            "control characters",
        ),
        (
            with("tag", "\u{0}"),
            "tag_character",
            some("tag"),
            "position 1",
            "control characters",
        ),
        (
            with("tag", "a\u{7f}"),
            "tag_character",
            some("tag"),
            "position 2",
            "control characters",
        ),
        (
            with("tag", "a\u{85}"),
            "tag_character",
            some("tag"),
            "position 2",
            "control characters",
        ),
        (
            with("tag", json!(null)),
            "not_a_string",
            some("tag"),
            "`tag` is null",
            "no field for none",
        ),
        (
            with("tag", true),
            "not_a_string",
            some("tag"),
            "`tag` is true or false",
            "JSON string",
        ),
        (
            with("tag", json!(["t"])),
            "not_a_string",
            some("tag"),
            "`tag` is an array",
            "JSON string",
        ),
        (
            with("tag", json!({})),
            "not_a_string",
            some("tag"),
            "`tag` is an object",
            "JSON string",
        ),
        (
            json!({"streamname": ["abcde-one"]}).to_string(),
            "not_a_string",
            some("streamname"),
            "an array",
            "JSON string",
        ),
        (
            json!({"orga": 12345}).to_string(),
            "not_a_string",
            some("orga"),
            "a number",
            "JSON string",
        ),
        // Fields that are not there, or twice.
        (
            with("expiry", "1700003600"),
            "unknown_field",
            some("expiry"),
            "no field \"expiry\"",
            "streamname, orga, streamnames, tag, expires, ip, referer",
        ),
        (
            with("Expires", "1700003600"),
            "unknown_field",
            some("Expires"),
            "no field \"Expires\"",
            "expires",
        ),
        (
            with("options", ""),
            "unknown_field",
            some("options"),
            "no field \"options\"",
            "expires",
        ),
        (
            with("", ""),
            "unknown_field",
            some(""),
            "no field \"\"",
            "expires",
        ),
        (
            r#"{"streamname":"abcde-one","tag":"a","tag":"b"}"#.to_owned(),
            "repeated_field",
            some("tag"),
            "`tag` is there more than once",
            "once",
        ),
        (
            r#"{"streamname":"abcde-one","t\u0061g":"","tag":"b"}"#.to_owned(),
            "repeated_field",
            some("tag"),
            "more than once",
            "once",
        ),
        (
            r#"{"streamname":"abcde-one","streamname":"abcde-one"}"#.to_owned(),
            "repeated_field",
            some("streamname"),
            "more than once",
            "once",
        ),
        // What is no JSON object.
        (
            String::new(),
            "not_json",
            None,
            "not JSON",
            "one JSON object",
        ),
        (
            "{".to_owned(),
            "not_json",
            None,
            "line 1 column 1",
            "one JSON object",
        ),
        (
            "streamname=abcde-one&tag=t".to_owned(),
            "not_json",
            None,
            "not JSON",
            "one JSON object",
        ),
        (
            r#"{"streamname":"abcde-one",}"#.to_owned(),
            "not_json",
            None,
            "trailing comma",
            "one JSON object",
        ),
        (
            r#"{'streamname':'abcde-one'}"#.to_owned(),
            "not_json",
            None,
            "not JSON",
            "one JSON object",
        ),
        (
            r#"{"streamname":"abcde-one"} {}"#.to_owned(),
            "not_json",
            None,
            "trailing characters",
            "one JSON object",
        ),
        (
            r#"{"streamname":"abcde-\ud800"}"#.to_owned(),
            "not_json",
            None,
            "not JSON",
            "one JSON object",
        ),
        (
            "{\"tag\":\"a\tb\"}".to_owned(),
            "not_json",
            None,
            "not JSON",
            "one JSON object",
        ),
        (
            format!("{}{}", "[".repeat(4000), "]".repeat(4000)),
            "not_json",
            None,
            "recursion limit",
            "one JSON object",
        ),
        (
            "\u{feff}{}".to_owned(),
            "not_json",
            None,
            "not JSON",
            "one JSON object",
        ),
        (
            r#"[{"streamname":"abcde-one"}]"#.to_owned(),
            "not_an_object",
            None,
            "an array",
            "one JSON object",
        ),
        (
            "null".to_owned(),
            "not_an_object",
            None,
            "null",
            "one JSON object",
        ),
        (
            "\"abcde-one\"".to_owned(),
            "not_an_object",
            None,
            "a string",
            "one JSON object",
        ),
    ]
}

fn bad_referers() -> Vec<Refusal> {
    let long_label = format!("{}.de", "a".repeat(64));
    let long_name = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(62));
    let table = [
        // The vendor's three, and what was meant where that can be seen.
        (
            "https://demo.nanocosmos.de",
            "referer_scheme",
            "must not have a scheme",
            "the domain name alone: demo.nanocosmos.de",
        ),
        (
            "nanocosmos.de/nanoplayer",
            "referer_path",
            "must not have a path",
            "the domain name alone: nanocosmos.de",
        ),
        (
            "nanocosmos",
            "referer_single_label",
            "at least two labels",
            "such as example.com",
        ),
        (
            "https://demo.nanocosmos.de:8443/a?b#c",
            "referer_scheme",
            "scheme",
            "the domain name alone: demo.nanocosmos.de",
        ),
        (
            "https://localhost/",
            "referer_scheme",
            "scheme",
            "at least two labels",
        ),
        (
            "https://user@nanocosmos.de/",
            "referer_scheme",
            "scheme",
            "at least two labels",
        ),
        (
            "nanocosmos.de?x",
            "referer_path",
            "a query",
            "the domain name alone: nanocosmos.de",
        ),
        (
            "nanocosmos.de:443",
            "referer_port",
            "must not have a port",
            "the domain name alone: nanocosmos.de",
        ),
        (
            "*.nanocosmos.de",
            "referer_wildcard",
            "must not have a wildcard",
            "wildcard",
        ),
        (
            "*",
            "referer_wildcard",
            "must not have a wildcard",
            "wildcard",
        ),
        (
            &long_name,
            "referer_too_long",
            "is 254 characters long",
            "at most 253",
        ),
        (
            &long_label,
            "referer_label_too_long",
            "64 characters",
            "1 to 63",
        ),
        (".", "referer_empty_label", "empty label", "1 to 63"),
        ("a..de", "referer_empty_label", "empty label", "1 to 63"),
        (
            ".nanocosmos.de",
            "referer_empty_label",
            "empty label",
            "1 to 63",
        ),
        (
            "nanocosmos.de..",
            "referer_empty_label",
            "empty label",
            "1 to 63",
        ),
        (
            "-nanocosmos.de",
            "referer_hyphen",
            "hyphen",
            "inner hyphens",
        ),
        (
            "nanocosmos-.de",
            "referer_hyphen",
            "hyphen",
            "inner hyphens",
        ),
        (
            "nanocosmos.-de",
            "referer_hyphen",
            "hyphen",
            "inner hyphens",
        ),
        (
            "nano_cosmos.de",
            "referer_character",
            "'_'",
            "letters, digits",
        ),
        ("bücher.de", "referer_character", "xn--", "letters, digits"),
        (
            " nanocosmos.de",
            "referer_character",
            "' '",
            "letters, digits",
        ),
        ("a.de,b.de", "referer_character", "','", "letters, digits"),
        (
            "user@nanocosmos.de",
            "referer_character",
            "'@'",
            "letters, digits",
        ),
        (
            "192.168.1.1",
            "referer_numeric_top_label",
            "digits only",
            "letters, digits",
        ),
        (
            "nanocosmos.123",
            "referer_numeric_top_label",
            "digits only",
            "letters, digits",
        ),
        ("[2001:db8::1]", "referer_port", "port", "letters, digits"),
    ];
    let refused = |(referer, error, message, expected): (&str, _, _, _)| {
        (
            with("referer", referer),
            error,
            Some("referer"),
            message,
            expected,
        )
    };
    table.map(refused).into()
}

#[test]
fn what_is_wrong_is_said_and_what_would_be_right() {
    let (fields, referers) = (bad_fields(), bad_referers());
    assert!(!fields.is_empty() && !referers.is_empty());
    for (body, error, field, message, expected) in fields.into_iter().chain(referers) {
        let refused = match ask_text("abcde", body.as_bytes()) {
            Err(refused) => refused,
            Ok(_) => panic!("{body} was granted"),
        };
        assert_eq!(refused.report().status, StatusCode::BAD_REQUEST, "{body}");
        let told: Value = serde_json::from_str(&refused.to_json()).unwrap();
        assert_eq!(
            (&told["error"], &told["field"]),
            (&json!(error), &json!(field)),
            "{body}"
        );
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
fn every_longest_request_is_granted() {
    let name = |n: usize| format!("abcde-{n:0122}").parse::<StreamName>().unwrap();
    let names: Vec<_> = (0..16).map(|n| name(n).to_string()).collect();
    assert_eq!(names[0].len(), 128);
    let referer = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(61));
    let body = json!({
        "streamnames": names,
        "expires": (NOW + 365 * DAY).to_string(),
        "ip": "2001:db8:1111:2222:3333:4444:5555:6666",
        "referer": referer,
        "tag": "x".repeat(256),
    });
    assert_eq!(ask("abcde", &body).unwrap().count(), 16);
    // What `TokenApi::body_limit` is told to leave room for.
    assert!(body.to_string().len() < 4096);
}

#[test]
fn an_answer_shows_no_token_when_it_is_logged() {
    let answer = ask("abcde", &json!({"streamname": "abcde-one"})).unwrap();
    let text = format!("{answer:?} {:?}", api_key("abcde"));
    assert!(!text.contains("h1."), "{text}");
    assert_eq!(api_key("*").owner, Owner::Unlisted);
}

fn merged(mut body: Value, more: Value) -> Value {
    let fields = more.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(fields);
    body
}
