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
    #[error("the secret is not base64: {0}")]
    Base64(NotBase64),
}

/// What makes a text no base64. It repeats nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotBase64 {
    /// Nothing, or white space alone.
    #[error("it is empty; make one with `h5gate key new`")]
    Empty,
    /// U+FEFF before it.
    #[error("it begins with a byte order mark; save it as UTF-8 without one")]
    ByteOrderMark,
    /// Quotation marks around it.
    #[error("it stands in quotation marks; leave them out")]
    Quotes,
    /// A file of another format.
    #[error("it is in the PEM format; make one with `h5gate key new`")]
    Pem,
    /// White space within it.
    #[error("it has a space or a line break inside; write one secret, in one line")]
    WhiteSpace,
    /// The alphabet of RFC 4648 section 5.
    #[error(
        "it is base64url; write + for each - and / for each _, and = until its length is a multiple of 4"
    )]
    Url,
    /// Another character; its place, from 1.
    #[error("its character {0} is none of A-Z a-z 0-9 + / =")]
    Character(usize),
    /// Not a multiple of four characters.
    #[error("its length is no multiple of 4; add the = at its end, or what else is missing of it")]
    Length,
    /// Padding elsewhere than at the end, or bits that belong to no byte.
    #[error("its end is not as base64 ends; a part of it is missing or changed")]
    End,
}

impl NotBase64 {
    /// Of a text that was not decoded, without the white space around it.
    fn of(text: &str) -> Self {
        const QUOTES: [char; 7] = [
            '"', '\'', '`', '\u{201c}', '\u{201d}', '\u{2018}', '\u{2019}',
        ];
        let is_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
        let stranger = text.chars().position(|c| !is_base64(c));
        match stranger {
            None if text.is_empty() => Self::Empty,
            None if !text.len().is_multiple_of(4) => Self::Length,
            None => Self::End,
            Some(_) if text.starts_with('\u{feff}') => Self::ByteOrderMark,
            Some(_) if text.starts_with(QUOTES) || text.ends_with(QUOTES) => Self::Quotes,
            Some(_) if text.starts_with("-----BEGIN ") => Self::Pem,
            Some(_) if text.contains(char::is_whitespace) => Self::WhiteSpace,
            Some(_) if text.chars().all(|c| is_base64(c) || matches!(c, '-' | '_')) => Self::Url,
            Some(place) => Self::Character(place + 1),
        }
    }
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
        let text = text.trim();
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok();
        let bytes = bytes.filter(|bytes| !bytes.is_empty());
        Self::new(bytes.ok_or_else(|| SecretError::Base64(NotBase64::of(text)))?)
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

    /// Whether there is a key of this id.
    #[must_use]
    pub fn has(&self, key: &KeyId) -> bool {
        self.keys.contains_key(key)
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
    }

    #[test]
    fn white_space_around_a_secret_is_no_part_of_it() {
        let text = "B".repeat(42) + "A=";
        for around in ["", "\n", "\r\n", " \t\r\n\n", "\u{a0}"] {
            for text in [
                format!("{text}{around}"),
                format!("{around}{text}"),
                format!("{around}{text}{around}"),
            ] {
                let secret = Secret::from_base64(&text).unwrap();
                assert_eq!(secret.0, Secret::from_base64(text.trim()).unwrap().0);
            }
        }
    }

    #[test]
    fn what_makes_a_text_no_secret_is_told_without_the_text() {
        let good = "Ab+/".repeat(10) + "AbQ=";
        assert!(Secret::from_base64(&good).is_ok());
        let url = good.replace('+', "-").replace('/', "_");
        let rows = [
            (String::new(), NotBase64::Empty),
            (" \r\n".to_owned(), NotBase64::Empty),
            (format!("\u{feff}{good}\r\n"), NotBase64::ByteOrderMark),
            ("\u{feff}".to_owned(), NotBase64::ByteOrderMark),
            (format!("\"{good}\""), NotBase64::Quotes),
            (format!("'{good}'\n"), NotBase64::Quotes),
            (format!("\u{201c}{good}\u{201d}"), NotBase64::Quotes),
            (format!("{good}'"), NotBase64::Quotes),
            (
                format!("-----BEGIN KEY-----\n{good}\n-----END KEY-----\n"),
                NotBase64::Pem,
            ),
            (format!("{good}\n{good}\n"), NotBase64::WhiteSpace),
            (good.replacen('+', "+ ", 1), NotBase64::WhiteSpace),
            (good.replacen('+', "+\r\n", 1), NotBase64::WhiteSpace),
            (url.clone(), NotBase64::Url),
            (url.trim_end_matches('=').to_owned(), NotBase64::Url),
            ("a-secret-phrase!".to_owned(), NotBase64::Character(2)),
            (format!("{good}\u{200b}"), NotBase64::Character(45)),
            (good.replacen('+', "\0", 1), NotBase64::Character(3)),
            (good.trim_end_matches('=').to_owned(), NotBase64::Length),
            (format!("{good}="), NotBase64::Length),
            (good.get(1..).unwrap().to_owned(), NotBase64::Length),
            (format!("{good}{good}"), NotBase64::End),
            (good.replacen("Q=", "R=", 1), NotBase64::End),
            ("====".to_owned(), NotBase64::End),
        ];
        for (text, expected) in rows {
            let error = Secret::from_base64(&text).unwrap_err();
            assert_eq!(error, SecretError::Base64(expected), "{text:?}");
            assert!(!error.to_string().contains("Ab+") && !error.to_string().contains("phrase"));
        }
    }
}
