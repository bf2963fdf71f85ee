//! When a fragment was sent, written into it: a `uuid` box (ISO/IEC 14496-12, 11.1) of 32 bytes at its beginning.
//!
//! ```text
//! 4  length, 32        4  "uuid"       16  the type, MARK       8  CLOCK_MONOTONIC in nanoseconds
//! ```
//!
//! All big-endian. Players skip boxes that they do not know. The clock is one machine's own: between two machines the
//! difference means nothing.

use std::time::Duration;

/// The length of the box.
pub const LENGTH: usize = 32;

/// The type of the box, made for this and used for nothing else.
pub const MARK: [u8; 16] = *b"h5gate-load-sent";

/// Ages beyond this are those of another machine's clock.
const OLDEST: Duration = Duration::from_secs(3600);

/// The box for something that is sent `now`.
#[must_use]
pub fn write(now: Duration) -> [u8; LENGTH] {
    let mut stamp = [0; LENGTH];
    let nanoseconds = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
    let fields = [
        &[0, 0, 0, 32][..],
        b"uuid",
        &MARK,
        &nanoseconds.to_be_bytes(),
    ]
    .concat();
    // 4 + 4 + 16 + 8 bytes.
    stamp.copy_from_slice(&fields);
    stamp
}

/// How old something that begins with `start` is `now`; `None` without a stamp, or with one of another machine.
#[must_use]
pub fn age(start: &[u8], now: Duration) -> Option<Duration> {
    let (head, rest) = start.split_first_chunk::<24>()?;
    let is_stamp =
        head.starts_with(&[0, 0, 0, 32, b'u', b'u', b'i', b'd']) && head.ends_with(&MARK);
    let sent = Duration::from_nanos(u64::from_be_bytes(*rest.first_chunk()?));
    now.checked_sub(sent)
        .filter(|age| is_stamp && *age <= OLDEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_tells_its_age_and_nothing_else_does() {
        let sent = Duration::from_nanos(1_234_567_890_123);
        let stamp = write(sent);
        let later = sent + Duration::from_millis(3);
        assert_eq!(age(&stamp, later), Some(Duration::from_millis(3)));
        assert_eq!(age(&stamp, sent - Duration::from_nanos(1)), None);
        assert_eq!(age(&stamp, sent + OLDEST + Duration::from_nanos(1)), None);
        assert_eq!(age(&stamp[..31], later), None);
        for at in 0..24 {
            let mut other = stamp;
            other[at] ^= 1;
            assert_eq!(age(&other, later), None, "byte {at}");
        }
    }
}
