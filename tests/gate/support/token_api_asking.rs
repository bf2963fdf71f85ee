//! Asking the token API without HTTP: bodies in, answers out, at a fixed time.

use std::collections::HashMap;
use std::time::Duration;

use h5gate::decision::rules::{OrganisationRules, Rules};
use h5gate::token::{Key, KeyState, Keyring, Secret, TokenId, UnixSeconds};
use h5gate::token_api::api_key::ApiKey;
use h5gate::token_api::error::ApiError;
use h5gate::token_api::mint::{self, Answer};
use serde_json::Value;

/// The time of every request.
pub(crate) const NOW: u64 = 1_700_000_000;
/// In seconds.
pub(crate) const HOUR: u64 = 3600;

/// Two organisations with an active key, one whose key is retiring, and the streams of nobody.
pub(crate) fn keyring() -> Keyring {
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
pub(crate) fn rules() -> Rules {
    let strict = OrganisationRules {
        require_expires: true,
        max_lifetime: Duration::from_secs(HOUR),
        ..OrganisationRules::default()
    };
    Rules::new(HashMap::from([("fghij".parse().unwrap(), strict)]))
}

pub(crate) fn api_key(owner: &str) -> ApiKey {
    ApiKey {
        id: "test".to_owned(),
        owner: owner.parse().unwrap(),
        sha256: [0; 32],
    }
}

/// Ids are counted up, so that a test knows them.
pub(crate) fn ask_text(owner: &str, body: &[u8]) -> Result<Answer, ApiError> {
    let mut next = 0;
    let now = UnixSeconds::new(NOW);
    mint::answer(body, &api_key(owner), &keyring(), &rules(), now, || {
        next += 1;
        Some(TokenId::new([next; 16]))
    })
}

pub(crate) fn ask(owner: &str, body: &Value) -> Result<Answer, ApiError> {
    ask_text(owner, body.to_string().as_bytes())
}
