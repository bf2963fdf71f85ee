//! An end that nothing undoes is at once, on every transport, and is known to the process that comes next.

use std::num::NonZeroU16;

use h5gate::hls::identity::FirstUrl;
use h5gate::token::AtExpiry;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::clock::MovedClock;
use crate::support::gate::{Gate, grant, mint};
use crate::support::hls::{ask, ask_from, begin, entry, gate_with, outcome, play, server, session};
use crate::support::media_server::MediaServer;
use crate::support::restart::{Restarts, kick, operate, revoke};
use crate::support::viewer::{Viewer, query};
use crate::support::{playing, until};

/// How often a playback was said to have ended by this reason.
fn ended(gate: &Gate, session: &str) -> Vec<Value> {
    let log = gate.log();
    let ends = log
        .iter()
        .filter(|line| line["message"] == "playback ended" && line["session"] == session);
    ends.map(|line| line["reason"].clone()).collect()
}

#[test]
fn a_superseded_hls_playback_is_over_for_good_when_it_is_revoked_or_ended() {
    for by_operator in [false, true] {
        let server = server();
        let gate = gate_with(server.address, "");
        let mut once = grant("abcde-one");
        once.sessions = NonZeroU16::new(1);
        // One player; each of its URLs is a playback, and the older ones are superseded.
        let playbacks = ["1", "2"].map(|cid| play(&gate, &entry(&once, cid)));
        let ids = playbacks.each_ref().map(|(ticket, ..)| session(ticket));
        if by_operator {
            ids.iter().for_each(|id| drop(kick(&gate, id)));
        } else {
            assert_eq!(
                revoke(&gate, "token_id", &once.id.to_string())["sessions_ended"],
                2
            );
        }
        let reason = if by_operator { "operator" } else { "revoked" };
        for (id, (_, media, segments)) in ids.iter().zip(&playbacks) {
            for path in [media, &segments[0]] {
                assert_eq!(outcome(&ask(&gate, path)), (403, 4901), "{path}");
            }
            until("the end in the log", || {
                (!ended(&gate, id).is_empty()).then_some(())
            });
            assert_eq!(ended(&gate, id), [reason]);
        }
        assert_eq!(gate.metric("h5gate_sessions"), 0.0);
    }
}

#[test]
fn a_playback_that_was_ended_does_not_begin_anew_from_another_address() {
    for by_operator in [false, true] {
        let server = server();
        let gate = gate_with(server.address, "");
        let token = grant("abcde-one");
        let entry = entry(&token, "1");
        let (ticket, media, _) = play(&gate, &entry);
        if by_operator {
            kick(&gate, session(&ticket));
        } else {
            revoke(&gate, "token_id", &token.id.to_string());
        }
        for address in ["2001:db8::1", "198.51.100.1", "nowhere", "192.0.2.1"] {
            for path in [&entry, &media] {
                let answer = ask_from(&gate, address, path);
                assert_eq!(outcome(&answer), (403, 4901), "{address} {path}");
            }
        }
        assert_eq!(gate.metric("h5gate_sessions"), 0.0);
    }
}

#[test]
fn a_superseded_socket_is_closed_at_once_when_it_is_revoked() {
    let gate = Gate::before(MediaServer::echo().address);
    let mut once = grant("abcde-one");
    once.sessions = NonZeroU16::new(1);
    let query = format!("{}&pid=x", query("abcde-one", &mint(&once)));
    // Superseded, and with ten seconds to go.
    let mut older = Viewer::open(gate.playback, &query, &[]);
    assert_eq!(older.hear(), "hello");
    let mut newer = Viewer::open(gate.playback, &query, &[]);
    assert_eq!(newer.hear(), "hello");
    let began = std::time::Instant::now();
    assert_eq!(
        revoke(&gate, "token_id", &once.id.to_string())["sessions_ended"],
        2
    );
    for viewer in [&mut older, &mut newer] {
        assert_eq!(viewer.closed().0, 4901);
    }
    assert!(began.elapsed().as_secs() < 8, "not when the grace was over");
}

#[test]
fn a_revocation_and_an_operator_end_at_once_in_a_drain() {
    let gate = crate::support::gate::Setup {
        servers: vec![MediaServer::echo().address],
        tables: "[timeouts]\ndrain = \"1h\"",
        ..Default::default()
    };
    let gate = Gate::start(&gate);
    let mut viewers: Vec<_> = (0..3)
        .map(|_| {
            let token = grant("abcde-one");
            let viewer = Viewer::open(gate.playback, &query("abcde-one", &mint(&token)), &[]);
            (token.id.to_string(), viewer)
        })
        .collect();
    viewers
        .iter_mut()
        .for_each(|(_, viewer)| assert_eq!(viewer.hear(), "hello"));
    gate.signal(Signal::TERM);
    gate.logged("draining");
    // The first of them goes at once, the others in twenty minutes and later.
    until("the first one's end", || {
        (gate.metric("h5gate_sessions") == 2.0).then_some(())
    });
    let list = || {
        let (_, list) = operate(&gate, "GET", "/api/sessions", &Value::Null);
        list["sessions"].as_array().unwrap().clone()
    };
    let left = list();
    let of = |token: &Value| {
        let index = viewers.iter().position(|(id, _)| token == id.as_str());
        index.unwrap()
    };
    let (revoked, kicked) = (of(&left[0]["token_id"]), of(&left[1]["token_id"]));
    revoke(&gate, "token_id", &viewers[revoked].0);
    kick(&gate, left[1]["id"].as_str().unwrap());
    for index in [revoked, kicked] {
        assert_eq!(viewers[index].1.closed().0, 4901);
    }
}

#[test]
fn what_was_ended_does_not_go_on_after_a_kill() {
    let server = server();
    let clock = MovedClock::default();
    let restarts = Restarts::new(server.address, None, "").by(&clock);
    let gate = restarts.start();
    // Two whose tokens have expired by the restart, and two whose tokens are good still; one goes on.
    let tokens = [
        clock.expiring(),
        clock.expiring(),
        grant("abcde-one"),
        grant("abcde-one"),
        clock.expiring(),
    ];
    let playbacks = tokens.clone().map(|token| {
        let entry = entry(&token, "1");
        let (ticket, media, _) = play(&gate, &entry);
        (ticket, media, entry)
    });
    until("all of them on the disk", || {
        let saved = std::fs::read_to_string(restarts.file("hls-sessions")).unwrap();
        let is_saved = |(ticket, ..): &(String, _, _)| saved.contains(session(ticket));
        playbacks.iter().all(is_saved).then_some(())
    });
    clock.pass(&tokens[4]);
    for index in [0, 2] {
        assert_eq!(kick(&gate, session(&playbacks[index].0))["durable"], true);
    }
    let revoked = [1, 3].map(|index| revoke(&gate, "token_id", &tokens[index].id.to_string()));
    for revocation in &revoked {
        assert_eq!(revocation["durable"], true);
    }
    // With the revocation lifted the end stands nevertheless.
    let path = format!("/api/revocations/{}", revoked[1]["id"].as_str().unwrap());
    let (status, lifted) = operate(&gate, "DELETE", &path, &Value::Null);
    assert_eq!((status, &lifted["durable"]), (200, &json!(true)));
    let mut gate = restarts.killed(gate);
    for round in 0..2 {
        for (_, media, entry) in &playbacks[..4] {
            for path in [media, entry] {
                assert_eq!(outcome(&ask(&gate, path)), (403, 4901), "{round} {path}");
            }
        }
        let (ticket, media, entry) = &playbacks[4];
        assert_eq!(ask(&gate, media).status, 200);
        assert_eq!(begin(&gate, entry).1, *ticket);
        // Once more, with what the second process has made of it.
        gate = restarts.killed(gate);
    }
}

#[test]
fn what_is_ended_while_it_sleeps_or_when_the_gate_drains_does_not_go_on() {
    let server = server();
    let sockets = MediaServer::echo();
    let clock = MovedClock::default();
    let restarts = Restarts::new(
        server.address,
        Some(sockets.address),
        "[timeouts]\ndrain = \"1h\"",
    )
    .by(&clock);
    let mut gate = restarts.start();
    let token = clock.expiring();
    let security = mint(&token);
    let (url, stream) = (
        "rtmp://localhost/play".parse().unwrap(),
        "abcde-one".parse().unwrap(),
    );
    let name = |cid: &str| {
        let first = FirstUrl {
            security: &security,
            url: &url,
            stream: &stream,
            connection: cid,
            player: "7",
        };
        first.identities("").0.session().text()
    };
    // The drain goes by the names; this one is the first, and goes at once.
    let first = (0..)
        .map(|cid| cid.to_string())
        .find(|cid| name(cid).starts_with("000"));
    let playbacks = [&first.unwrap(), "a", "b"].map(|cid| {
        let entry = entry(&token, cid);
        let (ticket, media, _) = play(&gate, &entry);
        (ticket, media, entry)
    });
    // A gate without a connection has nothing to drain.
    let _viewer = playing(&gate, "abcde-one");
    clock.pass(&token);
    gate.signal(Signal::TERM);
    gate.logged("draining");
    until("the first one's end", || {
        (gate.metric("h5gate_sessions") == 3.0).then_some(())
    });
    let [gone, stays, (ticket, media, first)] = &playbacks;
    for (ticket, ..) in [gone, stays] {
        assert_eq!(kick(&gate, session(ticket))["durable"], true);
    }
    gate.signal(Signal::TERM);
    gate.ended();
    drop(gate);

    let gate = restarts.start();
    for (_, media, entry) in [gone, stays] {
        for path in [media, entry] {
            assert_eq!(outcome(&ask(&gate, path)), (403, 4901), "{path}");
        }
    }
    // This one sleeps: an operator who has its name from before the restart ends it.
    assert_eq!(kick(&gate, session(ticket))["durable"], true);
    let gate = restarts.killed(gate);
    for path in [media, first] {
        assert_eq!(outcome(&ask(&gate, path)), (403, 4901), "{path}");
    }
}

#[test]
fn a_token_that_cuts_has_cut_in_the_next_process_too() {
    let server = server();
    let clock = MovedClock::default();
    let restarts = Restarts::new(server.address, None, "").by(&clock);
    let gate = restarts.start();
    let mut token = clock.expiring();
    token.at_expiry = AtExpiry::Cut;
    let entry = entry(&token, "1");
    let (ticket, media, _) = play(&gate, &entry);
    clock.pass(&token);
    until("the end", || {
        (ended(&gate, session(&ticket)) == ["expired"]).then_some(())
    });
    // What waits for this also waits for the end.
    assert_eq!(revoke(&gate, "tag", "another")["durable"], true);
    let gate = restarts.killed(gate);
    for path in [&media, &entry] {
        assert_eq!(outcome(&ask(&gate, path)), (403, 4903), "{path}");
    }
}

#[test]
fn a_socket_that_was_ended_may_come_back_and_a_revoked_one_may_not() {
    let gate = Gate::before(MediaServer::echo().address);
    let token = grant("abcde-one");
    let query = query("abcde-one", &mint(&token));
    let mut viewer = Viewer::open(gate.playback, &query, &[]);
    assert_eq!(viewer.hear(), "hello");
    let (_, list) = operate(&gate, "GET", "/api/sessions", &Value::Null);
    let answer = kick(&gate, list["sessions"][0]["id"].as_str().unwrap());
    assert_eq!(answer["durable"], false);
    assert_eq!(viewer.closed().0, 4901);
    let mut again = Viewer::open(gate.playback, &query, &[]);
    assert_eq!(again.hear(), "hello");
    assert_eq!(
        revoke(&gate, "token_id", &token.id.to_string())["durable"],
        false
    );
    assert_eq!(again.closed().0, 4901);
    assert_eq!(Viewer::open(gate.playback, &query, &[]).closed().0, 4901);
}
