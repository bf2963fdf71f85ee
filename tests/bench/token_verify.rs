//! What a verification costs beside the HMAC-SHA-256 inside it: `cargo bench --bench token_verify`.
//!
//! The ways are run in turn, batch by batch, so that a slow moment of the machine meets them all; each figure is the
//! median over the batches. Our aim is at most 1 µs for `verify`, and to stay near the bare HMAC.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench prints, and fails by panicking"
)]

use std::hint::black_box;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use h5gate::token::{
    Grant, Key, KeyState, Keyring, Owner, Presented, Scope, Secret, Security, TokenError, TokenId,
    UnixSeconds,
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

const SECRET: [u8; 32] = [0x5a; 32];
const BATCH: u32 = 2_000;
const ROUNDS: usize = 401;

fn main() {
    let (keyring, security) = typical_token();
    let presented = Presented::from(&security);
    let unknown_key = Security {
        token: security.token.replacen("h1.k1.", "h1.k9.", 1),
        ..security.clone()
    };
    let unknown_key = Presented::from(&unknown_key);
    let forged = Presented {
        tag: "customer-4712",
        ..presented
    };
    let message = signed_message(&security);
    let prepared = Hmac::<Sha256>::new_from_slice(&SECRET).expect("HMAC takes any key");
    assert!(keyring.verify(presented).is_ok(), "the token verifies");
    assert!(matches!(
        keyring.verify(unknown_key),
        Err(TokenError::UnknownKey(_))
    ));
    assert!(matches!(
        keyring.verify(forged),
        Err(TokenError::Signature(_))
    ));

    let bare = || {
        let mut mac = black_box(&prepared).clone();
        mac.update(black_box(&message));
        black_box(mac.finalize().into_bytes());
    };
    let from_key = || {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(black_box(&SECRET)).expect("HMAC takes any key");
        mac.update(black_box(&message));
        black_box(mac.finalize().into_bytes());
    };
    let verify = || drop(black_box(keyring.verify(black_box(presented))));
    let verify_forged = || drop(black_box(keyring.verify(black_box(forged))));
    let verify_unknown = || drop(black_box(keyring.verify(black_box(unknown_key))));
    let ways: [(&str, &dyn Fn()); 5] = [
        ("bare HMAC-SHA-256, key state prepared", &bare),
        ("bare HMAC-SHA-256, from the raw key", &from_key),
        ("verify", &verify),
        ("verify, signature wrong", &verify_forged),
        ("verify, key unknown", &verify_unknown),
    ];

    // Without `--bench` (as `cargo test --benches` runs it) only that it runs is of interest.
    let measured = std::env::args().any(|argument| argument == "--bench");
    let rounds = if measured { ROUNDS } else { 3 };
    let mut samples = [const { Vec::<u64>::new() }; 5];
    for _ in 0..rounds {
        for ((_, way), samples) in ways.iter().zip(&mut samples) {
            let started = cpu_nanoseconds();
            for _ in 0..BATCH {
                way();
            }
            samples.push(cpu_nanoseconds() - started);
        }
    }

    let medians = samples.map(|mut samples| {
        samples.sort_unstable();
        samples[samples.len() / 2] as f64 / f64::from(BATCH)
    });
    println!(
        "{} bytes signed, token of {} characters; {rounds} rounds of {BATCH}",
        message.len(),
        security.token.len()
    );
    println!("{:<40} {:>12} {:>8}", "", "ns of CPU", "ratio");
    for ((name, _), median) in ways.iter().zip(medians) {
        println!("{name:<40} {median:>12.0} {:>8.2}", median / medians[0]);
    }
}

/// Stream, tag, expires and ip, in the lengths that real ones have.
fn typical_token() -> (Keyring, Security) {
    let owner: Owner = "abcde".parse().expect("an owner");
    let secret = Secret::new(SECRET.to_vec()).expect("long enough");
    let key = Key::new(
        "k1".parse().expect("a key id"),
        owner.clone(),
        KeyState::Active,
        &secret,
    );
    let keyring = Keyring::new([], [key]).expect("one key");
    let scope = Scope::stream("abcde-a1b2c".parse().expect("a stream name"));
    let mut grant = Grant::new(
        TokenId::new([7; 16]),
        UnixSeconds::new(1_700_000_000),
        scope,
    );
    grant.expires = Some(UnixSeconds::new(1_700_003_600));
    grant.tag = "customer-4711".parse().expect("a tag");
    grant.addresses = vec!["192.0.2.17".parse().expect("an address")];
    let security = keyring.mint(&owner, &grant).expect("mints");
    (keyring, security)
}

/// M, put together as the documentation of the module says.
fn signed_message(security: &Security) -> Vec<u8> {
    let mut fields = security.token.split('.').skip(1);
    let mut field = || fields.next().expect("h1, key, claims, signature");
    let (key, claims) = (field(), field());
    let claims = URL_SAFE_NO_PAD.decode(claims).expect("base64url");
    let mut message = b"h5gate-token/h1\0".to_vec();
    for part in [
        key.as_bytes(),
        security.options.as_bytes(),
        security.expires.as_bytes(),
        security.tag.as_bytes(),
        &claims,
    ] {
        message.extend_from_slice(&u32::try_from(part.len()).expect("short").to_be_bytes());
        message.extend_from_slice(part);
    }
    message
}

/// CPU time of this thread where the kernel tells it (giving way first makes it bring the count up to date), else
/// elapsed time.
fn cpu_nanoseconds() -> u64 {
    std::thread::yield_now();
    if let Ok(line) = std::fs::read_to_string("/proc/thread-self/schedstat")
        && let Some(Ok(running)) = line.split(' ').next().map(str::parse)
    {
        return running;
    }
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
}
