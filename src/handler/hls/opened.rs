//! Answers of media servers whose first bytes have been looked at: a playlist is what begins with `#EXTM3U`, and names and types
//! decide nothing.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::uri::PathAndQuery;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, SizeHint};

use crate::upstream::UpstreamError;
use crate::upstream::body::{BodyError, FetchBody};
use crate::upstream::failure::{Evidence, UpstreamFailure};
use crate::upstream::fetch::Fetched;

use super::packed::Coding;

const MARK: &[u8] = b"\xef\xbb\xbf";
const START: &[u8] = b"#EXTM3U";

/// How many packed bytes are looked at for the first unpacked ones.
const PACKED_LIMIT: usize = 4096;

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// It begins as a playlist does, packed so.
    Playlist(Coding),
    /// It does not.
    Other,
    /// It is so short that it may be the beginning of a playlist.
    Short,
}

/// An answer with a body, of which it is known what it is.
#[derive(Debug)]
pub struct Opened {
    /// As it came.
    pub status: StatusCode,
    /// As they came.
    pub headers: HeaderMap,
    /// What was asked for in the end.
    pub target: PathAndQuery,
    /// Where it came from.
    pub server: Arc<str>,
    /// All of it.
    pub body: LookedAt,
    /// What it is.
    pub sort: Sort,
}

/// A body of which something was read already.
#[derive(Debug)]
pub struct LookedAt {
    first: Bytes,
    rest: FetchBody,
}

impl Opened {
    /// For the log.
    #[must_use]
    pub fn evidence(&self) -> Evidence {
        Evidence::answered(&self.server, &self.target, self.status, &self.headers)
    }

    /// Reads as much of the body as is needed.
    pub async fn look(fetched: Fetched) -> Result<Self, UpstreamFailure> {
        let Fetched {
            server,
            status,
            headers,
            mut body,
            target,
        } = fetched;
        let failed = |error| {
            let evidence = || Evidence::answered(&server, &target, status, &headers);
            UpstreamFailure::from(error).about(evidence)
        };
        let coding = Coding::of(&headers);
        let coding = coding
            .map_err(|_| failed(UpstreamError::WrongAnswer("a body in an unknown coding")))?;
        let mut first = Bytes::new();
        let sort = loop {
            if let Some(sort) = sort(&first, coding) {
                break sort;
            }
            if first.len() > PACKED_LIMIT {
                return Err(failed(UpstreamError::WrongAnswer(
                    "a packed body that begins with nothing",
                )));
            }
            let Some(frame) = body.frame().await else {
                break Sort::Short;
            };
            let frame = frame.map_err(|_| failed(UpstreamError::Lost))?;
            if let Ok(data) = frame.into_data() {
                first = joined(&first, data);
            }
        };
        let body = LookedAt { first, rest: body };
        Ok(Self {
            status,
            headers,
            target,
            server,
            body,
            sort,
        })
    }
}

impl LookedAt {
    /// For a body that is not wanted: the connection is kept if all of it is here already.
    pub fn discard(self) {
        self.rest.discard();
    }
}

fn joined(first: &[u8], more: Bytes) -> Bytes {
    if first.is_empty() {
        return more;
    }
    let mut all = BytesMut::with_capacity(first.len() + more.len());
    all.extend_from_slice(first);
    all.extend_from_slice(&more);
    all.freeze()
}

/// What begins so; `None` when more is needed to tell.
fn sort(first: &[u8], coding: Coding) -> Option<Sort> {
    // A server that says so of what it has not packed is not believed either.
    match (begins_as_playlist(first), coding) {
        (Some(true), _) => return Some(Sort::Playlist(Coding::Identity)),
        (Some(false), Coding::Identity) => return Some(Sort::Other),
        (None, _) => return None,
        (Some(false), _) => {}
    }
    // With a mark before it, it takes more.
    let mut unpacked = [0; MARK.len() + START.len()];
    for length in [START.len(), unpacked.len()] {
        // What is shorter, or called packed and is not, is no playlist.
        let Ok(start) = coding.first_bytes(first, unpacked.get_mut(..length)?) else {
            return Some(Sort::Other);
        };
        match begins_as_playlist(start?) {
            Some(true) => return Some(Sort::Playlist(coding)),
            Some(false) => return Some(Sort::Other),
            None => {}
        }
    }
    None
}

fn begins_as_playlist(first: &[u8]) -> Option<bool> {
    if first.len() < MARK.len() && MARK.starts_with(first) {
        return None;
    }
    let text = first.strip_prefix(MARK).unwrap_or(first);
    match text.get(..START.len()) {
        Some(start) => Some(start == START),
        None if START.starts_with(text) => None,
        None => Some(false),
    }
}

impl Body for LookedAt {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.rest).poll_frame(cx);
        }
        let first = std::mem::take(&mut self.first);
        Poll::Ready(Some(Ok(Frame::data(first))))
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_empty() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.size_hint();
        let first = self.first.len() as u64;
        let mut all = SizeHint::new();
        all.set_lower(rest.lower() + first);
        if let Some(upper) = rest.upper() {
            all.set_upper(upper + first);
        }
        all
    }
}
