//! What can be wrong with a token: errors of a presented one, and errors of minting.

use super::{KeyId, OrgaHash, Owner, StreamName};

/// One of the four strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// `token`
    Token,
    /// `options`
    Options,
    /// `expires`
    Expires,
    /// `tag`
    Tag,
}

impl Field {
    /// The name as it travels.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Options => "options",
            Self::Expires => "expires",
            Self::Tag => "tag",
        }
    }
}

/// Why a presented token is refused. Variants stand in the order in which they are looked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// A field is there but cannot be read: never treated as absent.
    #[error("{} is malformed: {reason}", field.name())]
    Malformed {
        /// Which field.
        field: Field,
        /// What is wrong with it.
        reason: MalformedToken,
    },
    /// A field that must be there is not.
    #[error("{} is missing", .0.name())]
    Missing(Field),
    /// No key of this id is configured (any more). It says nothing of the MAC.
    #[error("key {0} is not known")]
    UnknownKey(KeyId),
    /// The four strings are not what the key signed.
    #[error("the signature of key {0} does not match")]
    Signature(KeyId),
    /// Signed, but not by our rules: the issuer's fault.
    #[error("the signed claims are refused: {0}")]
    Claims(#[from] ClaimError),
}

/// What makes one of the four strings unreadable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedToken {
    /// More than 2,048 characters.
    #[error("longer than 2048 characters")]
    TooLong,
    /// Not `h1.`, three dots, a key id, base64url of claims, base64url of 32 bytes.
    #[error("not of the form h1.KEY.CLAIMS.SIGNATURE")]
    Form,
    /// Not base64url without padding, or not its one spelling.
    #[error("not canonical base64url")]
    Base64,
    /// Not a number in its one decimal spelling.
    #[error("not a canonical decimal number")]
    Number,
    /// A mask outside 0 to 31.
    #[error("not a mask of known bits")]
    Mask,
    /// A JSON value that is not a string.
    #[error("not a string")]
    NotText,
    /// Over 256 bytes or with control characters.
    #[error("too long, or has control characters")]
    Text,
}

/// What is wrong with claims that are signed rightly.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// The bytes end within a claim.
    #[error("truncated")]
    Truncated,
    /// Not one of the types of this form.
    #[error("unknown claim type {0}")]
    UnknownType(u8),
    /// A type that is not above the one before it.
    #[error("claim type {0} is repeated or out of order")]
    Order(u8),
    /// A value that its type does not allow, or not in its one spelling.
    #[error("claim type {0} has a value that is not allowed")]
    Value(u8),
    /// A claim that every token has is absent.
    #[error("claim type {0} is missing")]
    Missing(u8),
    /// Both streams and an organisation, or neither.
    #[error("the scope must be either streams or an organisation")]
    Scope,
    /// The mask disagrees with the claims.
    #[error("options say {stated}, the claims make it {actual}")]
    Mask {
        /// As it travelled.
        stated: String,
        /// As it should be.
        actual: String,
    },
    /// To be cut at expiry, but it never expires.
    #[error("cut at expiry without expires")]
    CutWithoutExpiry,
    /// A stream of another owner.
    #[error("stream {stream} is not one of the key's owner {owner}")]
    ForeignStream {
        /// The stream.
        stream: StreamName,
        /// The key's owner.
        owner: Owner,
    },
    /// Another organisation.
    #[error("organisation {organisation} is not the key's owner {owner}")]
    ForeignOrganisation {
        /// The organisation.
        organisation: OrgaHash,
        /// The key's owner.
        owner: Owner,
    },
}

/// Why a grant cannot be minted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MintError {
    /// The owner has no key that signs.
    #[error("{0} has no active key")]
    NoActiveKey(Owner),
    /// The token would not verify.
    #[error(transparent)]
    Claims(#[from] ClaimError),
    /// More entries than a token may name.
    #[error("{claim} has {count} entries, at most {limit} are allowed")]
    TooMany {
        /// The claim.
        claim: &'static str,
        /// Entries given.
        count: usize,
        /// Entries allowed.
        limit: usize,
    },
    /// The token would be longer than 2,048 characters; `claim` takes the most of it.
    #[error(
        "the token would be {length} characters long, at most 2048 are allowed; {claim} is the longest claim, with {bytes} bytes"
    )]
    TooLong {
        /// Characters of the token.
        length: usize,
        /// The longest claim.
        claim: &'static str,
        /// Bytes of that claim.
        bytes: usize,
    },
}
