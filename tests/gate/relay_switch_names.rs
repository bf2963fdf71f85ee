//! An answer of the media server is known for one whatever names the viewer gave its switch, so that no switch is in force
//! of which the gate believes that it was never answered.

use h5gate::relay::Outcome;
use h5gate::relay::frame::opcode;
use serde_json::{Value, json};

use crate::support::relay::{Rig, STREAM, Setup, URL};

const SUCCESS: &str = "onUpdateSourceSuccess";

/// A switch to a stream by these names.
fn named(stream: &str, names: &Value) -> String {
    let mut body = names.clone();
    body["rtmp"] = json!({ "url": URL, "stream": stream });
    let id = body.as_object_mut().unwrap().remove("requestId");
    let mut message = json!({ "eventType": "onUpdateSource", "onUpdateSource": body });
    if let Some(id) = id {
        message["requestId"] = id;
    }
    message.to_string()
}

/// What a media server answers that names its answers after what it got, with `""` and `0` for what it did not get.
fn success(got: &Value) -> String {
    let body = &got["onUpdateSource"];
    let or = |value: &Value, empty: Value| {
        if value.is_null() {
            empty
        } else {
            value.clone()
        }
    };
    let names =
        json!({ "tag": or(&body["tag"], json!("")), "count": or(&body["count"], json!(0)) });
    json!({ "eventType": SUCCESS, SUCCESS: names, "requestId": or(&got["requestId"], json!(0)) })
        .to_string()
}

impl Rig {
    async fn server_answers(&mut self, got: &Value) {
        let text = success(got);
        self.server_sends(opcode::TEXT, text.as_bytes()).await;
        assert_eq!(self.viewer_gets().await.unwrap().text(), text);
    }

    /// What became of the switches so far, and what plays.
    fn outcome(&self) -> (Vec<Outcome>, String) {
        let settled = self.log.lock().unwrap().settled.clone();
        (settled, self.playing.permit().stream().to_string())
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_by_the_names_of_a_switch_settles_it_and_the_connects_does_not() {
    for names in [
        json!({}),
        json!({ "tag": "", "count": 0 }),
        json!({ "tag": "" }),
        json!({ "count": 0, "requestId": null }),
        json!({ "tag": null, "count": null }),
        json!({ "tag": "", "count": 0, "requestId": -7 }),
        json!({ "tag": "x" }),
        json!({ "count": 9_007_199_254_740_991_u64 }),
    ] {
        let mut rig = Rig::start(Setup::default());
        rig.say(&named("abcde-two", &names)).await;
        let got = rig.server_gets().await.unwrap().json();
        rig.server_answers(&json!({})).await;
        let nothing = (vec![], STREAM.to_owned());
        assert_eq!(rig.outcome(), nothing, "the connect's: {names}");
        rig.server_answers(&got).await;
        let taken = (vec![Outcome::Taken], "abcde-two".to_owned());
        assert_eq!(rig.outcome(), taken, "{names}");
    }
}

#[tokio::test(start_paused = true)]
async fn names_that_may_come_back_otherwise_are_refused() {
    for names in [
        json!({ "tag": { "stream": "x" } }),
        json!({ "tag": ["token"] }),
        json!({ "tag": 7 }),
        json!({ "count": "7" }),
        json!({ "count": 7.5 }),
        json!({ "count": true }),
        json!({ "requestId": "7" }),
        json!({ "requestId": { "rtmp": 1 } }),
        json!({ "requestId": 9_007_199_254_740_993_u64 }),
        json!({ "requestId": u64::MAX }),
    ] {
        let mut rig = Rig::start(Setup::default());
        rig.say(&named("abcde-two", &names)).await;
        let told = rig.viewer_gets().await.unwrap().json();
        assert_eq!(told["onUpdateSourceError"]["code"], 4400, "{names}");
        for key in ["tag", "count"] {
            if let Some(own) = names.get(key) {
                assert_eq!(told["onUpdateSourceError"][key], *own);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn switches_without_a_name_are_told_apart_when_the_last_one_alone_is_answered() {
    let mut rig = Rig::start(Setup::default());
    rig.say(&named("abcde-three", &json!({}))).await;
    rig.server_gets().await.unwrap();
    rig.say(&named("abcde-two", &json!({}))).await;
    let second = rig.server_gets().await.unwrap().json();
    rig.server_answers(&second).await;
    let settled = vec![Outcome::Superseded, Outcome::Taken];
    assert_eq!(rig.outcome(), (settled, "abcde-two".to_owned()));
}
