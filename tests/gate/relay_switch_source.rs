//! The source of a switch may stand in `rtmp`, in `params` or in both (protocol.md 5): one source, however often it is
//! named, and nothing but what was decided goes up.

use std::time::Duration;

use h5gate::relay::frame::opcode;
use serde_json::{Value, json};

use crate::support::relay::{Rig, Setup, URL};

/// A switch with these keys in its body, beside what players always send.
fn switch(keys: &Value) -> String {
    let mut body =
        json!({ "tag": "t", "count": 1, "security": { "token": "h1.a.b.c", "options": "1" } });
    let keys = keys.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(keys);
    json!({ "eventType": "onUpdateSource", "onUpdateSource": body, "requestId": 1 }).to_string()
}

/// What the media server gets of a switch that is granted.
async fn granted(rig: &mut Rig, keys: &Value) -> Value {
    rig.say(&switch(keys)).await;
    let sent = rig.server_gets().await.unwrap().json();
    let settled =
        json!({ "eventType": "onUpdateSourceAbort", "onUpdateSourceAbort": {}, "requestId": 1 });
    rig.server_sends(opcode::TEXT, settled.to_string().as_bytes())
        .await;
    assert_eq!(rig.viewer_gets().await.unwrap().json(), settled, "{keys}");
    sent["onUpdateSource"].clone()
}

const STREAM: &str = "abcde-two";
/// The same source as [`URL`] in another spelling.
const SPELT: &str = "RTMP://LocalHost:1935/play";

#[tokio::test(start_paused = true)]
async fn one_source_is_found_wherever_it_is_named() {
    let mut rig = Rig::start(Setup::default());
    let source = json!({ "url": URL, "stream": STREAM });
    let query = "url=rtmp%3A%2F%2Flocalhost%2Fplay&stream=abcde-two";
    let cases = [
        // Only in params, with and without custom keys.
        (json!({ "params": source }), source.clone()),
        (
            json!({ "params": { "url": SPELT, "stream": STREAM, "x": { "y": 1 } } }),
            json!({ "url": URL, "stream": STREAM, "x": { "y": 1 } }),
        ),
        (json!({ "rtmp": null, "params": source }), source.clone()),
        (json!({ "rtmp": {}, "params": source }), source.clone()),
        (
            json!({ "params": "?stream=abcde-two&url=RTMP%3A%2F%2Flocalhost%2Fplay&x=1" }),
            json!(format!(
                "?stream=abcde-two&url=rtmp%3A%2F%2Flocalhost%2Fplay&x=1"
            )),
        ),
        // In both, in one spelling or in two.
        (json!({ "rtmp": source, "params": source }), source.clone()),
        (
            json!({ "rtmp": source, "params": { "url": SPELT, "stream": STREAM } }),
            source.clone(),
        ),
        (json!({ "rtmp": source, "params": query }), json!(query)),
        // Half here and half there.
        (
            json!({ "rtmp": { "url": SPELT }, "params": { "stream": STREAM } }),
            json!({ "stream": STREAM }),
        ),
        (
            json!({ "rtmp": { "stream": STREAM }, "params": { "url": SPELT, "stream": "" } }),
            source.clone(),
        ),
        (
            json!({ "rtmp": source, "params": "stream=&x=1" }),
            json!("stream=abcde-two&x=1"),
        ),
        // Once more beside both, where no player has it.
        (
            json!({ "rtmp": source, "stream": STREAM, "url": SPELT, "params": {} }),
            json!({}),
        ),
    ];
    for (keys, params) in cases {
        let sent = granted(&mut rig, &keys).await;
        let expected = json!({ "tag": "t", "count": 1, "rtmp": source, "params": params });
        assert_eq!(sent, expected, "{keys}");
    }
}

#[tokio::test(start_paused = true)]
async fn two_sources_or_half_a_one_are_refused_in_band() {
    let mut rig = Rig::start(Setup::default());
    let source = json!({ "url": URL, "stream": STREAM });
    let cases = [
        json!({ "rtmp": source, "params": { "stream": "abcde-three" } }),
        json!({ "rtmp": source, "params": { "stream": "ABCDE-TWO" } }),
        json!({ "rtmp": source, "params": { "url": "rtmp://localhost/other" } }),
        json!({ "rtmp": source, "params": "stream=abcde-three" }),
        json!({ "rtmp": source, "params": "stream=abcde-two&stream=abcde-two" }),
        json!({ "rtmp": source, "params": { "Stream": STREAM } }),
        json!({ "rtmp": source, "params": { "x": { "stream": STREAM } } }),
        json!({ "rtmp": source, "params": { "stream": [STREAM] } }),
        json!({ "rtmp": source, "params": { "rtmp": source } }),
        json!({ "rtmp": source, "stream": "abcde-three" }),
        json!({ "params": source, "url": "rtmp://localhost/other" }),
        json!({ "params": source, "rtmp": "abcde-two" }),
        json!({ "params": source, "rtmp": { "Stream": STREAM } }),
        json!({ "params": { "url": URL } }),
        json!({ "params": { "stream": STREAM } }),
        json!({ "params": "stream=abcde-two" }),
        json!({ "params": { "url": "rtmp://localhost/other", "stream": STREAM } }),
        json!({ "stream": STREAM, "url": URL }),
    ];
    for keys in cases {
        rig.say(&switch(&keys)).await;
        let expected = json!({
            "eventType": "onUpdateSourceError",
            "onUpdateSourceError": { "tag": "t", "count": 1, "requestId": 1, "code": 4400 },
        });
        assert_eq!(rig.viewer_gets().await.unwrap().json(), expected, "{keys}");
    }
    rig.server_gets_nothing_for(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn no_security_in_params_goes_up_but_another_kind_of_token_does() {
    let mut rig = Rig::start(Setup::default());
    let source = json!({ "url": URL, "stream": STREAM });
    let cases = [
        (
            json!({ "params": { "token": "h1.a.b.c", "options": "1", "expires": 5, "tag": "", "jwtoken": "e", "x": 1 } }),
            json!({ "x": 1 }),
        ),
        (
            json!({ "params": "token=h1.a.b.c&options=1&jwtoken=e&x=1" }),
            json!("x=1"),
        ),
        (
            json!({ "params": { "token": "older" } }),
            json!({ "token": "older" }),
        ),
        (json!({ "params": "token=older" }), json!("token=older")),
    ];
    for (mut keys, params) in cases {
        keys["rtmp"] = source.clone();
        assert_eq!(granted(&mut rig, &keys).await["params"], params, "{keys}");
    }
    for params in [
        json!({ "token": "h1.another" }),
        json!({ "options": "3" }),
        json!("token=h1.another"),
        json!({ "Token": "h1.a.b.c" }),
    ] {
        rig.say(&switch(&json!({ "rtmp": source, "params": params })))
            .await;
        let told = rig.viewer_gets().await.unwrap().json();
        assert_eq!(told["onUpdateSourceError"]["code"], 4400, "{params}");
    }
}
