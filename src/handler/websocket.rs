//! Playback over a WebSocket.

pub mod dialling;
pub mod switch;
