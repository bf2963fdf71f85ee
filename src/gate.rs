//! What all connections share.

pub mod budget;
pub mod http;
pub mod kept;
pub mod policy;
pub mod refusal_lines;
pub mod reloads;
pub mod sharing;
pub mod site;
pub mod unsent;
pub mod websocket;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::clock::Clock;
use crate::config::{Config, Limits, Timeouts};
use crate::decision::revocation::{Revocation, RevocationId, Revocations, Target};
use crate::hls::player_pages::PlayerPages;
use crate::hls::seal_keys::SealKeys;
use crate::hls::sessions::HlsSessions;
use crate::listener::limit::ConnectionLimit;
use crate::logging::LostLines;
use crate::metrics::{Metrics, Readings};
use crate::pace;
use crate::relay::RelaySettings;
use crate::session::ends::Kick;
use crate::session::id::SessionId;
use crate::session::revocations::RevocationStore;
use crate::session::shares::Room;
use crate::session::{Sessions, Transport};
use crate::token::{Owner, UnixSeconds};
use crate::token_api::guesses::Guesses;
use crate::upstream::server::Server;
use crate::upstream::{Patience, Upstream};
use http::HttpSide;
use kept::KeptState;
use policy::Policy;
use refusal_lines::RefusalLines;
use site::Site;
use websocket::WebSocketSide;

/// The running gate.
#[derive(Debug)]
pub struct Gate {
    /// What every expiry is held against.
    pub clock: Clock,
    policy: RwLock<Arc<Policy>>,
    revocations: RevocationStore,
    /// What plays, and the seats of the tokens that limit their sessions.
    pub sessions: Arc<Sessions>,
    /// What plays over HTTP, was ended there, or may go on from before a restart.
    pub hls: HlsSessions,
    /// On which pages players have shown themselves by a WebSocket.
    pub pages: Arc<PlayerPages>,
    /// Media servers and shared answers for playback over HTTP.
    pub http: HttpSide,
    /// Media servers for playback by WebSocket.
    pub websocket: WebSocketSide,
    /// What outlives the process, where there is a `state_dir`.
    pub kept: KeptState,
    /// Viewers' connections.
    pub connections: Arc<ConnectionLimit>,
    /// What is counted.
    pub metrics: Metrics,
    /// Sizes and counts.
    pub limits: Limits,
    /// Waits.
    pub timeouts: Timeouts,
    /// Pages beside the endpoints.
    pub site: Option<Site>,
    /// Which refusals are logged.
    pub refusal_lines: RefusalLines,
    /// Which addresses guess API keys.
    pub guesses: Guesses,
    ready: AtomicBool,
    lost_lines: Option<LostLines>,
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
        // The configuration takes nothing else than an authority.
        let host = || upstream.host.as_deref().and_then(|host| host.parse().ok());
        let of_http = Upstream::new(upstream.http_servers, host(), patience, limits.dials);
        let of_websocket = Upstream::new(upstream.servers, host(), patience, limits.dials);
        let room = Room {
            all: limits.sessions,
            of_token: limits.sessions_per_token,
            of_network: limits.sessions_per_network,
        };
        let sessions = Sessions::new(room, hls.bind_address, clock.clone());
        Arc::new(Self {
            clock,
            policy: RwLock::new(Arc::new(Policy {
                edge,
                seals: Arc::new(SealKeys::new(&keyring, None)),
                keyring,
                rules,
                api_keys,
                websocket_refusal,
            })),
            revocations: RevocationStore::default(),
            hls: HlsSessions::new(Arc::clone(&sessions), hls.session_idle, hls.bind_address),
            sessions,
            pages: PlayerPages::new(hls.page_from_check, hls.page_wait, room),
            http: HttpSide::new(
                of_http,
                (upstream.http_path, upstream.http_playlist),
                hls,
                limits.workers,
            ),
            websocket: WebSocketSide::new(
                of_websocket,
                upstream.websocket_path,
                upstream.host,
                relay,
            ),
            kept: KeptState::default(),
            connections: ConnectionLimit::new(limits.connections),
            metrics: Metrics::default(),
            limits,
            timeouts,
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
            seals: Arc::new(SealKeys::new(&keyring, Some(&policy.seals))),
            keyring,
            rules,
            api_keys,
            websocket_refusal,
        });
    }

    /// The revocations of this moment.
    #[must_use]
    pub fn revocations(&self) -> Arc<Revocations> {
        self.revocations.current()
    }

    /// Takes tokens back, and ends the sessions that they opened; how many.
    pub async fn revoke(
        &self,
        owner: Owner,
        target: Target,
        ends: Option<UnixSeconds>,
    ) -> (Revocation, usize) {
        let now = self.clock.now();
        let revocation = self.revocations.add(owner, target, ends, now).await;
        let ended = self.sessions.revoke(&revocation, now);
        self.hls.end_due();
        (revocation, ended)
    }

    /// Lifts a revocation; whether it was there.
    pub async fn lift(&self, id: RevocationId) -> bool {
        self.revocations.lift(id).await
    }

    /// Ends a session, and keeps it from going on in the process that comes next; how it is played, or `None` when there is no
    /// such session.
    pub async fn kick(&self, id: SessionId) -> Option<Transport> {
        let playing = self.sessions.find(id);
        if let Some(playing) = &playing {
            playing.end_in(Duration::ZERO, Kick::Operator);
        }
        if let Some(session) = self.hls.find(id) {
            self.hls.end_if_due(&session);
        }
        // Also where it played: an end that the next process undoes may have come first.
        let settled = self.hls.settle(id).await;
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

    /// All media servers, of both sides.
    pub fn servers(&self) -> impl Iterator<Item = &Server> {
        let servers = self.websocket.upstream().servers().iter();
        servers.chain(self.http.servers())
    }

    /// The metrics' text.
    #[must_use]
    pub fn metrics_text(&self) -> String {
        let mut servers = BTreeMap::<_, bool>::new();
        for server in self.servers() {
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
            playlists: self.http.memory_used(),
            cache: self.http.cache_stats(),
        })
    }
}
