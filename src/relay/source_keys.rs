//! What could name a source or a token where a message has no business to name one.

use serde_json::Value;

use super::json::{is_read_as, remove_keys};

/// Keys that could name a source where none belongs. A media server that looks for them in the wrong place finds none.
const SOURCE_KEYS: [&str; 7] = [
    "rtmp", "stream", "url", "security", "token", "jwtoken", "params",
];

/// Whether a forgiving reader could take a key for one that names a source.
pub(super) fn names_source(key: &str) -> bool {
    SOURCE_KEYS.iter().any(|source| is_read_as(key, source))
}

/// A value in which nothing names a source.
pub(super) fn without_source(mut value: Value) -> Value {
    remove_keys(&mut value, &names_source);
    value
}
