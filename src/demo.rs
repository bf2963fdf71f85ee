//! The demonstration's media server: live pictures and sound without files, without a network and without an encoder.
//!
//! Three short clips are part of the binary ([`catalogue`]). Each is read once ([`clip`]) and then repeated for ever with
//! timestamps that go on ([`timeline`]). The [`origin`] serves them as a media server would: H5Live on a WebSocket, live
//! HLS, and an endless progressive file.
//!
//! Everything that is sent follows from a clip and a number, so that viewers share nothing but the clock: another viewer
//! costs a socket and no memory that grows.
//!
//! In front of it stands the gate as it always is, with keys made for this run, and [`front`] serves the page.

pub mod catalogue;
pub mod clip;
pub mod front;
pub mod origin;
pub mod timeline;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::{
    AdminConfig, Config, HlsConfig, Limits, ListenerConfig, Timeouts, UpstreamConfig,
    WebSocketRefusal,
};
use crate::decision::rules::Rules;
use crate::logging::Log;
use crate::request::Edge;
use crate::request::client_address::{AddressHeader, Neighbours};
use crate::request::query::playback_query;
use crate::request::rtmp_url::RtmpUrls;
use crate::serve::{self, Extras, StartError};
use crate::token::{
    Grant, Key, KeyState, Keyring, KeyringError, Owner, Presented, Scope, Secret, SecretError,
    TokenId, UnixSeconds,
};
use crate::token_api::api_key::{ApiKey, ApiKeys};
use front::Front;

/// The organisation of the demonstration: what its stream names begin with.
pub const ORGANISATION: &str = "demo1";

/// Another organisation, whose tokens must not open this one's streams.
const RIVAL: &str = "rival";

/// What the terminal's HLS line plays.
const STREAM: &str = "demo1-camera1";

/// The sources that players may name: their defaults, and those of the vendor's documentation, so that a configuration from
/// there plays here with another server. They all mean the demonstration's own streams.
const SOURCES: [&str; 4] = [
    SOURCE,
    "rtmp://localhost/splay",
    "rtmp://bintu-splay.nanocosmos.de/splay",
    "rtmp://bintu-play.nanocosmos.de/play",
];

/// The one that the page and the terminal name.
const SOURCE: &str = "rtmp://localhost/play";

/// Why the demonstration does not start.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The gate does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The media server's socket cannot be had.
    #[error("the demo's media server cannot listen: {0}")]
    Origin(std::io::Error),
    /// Everybody could end sessions.
    #[error(
        "--admin must be a loopback address such as 127.0.0.1:9090: the demo asks the operator for no token"
    )]
    Admin,
    /// No randomness for keys.
    #[error("the system has no randomness: {0}")]
    Randomness(#[from] getrandom::Error),
    /// What is built in is wrong, which a test excludes.
    #[error("the demo is damaged: {0}")]
    Damaged(String),
}

/// Runs gate, media server and page on `address` until Ctrl-C, and the operator's side on `admin`, a loopback address, if
/// there is one; `say` hears what to open once the addresses are known to be free.
pub fn run(
    address: SocketAddr,
    admin: Option<SocketAddr>,
    clock: &Clock,
    log: &Log,
    say: impl FnOnce(&str),
) -> Result<(), DemoError> {
    if admin.is_some_and(|admin| !admin.ip().to_canonical().is_loopback()) {
        return Err(DemoError::Admin);
    }
    let origin =
        std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(DemoError::Origin)?;
    origin.set_nonblocking(true).map_err(DemoError::Origin)?;
    let origin_address = origin.local_addr().map_err(DemoError::Origin)?;

    let mut random = [0; 18];
    getrandom::fill(&mut random)?;
    let api_key = URL_SAFE_NO_PAD.encode(random);
    let keys = [new_key("demo-1", ORGANISATION)?, new_key("rival-1", RIVAL)?];
    let front = Front::new(keyring(&keys)?, api_key.clone(), clock.clone());
    let mut config = config(address, origin_address, keyring(&keys)?, &api_key)?;
    config.admin = admin.map(|address| AdminConfig {
        address,
        token_sha256: None,
        names: Vec::new(),
        connections: 64,
    });

    // The addresses are tried before anything is promised; the gate itself takes them a moment later.
    for address in [Some(address), admin].into_iter().flatten() {
        drop(
            std::net::TcpListener::bind(address)
                .map_err(|source| StartError::Bind { address, source })?,
        );
    }
    let hls_url = hls_url(address, &keys, clock.now())?;
    say(&introduction(address, admin, &hls_url, &api_key));

    let stop = CancellationToken::new();
    let serving = stop.clone();
    let beside = Box::pin(async move {
        match tokio::net::TcpListener::from_std(origin) {
            Ok(origin) => {
                if let Err(error) = origin::serve(origin, serving).await {
                    tracing::error!(%error, "the demo's media server ended");
                }
            }
            Err(error) => tracing::error!(%error, "the demo's media server cannot listen"),
        }
    });
    let extras = Extras {
        clock: clock.clone(),
        site: Some(front.into_site()),
        beside: Some(beside),
        ..Extras::default()
    };
    let ended = serve::run(config, extras, log);
    stop.cancel();
    Ok(ended?)
}

/// A key made for this run.
fn new_key(id: &str, owner: &str) -> Result<Key, DemoError> {
    let mut bytes = vec![0; crate::token::SECRET_MIN_BYTES];
    getrandom::fill(&mut bytes)?;
    let secret =
        Secret::new(bytes).map_err(|error: SecretError| DemoError::Damaged(error.to_string()))?;
    let id = id
        .parse()
        .map_err(|_| DemoError::Damaged(format!("key id {id}")))?;
    Ok(Key::new(id, owner_of(owner)?, KeyState::Active, &secret))
}

fn owner_of(name: &str) -> Result<Owner, DemoError> {
    name.parse()
        .map_err(|_| DemoError::Damaged(format!("organisation {name}")))
}

fn keyring(keys: &[Key]) -> Result<Keyring, DemoError> {
    Keyring::new([], keys.iter().cloned())
        .map_err(|error: KeyringError| DemoError::Damaged(error.to_string()))
}

/// The gate's configuration: what an operator would write, with this run's keys.
fn config(
    address: SocketAddr,
    origin: SocketAddr,
    keyring: Keyring,
    api_key: &str,
) -> Result<Config, DemoError> {
    let damaged = |what: &str| DemoError::Damaged(what.to_owned());
    let server = format!("http://{origin}")
        .parse()
        .map_err(|_| damaged("the media server's address"))?;
    let http_server = format!("http://{origin}")
        .parse()
        .map_err(|_| damaged("the media server's address"))?;
    let path = |path: &str| path.parse().map_err(|error: String| damaged(&error));
    let sources = SOURCES.iter().map(|source| source.parse());
    let sources = sources.collect::<Result<_, _>>();
    let sources = sources.map_err(|_| damaged("the sources"))?;
    let owner = owner_of(ORGANISATION)?;
    let sha256 = Sha256::digest(api_key).into();
    Ok(Config {
        listeners: vec![ListenerConfig {
            address,
            playback: true,
            token_api: true,
            proxy_protocol: false,
        }],
        admin: None,
        edge: Edge {
            neighbours: Neighbours {
                trusted: Vec::new(),
                header: AddressHeader::None,
            },
            rtmp_urls: RtmpUrls::new(sources),
        },
        upstream: UpstreamConfig {
            servers: vec![server],
            http_servers: vec![http_server],
            http_path: path("/h5live/http/")?,
            http_playlist: path("/h5live/http/playlist.m3u8")?,
            websocket_path: Some("/h5live/stream".to_owned()),
            host: None,
            any_message: false,
        },
        limits: Limits::of_this_machine(),
        // Ctrl-C ends the demonstration at once.
        timeouts: Timeouts {
            drain: Duration::ZERO,
            ..Timeouts::default()
        },
        hls: HlsConfig::default(),
        websocket_refusal: WebSocketRefusal::CloseCode,
        state_dir: None,
        keyring,
        rules: Rules::new(HashMap::new()),
        api_keys: ApiKeys::new(vec![ApiKey {
            id: "demo".to_owned(),
            owner,
            sha256,
        }]),
        dangers: Vec::new(),
        warnings: Vec::new(),
    })
}

/// A protected HLS URL, good for an hour.
fn hls_url(address: SocketAddr, keys: &[Key], now: UnixSeconds) -> Result<String, DemoError> {
    let damaged = |what: &str| DemoError::Damaged(what.to_owned());
    let mut id = [0; 16];
    getrandom::fill(&mut id)?;
    let name = STREAM.parse().map_err(|_| damaged("the stream"))?;
    let mut grant = Grant::new(TokenId::new(id), now, Scope::stream(name));
    grant.expires = Some(now.saturating_add(Duration::from_secs(3600)));
    let minted = keyring(keys)?.mint(&owner_of(ORGANISATION)?, &grant);
    let security = minted.map_err(|_| damaged("the key"))?;
    let query = playback_query(SOURCE, STREAM, Presented::from(&security));
    Ok(format!(
        "http://{address}/h5live/authhttp/playlist.m3u8?{query}"
    ))
}

/// What the terminal says.
fn introduction(
    address: SocketAddr,
    admin: Option<SocketAddr>,
    hls_url: &str,
    api_key: &str,
) -> String {
    let mut text = String::new();
    let operate = admin.map(|admin| {
        format!(
            "
  Operate        curl -s http://{admin}/metrics
                 What an operator sees of a gate; http://{admin}/api/sessions lists who plays.
"
        )
    });
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "
h5gate demo: a live media server, the gate in front of it, and a page that plays.

  Open           http://{address}/
                 Play, switch, renew, let a token expire, and see every refusal with its code.

  Mint a token   curl -s http://{address}/secure/token -H 'Content-Type: application/json' \\
                      -H 'X-BINTU-APIKEY: {api_key}' -d '{{\"streamname\":\"demo1-camera1\"}}'
                 Prints the security object for a player's configuration.

  Play HLS       ffplay '{hls_url}'
                 Protected by the same gate, with a token for an hour. ffmpeg -i plays it, too.
{}
  Ctrl-C ends it. Keys are made anew each time.
",
        operate.unwrap_or_default()
    );
    text
}
