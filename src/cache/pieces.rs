//! Bytes that lie in several places and leave in one write.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::io::IoSlice;
use std::sync::Arc;

use bytes::{Buf, Bytes};

/// What gives memory back when it is dropped.
pub type Charge = Arc<dyn Debug + Send + Sync>;

/// Bytes in order, not copied: other readers may hold the same ones.
#[derive(Debug, Default)]
pub struct Pieces {
    /// Empty when all are.
    first: Bytes,
    behind: VecDeque<Bytes>,
    length: usize,
    /// What they are charged for by, for as long as they are not sent.
    charge: Option<Charge>,
}

impl Pieces {
    /// Adds bytes behind all others.
    pub fn push(&mut self, bytes: Bytes) {
        self.length += bytes.len();
        if self.first.is_empty() {
            self.first = bytes;
        } else if !bytes.is_empty() {
            self.behind.push_back(bytes);
        }
    }

    /// The same, charged for until it is dropped, even where the cache has let go of it meanwhile.
    #[must_use]
    pub fn charged(self, charge: Charge) -> Self {
        let charge = Some(charge);
        Self { charge, ..self }
    }

    /// The bytes, and what they are charged for by.
    pub fn take_apart(self) -> (impl Iterator<Item = Bytes>, Option<Charge>) {
        let Self {
            first,
            behind,
            charge,
            ..
        } = self;
        (std::iter::once(first).chain(behind), charge)
    }
}

impl From<Bytes> for Pieces {
    fn from(bytes: Bytes) -> Self {
        let mut pieces = Self::default();
        pieces.push(bytes);
        pieces
    }
}

impl Buf for Pieces {
    fn remaining(&self) -> usize {
        self.length
    }

    fn chunk(&self) -> &[u8] {
        &self.first
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let pieces = std::iter::once(&self.first).chain(&self.behind);
        let filled = slices
            .iter_mut()
            .zip(pieces.filter(|piece| !piece.is_empty()));
        filled
            .map(|(slice, piece)| *slice = IoSlice::new(piece))
            .count()
    }

    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.length, "{count} of {} bytes", self.length);
        self.length -= count;
        while count >= self.first.len() && count > 0 {
            count -= self.first.len();
            self.first = self.behind.pop_front().unwrap_or_default();
        }
        self.first.advance(count);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::properties::settings;

    proptest! {
        #![proptest_config(settings())]

        #[test]
        fn what_was_pushed_is_read_however_much_is_taken_at_once(
            parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..5), 0..8),
            steps in proptest::collection::vec(0_usize..12, 0..40),
        ) {
            let mut pieces = Pieces::default();
            parts.iter().for_each(|part| pieces.push(Bytes::copy_from_slice(part)));
            let mut rest = parts.concat();
            for step in steps.into_iter().chain([usize::MAX]) {
                prop_assert_eq!(pieces.remaining(), rest.len());
                prop_assert_eq!(pieces.chunk().is_empty(), rest.is_empty());
                let mut slices = [IoSlice::new(&[]); 3];
                let filled = pieces.chunks_vectored(&mut slices);
                prop_assert!(slices[..filled].iter().all(|slice| !slice.is_empty()));
                let seen = slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect::<Vec<_>>();
                prop_assert_eq!(&seen[..], &rest[..seen.len()]);
                prop_assert!(filled == 3 || seen.len() == rest.len());
                let step = step.min(rest.len());
                pieces.advance(step);
                rest.drain(..step);
            }
            prop_assert!(!pieces.has_remaining());
        }

        #[test]
        fn all_of_it_comes_apart_in_order(parts in proptest::collection::vec(0_usize..3, 0..8)) {
            let parts: Vec<_> = parts.iter().map(|&length| vec![7; length]).collect();
            let mut pieces = Pieces::default();
            parts.iter().for_each(|part| pieces.push(Bytes::copy_from_slice(part)));
            prop_assert_eq!(pieces.take_apart().0.collect::<Vec<_>>().concat(), parts.concat());
        }
    }
}
