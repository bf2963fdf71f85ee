//! Bytes that lie in several places and leave in one write.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;

use bytes::{Buf, Bytes};

use super::entry::Content;

/// Bytes in order, shared with whoever else holds them.
#[derive(Debug, Default)]
pub struct Pieces {
    /// Empty when all are.
    first: Bytes,
    behind: VecDeque<Bytes>,
    length: usize,
    /// What they are of, for as long as they are not sent.
    _of: Option<Arc<Content>>,
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

    /// The same, charged for until it is dropped, whoever has let go of it meanwhile.
    pub(super) fn of(self, content: &Arc<Content>) -> Self {
        let _of = Some(Arc::clone(content));
        Self { _of, ..self }
    }
}

impl From<Bytes> for Pieces {
    fn from(bytes: Bytes) -> Self {
        let mut pieces = Self::default();
        pieces.push(bytes);
        pieces
    }
}

impl IntoIterator for Pieces {
    type Item = Bytes;
    type IntoIter =
        std::iter::Chain<std::iter::Once<Bytes>, std::collections::vec_deque::IntoIter<Bytes>>;

    fn into_iter(self) -> Self::IntoIter {
        std::iter::once(self.first).chain(self.behind)
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

    proptest! {
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
            prop_assert_eq!(pieces.into_iter().collect::<Vec<_>>().concat(), parts.concat());
        }
    }
}
