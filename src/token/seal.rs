//! Seals: MACs over what the gate hands to a viewer and has to recognise when the viewer sends it back.
//!
//! Their keys are derived from the token keys, so that gates with the same configuration accept each other's seals, and seals
//! stay valid over a restart. Each purpose has keys of its own, so that a seal is valid for its purpose alone:
//!
//! ```text
//! key  = HMAC-SHA-256(key[kid], "h5gate-seal/" purpose)
//! seal = the first 16 bytes of HMAC-SHA-256(key, L(part) | L(part) | …)     L(x) = length as four bytes, big-endian | x
//! ```
//!
//! An organisation may hold its own keys, to mint. What it must not be able to seal, such as a path on media servers that all
//! organisations share, is sealed with a key of two halves. One half is the organisation's; the other half is made from a key
//! of the first other owner in the configuration:
//!
//! ```text
//! key  = HMAC-SHA-256(HMAC-SHA-256(key[kid], "h5gate-seal/" purpose), HMAC-SHA-256(key[other], "h5gate-seal/half of " purpose))
//! ```
//!
//! With a single owner there is no other half, and that owner can seal. So can two owners that tell each other their keys.
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
        Self::keyed_with(&half(key, "", purpose))
    }

    /// Of two halves: neither makes a seal without the other.
    fn derive_joined(key: &Key, other: &Key, purpose: &str) -> Self {
        let mut mac = Self::derive(key, purpose).mac;
        mac.update(&half(other, "half of ", purpose));
        Self::keyed_with(&mac.finalize().into_bytes().into())
    }

    fn keyed_with(bytes: &[u8; 32]) -> Self {
        #[expect(
            clippy::expect_used,
            reason = "HMAC takes a key of any length (RFC 2104 section 2)"
        )]
        let mac = Hmac::new_from_slice(bytes).expect("HMAC takes a key of any length");
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

fn half(key: &Key, prefix: &str, purpose: &str) -> [u8; 32] {
    let mut mac = key.mac();
    for part in ["h5gate-seal/", prefix, purpose] {
        mac.update(part.as_bytes());
    }
    mac.finalize().into_bytes().into()
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

    /// Keys of two halves for `purpose`: for each key of the ring, in the order in which they sign, those that it makes with
    /// the keys of another owner. With a single owner they have one half. The first one is to seal with.
    pub fn joined_seal_keys(&self, purpose: &str) -> impl Iterator<Item = (KeyId, Vec<SealKey>)> {
        self.in_signing_order().map(move |key| {
            let others = self.other_owners_keys(&key.owner);
            let joined = others.map(|other| SealKey::derive_joined(key, other, purpose));
            let mut joined: Vec<_> = joined.collect();
            if joined.is_empty() {
                joined.push(SealKey::derive(key, purpose));
            }
            (key.id.clone(), joined)
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
    fn a_joined_key_needs_the_keys_of_two_owners() {
        let key = |id: &str, owner: &str| {
            let secret = Secret::new(id.repeat(32).into_bytes()).unwrap();
            let owner = owner.parse().unwrap();
            Key::new(id.parse().unwrap(), owner, KeyState::Active, &secret)
        };
        let [a, a2, b, c] = [("a", "abcde"), ("a2", "abcde"), ("b", "fghij"), ("c", "*")]
            .map(|(id, owner)| key(id, owner));
        // The key that each key of a ring seals with, and then those that it accepts as well.
        let seals = |keys: &[&Key]| -> Vec<Vec<_>> {
            let ring = Keyring::new([], keys.iter().copied().cloned()).unwrap();
            let keys = ring.joined_seal_keys("link");
            let seal = |keys: Vec<SealKey>| keys.iter().map(|key| key.seal(&["x"])).collect();
            keys.map(|(_, keys)| seal(keys)).collect()
        };
        let all = seals(&[&a, &b, &c]);
        assert!(all.iter().all(|one| one.len() == 1));
        // With its own key alone, or with that of a third owner, no owner makes a seal.
        for (mine, known) in [
            (0, &[&a][..]),
            (0, &[&a, &c]),
            (1, &[&b]),
            (1, &[&b, &c]),
            (2, &[&c]),
        ] {
            let made = seals(known);
            assert!(
                made.iter().flatten().all(|seal| *seal != all[mine][0]),
                "{mine}"
            );
        }
        // The other owner's keys may come and go one after the other.
        let rotated = seals(&[&b, &a, &a2]);
        assert_eq!(rotated[0].len(), 2);
        assert!(rotated[0].contains(&seals(&[&b, &a])[0][0]));
    }

    #[test]
    fn the_key_that_signs_comes_first() {
        let ring = ring(&[("old", KeyState::Retiring), ("k1", KeyState::Active)]);
        let ids: Vec<_> = ring.seal_keys("x").map(|(id, ..)| id.to_string()).collect();
        assert_eq!(ids, ["k1", "old"]);
    }
}
