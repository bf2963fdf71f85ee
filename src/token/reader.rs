//! Bytes taken apart: the frame of a claim, and the items in its value.

use super::ClaimError;

/// Takes bytes from the front.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    /// The next `count` bytes; `None` when there are fewer, and nothing is taken then.
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// The next claim: its type and its value; `None` at the end.
    pub(super) fn claim(&mut self) -> Result<Option<(u8, &'a [u8])>, ClaimError> {
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
