//! Seals: MACs over what the gate itself says and has to know again when a viewer brings it back.
//!
//! Their keys are derived from the token keys, so that gates with the same configuration know each other's seals and a
//! restart changes nothing; each purpose has keys of its own, so that no seal is good for anything else:
//!
//! ```text
//! key  = HMAC-SHA-256(key[kid], "h5gate-seal/" purpose)
//! seal = the first 16 bytes of HMAC-SHA-256(key, L(part) | L(part) | …)     L(x) = length as four bytes, big-endian | x
//! ```
//!
//! A token's signed message begins with `h5gate-token/`, so that no derivation is a token's signature.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::{Key, KeyId, Keyring, Owner, wire};

/// The bytes of a seal: forging one by guessing takes 2¹²⁷ requests.
pub const SEAL_BYTES: usize = 16;

/// A key for one purpose.
#[derive(Clone)]
pub struct SealKey {
    mac: Hmac<Sha256>,
}

impl SealKey {
    fn derive(key: &Key, purpose: &str) -> Self {
        let mut mac = key.mac();
        mac.update(b"h5gate-seal/");
        mac.update(purpose.as_bytes());
        #[expect(
            clippy::expect_used,
            reason = "HMAC takes a key of any length (RFC 2104 section 2)"
        )]
        let mac = Hmac::new_from_slice(&mac.finalize().into_bytes())
            .expect("HMAC takes a key of any length");
        Self { mac }
    }

    /// Seals these parts, in this order and number.
    #[must_use]
    pub fn seal(&self, parts: &[&str]) -> [u8; SEAL_BYTES] {
        let mut mac = self.mac.clone();
        for part in parts {
            wire::framed(part.as_bytes(), |bytes| mac.update(bytes));
        }
        let whole: [u8; 32] = mac.finalize().into_bytes().into();
        let (seal, _) = whole.as_chunks::<SEAL_BYTES>();
        seal.first().copied().unwrap_or_default()
    }

    /// Whether this is the seal of these parts. In constant time.
    #[must_use]
    pub fn is_seal(&self, parts: &[&str], seal: &[u8; SEAL_BYTES]) -> bool {
        u128::from_ne_bytes(self.seal(parts))
            .ct_eq(&u128::from_ne_bytes(*seal))
            .into()
    }
}

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealKey(…)")
    }
}

impl Keyring {
    /// A key for `purpose` from each key of the ring, in the order in which they sign: an owner's first is the one to
    /// seal with.
    pub fn seal_keys(&self, purpose: &str) -> impl Iterator<Item = (KeyId, Owner, SealKey)> {
        self.in_signing_order().map(move |key| {
            (
                key.id.clone(),
                key.owner.clone(),
                SealKey::derive(key, purpose),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{KeyState, Secret};
    use super::*;

    fn ring(keys: &[(&str, KeyState)]) -> Keyring {
        let keys = keys.iter().map(|(id, state)| {
            let secret = Secret::new(id.repeat(32).into_bytes()).unwrap();
            Key::new(
                id.parse().unwrap(),
                "abcde".parse().unwrap(),
                *state,
                &secret,
            )
        });
        Keyring::new([], keys).unwrap()
    }

    fn first(ring: &Keyring, purpose: &str) -> SealKey {
        ring.seal_keys(purpose).next().unwrap().2
    }

    #[test]
    fn a_seal_is_for_its_purpose_its_key_and_its_parts() {
        let ring = ring(&[("k1", KeyState::Active), ("key2", KeyState::Active)]);
        let key = first(&ring, "ticket");
        let seal = key.seal(&["ab", "c"]);
        assert!(key.is_seal(&["ab", "c"], &seal));
        for parts in [
            &["a", "bc"][..],
            &["ab", "c", ""],
            &["abc"],
            &["ab", "d"],
            &[],
        ] {
            assert!(!key.is_seal(parts, &seal), "{parts:?}");
        }
        assert!(!first(&ring, "link").is_seal(&["ab", "c"], &seal));
        let other = ring.seal_keys("ticket").nth(1).unwrap().2;
        assert!(!other.is_seal(&["ab", "c"], &seal));
    }

    #[test]
    fn the_key_that_signs_comes_first() {
        let ring = ring(&[("old", KeyState::Retiring), ("k1", KeyState::Active)]);
        let ids: Vec<_> = ring.seal_keys("x").map(|(id, ..)| id.to_string()).collect();
        assert_eq!(ids, ["k1", "old"]);
    }
}
