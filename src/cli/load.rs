//! `h5gate load`: a load test of one's own gate, and an origin for it.

use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{ArgGroup, Args, ValueEnum};
use zeroize::Zeroizing;

use crate::config::Config;
use crate::config::units::{parse_duration, parse_size};
use crate::load::origin::{self, OriginError, OriginPlan};
use crate::load::plan::{Plan, default_ramp};
use crate::load::target::{Target, TargetError};
use crate::load::tokens::Minter;
use crate::load::{self, Job};
use crate::logging::{Log, LogFormat, LogLevel};
use crate::request::rtmp_url::RtmpUrl;
use crate::token::StreamName;

use super::{BAD_CONFIG, complain, say};

/// The command was not understood, as clap has it.
const USAGE: u8 = 2;

/// The source that media servers come with.
const SOURCE: &str = "rtmp://localhost/play";

/// What belongs to a test, and is nothing to an origin.
const OF_A_TEST: [&str; 14] = [
    "viewers",
    "time",
    "ramp",
    "hls",
    "transport",
    "stream",
    "api_key_env",
    "config",
    "direct",
    "lifetime",
    "source",
    "stall",
    "allow_host",
    "json",
];

/// How often the counts are shown on a terminal, and elsewhere.
const LIVE: Duration = Duration::from_secs(1);
const LOGGED: Duration = Duration::from_secs(10);

/// What viewers play over
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Transport {
    /// All of them over WebSocket
    Websocket,
    /// All of them over HLS
    Hls,
    /// One half each
    Mixed,
}

/// A load test of one's own gate: many viewers, and what they noticed
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("what").required(true).args(["url", "origin"])),
    group(ArgGroup::new("tokens").args(["api_key_env", "config", "direct"])),
    after_help = "Exit codes: 0 when every viewer was served from its first try to the end, 1 when one was not (refused, \
                  failed, lost, or with a picture that stood still at the end) or the test could not start, 2 for a wrong command, 78 for a wrong configuration file."
)]
pub struct Load {
    /// The gate's address, such as http://127.0.0.1:8080; on this machine unless --allow-host names its host
    #[arg(requires = "tokens")]
    url: Option<String>,
    /// How many viewers; 1 to 100000
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    viewers: u32,
    /// How long, from the first viewer on; 1s to 24h
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration, default_value = "30s")]
    time: Duration,
    /// Over how long the viewers come; a tenth of the time and at most 10s unless given
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    ramp: Option<Duration>,
    /// How many of a hundred viewers play HLS
    #[arg(long, value_name = "PERCENT", conflicts_with = "transport")]
    hls: Option<u8>,
    /// What the viewers play over
    #[arg(long, value_enum)]
    transport: Option<Transport>,
    /// What they play, in turn; repeatable
    #[arg(long, value_name = "NAME")]
    stream: Vec<StreamName>,
    /// Mint with the gate's token API and the API key in this environment variable
    #[arg(long, value_name = "VARIABLE")]
    api_key_env: Option<String>,
    /// Mint with the first active key of each stream's organisation in this configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The address is a media server: its paths, no tokens; to see what the gate adds
    #[arg(long)]
    direct: bool,
    /// How long each token is good for; every try mints a new one
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "10m")]
    lifetime: Duration,
    /// The source that viewers name; the configuration's first one, or rtmp://localhost/play
    #[arg(long, value_name = "URL")]
    source: Option<RtmpUrl>,
    /// After how long without a frame a picture stands still, unless frames are rarer
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "2s")]
    stall: Duration,
    /// A host other than this machine, with a gate that is yours
    #[arg(long, value_name = "HOST")]
    allow_host: Option<String>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    /// Threads
    #[arg(long, value_name = "COUNT", default_value_t = NonZeroUsize::MIN)]
    workers: NonZeroUsize,
    /// Be a media server for a load test instead, on this address; it checks no tokens
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = OF_A_TEST)]
    origin: Option<SocketAddr>,
    /// With --origin: bytes of a fragment
    #[arg(long, value_name = "SIZE", value_parser = parse_size, default_value = "8KiB", conflicts_with = "url")]
    fragment: u64,
    /// With --origin: fragments in a second
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 30,
        conflicts_with = "url"
    )]
    rate: u32,
    /// With --origin: bytes of an HLS segment
    #[arg(long, value_name = "SIZE", value_parser = parse_size, default_value = "512KiB", conflicts_with = "url")]
    segment: u64,
    /// With --origin: seconds of an HLS segment
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 2,
        conflicts_with = "url"
    )]
    segment_seconds: u32,
}

/// Runs one command.
pub fn run(command: &Load) -> ExitCode {
    match (&command.origin, &command.url) {
        (Some(address), _) => serve(command, *address),
        (None, Some(url)) => test(command, url),
        (None, None) => usage("an address is needed, or --origin"),
    }
}

fn serve(command: &Load, address: SocketAddr) -> ExitCode {
    let plan = OriginPlan {
        address,
        fragment: command.fragment,
        rate: command.rate,
        segment: command.segment,
        segment_seconds: command.segment_seconds,
        workers: command.workers,
    };
    // What goes wrong while it serves.
    let _log = Log::start(LogFormat::Text, LogLevel::Warn);
    let ended = plan.checked().and_then(|plan| origin::run(plan, say));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error @ (OriginError::Bind { .. } | OriginError::System(_))) => {
            fail(&error.to_string())
        }
        Err(error) => usage(&error.to_string()),
    }
}

fn test(command: &Load, url: &str) -> ExitCode {
    let plan = Plan {
        viewers: command.viewers,
        time: command.time,
        ramp: command.ramp.unwrap_or_else(|| default_ramp(command.time)),
        hls_percent: match (command.hls, command.transport) {
            (Some(percent), _) => percent,
            (None, Some(Transport::Hls)) => 100,
            (None, Some(Transport::Mixed)) => 50,
            (None, Some(Transport::Websocket) | None) => 0,
        },
        streams: command.stream.clone(),
        workers: command.workers,
        stall: command.stall,
        direct: command.direct,
    };
    let plan = match plan.checked() {
        Ok(plan) => plan,
        Err(error) => return usage(&error.to_string()),
    };
    let (minter, configured) = match minter(command) {
        Ok(minter) => minter,
        Err(code) => return code,
    };
    let target = match Target::find(url, command.allow_host.as_deref()) {
        Ok(target) => target,
        Err(error @ (TargetError::NoGate { .. } | TargetError::LookUp { .. })) => {
            return fail(&error.to_string());
        }
        Err(error) => return usage(&error.to_string()),
    };
    let source = command
        .source
        .as_ref()
        .map(|source| source.as_str().to_owned());
    let job = Job {
        plan: Arc::new(plan),
        url: url.to_owned(),
        target,
        source: source.or(configured).unwrap_or_else(|| SOURCE.to_owned()),
        minter,
        lifetime: command.lifetime,
    };
    let live = std::io::stderr().is_terminal();
    let ended = load::run(job, if live { LIVE } else { LOGGED }, |line| {
        show(line, live);
    });
    if live {
        show("", live);
    }
    match ended {
        Ok(report) => {
            if command.json {
                say(&report.json().to_string());
            } else {
                say(&report.text());
            }
            ExitCode::from(u8::from(!report.all_served()))
        }
        Err(error) => fail(&error.to_string()),
    }
}

/// What mints, and the source that a configuration names first.
fn minter(command: &Load) -> Result<(Minter, Option<String>), ExitCode> {
    if let Some(path) = &command.config {
        let config = load_config(path)?;
        let source = config.edge.rtmp_urls.first();
        let source = source.map(|source| source.as_str().to_owned());
        return Ok((Minter::Keys(Arc::new(config.keyring)), source));
    }
    if let Some(variable) = &command.api_key_env {
        return match std::env::var(variable) {
            Ok(key) if !key.is_empty() => Ok((Minter::Api(Arc::new(Zeroizing::new(key))), None)),
            Ok(_) | Err(_) => Err(usage(&format!(
                "the environment variable {variable} has no API key"
            ))),
        };
    }
    Ok((Minter::None, None))
}

fn load_config(path: &Path) -> Result<Config, ExitCode> {
    Config::load(path).map_err(|errors| {
        errors.iter().for_each(|error| complain(&error.to_string()));
        ExitCode::from(BAD_CONFIG)
    })
}

/// A line about what is going on; on a terminal it takes the place of the last one.
fn show(line: &str, live: bool) {
    if live {
        let mut terminal = std::io::stderr();
        // A terminal that has gone away is no reason to stop.
        let _ = write!(terminal, "\r\x1b[2K{line}");
        let _ = terminal.flush();
    } else {
        complain(line);
    }
}

fn usage(message: &str) -> ExitCode {
    complain(message);
    ExitCode::from(USAGE)
}

fn fail(message: &str) -> ExitCode {
    complain(message);
    ExitCode::FAILURE
}
