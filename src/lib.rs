//! An edge validation proxy for H5Live secure playback.
//!
//! The modules stand in the order of a request: a socket is accepted, its head is read, the token verified, the playback
//! decided, a session opened, a media server chosen, and the bytes relayed. `handler` is that list as code.
//!
//! Without default features the library is the [`token`] module alone, for back ends that mint and check tokens.

#[cfg(feature = "gate")]
pub mod listener;
#[cfg(feature = "gate")]
pub mod request;
pub mod token;
#[cfg(feature = "gate")]
pub mod decision;
#[cfg(feature = "gate")]
pub mod session;
#[cfg(feature = "gate")]
pub mod upstream;
#[cfg(feature = "gate")]
pub mod relay;
#[cfg(feature = "gate")]
pub mod hls;
#[cfg(feature = "gate")]
pub mod refusal;

#[cfg(feature = "gate")]
pub mod handler;

// What stands beside the way.
#[cfg(feature = "gate")]
pub mod admin;
#[cfg(feature = "gate")]
pub mod cache;
#[cfg(feature = "gate")]
pub mod cli;
#[cfg(feature = "gate")]
pub mod clock;
#[cfg(feature = "gate")]
pub mod config;
#[cfg(feature = "gate")]
pub mod demo;
#[cfg(feature = "gate")]
pub mod dialect;
#[cfg(feature = "gate")]
pub mod gate;
#[cfg(feature = "gate")]
pub mod interrupt;
#[cfg(feature = "gate")]
pub mod load;
#[cfg(feature = "gate")]
pub mod logging;
#[cfg(feature = "gate")]
pub mod metrics;
#[cfg(feature = "gate")]
pub mod pace;
#[cfg(feature = "gate")]
pub mod random;
#[cfg(feature = "gate")]
pub mod serve;
#[cfg(feature = "gate")]
pub mod state;
#[cfg(feature = "gate")]
pub mod token_api;

// Its properties are tried as those of the tests are.
#[cfg(all(test, feature = "gate"))]
#[path = "../tests/properties/mod.rs"]
mod properties;

/// What the gate relies on, and why it is as it is.
#[cfg(feature = "gate")]
pub mod documentation {
    #[doc = include_str!("documentation/words.md")]
    pub mod words {}
    #[doc = include_str!("documentation/design.md")]
    pub mod design {}
    #[doc = include_str!("documentation/protocol.md")]
    pub mod protocol {}
    #[doc = include_str!("documentation/token.md")]
    pub mod token {}
}
