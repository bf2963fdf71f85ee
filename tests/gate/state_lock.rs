//! A state directory is one gate's at a time: a second gate does not start on it, and one that drains makes way for the next
//! and spoils nothing of it.

use std::fs;
use std::os::unix::fs::symlink;

use h5gate::token::Grant;
use rustix::process::Signal;
use serde_json::Value;

use crate::support::clock::MovedClock;
use crate::support::gate::{Gate, grant, mint};
use crate::support::hls::{ask, begin, entry, play, server, session};
use crate::support::http_server::HttpServer;
use crate::support::media_server::MediaServer;
use crate::support::playing;
use crate::support::restart::{Restarts, kick, operate, revoke};
use crate::support::viewer::{Viewer, query};

/// A long wait for the lock, and a drain that outlasts the test.
const TABLES: &str = "[timeouts]\ndisk = \"20s\"\ndrain = \"1h\"";

struct Servers {
    hls: HttpServer,
    sockets: MediaServer,
}

impl Servers {
    fn start() -> Self {
        Self {
            hls: server(),
            sockets: MediaServer::echo(),
        }
    }

    fn restarts(&self, tables: &str) -> Restarts {
        Restarts::new(self.hls.address, Some(self.sockets.address), tables)
    }
}

fn is_let_in(gate: &Gate, token: &Grant) -> bool {
    let mut viewer = Viewer::open(gate.playback, &query("abcde-one", &mint(token)), &[]);
    viewer.receive().unwrap().opcode == 0x1
}

fn tags(gate: &Gate) -> Vec<String> {
    let (_, list) = operate(gate, "GET", "/api/revocations", &Value::Null);
    let list = list["revocations"].as_array().unwrap();
    let tag = |one: &Value| one["tag"].as_str().unwrap().to_owned();
    list.iter().map(tag).collect()
}

/// Has a gate drain, with two viewers on it, so that it does not end: one of them may be sent away at once.
fn drain(gate: &Gate) -> [Viewer; 2] {
    let viewers = [(); 2].map(|()| playing(gate, "abcde-one"));
    gate.signal(Signal::TERM);
    gate.logged("draining");
    viewers
}

#[test]
fn a_second_gate_does_not_start_on_the_directory_of_one_that_runs() {
    let servers = Servers::start();
    let restarts = servers.restarts(&TABLES.replace("20s", "500ms"));
    let gate = restarts.start();
    revoke(&gate, "tag", "before");
    let link = restarts.file("link");
    symlink(&restarts.state, &link).unwrap();
    for path in [&restarts.state, &link] {
        let (code, says) = restarts.refused_at(path);
        assert_eq!(code, Some(78), "{says}");
        for word in [path.to_str().unwrap(), "process ", "timeouts.disk"] {
            assert!(says.contains(word), "{says}");
        }
    }
    assert_eq!(revoke(&gate, "tag", "behind")["durable"], true);
    let gate = restarts.killed(gate);
    assert_eq!(tags(&gate), ["before", "behind"]);
}

#[test]
fn a_start_waits_for_a_gate_that_is_about_to_drain() {
    let servers = Servers::start();
    let restarts = servers.restarts(TABLES);
    let gate = restarts.start();
    revoke(&gate, "tag", "before");
    let next = restarts.spawn();
    // It reads its configuration by then, or waits already: whichever comes first, it starts.
    let _viewers = drain(&gate);
    let next = next.started();
    assert_eq!(tags(&next), ["before"]);
}

#[test]
fn the_next_gate_starts_beside_one_that_drains_and_nothing_of_it_is_overwritten() {
    let servers = Servers::start();
    let clock = MovedClock::default();
    let restarts = servers.restarts(TABLES).by(&clock);
    let mut old = restarts.start();
    let token = clock.expiring();
    let first = entry(&token, "1");
    let (ticket, media, _) = play(&old, &first);
    let (gone, gone_media, _) = play(&old, &entry(&grant("abcde-one"), "2"));
    revoke(&old, "tag", "before");
    let _viewers = drain(&old);
    // It keeps the directory until another one does.
    assert_eq!(revoke(&old, "tag", "draining")["durable"], true);
    assert_eq!(kick(&old, session(&gone))["durable"], true);

    let next = restarts.start();
    assert_eq!(tags(&next), ["before", "draining"]);
    clock.pass(&token);
    assert_eq!(ask(&next, &media).status, 200, "it goes on there");
    assert_eq!(begin(&next, &first).1, ticket);
    assert_eq!(ask(&next, &gone_media).status, 403);
    assert_eq!(revoke(&next, "tag", "next")["durable"], true);
    let lifted = "/api/revocations/r1";
    assert_eq!(operate(&next, "DELETE", lifted, &Value::Null).0, 200);
    // What is revoked at the old one holds there, and is said to be no more than that.
    let token = grant("abcde-one");
    let id = token.id.to_string();
    assert_eq!(revoke(&old, "token_id", &id)["durable"], false);
    old.signal(Signal::TERM);
    assert!(old.ended().success());
    let next = restarts.killed(next);
    assert_eq!(tags(&next), ["draining", "next"]);
    assert!(is_let_in(&next, &token));
}

#[test]
fn one_that_drains_writes_nothing_over_a_next_one_that_is_gone_again() {
    let servers = Servers::start();
    let restarts = servers.restarts(TABLES);
    let mut old = restarts.start();
    revoke(&old, "tag", "before");
    let viewers = drain(&old);
    let mut next = restarts.start();
    assert_eq!(revoke(&next, "tag", "next")["durable"], true);
    next.signal(Signal::KILL);
    next.ended();
    assert_eq!(revoke(&old, "tag", "too late")["durable"], false);
    drop(viewers);
    // Its end saves nothing either.
    assert!(old.ended().success());
    old.logged("the process that comes next keeps the state");
    assert_eq!(tags(&restarts.start()), ["before", "next"]);
}

#[test]
fn revocations_that_are_on_the_disk_are_not_written_again_at_the_end() {
    let servers = Servers::start();
    let restarts = servers.restarts("[timeouts]\ndrain = \"0s\"");
    let mut gate = restarts.start();
    assert_eq!(revoke(&gate, "tag", "x")["durable"], true);
    let file = restarts.file("revocations");
    fs::write(&file, "left alone").unwrap();
    gate.signal(Signal::TERM);
    assert!(gate.ended().success());
    assert_eq!(fs::read_to_string(&file).unwrap(), "left alone");
}

#[test]
fn a_directory_that_is_not_there_is_no_start_and_is_not_made() {
    let servers = Servers::start();
    let restarts = servers.restarts(TABLES);
    let missing = restarts.file("missing");
    let dangling = restarts.file("dangling");
    symlink(&missing, &dangling).unwrap();
    let below = missing.join("below");
    for path in [&missing, &dangling, &below] {
        let (code, says) = restarts.refused_at(path);
        assert_eq!(code, Some(78), "{says}");
        assert!(
            says.contains(path.to_str().unwrap()) && says.contains("there is no such directory"),
            "{says}"
        );
        assert!(!missing.exists());
    }
    let file = restarts.file("file");
    fs::write(&file, "").unwrap();
    assert_eq!(restarts.refused_at(&file).0, Some(78));
    // In one that is there and empty it starts, with a word.
    fs::create_dir(&missing).unwrap();
    let gate = restarts.start_at(&missing);
    let line = gate.logged(
        "there is no file of revocations: this is a first start, or not the directory that it was",
    );
    assert_eq!(line["level"], "WARN");
}
