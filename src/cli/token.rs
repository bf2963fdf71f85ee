//! `h5gate token`: mint, inspect, verify.

mod look;

use std::num::NonZeroU16;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::config::units::parse_duration;
use crate::request::query::playback_query;
use crate::token::{
    AddressPrefix, AtExpiry, Grant, OrgaHash, Owner, Presented, RefererPattern, Scope, Security,
    StreamName, Tag, TokenId, UnixSeconds, User,
};

use super::{complain, print, with_config};

/// Commands about tokens
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Mint a token with a configured key; prints what the token API would answer
    Mint(Box<Mint>),
    /// Show what a token says of itself, without checking it
    Inspect {
        /// A token, or a playback URL with one
        token: String,
    },
    /// Say whether a playback with this URL would be allowed, by the configured keys and rules and from the right place (exit
    /// code 1 when refused)
    Verify(look::Verify),
}

/// What to mint
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("scope").required(true).args(["stream", "orga"])))]
pub struct Mint {
    /// The configuration file with the keys
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// A stream that may be played; up to 16 times
    #[arg(long, value_name = "NAME")]
    stream: Vec<StreamName>,
    /// The organisation of which every stream may be played
    #[arg(long, value_name = "HASH")]
    orga: Option<OrgaHash>,
    /// When it expires, in Unix seconds
    #[arg(long, value_name = "SECONDS", conflicts_with = "lifetime")]
    expires: Option<u64>,
    /// When it expires, from now: 90s, 30m, 2h, 7d
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    lifetime: Option<Duration>,
    /// The customer's own string
    #[arg(long, default_value = "")]
    tag: Tag,
    /// An address or prefix in which the viewer must be; repeatable
    #[arg(long, value_name = "ADDRESS[/LENGTH]")]
    ip: Vec<AddressPrefix>,
    /// A host on which the page must be, or *.domain; repeatable
    #[arg(long, value_name = "DOMAIN")]
    referer: Vec<RefererPattern>,
    /// When it becomes valid, in Unix seconds
    #[arg(long, value_name = "SECONDS")]
    not_before: Option<u64>,
    /// The user that it is for
    #[arg(long)]
    user: Option<User>,
    /// How many viewers may play at once
    #[arg(long, value_name = "COUNT")]
    sessions: Option<NonZeroU16>,
    /// End running playbacks at the expiry, instead of letting them go on
    #[arg(long)]
    cut_at_expiry: bool,
    /// Print playback URLs below this base instead, such as ws://127.0.0.1:8080
    #[arg(long, value_name = "BASE")]
    url: Option<String>,
}

/// Runs one command.
pub fn run(command: &Command, clock: &Clock) -> ExitCode {
    match command {
        Command::Mint(command) => mint(command, clock.now()),
        Command::Inspect { token } => look::show(token),
        Command::Verify(command) => look::verify(command, clock.now()),
    }
}

fn mint(command: &Mint, now: UnixSeconds) -> ExitCode {
    with_config(&command.config, |config| {
        let mut id = [0; 16];
        if let Err(error) = getrandom::fill(&mut id) {
            return fail(&format!("the system has no randomness: {error}"));
        }
        let (scope, owner) = match (&command.orga, command.stream.first()) {
            (Some(hash), _) => (
                Scope::Organisation(hash.clone()),
                Owner::Organisation(hash.clone()),
            ),
            (None, Some(stream)) => (
                Scope::Streams(command.stream.clone()),
                config.keyring.owner_of(stream),
            ),
            (None, None) => return fail("one of --stream and --orga is needed"),
        };
        let grant = Grant {
            not_before: command.not_before.map(UnixSeconds::new),
            expires: command
                .lifetime
                .map(|time| now.saturating_add(time))
                .or(command.expires.map(UnixSeconds::new)),
            at_expiry: if command.cut_at_expiry {
                AtExpiry::Cut
            } else {
                AtExpiry::Keep
            },
            addresses: command.ip.clone(),
            referers: command.referer.clone(),
            tag: command.tag.clone(),
            user: command.user.clone(),
            sessions: command.sessions,
            ..Grant::new(TokenId::new(id), now, scope)
        };
        if grant.expires.is_some_and(|expires| expires <= now) {
            return fail("expires lies in the past");
        }
        match config.keyring.mint(&owner, &grant) {
            Ok(security) => {
                let Some(base) = &command.url else {
                    return print(&security_json(&security).to_string());
                };
                let Some(source) = config.edge.rtmp_urls.first() else {
                    return fail("upstream.rtmp_urls is empty");
                };
                if command.stream.is_empty() {
                    return fail(
                        "--url needs --stream: an organisation's token plays any of its streams",
                    );
                }
                let streams = command.stream.iter();
                let urls = streams
                    .flat_map(|stream| playback_urls(base, source.as_str(), stream, &security));
                print(&urls.collect::<Vec<_>>().join("\n"))
            }
            Err(error) => fail(&error.to_string()),
        }
    })
}

/// The answer of the token API (protocol.md 1).
fn security_json(security: &Security) -> Value {
    let Security {
        expires,
        tag,
        token,
        options,
    } = security;
    json!({ "h5live": { "security": { "expires": expires, "tag": tag, "token": token, "options": options } } })
}

fn grant_json(grant: &Grant) -> Value {
    let (streams, organisation) = match &grant.scope {
        Scope::Streams(streams) => (
            Some(streams.iter().map(StreamName::as_str).collect::<Vec<_>>()),
            None,
        ),
        Scope::Organisation(hash) => (None, Some(hash.as_str())),
    };
    json!({
        "token_id": grant.id.to_string(),
        "issued_at": grant.issued_at.get(),
        "issued_at_utc": grant.issued_at.utc().to_string(),
        "not_before": grant.not_before.map(UnixSeconds::get),
        "not_before_utc": grant.not_before.map(|time| time.utc().to_string()),
        "expires": grant.expires.map(UnixSeconds::get),
        "expires_utc": grant.expires.map(|time| time.utc().to_string()),
        "at_expiry": match grant.at_expiry { AtExpiry::Keep => "keep", AtExpiry::Cut => "cut" },
        "streams": streams,
        "organisation": organisation,
        "ip": grant.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "referer": grant.referers.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "tag": grant.tag.as_str(),
        "user": grant.user.as_ref().map(User::as_str),
        "sessions": grant.sessions,
    })
}

/// The URLs of a stream for 4.x and 5.x players and for HLS (protocol.md 2); empty values are left out. The base may have
/// either scheme.
fn playback_urls(
    base: &str,
    source: &str,
    stream: &StreamName,
    security: &Security,
) -> [String; 2] {
    let query = playback_query(source, stream.as_str(), Presented::from(security));
    let base = base.trim_end_matches('/');
    let (scheme, place) = base.split_once("://").unwrap_or(("http", base));
    let (websocket, http) = match scheme {
        "https" | "wss" => ("wss", "https"),
        _ => ("ws", "http"),
    };
    [
        format!("{websocket}://{place}/h5live/authstream/stream.mp4?{query}"),
        format!("{http}://{place}/h5live/authhttp/playlist.m3u8?{query}"),
    ]
}

fn fail(message: &str) -> ExitCode {
    complain(message);
    ExitCode::FAILURE
}
