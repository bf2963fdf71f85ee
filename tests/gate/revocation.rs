//! A revoked token ends its sessions and starts no more.

use h5gate::token::{Security, UnixSeconds};
use serde_json::{Value, json};

use crate::support::gate::{Gate, grant, mint};
use crate::support::media_server::MediaServer;
use crate::support::playing;
use crate::support::until;
use crate::support::viewer::{Viewer, query, request};

#[test]
fn a_revoked_token_ends_its_sessions_and_starts_no_more() {
    let gate = Gate::before(MediaServer::echo().address);
    let mut mine = grant("abcde-one");
    mine.user = Some("viewer-7".parse().unwrap());
    let security = mint(&mine);
    let mut viewer = Viewer::open(gate.playback, &query("abcde-one", &security), &[]);
    assert_eq!(viewer.hear(), "hello");
    let mut bystander = playing(&gate, "abcde-one");

    let body = json!({"organisation": "abcde", "user": "viewer-7"}).to_string();
    let answer = request(
        gate.admin,
        "POST",
        "/api/revocations",
        &["Content-Type: application/json"],
        &body,
    );
    assert_eq!(answer.status, 201, "{answer:?}");
    let revocation: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(revocation["sessions_ended"], 1);
    assert_eq!(viewer.closed().0, 4901);
    assert_eq!(
        Viewer::open(gate.playback, &query("abcde-one", &security), &[])
            .closed()
            .0,
        4901
    );
    bystander.say(r#"{"eventType":"onPlay"}"#);
    assert_eq!(bystander.hear(), r#"echo:{"eventType":"onPlay"}"#);

    let path = format!("/api/revocations/{}", revocation["id"].as_str().unwrap());
    assert_eq!(request(gate.admin, "DELETE", &path, &[], "").status, 200);
    assert_eq!(
        Viewer::open(gate.playback, &query("abcde-one", &security), &[]).hear(),
        "hello"
    );

    for bad in [
        json!({"organisation": "abcde"}),
        json!({"organisation": "no", "tag": "x"}),
        json!({"organisation": "abcde", "tag": "x", "user": "y"}),
        json!({"organisation": "abcde", "colour": "red"}),
        json!({"organisation": "abcde", "token_id": "xyz"}),
    ] {
        let answer = request(
            gate.admin,
            "POST",
            "/api/revocations",
            &["Content-Type: application/json"],
            &bad.to_string(),
        );
        assert_eq!(answer.status, 400, "{bad}");
    }
}

/// A switch, by a token of its own.
fn switch(stream: &str, number: u32) -> (String, String) {
    let mut mine = grant(stream);
    mine.tag = format!("switch-{number}").parse().unwrap();
    let Security {
        expires,
        tag,
        token,
        options,
    } = mint(&mine);
    let body = json!({
        "tag": "", "count": number, "rtmp": {"url": "rtmp://localhost/play", "stream": stream},
        "security": {"expires": expires, "tag": tag, "token": token, "options": options},
    });
    let message =
        json!({"eventType": "onUpdateSource", "onUpdateSource": body, "requestId": number});
    (mine.id.to_string(), message.to_string())
}

#[test]
fn a_token_that_was_revoked_while_a_later_one_played_ends_what_it_comes_to_play() {
    let taken = |number: u32| {
        let names = json!({"tag": "", "count": number});
        json!({"eventType": "onUpdateSourceSuccess", "onUpdateSourceSuccess": names, "requestId": number})
            .to_string()
    };
    let server = MediaServer::start(move |mut gate| {
        gate.greet();
        for answers in ["", "2", "1"] {
            gate.receive().unwrap();
            if let Ok(number) = answers.parse() {
                gate.send(0x1, taken(number).as_bytes());
            }
        }
        while gate.receive().is_some() {}
    });
    let gate = Gate::before(server.address);
    let mut viewer = playing(&gate, "abcde-one");
    let (first, message) = switch("abcde-two", 1);
    viewer.say(&message);
    viewer.say(&switch("abcde-three", 2).1);
    assert_eq!(viewer.hear(), taken(2));
    // The viewer hears of it before the gate has noted it.
    until("the third stream plays", || {
        let sessions = request(gate.admin, "GET", "/api/sessions", &[], "").body;
        sessions.contains("abcde-three").then_some(())
    });
    let revoke = json!({"organisation": "abcde", "token_id": first}).to_string();
    let json = ["Content-Type: application/json"];
    let answer = request(gate.admin, "POST", "/api/revocations", &json, &revoke);
    let revocation: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(revocation["sessions_ended"], 0, "what plays is another's");
    viewer.say(r#"{"eventType":"onPlay"}"#);
    assert_eq!(viewer.hear(), taken(1));
    assert_eq!(viewer.closed().0, 4901);
}

#[test]
fn a_token_of_a_fast_clock_can_be_revoked() {
    let gate = Gate::before(MediaServer::echo().address);
    for target in ["token_id", "tag"] {
        let mut early = grant("abcde-one");
        early.issued_at = UnixSeconds::new(crate::support::gate::now() + 300);
        early.tag = "from-the-future".parse().unwrap();
        let query = query("abcde-one", &mint(&early));
        let mut viewer = Viewer::open(gate.playback, &query, &[]);
        assert_eq!(viewer.hear(), "hello");
        let id = early.id.to_string();
        let value = if target == "tag" {
            "from-the-future"
        } else {
            &id
        };
        let body = json!({"organisation": "abcde", target: value}).to_string();
        let json = ["Content-Type: application/json"];
        assert_eq!(
            request(gate.admin, "POST", "/api/revocations", &json, &body).status,
            201
        );
        assert_eq!(viewer.closed().0, 4901, "{target}");
        assert_eq!(
            Viewer::open(gate.playback, &query, &[]).closed().0,
            4901,
            "{target}"
        );
    }
}
