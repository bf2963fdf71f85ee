//! The gate's own binary, with two organisations and the names of the tests.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use h5gate::token::{
    Grant, Key, KeyState, Keyring, Owner, Scope, Secret, Security, TokenId, UnixSeconds,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::clock::MovedClock;
use super::until;

/// The API key of organisation `abcde`.
pub(crate) const API_KEY: &str = "the-api-key-of-abcde";

/// The command that runs a gate, but for the name of its configuration.
pub(crate) const SERVE: [&str; 6] = [
    "serve",
    "--log-format",
    "json",
    "--log-level",
    "debug",
    "--config",
];

/// A running gate; killed when dropped.
pub(crate) struct Gate {
    child: Child,
    log: Arc<Mutex<Vec<Value>>>,
    log_closed: Arc<AtomicBool>,
    dir: PathBuf,
    pub(crate) playback: SocketAddr,
    pub(crate) admin: SocketAddr,
}

/// What a configuration of the tests says, beside keys and listeners.
#[derive(Default)]
pub(crate) struct Setup<'a> {
    /// `host:port` of media servers.
    pub(crate) servers: Vec<SocketAddr>,
    /// Lines of `[[listener]]`, `[upstream]`, `[admin]` and `[[organisation]]` of abcde.
    pub(crate) listener: &'a str,
    pub(crate) upstream: &'a str,
    pub(crate) admin: &'a str,
    pub(crate) organisation: &'a str,
    /// Lines above all tables.
    pub(crate) before: &'a str,
    /// Whole further tables.
    pub(crate) tables: &'a str,
    /// What it tells the time by, in the place of the system's clock.
    pub(crate) clock: Option<&'a MovedClock>,
}

impl Gate {
    pub(crate) fn start(setup: &Setup<'_>) -> Self {
        Self::spawn(setup).started()
    }

    /// Waits until it listens.
    pub(crate) fn started(mut self) -> Self {
        self.admin = self.listening("admin");
        self.playback = self.listening("playback token-api");
        self
    }

    /// One that need not come as far as to listen.
    pub(crate) fn spawn(setup: &Setup<'_>) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "h5gate-test-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        for (owner, byte) in SECRETS {
            let text = base64::engine::general_purpose::STANDARD.encode([byte; 32]);
            write_secret(&dir.join(format!("{}.secret", file_name(owner))), &text);
        }
        let config = dir.join("h5gate.toml");
        std::fs::write(&config, toml(setup)).unwrap();
        let mut command = match setup.clock {
            Some(clock) => clock.command(&config),
            None => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_h5gate"));
                command.args(SERVE).arg(&config);
                command
            }
        };
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log_closed = Arc::new(AtomicBool::new(false));
        let (kept, closed) = (Arc::clone(&log), Arc::clone(&log_closed));
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if closed.load(Ordering::Relaxed) {
                    return;
                }
                let value = serde_json::from_str(&line).unwrap_or(Value::String(line));
                kept.lock().unwrap().push(value);
            }
        });
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            child,
            log,
            log_closed,
            dir,
            playback: nowhere,
            admin: nowhere,
        }
    }

    /// A gate in front of one media server.
    pub(crate) fn before(server: SocketAddr) -> Self {
        Self::start(&Setup {
            servers: vec![server],
            ..Setup::default()
        })
    }

    fn listening(&self, serves: &str) -> SocketAddr {
        until(
            &format!("the {serves} listener in {:#?}", self.log()),
            || {
                let log = self.log();
                let line = log
                    .iter()
                    .find(|line| line["message"] == "listening" && line["serves"] == serves)?;
                line["address"].as_str()?.parse().ok()
            },
        )
    }

    /// Every log line so far.
    pub(crate) fn log(&self) -> Vec<Value> {
        self.log.lock().unwrap().clone()
    }

    /// Closes the reading end of the log's pipe, with the next line.
    pub(crate) fn close_log(&self) {
        self.log_closed.store(true, Ordering::Relaxed);
    }

    /// Waits for a log line with this message; the latest.
    pub(crate) fn logged(&self, message: &str) -> Value {
        until(&format!("the log line {message:?}"), || {
            self.log()
                .into_iter()
                .rev()
                .find(|line| line["message"] == message)
        })
    }

    /// Writes the configuration anew; to be read at the next SIGHUP.
    pub(crate) fn rewrite(&self, setup: &Setup<'_>) {
        std::fs::write(self.dir.join("h5gate.toml"), toml(setup)).unwrap();
    }

    /// Writes any text as the configuration.
    pub(crate) fn rewrite_text(&self, text: &str) {
        std::fs::write(self.dir.join("h5gate.toml"), text).unwrap();
    }

    /// Where its files are.
    pub(crate) fn dir(&self) -> &std::path::Path {
        &self.dir
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Sends a signal by its number, also one of those that have no name.
    pub(crate) fn signal_number(&self, number: i32) {
        let status = Command::new("kill")
            .args([format!("-{number}"), self.child.id().to_string()])
            .status();
        assert!(status.unwrap().success(), "signal {number}");
    }

    /// Waits for the process to end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        until("the gate's end", || self.child.try_wait().unwrap())
    }

    /// The bytes of memory that the process holds of its own, files not counted.
    pub(crate) fn memory(&self) -> usize {
        let status = self.process("status");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        kilobytes.unwrap().parse::<usize>().unwrap() * 1024
    }

    /// The processor time of the process so far, in the kernel's ticks.
    pub(crate) fn cpu_ticks(&self) -> u64 {
        let stat = self.process("stat");
        // Fields 14 and 15 of proc_pid_stat(5): behind the name are the third and those after it.
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let times = fields.split(' ').skip(11).take(2);
        times.map(|ticks| ticks.parse::<u64>().unwrap()).sum()
    }

    fn process(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).unwrap()
    }

    /// The value of one series of `/metrics`, or the sum of all series of a name such as `h5gate_sessions`; 0 when there is
    /// none.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let text = super::viewer::get(self.admin, "/metrics", &[]).body;
        let of_series = text.lines().filter(|line| {
            line.strip_prefix(series)
                .is_some_and(|rest| rest.starts_with([' ', '{']))
        });
        let values = of_series.map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        values.map(Option::unwrap).sum()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
        if std::thread::panicking() {
            for line in self.log() {
                let _ = writeln!(std::io::stderr(), "gate: {line}");
            }
        }
    }
}

/// Writes a secret that only its owner may read.
pub(crate) fn write_secret(path: &std::path::Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// The owners of the tests' keys, and the byte of which their secret is made.
const SECRETS: [(&str, u8); 3] = [("abcde", 1), ("fghij", 2), ("*", 3)];

fn file_name(owner: &str) -> &str {
    if owner == "*" { "unlisted" } else { owner }
}

fn toml(setup: &Setup<'_>) -> String {
    use sha2::{Digest as _, Sha256};
    let digest: String = Sha256::digest(API_KEY)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let servers: Vec<_> = setup
        .servers
        .iter()
        .map(|address| format!("\"http://{address}\""))
        .collect();
    let mut text = format!(
        "{}\n[[listener]]\naddress = \"127.0.0.1:0\"\nserves = [\"playback\", \"token-api\"]\n{}\n\
         [admin]\naddress = \"127.0.0.1:0\"\n{}\n[upstream]\nservers = [{}]\n{}\n{}\n",
        setup.before,
        setup.listener,
        setup.admin,
        servers.join(", "),
        setup.upstream,
        setup.tables,
    );
    for (owner, _) in SECRETS {
        let file = file_name(owner);
        text += &format!("[[organisation]]\nhash = \"{owner}\"\n");
        if owner == "abcde" {
            text += &format!(
                "api_keys = [{{ id = \"test\", sha256 = \"{digest}\" }}]\n{}\n",
                setup.organisation
            );
        }
        text +=
            &format!("[[organisation.key]]\nid = \"{file}-1\"\nsecret_file = \"{file}.secret\"\n");
    }
    text
}

/// The keys of the tests' configuration, to mint what the API would not.
pub(crate) fn keyring() -> Keyring {
    let keys = SECRETS.map(|(owner, byte)| {
        let secret = Secret::new(vec![byte; 32]).unwrap();
        let id = format!("{}-1", file_name(owner)).parse().unwrap();
        Key::new(id, owner.parse().unwrap(), KeyState::Active, &secret)
    });
    Keyring::new([], keys).unwrap()
}

/// The time of day.
pub(crate) fn now() -> u64 {
    h5gate::clock::Clock::system().now().get()
}

/// A grant for one stream, a minute old and good for an hour.
pub(crate) fn grant(stream: &str) -> Grant {
    let id = TokenId::new(std::array::from_fn(|_| fastish_random()));
    let mut grant = Grant::new(
        id,
        UnixSeconds::new(now() - 60),
        Scope::stream(stream.parse().unwrap()),
    );
    grant.expires = Some(UnixSeconds::new(now() + 3600));
    grant
}

/// Mints with the key of the grant's own organisation.
pub(crate) fn mint(grant: &Grant) -> Security {
    let keyring = keyring();
    let owner = match &grant.scope {
        Scope::Streams(streams) => keyring.owner_of(&streams[0]),
        Scope::Organisation(hash) => Owner::Organisation(hash.clone()),
    };
    keyring.mint(&owner, grant).unwrap()
}

fn fastish_random() -> u8 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(0).to_le_bytes()[0]
}
