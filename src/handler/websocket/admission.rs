//! Steps 2 to 5 of a WebSocket: whether a playback may start.

use http::request::Parts;

use crate::config::WebSocketRefusal;
use crate::decision::Facts;
use crate::gate::Gate;
use crate::gate::policy::Policy;
use crate::hls::player_pages::OpenPage;
use crate::hls::player_pages::viewer::Player;
use crate::refusal::{CHECK_PASSED, Refusal, close_frame};
use crate::relay::Farewell;
use crate::request::referer::Referer;
use crate::request::{Malformed, PlaybackRequest};
use crate::session::id::SessionId;
use crate::session::seats::Delivery;
use crate::session::{Newcomer, Transport};
use crate::token::Claims;
use crate::upstream::head::{HeadParts, RequestHead};

use super::super::authorization::Authorization;
use super::super::http_connection::HttpConnection;
use super::super::refused::{Refused, Subject};
use super::super::{names, record};
use super::{Admission, Answer, Playback};

/// Answers a handshake: admits it, or refuses it by a close frame behind the 101 or by a status.
/// One policy decides and says how a refusal is told.
pub async fn admit(gate: &Gate, connection: &HttpConnection, head: &Parts) -> Answer {
    let policy = gate.policy();
    let started = start(gate, &policy, connection, head).await;
    started.map_or_else(
        |refused| refuse(gate, &policy, &refused),
        |admission| Answer::Switch {
            admission,
            receipt: None,
        },
    )
}

/// Tells a refusal as `policy` says, which decided it.
pub fn refuse(gate: &Gate, policy: &Policy, refused: &Refused) -> Answer {
    let receipt = names::receipt();
    let refusal = Refusal::from(refused.denial.reason());
    record::refused(gate, refused, &refusal, receipt);
    match policy.websocket_refusal {
        WebSocketRefusal::HttpStatus => Answer::Status { refusal, receipt },
        WebSocketRefusal::CloseCode => Answer::Switch {
            admission: Admission::Close(refusal.farewell(receipt)),
            receipt: Some(receipt),
        },
    }
}

async fn start(
    gate: &Gate,
    policy: &Policy,
    connection: &HttpConnection,
    head: &Parts,
) -> Result<Admission, Refused> {
    let peer = connection.peer;
    let address = policy.edge.neighbours.client(peer, &head.headers);
    let unread = |error: Malformed| Refused::unnamed(error, address);
    let read = PlaybackRequest::read_websocket(head, peer, &policy.edge);
    let (request, query) = read.map_err(unread)?;
    let facts = Facts::of(&request);
    let refused = |denial| Refused {
        denial,
        address,
        request: Some(Box::new(request.clone())),
        subject: Subject::default(),
    };
    let authorization = Authorization { gate, policy };
    let permit = authorization.permit(&request.security, facts);
    let permit = permit.map_err(refused)?;
    if request.flags.check_and_close {
        note_page_of_check(gate, &request, permit.claims());
        record::checked(gate, &permit);
        return Ok(Admission::Close(Farewell {
            frame: close_frame(CHECK_PASSED, names::receipt()),
            retried: false,
        }));
    }
    let id = names::session();
    let newcomer = newcomer(id, &request);
    let taken = gate.hls.open_other(&newcomer, &permit).await;
    record::ended_for_room(gate);
    let guard = authorization.enter(&permit, taken, drop);
    let guard = guard.map_err(refused)?;
    let page = open_page(gate, &request, permit.claims());
    let path = gate.websocket.path(head.uri.path());
    let (query, host) = (query.rebuild(&request.url), gate.websocket.host());
    let head = RequestHead::websocket(
        &permit,
        &HeadParts {
            path,
            query: &query,
            headers: &head.headers,
            host,
            session: id,
            scheme: policy
                .edge
                .neighbours
                .scheme(peer, &head.headers, connection.scheme),
        },
    );
    record::started(gate, id, Transport::WebSocket, &permit);
    let PlaybackRequest {
        security, flags, ..
    } = request;
    Ok(Admission::Play(Box::new(Playback {
        permit,
        guard,
        head,
        security,
        flags,
        page,
    })))
}

fn newcomer(id: SessionId, request: &PlaybackRequest) -> Newcomer {
    Newcomer {
        id,
        player: request.player.clone(),
        transport: Transport::WebSocket,
        delivery: match request.flags.meta_stream_only {
            true => Delivery::Metadata,
            false => Delivery::Media,
        },
    }
}

/// Notes on which page a player has made its check, where its token asks for one: its HLS may tell none.
fn note_page_of_check(gate: &Gate, request: &PlaybackRequest, claims: &Claims) {
    if !claims.grant.referers.is_empty()
        && let Referer::Host(page) = &request.referer
        && let Some(player) = Player::new(&request.player, request.address)
    {
        gate.pages.checked(player.with(claims), page);
    }
}

/// The page of a player that has its media by HLS, for as long as its WebSocket is open.
fn open_page(gate: &Gate, request: &PlaybackRequest, claims: &Claims) -> Option<Box<OpenPage>> {
    let Referer::Host(page) = &request.referer else {
        return None;
    };
    if !request.flags.meta_stream_only {
        return None;
    }
    let player = Player::new(&request.player, request.address)?;
    let mut page = gate.pages.open(player, page)?;
    page.use_token(claims);
    Some(Box::new(page))
}
