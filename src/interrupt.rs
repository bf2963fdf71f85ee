//! The signals that end a gate, a test or an origin: SIGINT (Ctrl-C) and SIGTERM. And those that do not end a gate though they
//! end a process by default.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use rustix::process::Signal as Number;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINT and SIGTERM. Once this exists, neither ends the process by itself.
#[derive(Debug)]
pub struct Interrupt {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupt {
    /// Begins to listen. Needs a runtime.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next one. Cancel safe.
    pub async fn recv(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Signals without a meaning for a gate that end a process by default, and that an operator's tool, a timer or a limit may
/// send. SIGHUP, SIGINT, SIGTERM and SIGUSR2 have a meaning; SIGQUIT and SIGABRT ask for a core dump, and the signals of
/// faults, such as SIGSEGV, are left to their default.
const MEANINGLESS: [(Number, &str); 9] = [
    (Number::USR1, "SIGUSR1"),
    (Number::PIPE, "SIGPIPE"),
    (Number::ALARM, "SIGALRM"),
    (Number::VTALARM, "SIGVTALRM"),
    (Number::PROF, "SIGPROF"),
    (Number::IO, "SIGIO"),
    (Number::POWER, "SIGPWR"),
    (Number::STKFLT, "SIGSTKFLT"),
    (Number::XFSZ, "SIGXFSZ"),
];

/// The real-time signals that are free for applications; the system's library keeps the first ones to itself.
const REAL_TIME: std::ops::RangeInclusive<i32> = 34..=64;

/// Keeps these signals from ending the process, from its creation until the process ends.
#[derive(Debug)]
pub struct Meaningless(Vec<(&'static str, Signal)>);

impl Meaningless {
    /// Begins to listen. Needs a runtime.
    pub fn new() -> io::Result<Self> {
        let mut signals = Vec::new();
        for (number, name) in MEANINGLESS {
            signals.push((name, signal(SignalKind::from_raw(number.as_raw()))?));
        }
        // Which real-time signals exist differs between systems; those that cannot be caught are left as they are.
        let real_time = REAL_TIME.filter_map(|number| signal(SignalKind::from_raw(number)).ok());
        signals.extend(real_time.map(|signal| ("a real-time signal", signal)));
        Ok(Self(signals))
    }

    /// Waits for the next one: its name. Cancel safe.
    pub async fn recv(&mut self) -> &'static str {
        poll_fn(|cx| {
            let came = self
                .0
                .iter_mut()
                .find_map(|(name, signal)| signal.poll_recv(cx).is_ready().then_some(*name));
            came.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}
