//! One connection to a media server for one HTTP request after the other.
//!
//! hyper's connection is a future that has to be polled for bytes to move. The task that waits for the answer or its body polls
//! it, so that a connection needs no task of its own and is closed when that task drops it.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;

use super::checked_socket::CheckedSocket;
use super::dial::{HEAD_LIMIT, connect};
use super::server::Server;
use super::{Patience, UpstreamError};

/// The most that is read at once; hyper begins with 8 KiB and doubles it while reads fill it. Measured with bodies of
/// 1 MiB: half as much costs a fifth more, twice as much saves nothing, and eight times as much costs twice as much.
const READ_LIMIT: usize = 64 * 1024;

/// A connection, between two requests or under one.
#[derive(Debug)]
pub(super) struct HttpConnection {
    sender: SendRequest<Empty<Bytes>>,
    /// `None` when it has ended.
    driver: Option<Driver>,
    socket: CheckedSocket,
}

type Driver = Connection<TokioIo<CheckedSocket>, Empty<Bytes>>;

/// Why a request has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// The connection ended before the answer's head was whole.
    Closed,
    /// What came is no answer.
    Malformed,
}

impl HttpConnection {
    /// Connects, as soon as fewer than the allowed handshakes are under way with the server.
    pub(super) async fn open(
        server: &Server,
        patience: &Patience,
    ) -> Result<Box<Self>, UpstreamError> {
        let slot = server.dial_slot().await.ok_or(UpstreamError::Unreachable)?;
        let socket = CheckedSocket::new(connect(server, patience).await?);
        drop(slot);
        let (sender, driver) = Builder::new()
            .max_header_size(HEAD_LIMIT)
            .max_buf_size(READ_LIMIT)
            .handshake(TokioIo::new(socket.clone()))
            .await
            .map_err(|_| UpstreamError::Unreachable)?;
        Ok(Box::new(Self {
            sender,
            driver: Some(driver),
            socket,
        }))
    }

    /// Sends a request and waits for the answer's head. Not cancel safe: after a drop the connection must not be used again.
    pub(super) async fn ask(
        &mut self,
        request: Request<Empty<Bytes>>,
    ) -> Result<Response<Incoming>, Unanswered> {
        let Self {
            sender,
            driver,
            socket,
        } = self;
        socket.ask();
        let mut answer = pin!(sender.send_request(request));
        let answered = poll_fn(|cx| {
            drive(driver, cx);
            answer.as_mut().poll(cx)
        });
        let answered =
            answered
                .await
                .map_err(|error| match error.is_parse() || socket.has_run_over() {
                    true => Unanswered::Malformed,
                    false => Unanswered::Closed,
                })?;
        socket.answered();
        Ok(answered)
    }

    /// Lets the connection read and write what it can.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) {
        drive(&mut self.driver, cx);
    }

    /// The answer is over: what comes from now on was not asked for.
    pub(super) fn rest(&self) {
        self.socket.rest();
    }

    /// Whether nothing has come that was not asked for, and the server has not closed it: as the system knows it now.
    pub(super) fn is_quiet(&self) -> bool {
        self.socket.is_quiet()
    }

    /// Whether something has come that was not asked for.
    pub(super) fn has_strayed(&self) -> bool {
        self.socket.has_strayed()
    }

    /// Whether it is ready for a next request: the last answer is over, and the server has not closed it. No task is woken by
    /// it until the next request.
    pub(super) fn is_ready(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop()));
        self.driver.is_some() && self.sender.is_ready()
    }
}

/// An ended connection is dropped at once, by which hyper tells the waiting request or body.
fn drive(driver: &mut Option<Driver>, cx: &mut Context<'_>) {
    if let Some(alive) = driver
        && let Poll::Ready(_) = Pin::new(alive).poll(cx)
    {
        *driver = None;
    }
}
