//! What a gate decides by.

use std::sync::Arc;

use crate::config::WebSocketRefusal;
use crate::decision::rules::Rules;
use crate::hls::seal_keys::SealKeys;
use crate::request::Edge;
use crate::token::Keyring;
use crate::token_api::api_key::ApiKeys;

/// What a reload replaces. A connection takes it once for each decision, so that a decision is made by one policy.
#[derive(Debug)]
pub struct Policy {
    /// Neighbours in front, and the sources that viewers may name.
    pub edge: Edge,
    /// All keys.
    pub keyring: Keyring,
    /// What tickets and links are sealed with.
    pub seals: Arc<SealKeys>,
    /// What is asked of each organisation's tokens.
    pub rules: Rules,
    /// The keys of back ends that mint.
    pub api_keys: ApiKeys,
    /// How a refused WebSocket is told.
    pub websocket_refusal: WebSocketRefusal,
}
