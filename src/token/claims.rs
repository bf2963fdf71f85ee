//! What a token says.

use std::fmt;
use std::num::NonZeroU16;

use super::{
    AddressPrefix, KeyId, OrgaHash, Owner, RefererPattern, StreamName, Tag, UnixSeconds, User,
};

/// How many streams, addresses or referers one token may name.
pub const LIST_LIMIT: usize = 16;

/// Sixteen random bytes that name one token (`jti`): for revocation, counting and logs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId([u8; 16]);

impl TokenId {
    /// From bytes of a cryptographically secure generator.
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Reads what `Display` writes: 32 lower-case hexadecimal digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        if text.len() != 32 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        u128::from_str_radix(text, 16)
            .ok()
            .map(|n| Self(n.to_be_bytes()))
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What may be played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// These streams, 1 to [`LIST_LIMIT`] of them. Order does not matter: a token carries them sorted.
    Streams(Vec<StreamName>),
    /// Every stream of the organisation.
    Organisation(OrgaHash),
}

impl Scope {
    /// One stream.
    #[must_use]
    pub fn stream(name: StreamName) -> Self {
        Self::Streams(vec![name])
    }

    /// Whether `stream` may be played.
    #[must_use]
    pub fn covers(&self, stream: &StreamName) -> bool {
        match self {
            Self::Streams(streams) => streams.contains(stream),
            Self::Organisation(hash) => stream.organisation() == Some(hash.as_str()),
        }
    }
}

/// What happens to a running playback when the token's `expires` passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum AtExpiry {
    /// It goes on; only a reconnect is refused (the vendor's behaviour, protocol.md 1).
    #[default]
    Keep,
    /// It is closed with 4903.
    Cut,
}

/// What an issuer grants: the input of minting, and what verifying gives back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Names this token.
    pub id: TokenId,
    /// When it was minted; at least 1.
    pub issued_at: UnixSeconds,
    /// The first second in which it is valid.
    pub not_before: Option<UnixSeconds>,
    /// The first second in which it is no longer valid; `None` is for ever.
    pub expires: Option<UnixSeconds>,
    /// What happens to a running playback then; [`AtExpiry::Cut`] needs `expires`.
    pub at_expiry: AtExpiry,
    /// What may be played.
    pub scope: Scope,
    /// Where the viewer's address must lie, in any of these; empty is anywhere.
    pub addresses: Vec<AddressPrefix>,
    /// On which hosts the page must be, any of these; empty is anywhere.
    pub referers: Vec<RefererPattern>,
    /// The customer's own string.
    pub tag: Tag,
    /// The user that it was minted for, as the issuer names it.
    pub user: Option<User>,
    /// How many viewers may play at once: counted by user where one is named, else by token.
    pub sessions: Option<NonZeroU16>,
}

impl Grant {
    /// A grant bound to nothing but its scope.
    #[must_use]
    pub fn new(id: TokenId, issued_at: UnixSeconds, scope: Scope) -> Self {
        Self {
            id,
            issued_at,
            not_before: None,
            expires: None,
            at_expiry: AtExpiry::Keep,
            scope,
            addresses: Vec::new(),
            referers: Vec::new(),
            tag: Tag::default(),
            user: None,
            sessions: None,
        }
    }
}

/// What a token proved to say. Only [`Keyring::verify`](super::Keyring::verify) makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Claims {
    /// The key that signed it.
    pub key: KeyId,
    /// The key's owner; every stream of the scope belongs to it.
    pub owner: Owner,
    /// What it grants.
    pub grant: Grant,
}
