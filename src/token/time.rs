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

    /// This time as people read it.
    #[must_use]
    pub const fn utc(self) -> Utc {
        Utc(self)
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

/// A time as RFC 3339 writes it, in UTC: `2023-11-14T22:13:20Z`. A year above 9999 has all its digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Utc(UnixSeconds);

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The calendar repeats itself every 400 years, also when these begin with 1970.
        const DAYS_OF_400_YEARS: u64 = 146_097;
        let (days, second) = (self.0.0 / 86_400, self.0.0 % 86_400);
        let mut year = 1970 + 400 * (days / DAYS_OF_400_YEARS);
        let mut day = days % DAYS_OF_400_YEARS;
        while day >= days_of(year) {
            day -= days_of(year);
            year += 1;
        }
        let february = days_of(year) - 337;
        let mut month = 1;
        for days in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
            if day < days {
                break;
            }
            day -= days;
            month += 1;
        }
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let day = day + 1;
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
        )
    }
}

/// Days of a year of the Gregorian calendar.
const fn days_of(year: u64) -> u64 {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    if is_leap { 366 } else { 365 }
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
    fn a_time_is_shown_as_people_read_it() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_700_000_000, "2023-11-14T22:13:20Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (4_107_456_000, "2100-02-28T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
            (253_402_300_800, "10000-01-01T00:00:00Z"),
        ] {
            assert_eq!(UnixSeconds::new(seconds).utc().to_string(), text);
        }
        let last = UnixSeconds::new(u64::MAX).utc().to_string();
        assert!(last.ends_with("Z") && last.len() > 20, "{last}");
    }

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
