//! Step 7 over HTTP: HLS. Links and tickets, playlists and their rewriting, and the playbacks that many requests are.

pub mod identity;
pub mod link;
mod ended;
pub mod player_pages;
pub mod playlist;
pub mod saved;
pub mod seal_keys;
pub mod session;
pub mod sessions;
pub mod shareable;
pub mod ticket;

#[cfg(test)]
mod ends_tests;
