//! What ends a gate, a test or an origin: Ctrl-C, or the SIGTERM of whoever started it. And what does not end a gate though
//! it would end most processes.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use rustix::process::Signal as Number;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Both signals; from its making on neither ends the process by itself.
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

/// Signals that an operator's tool, a timer or a limit may send, that mean nothing to a gate, and whose default is to end
/// the process. SIGHUP, SIGINT, SIGTERM and SIGUSR2 mean something; SIGQUIT and SIGABRT ask for a core dump, and those of
/// faults tell one.
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

/// Keeps the signals that mean nothing from ending the process, from its making until the process ends.
#[derive(Debug)]
pub struct Meaningless(Vec<(&'static str, Signal)>);

impl Meaningless {
    /// Begins to listen. Needs a runtime.
    pub fn new() -> io::Result<Self> {
        let mut signals = Vec::new();
        for (number, name) in MEANINGLESS {
            signals.push((name, signal(SignalKind::from_raw(number.as_raw()))?));
        }
        // Which of these there are differs between systems; those that cannot be had are left as they are.
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
