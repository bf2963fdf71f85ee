//! A body as it grows: shared chunks, found by their place in the body.

use bytes::{Buf as _, Bytes};

use super::pieces::Pieces;

/// The longest chunk.
const CHUNK: usize = 64 * 1024;

/// The bytes so far. What is pushed is there at once, whatever its size: nothing is held back to make a chunk full. Small
/// chunks grow together as their successors come, each time with one of at most twice the new one's size, so a byte is moved
/// about once for every doubling and a body pushed byte by byte ends up in chunks of more than 3 KiB on average, however the
/// sizes vary. A reader knows its place in the body and not the chunks, so they may change behind it.
///
/// Everything is copied once on its way in. That is what makes the byte account true: a chunk from a socket is often a view of
/// a far larger buffer.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    list: Vec<Chunk>,
    length: usize,
}

#[derive(Debug)]
struct Chunk {
    start: usize,
    bytes: Bytes,
}

impl Chunks {
    /// How many bytes there are.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// Appends.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(CHUNK) {
            self.push_part(part);
        }
    }

    fn push_part(&mut self, part: &[u8]) {
        let mut size = part.len();
        let mut kept = self.list.len();
        for last in self.list.iter().rev().map(|chunk| chunk.bytes.len()) {
            if last >= 2 * size || last + size > CHUNK {
                break;
            }
            size += last;
            kept -= 1;
        }
        let start = self.length + part.len() - size;
        // Exactly as large as needed: a shared buffer keeps what it has to spare.
        let mut bytes = Vec::with_capacity(size);
        for chunk in self.list.drain(kept..) {
            bytes.extend_from_slice(&chunk.bytes);
        }
        bytes.extend_from_slice(part);
        self.length += part.len();
        self.list.push(Chunk {
            start,
            bytes: bytes.into(),
        });
    }

    /// Gives back what was kept for more.
    pub(super) fn close(&mut self) {
        self.list.shrink_to_fit();
    }

    /// What is there from this place on, at most so much: at least one byte, or `None` when nothing is.
    pub(super) fn read(&self, at: usize, most: usize) -> Option<Pieces> {
        let behind = self.list.partition_point(|chunk| chunk.start <= at);
        let mut pieces = Pieces::default();
        for chunk in self.list.get(behind.checked_sub(1)?..)? {
            let skip = (at + pieces.remaining()).saturating_sub(chunk.start);
            let length = chunk.bytes.len().saturating_sub(skip);
            let length = length.min(most - pieces.remaining());
            if length == 0 {
                break;
            }
            pieces.push(chunk.bytes.slice(skip..skip + length));
        }
        pieces.has_remaining().then_some(pieces)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use bytes::Buf as _;

    use super::{CHUNK, Chunks};
    use crate::properties::settings;

    fn read_all(chunks: &Chunks, mut at: usize, most: usize) -> Vec<u8> {
        let mut read = Vec::new();
        while let Some(pieces) = chunks.read(at, most) {
            assert!((1..=most).contains(&pieces.remaining()));
            at += pieces.remaining();
            read.extend(pieces.take_apart().0.flatten());
        }
        read
    }

    proptest! {
        #![proptest_config(settings())]

        #[test]
        fn what_was_pushed_is_read_from_every_place(
            sizes in proptest::collection::vec(prop_oneof![0_usize..4, 0_usize..5_000, 60_000_usize..150_000], 0..30),
            from in any::<proptest::sample::Index>(),
            most in prop_oneof![1_000_usize..5_000, 60_000_usize..300_000],
        ) {
            let mut chunks = Chunks::default();
            let mut all = Vec::new();
            for (size, fill) in sizes.into_iter().zip(0_u8..) {
                let part: Vec<u8> = (0..size).map(|i| fill.wrapping_add(i.to_le_bytes()[0])).collect();
                chunks.push(&part);
                all.extend(part);
            }
            chunks.close();
            prop_assert_eq!(chunks.length(), all.len());
            let from = from.index(all.len() + 1);
            prop_assert_eq!(read_all(&chunks, from, most), &all[from..]);
        }
    }

    #[test]
    fn a_body_pushed_byte_by_byte_is_in_few_chunks_at_all_times() {
        let mut chunks = Chunks::default();
        for _ in 0..3 * CHUNK {
            chunks.push(b"x");
            assert!(chunks.list.len() <= 3 + 17, "{}", chunks.list.len());
        }
        assert_eq!(chunks.length(), 3 * CHUNK);
    }

    #[test]
    fn shrinking_pushes_do_not_make_many_chunks() {
        let mut chunks = Chunks::default();
        for _ in 0..50 {
            for size in (1..1_000).rev() {
                chunks.push(&vec![0; size]);
            }
        }
        let average = chunks.length() / chunks.list.len();
        assert!(average > 3 * 1024, "{average}");
    }

    #[test]
    fn a_large_chunk_is_not_moved_for_every_small_one_behind_it() {
        let mut chunks = Chunks::default();
        chunks.push(&[1; 16 * 1024]);
        let place = chunks.list[0].bytes.as_ptr();
        for _ in 0..1_000 {
            chunks.push(b"x");
            assert_eq!(chunks.list[0].bytes.as_ptr(), place);
        }
    }

    #[test]
    fn a_chunk_keeps_nothing_to_spare() {
        let mut chunks = Chunks::default();
        chunks.push(&[1; 1_000]);
        chunks.push(&[2; 900]);
        let held: Vec<_> = chunks.list.drain(..).collect();
        assert_eq!(held.len(), 1);
        for chunk in held {
            let bytes = chunk.bytes.try_into_mut().unwrap();
            assert_eq!(bytes.capacity(), bytes.len());
        }
    }
}
