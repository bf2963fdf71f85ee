//! The promises of the gate, a module for each: they run the real binary, or the part of the library that makes the promise.

#![cfg(feature = "gate")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests fail by panicking, and tell what they saw"
)]

#[path = "../properties/mod.rs"]
mod properties;
mod support;

mod admin_crowd;
mod admin_listener;
mod answers_arrive;
mod api_key_guessing;
mod architecture;
mod citations;
mod client_address;
mod clock_jumps;
mod command_line;
mod command_line_keys;
mod command_line_tokens;
mod config_errors;
mod config_example;
mod config_values;
mod demo_hls;
mod demo_operator;
mod demo_origin;
mod demo_sources;
mod documented_links;
mod documented_token;
mod drain;
mod final_ends;
mod handshake;
mod hanging_disk;
mod hls_answers;
mod hls_attacks;
mod hls_binding;
mod hls_endings;
mod hls_entry;
mod hls_exhaustion;
mod hls_failures_told;
mod hls_first_url;
mod hls_http;
mod hls_kinds;
mod hls_moved_answers;
mod hls_moves;
mod hls_one_connection;
mod hls_pace;
mod hls_packed;
mod hls_page_of_check;
mod hls_playback;
mod hls_player_parameters;
mod hls_config_reload;
mod hls_playlist_reloads;
mod hls_sharing;
mod hls_spellings;
mod hls_stall;
mod hls_tickets;
mod hls_unknown_address;
mod hls_upstream;
mod hostile_connections;
mod link_format;
mod load;
mod log_loss;
mod one_authorisation;
mod outage;
mod overload;
mod past_expiry;
mod playlist_properties;
mod playlist_table;
mod preflight;
mod readme;
mod query_properties;
mod refusal_log;
mod refusals_in_turn;
mod relay_ends;
mod relay_equal_names;
mod relay_flood;
mod relay_large_frames;
mod relay_quick_switches;
mod relay_second_stream;
mod relay_switch;
mod relay_switch_names;
mod relay_switch_source;
mod relay_waits;
mod relay_wire;
mod reload;
mod revocation;
mod revocations_kept;
mod seats;
mod session_room;
mod signals;
mod stalled_viewers;
mod state_files;
mod state_lock;
mod token_api_chunks;
mod token_api_http;
mod token_api_log;
mod token_api_refusals;
mod token_api_requests;
mod unlisted_source;
mod upstream_failover;
mod upstream_fetch;
mod upstream_handshake;
mod upstream_pool;
mod upstream_stray;
mod verdicts_at_connect;
mod verdicts_in_band;
mod what_goes_upstream;
