//! A gate that is started again and again with one `state_dir`.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::Signal;
use serde_json::Value;

use super::clock::MovedClock;
use super::gate::{Gate, Setup};
use super::hls::upstream_of;
use super::viewer::{Answer, request};

/// The directory, and what each of the gates is started with. Removed on drop.
pub(crate) struct Restarts {
    pub(crate) state: PathBuf,
    servers: Vec<SocketAddr>,
    tables: String,
    clock: Option<MovedClock>,
}

impl Restarts {
    /// In front of a media server that has HLS, and perhaps one that has WebSockets.
    pub(crate) fn new(hls: SocketAddr, sockets: Option<SocketAddr>, tables: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("h5gate-restarts-{}-{number}", std::process::id());
        let state = std::env::temp_dir().join(name);
        fs::create_dir_all(&state).unwrap();
        Self {
            state,
            servers: vec![sockets.unwrap_or(hls), hls],
            tables: format!("{tables}\n[client]\ntrusted_proxies = [\"127.0.0.1\"]\n"),
            clock: None,
        }
    }

    /// All of them tell the time by this clock.
    pub(crate) fn by(mut self, clock: &MovedClock) -> Self {
        self.clock = Some(clock.clone());
        self
    }

    fn with<T>(&self, state: &Path, start: impl FnOnce(&Setup<'_>) -> T) -> T {
        let [sockets, hls] = self.servers[..] else {
            unreachable!("as many as it was made with");
        };
        start(&Setup {
            servers: vec![sockets],
            upstream: &upstream_of(hls),
            before: &format!("state_dir = \"{}\"", state.display()),
            tables: &self.tables,
            clock: self.clock.as_ref(),
            ..Setup::default()
        })
    }

    pub(crate) fn start(&self) -> Gate {
        self.start_at(&self.state)
    }

    /// With another directory.
    pub(crate) fn start_at(&self, state: &Path) -> Gate {
        self.with(state, Gate::start)
    }

    /// One that need not come as far as to listen.
    pub(crate) fn spawn(&self) -> Gate {
        self.with(&self.state, Gate::spawn)
    }

    /// What the log says of a gate that does not start.
    pub(crate) fn refused(&self) -> String {
        let (code, says) = self.refused_at(&self.state);
        assert_ne!(code, Some(0));
        says
    }

    /// The same with another directory, and the exit code.
    pub(crate) fn refused_at(&self, state: &Path) -> (Option<i32>, String) {
        let mut gate = self.with(state, Gate::spawn);
        let code = gate.ended().code();
        let line = gate.logged("not started");
        (code, line["error"].as_str().unwrap().to_owned())
    }

    /// Kills one without a word, and starts the next.
    pub(crate) fn killed(&self, mut gate: Gate) -> Gate {
        gate.signal(Signal::KILL);
        gate.ended();
        drop(gate);
        self.start()
    }

    /// The file of this name.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.state.join(name)
    }

    /// Makes a file of this name that whatever opens it waits for, as on a disk that hangs.
    pub(crate) fn hang(&self, name: &str) -> PathBuf {
        let path = self.file(name);
        pipe(&path);
        path
    }

    /// The names of what was set aside.
    pub(crate) fn set_aside(&self) -> Vec<PathBuf> {
        let names = fs::read_dir(&self.state).unwrap();
        let names = names.map(|entry| entry.unwrap().path());
        let is_aside = |path: &PathBuf| path.to_str().unwrap().contains(".bad-");
        names.filter(is_aside).collect()
    }
}

impl Drop for Restarts {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.state);
    }
}

/// Makes a pipe with a name, in the place of what is there.
pub(crate) fn pipe(path: &Path) {
    let _ = fs::remove_file(path);
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// An operator's request, with its answer as JSON.
pub(crate) fn operate(gate: &Gate, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let json = ["Content-Type: application/json"];
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let Answer { status, body, .. } = request(gate.admin, method, path, &json, &body);
    (status, serde_json::from_str(&body).unwrap_or_default())
}

/// Revokes by one field; the revocation.
pub(crate) fn revoke(gate: &Gate, field: &str, value: &str) -> Value {
    let body = serde_json::json!({"organisation": "abcde", field: value});
    let (status, answer) = operate(gate, "POST", "/api/revocations", &body);
    assert_eq!(status, 201, "{answer}");
    answer
}

/// Ends a session; the answer.
pub(crate) fn kick(gate: &Gate, id: &str) -> Value {
    let path = format!("/api/sessions/{id}");
    let (status, answer) = operate(gate, "DELETE", &path, &Value::Null);
    assert_eq!(status, 200, "{answer}");
    answer
}
