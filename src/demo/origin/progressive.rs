//! A fragmented MP4 file without an end, in real time.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::unfold;
use http_body_util::StreamBody;
use hyper::body::{Body, Frame};

use super::Origin;
use crate::demo::catalogue::LiveStream;
use crate::demo::timeline::Cursor;

/// The file from the newest keyframe on. hyper asks for the next fragment when the socket has taken the last: a slow
/// client goes on at the live edge, and what it missed was never made.
pub(super) fn body(
    origin: &Arc<Origin>,
    stream: Arc<LiveStream>,
) -> impl Body<Data = Bytes, Error = Infallible> + Send + 'static {
    let cursor = Cursor::live(origin.timeline, stream.clip.group(), 0);
    let init = Some(stream.clip.init());
    let stop = origin.stop.clone();
    StreamBody::new(unfold(
        (init, cursor, stream, stop),
        |(init, mut cursor, stream, stop)| async move {
            let bytes = match init {
                Some(init) => init,
                None => tokio::select! {
                    () = stop.cancelled() => return None,
                    index = cursor.next() => stream.clip.fragment(index),
                },
            };
            Some((Ok(Frame::data(bytes)), (None, cursor, stream, stop)))
        },
    ))
}
