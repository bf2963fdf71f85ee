//! Viewer to server is an allow-list, and each switch is decided on its own (protocol.md 5).

use std::time::Duration;

use h5gate::relay::frame::{self, close_payload, opcode};
use h5gate::relay::{Cause, Outcome, RelaySettings};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::support::relay::{Rig, SETTINGS, Setup, URL, switch};

const A_WHILE: Duration = Duration::from_secs(3);

fn answer(event: &str, body: &Value, id: u32) -> String {
    json!({ "eventType": event, event: body, "requestId": id }).to_string()
}

fn outcome(taken: bool) -> Outcome {
    if taken {
        Outcome::Taken
    } else {
        Outcome::NotTaken
    }
}

fn any_message() -> Setup {
    Setup {
        settings: RelaySettings {
            any_message: true,
            ..SETTINGS
        },
        ..Setup::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_denied_switch_is_answered_in_band_and_goes_no_further() {
    let mut rig = Rig::start(Setup::default());
    for (stream, code) in [("fghij-one", 4901), ("a/b", 4400), ("", 4400)] {
        rig.say(&switch(stream, 7)).await;
        let expected = json!({
            "eventType": "onUpdateSourceError",
            "onUpdateSourceError": { "tag": "tag-7", "count": 7, "requestId": 7, "code": code },
        });
        assert_eq!(rig.viewer_gets().await.unwrap().json(), expected);
    }
    rig.server_gets_nothing_for(A_WHILE).await;
    // What plays goes on.
    rig.server_sends(opcode::BINARY, b"media").await;
    assert_eq!(rig.viewer_gets().await.unwrap().payload, b"media");
}

#[tokio::test(start_paused = true)]
async fn a_granted_switch_travels_without_its_security_and_with_the_operators_url() {
    let mut rig = Rig::start(Setup::default());
    let mut message: Value = serde_json::from_str(&switch("abcde-two", 7)).unwrap();
    let body = &mut message["onUpdateSource"];
    body["rtmp"] = json!({ "url": "RTMP://LocalHost:1935/play", "stream": "abcde-two", "x": 1 });
    body["token"] = json!("h1.mine");
    body["jwtoken"] = json!("eyJ");
    body["options"] = json!({ "faststart": 1, "stream": "fghij-one", "x": [{ "Rtmp": {} }] });
    body["params"] = json!({ "a": "b" });
    body["extra"] = json!(1);
    message["onPlay"] = json!({ "rtmp": 1 });
    rig.say(&message.to_string()).await;
    let frame = rig.server_gets().await.unwrap();
    assert!(frame.masked);
    let expected = json!({
        "eventType": "onUpdateSource",
        "onUpdateSource": {
            "tag": "tag-7", "count": 7, "params": { "a": "b" }, "options": { "faststart": 1, "x": [{}] },
            "rtmp": { "url": URL, "stream": "abcde-two" },
        },
        "requestId": 7,
    });
    assert_eq!(frame.json(), expected);
    rig.viewer_gets_nothing_for(A_WHILE).await;
}

#[tokio::test(start_paused = true)]
async fn params_name_no_other_source_and_a_query_in_them_is_written_anew() {
    let mut rig = Rig::start(Setup::default());
    let with = |params: Value| {
        let mut message: Value = serde_json::from_str(&switch("abcde-two", 1)).unwrap();
        message["onUpdateSource"]["params"] = params;
        message.to_string()
    };
    let bad = [
        json!({ "stream": "x" }),
        json!({ "Stream": "x" }),
        json!({ "\u{17f}tream": "x" }),
        json!({ "rtmp": { "stream": "x" } }),
        json!({ "a": { "stream": "x" } }),
        json!({ "a": [{ "token": "x" }] }),
        json!({ "stream[0]": "x" }),
        json!("stream=x"),
        json!("?a=1&stream=x"),
        json!("a=1&str%65am=x"),
        json!("a=%0a"),
        json!(["stream", "x"]),
        json!(1),
    ];
    for params in bad {
        rig.say(&with(params.clone())).await;
        let told = rig.viewer_gets().await.unwrap().json();
        assert_eq!(told["onUpdateSourceError"]["code"], 4400, "{params}");
    }
    let good = [
        (json!("a=1;stream=x&b"), json!("a=1%3Bstream%3Dx&b")),
        (json!("?a=%20+"), json!("?a=%20%2B")),
        (
            json!({ "a": 1, "b": { "c": null } }),
            json!({ "a": 1, "b": { "c": null } }),
        ),
        (Value::Null, Value::Null),
    ];
    for (params, expected) in good {
        rig.say(&with(params)).await;
        assert_eq!(
            rig.server_gets().await.unwrap().json()["onUpdateSource"]["params"],
            expected
        );
        rig.server_sends(
            opcode::TEXT,
            answer("onUpdateSourceSuccess", &json!({}), 1).as_bytes(),
        )
        .await;
        rig.viewer_gets().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn the_servers_word_settles_a_pending_switch() {
    let cases = [
        ("onUpdateSourceSuccess", json!({}), Some(true)),
        (
            "onUpdateSourceAbort",
            json!({ "reason": "equalsource" }),
            Some(true),
        ),
        (
            "onUpdateSourceAbort",
            json!({ "reason": "superseded" }),
            Some(false),
        ),
        ("onUpdateSourceAbort", json!({}), Some(false)),
        ("onUpdateSourceError", json!({}), Some(false)),
        ("onUpdateSourceFail", json!({}), Some(false)),
        ("onServerInfo", json!({}), None),
        ("onUpdateSourceSuccess", json!({ "tag": "another" }), None),
        ("onUpdateSourceSuccess", json!({ "count": 99 }), None),
    ];
    for (event, body, settled) in cases {
        let mut rig = Rig::start(Setup::default());
        rig.say(&switch("abcde-two", 7)).await;
        rig.server_gets().await.unwrap();
        let text = answer(event, &body, 7);
        rig.server_sends(opcode::TEXT, text.as_bytes()).await;
        assert_eq!(
            rig.viewer_gets().await.unwrap().text(),
            text,
            "it passes as it is"
        );
        assert_eq!(
            rig.log.lock().unwrap().settled,
            Vec::from_iter(settled.map(outcome)),
            "{event} {body}"
        );
        let playing = if settled == Some(true) {
            "abcde-two"
        } else {
            "abcde-one"
        };
        assert_eq!(
            rig.playing.permit().stream().to_string(),
            playing,
            "{event} {body}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_settles_the_switch_that_it_names() {
    let mut rig = Rig::start(Setup::default());
    rig.say(&switch("abcde-two", 1)).await;
    rig.say(&switch("abcde-three", 2)).await;
    rig.server_gets().await.unwrap();
    rig.server_gets().await.unwrap();
    rig.server_sends(
        opcode::TEXT,
        answer("onUpdateSourceSuccess", &json!({ "tag": "tag-2" }), 2).as_bytes(),
    )
    .await;
    rig.viewer_gets().await.unwrap();
    assert_eq!(rig.playing.permit().stream().to_string(), "abcde-three");
    rig.server_sends(
        opcode::TEXT,
        answer("onUpdateSourceAbort", &json!({ "tag": "tag-1" }), 1).as_bytes(),
    )
    .await;
    rig.viewer_gets().await.unwrap();
    let settled = [Outcome::Superseded, Outcome::Taken, Outcome::NotTaken];
    assert_eq!(rig.log.lock().unwrap().settled, settled);
    assert_eq!(rig.playing.permit().stream().to_string(), "abcde-three");
}

/// The switch of [`switch`], but for some of what its answer is known by.
fn switch_without(keys: &[&str]) -> Value {
    let mut message: Value = serde_json::from_str(&switch("abcde-two", 7)).unwrap();
    for key in keys {
        message.as_object_mut().unwrap().remove(*key);
        let body = message["onUpdateSource"].as_object_mut().unwrap();
        body.remove(*key);
    }
    message
}

#[tokio::test(start_paused = true)]
async fn the_success_of_the_connect_settles_no_switch() {
    let connects = json!({ "eventType": "onUpdateSourceSuccess",
        "onUpdateSourceSuccess": { "tag": "", "count": 0, "requestId": 0 } });
    let lacking: [&[&str]; 5] = [
        &[],
        &["tag"],
        &["tag", "count"],
        &["requestId"],
        &["tag", "count", "requestId"],
    ];
    for lacking in lacking {
        let mut rig = Rig::start(Setup::default());
        rig.say(&switch_without(lacking).to_string()).await;
        rig.server_gets().await.unwrap();
        rig.server_sends(opcode::TEXT, connects.to_string().as_bytes())
            .await;
        assert_eq!(rig.viewer_gets().await.unwrap().json(), connects);
        assert!(rig.log.lock().unwrap().settled.is_empty(), "{lacking:?}");
        assert_eq!(rig.playing.permit().stream().to_string(), "abcde-one");

        // The answer itself still does.
        rig.server_sends(
            opcode::TEXT,
            answer("onUpdateSourceSuccess", &json!({}), 7).as_bytes(),
        )
        .await;
        rig.viewer_gets().await.unwrap();
        assert_eq!(
            rig.log.lock().unwrap().settled,
            [Outcome::Taken],
            "{lacking:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_switch_that_is_numbered_0_is_settled_by_its_answer() {
    let mut rig = Rig::start(Setup::default());
    let mut message = switch_without(&[]);
    message["requestId"] = json!(0);
    message["onUpdateSource"]["count"] = json!(0);
    message["onUpdateSource"]["tag"] = json!("");
    rig.say(&message.to_string()).await;
    rig.server_gets().await.unwrap();
    let body = json!({ "tag": "", "count": 0, "requestId": 0 });
    // The connect's is the first of them.
    for _ in 0..2 {
        assert!(rig.log.lock().unwrap().settled.is_empty());
        rig.server_sends(
            opcode::TEXT,
            answer("onUpdateSourceSuccess", &body, 0).as_bytes(),
        )
        .await;
        rig.viewer_gets().await.unwrap();
    }
    assert_eq!(rig.log.lock().unwrap().settled, [Outcome::Taken]);
}

#[tokio::test(start_paused = true)]
async fn an_error_in_band_has_every_field_that_players_read() {
    let lacking: [&[&str]; 5] = [
        &[],
        &["tag"],
        &["count"],
        &["requestId"],
        &["tag", "count", "requestId"],
    ];
    for lacking in lacking {
        let mut rig = Rig::start(Setup::default());
        let mut message = switch_without(lacking);
        message["onUpdateSource"]["rtmp"]["stream"] = json!("fghij-one");
        rig.say(&message.to_string()).await;
        let or = |key: &str, given: Value, empty: Value| {
            if lacking.contains(&key) { empty } else { given }
        };
        let expected = json!({
            "tag": or("tag", json!("tag-7"), json!("")),
            "count": or("count", json!(7), json!(0)),
            "requestId": or("requestId", json!(7), json!(0)),
            "code": 4901,
        });
        let told = rig.viewer_gets().await.unwrap().json();
        assert_eq!(told["onUpdateSourceError"], expected);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_fragments_behind_media_is_heard() {
    let mut rig = Rig::start(Setup::default());
    rig.say(&switch("abcde-two", 7)).await;
    rig.server_gets().await.unwrap();
    let text = answer("onUpdateSourceSuccess", &json!({}), 7);
    let (left, right) = text.as_bytes().split_at(9);
    let mut first = frame::from_server(opcode::TEXT, left);
    first[0] &= 0x7f;
    let media = frame::from_server(opcode::BINARY, &[9; 70_000]);
    let bytes = [
        media,
        first,
        frame::from_server(opcode::PING, b"x"),
        frame::from_server(opcode::CONTINUATION, right),
    ]
    .concat();
    for part in bytes.chunks(999) {
        rig.server.write_all(part).await.unwrap();
    }
    for _ in 0..4 {
        rig.viewer_gets().await.unwrap();
    }
    assert_eq!(rig.log.lock().unwrap().settled, [Outcome::Taken]);
}

#[tokio::test(start_paused = true)]
async fn a_listed_message_goes_on_written_anew() {
    let mut rig = Rig::start(Setup::default());
    let texts = [
        (
            r#" { "requestId" : 1 , "eventType":"onPl\u0061y"} "#,
            json!({ "eventType": "onPlay", "requestId": 1 }),
        ),
        (
            r#"{"eventType":"onPause","onPause":{"a":{"stream":"b"}}}"#,
            json!({ "eventType": "onPause", "onPause": { "a": {} } }),
        ),
        (
            r#"{"eventType":"onPlay","requestId":{"rtmp":{"stream":"b"}}}"#,
            json!({ "eventType": "onPlay", "requestId": {} }),
        ),
    ];
    for (text, expected) in texts {
        rig.say(text).await;
        assert_eq!(rig.server_gets().await.unwrap().json(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn an_unlisted_message_is_dropped_and_counted() {
    let mut rig = Rig::start(Setup::default());
    let texts = [
        "{}",
        r#"{"eventType":"onStop"}"#,
        r#"{"eventType":"onupdatesource"}"#,
        r#"{"eventtype":"onPlay"}"#,
    ];
    for text in texts {
        rig.say(text).await;
    }
    rig.server_gets_nothing_for(A_WHILE).await;
    assert_eq!(rig.log.lock().unwrap().dropped, texts.len());
    rig.say(r#"{"eventType":"onPlay"}"#).await;
    assert_eq!(
        rig.server_gets().await.unwrap().json()["eventType"],
        "onPlay"
    );
}

#[tokio::test(start_paused = true)]
async fn whatever_breaks_the_rules_is_4400() {
    let client = |opcode, payload: &[u8]| frame::from_client(opcode, [1, 2, 3, 4], payload);
    let text = |text: &str| client(opcode::TEXT, text.as_bytes());
    let cases = [
        text("hello"),
        text("[]"),
        text(r#"{"eventType":"onPlay","eventType":"onPlay"}"#),
        text("\u{feff}{}"),
        client(opcode::TEXT, b"{\"eventType\":\"\xff\"}"),
        client(opcode::BINARY, br#"{"eventType":"onPlay"}"#),
        client(opcode::PING, &[0; 126]),
        client(0x3, b""),
        frame::from_server(opcode::TEXT, b"{}"),
        text(&format!(
            "{{\"a\":\"{}\"}}",
            "x".repeat(SETTINGS.client_message)
        )),
    ];
    for bytes in cases {
        let mut rig = Rig::start(Setup::default());
        rig.viewer.write_all(&bytes).await.unwrap();
        // A good message behind the bad one comes too late.
        rig.say(r#"{"eventType":"onPlay"}"#).await;
        assert_eq!(rig.viewer_is_closed().await.0, 4400, "{bytes:?}");
        let (end, after) = rig.end().await;
        assert!(
            matches!(end.cause, Cause::Violation(_)) && end.closed,
            "{end:?}"
        );
        assert!(after < Duration::from_millis(1));
        let goodbye = rig.server_gets().await.unwrap();
        assert_eq!(
            (goodbye.opcode, goodbye.code()),
            (opcode::CLOSE, 1000),
            "nothing but a goodbye went on: {bytes:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn where_any_message_passes_a_switch_is_judged_all_the_same() {
    let mut rig = Rig::start(any_message());
    for text in [
        "hello",
        "",
        r#"{"eventType":"custom","x":"a\"b"}"#,
        "[1,2]",
        "/join room",
        "onUpdateSource",
    ] {
        rig.say(text).await;
        assert_eq!(rig.server_gets().await.unwrap().text(), text);
    }
    rig.viewer_sends(opcode::BINARY, &[0, 0xff, 0x7b]).await;
    let frame = rig.server_gets().await.unwrap();
    assert_eq!(
        (frame.opcode, frame.payload.as_slice()),
        (opcode::BINARY, &[0, 0xff, 0x7b][..])
    );

    rig.viewer_sends(opcode::BINARY, switch("fghij-one", 1).as_bytes())
        .await;
    assert_eq!(
        rig.viewer_gets().await.unwrap().json()["onUpdateSourceError"]["code"],
        4901
    );
    rig.viewer_sends(opcode::BINARY, switch("abcde-two", 1).as_bytes())
        .await;
    let frame = rig.server_gets().await.unwrap();
    assert_eq!(
        frame.json()["onUpdateSource"]["rtmp"]["stream"],
        "abcde-two"
    );
    assert!(frame.json()["onUpdateSource"].get("security").is_none());
}

#[tokio::test(start_paused = true)]
async fn where_any_message_passes_what_could_be_read_as_a_switch_does_not() {
    let switch = switch("fghij-one", 1);
    let cases = [
        format!("\u{feff}{switch}"),
        format!("\u{a0}{switch}"),
        format!("\0{switch}"),
        format!("/**/{switch}"),
        format!("//\n{switch}"),
        format!("{switch}{switch}"),
        format!("[{switch}]"),
        format!("{switch},"),
        switch.replace("eventType", "EventType"),
        switch.replace("onUpdateSource", "onupdatesource"),
        switch.replace("onUpdateSource", "onUpdate\\u017fource"),
        switch.replacen(
            "\"onUpdateSource\"",
            "\"x\",\"eventType\":\"onUpdateSource\"",
            1,
        ),
        format!("{{\"x\":{switch}}}"),
    ];
    for text in cases {
        for opcode in [opcode::TEXT, opcode::BINARY] {
            let mut rig = Rig::start(any_message());
            rig.viewer_sends(opcode, text.as_bytes()).await;
            assert_eq!(rig.viewer_is_closed().await.0, 4400, "{text}");
            assert_eq!(
                rig.server_gets().await.unwrap().payload,
                close_payload(1000, ""),
                "{text}"
            );
        }
    }
    let mut rig = Rig::start(any_message());
    rig.viewer_sends(opcode::TEXT, b"hello \xff").await;
    assert_eq!(rig.viewer_is_closed().await.0, 4400);
}

#[tokio::test(start_paused = true)]
async fn a_switch_in_fragments_and_byte_by_byte_is_judged() {
    let mut rig = Rig::start(Setup::default());
    let text = switch("fghij-one", 3);
    let mut bytes = Vec::new();
    let parts: Vec<_> = text.as_bytes().chunks(10).collect();
    for (index, part) in parts.iter().enumerate() {
        let opcode = if index == 0 {
            opcode::TEXT
        } else {
            opcode::CONTINUATION
        };
        let mut frame = frame::from_client(opcode, [1, 2, 3, u8::try_from(index).unwrap()], part);
        if index + 1 < parts.len() {
            frame[0] &= 0x7f;
        }
        bytes.extend(frame);
        bytes.extend(frame::from_client(opcode::PONG, [9; 4], b"h5gate"));
    }
    for byte in bytes {
        rig.viewer.write_all(&[byte]).await.unwrap();
        rig.settle().await;
    }
    assert_eq!(
        rig.viewer_gets().await.unwrap().json()["onUpdateSourceError"]["requestId"],
        3
    );
    rig.server_gets_nothing_for(A_WHILE).await;
}
