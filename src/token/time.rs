//! Unix time in whole seconds, the only clock unit that a token knows.

use std::fmt;
use std::time::Duration;

/// Seconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixSeconds(u64);

impl UnixSeconds {
    /// From a count of whole seconds.
    #[must_use]
    pub const fn new(seconds: u64) -> Self {
        Self(seconds)
    }

    /// The count of whole seconds.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// This time and `duration` (its whole seconds), staying at the largest time that can be written.
    #[must_use]
    pub const fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration.as_secs()))
    }

    /// How long from `earlier` to this time; zero when this time is the earlier one.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }

    /// Reads the one accepted spelling: decimal digits, no sign, no leading zero, at most 2⁶⁴ − 1.
    #[must_use]
    pub fn from_canonical(text: &str) -> Option<Self> {
        canonical_decimal(text).map(Self)
    }
}

impl fmt::Display for UnixSeconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A decimal number that has exactly one spelling: `str::parse` alone would also take `+9` and `09`.
pub(super) fn canonical_decimal(text: &str) -> Option<u64> {
    let canonical = match text.as_bytes() {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if canonical { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_spelling() {
        for good in ["0", "9", "10", "18446744073709551615"] {
            assert_eq!(
                canonical_decimal(good).map(|n| n.to_string()).as_deref(),
                Some(good)
            );
        }
        for bad in [
            "",
            "09",
            "+9",
            "-9",
            "9 ",
            " 9",
            "9.0",
            "0x9",
            "1e3",
            "18446744073709551616",
            "٩",
        ] {
            assert_eq!(canonical_decimal(bad), None, "{bad:?}");
        }
    }
}
