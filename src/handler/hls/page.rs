//! The page of a request that tells none: the one that its player has shown itself on by a WebSocket.

use crate::decision::Facts;
use crate::gate::Gate;
use crate::hls::player_pages::viewer::{Player, Viewer};
use crate::request::client_address::ClientAddress;
use crate::request::referer::Referer;
use crate::token::Claims;

/// What the page is found by.
pub fn viewer(pid: &str, claims: &Claims, address: ClientAddress) -> Option<Viewer> {
    Some(Player::new(pid, address)?.with(claims))
}

/// The facts with a page that is inherited, where the token asks for one and the request tells none.
pub fn with_inherited_page(
    facts: Facts,
    claims: &Claims,
    page: impl FnOnce() -> Option<String>,
) -> Facts {
    if facts.referer != Referer::Absent || claims.grant.referers.is_empty() {
        return facts;
    }
    match page() {
        Some(page) => facts.inherit(page),
        None => facts,
    }
}

/// Waits for the WebSocket of a player whose HLS request came first; whether it came and told the page.
pub async fn page_is_told(gate: &Gate, viewer: Option<Viewer>) -> bool {
    let Some(viewer) = viewer else {
        return false;
    };
    tracing::debug!("a request without a page waits for its player's WebSocket");
    gate.pages.wait(viewer).await
}
