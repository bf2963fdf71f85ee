//! The log: events with fields on standard error, as text or JSON.
//!
//! Lines are written by a thread of their own, so that a blocked or closed pipe holds up no viewer. Lines that come while too
//! many wait, or that the system does not take, are lost and counted.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
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

/// How long the end of the process waits for a log that is not read.
const LAST_WORDS: Duration = Duration::from_millis(1500);

/// The running log. Dropping it writes what waits, for at most a second and a half.
#[derive(Debug)]
pub struct Log {
    lost: LostLines,
    writer: Option<WorkerGuard>,
}

impl Drop for Log {
    fn drop(&mut self) {
        let writer = self.writer.take();
        let (done, ended) = std::sync::mpsc::channel();
        // A write to a pipe that is full and not read blocks. Nothing waits for this thread without a limit.
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
    /// Starts the log of this process. Events of libraries are left out: they may hold tokens.
    #[must_use]
    pub fn start(format: LogFormat, level: LogLevel) -> Self {
        let builder = NonBlockingBuilder::default()
            .lossy(true)
            .buffered_lines_limit(LINES);
        let unwritten = Arc::new(AtomicUsize::new(0));
        let (writer, guard) = builder.finish(LineWriter {
            to: io::stderr(),
            torn: false,
            unwritten: Arc::clone(&unwritten),
        });
        let no_room = writer.error_counter();
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
        // The default hook writes to standard error itself, and would block a worker while that is not read.
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
            lost: LostLines { no_room, unwritten },
            writer: Some(guard),
        }
    }

    /// Counts the lines that are lost.
    #[must_use]
    pub fn lost(&self) -> LostLines {
        self.lost.clone()
    }
}

/// Counts the lines of the log that are lost.
#[derive(Clone, Debug)]
pub struct LostLines {
    no_room: ErrorCounter,
    unwritten: Arc<AtomicUsize>,
}

impl LostLines {
    /// How many, since the start.
    #[must_use]
    pub fn count(&self) -> usize {
        self.no_room.dropped_lines() + self.unwritten.load(Ordering::Relaxed)
    }
}

/// Writes line by line, each of which comes in one piece; those that the system does not take whole (a closed pipe, a full
/// disk) are counted.
struct LineWriter<W> {
    to: W,
    /// The end of the last line is missing.
    torn: bool,
    unwritten: Arc<AtomicUsize>,
}

impl<W: Write> LineWriter<W> {
    fn write_line(&mut self, mut line: &[u8]) -> io::Result<()> {
        while !line.is_empty() {
            match self.to.write(line) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => line = line.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            self.torn = !line.is_empty();
        }
        Ok(())
    }
}

impl<W: Write> Write for LineWriter<W> {
    /// Never fails: a line that is lost is counted here, and the next one may be written again.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let whole = match self.torn {
            true => self.write_line(b"\n").and_then(|()| self.write_line(line)),
            false => self.write_line(line),
        };
        if whole.is_err() {
            self.unwritten.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        // What is not written is counted, and standard error keeps nothing back.
        let _ = self.to.flush();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// Does with each write what the script says: takes so many bytes, or fails.
    struct Scripted {
        script: VecDeque<Result<usize, io::ErrorKind>>,
        taken: Vec<u8>,
    }

    impl Write for Scripted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = self
                .script
                .pop_front()
                .unwrap_or(Ok(usize::MAX))?
                .min(bytes.len());
            self.taken.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }

    fn lines(script: &[Result<usize, io::ErrorKind>]) -> (String, usize) {
        let unwritten = Arc::new(AtomicUsize::new(0));
        let mut writer = LineWriter {
            to: Scripted {
                script: script.iter().copied().collect(),
                taken: Vec::new(),
            },
            torn: false,
            unwritten: Arc::clone(&unwritten),
        };
        for line in ["one\n", "two\n", "three\n"] {
            writer.write_all(line.as_bytes()).unwrap();
            writer.flush().unwrap();
        }
        let count = unwritten.load(Ordering::Relaxed);
        (String::from_utf8(writer.to.taken).unwrap(), count)
    }

    #[test]
    fn a_line_that_the_system_does_not_take_is_counted_and_the_next_is_tried() {
        use io::ErrorKind::{BrokenPipe, Interrupted, StorageFull, WouldBlock};
        let whole = "one\ntwo\nthree\n".to_owned();
        assert_eq!(lines(&[]), (whole.clone(), 0));
        assert_eq!(lines(&[Ok(1), Err(Interrupted), Ok(2)]), (whole, 0));
        for error in [BrokenPipe, StorageFull, WouldBlock] {
            assert_eq!(lines(&[Err(error)]), ("two\nthree\n".to_owned(), 1));
            assert_eq!(lines(&[Err(error); 3]), (String::new(), 3));
            // Half a line ends before the next begins.
            assert_eq!(
                lines(&[Ok(2), Err(error)]),
                ("on\ntwo\nthree\n".to_owned(), 1)
            );
        }
        assert_eq!(lines(&[Ok(0)]), ("two\nthree\n".to_owned(), 1));
    }
}
