//! The log: events with fields on standard error, as text or JSON.
//!
//! Lines are written by a thread of their own, so that a blocked or closed pipe holds up no viewer; lines that find no
//! room are dropped and counted.

use std::time::Duration;

use clap::ValueEnum;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

/// Lines that may wait to be written.
const LINES: usize = 16_384;

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// What needs an operator.
    Error,
    /// What may need one.
    Warn,
    /// A line when a playback starts or is refused, one when it ends. The default.
    Info,
    /// Connections that never became a playback, too.
    Debug,
}

/// How long the end of the process waits for a log that nobody reads.
const LAST_WORDS: Duration = Duration::from_millis(1500);

/// The running log. Dropping it writes what waits, for at most a second and a half.
#[derive(Debug)]
pub struct Log {
    dropped: ErrorCounter,
    writer: Option<WorkerGuard>,
}

impl Drop for Log {
    fn drop(&mut self) {
        let writer = self.writer.take();
        let (done, ended) = std::sync::mpsc::channel();
        // A pipe that is full and not read blocks whoever writes to it: a thread that nobody waits for.
        let flush = move || {
            drop(writer);
            let _ = done.send(());
        };
        if std::thread::Builder::new().spawn(flush).is_ok() {
            let _ = ended.recv_timeout(LAST_WORDS);
        }
    }
}

impl Log {
    /// Starts the log of this process. Libraries are not heard: what they log is not ours to keep free of tokens.
    #[must_use]
    pub fn start(format: LogFormat, level: LogLevel) -> Self {
        let builder = NonBlockingBuilder::default()
            .lossy(true)
            .buffered_lines_limit(LINES);
        let (writer, guard) = builder.finish(std::io::stderr());
        let dropped = writer.error_counter();
        let level = match level {
            LogLevel::Error => "h5gate=error",
            LogLevel::Warn => "h5gate=warn",
            LogLevel::Info => "h5gate=info",
            LogLevel::Debug => "h5gate=debug",
        };
        let log = tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new(level))
            .with_writer(writer)
            .with_target(false);
        match format {
            LogFormat::Text => log.with_ansi(false).init(),
            LogFormat::Json => log.json().flatten_event(true).init(),
        }
        // The default hook writes to standard error itself, and would stop a worker when nobody reads it.
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string);
            let message = panic.payload_as_str().unwrap_or_default();
            tracing::error!(
                place,
                message,
                "a task failed; that playback alone has ended"
            );
        }));
        Self {
            dropped,
            writer: Some(guard),
        }
    }

    /// Counts the lines that found no room.
    #[must_use]
    pub fn dropped(&self) -> ErrorCounter {
        self.dropped.clone()
    }
}
