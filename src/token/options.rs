//! The `options` mask: a checked summary of what a token is bound to (protocol.md 1).

use std::fmt;

use super::claims::{Grant, Scope};
use super::time::canonical_decimal;

/// The decimal bit mask that travels beside the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options(u8);

impl Options {
    /// Bound to `expires`.
    pub const EXPIRES: Self = Self(1);
    /// Bound to the viewer's address.
    pub const IP: Self = Self(2);
    /// Bound to the page's host.
    pub const REFERER: Self = Self(4);
    /// Covers a `tag`.
    pub const TAG: Self = Self(8);
    /// Bound to an organisation instead of to streams.
    pub const ORGA: Self = Self(16);

    /// Reads the one accepted spelling of a mask without unknown bits: `0` to `31`.
    #[must_use]
    pub fn from_canonical(text: &str) -> Option<Self> {
        match u8::try_from(canonical_decimal(text)?) {
            Ok(bits @ 0..=31) => Some(Self(bits)),
            _ => None,
        }
    }

    /// The mask that a grant must travel with.
    #[must_use]
    pub fn of(grant: &Grant) -> Self {
        let mut bits = 0;
        let mut set = |bit: Self, on: bool| bits |= if on { bit.0 } else { 0 };
        set(Self::EXPIRES, grant.expires.is_some());
        set(Self::IP, !grant.addresses.is_empty());
        set(Self::REFERER, !grant.referers.is_empty());
        set(Self::TAG, !grant.tag.is_empty());
        set(Self::ORGA, matches!(grant.scope, Scope::Organisation(_)));
        Self(bits)
    }

    /// Whether all bits of `other` are set.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
