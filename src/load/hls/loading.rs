//! How a viewer loads playlists and segments.

use bytes::Bytes;
use http::header::LOCATION;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use tokio::time::timeout;

use super::super::ANSWER_LIMIT;
use super::super::end::Failure;
use super::super::fetch::{Fetcher, verdict};
use super::super::machine::monotonic;
use super::super::stamp;
use super::Playback;
use super::playlist::{Playlist, read, resolve};

/// The longest playlist, and the longest refusal.
const PLAYLIST_LIMIT: usize = 1024 * 1024;

/// Redirects from the entry to a playlist. The gate sends none; a media server (`--direct`) or a front before the gate may,
/// to a place on the same host, and players follow them.
const REDIRECTS: usize = 4;

/// Why something could not be loaded.
pub(super) enum Unloaded {
    Refused(u16),
    Failure(Failure),
    /// The test has ended.
    Stopped,
}

impl From<Failure> for Unloaded {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl Playback<'_> {
    pub(super) fn resolve(&self, base: &str, reference: &str) -> Result<String, Failure> {
        let authority = &self.viewer.context.target.authority;
        resolve(base, reference, authority).ok_or(Failure::LeadsAway)
    }

    /// The first playlist and its path.
    pub(super) async fn enter(&mut self, mut path: String) -> Result<(String, Playlist), Unloaded> {
        for _ in 0..=REDIRECTS {
            let answer = self.get(&path).await?;
            if !answer.status().is_redirection() {
                let list = self.read_playlist(answer).await?;
                return Ok((path, list));
            }
            let location = answer.headers().get(LOCATION).map(HeaderValue::to_str);
            let location = location.and_then(Result::ok).ok_or(Failure::BadAnswer)?;
            path = self.resolve(&path, location)?;
            Fetcher::whole(answer.into_body(), PLAYLIST_LIMIT).await?;
        }
        Err(Failure::LeadsAway.into())
    }

    pub(super) async fn playlist(&mut self, path: &str) -> Result<Playlist, Unloaded> {
        let asked = monotonic();
        let loaded = timeout(ANSWER_LIMIT, async {
            let answer = self.get(path).await?;
            self.read_playlist(answer).await
        });
        let list = loaded.await.map_err(|_| Failure::Timeout)??;
        let mut tally = self.viewer.tally();
        tally.hls_playlist.record(monotonic().saturating_sub(asked));
        Ok(list)
    }

    /// Asks for something, unless the test has ended.
    async fn get(&mut self, path: &str) -> Result<Response<Incoming>, Unloaded> {
        if self.is_stopped() {
            return Err(Unloaded::Stopped);
        }
        let request = Request::get(path)
            .header("user-agent", "h5gate-load")
            .body(Full::new(Bytes::new()))
            .map_err(|_| Failure::BadAnswer)?;
        Ok(self.fetcher.send(request).await?)
    }

    async fn read_playlist(&self, answer: Response<Incoming>) -> Result<Playlist, Unloaded> {
        let answer = accepted(answer).await?;
        let body = Fetcher::whole(answer.into_body(), PLAYLIST_LIMIT).await?;
        self.viewer.tally().hls_bytes += body.len() as u64;
        let text = std::str::from_utf8(&body).map_err(|_| Failure::BadAnswer)?;
        Ok(read(text).ok_or(Failure::BadAnswer)?)
    }

    /// Loads a segment and keeps its first bytes, as many as a stamp has.
    pub(super) async fn segment(&mut self, path: &str) -> Result<Vec<u8>, Unloaded> {
        // A refusal has a body, too, which may not come.
        let answer = timeout(ANSWER_LIMIT, async {
            accepted(self.get(path).await?).await
        });
        let answer = answer.await.map_err(|_| Failure::Timeout)??;
        let (mut body, mut start) = (answer.into_body(), Vec::with_capacity(stamp::LENGTH));
        while let Some(frame) = timeout(ANSWER_LIMIT, body.frame())
            .await
            .map_err(|_| Failure::Timeout)?
        {
            let frame = frame.map_err(|_| Failure::CutShort)?;
            if let Some(data) = frame.data_ref() {
                self.viewer.tally().hls_bytes += data.len() as u64;
                let room = stamp::LENGTH - start.len();
                start.extend(data.iter().take(room));
            }
        }
        Ok(start)
    }
}

/// An answer of 200, or what else it says.
async fn accepted(answer: Response<Incoming>) -> Result<Response<Incoming>, Unloaded> {
    let status = answer.status();
    if status == 200 {
        return Ok(answer);
    }
    let body = Fetcher::whole(answer.into_body(), PLAYLIST_LIMIT).await?;
    Err(verdict(&body).map_or(
        Unloaded::Failure(Failure::Status(status.as_u16())),
        Unloaded::Refused,
    ))
}
