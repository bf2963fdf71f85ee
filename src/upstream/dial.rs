//! One try for a WebSocket: connect, ask, and check the answer.

use std::io::ErrorKind;
use std::time::Duration;

use base64::Engine as _;
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::listener::set_stream_options;
use crate::random;

use super::head::RequestHead;
use super::server::Server;
use super::{Patience, UpstreamConn, UpstreamError};

/// The longest answer's head; the viewer's own limit is the same.
pub(super) const HEAD_LIMIT: usize = 16 * 1024;
/// The most header fields of an answer.
pub(super) const FIELD_LIMIT: usize = 64;

pub(super) async fn dial(
    server: &Server,
    head: &RequestHead,
    patience: &Patience,
) -> Result<UpstreamConn, UpstreamError> {
    let _slot = server.dial_slot().await.ok_or(UpstreamError::Unreachable)?;
    let mut socket = connect(server, patience).await?;
    timeout(patience.head, handshake(&mut socket, head))
        .await
        .map_err(|_| UpstreamError::TooLate)?
        .map(|early| UpstreamConn { socket, early })
}

/// A fresh socket, ready for use.
pub(super) async fn connect(
    server: &Server,
    patience: &Patience,
) -> Result<TcpStream, UpstreamError> {
    let socket = reach(server, patience.connect).await?;
    set_stream_options(&SockRef::from(&socket), patience.user_timeout)
        .map_err(|_| UpstreamError::Unreachable)?;
    Ok(socket)
}

/// Each address has its share of the time, so that an address that never answers leaves time for the next.
async fn reach(server: &Server, patience: Duration) -> Result<TcpStream, UpstreamError> {
    let addresses = server.addresses();
    let mut last = UpstreamError::UnknownName;
    let count = u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    for address in addresses {
        match timeout(patience / count, TcpStream::connect(address)).await {
            Ok(Ok(socket)) => return Ok(socket),
            Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => {
                last = UpstreamError::Refused;
            }
            Ok(Err(_)) => last = UpstreamError::Unreachable,
            Err(_) => last = UpstreamError::TooLate,
        }
    }
    Err(last)
}

/// Sends the request and reads exactly one answer; what follows its head is returned.
async fn handshake(socket: &mut TcpStream, head: &RequestHead) -> Result<Vec<u8>, UpstreamError> {
    let nonce: [u8; 16] = random::bytes().ok_or(UpstreamError::Unreachable)?;
    let key = base64::engine::general_purpose::STANDARD.encode(nonce);
    socket
        .write_all(&head.with_key(&key))
        .await
        .map_err(|_| UpstreamError::Lost)?;

    let mut answer = Vec::with_capacity(1024);
    loop {
        match socket.read_buf(&mut answer).await {
            Ok(0) | Err(_) => return Err(UpstreamError::Lost),
            Ok(_) => {}
        }
        if let Some(length) = check(&answer, &key)? {
            return Ok(answer.split_off(length));
        }
        if answer.len() >= HEAD_LIMIT {
            return Err(UpstreamError::WrongAnswer("its head is too long"));
        }
    }
}

/// The length of a complete and right answer's head, `None` while it is incomplete (RFC 6455 section 4.1).
fn check(answer: &[u8], key: &str) -> Result<Option<usize>, UpstreamError> {
    let mut fields = [httparse::EMPTY_HEADER; FIELD_LIMIT];
    let mut response = httparse::Response::new(&mut fields);
    let length = match response.parse(answer) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(UpstreamError::WrongAnswer("not HTTP")),
    };
    match response.code {
        Some(101) => {}
        // Too late, too early, too often: a later try may work. Its `Retry-After` could reach no player.
        Some(code @ (408 | 425 | 429 | 500..=599)) => return Err(UpstreamError::ServerFault(code)),
        // A proxy in front of the media server, or the gate's own configuration, is wrong; the stream may well exist.
        Some(code @ (407 | 421 | 426)) => return Err(UpstreamError::WrongStatus(code)),
        Some(code @ 400..=499) => return Err(UpstreamError::NoStream(code)),
        Some(code) => return Err(UpstreamError::WrongStatus(code)),
        None => return Err(UpstreamError::WrongAnswer("no status")),
    }
    let values = |name: &'static str| {
        let same = response
            .headers
            .iter()
            .filter(move |field| field.name.eq_ignore_ascii_case(name));
        same.filter_map(|field| std::str::from_utf8(field.value).ok())
    };
    let has = |name, token: &str| {
        values(name)
            .flat_map(|line| line.split(','))
            .any(|one| one.trim().eq_ignore_ascii_case(token))
    };
    if !has("upgrade", "websocket") || !has("connection", "upgrade") {
        return Err(UpstreamError::WrongAnswer("no upgrade to websocket"));
    }
    if !values("sec-websocket-accept").eq([derive_accept_key(key.as_bytes()).as_str()]) {
        return Err(UpstreamError::WrongAnswer("wrong Sec-WebSocket-Accept"));
    }
    // The gate offers neither, and cannot follow frames that an extension has changed.
    if values("sec-websocket-extensions").next().is_some()
        || values("sec-websocket-protocol").next().is_some()
    {
        return Err(UpstreamError::WrongAnswer(
            "an extension or a subprotocol that was not offered",
        ));
    }
    Ok(Some(length))
}
