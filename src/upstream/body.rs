//! The body of a media server's answer, piece by piece.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::connection::HttpConnection;
use super::pool;
use super::server::ServerId;

/// The body of an answer: its pieces as they are read, at most one more than the reading task has polled. When the body has
/// ended, the connection is kept for the next request; dropping the body before that closes the connection. It belongs to the
/// thread that sent the request.
#[derive(Debug)]
pub struct FetchBody {
    /// `None` when it is over.
    rest: Option<Rest>,
}

/// Why a body ends before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Nothing came for the idle time.
    #[error("the media server stopped sending")]
    Idle,
    /// The connection ended before the body did, or its chunks are malformed.
    #[error("the media server broke off")]
    Cut,
}

#[derive(Debug)]
struct Rest {
    incoming: Incoming,
    connection: Box<HttpConnection>,
    server: ServerId,
    idle: IdleTimer,
    /// Whether the connection may serve another request behind this answer.
    kept: bool,
}

/// Measures how long a server has sent nothing. Its one timer is moved when it fires, not with each piece.
#[derive(Debug)]
struct IdleTimer {
    limit: Duration,
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl FetchBody {
    pub(super) fn new(
        server: ServerId,
        connection: Box<HttpConnection>,
        incoming: Incoming,
        idle_limit: Duration,
        kept: bool,
    ) -> Self {
        let idle = IdleTimer {
            limit: idle_limit,
            since: None,
            timer: None,
        };
        let rest = Rest {
            incoming,
            connection,
            server,
            idle,
            kept,
        };
        let mut body = Self { rest: Some(rest) };
        body.end_if_over();
        body
    }

    /// For an answer with a body that is not needed: the connection is kept if the whole body has arrived already.
    pub fn discard(mut self) {
        if let Some(rest) = self.rest.take() {
            rest.end();
        }
    }

    /// A task that passes on a body of known length may not poll again behind its last byte, so that the end is looked for
    /// with each piece.
    fn end_if_over(&mut self) {
        if let Some(rest) = self.rest.take_if(|rest| rest.incoming.is_end_stream()) {
            rest.end();
        }
    }
}

impl Body for FetchBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(rest) = &mut self.rest else {
            return Poll::Ready(None);
        };
        match ready!(rest.poll_data(cx)) {
            Some(Ok(data)) => {
                self.end_if_over();
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Some(Err(error)) => {
                self.rest = None;
                Poll::Ready(Some(Err(error)))
            }
            None => {
                if let Some(rest) = self.rest.take() {
                    rest.end();
                }
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.as_ref();
        rest.map_or_else(|| SizeHint::with_exact(0), |rest| rest.incoming.size_hint())
    }
}

impl Rest {
    /// Keeps the connection for the next request where that may be.
    fn end(self) {
        // Without its receiver hyper reads over what has arrived.
        drop(self.incoming);
        if self.kept {
            pool::put(self.server, self.connection);
        }
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            let mut polled = Pin::new(&mut self.incoming).poll_frame(cx);
            if polled.is_pending() {
                self.connection.drive(cx);
                polled = Pin::new(&mut self.incoming).poll_frame(cx);
            }
            match polled {
                Poll::Ready(Some(Ok(frame))) => {
                    self.idle.since = None;
                    // A frame without data holds trailers, which mean nothing to a player.
                    if let Ok(data) = frame.into_data() {
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Some(Err(BodyError::Cut))),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {
                    ready!(self.idle.poll_over(cx));
                    return Poll::Ready(Some(Err(BodyError::Idle)));
                }
            }
        }
    }
}

impl IdleTimer {
    /// Ready when the server has sent nothing for the limit while the gate was reading.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let due = *self.since.get_or_insert_with(Instant::now) + self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= due {
                return Poll::Ready(());
            }
            timer.as_mut().reset(due);
        }
    }
}
