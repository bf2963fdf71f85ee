//! `tests/vectors/token.json`, the specification by example, holds for this implementation. An implementation of its own
//! writes the file, `tests/vectors/generate.py`, so that neither checks itself.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use h5gate::token::{
    AtExpiry, ClaimError, Field, Grant, Key, KeyState, Keyring, MintError, Owner, Presented, Scope,
    Secret, Security, TokenError, TokenId, UnixSeconds,
};
use serde_json::Value;

#[test]
fn every_grant_mints_to_the_same_four_strings() {
    let vectors = Vectors::load();
    for case in vectors.section("minted") {
        let (owner, grant) = (owner(case), grant(&case["grant"]));
        let security = vectors.keyring.mint(&owner, &grant);
        let security = security.unwrap_or_else(|error| panic!("{}: {error}", name(case)));
        let expected = Strings::of(&case["security"]);
        assert_eq!(Strings::from(&security), expected, "{}", name(case));
    }
}

#[test]
fn every_token_verifies_to_its_claims() {
    let vectors = Vectors::load();
    for section in ["minted", "verified"] {
        for case in vectors.section(section) {
            let strings = Strings::of(&case["security"]);
            let claims = vectors.keyring.verify(strings.presented());
            let claims = claims.unwrap_or_else(|error| panic!("{}: {error}", name(case)));
            assert_eq!(claims.key.as_str(), case["key"], "{}", name(case));
            assert_eq!(claims.owner, owner(case), "{}", name(case));
            let expected = without_repetitions(grant(&case["grant"]));
            assert_eq!(
                without_repetitions(claims.grant),
                expected,
                "{}",
                name(case)
            );
        }
    }
}

#[test]
fn every_refusal_has_its_reason() {
    let vectors = Vectors::load();
    for case in vectors.section("refused") {
        let strings = Strings::of(&case["security"]);
        match vectors.keyring.verify(strings.presented()) {
            Ok(_) => panic!("verifies: {}", name(case)),
            Err(error) => assert_eq!(refusal(&error), case["reason"], "{}: {error}", name(case)),
        }
    }
}

#[test]
fn no_token_is_made_of_a_grant_that_would_not_verify() {
    let vectors = Vectors::load();
    for case in vectors.section("not_minted") {
        match vectors.keyring.mint(&owner(case), &grant(&case["grant"])) {
            Ok(_) => panic!("mints: {}", name(case)),
            Err(error) => assert_eq!(no_mint(&error), case["reason"], "{}: {error}", name(case)),
        }
    }
}

#[test]
fn the_table_is_not_empty() {
    let vectors = Vectors::load();
    let sections = ["minted", "verified", "refused", "not_minted"];
    let cases: usize = sections
        .iter()
        .map(|section| vectors.section(section).len())
        .sum();
    assert!(cases >= 80, "only {cases} cases");
}

#[test]
fn every_reason_to_refuse_has_an_example() {
    let vectors = Vectors::load();
    let given: Vec<_> = vectors
        .section("refused")
        .iter()
        .map(|case| &case["reason"])
        .collect();
    let missing: Vec<_> = REFUSALS
        .iter()
        .filter(|reason| !given.iter().any(|g| g == *reason))
        .collect();
    assert!(missing.is_empty(), "no example of {missing:?}");
}

struct Vectors {
    document: Value,
    keyring: Keyring,
}

impl Vectors {
    fn load() -> Self {
        let document: Value = serde_json::from_str(include_str!("vectors/token.json")).unwrap();
        let header = &document["header"];
        assert_eq!(header["form"], "h1");
        let keys = list(&header["keys"]).iter().filter_map(key);
        let listed = list(&header["listed"]).iter();
        let listed = listed.map(|hash| text(hash).parse().unwrap());
        let keyring = Keyring::new(listed, keys).unwrap();
        Self { document, keyring }
    }

    fn section(&self, name: &str) -> &[Value] {
        let cases = list(&self.document[name]);
        assert!(!cases.is_empty(), "no case in {name}");
        cases
    }
}

/// A key of the header, unless it is gone.
fn key(json: &Value) -> Option<Key> {
    let state = match text(&json["state"]) {
        "active" => KeyState::Active,
        "retiring" => KeyState::Retiring,
        "gone" => return None,
        other => panic!("the key state {other}"),
    };
    let secret = Secret::from_base64(text(&json["secret"])).unwrap();
    let id = text(&json["id"]).parse().unwrap();
    Some(Key::new(id, owner(json), state, &secret))
}

/// The four strings, in a form that a failed test may show.
#[derive(Debug, PartialEq)]
struct Strings {
    token: String,
    options: String,
    expires: String,
    tag: String,
}

impl Strings {
    fn of(json: &Value) -> Self {
        let field = |name: &str| text(&json[name]).to_owned();
        Self {
            token: field("token"),
            options: field("options"),
            expires: field("expires"),
            tag: field("tag"),
        }
    }

    fn presented(&self) -> Presented<'_> {
        Presented {
            token: &self.token,
            options: &self.options,
            expires: &self.expires,
            tag: &self.tag,
        }
    }
}

impl From<&Security> for Strings {
    fn from(security: &Security) -> Self {
        Self {
            token: security.token.clone(),
            options: security.options.clone(),
            expires: security.expires.clone(),
            tag: security.tag.clone(),
        }
    }
}

fn grant(json: &Value) -> Grant {
    let id = TokenId::from_hex(text(&json["id"])).unwrap();
    let mut fields = json.as_object().unwrap().clone();
    fields.remove("id");
    let mut take = |name: &str| fields.remove(name);
    let time = |json: Value| UnixSeconds::new(json.as_u64().unwrap());
    let scope = match (take("organisation"), take("streams")) {
        (Some(hash), None) => Scope::Organisation(text(&hash).parse().unwrap()),
        (None, Some(streams)) => Scope::Streams(parsed(&streams)),
        scope => panic!("the scope {scope:?}"),
    };
    let mut grant = Grant::new(id, take("issued_at").map(time).unwrap(), scope);
    grant.not_before = take("not_before").map(time);
    grant.expires = take("expires").map(time);
    grant.at_expiry = match take("at_expiry") {
        None => AtExpiry::Keep,
        Some(cut) if cut == "cut" => AtExpiry::Cut,
        Some(other) => panic!("at expiry {other}"),
    };
    grant.addresses = take("addresses").as_ref().map(parsed).unwrap_or_default();
    grant.referers = take("referers").as_ref().map(parsed).unwrap_or_default();
    grant.tag = take("tag")
        .map(|tag| text(&tag).parse().unwrap())
        .unwrap_or_default();
    grant.user = take("user").map(|user| text(&user).parse().unwrap());
    grant.sessions = take("sessions").map(|count| serde_json::from_value(count).unwrap());
    assert!(fields.is_empty(), "a grant with {fields:?}");
    grant
}

/// A token carries each item once, in an order of its own.
fn without_repetitions(mut grant: Grant) -> Grant {
    if let Scope::Streams(streams) = &mut grant.scope {
        streams.sort();
        streams.dedup();
    }
    grant.addresses.sort();
    grant.addresses.dedup();
    grant.referers.sort();
    grant.referers.dedup();
    grant
}

const REFUSALS: &[&str] = &[
    "malformed_token",
    "malformed_options",
    "malformed_expires",
    "malformed_tag",
    "missing_token",
    "missing_options",
    "missing_expires",
    "unknown_key",
    "signature",
    "claims_truncated",
    "claims_unknown_type",
    "claims_order",
    "claims_value",
    "claims_missing",
    "claims_scope",
    "claims_mask",
    "claims_cut_without_expiry",
    "claims_foreign_stream",
    "claims_foreign_organisation",
];

fn refusal(error: &TokenError) -> &'static str {
    match error {
        TokenError::Malformed { field, reason: _ } => match field {
            Field::Token => "malformed_token",
            Field::Options => "malformed_options",
            Field::Expires => "malformed_expires",
            Field::Tag => "malformed_tag",
        },
        TokenError::Missing(field) => match field {
            Field::Token => "missing_token",
            Field::Options => "missing_options",
            Field::Expires => "missing_expires",
            Field::Tag => "missing_tag",
        },
        TokenError::UnknownKey(_) => "unknown_key",
        TokenError::Signature(_) => "signature",
        TokenError::Claims(error) => claims(error),
    }
}

fn no_mint(error: &MintError) -> &'static str {
    match error {
        MintError::NoActiveKey(_) => "no_active_key",
        MintError::Claims(error) => claims(error),
        MintError::TooMany { .. } => "too_many",
        MintError::TooLong { .. } => "too_long",
    }
}

fn claims(error: &ClaimError) -> &'static str {
    match error {
        ClaimError::Truncated => "claims_truncated",
        ClaimError::UnknownType(_) => "claims_unknown_type",
        ClaimError::Order(_) => "claims_order",
        ClaimError::Value(_) => "claims_value",
        ClaimError::Missing(_) => "claims_missing",
        ClaimError::Scope => "claims_scope",
        ClaimError::Mask { .. } => "claims_mask",
        ClaimError::CutWithoutExpiry => "claims_cut_without_expiry",
        ClaimError::ForeignStream { .. } => "claims_foreign_stream",
        ClaimError::ForeignOrganisation { .. } => "claims_foreign_organisation",
    }
}

fn owner(case: &Value) -> Owner {
    text(&case["owner"]).parse().unwrap()
}

fn name(case: &Value) -> &str {
    text(&case["name"])
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Debug>>(json: &Value) -> Vec<T> {
    list(json)
        .iter()
        .map(|item| text(item).parse().unwrap())
        .collect()
}

fn list(json: &Value) -> &[Value] {
    json.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(json: &Value) -> &str {
    json.as_str().unwrap_or_else(|| panic!("{json} is no text"))
}
