//! The token API, `POST /secure/token`: exactly the vendor's request and answer (PROTOCOL.md 1).

pub mod api_key;
