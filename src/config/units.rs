//! Durations and sizes as an operator writes them: `"300ms"`, `"6s"`, `"2m"`, `"1h"`, `"365d"`, `"1024B"`, `"16KiB"`.

use std::time::Duration;

use super::reader::Table;

/// Units of time in milliseconds, the smallest first.
const TIMES: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1000),
    ("m", 60 * 1000),
    ("h", 60 * 60 * 1000),
    ("d", 24 * 60 * 60 * 1000),
];

/// Units of size in bytes, the smallest first.
const SIZES: [(&str, u64); 4] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// Why a text is no duration or size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// No duration.
    #[error("must be a whole number and ms, s, m, h or d, such as \"300ms\" or \"6s\"")]
    Duration,
    /// No size.
    #[error(
        "must be a whole number and B, KiB, MiB or GiB, such as \"16KiB\" (1 KiB is 1024 bytes)"
    )]
    Size,
    /// More than 2⁶⁴ milliseconds or bytes.
    #[error("is too large")]
    TooLarge,
}

/// A whole number and one unit of `ms`, `s`, `m`, `h`, `d`, with nothing between or around them.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    parse(text, &TIMES, UnitError::Duration).map(Duration::from_millis)
}

/// A whole number and one unit of `B`, `KiB`, `MiB`, `GiB`, with nothing between or around them; in bytes.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    parse(text, &SIZES, UnitError::Size)
}

/// A duration as [`parse_duration`] reads it, in the largest unit that has no remainder.
#[must_use]
pub fn show_duration(duration: Duration) -> String {
    if duration.is_zero() {
        return "0s".to_owned();
    }
    show(
        u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        &TIMES,
    )
}

/// Bytes as [`parse_size`] reads them, in the largest unit that has no remainder.
#[must_use]
pub fn show_size(bytes: u64) -> String {
    show(bytes, &SIZES)
}

fn parse(text: &str, units: &[(&str, u64)], other: UnitError) -> Result<u64, UnitError> {
    let (number, unit) = text
        .find(|c: char| !c.is_ascii_digit())
        .and_then(|end| text.split_at_checked(end))
        .filter(|(number, _)| !number.is_empty())
        .ok_or(other)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit).ok_or(other)?;
    // Digits alone: what fails is too long.
    let number: u64 = number.parse().map_err(|_| UnitError::TooLarge)?;
    number.checked_mul(*factor).ok_or(UnitError::TooLarge)
}

fn show(amount: u64, units: &[(&str, u64)]) -> String {
    units
        .iter()
        .rev()
        .find(|(_, factor)| amount != 0 && amount.is_multiple_of(*factor))
        .or_else(|| units.first())
        .map(|(name, factor)| format!("{}{name}", amount / factor))
        .unwrap_or_default()
}

/// The least and the most that a setting may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds<T> {
    least: T,
    most: T,
    /// What would break below.
    why: &'static str,
}

impl<T: Copy + PartialOrd> Bounds<T> {
    pub(super) const fn new(least: T, most: T, why: &'static str) -> Self {
        Self { least, most, why }
    }

    /// The value when it is within, else what to do.
    pub(super) fn check(self, value: T, show: impl Fn(T) -> String) -> Result<T, String> {
        if value < self.least {
            return Err(format!(
                "must be at least {}: {}",
                show(self.least),
                self.why
            ));
        }
        if value > self.most {
            return Err(format!("must be at most {}", show(self.most)));
        }
        Ok(value)
    }
}

/// The duration of a key, when it is given and within its bounds, else the default.
pub(super) fn duration(
    table: &mut Table<'_>,
    key: &'static str,
    default: Duration,
    bounds: Bounds<Duration>,
) -> Duration {
    let given = table.take(key).and_then(|value| {
        let duration = value.parsed_by("a duration such as \"6s\"", parse_duration)?;
        value.accept(bounds.check(duration, show_duration))
    });
    given.unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_number_and_a_unit() {
        for (text, milliseconds) in [
            ("0s", 0),
            ("300ms", 300),
            ("6s", 6_000),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("365d", 31_536_000_000),
        ] {
            let duration = Duration::from_millis(milliseconds);
            assert_eq!(parse_duration(text), Ok(duration), "{text}");
            assert_eq!(show_duration(duration), text);
        }
        for text in [
            "", "6", "s", "6 s", " 6s", "6s ", "-6s", "+6s", "1.5s", "1h30m", "6S", "6sec", "٣s",
            "6µs",
        ] {
            assert_eq!(parse_duration(text), Err(UnitError::Duration), "{text:?}");
        }
        for text in [
            "18446744073709551616ms",
            "18446744073709551615s",
            "99999999999999999999999d",
        ] {
            assert_eq!(parse_duration(text), Err(UnitError::TooLarge), "{text}");
        }
    }

    #[test]
    fn a_size_is_a_number_and_a_unit() {
        for (text, bytes) in [
            ("0B", 0),
            ("1023B", 1023),
            ("16KiB", 16 << 10),
            ("8MiB", 8 << 20),
            ("2GiB", 2 << 30),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
            assert_eq!(show_size(bytes), text);
        }
        assert_eq!(parse_size("1024B"), Ok(1024));
        for text in [
            "", "16", "16K", "16KB", "16kib", "16 KiB", "KiB", "0x10B", "-1B",
        ] {
            assert_eq!(parse_size(text), Err(UnitError::Size), "{text:?}");
        }
        assert_eq!(parse_size("99999999999GiB"), Err(UnitError::TooLarge));
    }
}
