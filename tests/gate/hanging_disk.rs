//! A disk that does not answer holds up nothing but what is written to it. The disk of these tests hangs when it is to open
//! a file: there is a pipe in its place.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use h5gate::token::AtExpiry;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::clock::MovedClock;
use crate::support::gate::{Gate, grant, mint};
use crate::support::hls::{ask, entry, outcome, play, server, session};
use crate::support::media_server::MediaServer;
use crate::support::restart::{Restarts, kick, operate, pipe, revoke};
use crate::support::until;
use crate::support::viewer::{Viewer, get, query};

const DISK: &str = "[timeouts]\ndisk = \"500ms\"\ndrain = \"0s\"\n[hls]\nsession_idle = \"5s\"";

/// Makes the disk hang under a running gate, and waits until a write hangs, too.
fn hang(restarts: &Restarts, gate: &Gate) {
    for name in ["hls-sessions.new", "revocations.new"] {
        restarts.hang(name);
    }
    let answer = revoke(gate, "tag", "of the hanging disk");
    assert_eq!(answer["durable"], false);
}

#[test]
fn ends_are_at_once_and_quiet_playbacks_are_over_on_a_disk_that_hangs() {
    let server = server();
    let clock = MovedClock::default();
    let restarts = Restarts::new(server.address, None, DISK).by(&clock);
    let gate = restarts.start();
    hang(&restarts, &gate);
    let (mut cut, revoked, kicked, quiet) = (
        clock.expiring(),
        grant("abcde-one"),
        grant("abcde-one"),
        grant("abcde-one"),
    );
    cut.at_expiry = AtExpiry::Cut;
    let playbacks = [&cut, &revoked, &kicked, &quiet].map(|token| {
        let (ticket, media, _) = play(&gate, &entry(token, "1"));
        (session(&ticket).to_owned(), media)
    });
    let began = Instant::now();
    let answer = revoke(&gate, "token_id", &revoked.id.to_string());
    assert_eq!(
        (&answer["durable"], &answer["sessions_ended"]),
        (&json!(false), &json!(1))
    );
    assert_eq!(kick(&gate, &playbacks[2].0)["durable"], false);
    for index in [1, 2] {
        assert_eq!(outcome(&ask(&gate, &playbacks[index].1)), (403, 4901));
    }
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(ask(&gate, &playbacks[0].1).status, 200);
    clock.pass(&cut);
    assert_eq!(outcome(&ask(&gate, &playbacks[0].1)), (403, 4903));
    // Those that are over and the one that was quiet have been told of by the same task that saves.
    until("all ends in the log", || {
        let log = gate.log();
        let ends = log
            .iter()
            .filter(|line| line["message"] == "playback ended");
        let mut reasons: Vec<_> = ends.map(|line| line["reason"].as_str().unwrap()).collect();
        reasons.sort_unstable();
        (reasons == ["expired", "operator", "quiet", "revoked"]).then_some(())
    });
    assert_eq!(gate.metric("h5gate_sessions"), 0.0);
}

#[test]
fn a_gate_ends_in_time_on_a_disk_that_hangs_and_at_once_when_it_is_told_twice() {
    for twice in [false, true] {
        let (server, sockets) = (server(), MediaServer::echo());
        let tables = match twice {
            false => DISK.to_owned(),
            true => DISK
                .replace("drain = \"0s\"", "drain = \"1h\"")
                .replace("500ms", "1m"),
        };
        let restarts = Restarts::new(server.address, Some(sockets.address), &tables);
        let mut gate = restarts.start();
        for name in ["hls-sessions.new", "revocations.new"] {
            restarts.hang(name);
        }
        let query = query("abcde-one", &mint(&grant("abcde-one")));
        let mut viewers = [0; 2].map(|_| Viewer::open(gate.playback, &query, &[]));
        viewers
            .iter_mut()
            .for_each(|viewer| assert_eq!(viewer.hear(), "hello"));
        gate.signal(Signal::TERM);
        gate.logged("draining");
        if twice {
            gate.signal(Signal::TERM);
        }
        assert!(gate.ended().success());
        if !twice {
            gate.logged("the last state was not saved: the disk did not take it in time");
            viewers
                .iter_mut()
                .for_each(|viewer| assert_eq!(viewer.closed().0, 4503));
        }
    }
}

#[test]
fn the_second_signal_ends_a_gate_that_waits_for_nothing_but_its_disk() {
    let server = server();
    let tables = DISK.replace("500ms", "1m");
    let restarts = Restarts::new(server.address, None, &tables);
    let mut gate = restarts.start();
    restarts.hang("hls-sessions.new");
    gate.signal(Signal::TERM);
    gate.logged("drained");
    gate.signal(Signal::TERM);
    assert!(gate.ended().success());
}

#[test]
fn a_disk_that_answers_again_gets_what_it_missed() {
    let server = server();
    let restarts = Restarts::new(server.address, None, DISK);
    let gate = restarts.start();
    hang(&restarts, &gate);
    let token = grant("abcde-one");
    assert_eq!(
        revoke(&gate, "token_id", &token.id.to_string())["durable"],
        false
    );
    for name in ["hls-sessions.new", "revocations.new"] {
        let (pipe, aside) = (restarts.file(name), restarts.file("pipe"));
        // What waits for the pipe goes on when that is read, and begins anew: a pipe is no disk.
        fs::rename(&pipe, &aside).unwrap();
        fs::read(&aside).unwrap();
    }
    until("the disk", || {
        (revoke(&gate, "tag", "another")["durable"] == true).then_some(())
    });
    let gate = restarts.killed(gate);
    let (_, list) = operate(&gate, "GET", "/api/revocations", &Value::Null);
    assert!(list.to_string().contains(&token.id.to_string()), "{list}");
}

#[test]
fn a_reload_of_files_that_hang_holds_up_nothing_and_the_next_one_counts() {
    for which in ["h5gate.toml", "abcde.secret"] {
        let server = server();
        let restarts = Restarts::new(server.address, None, DISK);
        let mut gate = restarts.start();
        let path = gate.dir().join(which);
        let good = fs::read(&path).unwrap();
        pipe(&path);
        gate.signal(Signal::HUP);
        // It hangs by now: what reads the pipe has opened it, or soon will.
        assert_eq!(get(gate.admin, "/readyz", &[]).status, 200);
        let (ticket, media, _) = play(&gate, &entry(&grant("abcde-one"), "1"));
        kick(&gate, session(&ticket));
        assert_eq!(outcome(&ask(&gate, &media)), (403, 4901));
        let error = gate.logged("configuration not reloaded")["error"].to_string();
        assert!(error.contains("timeouts.disk"), "{error}");
        assert_eq!(gate.metric("h5gate_reloads_total{reason=\"failed\"}"), 1.0);

        fs::remove_file(&path).unwrap();
        crate::support::gate::write_secret(&path, std::str::from_utf8(&good).unwrap());
        gate.signal(Signal::HUP);
        gate.logged("configuration reloaded");
        // Once more, with the end of the gate behind it.
        pipe(&path);
        gate.signal(Signal::HUP);
        gate.signal(Signal::TERM);
        assert!(gate.ended().success());
    }
}

#[test]
fn a_gate_does_not_start_on_a_disk_that_hangs_and_says_so() {
    let server = server();
    for name in ["hls-sessions.new", "revocations.new"] {
        let restarts = Restarts::new(server.address, None, DISK);
        restarts.hang(name);
        let says = restarts.refused();
        let path = restarts.state.display().to_string();
        assert!(
            says.contains(&path) && says.contains("timeouts.disk"),
            "{says}"
        );
    }
}

#[test]
fn a_configuration_that_hangs_is_waited_for_with_a_word() {
    let dir = std::env::temp_dir().join(format!("h5gate-hanging-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let config = dir.join("h5gate.toml");
    pipe(&config);
    for command in ["check", "serve"] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_h5gate"))
            .args([command, "--config"])
            .arg(&config)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let said = lines.next().unwrap().unwrap();
        assert!(
            said.contains(config.to_str().unwrap()) && said.contains("waiting"),
            "{said}"
        );
        // It goes on when the file does.
        fs::write(&config, "[[listener]]\naddress = 7\n").unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(78));
    }
    fs::remove_dir_all(&dir).unwrap();
}
