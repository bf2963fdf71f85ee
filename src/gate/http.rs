//! Playback over HTTP: what media servers are asked, and what viewers share of their answers.

use std::sync::Arc;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::cache::CacheStats;
use crate::config::{HlsConfig, PathTemplate};
use crate::decision::permit::Permit;
use crate::request::client_address::ClientAddress;
use crate::session::id::SessionId;
use crate::token::StreamName;
use crate::upstream::Upstream;
use crate::upstream::failure::UpstreamFailure;
use crate::upstream::fetch::Fetched;
use crate::upstream::head::FetchRequest;
use crate::upstream::server::Server;

use super::budget::{ByteBudget, Reservation};
use super::reloads::Reloads;
use super::sharing::{self, Cache};
use super::unsent::{Unsent, UnsentReservation};

/// The HTTP side of a gate.
#[derive(Debug)]
pub struct HttpSide {
    upstream: Upstream,
    path: PathTemplate,
    playlist: PathTemplate,
    settings: HlsConfig,
    /// `None` when each viewer fetches for itself.
    cache: Option<Arc<Cache>>,
    /// Memory for playlists that are read and rewritten.
    playlists: Arc<ByteBudget>,
    /// Memory for those of one viewer until they are sent.
    unsent: Arc<Unsent>,
    /// Turns for long playlists to be rewritten in.
    rewriting: Semaphore,
    reloads: Reloads,
    /// The fetches for all, which outlive the requests that began them.
    fetches: TaskTracker,
}

impl HttpSide {
    /// In front of `upstream`, whose paths are `path` and, for the playlist that a playback begins with, `playlist`. As many long
    /// playlists are rewritten at once as there are `workers`.
    pub(super) fn new(
        upstream: Upstream,
        (path, playlist): (PathTemplate, PathTemplate),
        settings: HlsConfig,
        workers: usize,
    ) -> Self {
        Self {
            upstream,
            path,
            playlist,
            cache: settings
                .cache
                .then(|| Cache::new(sharing::settings(&settings))),
            playlists: ByteBudget::new(settings.playlist_memory / 2),
            unsent: Unsent::new(settings.playlist_memory / 2),
            rewriting: Semaphore::new(workers),
            reloads: Reloads::default(),
            fetches: TaskTracker::new(),
            settings,
        }
    }

    /// How it is configured.
    #[must_use]
    pub fn settings(&self) -> &HlsConfig {
        &self.settings
    }

    /// What stands on the media servers in the place of `/h5live/authhttp/`.
    #[must_use]
    pub fn path(&self, stream: &StreamName) -> String {
        self.path.for_stream(stream)
    }

    /// The path there of the playlist that a playback begins with.
    #[must_use]
    pub fn playlist_path(&self, stream: &StreamName) -> String {
        self.playlist.for_stream(stream)
    }

    /// The media servers, for the name look-ups and the metrics.
    #[must_use]
    pub fn servers(&self) -> &[Server] {
        self.upstream.servers()
    }

    /// Whether a URL with this scheme and authority leads to the media servers.
    #[must_use]
    pub fn is_ours(&self, scheme: &str, authority: &str) -> bool {
        self.upstream.is_ours(scheme, authority)
    }

    /// The answer of a media server, as [`Upstream::fetch`] has it.
    pub fn fetch(
        &self,
        permit: &Permit,
        request: FetchRequest,
    ) -> impl Future<Output = Result<Fetched, UpstreamFailure>> {
        self.upstream.fetch(permit, request)
    }

    /// What viewers share; `None` when each fetches for itself.
    #[must_use]
    pub fn cache(&self) -> Option<&Arc<Cache>> {
        self.cache.as_ref()
    }

    /// What the cache counts.
    #[must_use]
    pub fn cache_stats(&self) -> Option<CacheStats> {
        self.cache.as_ref().map(|cache| cache.stats())
    }

    /// Forgets what of the cache is too old. To be called about once a second.
    pub fn sweep(&self, now: Instant) {
        if let Some(cache) = &self.cache {
            cache.sweep(now);
        }
    }

    /// What is known of the playlists that viewers reload.
    #[must_use]
    pub fn reloads(&self) -> &Reloads {
        &self.reloads
    }

    /// Memory for a playlist that is read and rewritten; `None` when there is not as much left.
    #[must_use]
    pub fn reserve_playlist(&self, bytes: usize) -> Option<Reservation> {
        self.playlists.reserve(bytes)
    }

    /// Memory for what waits to be sent to one viewer alone; `None` when there is not as much left for it.
    #[must_use]
    pub fn reserve_unsent(
        &self,
        viewer: (SessionId, ClientAddress),
        bytes: usize,
    ) -> Option<UnsentReservation> {
        self.unsent.reserve(viewer, bytes)
    }

    /// How many bytes of memory are held for playlists.
    #[must_use]
    pub fn memory_used(&self) -> usize {
        self.playlists.used() + self.unsent.used()
    }

    /// Waits for a turn to rewrite a long playlist, which is over when it is dropped. Cancel safe.
    pub async fn rewriting_turn(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.rewriting.acquire().await.ok()
    }

    /// Runs a fetch for all viewers that wait, whichever of them leave.
    pub fn spawn_fetch(&self, fetch: impl Future<Output = ()> + Send + 'static) {
        self.fetches.spawn(fetch);
    }

    /// Waits until no fetch for all is under way. To be called when no more of them begin; cancel safe.
    pub async fn fetches_ended(&self) {
        self.fetches.close();
        self.fetches.wait().await;
    }
}
