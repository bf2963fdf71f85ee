//! Verifying: four strings to claims, or to the first thing that is wrong with them.

use std::fmt;
use std::ops::BitAnd;

use hmac::Mac;
use subtle::{Choice, ConstantTimeEq as _};

use super::{
    AtExpiry, ClaimError, Claims, Field, Grant, KeyId, Keyring, MalformedToken, Options, Security,
    Tag, TokenError, UnixSeconds, wire,
};

/// The four strings as they travelled, decoded once from their URL or JSON and otherwise untouched. Empty is absent:
/// players leave empty values out of a URL and write them as `""` in band (protocol.md 1 and 2).
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Presented<'a> {
    /// `token`
    pub token: &'a str,
    /// `options`
    pub options: &'a str,
    /// `expires`
    pub expires: &'a str,
    /// `tag`
    pub tag: &'a str,
}

impl<'a> From<&'a Security> for Presented<'a> {
    fn from(security: &'a Security) -> Self {
        Self {
            token: &security.token,
            options: &security.options,
            expires: &security.expires,
            tag: &security.tag,
        }
    }
}

impl fmt::Debug for Presented<'_> {
    /// Without the token, which could be played by a reader of the log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Security")
            .field("expires", &self.expires)
            .field("tag", &self.tag)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Keyring {
    /// Checks form, presence, signature, and that the claims are consistent and the key's own to make, in this order.
    /// Whether the claims fit a viewer and a time is not decided here.
    ///
    /// The signature is compared in constant time, and an unknown key costs as much as a known one.
    pub fn verify(&self, presented: Presented<'_>) -> Result<Claims, TokenError> {
        let fields = Fields::read(presented)?;
        let (key, known) = self.lookup(fields.token.key);
        let mut mac = key.mac();
        wire::signed_message(fields.token.key, presented, &fields.token.claims, |bytes| {
            mac.update(bytes);
        });
        let signed = equal(&mac.finalize().into_bytes().into(), &fields.token.signature);
        if !known {
            return Err(TokenError::UnknownKey(fields.token.key_id()));
        }
        if !signed {
            return Err(TokenError::Signature(key.id.clone()));
        }
        // The MAC is right: the strings are as the issuer made them.
        let grant = wire::decode(&fields.token.claims, fields.expires, fields.tag)?;
        check_consistency(&grant)?;
        let actual = Options::of(&grant);
        if fields.options != actual {
            let (stated, actual) = (fields.options.to_string(), actual.to_string());
            return Err(ClaimError::Mask { stated, actual }.into());
        }
        self.check_ownership(&key.owner, &grant.scope)?;
        Ok(Claims {
            key: key.id.clone(),
            owner: key.owner.clone(),
            grant,
        })
    }
}

/// A token's claims, **unverified**: to be shown to an operator, never for a decision. `expires` and `tag` travel beside the
/// token, so they are empty in `grant`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The key that it names.
    pub key: KeyId,
    /// What it claims.
    pub grant: Grant,
}

/// Reads a token without checking its signature.
pub fn inspect(token: &str) -> Result<Inspection, TokenError> {
    let parts = wire::split(token).map_err(|reason| TokenError::Malformed {
        field: Field::Token,
        reason,
    })?;
    Ok(Inspection {
        key: parts.key_id(),
        grant: wire::decode(&parts.claims, None, Tag::default())?,
    })
}

/// The four strings read, none of them believed.
struct Fields<'a> {
    token: wire::Parts<'a>,
    options: Options,
    expires: Option<UnixSeconds>,
    tag: Tag,
}

impl<'a> Fields<'a> {
    /// Malformed before missing: what is there and unreadable is never treated as absent.
    fn read(presented: Presented<'a>) -> Result<Self, TokenError> {
        let malformed = |field| move |reason| TokenError::Malformed { field, reason };
        let token = present(presented.token)
            .map(wire::split)
            .transpose()
            .map_err(malformed(Field::Token))?;
        let options = present(presented.options)
            .map(|text| Options::from_canonical(text).ok_or(MalformedToken::Mask))
            .transpose()
            .map_err(malformed(Field::Options))?;
        let expires = present(presented.expires)
            .map(|text| UnixSeconds::from_canonical(text).ok_or(MalformedToken::Number))
            .transpose()
            .map_err(malformed(Field::Expires))?;
        let tag = presented
            .tag
            .parse()
            .map_err(|_| malformed(Field::Tag)(MalformedToken::Text))?;
        let token = token.ok_or(TokenError::Missing(Field::Token))?;
        let options = options.ok_or(TokenError::Missing(Field::Options))?;
        if options.contains(Options::EXPIRES) && expires.is_none() {
            return Err(TokenError::Missing(Field::Expires));
        }
        Ok(Self {
            token,
            options,
            expires,
            tag,
        })
    }
}

/// Rules between claims, for verifying and for minting.
pub(super) fn check_consistency(grant: &Grant) -> Result<(), ClaimError> {
    if grant.at_expiry == AtExpiry::Cut && grant.expires.is_none() {
        return Err(ClaimError::CutWithoutExpiry);
    }
    Ok(())
}

/// Constant-time, by words: `subtle` guards every item that it compares, and thirty-two single bytes would cost as much
/// as a block of SHA-256.
fn equal(left: &[u8; 32], right: &[u8; 32]) -> bool {
    let (left, right) = (left.as_chunks::<8>().0, right.as_chunks::<8>().0);
    let equal = left
        .iter()
        .zip(right)
        .map(|(left, right)| u64::from_ne_bytes(*left).ct_eq(&u64::from_ne_bytes(*right)));
    equal.fold(Choice::from(1), BitAnd::bitand).into()
}

fn present(text: &str) -> Option<&str> {
    if text.is_empty() { None } else { Some(text) }
}
