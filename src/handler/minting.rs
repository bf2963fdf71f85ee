//! The token API, by the policy of this moment.

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use http_body_util::Full;
use hyper::body::Incoming;

use crate::gate::Gate;
use crate::token_api::http::{self as token_api, TokenApi};

use super::http_connection::HttpConnection;
use super::record;

/// Answers a request to the token API.
pub async fn mint(
    gate: &Gate,
    connection: &HttpConnection,
    head: &Parts,
    body: Incoming,
) -> Response<Full<Bytes>> {
    let policy = gate.policy();
    let api = TokenApi {
        clock: &gate.clock,
        keyring: &policy.keyring,
        rules: &policy.rules,
        api_keys: &policy.api_keys,
        body_limit: gate.limits.body,
        body_deadline: gate.timeouts.head,
        has_length: connection.heads.have_length(),
        address: policy
            .edge
            .neighbours
            .client(connection.peer, &head.headers),
        guesses: &gate.guesses,
    };
    let answered = token_api::answer(&api, head, body).await;
    record::token_api(gate, answered.outcome);
    answered.response
}
