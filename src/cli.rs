//! The command line.

pub mod key;
pub mod load;
pub mod token;

use std::ffi::OsString;
use std::io::Write as _;
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::clock::Clock;
use crate::config::{Config, ConfigError};
use crate::demo::{self, DemoError};
use crate::logging::{Log, LogFormat, LogLevel};
use crate::request::rtmp_url::RtmpUrl;
use crate::serve::{self, Extras, StartError};

/// After how long without a word the operator is told what is waited for.
const SLOW_FILE: Duration = Duration::from_secs(2);

/// The configuration is wrong (`EX_CONFIG` of sysexits.h).
const BAD_CONFIG: u8 = 78;

/// Edge validation proxy for H5Live secure playback.
#[derive(Debug, Parser)]
#[command(name = "h5gate", version, about, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the gate at work: a live picture, a page that plays, all on one address, nothing else needed
    Demo(Demo),
    /// Run the gate until SIGTERM; SIGHUP reads organisations, keys and API keys again
    Serve(Serve),
    /// Read a configuration and report everything that is wrong with it (exit code 78)
    Check(ConfigFile),
    /// A load test of one's own gate: many viewers, and what they noticed
    Load(Box<load::Load>),
    /// Mint and look at tokens
    #[command(subcommand)]
    Token(token::Command),
    /// Make keys
    #[command(subcommand)]
    Key(key::Command),
}

#[derive(Debug, Args)]
struct ConfigFile {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

#[derive(Debug, Args)]
struct Demo {
    /// Where page, token API and playback listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where the operator's side listens, if it is wanted: /metrics, /api/sessions and the rest of it; loopback only
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
}

#[derive(Debug, Args)]
struct Serve {
    #[command(flatten)]
    file: ConfigFile,
    /// How a log line looks
    #[arg(long, value_enum, default_value = "text")]
    log_format: LogFormat,
    /// How much is logged
    #[arg(long, value_enum, default_value = "info")]
    log_level: LogLevel,
}

/// Runs a command line, beginning with the name of the program; what it says of tokens and their expiry it says by `clock`.
#[must_use]
pub fn run(arguments: impl Iterator<Item = OsString>, clock: &Clock) -> ExitCode {
    match Cli::parse_from(arguments).command {
        Command::Demo(command) => demo(&command, clock),
        Command::Serve(command) => serve(&command, clock),
        Command::Check(file) => with_config(&file.config, |config| {
            let weak = config.dangers.iter().chain(&config.warnings);
            weak.for_each(|warning| complain(&format!("warning: {warning}")));
            say(&format!("{}: no errors", file.config.display()));
            if config.listeners.iter().any(|listener| listener.playback) {
                let sources: Vec<_> = config.edge.rtmp_urls.iter().map(RtmpUrl::as_str).collect();
                say(&format!(
                    "players may name the sources {} (upstream.rtmp_urls); any other url is refused with 4400",
                    sources.join(", ")
                ));
            }
            ExitCode::SUCCESS
        }),
        Command::Load(command) => load::run(&command),
        Command::Token(command) => token::run(&command, clock),
        Command::Key(command) => key::run(&command),
    }
}

fn serve(command: &Serve, clock: &Clock) -> ExitCode {
    with_config(&command.file.config, |config| {
        let log = Log::start(command.log_format, command.log_level);
        let extras = Extras {
            clock: clock.clone(),
            config: Some(&command.file.config),
            ..Extras::default()
        };
        match serve::run(config, extras, &log) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                tracing::error!(%error, "not started");
                match error {
                    StartError::State(_) => ExitCode::from(BAD_CONFIG),
                    StartError::Bind { .. } | StartError::System(_) => ExitCode::FAILURE,
                }
            }
        }
    })
}

fn demo(command: &Demo, clock: &Clock) -> ExitCode {
    let log = Log::start(LogFormat::Text, LogLevel::Warn);
    match demo::run(command.listen, command.admin, clock, &log, say) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            if let DemoError::Start(StartError::Bind { address, .. }) = error {
                let next = SocketAddr::new(address.ip(), address.port().wrapping_add(1).max(1024));
                let option = if command.admin == Some(address) {
                    "--admin"
                } else {
                    "--listen"
                };
                complain(&format!("try another one: h5gate demo {option} {next}"));
            }
            ExitCode::FAILURE
        }
    }
}

/// Loads a configuration, or reports everything that is wrong with it.
fn with_config(path: &Path, then: impl FnOnce(Config) -> ExitCode) -> ExitCode {
    match load(path) {
        Ok(config) => then(config),
        Err(errors) => {
            errors.iter().for_each(|error| complain(&error.to_string()));
            ExitCode::from(BAD_CONFIG)
        }
    }
}

/// Loads a configuration, and says so when its files keep it waiting: a pipe that is not written to, or a disk that hangs.
fn load(path: &Path) -> Result<Config, Vec<ConfigError>> {
    let (done, read) = mpsc::channel();
    let file = path.to_owned();
    let loading = thread::spawn(move || drop(done.send(Config::load(&file))));
    let loaded = read.recv_timeout(SLOW_FILE).or_else(|_| {
        let path = path.display();
        complain(&format!(
            "{path} or a secret of it cannot be read yet; waiting for it"
        ));
        read.recv()
    });
    match (loaded, loading.join()) {
        (Ok(loaded), _) => loaded,
        (Err(_), Err(panic)) => resume_unwind(panic),
        (Err(_), Ok(())) => Err(Vec::new()),
    }
}

/// One line on standard output. A reader that has gone away is no reason to panic.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// What a command was called for, on standard output: what could not be written is a failure.
fn print(text: &str) -> ExitCode {
    let mut output = std::io::stdout();
    match writeln!(output, "{text}").and_then(|()| output.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("standard output cannot be written: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// One line on standard error.
fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
