//! Arbitrary strings, and arbitrary claims that are signed all the same: nothing panics, and whatever verifies is
//! exactly what minting makes of its meaning.
//!
//! An input that begins with `h1.` is the four strings: token, options, expires and, with all that follows, tag; each on
//! a line. Any other is claims: the first byte holds the mask (bits 0 to 4) and whether there is `expires` (5) and
//! `tag` (6), and who signs (7); the rest is P.

#![no_main]

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use h5gate::token::{Key, KeyState, Keyring, Presented, Secret, inspect};
use hmac::{Hmac, KeyInit, Mac};
use libfuzzer_sys::fuzz_target;
use sha2::Sha256;

/// The keys `k1` and `star` of `tests/vectors/token.json`, so that its tokens are seeds: id, owner, secret.
const KEYS: [(&str, &str, &str); 2] = [
    (
        "k1",
        "abcde",
        "SInR0rnRY+teJM5rtlIYzP7Dn9Sl260srvX4KeyxVt8=",
    ),
    (
        "star",
        "*",
        "dIMupxGhnN+bezxHBQbpn15vGtMgm2JjL900bjV+QAUQTmyDO2T4btOO6RcLxD+iWjcLayTZf58xAe0oor4K4BHVa8yaXfe/fB8otGT+9EtpgMs63F4eQpAn7f2v1cX+Twv7Uw==",
    ),
];

static KEYRING: LazyLock<Keyring> = LazyLock::new(|| {
    let keys = KEYS.map(|(id, owner, secret)| {
        let secret = Secret::from_base64(secret).expect("a secret");
        let (id, owner) = (id.parse().expect("an id"), owner.parse().expect("an owner"));
        Key::new(id, owner, KeyState::Active, &secret)
    });
    Keyring::new([], keys).expect("two keys")
});

static MACS: LazyLock<[Hmac<Sha256>; 2]> = LazyLock::new(|| {
    KEYS.map(|(_, _, secret)| {
        let secret = base64::engine::general_purpose::STANDARD.decode(secret);
        Hmac::new_from_slice(&secret.expect("base64")).expect("HMAC takes any key")
    })
});

fuzz_target!(|input: &[u8]| {
    if input.starts_with(b"h1.") {
        let text = String::from_utf8_lossy(input);
        let mut lines = text.splitn(4, '\n');
        let mut line = || lines.next().unwrap_or_default();
        let (token, options, expires, tag) = (line(), line(), line(), line());
        check(Presented {
            token,
            options,
            expires,
            tag,
        });
    } else if let Some((&first, claims)) = input.split_first() {
        let signer = usize::from(first >> 7);
        let options = (first & 31).to_string();
        let expires = if first & 32 == 0 { "" } else { "1700003600" };
        let tag = if first & 64 == 0 { "" } else { "tag" };
        let token = signed(signer, &options, expires, tag, claims);
        check(Presented {
            token: &token,
            options: &options,
            expires,
            tag,
        });
    }
});

fn check(presented: Presented<'_>) {
    let inspected = inspect(presented.token);
    let Ok(claims) = KEYRING.verify(presented) else {
        return;
    };
    let minted = KEYRING
        .mint(&claims.owner, &claims.grant)
        .expect("what verifies mints");
    assert!(
        Presented::from(&minted) == presented,
        "a second spelling of a token"
    );
    let inspected = inspected.expect("what verifies can be inspected");
    assert_eq!(inspected.key, claims.key);
    assert_eq!(inspected.grant.id, claims.grant.id);
}

/// A token with these claims, whatever they are.
fn signed(signer: usize, options: &str, expires: &str, tag: &str, claims: &[u8]) -> String {
    let (id, mut mac) = (KEYS[signer].0, MACS[signer].clone());
    mac.update(b"h5gate-token/h1\0");
    for part in [
        id.as_bytes(),
        options.as_bytes(),
        expires.as_bytes(),
        tag.as_bytes(),
        claims,
    ] {
        let length = u32::try_from(part.len()).expect("libFuzzer's inputs are short");
        mac.update(&length.to_be_bytes());
        mac.update(part);
    }
    let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
    format!("h1.{id}.{}.{signature}", URL_SAFE_NO_PAD.encode(claims))
}
