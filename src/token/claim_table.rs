//! Every claim of the wire form in one table: its type, its name, how it is written and how it is read. A new claim is one
//! more row; the order of types and the refusal of unknown ones are kept in [`decode`](super::wire::decode) for all of them.
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
//! written as IPv4. A domain is in lower case, without a trailing dot, and keeps the rules of protocol.md 1.

use std::net::IpAddr;
use std::num::NonZeroU16;
use std::str::FromStr;

use super::reader::Reader;
use super::{
    AddressPrefix, AtExpiry, ClaimError, Grant, LIST_LIMIT, MintError, RefererPattern, Scope, Tag,
    TokenId, UnixSeconds, User,
};

/// A kind of claim.
pub(super) struct Claim {
    /// Its type on the wire. The rows stand in rising order.
    pub(super) kind: u8,
    /// What an error calls it.
    pub(super) name: &'static str,
    /// Writes the value behind `out`, and says whether the grant has such a claim.
    pub(super) encode: fn(&Grant, &mut Vec<u8>) -> Result<bool, MintError>,
    /// Reads the value, in its one spelling.
    pub(super) decode: fn(&[u8], &mut Read) -> Result<(), ClaimError>,
}

/// What the claims read so far say.
#[derive(Default)]
pub(super) struct Read {
    id: Option<TokenId>,
    issued_at: Option<UnixSeconds>,
    not_before: Option<UnixSeconds>,
    scope: Option<Scope>,
    addresses: Vec<AddressPrefix>,
    referers: Vec<RefererPattern>,
    user: Option<User>,
    sessions: Option<NonZeroU16>,
    at_expiry: AtExpiry,
}

impl Read {
    /// The whole, when nothing that every token has is missing.
    pub(super) fn grant(self, expires: Option<UnixSeconds>, tag: Tag) -> Result<Grant, ClaimError> {
        Ok(Grant {
            id: self.id.ok_or(ClaimError::Missing(ID))?,
            issued_at: self.issued_at.ok_or(ClaimError::Missing(ISSUED_AT))?,
            not_before: self.not_before,
            expires,
            at_expiry: self.at_expiry,
            scope: self.scope.ok_or(ClaimError::Scope)?,
            addresses: self.addresses,
            referers: self.referers,
            tag,
            user: self.user,
            sessions: self.sessions,
        })
    }
}

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

/// The table.
pub(super) const CLAIMS: [Claim; 10] = [
    Claim {
        kind: ID,
        name: "the token id",
        encode: |grant, out| {
            out.extend_from_slice(grant.id.as_bytes());
            Ok(true)
        },
        decode: |value, read| {
            let bytes = value.try_into().map_err(|_| ClaimError::Value(ID))?;
            read.id = Some(TokenId::new(bytes));
            Ok(())
        },
    },
    Claim {
        kind: ISSUED_AT,
        name: "issued-at",
        encode: |grant, out| put_number(ISSUED_AT, Some(grant.issued_at.get()), out),
        decode: |value, read| keep(ISSUED_AT, &mut read.issued_at, time(value)),
    },
    Claim {
        kind: NOT_BEFORE,
        name: "not-before",
        encode: |grant, out| put_number(NOT_BEFORE, grant.not_before.map(UnixSeconds::get), out),
        decode: |value, read| keep(NOT_BEFORE, &mut read.not_before, time(value)),
    },
    Claim {
        kind: STREAMS,
        name: "streams",
        encode: |grant, out| match &grant.scope {
            Scope::Streams(streams) => {
                let names = streams.iter().map(|name| name.as_str().as_bytes().to_vec());
                put_list(STREAMS, "streams", names, out)
            }
            Scope::Organisation(_) => Ok(false),
        },
        decode: |value, read| {
            let streams = list(value, text).map(Scope::Streams);
            keep(STREAMS, &mut read.scope, streams)
        },
    },
    Claim {
        kind: ORGANISATION,
        name: "organisation",
        encode: |grant, out| match &grant.scope {
            Scope::Streams(_) => Ok(false),
            Scope::Organisation(hash) => {
                out.extend_from_slice(hash.as_str().as_bytes());
                Ok(true)
            }
        },
        decode: |value, read| {
            if read.scope.is_some() {
                return Err(ClaimError::Scope);
            }
            let hash = text(value).map(Scope::Organisation);
            keep(ORGANISATION, &mut read.scope, hash)
        },
    },
    Claim {
        kind: ADDRESSES,
        name: "addresses",
        encode: |grant, out| {
            if grant.addresses.is_empty() {
                return Ok(false);
            }
            let prefixes = grant.addresses.iter().map(prefix_bytes);
            put_list(ADDRESSES, "addresses", prefixes, out)
        },
        decode: |value, read| {
            read.addresses = list(value, prefix).ok_or(ClaimError::Value(ADDRESSES))?;
            Ok(())
        },
    },
    Claim {
        kind: REFERERS,
        name: "referers",
        encode: |grant, out| {
            if grant.referers.is_empty() {
                return Ok(false);
            }
            let patterns = grant
                .referers
                .iter()
                .map(|one| one.to_string().into_bytes());
            put_list(REFERERS, "referers", patterns, out)
        },
        decode: |value, read| {
            read.referers = list(value, referer).ok_or(ClaimError::Value(REFERERS))?;
            Ok(())
        },
    },
    Claim {
        kind: USER,
        name: "user",
        encode: |grant, out| {
            let Some(user) = &grant.user else {
                return Ok(false);
            };
            out.extend_from_slice(user.as_str().as_bytes());
            Ok(true)
        },
        decode: |value, read| keep(USER, &mut read.user, text(value)),
    },
    Claim {
        kind: SESSIONS,
        name: "sessions",
        encode: |grant, out| {
            let sessions = grant.sessions.map(|sessions| sessions.get().into());
            put_number(SESSIONS, sessions, out)
        },
        decode: |value, read| keep(SESSIONS, &mut read.sessions, count(value)),
    },
    Claim {
        kind: AT_EXPIRY,
        name: "at-expiry",
        encode: |grant, out| {
            let cuts = grant.at_expiry == AtExpiry::Cut;
            if cuts {
                out.extend_from_slice(CUT);
            }
            Ok(cuts)
        },
        decode: |value, read| {
            if value != CUT {
                return Err(ClaimError::Value(AT_EXPIRY));
            }
            read.at_expiry = AtExpiry::Cut;
            Ok(())
        },
    },
];

impl Claim {
    /// The row of a type.
    pub(super) fn of(kind: u8) -> Option<&'static Self> {
        const TABLE: &[Claim] = &CLAIMS;
        TABLE.iter().find(|claim| claim.kind == kind)
    }
}

fn keep<T>(kind: u8, place: &mut Option<T>, value: Option<T>) -> Result<(), ClaimError> {
    *place = Some(value.ok_or(ClaimError::Value(kind))?);
    Ok(())
}

fn put_number(kind: u8, number: Option<u64>, out: &mut Vec<u8>) -> Result<bool, MintError> {
    let Some(number) = number else {
        return Ok(false);
    };
    let bytes = number.to_be_bytes();
    let leading = number.leading_zeros() as usize / 8;
    match bytes.get(leading..) {
        Some(significant) if number != 0 => {
            out.extend_from_slice(significant);
            Ok(true)
        }
        _ => Err(ClaimError::Value(kind).into()),
    }
}

fn put_list(
    kind: u8,
    claim: &'static str,
    items: impl Iterator<Item = Vec<u8>>,
    out: &mut Vec<u8>,
) -> Result<bool, MintError> {
    let mut items: Vec<_> = items.collect();
    items.sort();
    items.dedup();
    let (count, limit) = (items.len(), LIST_LIMIT);
    if count > limit {
        return Err(MintError::TooMany {
            claim,
            count,
            limit,
        });
    }
    if items.is_empty() {
        return Err(ClaimError::Value(kind).into());
    }
    for item in items {
        out.push(u8::try_from(item.len()).map_err(|_| ClaimError::Value(kind))?);
        out.extend_from_slice(&item);
    }
    Ok(true)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_types_rise_and_every_claim_has_a_name_of_its_own() {
        let kinds: Vec<_> = CLAIMS.iter().map(|claim| claim.kind).collect();
        assert!(kinds.is_sorted_by(|one, next| one < next), "{kinds:?}");
        let mut names: Vec<_> = CLAIMS.iter().map(|claim| claim.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CLAIMS.len());
    }

    #[test]
    fn each_claim_reads_back_what_it_wrote() {
        let mut grant = Grant::new(
            TokenId::new([7; 16]),
            UnixSeconds::new(1_700_000_000),
            Scope::stream("abcde-one".parse().unwrap()),
        );
        grant.not_before = Some(UnixSeconds::new(256));
        grant.addresses = vec!["192.0.2.0/24".parse().unwrap()];
        grant.referers = vec!["*.example.com".parse().unwrap()];
        grant.user = Some("viewer-7".parse().unwrap());
        grant.sessions = NonZeroU16::new(3);
        grant.at_expiry = AtExpiry::Cut;
        let organisation = Grant {
            scope: Scope::Organisation("abcde".parse().unwrap()),
            ..grant.clone()
        };
        let mut written = [false; CLAIMS.len()];
        for grant in [grant, organisation] {
            let mut read = Read::default();
            for (claim, written) in CLAIMS.iter().zip(&mut written) {
                let mut value = Vec::new();
                if (claim.encode)(&grant, &mut value).unwrap() {
                    (claim.decode)(&value, &mut read).unwrap();
                    *written = true;
                }
            }
            assert_eq!(read.grant(None, Tag::default()), Ok(grant));
        }
        assert_eq!(written, [true; CLAIMS.len()], "a claim was not tried");
    }
}
