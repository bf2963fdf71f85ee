//! A clock that tests move, and gates that go by it.
//!
//! The binary knows the system's clock alone. So such a gate is the binary's command line with another clock, in a process of
//! this test binary.

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use h5gate::clock::{Clock, Hands};
use h5gate::token::{Grant, UnixSeconds};

use super::gate::{SERVE, grant, now};

/// The test below that is a process of its own.
const PROCESS: &str = "support::clock::a_gate_by_this_clock";
/// Of which configuration.
const CONFIG: &str = "H5GATE_TEST_CONFIG";
/// How long the tokens of [`MovedClock::expiring`] are good: longer than any test needs to use one.
const SHORT: u64 = 300;

/// The system's clock, as far ahead as a test says. The gates that are started by it move with it.
#[derive(Clone, Debug, Default)]
pub(crate) struct MovedClock(Arc<Mutex<Moved>>);

#[derive(Debug, Default)]
struct Moved {
    /// In seconds; less than none is behind.
    ahead: i64,
    gates: Vec<UnixStream>,
}

impl MovedClock {
    /// The time of day by this clock.
    pub(crate) fn now(&self) -> u64 {
        now()
            .checked_add_signed(self.0.lock().unwrap().ahead)
            .unwrap()
    }

    /// A grant for `abcde-one` that expires in a few minutes.
    pub(crate) fn expiring(&self) -> Grant {
        let mut grant = grant("abcde-one");
        grant.expires = Some(UnixSeconds::new(self.now() + SHORT));
        grant
    }

    /// Moves on to where a grant has expired.
    pub(crate) fn pass(&self, grant: &Grant) {
        let expires = grant.expires.unwrap().get();
        let left = expires.saturating_sub(self.now());
        self.turn(i64::try_from(left).unwrap() + 1);
    }

    /// Moves by so many seconds, back where they are less than none. All its gates have seen it when this returns.
    pub(crate) fn turn(&self, seconds: i64) {
        let mut moved = self.0.lock().unwrap();
        moved.ahead += seconds;
        moved.gates.retain_mut(|gate| {
            let told = gate.write_all(&seconds.to_le_bytes());
            // One that has ended has no time.
            told.and_then(|()| gate.read_exact(&mut [0])).is_ok()
        });
    }

    /// What runs a gate by this clock.
    pub(crate) fn command(&self, config: &Path) -> Command {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args([PROCESS, "--exact", "--ignored", "--nocapture"])
            .env(CONFIG, config)
            .stdin(OwnedFd::from(theirs))
            .stdout(std::process::Stdio::null());
        let mut moved = self.0.lock().unwrap();
        ours.write_all(&moved.ahead.to_le_bytes()).unwrap();
        moved.gates.push(ours);
        command
    }
}

#[test]
#[ignore = "the gate of other tests, which start it"]
fn a_gate_by_this_clock() {
    let Some(config) = std::env::var_os(CONFIG) else {
        return;
    };
    let input = std::io::stdin().as_fd().try_clone_to_owned();
    let mut test = UnixStream::from(input.unwrap());
    let (clock, hands) = Clock::by_hand(Clock::system().since_1970());
    turn(&hands, seconds(&mut test).unwrap());
    std::thread::spawn(move || {
        while let Some(seconds) = seconds(&mut test) {
            turn(&hands, seconds);
            test.write_all(&[1]).unwrap();
        }
    });
    let arguments = std::iter::once("h5gate").chain(SERVE).map(OsString::from);
    let ended = h5gate::cli::run(arguments.chain([config]), &clock);
    assert_eq!(ended, ExitCode::SUCCESS);
}

fn seconds(test: &mut UnixStream) -> Option<i64> {
    let mut seconds = [0; 8];
    test.read_exact(&mut seconds).ok()?;
    Some(i64::from_le_bytes(seconds))
}

fn turn(hands: &Hands, seconds: i64) {
    let by = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 {
        hands.set_back(by);
    } else {
        hands.advance(by);
    }
}
