//! The wire form: claims to bytes and back, and the message that is signed.
//!
//! ```text
//! P     = claim, claim, …          types strictly rising, so none is repeated and there is one order; see `claim_table`
//! claim = type (1 byte) | length of the value (2 bytes, big-endian) | value
//! ```
//!
//! Beside P travel `options` (the sum of 1 if there is `expires`, 2 with addresses, 4 with referers, 8 if there is a
//! `tag`, 16 with an organisation) and `expires`, both decimal without a leading zero, and `tag`. M takes them as they
//! are before any URL or JSON escaping, and empty ones as zero bytes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::claim_table::{CLAIMS, Claim, Read};
use super::reader::Reader;
use super::{ClaimError, Grant, KeyId, MalformedToken, MintError, Presented, Tag, UnixSeconds};

/// The most characters that a token may have.
pub const TOKEN_LIMIT: usize = 2048;

const SIGNATURE_BYTES: usize = 32;

/// A token taken apart, nothing of it believed yet.
pub(super) struct Parts<'a> {
    /// Of the form of a [`KeyId`], which is all that a look-up needs.
    pub(super) key: &'a str,
    pub(super) claims: Vec<u8>,
    pub(super) signature: [u8; SIGNATURE_BYTES],
}

impl Parts<'_> {
    /// The key's id, to keep.
    pub(super) fn key_id(&self) -> KeyId {
        #[expect(clippy::expect_used, reason = "`split` has checked the form")]
        self.key.parse().expect("a key id")
    }
}

/// Takes a token apart.
pub(super) fn split(token: &str) -> Result<Parts<'_>, MalformedToken> {
    if token.len() > TOKEN_LIMIT {
        return Err(MalformedToken::TooLong);
    }
    let mut fields = token.split('.');
    let (Some("h1"), Some(key), Some(claims), Some(signature), None) = (
        fields.next(),
        fields.next(),
        fields.next(),
        fields.next(),
        fields.next(),
    ) else {
        return Err(MalformedToken::Form);
    };
    KeyId::check(key).map_err(|_| MalformedToken::Form)?;
    let claims = URL_SAFE_NO_PAD
        .decode(claims)
        .map_err(|_| MalformedToken::Base64)?;
    let mut bytes = [0; SIGNATURE_BYTES];
    match URL_SAFE_NO_PAD.decode_slice(signature, &mut bytes) {
        Ok(SIGNATURE_BYTES) => Ok(Parts {
            key,
            claims,
            signature: bytes,
        }),
        Ok(_) => Err(MalformedToken::Form),
        Err(base64::DecodeSliceError::DecodeError(_)) => Err(MalformedToken::Base64),
        Err(base64::DecodeSliceError::OutputSliceTooSmall) => Err(MalformedToken::Form),
    }
}

/// Puts a token together.
pub(super) fn join(key: &KeyId, claims: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> String {
    format!(
        "h1.{key}.{}.{}",
        URL_SAFE_NO_PAD.encode(claims),
        URL_SAFE_NO_PAD.encode(signature)
    )
}

/// The length that [`join`] will give.
pub(super) fn joined_length(key: &KeyId, claims: &[u8]) -> usize {
    let encoded = |bytes: usize| (bytes * 4).div_ceil(3);
    "h1...".len() + key.as_str().len() + encoded(claims.len()) + encoded(SIGNATURE_BYTES)
}

/// Hands the pieces of the signed message M to `update`, so that it is never put together in memory.
pub(super) fn signed_message(
    key: &str,
    presented: Presented<'_>,
    claims: &[u8],
    mut update: impl FnMut(&[u8]),
) {
    update(b"h5gate-token/h1\0");
    for part in [
        key.as_bytes(),
        presented.options.as_bytes(),
        presented.expires.as_bytes(),
        presented.tag.as_bytes(),
        claims,
    ] {
        framed(part, &mut update);
    }
}

/// `L(part)`: its length as four bytes, big-endian, and the part.
pub(super) fn framed(part: &[u8], mut update: impl FnMut(&[u8])) {
    // Every part is far below 4 GiB: a request's head is bounded, and so is a token.
    update(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
    update(part);
}

/// The claims of a grant as bytes. `expires` and `tag` travel beside the token and are not among them.
pub(super) fn encode(grant: &Grant) -> Result<Vec<u8>, MintError> {
    let (mut claims, mut value) = (Vec::with_capacity(128), Vec::new());
    for claim in &CLAIMS {
        value.clear();
        if !(claim.encode)(grant, &mut value)? {
            continue;
        }
        // Values are names of bounded length and lists of at most sixteen of them: below 64 KiB.
        let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
        claims.push(claim.kind);
        claims.extend_from_slice(&length.to_be_bytes());
        claims.extend_from_slice(&value);
    }
    Ok(claims)
}

/// The longest claim of encoded claims and its bytes, for an error that says what to shorten.
pub(super) fn longest(claims: &[u8]) -> (&'static str, usize) {
    let mut longest = ("", 0);
    let mut rest = Reader(claims);
    while let Ok(Some((kind, value))) = rest.claim() {
        if let Some(claim) = Claim::of(kind).filter(|_| value.len() > longest.1) {
            longest = (claim.name, value.len());
        }
    }
    longest
}

/// Reads claims back, together with the two that travel beside them. Accepts exactly what [`encode`] writes.
pub(super) fn decode(
    bytes: &[u8],
    expires: Option<UnixSeconds>,
    tag: Tag,
) -> Result<Grant, ClaimError> {
    let mut read = Read::default();
    let mut reader = Reader(bytes);
    let mut last = None;
    while let Some((kind, value)) = reader.claim()? {
        // Before the claim is looked at, so that no claim can be written twice or in two orders.
        if last.is_some_and(|last| kind <= last) {
            return Err(ClaimError::Order(kind));
        }
        last = Some(kind);
        let claim = Claim::of(kind).ok_or(ClaimError::UnknownType(kind))?;
        (claim.decode)(value, &mut read)?;
    }
    read.grant(expires, tag)
}
