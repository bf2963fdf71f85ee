//! API keys, stored as their SHA-256 and compared in constant time.

use std::fmt;

use sha2::{Digest as _, Sha256};
use subtle::{ConditionallySelectable as _, ConstantTimeEq as _};

use crate::token::Owner;

/// One API key.
#[derive(Clone)]
pub struct ApiKey {
    /// Names it in logs.
    pub id: String,
    /// The owner of the streams that it may mint for.
    pub owner: Owner,
    /// SHA-256 of the key.
    pub sha256: [u8; 32],
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({} of {})", self.id, self.owner)
    }
}

/// All API keys.
#[derive(Debug, Default)]
pub struct ApiKeys(Vec<ApiKey>);

impl ApiKeys {
    /// From what is configured.
    #[must_use]
    pub fn new(keys: Vec<ApiKey>) -> Self {
        Self(keys)
    }

    /// The key that `presented` is. All keys are compared, so that the time says nothing of which one comes close.
    #[must_use]
    pub fn find(&self, presented: &[u8]) -> Option<&ApiKey> {
        let presented: [u8; 32] = Sha256::digest(presented).into();
        let mut found = u32::MAX;
        for (index, key) in (0_u32..).zip(&self.0) {
            found.conditional_assign(&index, key.sha256.ct_eq(&presented));
        }
        self.0.get(usize::try_from(found).ok()?)
    }
}
