//! The token API, `POST /secure/token`: exactly the vendor's request and answer (protocol.md 1), and `streamnames` for
//! several tokens at once.
//!
//! [`mint`] is the whole of it as a pure function: the body, the API key, the keys, the rules and the time go in, the answer
//! or an [`error::ApiError`] comes out. [`http`] is what HTTP adds: the API key, and that the body is small, whole
//! and JSON.

pub mod api_key;
pub mod error;
pub mod guesses;
pub mod field;
pub mod http;
mod json;
pub mod mint;
pub mod report;
pub mod request;
