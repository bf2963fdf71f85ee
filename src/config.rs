//! The configuration: TOML text becomes a checked [`Config`], or every error at once, each with its key and line.
//!
//! `deploy/h5gate.toml` has every key with its unit, default and bounds.

mod digest;
mod error;
mod findings;
mod hls;
mod key;
mod limits;
mod listener;
mod nearest;
mod organisation;
mod reader;
mod secret;
mod timeouts;
pub mod units;
mod upstream;

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::decision::rules::Rules;
use crate::request::Edge;
use crate::session::place::Bind;
use crate::token::Keyring;
use crate::token_api::api_key::ApiKeys;
use crate::upstream::server_url::ServerUrl;
use findings::Findings;
use reader::Table;

pub use error::{ConfigError, Notice, Problem};
pub use secret::{SecretSource, SecretText, SystemSecrets, new_secret};
pub use upstream::PathTemplate;

/// The longest configuration; a thousand organisations take a tenth of it.
const FILE_LIMIT: u64 = 4 * 1024 * 1024;

/// Everything that an operator says, checked.
#[derive(Debug)]
pub struct Config {
    /// The viewers' side.
    pub listeners: Vec<ListenerConfig>,
    /// The operator's side.
    pub admin: Option<AdminConfig>,
    /// Neighbours in front, and the sources that viewers may name.
    pub edge: Edge,
    /// The media servers.
    pub upstream: UpstreamConfig,
    /// Sizes and counts.
    pub limits: Limits,
    /// Waits.
    pub timeouts: Timeouts,
    /// HLS playbacks.
    pub hls: HlsConfig,
    /// How a refused WebSocket is told.
    pub websocket_refusal: WebSocketRefusal,
    /// Where is kept what outlives a restart.
    pub state_dir: Option<PathBuf>,
    /// All keys.
    pub keyring: Keyring,
    /// What is asked of each organisation's tokens.
    pub rules: Rules,
    /// The API keys that mint.
    pub api_keys: ApiKeys,
    /// Settings that weaken a check, for the log when they come into force.
    pub dangers: Vec<Notice>,
    /// Settings that are allowed and probably not meant, for the log as well.
    pub warnings: Vec<Notice>,
}

impl Config {
    /// Reads a file. Paths of secrets and `state_dir` are relative to its directory; errors name it as `path` does.
    pub fn load(path: &Path) -> Result<Self, Vec<ConfigError>> {
        let mut secrets = SystemSecrets::beside(path.parent().unwrap_or(path));
        let config = text_of(path).map_err(|error| vec![error]);
        let parsed = config.and_then(|text| Self::parse(&text, &mut secrets));
        let file = || Some(path.display().to_string());
        match parsed {
            Ok(mut config) => {
                let beside = |state: PathBuf| path.parent().unwrap_or(path).join(state);
                config.state_dir = config.state_dir.map(beside);
                for notice in config.dangers.iter_mut().chain(&mut config.warnings) {
                    notice.file = file();
                }
                Ok(config)
            }
            Err(mut errors) => {
                for error in &mut errors {
                    error.file = file();
                }
                Err(errors)
            }
        }
    }

    /// Reads a text. All errors are found, in the order of their lines.
    pub fn parse(text: &str, secrets: &mut dyn SecretSource) -> Result<Self, Vec<ConfigError>> {
        let (findings, document) = Findings::of(text);
        let mut root = Table::root(&document, &findings);
        let listeners = listener::listeners(&mut root);
        let admin = listener::admin(&mut root, &listeners);
        let neighbours = listener::neighbours(&mut root, &listeners);
        let token_api = listeners.iter().find(|listener| listener.config.token_api);
        let token_api = token_api.map(|listener| listener.place.clone());
        let listeners: Vec<_> = listeners
            .into_iter()
            .map(|listener| listener.config)
            .collect();
        let playback = listeners.iter().any(|listener| listener.playback);
        let (upstream, rtmp_urls) = upstream::read(&mut root, playback);
        let limits = limits::limits(&mut root);
        let timeouts = timeouts::timeouts(&mut root);
        let hls = hls::hls(&mut root);
        let directory = |text: &str| match text {
            "" => Err("must be the path of a directory"),
            path => Ok(PathBuf::from(path)),
        };
        let state_dir = root.take("state_dir");
        let state_dir = state_dir.and_then(|value| value.parsed_by("a path", directory));
        let refusals = [
            ("close-code", WebSocketRefusal::CloseCode),
            ("http-status", WebSocketRefusal::HttpStatus),
        ];
        let websocket_refusal =
            root.table("refusal")
                .choice("websocket", &refusals, WebSocketRefusal::CloseCode);
        let organisations = organisation::read(&mut root, secrets);
        drop(root);

        match (&token_api, &organisations.minted_at) {
            (Some(place), None) => {
                let what = "serves the token API, and there are no organisation.api_keys to use it";
                findings.warn(place, what);
            }
            (None, Some(place)) => {
                findings.warn(place, "are of no use: no listener serves the token API");
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
        let (dangers, warnings) = findings.finish()?;
        Ok(Self {
            listeners,
            admin,
            edge: Edge {
                neighbours,
                rtmp_urls,
            },
            upstream,
            limits,
            timeouts,
            hls,
            websocket_refusal,
            state_dir,
            keyring: organisations.keyring.ok_or_else(Vec::new)?,
            rules: organisations.rules,
            api_keys: organisations.api_keys,
            dangers,
            warnings,
        })
    }
}

fn text_of(path: &Path) -> Result<String, ConfigError> {
    let wrong = |problem| ConfigError {
        file: None,
        line: None,
        key: String::new(),
        problem,
    };
    let unreadable = |what: String| wrong(Problem::Unreadable(what));
    let file = File::open(path).map_err(|error| unreadable(error.to_string()))?;
    let mut bytes = Vec::new();
    file.take(FILE_LIMIT + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(error.to_string()))?;
    if bytes.len() as u64 > FILE_LIMIT {
        return Err(unreadable("it is longer than 4 MiB".to_owned()));
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = error
            .as_bytes()
            .iter()
            .take(error.utf8_error().valid_up_to());
        let line = before.filter(|byte| **byte == b'\n').count() + 1;
        ConfigError {
            line: Some(line),
            ..wrong(Problem::Syntax("this line is not UTF-8".to_owned()))
        }
    })
}

/// `[[listener]]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerConfig {
    /// Where it listens.
    pub address: SocketAddr,
    /// Whether it serves playback.
    pub playback: bool,
    /// Whether it serves `POST /secure/token`.
    pub token_api: bool,
    /// Whether every connection begins with a PROXY header, from a listed neighbour.
    pub proxy_protocol: bool,
}

/// `[admin]`
#[derive(Clone, PartialEq, Eq)]
pub struct AdminConfig {
    /// Where it listens.
    pub address: SocketAddr,
    /// SHA-256 of the bearer token; without one the address is a loopback one.
    pub token_sha256: Option<[u8; 32]>,
    /// Names by which it may be called, beside loopback addresses and `localhost`; in lower case.
    pub names: Vec<String>,
    /// Connections at once of peers that have shown the token, and as many of those that have not; 1 to 64. Default: 64.
    pub connections: usize,
}

impl fmt::Debug for AdminConfig {
    /// A digest of a token that was thought up would give the token away.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (address, names) = (self.address, &self.names);
        let (token, connections) = (self.token_sha256.is_some(), self.connections);
        write!(
            f,
            "AdminConfig({address}, token: {token}, names: {names:?}, connections: {connections})"
        )
    }
}

/// `[upstream]`
#[derive(Debug)]
pub struct UpstreamConfig {
    /// The media servers.
    pub servers: Vec<ServerUrl>,
    /// Their HTTP side: as many, in the same order.
    pub http_servers: Vec<ServerUrl>,
    /// The path for all spellings of the viewer's path; `None` is the viewer's own without a trailing `/`.
    pub websocket_path: Option<String>,
    /// What stands in the place of `/h5live/authhttp/`; ends in `/`.
    pub http_path: PathTemplate,
    /// The path of the playlist that a playback begins with.
    pub http_playlist: PathTemplate,
    /// `Host` for the media servers; `None` is the viewer's own.
    pub host: Option<String>,
    /// Whether viewers' messages that are not on the list go on (danger).
    pub any_message: bool,
}

/// `[limits]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Worker threads, each with its own listening sockets; 1 to 1024. Default: one for each core.
    pub workers: usize,
    /// Connections of viewers at once; 1 to 10,000,000. Default: half of the process's file descriptors, less 100:
    /// `(nofile − 200) / 2`.
    pub connections: usize,
    /// Sessions at once; 1 to 10,000,000. Default: as many as connections.
    pub sessions: usize,
    /// Of these, those that one token may have; 1 to 10,000,000. Default: three quarters of `sessions`.
    pub sessions_per_token: usize,
    /// Of these, those that one network may have, a /24 of IPv4 or a /56 of IPv6; 1 to 10,000,000. Default: three quarters
    /// of `sessions`.
    pub sessions_per_network: usize,
    /// Connections that wait to be accepted; 1 to 65,535. Default: 4096.
    pub backlog: u32,
    /// Handshakes with media servers at once; 1 to 65,535. Default: 256.
    pub dials: usize,
    /// Bytes of a request's head; 8 KiB (the least that hyper takes) to 256 KiB. Default: 16 KiB.
    pub head: usize,
    /// Fields of a request's head; 16 to 1000. Default: 64.
    pub fields: usize,
    /// Bytes of a request's target; 4 to 32 KiB, and at most `head`. Default: 8 KiB.
    pub uri: usize,
    /// Bytes of a token API request's body; 4 KiB to 1 MiB. Default: 16 KiB.
    pub body: usize,
    /// Bytes of a refused request's body that are read and thrown away, so that a client that writes all of its request before
    /// it reads hears the answer; `timeouts.linger` bounds the time. 0 to 64 MiB. Default: 1 MiB.
    pub refused_body: usize,
    /// Bytes of a viewer's message on the socket; 4 KiB to 1 MiB. Default: 16 KiB.
    pub client_message: usize,
    /// Frames that a viewer may send on its WebSocket in a second, and as many at once; what comes faster waits. 1 to
    /// 100,000. Default: 50.
    pub client_frames: u32,
    /// Refusals that one connection is answered in a second, and as many at once; further ones wait. 1 to 100,000.
    /// Default: 10.
    pub refusals: u32,
    /// Refusals that are logged in a second; what is beyond is counted. 1 to 100,000. Default: 1000.
    pub refusals_logged: u32,
    /// Wrong API keys that one address may try in a second, and as many at once. 1 to 100,000. Default: 5.
    pub api_key_guesses: u32,
    /// Bytes that the kernel keeps unsent for one viewer before no more are taken from its media server
    /// (`TCP_NOTSENT_LOWAT`); 16 KiB to 64 MiB. Default: 128 KiB.
    pub unsent: u32,
}

/// `[timeouts]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// PROXY header and first head together; 10 ms to 5 min. Default: 10 s.
    pub head: Duration,
    /// Between two requests of one connection, and for the head of the later one; 10 ms to 1 h. Default: 60 s.
    pub keep_alive: Duration,
    /// For a connection to a media server; 10 ms to 1 min. Default: 2 s.
    pub upstream_connect: Duration,
    /// For the head of its answer; 10 ms to 5 min. Default: 10 s; `upstream_total` bounds it too.
    pub upstream_head: Duration,
    /// For all tries together; 10 ms to 5 min. Default: 8 s.
    pub upstream_total: Duration,
    /// How long a media server that failed is tried last; 0 to 1 h. Default: 5 s.
    pub upstream_backoff: Duration,
    /// How long an outage of all media servers is hidden from players, after which one probe at a time looks for its end; 0 to 1 day. Default: 60 s.
    pub outage_hold: Duration,
    /// How often media servers' names are looked up again; 100 ms to 1 day. Default: 30 s.
    pub upstream_lookup: Duration,
    /// The longest silence of a media server; 100 ms to 1 day. Default: 60 s.
    pub media_idle: Duration,
    /// How often a quiet viewer is pinged; 100 ms to 1 h. Default: 25 s.
    pub ping: Duration,
    /// How long a switch inside the socket waits for the media server's answer; 100 ms to 1 h. Default: 10 s.
    pub switch_answer: Duration,
    /// The longest time in which a viewer takes nothing; 100 ms to 1 h. Default: 30 s.
    pub write_stall: Duration,
    /// When a peer that acknowledges nothing is given up (`TCP_USER_TIMEOUT`); 100 ms to 1 h. Default: 30 s.
    pub user_timeout: Duration,
    /// How long a direction goes on when the other has ended; 10 ms to 1 h. Default: 5 s.
    pub half_close: Duration,
    /// How long a closing handshake may take; 10 ms to 30 s. Default: 2 s.
    pub linger: Duration,
    /// Over how long the viewers are sent away when the gate stops; 0 to 1 day. Default: 300 s.
    pub drain: Duration,
    /// How long a start, a reload, an end and an operator's answer wait for a disk; 100 ms to 1 min. Default: 5 s.
    pub disk: Duration,
}

/// `[hls]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HlsConfig {
    /// How long a viewer may ask for nothing before its playback is over; 1 s to 1 h, and at least three target
    /// durations. Default: 30 s.
    pub session_idle: Duration,
    /// How closely a playback is bound to its viewer's address. Default: to the /24 or /56.
    pub bind_address: Bind,
    /// For how long a request that tells no page inherits the one of its player's check; 0 s, which turns that off, to
    /// 10 min. Default: 30 s.
    pub page_from_check: Duration,
    /// How long a request without a page waits for its player's check; 0 s to 5 s. Default: 1 s.
    pub page_wait: Duration,
    /// Bytes of a playlist; 64 KiB to 64 MiB. Default: 2 MiB.
    pub playlist: usize,
    /// Bytes of all playlists that are being read and rewritten, which is one half, and of those of one viewer until they
    /// are sent, which is the other; 1 MiB to 1 TiB. Default: 64 MiB.
    pub playlist_memory: usize,
    /// Whether viewers share what they ask for. Default: yes.
    pub cache: bool,
    /// Bytes of all that is shared; 1 MiB to 1 TiB. Default: 256 MiB.
    pub cache_size: usize,
    /// Bytes of one playlist or segment that is shared; 64 KiB to 1 GiB. Default: 16 MiB.
    pub cache_object: usize,
    /// Bytes that a shared segment is fetched ahead of the viewer that has read the most of it; 64 KiB to 1 GiB. Default:
    /// 1 MiB.
    pub read_ahead: usize,
    /// Bytes of playlists of its own that a playback may load in a second, four times as many at once; 16 KiB to 1 GiB.
    /// Default: 1 MiB.
    pub own_playlists: usize,
    /// How long a playlist is shared; 10 ms to 1 h. Default: 500 ms.
    pub cache_playlist: Duration,
    /// How long a segment is shared; 10 ms to 1 h. Default: 10 s.
    pub cache_segment: Duration,
}

/// `refusal.websocket`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebSocketRefusal {
    /// 101 and then a close code, which a page can read (protocol.md 3). The default.
    CloseCode,
    /// An HTTP status instead of 101, for players other than H5Live's.
    HttpStatus,
}
