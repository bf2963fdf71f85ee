//! The token API gives exactly what was asked for: the vendor's requests and answers, and the batch.

use std::net::IpAddr;

use h5gate::token::{
    AddressPrefix, Grant, Presented, RefererPattern, Scope, Security, StreamName, TokenId,
    UnixSeconds,
};
use h5gate::token_api::error::ApiError;
use h5gate::token_api::mint::Answer;
use serde_json::{Value, json};

use crate::support::token_api_asking::{HOUR, NOW, api_key, ask, keyring};

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

#[test]
#[rustfmt::skip] // a line each
fn the_documented_examples_get_their_options() {
    let expires = (NOW + HOUR).to_string();
    let stream = |more: Value| merged(json!({"streamname": "abcde-one"}), more);
    let orga = |more: Value| merged(json!({"orga": "abcde"}), more);
    let nothing = json!({"tag": "", "expires": "", "ip": "", "referer": "", "orga": "", "streamnames": ""});
    let table = [
        // The vendor's four.
        (stream(json!({"tag": "t", "expires": expires})), "9"),
        (orga(json!({"tag": "t", "expires": expires})), "25"),
        (stream(json!({"ip": "192.0.2.1"})), "2"),
        (stream(json!({"tag": "t", "referer": "nanocosmos.de"})), "12"),
        // What players were seen with, and back ends that send every field.
        (stream(json!({})), "0"),
        (stream(nothing), "0"),
        (stream(json!({"expires": expires, "tag": ""})), "1"),
        (stream(json!({"expires": expires, "tag": "t", "referer": "nanocosmos.de"})), "13"),
        (stream(json!({"expires": expires, "tag": "t", "referer": "nanocosmos.de", "ip": "2001:db8::1"})), "15"),
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
fn every_longest_request_is_granted() {
    let name = |n: usize| format!("abcde-{n:0122}").parse::<StreamName>().unwrap();
    let names: Vec<_> = (0..16).map(|n| name(n).to_string()).collect();
    assert_eq!(names[0].len(), 128);
    let referer = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(61));
    let body = json!({
        "streamnames": names,
        "expires": (NOW + 365 * 24 * HOUR).to_string(),
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
}

fn merged(mut body: Value, mut more: Value) -> Value {
    let fields = more.as_object_mut().unwrap();
    body.as_object_mut().unwrap().append(fields);
    body
}
