//! The way of a request, forwards: a connection is accepted and its requests are read; what is asked for is authorised and
//! given a session; a WebSocket is relayed, HLS is answered; and the end of a connection is told by the refusal map.

pub mod answer_socket;
pub mod answers;
pub mod authorization;
pub mod body;
pub mod cut;
pub mod first_playlist;
pub mod head_lines;
pub mod hls;
pub mod http_connection;
pub mod minting;
pub mod names;
pub mod record;
pub mod refused;
pub mod websocket;

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming as Body;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::ListenerConfig;
use crate::gate::Gate;
use crate::listener::Incoming;
use crate::listener::socket::Socket;
use crate::relay::closing::finish;
use crate::relay::{Relay, Start};
use crate::request::endpoint::Endpoint;
use crate::request::handshake::Handshake;
use crate::request::http_playback::HttpTarget;
use body::AnswerBody;
use hls::admitted::Asked;
use hls::content::content;
use http_connection::{HttpConnection, Upgraded, accept};
use minting::mint;
use websocket::dialling::dial;
use websocket::ending::{farewell, leave, note_end};
use websocket::switch::SwitchAuthority;
use websocket::{Admission, Answer, Playback};

/// One connection, from the socket to its end.
pub fn connection(
    gate: Arc<Gate>,
    listener: ListenerConfig,
    incoming: Incoming,
    stop: CancellationToken,
) -> impl Future<Output = ()> {
    // Boxed, so that a playback does not carry the room that its beginning needed.
    let beginning = Box::pin(http(Arc::clone(&gate), listener, incoming, stop));
    async move {
        let Some(upgraded) = beginning.await else {
            return;
        };
        let Upgraded {
            mut socket,
            early,
            admission,
            permit: _place,
        } = upgraded;
        match admission {
            Admission::Play(playback) => play(&gate, &mut socket, early, playback).await,
            Admission::Close(farewell) => {
                Box::pin(leave(&gate, &mut socket, farewell, Instant::now())).await;
            }
        }
    }
}

/// Step 1, and HTTP until a request is a WebSocket.
async fn http(
    gate: Arc<Gate>,
    listener: ListenerConfig,
    incoming: Incoming,
    stop: CancellationToken,
) -> Option<Upgraded> {
    let (connection, accepted) = accept(&gate, &listener, incoming).await?;
    let answer = |request| answer(&gate, &connection, request);
    connection.serve(&gate, accepted, stop, answer).await
}

/// Step 2: what a request is for.
async fn answer(
    gate: &Arc<Gate>,
    connection: &HttpConnection,
    request: Request<Body>,
) -> Response<AnswerBody> {
    let (head, body) = request.into_parts();
    let whole = match Endpoint::read(&head, connection.served, gate.limits.uri) {
        Ok(Endpoint::WebSocket(handshake)) => websocket(gate, connection, &head, handshake).await,
        // Boxed: a WebSocket's connection does not carry the room for it.
        Ok(Endpoint::Http(target)) => return Box::pin(hls(gate, connection, &head, target)).await,
        Ok(Endpoint::TokenApi) => mint(gate, connection, &head, body).await,
        Ok(Endpoint::Preflight) => answers::preflight(&head),
        Ok(Endpoint::Other) => answers::page(gate, &head),
        Err(rejection) => answers::rejected(gate, rejection),
    };
    whole.map(AnswerBody::from)
}

/// Steps 3 to 5 of a WebSocket; then 101, also for a refusal, since a page can read nothing but a close code (protocol.md 3).
async fn websocket(
    gate: &Gate,
    connection: &HttpConnection,
    head: &Parts,
    handshake: Handshake,
) -> Response<Full<Bytes>> {
    match websocket::admission::admit(gate, connection, head).await {
        Answer::Switch { admission, receipt } => {
            connection.upgrade(admission);
            answers::switching_protocols(handshake, receipt)
        }
        Answer::Status { refusal, receipt } => answers::refused(&refusal, receipt),
    }
}

/// Steps 3 to 7 of HLS and of the progressive file.
async fn hls(
    gate: &Arc<Gate>,
    connection: &HttpConnection,
    head: &Parts,
    target: HttpTarget<'_>,
) -> Response<AnswerBody> {
    let response = match hls::admission::admit(gate, connection, head, target).await {
        Ok((admitted, media)) => {
            let asked = Asked {
                admitted: &admitted,
                path: media.path(),
            };
            match content(gate, connection, &admitted, head, &media).await {
                Ok(response) => answers::content(gate, response, &asked),
                Err(why) => {
                    // It has a ticket to give, so that it is a start.
                    if media.ticket.is_some() {
                        gate.hls.withdraw_unbegun(&admitted.session);
                    }
                    answers::no_content(gate, why, &asked)
                }
            }
        }
        Err(why) => answers::not_admitted(gate, &why),
    };
    answers::for_pages(gate, response)
}

/// Steps 6 and 7 of a WebSocket: the media server, and then the wire.
async fn play(
    gate: &Arc<Gate>,
    socket: &mut Socket,
    viewer_early: Vec<u8>,
    playback: Box<Playback>,
) {
    let opened = Instant::now();
    let receipt = names::receipt();
    let server = match Box::pin(dial(gate, socket, &playback)).await {
        Ok(server) => server,
        Err(why) => {
            let farewell = farewell(gate, playback, &why, receipt);
            return Box::pin(leave(gate, socket, farewell, opened)).await;
        }
    };
    gate.metrics
        .upstream_connect
        .observe(opened.elapsed().as_secs_f64());
    let (guard, security, silence, page) = playback.into_running();
    let start = Start {
        viewer_early,
        server_early: server.early,
        opened,
        silence,
    };
    let authority = SwitchAuthority::new(gate, &guard, security, page, receipt);
    let relay = Relay::new(
        socket,
        server.socket,
        &guard,
        authority,
        gate.websocket.relay(),
        start,
    );
    let end = Box::pin(relay.run()).await;
    note_end(gate, guard, &end, receipt);
    if end.closed {
        Box::pin(finish(socket, &[], gate.timeouts.linger)).await;
    }
}
