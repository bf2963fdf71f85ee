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
mod config;
pub mod front;
pub mod origin;
pub mod timeline;

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::logging::Log;
use crate::request::query::playback_query;
use crate::serve::{self, Extras, StartError};
use crate::token::{Grant, Keyring, Owner, Presented, Scope, TokenId, UnixSeconds};
use config::Addresses;
use front::Front;

/// The organisation of the demonstration: what its stream names begin with.
pub const ORGANISATION: &str = "demo1";

/// Another organisation, whose tokens must not open this one's streams.
const RIVAL: &str = "rival";

/// What the terminal's HLS line plays.
const STREAM: &str = "demo1-camera1";

/// The source that the page and the terminal name.
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
    /// Any peer that reaches the address could end sessions.
    #[error(
        "--admin must be a loopback address such as 127.0.0.1:9090: the demo asks the operator for no token"
    )]
    Admin,
    /// No randomness for keys.
    #[error("the system has no randomness: {0}")]
    Randomness(#[from] getrandom::Error),
    /// The addresses make no configuration, such as one that is used twice.
    #[error("the demo cannot be configured: {0}")]
    Config(String),
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
    let addresses = Addresses {
        listen: address,
        admin,
        origin: origin_address,
    };
    let config = config::read(addresses, &api_key)?;
    let front = Front::new(config.keyring.clone(), api_key.clone(), clock.clone());

    // The addresses are tried before anything is promised; the gate itself takes them a moment later.
    for address in [Some(address), admin].into_iter().flatten() {
        drop(
            std::net::TcpListener::bind(address)
                .map_err(|source| StartError::Bind { address, source })?,
        );
    }
    let hls_url = hls_url(address, &config.keyring, clock.now())?;
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

/// A protected HLS URL, good for an hour.
fn hls_url(address: SocketAddr, keyring: &Keyring, now: UnixSeconds) -> Result<String, DemoError> {
    let damaged = |what: &str| DemoError::Damaged(what.to_owned());
    let mut id = [0; 16];
    getrandom::fill(&mut id)?;
    let name = STREAM.parse().map_err(|_| damaged("the stream"))?;
    let mut grant = Grant::new(TokenId::new(id), now, Scope::stream(name));
    grant.expires = Some(now.saturating_add(Duration::from_secs(3600)));
    let owner: Owner = ORGANISATION
        .parse()
        .map_err(|_| damaged("the organisation"))?;
    let minted = keyring.mint(&owner, &grant);
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
                 What an operator sees of a gate; http://{admin}/api/sessions lists the playbacks.
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
