//! What all connections share.

pub mod kept;
pub mod memory;
pub mod reloads;
pub mod refusal_lines;
pub mod sharing;
pub mod unsent;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use http_body_util::Full;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::config::{Config, HlsConfig, Limits, PathTemplate, Timeouts, WebSocketRefusal};
use crate::decision::revocation::{Revocation, RevocationId, Revocations, Target};
use crate::decision::rules::Rules;
use crate::hls::pages::Pages;
use crate::hls::playbacks::HlsSessions;
use crate::hls::seals::Seals;
use crate::listener::limit::ConnectionLimit;
use crate::logging::LostLines;
use crate::metrics::{Metrics, Readings};
use crate::pace;
use crate::relay::RelaySettings;
use crate::request::Edge;
use crate::session::guard::Kick;
use crate::session::id::SessionId;
use crate::session::shares::Room;
use crate::session::{Sessions, Transport};
use crate::token::{Keyring, Owner, UnixSeconds};
use crate::token_api::api_key::ApiKeys;
use crate::token_api::guesses::Guesses;
use crate::upstream::{Patience, Upstream};
use kept::KeptState;
use memory::Memory;
use refusal_lines::RefusalLines;
use reloads::Reloads;
use sharing::Cache;
use unsent::Unsent;

/// The running gate.
#[derive(Debug)]
pub struct Gate {
    /// What every expiry is held against.
    pub clock: Clock,
    policy: RwLock<Arc<Policy>>,
    revocations: RwLock<Arc<Revocations>>,
    next_revocation: AtomicU64,
    /// What outlives the process, where there is a `state_dir`.
    pub kept: KeptState,
    /// Who is playing.
    pub sessions: Arc<Sessions>,
    /// Who is playing over HTTP.
    pub hls: HlsSessions,
    /// On which pages players have shown themselves by a WebSocket.
    pub pages: Arc<Pages>,
    /// What viewers over HTTP share; `None` when each fetches for itself.
    pub cache: Option<Arc<Cache>>,
    /// Memory for playlists that are read and rewritten.
    pub playlists: Arc<Memory>,
    /// Memory for those of one viewer until they are sent.
    pub unsent: Arc<Unsent>,
    /// How many long playlists are rewritten at once, beside the workers.
    pub rewriting: Semaphore,
    /// What is known of the playlists that they reload.
    pub reloads: Reloads,
    /// The fetches for all, which outlive those who began them.
    pub fetches: TaskTracker,
    /// How playback over HTTP is configured.
    pub hls_config: HlsConfig,
    /// The media servers.
    pub upstream: Upstream,
    /// Their HTTP side.
    pub http_upstream: Upstream,
    /// What stands there in the place of `/h5live/authhttp/`.
    pub http_path: PathTemplate,
    /// The path there of the playlist that a playback begins with.
    pub http_playlist: PathTemplate,
    /// The path on the media servers; `None` is the viewer's own.
    pub websocket_path: Option<String>,
    /// `Host` for the media servers; `None` is the viewer's own.
    pub upstream_host: Option<String>,
    /// Viewers' connections.
    pub connections: Arc<ConnectionLimit>,
    /// What is counted.
    pub metrics: Metrics,
    /// Sizes and counts.
    pub limits: Limits,
    /// Waits.
    pub timeouts: Timeouts,
    /// How relays behave.
    pub relay: RelaySettings,
    /// Pages beside the endpoints.
    pub site: Option<Site>,
    /// Which refusals are logged.
    pub refusal_lines: RefusalLines,
    /// Which addresses guess API keys.
    pub guesses: Guesses,
    ready: AtomicBool,
    lost_lines: Option<LostLines>,
}

/// Answers requests that are for no endpoint, such as those for a page; `None` is not found.
pub struct Site(Box<SiteAnswer>);

type SiteAnswer = dyn Fn(&Parts) -> Option<Response<Full<Bytes>>> + Send + Sync;

impl Site {
    /// From what answers.
    pub fn new(
        answer: impl Fn(&Parts) -> Option<Response<Full<Bytes>>> + Send + Sync + 'static,
    ) -> Self {
        Self(Box::new(answer))
    }

    /// The answer to a request, if there is one.
    #[must_use]
    pub fn answer(&self, head: &Parts) -> Option<Response<Full<Bytes>>> {
        (self.0)(head)
    }
}

impl std::fmt::Debug for Site {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Site")
    }
}

/// What a reload replaces. A connection takes it once for each decision, so that a decision is made by one policy.
#[derive(Debug)]
pub struct Policy {
    /// Neighbours in front, and the sources that viewers may name.
    pub edge: Edge,
    /// All keys.
    pub keyring: Keyring,
    /// What tickets and links are sealed with.
    pub seals: Arc<Seals>,
    /// What is asked of each organisation's tokens.
    pub rules: Rules,
    /// Who may mint.
    pub api_keys: ApiKeys,
    /// How a refused WebSocket is told.
    pub websocket_refusal: WebSocketRefusal,
}

impl Gate {
    /// From a configuration; not ready yet.
    #[must_use]
    pub fn new(
        config: Config,
        clock: Clock,
        site: Option<Site>,
        lost_lines: Option<LostLines>,
    ) -> Arc<Self> {
        let Config {
            edge,
            upstream,
            limits,
            timeouts,
            hls,
            websocket_refusal,
            keyring,
            rules,
            api_keys,
            ..
        } = config;
        let patience = Patience {
            connect: timeouts.upstream_connect,
            head: timeouts.upstream_head,
            total: timeouts.upstream_total,
            backoff: timeouts.upstream_backoff,
            user_timeout: timeouts.user_timeout,
            media_idle: timeouts.media_idle,
            outage_hold: timeouts.outage_hold,
        };
        // The configuration takes nothing else than an authority.
        let host = upstream.host.as_deref().and_then(|host| host.parse().ok());
        let relay = RelaySettings {
            client_message: limits.client_message,
            any_message: upstream.any_message,
            media_idle: timeouts.media_idle,
            ping: timeouts.ping,
            switch_answer: timeouts.switch_answer,
            write_stall: timeouts.write_stall,
            half_close: timeouts.half_close,
            linger: timeouts.linger,
            frame_cost: pace::cost(limits.client_frames),
            refusal_cost: pace::cost(limits.refusals),
        };
        let authority = upstream.host.as_deref().and_then(|host| host.parse().ok());
        let room = Room {
            all: limits.sessions,
            of_token: limits.sessions_per_token,
            of_network: limits.sessions_per_network,
        };
        let sessions = Sessions::new(room, hls.bind_address, clock.clone());
        let playing = HlsSessions::new(Arc::clone(&sessions), hls.session_idle, hls.bind_address);
        Arc::new(Self {
            clock,
            policy: RwLock::new(Arc::new(Policy {
                edge,
                seals: Arc::new(Seals::new(&keyring, None)),
                keyring,
                rules,
                api_keys,
                websocket_refusal,
            })),
            hls: playing,
            pages: Pages::new(hls.page_from_check, hls.page_wait, room),
            cache: hls.cache.then(|| Cache::new(sharing::settings(&hls))),
            playlists: Memory::new(hls.playlist_memory / 2),
            unsent: Unsent::new(hls.playlist_memory / 2),
            rewriting: Semaphore::new(limits.workers),
            reloads: Reloads::default(),
            fetches: TaskTracker::new(),
            hls_config: hls,
            http_upstream: Upstream::new(upstream.http_servers, authority, patience, limits.dials),
            http_path: upstream.http_path,
            http_playlist: upstream.http_playlist,
            revocations: RwLock::default(),
            next_revocation: AtomicU64::new(1),
            kept: KeptState::default(),
            sessions,
            upstream: Upstream::new(upstream.servers, host, patience, limits.dials),
            websocket_path: upstream.websocket_path,
            upstream_host: upstream.host,
            connections: ConnectionLimit::new(limits.connections),
            metrics: Metrics::default(),
            limits,
            timeouts,
            relay,
            site,
            refusal_lines: RefusalLines::new(limits.refusals_logged),
            guesses: Guesses::new(limits.api_key_guesses),
            ready: AtomicBool::new(false),
            lost_lines,
        })
    }

    /// The policy of this moment.
    #[must_use]
    pub fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Decides by another configuration from now on: its organisations, keys, API keys, neighbours, sources and form of
    /// refusals. Listeners, servers, limits and timeouts need a restart.
    pub fn reload(&self, config: Config) {
        let Config {
            edge,
            keyring,
            rules,
            api_keys,
            websocket_refusal,
            ..
        } = config;
        let mut policy = self.policy.write().unwrap_or_else(PoisonError::into_inner);
        *policy = Arc::new(Policy {
            edge,
            seals: Arc::new(Seals::new(&keyring, Some(&policy.seals))),
            keyring,
            rules,
            api_keys,
            websocket_refusal,
        });
    }

    /// The revocations of this moment.
    #[must_use]
    pub fn revocations(&self) -> Arc<Revocations> {
        Arc::clone(
            &self
                .revocations
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// Takes tokens back, and ends the sessions that they opened; how many.
    pub fn revoke(
        &self,
        owner: Owner,
        target: Target,
        ends: Option<UnixSeconds>,
    ) -> (Revocation, usize) {
        let now = self.clock.now();
        let id = RevocationId(self.next_revocation.fetch_add(1, Ordering::Relaxed));
        let revocation = Revocation {
            id,
            owner,
            target,
            issued_until: now,
            ends,
        };
        let mut shared = self
            .revocations
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut shared).add(revocation.clone(), now);
        drop(shared);
        // A session that opens meanwhile looks at the revocations once more when it is in the list of sessions.
        let ended = self.sessions.revoke(&revocation, now);
        self.hls.end_due();
        (revocation, ended)
    }

    /// Lifts a revocation; whether it was there.
    pub fn lift(&self, id: RevocationId) -> bool {
        Arc::make_mut(
            &mut self
                .revocations
                .write()
                .unwrap_or_else(PoisonError::into_inner),
        )
        .lift(id)
    }

    /// Ends a session, and keeps it from going on in the process that comes next; how it is played, or `None` when there is no
    /// such session.
    pub fn kick(&self, id: SessionId) -> Option<Transport> {
        let playing = self.sessions.find(id);
        if let Some(playing) = &playing {
            playing.end_in(Duration::ZERO, Kick::Operator);
        }
        if let Some(session) = self.hls.find(id) {
            self.hls.end_if_due(&session);
        }
        // Also where it played: an end that the next process undoes may have come first.
        let settled = self.hls.settle(id);
        match playing {
            Some(playing) => Some(playing.transport()),
            None => settled.then_some(Transport::Hls),
        }
    }

    /// Whether it takes traffic.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// Says whether it takes traffic.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
    }

    /// Lines of the log that are lost, since the start.
    #[must_use]
    pub fn lost_lines(&self) -> usize {
        self.lost_lines.as_ref().map_or(0, LostLines::count)
    }

    /// The metrics' text.
    #[must_use]
    pub fn metrics_text(&self) -> String {
        let mut servers = std::collections::BTreeMap::<_, bool>::new();
        let both = self
            .upstream
            .servers()
            .iter()
            .chain(self.http_upstream.servers());
        for server in both {
            // Both sides of a media server may have one address.
            *servers.entry(server.to_string()).or_insert(true) &= server.is_healthy();
        }
        self.metrics.text(&Readings {
            sessions: Transport::ALL
                .map(|transport| (transport.name(), self.sessions.count_by(transport)))
                .to_vec(),
            hls: self.hls.counts(),
            connections: self.connections.open(),
            connections_refused: self.connections.refused(),
            log_lines_dropped: self.lost_lines(),
            servers: servers.into_iter().collect(),
            playlists: self.playlists.used() + self.unsent.used(),
            cache: self.cache.as_ref().map(|cache| cache.stats()),
        })
    }
}
