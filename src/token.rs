//! The playback token: minted by a holder of a key, verified by the gate, four strings in both directions.
//!
//! ```text
//! token = "h1." kid "." base64url(P) "." base64url(T)      no padding, at most 2,048 characters
//! P     = the claims that no other field carries           see `wire`
//! T     = HMAC-SHA-256(key[kid], M), all 32 bytes
//! M     = "h5gate-token/h1" 0x00 | L(kid) | L(options) | L(expires) | L(tag) | L(P)
//! L(x)  = length of x as four bytes, big-endian | x
//! ```
//!
//! The MAC covers the four strings *as they travel*: nothing is rebuilt from the request before it is checked, so a
//! rewritten URL, a wrong address and a forgery stay three different findings.
//!
//! The module is pure: no I/O, no clock, no randomness, nothing else of this crate. The caller passes the time of issue
//! and the sixteen random bytes of the token's id. With `default-features = false` it is the whole library, for back
//! ends that mint and check on their own; `tests/vectors/token.json` is the same contract for other languages.
//!
//! ```
//! use h5gate::token::{Grant, Key, KeyState, Keyring, Owner, Presented, Scope, Secret, TokenId, UnixSeconds};
//!
//! let owner: Owner = "abcde".parse()?;
//! let secret = Secret::new(vec![7; 32])?;
//! let keyring = Keyring::new([], [Key::new("k1".parse()?, owner.clone(), KeyState::Active, &secret)])?;
//!
//! let mut grant = Grant::new(TokenId::new([1; 16]), UnixSeconds::new(1_700_000_000), Scope::stream("abcde-one".parse()?));
//! grant.expires = Some(UnixSeconds::new(1_700_003_600));
//! let security = keyring.mint(&owner, &grant)?;
//! assert_eq!(security.options, "1");
//!
//! let claims = keyring.verify(Presented::from(&security))?;
//! assert_eq!(claims.grant, grant);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod address;
#[cfg(feature = "gate")]
mod carried;
mod claim_table;
mod claims;
mod domain;
mod error;
mod key;
mod mint;
mod names;
mod options;
mod reader;
#[cfg(feature = "gate")]
mod seal;
mod time;
mod verify;
mod wire;

pub use address::{AddressPrefix, AddressPrefixError};
pub use claims::{AtExpiry, Claims, Grant, LIST_LIMIT, Scope, TokenId};
pub use domain::{Domain, DomainError, RefererPattern};
pub use error::{ClaimError, Field, MalformedToken, MintError, TokenError};
pub use key::{
    Key, KeyState, Keyring, KeyringError, NotBase64, Owner, SECRET_MIN_BYTES, Secret, SecretError,
};
pub use mint::Security;
pub use names::{KeyId, NameError, OrgaHash, StreamName, Tag, User};
pub use options::Options;
#[cfg(feature = "gate")]
pub use seal::{SEAL_BYTES, SealKey};
pub use time::{UnixSeconds, Utc};
pub use verify::{Inspection, Presented, inspect};
pub use wire::TOKEN_LIMIT;
