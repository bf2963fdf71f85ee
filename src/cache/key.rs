//! What makes two requests the same.

use std::fmt;
use std::sync::Arc;

/// What a response depends on, part by part, in one allocation. Two different lists of parts are never the same key.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CacheKey(Arc<[u8]>);

impl CacheKey {
    /// The key of a request: everything that its response depends on, and nothing that differs between requests that are to
    /// share the response.
    #[must_use]
    pub fn new(parts: &[&str]) -> Self {
        let length = parts
            .iter()
            .map(|part| part.len() + size_of::<usize>())
            .sum();
        let mut key = Vec::with_capacity(length);
        for part in parts {
            // A length of its own width stands first, so that no text can pass for a separator.
            key.extend_from_slice(&part.len().to_be_bytes());
            key.extend_from_slice(part.as_bytes());
        }
        Self(key.into())
    }

    /// Its length in memory, in bytes.
    pub(super) fn size(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CacheKey({:?})", String::from_utf8_lossy(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::CacheKey;
    use crate::properties::settings;

    proptest! {
        #![proptest_config(settings())]

        // A small alphabet with what separators are made of, so that near misses are common.
        #[test]
        fn two_keys_are_the_same_exactly_when_their_parts_are(
            a in proptest::collection::vec("[ab/:\\x00\\x01]{0,3}", 0..4),
            b in proptest::collection::vec("[ab/:\\x00\\x01]{0,3}", 0..4),
        ) {
            let key = |parts: &[String]| {
                CacheKey::new(&parts.iter().map(String::as_str).collect::<Vec<_>>())
            };
            prop_assert_eq!(a == b, key(&a) == key(&b));
        }
    }

    #[test]
    fn no_split_of_one_text_is_the_key_of_another() {
        let text = "ab/8:c\0\0d";
        let mut splits = 0;
        let mut keys = HashSet::new();
        for first in 0..=text.len() {
            for second in first..=text.len() {
                keys.insert(CacheKey::new(&[
                    &text[..first],
                    &text[first..second],
                    &text[second..],
                ]));
                splits += 1;
            }
        }
        assert!(splits > 50);
        assert_eq!(keys.len(), splits);
    }
}
