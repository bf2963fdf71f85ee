//! What makes a link the gate's own.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::token::{Owner, StreamName};

use super::super::seal_keys::SealKeys;

/// What the gate named in a playlist.
#[derive(Clone, Copy, Debug)]
pub struct Link<'a> {
    /// Whose stream.
    pub owner: &'a Owner,
    /// The stream.
    pub stream: &'a StreamName,
    /// The definitions that go with it.
    pub definitions: &'a str,
    /// Path and query on the media server, without `_HLS_*`.
    pub target: &'a str,
}

impl Link<'_> {
    /// Its signature.
    #[must_use]
    pub fn sign(&self, seals: &SealKeys) -> Signature {
        Signature::new(seals.seal_link(self.owner, &self.parts()))
    }

    /// Whether this is a signature of it.
    #[must_use]
    pub fn is_signed(&self, seals: &SealKeys, signature: &str) -> bool {
        seals.is_link_seal(self.owner, &self.parts(), signature)
    }

    fn parts(&self) -> [&str; 4] {
        [
            self.owner.as_str(),
            self.stream.as_str(),
            self.definitions,
            self.target,
        ]
    }
}

/// A link's MAC as 22 characters of base64url.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature([u8; Signature::LENGTH]);

impl Signature {
    /// Its length in a link.
    pub const LENGTH: usize = 22;

    /// Writes down the first 128 bits of a MAC.
    #[must_use]
    pub fn new(mac: [u8; 16]) -> Self {
        let mut text = [b'A'; Self::LENGTH];
        // 16 bytes are 22 characters, so it cannot fail.
        let _ = URL_SAFE_NO_PAD.encode_slice(mac, &mut text);
        Self(text)
    }

    /// The characters. To be compared in constant time.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}
