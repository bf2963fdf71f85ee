//! The wire form: claims to bytes and back, and the message that is signed.
//!
//! ```text
//! P     = claim, claim, …          types strictly rising, so none is repeated and there is one order
//! claim = type (1 byte) | length of the value (2 bytes, big-endian) | value
//! ```
//!
//! | type | claim | value |
//! |---|---|---|
//! | 1 | token id | 16 random bytes; always there |
//! | 2 | issued at | number; always there |
//! | 3 | not before | number |
//! | 4 | streams | list of stream names; this or 5 |
//! | 5 | organisation | 5 or 6 bytes; this or 4 |
//! | 6 | addresses | list of prefix length (1 byte) and network (4 or 16 bytes) |
//! | 7 | referers | list of domains, `*.` before those that mean every host below |
//! | 8 | user | UTF-8 |
//! | 9 | sessions at once | number, 1 to 65535 |
//! | 10 | at expiry | one byte, `01` for cut, which needs `expires`; keep is the absence |
//!
//! A number is 1 to 8 bytes, big-endian, the first not zero: one spelling, and zero has none. Times are Unix seconds.
//!
//! A list is 1 to 16 items, each a length (1 byte) and that many bytes. Items are sorted and none is repeated. They are
//! compared byte by byte without their length, and one that another begins with comes before it (`a`, `ab`, `b`).
//!
//! What a value may be: a stream name, organisation and user as in `names`. An address has the prefix length 32 (IPv4)
//! or 128 (IPv6); the bits behind a shorter prefix are zero, the shortest is 1, and an IPv4-mapped IPv6 address is
//! written as IPv4. A domain is in lower case, without a trailing dot, and keeps the rules of PROTOCOL.md 1.
//!
//! Beside P travel `options` (the sum of 1 if there is `expires`, 2 with addresses, 4 with referers, 8 if there is a
//! `tag`, 16 with an organisation) and `expires`, both decimal without a leading zero, and `tag`. M takes them as they
//! are before any URL or JSON escaping, and empty ones as zero bytes.

use std::net::IpAddr;
use std::num::NonZeroU16;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{
    AddressPrefix, AtExpiry, ClaimError, Grant, KeyId, LIST_LIMIT, MalformedToken, MintError,
    Presented, RefererPattern, Scope, Tag, TokenId, UnixSeconds,
};

/// The most characters that a token may have.
pub const TOKEN_LIMIT: usize = 2048;

const ID: u8 = 1;
const ISSUED_AT: u8 = 2;
const NOT_BEFORE: u8 = 3;
const STREAMS: u8 = 4;
const ORGANISATION: u8 = 5;
const ADDRESSES: u8 = 6;
const REFERERS: u8 = 7;
const USER: u8 = 8;
const SESSIONS: u8 = 9;
const AT_EXPIRY: u8 = 10;

const CUT: &[u8] = &[1];
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
    let mut claims = Encoder(Vec::with_capacity(128));
    claims.put(ID, grant.id.as_bytes());
    claims.number(ISSUED_AT, grant.issued_at.get())?;
    if let Some(not_before) = grant.not_before {
        claims.number(NOT_BEFORE, not_before.get())?;
    }
    match &grant.scope {
        Scope::Streams(streams) => claims.list(
            STREAMS,
            streams.iter().map(|s| s.as_str().as_bytes().to_vec()),
        )?,
        Scope::Organisation(hash) => claims.put(ORGANISATION, hash.as_str().as_bytes()),
    }
    if !grant.addresses.is_empty() {
        claims.list(ADDRESSES, grant.addresses.iter().map(prefix_bytes))?;
    }
    if !grant.referers.is_empty() {
        claims.list(
            REFERERS,
            grant.referers.iter().map(|r| r.to_string().into_bytes()),
        )?;
    }
    if let Some(user) = &grant.user {
        claims.put(USER, user.as_str().as_bytes());
    }
    if let Some(sessions) = grant.sessions {
        claims.number(SESSIONS, sessions.get().into())?;
    }
    if grant.at_expiry == AtExpiry::Cut {
        claims.put(AT_EXPIRY, CUT);
    }
    Ok(claims.0)
}

/// The longest claim of encoded claims and its bytes, for an error that says what to shorten.
pub(super) fn longest(claims: &[u8]) -> (&'static str, usize) {
    let mut longest = ("the token id", 0);
    let mut rest = Reader(claims);
    while let Ok(Some((kind, value))) = rest.claim() {
        if value.len() > longest.1 {
            longest = (claim_name(kind), value.len());
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
    let (mut id, mut issued_at, mut not_before, mut scope) = (None, None, None, None);
    let (mut addresses, mut referers) = (Vec::new(), Vec::new());
    let (mut user, mut sessions, mut at_expiry) = (None, None, AtExpiry::Keep);
    let mut reader = Reader(bytes);
    let mut last = 0;
    while let Some((kind, value)) = reader.claim()? {
        let wrong = || ClaimError::Value(kind);
        match kind {
            ID..=AT_EXPIRY if kind <= last => return Err(ClaimError::Order(kind)),
            ID => id = Some(TokenId::new(value.try_into().map_err(|_| wrong())?)),
            ISSUED_AT => issued_at = Some(time(value).ok_or_else(wrong)?),
            NOT_BEFORE => not_before = Some(time(value).ok_or_else(wrong)?),
            STREAMS => scope = Some(Scope::Streams(list(value, text).ok_or_else(wrong)?)),
            ORGANISATION if scope.is_some() => return Err(ClaimError::Scope),
            ORGANISATION => scope = Some(Scope::Organisation(text(value).ok_or_else(wrong)?)),
            ADDRESSES => addresses = list(value, prefix).ok_or_else(wrong)?,
            REFERERS => referers = list(value, referer).ok_or_else(wrong)?,
            USER => user = Some(text(value).ok_or_else(wrong)?),
            SESSIONS => sessions = Some(count(value).ok_or_else(wrong)?),
            AT_EXPIRY if value == CUT => at_expiry = AtExpiry::Cut,
            AT_EXPIRY => return Err(wrong()),
            unknown => return Err(ClaimError::UnknownType(unknown)),
        }
        last = kind;
    }
    Ok(Grant {
        id: id.ok_or(ClaimError::Missing(ID))?,
        issued_at: issued_at.ok_or(ClaimError::Missing(ISSUED_AT))?,
        not_before,
        expires,
        at_expiry,
        scope: scope.ok_or(ClaimError::Scope)?,
        addresses,
        referers,
        tag,
        user,
        sessions,
    })
}

fn claim_name(kind: u8) -> &'static str {
    match kind {
        STREAMS => "streams",
        ADDRESSES => "addresses",
        REFERERS => "referers",
        USER => "user",
        _ => "the token id",
    }
}

struct Encoder(Vec<u8>);

impl Encoder {
    fn put(&mut self, kind: u8, value: &[u8]) {
        // Values are names of bounded length and lists of at most sixteen of them: below 64 KiB.
        let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
        self.0.push(kind);
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(value);
    }

    fn number(&mut self, kind: u8, number: u64) -> Result<(), ClaimError> {
        let bytes = number.to_be_bytes();
        let leading = number.leading_zeros() as usize / 8;
        match bytes.get(leading..) {
            Some(significant) if number != 0 => {
                self.put(kind, significant);
                Ok(())
            }
            _ => Err(ClaimError::Value(kind)),
        }
    }

    fn list(&mut self, kind: u8, items: impl Iterator<Item = Vec<u8>>) -> Result<(), MintError> {
        let mut items: Vec<_> = items.collect();
        items.sort();
        items.dedup();
        if items.len() > LIST_LIMIT {
            return Err(MintError::TooMany {
                claim: claim_name(kind),
                count: items.len(),
                limit: LIST_LIMIT,
            });
        }
        if items.is_empty() {
            return Err(ClaimError::Value(kind).into());
        }
        let mut value = Vec::new();
        for item in items {
            value.push(u8::try_from(item.len()).map_err(|_| ClaimError::Value(kind))?);
            value.extend_from_slice(&item);
        }
        self.put(kind, &value);
        Ok(())
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn claim(&mut self) -> Result<Option<(u8, &'a [u8])>, ClaimError> {
        let Some(&[kind]) = self.take(1) else {
            return Ok(None);
        };
        let Some(&[high, low]) = self.take(2) else {
            return Err(ClaimError::Truncated);
        };
        let value = self
            .take(u16::from_be_bytes([high, low]).into())
            .ok_or(ClaimError::Truncated)?;
        Ok(Some((kind, value)))
    }
}

fn number(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 8 || value.first() == Some(&0) {
        return None;
    }
    Some(value.iter().fold(0, |n, &byte| n << 8 | u64::from(byte)))
}

fn time(value: &[u8]) -> Option<UnixSeconds> {
    number(value).map(UnixSeconds::new)
}

fn count(value: &[u8]) -> Option<NonZeroU16> {
    number(value)?.try_into().ok().and_then(NonZeroU16::new)
}

fn text<T: FromStr>(value: &[u8]) -> Option<T> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn list<T>(value: &[u8], item: fn(&[u8]) -> Option<T>) -> Option<Vec<T>> {
    let mut reader = Reader(value);
    let mut last = None;
    let mut items = Vec::new();
    while let Some(&[length]) = reader.take(1) {
        let bytes = reader.take(length.into())?;
        if last.is_some_and(|last| bytes <= last) || items.len() == LIST_LIMIT {
            return None;
        }
        last = Some(bytes);
        items.push(item(bytes)?);
    }
    if items.is_empty() { None } else { Some(items) }
}

fn prefix_bytes(prefix: &AddressPrefix) -> Vec<u8> {
    let mut bytes = vec![prefix.length()];
    match prefix.network() {
        IpAddr::V4(v4) => bytes.extend_from_slice(&v4.octets()),
        IpAddr::V6(v6) => bytes.extend_from_slice(&v6.octets()),
    }
    bytes
}

fn prefix(bytes: &[u8]) -> Option<AddressPrefix> {
    let (&length, network) = bytes.split_first()?;
    let network = if let Ok(v4) = <[u8; 4]>::try_from(network) {
        IpAddr::from(v4)
    } else {
        IpAddr::from(<[u8; 16]>::try_from(network).ok()?)
    };
    AddressPrefix::new(network, length).ok()
}

/// Only the canonical spelling, lower case and without a trailing dot, which is what `Display` writes.
fn referer(bytes: &[u8]) -> Option<RefererPattern> {
    let spelling = std::str::from_utf8(bytes).ok()?;
    let pattern: RefererPattern = spelling.parse().ok()?;
    (pattern.to_string() == spelling).then_some(pattern)
}
