//! An answer of the media server that may be to one switch or to another settles nothing for sure: whatever may be in force
//! counts, so that a revocation finds it.

use h5gate::decision::revocation::{Revocation, RevocationId, Target};
use h5gate::relay::Outcome;
use h5gate::relay::frame::opcode;
use serde_json::{Value, json};

use crate::support::relay::{NOW, Rig, STREAM, Setup, URL};

const SUCCESS: &str = "onUpdateSourceSuccess";
const ERROR: &str = "onUpdateSourceError";

/// An event with these names: the id outside, as players and media servers write it.
fn event(event: &str, names: &Value, rtmp: Option<&str>) -> String {
    let mut body = names.clone();
    if let Some(stream) = rtmp {
        body["rtmp"] = json!({ "url": URL, "stream": stream });
    }
    let id = body.as_object_mut().unwrap().remove("requestId");
    let mut message = json!({ "eventType": event, event: body });
    if let Some(id) = id {
        message["requestId"] = id;
    }
    message.to_string()
}

impl Rig {
    /// Two switches, the first to `abcde-two` and the second to `abcde-three`.
    async fn switching_twice(first: &Value, second: &Value) -> Self {
        let mut rig = Self::start(Setup::default());
        for (stream, names) in [("abcde-two", first), ("abcde-three", second)] {
            rig.say(&event("onUpdateSource", names, Some(stream))).await;
            rig.server_gets().await.unwrap();
        }
        rig
    }

    async fn server_tells(&mut self, what: &str, names: &Value) {
        let text = event(what, names, None);
        self.server_sends(opcode::TEXT, text.as_bytes()).await;
        assert_eq!(self.viewer_gets().await.unwrap().text(), text);
    }

    /// The streams of which a revocation meets this playback.
    fn in_force(&self) -> Vec<&'static str> {
        let mut met = Vec::new();
        for stream in [STREAM, "abcde-two", "abcde-three"] {
            let revocation = Revocation {
                id: RevocationId(1),
                owner: "abcde".parse().unwrap(),
                target: Target::Stream(stream.parse().unwrap()),
                issued_until: NOW,
                ends: None,
            };
            if self.sessions.revoke(&revocation, NOW) > 0 {
                met.push(stream);
            }
        }
        met
    }
}

/// Names of two switches, and an answer's that may be to either.
fn shared_names() -> Vec<(Value, Value, Value)> {
    let all = json!({ "tag": "x", "count": 1, "requestId": 1 });
    vec![
        (all.clone(), all.clone(), all.clone()),
        (
            json!({ "tag": "x" }),
            json!({ "tag": "x" }),
            json!({ "tag": "x", "count": 0, "requestId": 0 }),
        ),
        (
            json!({ "count": 7 }),
            json!({ "count": 7 }),
            json!({ "tag": "", "count": 7 }),
        ),
        // Of different names only what the media server repeats counts.
        (
            json!({ "tag": "x", "count": 1, "requestId": 1 }),
            json!({ "tag": "x", "count": 2, "requestId": 2 }),
            json!({ "tag": "x" }),
        ),
        (
            json!({ "tag": "a", "requestId": 5 }),
            json!({ "tag": "b", "requestId": 5 }),
            json!({ "requestId": 5 }),
        ),
        (
            all.clone(),
            json!({ "tag": "y", "count": 2, "requestId": 2 }),
            json!({}),
        ),
        // The viewer's own number is the one that the gate gave to a switch without any.
        (
            json!({}),
            json!({ "requestId": 1_000_000_001 }),
            json!({ "requestId": 1_000_000_001 }),
        ),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_may_be_of_either_leaves_both_in_force() {
    for (first, second, told) in shared_names() {
        let mut rig = Rig::switching_twice(&first, &second).await;
        rig.server_tells(ERROR, &told).await;
        let all = vec![STREAM, "abcde-two", "abcde-three"];
        assert_eq!(rig.in_force(), all, "{first} {second}");

        // What is certain to be taken later is alone in force.
        let mut rig = Rig::switching_twice(&first, &second).await;
        rig.server_tells(ERROR, &told).await;
        let other = json!({ "tag": "other", "count": 99, "requestId": 99 });
        rig.say(&event("onUpdateSource", &other, Some("abcde-two")))
            .await;
        rig.server_gets().await.unwrap();
        rig.server_tells(SUCCESS, &other).await;
        assert_eq!(rig.in_force(), ["abcde-two"], "{first} {second}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_success_that_may_be_of_either_replaces_what_played_and_leaves_both_in_force() {
    for (first, second, told) in shared_names() {
        let mut rig = Rig::switching_twice(&first, &second).await;
        rig.server_tells(SUCCESS, &told).await;
        let both = ["abcde-two", "abcde-three"];
        assert_eq!(rig.in_force(), both, "{first} {second}");

        // The one that failed is the first or the second.
        let mut rig = Rig::switching_twice(&first, &second).await;
        rig.server_tells(SUCCESS, &told).await;
        rig.server_tells(ERROR, &told).await;
        assert_eq!(rig.in_force(), both, "{first} {second}");

        // One answer for each: the last one is in force.
        let mut rig = Rig::switching_twice(&first, &second).await;
        rig.server_tells(SUCCESS, &told).await;
        rig.server_tells(SUCCESS, &told).await;
        assert_eq!(rig.in_force(), ["abcde-three"], "{first} {second}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_before_the_second_is_sent_is_the_firsts() {
    let names = json!({ "tag": "x", "count": 1, "requestId": 1 });
    let mut rig = Rig::start(Setup::default());
    rig.say(&event("onUpdateSource", &names, Some("abcde-two")))
        .await;
    rig.server_gets().await.unwrap();
    rig.server_tells(ERROR, &names).await;
    rig.say(&event("onUpdateSource", &names, Some("abcde-three")))
        .await;
    rig.server_gets().await.unwrap();
    rig.server_tells(SUCCESS, &names).await;
    assert_eq!(rig.in_force(), ["abcde-three"]);
}

#[tokio::test(start_paused = true)]
async fn the_answer_to_the_connect_answers_no_switch_whatever_its_names() {
    let connects = json!({ "tag": "", "count": 0, "requestId": 0 });
    for names in [
        json!({ "tag": "", "count": 0, "requestId": 0 }),
        json!({ "tag": "", "requestId": 0 }),
        json!({ "count": 0, "requestId": 0 }),
        json!({ "requestId": 0 }),
        json!({ "tag": null, "count": null, "requestId": 0 }),
        json!({}),
    ] {
        for greeting in [SUCCESS, ERROR, "onUpdateSourceAbort"] {
            let mut rig = Rig::start(Setup::default());
            rig.say(&event("onUpdateSource", &names, Some("abcde-two")))
                .await;
            let got = rig.server_gets().await.unwrap().json();
            rig.server_tells(greeting, &connects).await;
            assert_eq!(rig.log.lock().unwrap().settled, [], "{greeting} {names}");

            // It comes once: what is named so behind it is the switch's answer.
            let mut own = connects.clone();
            own["requestId"] = got["requestId"].clone();
            rig.server_tells(SUCCESS, &own).await;
            let settled = rig.log.lock().unwrap().settled.clone();
            assert_eq!(settled, [Outcome::Taken], "{greeting} {names}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn behind_media_the_answer_to_the_connect_is_not_waited_for() {
    let names = json!({ "tag": "", "count": 0, "requestId": 0 });
    let mut rig = Rig::start(Setup::default());
    rig.server_sends(opcode::BINARY, b"media").await;
    rig.viewer_gets().await.unwrap();
    rig.say(&event("onUpdateSource", &names, Some("abcde-two")))
        .await;
    rig.server_gets().await.unwrap();
    rig.server_tells(SUCCESS, &names).await;
    assert_eq!(rig.log.lock().unwrap().settled, [Outcome::Taken]);

    // A switch that was sent before the media may have it before it all the same.
    let mut rig = Rig::start(Setup::default());
    rig.say(&event("onUpdateSource", &names, Some("abcde-two")))
        .await;
    rig.server_gets().await.unwrap();
    rig.server_sends(opcode::BINARY, b"media").await;
    rig.viewer_gets().await.unwrap();
    rig.server_tells(SUCCESS, &names).await;
    assert_eq!(rig.log.lock().unwrap().settled, []);
}
