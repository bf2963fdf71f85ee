//! Random names of sessions and refusals.

use crate::random;
use crate::session::id::{Receipt, SessionId};

/// Names a refusal, or the end of a playback.
pub fn receipt() -> Receipt {
    Receipt::new(u64::from_ne_bytes(random::bytes().unwrap_or_default()))
}

/// Names a session.
pub fn session() -> SessionId {
    SessionId::new(wide())
}

/// Random bits for a name. Without the system's randomness names would collide; a process that cannot have any cannot mint
/// masks or handshake keys either, and serves no viewer.
pub fn wide() -> u128 {
    u128::from_ne_bytes(random::bytes().unwrap_or_default())
}
