//! Keys, their owners, and what they may sign.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, KeyInit};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{ClaimError, KeyId, NameError, OrgaHash, Scope, StreamName};

/// The least bytes of a secret: the output of SHA-256, as RFC 2104 section 3 asks.
pub const SECRET_MIN_BYTES: usize = 32;

/// The bytes of a key; wiped on drop, never printed.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Secret(Vec<u8>);

/// Why bytes are no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Fewer than [`SECRET_MIN_BYTES`].
    #[error("the secret is {0} bytes long, at least {SECRET_MIN_BYTES} are needed")]
    TooShort(usize),
    /// Not base64.
    #[error("the secret is not base64, as `h5gate key new` prints it")]
    Base64,
}

impl Secret {
    /// At least [`SECRET_MIN_BYTES`] bytes, which should be random. Shorter ones are wiped.
    pub fn new(mut bytes: Vec<u8>) -> Result<Self, SecretError> {
        if bytes.len() < SECRET_MIN_BYTES {
            let length = bytes.len();
            bytes.zeroize();
            return Err(SecretError::TooShort(length));
        }
        Ok(Self(bytes))
    }

    /// From standard base64 with padding (RFC 4648 section 4); white space around it is ignored.
    pub fn from_base64(text: &str) -> Result<Self, SecretError> {
        use base64::Engine as _;
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(text.trim())
            .map_err(|_| SecretError::Base64)?;
        Self::new(bytes)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The owner of a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// One organisation: its streams, and organisation tokens for it.
    Organisation(OrgaHash),
    /// `*`: every stream that is of no listed organisation; no organisation tokens.
    Unlisted,
}

impl FromStr for Owner {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        if text == "*" {
            Ok(Self::Unlisted)
        } else {
            text.parse().map(Self::Organisation)
        }
    }
}

impl Owner {
    /// The organisation's hash, or `*`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Organisation(hash) => hash.as_str(),
            Self::Unlisted => "*",
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a key may still do. A key that may do nothing is not configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// Signs and verifies.
    Active,
    /// Verifies only: the tokens that it signed live out.
    Retiring,
}

/// One key.
#[derive(Clone)]
pub struct Key {
    pub(super) id: KeyId,
    pub(super) owner: Owner,
    state: KeyState,
    /// HMAC with the key already mixed in, cloned for each use: half the work of every verification, done once.
    mac: Hmac<Sha256>,
}

impl Key {
    /// A key and its owner.
    #[must_use]
    pub fn new(id: KeyId, owner: Owner, state: KeyState, secret: &Secret) -> Self {
        #[expect(
            clippy::expect_used,
            reason = "HMAC takes a key of any length (RFC 2104 section 2)"
        )]
        let mac = Hmac::new_from_slice(&secret.0).expect("HMAC takes a key of any length");
        Self {
            id,
            owner,
            state,
            mac,
        }
    }

    pub(super) fn mac(&self) -> Hmac<Sha256> {
        self.mac.clone()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({} of {}, {:?})", self.id, self.owner, self.state)
    }
}

/// All keys, and the organisations that are listed with or without one.
#[derive(Clone, Debug)]
pub struct Keyring {
    keys: HashMap<KeyId, Key>,
    /// In the order given: the first active key of an owner signs.
    order: Vec<KeyId>,
    organisations: HashSet<OrgaHash>,
    /// Stands in for an unknown key, so that knowing key ids by timing is not possible.
    decoy: Key,
}

/// Why keys do not make a ring.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// A token names its key by id alone, so an id can be used once.
    #[error("key id {0} is used twice")]
    DuplicateKey(KeyId),
}

impl Keyring {
    /// From the listed organisations (the owners of `keys` are listed by that) and the keys.
    pub fn new(
        organisations: impl IntoIterator<Item = OrgaHash>,
        keys: impl IntoIterator<Item = Key>,
    ) -> Result<Self, KeyringError> {
        #[expect(clippy::expect_used, reason = "a constant of the right form")]
        let decoy_id = "decoy".parse().expect("a key id");
        let decoy = Key::new(
            decoy_id,
            Owner::Unlisted,
            KeyState::Retiring,
            &Secret(vec![0; SECRET_MIN_BYTES]),
        );
        let mut ring = Self {
            keys: HashMap::new(),
            order: Vec::new(),
            organisations: organisations.into_iter().collect(),
            decoy,
        };
        for key in keys {
            if let Owner::Organisation(hash) = &key.owner {
                ring.organisations.insert(hash.clone());
            }
            let id = key.id.clone();
            if ring.keys.insert(id.clone(), key).is_some() {
                return Err(KeyringError::DuplicateKey(id));
            }
            ring.order.push(id);
        }
        Ok(ring)
    }

    /// The key that signs for `owner`: its first active one.
    pub(super) fn signing(&self, owner: &Owner) -> Option<&Key> {
        let keys = self.order.iter().filter_map(|id| self.keys.get(id));
        keys.into_iter()
            .find(|key| key.state == KeyState::Active && key.owner == *owner)
    }

    /// Those that sign before those that only verify, each in the order given.
    #[cfg(feature = "gate")]
    pub(super) fn in_signing_order(&self) -> impl Iterator<Item = &Key> {
        let of = |state| {
            let keys = self.order.iter().filter_map(|id| self.keys.get(id));
            keys.filter(move |key| key.state == state)
        };
        of(KeyState::Active).chain(of(KeyState::Retiring))
    }

    /// The keys of the first owner in the order given that is not this one, in signing order; empty when there is none.
    #[cfg(feature = "gate")]
    pub(super) fn other_owners_keys(&self, owner: &Owner) -> impl Iterator<Item = &Key> {
        let mut keys = self.order.iter().filter_map(|id| self.keys.get(id));
        let other = keys.find(|key| key.owner != *owner).map(|key| &key.owner);
        self.in_signing_order()
            .filter(move |key| Some(&key.owner) == other)
    }

    /// The key of this id; for an unknown one the decoy and `false`, so that both cost the same.
    pub(super) fn lookup(&self, id: &str) -> (&Key, bool) {
        match self.keys.get(id) {
            Some(key) => (key, true),
            None => (&self.decoy, false),
        }
    }

    /// The owner of a stream: its listed organisation, else [`Owner::Unlisted`].
    #[must_use]
    pub fn owner_of(&self, stream: &StreamName) -> Owner {
        match stream
            .organisation()
            .and_then(|hash| self.organisations.get(hash))
        {
            Some(hash) => Owner::Organisation(hash.clone()),
            None => Owner::Unlisted,
        }
    }

    /// A key is good only for its owner's streams.
    pub(super) fn check_ownership(&self, owner: &Owner, scope: &Scope) -> Result<(), ClaimError> {
        match scope {
            Scope::Streams(streams) => {
                match streams.iter().find(|stream| !self.owns(owner, stream)) {
                    None => Ok(()),
                    Some(stream) => Err(ClaimError::ForeignStream {
                        stream: stream.clone(),
                        owner: owner.clone(),
                    }),
                }
            }
            Scope::Organisation(hash) if *owner == Owner::Organisation(hash.clone()) => Ok(()),
            Scope::Organisation(hash) => Err(ClaimError::ForeignOrganisation {
                organisation: hash.clone(),
                owner: owner.clone(),
            }),
        }
    }

    /// Whether `owner` is what [`Keyring::owner_of`] says. An owner of a key is listed, so that a look at the name is
    /// enough.
    fn owns(&self, owner: &Owner, stream: &StreamName) -> bool {
        match owner {
            Owner::Organisation(hash) => stream.organisation() == Some(hash.as_str()),
            Owner::Unlisted => self.owner_of(stream) == Owner::Unlisted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let secret = Secret::new(b"0123456789abcdef0123456789abcdef".to_vec()).unwrap();
        let key = Key::new(
            "k1".parse().unwrap(),
            Owner::Unlisted,
            KeyState::Active,
            &secret,
        );
        let ring = Keyring::new([], [key.clone()]).unwrap();
        for text in [
            format!("{secret:?}"),
            format!("{key:?}"),
            format!("{ring:?}"),
        ] {
            assert!(!text.contains("0123") && !text.contains("48, 49"), "{text}");
        }
    }

    #[test]
    fn a_short_secret_is_refused() {
        assert_eq!(
            Secret::new(vec![1; 31]).unwrap_err(),
            SecretError::TooShort(31)
        );
        assert_eq!(
            Secret::from_base64("c2hvcnQ=").unwrap_err(),
            SecretError::TooShort(5)
        );
        assert_eq!(
            Secret::from_base64("not base64!").unwrap_err(),
            SecretError::Base64
        );
    }
}
