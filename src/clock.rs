//! The only place that asks the system for the time of day; everything else is handed it.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::token::UnixSeconds;

/// The time of day. A clock before 1970 reads as 1970: every token is then not yet valid or not expired, never a panic.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn now() -> UnixSeconds {
    UnixSeconds::new(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs()),
    )
}
