//! An edge validation proxy for H5Live secure playback.
//!
//! The modules stand in the order of a request: a socket is accepted, its head is read, the token verified, the playback
//! decided, a session opened, a media server chosen, and the bytes relayed. `handler` is that list as code.
//!
//! What the library offers is the [`token`] module, for back ends that mint and check tokens; without default features it is all
//! that is built. The gate's own modules are hidden: they are public for its tests and benches alone, and may change at any time
//! (`tests/dead-code` finds what nothing else uses).

#[cfg(feature = "gate")]
#[doc(hidden)]
pub mod listener;
#[cfg(feature = "gate")]
#[doc(hidden)]
pub mod request;
pub mod token;
#[cfg(feature = "gate")]
#[doc(hidden)]
pub mod decision;
#[cfg(feature = "gate")]
#[doc(hidden)]
pub mod session;
#[cfg(feature = "gate")]
#[doc(hidden)]
pub mod upstream;
#[cfg(feature = "gate")]
#[doc(hidden)]
pub mod relay;
#[cfg(feature = "gate")]
#[doc(hidden)]
pub mod hls;
#[cfg(feature = "gate")]
#[doc(hidden)]
pub mod refusal;

#[cfg(feature = "gate")]
#[doc(hidden)]
pub mod handler;

// What stands beside the way.
#[cfg(feature = "gate")]
#[doc(hidden)]
pub mod admin;
#[cfg(feature = "gate")]
#[doc(hidden)]
pub mod cache;
#[cfg(feature = "gate")]
#[doc(hidden)]
pub mod cli;
#[cfg(feature = "gate")]
#[doc(hidden)]
pub mod clock;
#[cfg(feature = "gate")]
#[doc(hidden)]
pub mod config;
#[cfg(feature = "gate")]
#[doc(hidden)]
pub mod demo;
#[cfg(feature = "gate")]
#[doc(hidden)]
pub mod h5live_messages;
#[cfg(feature = "gate")]
#[doc(hidden)]
pub mod gate;
#[cfg(feature = "gate")]
#[doc(hidden)]
pub mod interrupt;
#[cfg(feature = "gate")]
#[doc(hidden)]
pub mod load;
#[cfg(feature = "gate")]
#[doc(hidden)]
pub mod logging;
#[cfg(feature = "gate")]
#[doc(hidden)]
pub mod metrics;
#[cfg(feature = "gate")]
#[doc(hidden)]
pub mod pace;
#[cfg(feature = "gate")]
#[doc(hidden)]
pub mod random;
#[cfg(feature = "gate")]
#[doc(hidden)]
pub mod serve;
#[cfg(feature = "gate")]
#[doc(hidden)]
pub mod state;
#[cfg(feature = "gate")]
#[doc(hidden)]
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
    #[doc = include_str!("documentation/links.md")]
    pub mod links {}
}
