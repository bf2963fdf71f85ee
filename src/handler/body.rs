//! The body of an answer to a viewer.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};

use crate::cache::pieces::Pieces;
use crate::cache::reader::SharedBody;
use crate::hls::session::answering::Answering;

use super::cut::Cut;
use super::first_playlist::FirstPlaylist;
use super::hls::opened::LookedAt;

/// What an answer carries.
#[derive(Debug)]
pub enum AnswerBody {
    /// All of it is there.
    Whole(Full<Bytes>),
    /// As it comes from the media server, for one viewer.
    Fetched(Running<LookedAt>),
    /// As it comes from the media server, for all viewers that ask for it.
    Shared(Running<SharedBody>),
    /// All of it is there, and charged for until it is sent.
    Own(Option<Pieces>),
    /// A playlist that a playback begins with.
    First(Box<FirstPlaylist<AnswerBody>>),
}

/// A body that belongs to an HLS playback: it is counted, keeps the playback from being quiet, and ends with it.
#[derive(Debug)]
pub struct Running<B> {
    body: B,
    answering: Answering,
}

impl<B> Running<B> {
    /// A body of this playback.
    #[must_use]
    pub fn new(body: B, answering: Answering) -> Self {
        Self { body, answering }
    }
}

impl<B> Running<B>
where
    B: Body<Data: Into<Pieces>> + Unpin,
    Cut: From<B::Error>,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Pieces>, Cut>>> {
        if self.answering.is_over() {
            return Poll::Ready(Some(Err(Cut::Over)));
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let frame = frame.map(|frame| Ok(frame?.map_data(Into::into)));
        if let Some(Ok(frame)) = &frame {
            let length = frame.data_ref().map_or(0, Pieces::remaining);
            self.answering.count(length as u64);
        }
        Poll::Ready(frame)
    }
}

impl Body for AnswerBody {
    type Data = Pieces;
    type Error = Cut;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Pieces>, Cut>>> {
        match self.get_mut() {
            Self::Whole(body) => Pin::new(body).poll_frame(cx).map(|frame| {
                Some(Ok(frame?
                    .unwrap_or_else(|never| match never {})
                    .map_data(Pieces::from)))
            }),
            Self::Fetched(body) => body.poll(cx),
            Self::Shared(body) => body.poll(cx),
            Self::Own(body) => Poll::Ready(body.take().map(|all| Ok(Frame::data(all)))),
            Self::First(body) => body.poll(cx).map(|piece| {
                let piece = piece?.map(|piece| Frame::data(piece.into()));
                Some(piece)
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Fetched(running) => running.body.is_end_stream(),
            Self::Shared(running) => running.body.is_end_stream(),
            Self::Own(body) => body.is_none(),
            Self::First(body) => body.left() == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Fetched(running) => running.body.size_hint(),
            Self::Shared(running) => running.body.size_hint(),
            Self::Own(body) => {
                let left = body.as_ref().map_or(0, Pieces::remaining);
                SizeHint::with_exact(left as u64)
            }
            Self::First(body) => SizeHint::with_exact(body.left()),
        }
    }
}

impl From<Full<Bytes>> for AnswerBody {
    fn from(body: Full<Bytes>) -> Self {
        Self::Whole(body)
    }
}
