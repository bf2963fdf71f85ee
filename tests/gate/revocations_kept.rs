//! What was revoked stays revoked when the gate is started anew, and a gate that does not know what was revoked does not
//! start.

use std::fs;

use h5gate::token::Grant;
use serde_json::{Value, json};

use crate::support::clock::MovedClock;
use crate::support::gate::{Gate, grant, mint};
use crate::support::http_server::HttpServer;
use crate::support::media_server::MediaServer;
use crate::support::restart::{Restarts, operate, revoke};
use crate::support::viewer::{Viewer, query};

/// A `state_dir` in front of a WebSocket server.
fn restarts(clock: &MovedClock) -> Restarts {
    let (sockets, hls) = (MediaServer::echo(), HttpServer::start(&[]));
    Restarts::new(
        hls.address,
        Some(sockets.address),
        "[timeouts]\ndrain = \"0s\"",
    )
    .by(clock)
}

fn is_let_in(gate: &Gate, token: &Grant) -> bool {
    let mut viewer = Viewer::open(gate.playback, &query("abcde-one", &mint(token)), &[]);
    viewer.receive().unwrap().opcode == 0x1
}

fn list(gate: &Gate) -> Vec<Value> {
    let (_, list) = operate(gate, "GET", "/api/revocations", &Value::Null);
    list["revocations"].as_array().unwrap().clone()
}

#[test]
fn what_was_revoked_stays_revoked_and_what_was_lifted_stays_lifted_after_a_kill() {
    let clock = MovedClock::default();
    let restarts = restarts(&clock);
    let gate = restarts.start();
    let token = |tag: &str| {
        let mut token = grant("abcde-one");
        token.tag = tag.parse().unwrap();
        token.user = Some(format!("user of {tag}").parse().unwrap());
        token
    };
    let (by_id, by_tag, by_user) = (token("a"), token("a \"tag\" \u{1F980}"), token("c"));
    let (lifted, short) = (token("d"), token("e"));
    let all = [&by_id, &by_tag, &by_user, &lifted, &short];
    assert!(all.iter().all(|token| is_let_in(&gate, token)));
    let answers = [
        revoke(&gate, "token_id", &by_id.id.to_string()),
        revoke(&gate, "tag", by_tag.tag.as_str()),
        revoke(&gate, "user", "user of c"),
    ];
    let soon = clock.now() + 600;
    let ends = json!({"organisation": "abcde", "tag": "e", "ends": soon});
    assert_eq!(operate(&gate, "POST", "/api/revocations", &ends).0, 201);
    let last = revoke(&gate, "tag", "d");
    assert!(
        answers
            .iter()
            .chain([&last])
            .all(|answer| answer["durable"] == true)
    );
    let path = format!("/api/revocations/{}", last["id"].as_str().unwrap());
    let (status, answer) = operate(&gate, "DELETE", &path, &Value::Null);
    assert_eq!((status, &answer["durable"]), (200, &json!(true)));
    let before = list(&gate);
    assert_eq!(before.len(), 4);

    let gate = restarts.killed(gate);
    assert_eq!(list(&gate), before);
    for token in [&by_id, &by_tag, &by_user] {
        assert!(!is_let_in(&gate, token), "{}", token.tag);
    }
    assert!(is_let_in(&gate, &lifted));
    assert!(!is_let_in(&gate, &short));
    // No two of them have one name, though the latest was lifted.
    let next = revoke(&gate, "tag", "f");
    assert!(next["id"] != last["id"], "{next} {last}");
    let number = |answer: &Value| answer["id"].as_str().unwrap()[1..].parse::<u64>().unwrap();
    assert!(number(&next) > number(&last));
    clock.turn(600);
    assert!(is_let_in(&gate, &short));
    let gate = restarts.killed(gate);
    assert!(is_let_in(&gate, &short) && !is_let_in(&gate, &by_tag));
}

#[test]
fn without_a_state_directory_nothing_is_said_to_be_durable() {
    let gate = Gate::before(MediaServer::echo().address);
    let revocation = revoke(&gate, "tag", "x");
    assert_eq!(revocation["durable"], false);
    let path = format!("/api/revocations/{}", revocation["id"].as_str().unwrap());
    assert_eq!(
        operate(&gate, "DELETE", &path, &Value::Null).1["durable"],
        false
    );
}

#[test]
fn a_file_of_revocations_that_cannot_be_used_is_no_start_and_says_what_to_do() {
    let clock = MovedClock::default();
    let restarts = restarts(&clock);
    let file = restarts.file("revocations");
    let gate = restarts.start();
    let token = grant("abcde-one");
    revoke(&gate, "token_id", &token.id.to_string());
    revoke(&gate, "tag", "x");
    drop(gate);
    let good = fs::read(&file).unwrap();
    let text = String::from_utf8(good.clone()).unwrap();
    let changed = |from: &str, to: &str| {
        assert!(text.contains(from), "{text}");
        text.replacen(from, to, 1).into_bytes()
    };
    let lines: Vec<_> = text.lines().collect();
    let bad: [(&str, Vec<u8>); 9] = [
        ("empty", Vec::new()),
        (
            "no UTF-8",
            [&good[..good.len() - 3], &b"\xFF\n"[..]].concat(),
        ),
        ("cut off in a line", good[..good.len() - 20].to_vec()),
        (
            "cut off behind a line",
            format!("{}\n{}\n", lines[0], lines[1]).into_bytes(),
        ),
        ("another token", changed(" token_id \"", " token_id \"0")),
        ("another number of lines", changed(" 3 2 ", " 3 1 ")),
        (
            "of a later version",
            changed("revocations 1 ", "revocations 2 "),
        ),
        (
            "a line too many",
            format!("{text}{}\n", lines[1]).into_bytes(),
        ),
        ("something else", b"{\"revocations\":[]}\n".to_vec()),
    ];
    for (what, bytes) in bad {
        fs::write(&file, &bytes).unwrap();
        let says = restarts.refused();
        let path = file.display().to_string();
        assert!(
            says.contains(&path) && says.contains("move it away"),
            "{what}: {says}"
        );
        assert_eq!(
            fs::read(&file).unwrap(),
            bytes,
            "{what}: it is left as it is"
        );
    }
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert!(restarts.refused().contains("move it away"));
    fs::remove_dir(&file).unwrap();

    fs::write(&file, &good).unwrap();
    assert!(!is_let_in(&restarts.start(), &token));
    // Done as it was told: nothing is revoked any more.
    fs::rename(&file, restarts.file("moved")).unwrap();
    assert!(is_let_in(&restarts.start(), &token));
}
