//! What makes two requests the same.

use std::fmt;
use std::sync::Arc;

/// Whose stream, which stream, and what of it, in one allocation. Two different triples are never the same key.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CacheKey(Arc<[u8]>);

impl CacheKey {
    /// The key of a request. `organisation` is its owner's text, `None` where there is none (which is not the same as an empty
    /// one); `target` is the path and query that go to the media server, with the `_HLS_*` parameters and without anything
    /// that differs between viewers.
    #[must_use]
    pub fn new(organisation: Option<&str>, stream: &str, target: &str) -> Self {
        // Lengths of their own width stand first, so that no text can pass for a separator. No text is as long as MAX.
        let organisation_length = organisation.map_or(usize::MAX, str::len).to_be_bytes();
        let stream_length = stream.len().to_be_bytes();
        let parts: [&[u8]; 5] = [
            &organisation_length,
            &stream_length,
            organisation.unwrap_or_default().as_bytes(),
            stream.as_bytes(),
            target.as_bytes(),
        ];
        Self(parts.concat().into())
    }

    /// Its length in memory, in bytes.
    pub(super) fn size(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.get(2 * size_of::<usize>()..).unwrap_or_default();
        write!(f, "CacheKey({:?})", String::from_utf8_lossy(text))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::CacheKey;

    proptest! {
        // A small alphabet with what separators are made of, so that near misses are common.
        #[test]
        fn two_keys_are_the_same_exactly_when_their_triples_are(
            a in (proptest::option::of("[ab/:\\x00\\x01]{0,3}"), "[ab/:\\x00\\x01]{0,3}", "[ab/:\\x00\\x01]{0,3}"),
            b in (proptest::option::of("[ab/:\\x00\\x01]{0,3}"), "[ab/:\\x00\\x01]{0,3}", "[ab/:\\x00\\x01]{0,3}"),
        ) {
            let key = |(organisation, stream, target): &(Option<String>, String, String)| {
                CacheKey::new(organisation.as_deref(), stream, target)
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
                let (organisation, stream, target) =
                    (&text[..first], &text[first..second], &text[second..]);
                keys.insert(CacheKey::new(Some(organisation), stream, target));
                splits += 1;
                if first == 0 {
                    keys.insert(CacheKey::new(None, stream, target));
                    splits += 1;
                }
            }
        }
        assert!(splits > 50);
        assert_eq!(keys.len(), splits);
    }
}
