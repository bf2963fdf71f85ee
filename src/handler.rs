//! The way of a request, forwards: a connection is accepted, its head read, the token verified, the playback decided, a
//! session opened, a media server chosen, the bytes relayed, and whatever goes wrong told by the refusal map.

pub mod answer_socket;
pub mod body;
pub mod cut;
pub mod first_playlist;
pub mod hls;
pub mod http_connection;
pub mod record;
pub mod websocket;

use std::sync::Arc;

use http::request::Parts;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::config::ListenerConfig;
use crate::decision::denial::{Denial, Reason};
use crate::decision::permit::Permit;
use crate::decision::{Facts, decide};
use crate::gate::{Gate, Policy};
use crate::hls::pages::{OpenPage, Player};
use crate::listener::{Incoming, Peer};
use crate::random;
use crate::refusal::{CHECK_PASSED, Refusal, close_frame};
use crate::relay::closing::finish;
use crate::relay::{Farewell, RETRY_HOLD, Relay, Silence, Start};
use crate::request::client_address::ClientAddress;
use crate::request::referer::Referer;
use crate::request::{Flags, Malformed, PlaybackRequest};
use crate::session::guard::SessionGuard;
use crate::session::id::{Receipt, SessionId};
use crate::session::seats::Content;
use crate::session::{Newcomer, Transport};
use crate::token::{Presented, Security};
use crate::upstream::head::{HeadParts, RequestHead};
use websocket::dialling::{NoServer, dial};
use websocket::switch::InBand;

/// One connection, from the socket to its end.
pub fn connection(
    gate: Arc<Gate>,
    listener: ListenerConfig,
    incoming: Incoming,
    stop: CancellationToken,
) -> impl Future<Output = ()> {
    // Boxed, so that a playback does not carry the room that its beginning needed.
    let beginning = Box::pin(converse(Arc::clone(&gate), listener, incoming, stop));
    async move {
        let Some(opened) = beginning.await else {
            return;
        };
        let http_connection::Opened {
            mut socket,
            early,
            verdict,
            permit: _place,
        } = opened;
        match verdict {
            Verdict::Play(playback) => play(&gate, &mut socket, early, playback).await,
            Verdict::Close(farewell) => {
                Box::pin(leave(&gate, &mut socket, farewell, Instant::now())).await;
            }
        }
    }
}

/// Step 1, and HTTP until a request is a WebSocket.
async fn converse(
    gate: Arc<Gate>,
    listener: ListenerConfig,
    incoming: Incoming,
    stop: CancellationToken,
) -> Option<http_connection::Opened> {
    let from = incoming.from();
    let policy = gate.policy();
    let is_listed = |address| policy.edge.neighbours.lists(address);
    let prepared = incoming
        .prepare(is_listed, listener.proxy_protocol, gate.timeouts.head)
        .await;
    // A connection must not keep a policy, and the keys in it, that a reload has replaced.
    drop(policy);
    match prepared {
        Ok(accepted) => http_connection::hold(&gate, &listener, accepted, stop).await,
        Err(error) => {
            tracing::debug!(%from, %error, "connection refused");
            None
        }
    }
}

/// Says the last word on a socket that has stood open since `opened`.
async fn leave(gate: &Gate, socket: &mut TcpStream, farewell: Farewell, opened: Instant) {
    if farewell.retried {
        sleep_until(opened + RETRY_HOLD).await;
    }
    finish(socket, &farewell.frame, gate.timeouts.linger).await;
}

/// What a WebSocket handshake comes to.
#[derive(Debug)]
pub enum Verdict {
    /// A playback may start.
    Play(Box<Playback>),
    /// Nothing but a close frame follows the 101.
    Close(Farewell),
}

/// A playback that may start.
#[derive(Debug)]
pub struct Playback {
    permit: Permit,
    guard: SessionGuard,
    head: RequestHead,
    security: Security,
    flags: Flags,
    /// Where its player's HLS has its page from.
    page: Option<Box<OpenPage>>,
}

impl Playback {
    /// What stays when the media server has answered; the rest is given back to the allocator.
    #[expect(clippy::boxed_local, reason = "the box is given back, too")]
    fn begun(self: Box<Self>) -> (SessionGuard, Security, Flags, Option<Box<OpenPage>>) {
        (self.guard, self.security, self.flags, self.page)
    }
}

/// Steps 2 to 5: whether this playback may start.
pub fn judge(gate: &Gate, head: &Parts, peer: Peer) -> Result<Verdict, Refused> {
    let policy = gate.policy();
    let address = policy.edge.neighbours.client(peer, &head.headers);
    let unread = |error: Malformed| Refused {
        denial: error.into(),
        address,
        request: None,
    };
    let read = PlaybackRequest::read_websocket(head, peer, &policy.edge);
    let (request, query) = read.map_err(unread)?;
    let facts = Facts {
        stream: request.stream.clone(),
        url: request.url.clone(),
        address: request.address,
        referer: request.referer.clone(),
        inherited: false,
    };
    let refused = |denial| Refused {
        denial,
        address,
        request: Some(Box::new(request.clone())),
    };
    let permit = permit(gate, &policy, &request.security, facts).map_err(refused)?;
    let player = || Player::new(&request.player, address);
    if request.flags.check_and_close {
        if !permit.claims().grant.referers.is_empty()
            && let (Referer::Host(page), Some(player)) = (&request.referer, player())
        {
            let viewer = player.with(&request.security.token);
            gate.pages.checked(viewer, page);
        }
        record::checked(gate, &permit);
        let frame = close_frame(CHECK_PASSED, Receipt::new(random()));
        return Ok(Verdict::Close(Farewell {
            frame,
            retried: false,
        }));
    }
    let id = SessionId::new(random_wide());
    let newcomer = Newcomer {
        id,
        player: request.player.clone(),
        transport: Transport::WebSocket,
        content: if request.flags.meta_stream_only {
            Content::Metadata
        } else {
            Content::Media
        },
        now: clock::now(),
    };
    let guard = gate.hls.open_other(&newcomer, &permit);
    record::ended_meanwhile(gate);
    let guard = guard.map_err(refused)?;
    still_valid(gate, &permit).map_err(refused)?;
    let page = match &request.referer {
        Referer::Host(page) if request.flags.meta_stream_only => {
            player().and_then(|player| gate.pages.open(player, page))
        }
        Referer::Host(_) | Referer::Absent | Referer::Unusable => None,
    };
    let page = page.map(|mut page| {
        page.is_of(&request.security.token);
        Box::new(page)
    });
    let path = gate
        .websocket_path
        .as_deref()
        .unwrap_or_else(|| head.uri.path().trim_end_matches('/'));
    let (query, host) = (query.rebuild(&request.url), gate.upstream_host.as_deref());
    let head = RequestHead::websocket(
        &permit,
        &HeadParts {
            path,
            query: &query,
            headers: &head.headers,
            host,
            session: id,
        },
    );
    record::started(gate, id, Transport::WebSocket, &permit);
    let PlaybackRequest {
        security, flags, ..
    } = request;
    Ok(Verdict::Play(Box::new(Playback {
        permit,
        guard,
        head,
        security,
        flags,
        page,
    })))
}

/// Steps 3 and 4, for a connect and for a switch inside the socket.
fn permit(
    gate: &Gate,
    policy: &Policy,
    security: &Security,
    facts: Facts,
) -> Result<Permit, Denial> {
    let claims = policy.keyring.verify(Presented::from(security))?;
    decide(
        claims,
        facts,
        &policy.rules,
        &gate.revocations(),
        clock::now(),
    )
}

/// A revocation that came between the decision and the session's place in the list has not seen the session; it is seen
/// here instead.
fn still_valid(gate: &Gate, permit: &Permit) -> Result<(), Denial> {
    match gate
        .revocations()
        .find(permit.claims(), permit.stream(), clock::now())
    {
        Some(revocation) => Err(Reason::Revoked(revocation.id).into()),
        None => Ok(()),
    }
}

/// Steps 6 and 7: the media server, and then the wire.
async fn play(
    gate: &Arc<Gate>,
    socket: &mut TcpStream,
    viewer_early: Vec<u8>,
    playback: Box<Playback>,
) {
    let opened = Instant::now();
    let receipt = Receipt::new(random());
    let server = match Box::pin(dial(gate, socket, &playback)).await {
        Ok(server) => server,
        Err(why) => {
            let refusal = Refusal::from(&why);
            record::no_server(gate, &playback, &why, &refusal, receipt);
            // The session's place is free before the viewer is told, so that its retry finds it.
            drop(playback);
            let mut farewell = refusal.farewell(receipt);
            if matches!(why, NoServer::Upstream(_)) {
                farewell.retried &= gate.upstream.outage().is_hidden();
            }
            return Box::pin(leave(gate, socket, farewell, opened)).await;
        }
    };
    gate.metrics
        .upstream_connect
        .observe(opened.elapsed().as_secs_f64());
    let (guard, security, flags, page) = playback.begun();
    let silence = match flags {
        Flags {
            meta_stream_only: true,
            ..
        } => Silence::Always,
        Flags { paused: true, .. } => Silence::Paused,
        Flags { .. } => Silence::Never,
    };
    let start = Start {
        viewer_early,
        server_early: server.early,
        opened,
        silence,
    };
    let authority = InBand::new(gate, &guard, security, page, receipt);
    let relay = Relay::new(socket, server.socket, &guard, authority, &gate.relay, start);
    let end = Box::pin(relay.run()).await;
    record::ended(gate, &guard, &end, receipt);
    if end.to_viewer == 0 && end.cause.is_servers() {
        gate.upstream.outage().goes_on();
    }
    drop(guard);
    if end.closed {
        Box::pin(finish(socket, &[], gate.timeouts.linger)).await;
    }
}

/// A refusal and what it was about, for the record.
#[derive(Debug)]
pub struct Refused {
    /// Every rule that failed.
    pub denial: Denial,
    /// Where the viewer is.
    pub address: ClientAddress,
    /// The request, unless it could not be read.
    pub request: Option<Box<PlaybackRequest>>,
}

impl Refused {
    /// A refusal of what could not be read.
    #[must_use]
    pub fn unnamed(reason: impl Into<Reason>, address: ClientAddress) -> Self {
        Self {
            denial: reason.into().into(),
            address,
            request: None,
        }
    }

    /// Players look for a security service by a check without a token (protocol.md 4): no attack.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        let request = self.request.as_deref();
        request.is_some_and(|r| r.flags.check_and_close && r.security.token.is_empty())
    }
}

/// Random bits for a receipt.
fn random() -> u64 {
    u64::from_ne_bytes(random::bytes().unwrap_or_default())
}

/// Random bits for a session's name. Without the system's randomness names would collide; a process that cannot have
/// any cannot mint masks or handshake keys either, and serves nobody.
fn random_wide() -> u128 {
    u128::from_ne_bytes(random::bytes().unwrap_or_default())
}
