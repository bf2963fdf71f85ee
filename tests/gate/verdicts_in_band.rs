//! Every row of the decision table, in band: each switch is a playback start (protocol.md 5).

use h5gate::token::{Grant, Scope, Security, UnixSeconds};
use serde_json::{Value, json};

use crate::support::gate::{Gate, Setup, grant, mint, now};
use crate::support::media_server::MediaServer;
use crate::support::viewer::{Viewer, query};

/// A viewer that plays `abcde-one`, past the server's greeting.
fn playing(gate: &Gate, security: &Security) -> Viewer {
    let mut viewer = Viewer::open(
        gate.playback,
        &query("abcde-one", security),
        &["Origin: https://page.test"],
    );
    assert_eq!(viewer.hear(), "hello");
    viewer
}

fn good(stream: &str) -> Security {
    mint(&grant(stream))
}

fn changed(stream: &str, change: impl FnOnce(&mut Grant)) -> Security {
    let mut grant = grant(stream);
    change(&mut grant);
    mint(&grant)
}

fn security_json(security: &Security) -> Value {
    json!({"expires": security.expires, "tag": security.tag, "token": security.token, "options": security.options})
}

/// A switch as a player writes it.
fn switch(rtmp: &Value, security: Option<Value>) -> Value {
    let mut body =
        json!({"options": {"faststart": 1}, "tag": "switch-7", "count": 3, "rtmp": rtmp});
    if let Some(security) = security {
        body["security"] = security;
    }
    json!({"eventType": "onUpdateSource", "onUpdateSource": body, "requestId": 42})
}

fn to(stream: &str) -> Value {
    json!({"url": "rtmp://localhost/play", "stream": stream})
}

fn denials() -> Vec<(&'static str, u16, Value)> {
    let two = || security_json(&good("abcde-two"));
    let with = |key: &str, value: Value| {
        let mut security = two();
        security[key] = value;
        security
    };
    let of = |security: &Security| Some(security_json(security));
    let mut params = switch(&to("abcde-two"), Some(two()));
    params["onUpdateSource"]["params"] = json!({"stream": "abcde-three"});
    let mut query_params = switch(&to("abcde-two"), Some(two()));
    query_params["onUpdateSource"]["params"] = json!("?x=1&stream=abcde-three");
    vec![
        (
            "no rtmp",
            4400,
            json!({"eventType": "onUpdateSource", "onUpdateSource": {"tag": "switch-7", "count": 3}, "requestId": 42}),
        ),
        (
            "no stream",
            4400,
            switch(&json!({"url": "rtmp://localhost/play"}), Some(two())),
        ),
        (
            "no url",
            4400,
            switch(&json!({"stream": "abcde-two"}), Some(two())),
        ),
        (
            "another source",
            4400,
            switch(
                &json!({"url": "rtmp://evil.test/play", "stream": "abcde-two"}),
                Some(two()),
            ),
        ),
        (
            "a stream that is no name",
            4400,
            switch(&to("a/b"), Some(two())),
        ),
        (
            "a stream that is no string",
            4400,
            switch(
                &json!({"url": "rtmp://localhost/play", "stream": ["abcde-two"]}),
                Some(two()),
            ),
        ),
        (
            "a stream in other letter case beside it",
            4400,
            switch(
                &json!({"url": "rtmp://localhost/play", "stream": "abcde-two", "Stream": "abcde-three"}),
                Some(two()),
            ),
        ),
        ("params that name a stream", 4400, params),
        ("params that name a stream as a query", 4400, query_params),
        (
            "security that is no object",
            4400,
            switch(&to("abcde-two"), Some(json!("h1.a.b.c"))),
        ),
        (
            "a security key in other letter case",
            4400,
            switch(&to("abcde-two"), Some(with("Token", json!("x")))),
        ),
        (
            "no token",
            4903,
            switch(&to("abcde-two"), Some(with("token", json!("")))),
        ),
        (
            "no options",
            4903,
            switch(&to("abcde-two"), Some(with("options", Value::Null))),
        ),
        (
            "no expires",
            4903,
            switch(&to("abcde-two"), Some(with("expires", json!("")))),
        ),
        (
            "a jwtoken alone",
            4903,
            switch(&to("abcde-two"), Some(json!({"jwtoken": "eyJ"}))),
        ),
        (
            "expired",
            4903,
            switch(
                &to("abcde-two"),
                of(&changed("abcde-two", |g| {
                    g.expires = Some(UnixSeconds::new(now() - 1));
                })),
            ),
        ),
        (
            "not yet valid",
            4903,
            switch(
                &to("abcde-two"),
                of(&changed("abcde-two", |g| {
                    g.not_before = Some(UnixSeconds::new(now() + 600));
                })),
            ),
        ),
        (
            "options that are a number",
            4901,
            switch(&to("abcde-two"), Some(with("options", json!(1)))),
        ),
        (
            "options masked down",
            4901,
            switch(
                &to("abcde-two"),
                Some(json!({"token": good("abcde-two").token, "options": "0"})),
            ),
        ),
        (
            "the token of another stream",
            4901,
            switch(&to("abcde-three"), Some(two())),
        ),
        (
            "the current token for another stream",
            4901,
            switch(&to("abcde-two"), None),
        ),
        (
            "an empty security for another stream",
            4901,
            switch(&to("abcde-two"), Some(json!({}))),
        ),
        (
            "another organisation's stream",
            4901,
            switch(&to("fghij-one"), Some(two())),
        ),
        (
            "another page",
            4901,
            switch(
                &to("abcde-two"),
                of(&changed("abcde-two", |g| {
                    g.referers = vec!["other.test".parse().unwrap()];
                })),
            ),
        ),
        (
            "another address",
            4901,
            switch(
                &to("abcde-two"),
                of(&changed("abcde-two", |g| {
                    g.addresses = vec!["192.0.2.1".parse().unwrap()];
                })),
            ),
        ),
    ]
}

#[test]
fn every_denied_switch_is_told_in_band_and_what_plays_goes_on() {
    let server = MediaServer::echo();
    let gate = Gate::before(server.address);
    let mut viewer = playing(&gate, &good("abcde-one"));
    let rows = denials();
    assert!(rows.len() >= 20);
    for (what, code, message) in rows {
        viewer.say(&message.to_string());
        let answer: Value = serde_json::from_str(&viewer.hear()).unwrap();
        let expected = json!({
            "eventType": "onUpdateSourceError",
            "onUpdateSourceError": {"tag": "switch-7", "count": 3, "requestId": 42, "code": code},
        });
        assert_eq!(answer, expected, "{what}");
        // The echo server would have answered anything that reached it.
        viewer.say(r#"{"eventType":"onPlay"}"#);
        assert_eq!(viewer.hear(), r#"echo:{"eventType":"onPlay"}"#, "{what}");
    }
    assert_eq!(server.heads().len(), 1);
}

#[test]
fn a_granted_switch_goes_on_without_its_security_and_in_the_operators_spelling() {
    let server = MediaServer::echo();
    let gate = Gate::before(server.address);
    let mut viewer = playing(&gate, &good("abcde-one"));
    let source = json!({"url": "RTMP://LocalHost:1935/play", "stream": "abcde-two", "x": 1});
    let mut message = switch(&source, Some(security_json(&good("abcde-two"))));
    message["onUpdateSource"]["token"] = json!("h1.smuggled");
    message["extra"] = json!(1);
    viewer.say(&message.to_string());
    let forwarded: Value =
        serde_json::from_str(viewer.hear().strip_prefix("echo:").unwrap()).unwrap();
    assert_eq!(forwarded, switch(&to("abcde-two"), None));
}

#[test]
fn a_switch_is_decided_by_the_source_and_the_token_in_its_params() {
    let server = MediaServer::echo();
    let gate = Gate::before(server.address);
    let mut viewer = playing(&gate, &good("abcde-one"));
    let by_params = |stream: &str, security: &Security| {
        let mut message = switch(&Value::Null, None);
        message["onUpdateSource"]["params"] = to(stream);
        for (key, value) in security_json(security).as_object().unwrap() {
            message["onUpdateSource"]["params"][key] = value.clone();
        }
        message.to_string()
    };
    for (what, message, code) in [
        ("its own", by_params("abcde-two", &good("abcde-two")), None),
        (
            "another",
            by_params("abcde-three", &good("abcde-two")),
            Some("4901"),
        ),
        (
            "a JWT",
            by_params("abcde-two", &good("abcde-two")).replace("\"token\"", "\"jwtoken\""),
            Some("4903"),
        ),
        (
            "the current one",
            by_params("abcde-one", &Security::default()),
            None,
        ),
        (
            "the current one for another",
            by_params("abcde-two", &Security::default()),
            Some("4901"),
        ),
    ] {
        viewer.say(&message);
        let heard = viewer.hear();
        match code {
            Some(code) => assert!(heard.contains(code), "{what}: {heard}"),
            None => assert!(
                heard.starts_with("echo:") && !heard.contains("h1."),
                "{what}: {heard}"
            ),
        }
    }
}

/// A media server that answers each switch with the next of these events, and echoes the rest.
fn answering(answers: &'static [&'static str]) -> MediaServer {
    MediaServer::start(move |mut gate| {
        gate.greet();
        let mut answers = answers.iter();
        while let Some(frame) = gate.receive() {
            let message: Value = serde_json::from_slice(&frame.payload).unwrap_or_default();
            if message["eventType"] != "onUpdateSource" {
                gate.send(0x1, b"played");
                continue;
            }
            let Some((event, reason)) = answers.next().and_then(|answer| answer.split_once(' '))
            else {
                continue;
            };
            let body = json!({"tag": message["onUpdateSource"]["tag"], "requestId": message["requestId"], "reason": reason});
            gate.send(
                0x1,
                json!({"eventType": event, event: body})
                    .to_string()
                    .as_bytes(),
            );
        }
    })
}

/// Whether a switch to `stream` without a token of its own is granted: what the current token is.
fn current_token_is_for(viewer: &mut Viewer, stream: &str) -> bool {
    viewer.say(&switch(&to(stream), None).to_string());
    viewer.say(r#"{"eventType":"onPlay"}"#);
    let mut granted = true;
    loop {
        match viewer.hear().as_str() {
            "played" => return granted,
            text => granted &= !text.contains("onUpdateSourceError"),
        }
    }
}

#[test]
fn a_new_token_becomes_the_connections_when_the_media_server_says_so() {
    let cases: [(&'static [&'static str], bool); 4] = [
        (&["onUpdateSourceSuccess -"], true),
        (&["onUpdateSourceAbort equalsource"], true),
        (&["onUpdateSourceAbort superseded"], false),
        (&["onUpdateSourceError failed"], false),
    ];
    for (answers, taken) in cases {
        let server = answering(answers);
        let gate = Gate::before(server.address);
        let mut viewer = playing(&gate, &good("abcde-one"));
        viewer.say(&switch(&to("abcde-two"), Some(security_json(&good("abcde-two")))).to_string());
        assert!(viewer.hear().contains("onUpdateSource"));
        assert_eq!(
            current_token_is_for(&mut viewer, "abcde-two"),
            taken,
            "{answers:?}"
        );
        assert_eq!(
            current_token_is_for(&mut viewer, "abcde-one"),
            !taken,
            "{answers:?}"
        );
    }
}

#[test]
fn a_flood_of_switches_is_told_in_band_and_what_plays_goes_on() {
    let server = answering(&[]);
    let gate = Gate::before(server.address);
    let mut viewer = playing(&gate, &good("abcde-one"));
    let message = switch(&to("abcde-two"), Some(security_json(&good("abcde-two")))).to_string();
    for _ in 0..30 {
        viewer.say(&message);
    }
    let answer: Value = serde_json::from_str(&viewer.hear()).unwrap();
    let expected = json!({
        "eventType": "onUpdateSourceError",
        "onUpdateSourceError": {"tag": "switch-7", "count": 3, "requestId": 42, "code": 4503},
    });
    assert_eq!(answer, expected);
    viewer.say(r#"{"eventType":"onPlay"}"#);
    while viewer.hear() != "played" {}
    let refused = r#"h5gate_switches_total{verdict="refused",reason="switches",code="4503"}"#;
    assert_eq!(gate.metric(refused), 6.0);
}

#[test]
fn what_is_no_players_message_ends_the_connection() {
    let server = MediaServer::echo();
    let gate = Gate::before(server.address);
    let frame = h5gate::relay::frame::from_client;
    let text = |text: &str| frame(0x1, [1, 2, 3, 4], text.as_bytes());
    let deep = format!(
        "{{\"eventType\":\"onPlay\",\"onPlay\":{}{}}}",
        "[".repeat(64),
        "]".repeat(64)
    );
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("no JSON", text("hello")),
        ("a JSON list", text("[]")),
        (
            "duplicate keys",
            text(r#"{"eventType":"onPlay","eventType":"onUpdateSource"}"#),
        ),
        (
            "escaped duplicate keys",
            text(r#"{"eventType":"onPlay","\u0065ventType":"onUpdateSource"}"#),
        ),
        ("64 levels", text(&deep)),
        (
            "no UTF-8",
            frame(0x1, [1, 2, 3, 4], b"{\"eventType\":\"\xff\"}"),
        ),
        (
            "binary",
            frame(0x2, [1, 2, 3, 4], br#"{"eventType":"onUpdateSource"}"#),
        ),
        (
            "too long",
            text(&format!("{{\"eventType\":\"{}\"}}", "x".repeat(16 * 1024))),
        ),
        ("unmasked", h5gate::relay::frame::from_server(0x1, b"{}")),
        ("a reserved bit", [&[0xc1][..], &text("{}")[1..]].concat()),
        ("a reserved opcode", frame(0x3, [1, 2, 3, 4], b"{}")),
        (
            "a length of 2^63",
            [&[0x81, 0xff, 0x80][..], &[0; 7], &[1, 2, 3, 4]].concat(),
        ),
        (
            "a length not in its shortest form",
            [&[0x81, 0xfe, 0, 2, 0, 0, 0, 0][..], b"{}"].concat(),
        ),
        ("a continuation of nothing", frame(0x0, [1, 2, 3, 4], b"{}")),
        (
            "a fragmented ping",
            [&[0x09][..], &frame(0x9, [1, 2, 3, 4], b"x")[1..]].concat(),
        ),
        (
            "a ping that is too long",
            frame(0x9, [1, 2, 3, 4], &[0; 126]),
        ),
    ];
    for (what, bytes) in cases {
        let mut viewer = playing(&gate, &good("abcde-one"));
        viewer.send_raw(&bytes);
        let (code, reason) = viewer.closed();
        assert_eq!((code, &reason[..10]), (4400, "code 4400 "), "{what}");
    }
    assert!(gate.metric("h5gate_session_ends_total{reason=\"violation\"}") >= 16.0);
}

#[test]
fn other_events_are_dropped_and_counted() {
    let gate = Gate::before(MediaServer::echo().address);
    let mut viewer = playing(&gate, &good("abcde-one"));
    viewer.say(r#"{"eventType":"onSeek","onSeek":{}}"#);
    viewer.say(r#"{"eventtype":"onUpdateSource"}"#);
    viewer.say(r#"{"eventType":"onPause"}"#);
    assert_eq!(viewer.hear(), r#"echo:{"eventType":"onPause"}"#);
    assert_eq!(gate.metric("h5gate_messages_dropped_total"), 2.0);
}

#[test]
fn a_fragmented_switch_one_byte_at_a_time_is_judged_all_the_same() {
    let gate = Gate::before(MediaServer::echo().address);
    let mut viewer = playing(&gate, &good("abcde-one"));
    let message = switch(&to("abcde-two"), None).to_string();
    let (head, tail) = message.as_bytes().split_at(message.len() / 2);
    let mut first = h5gate::relay::frame::from_client(0x1, [9, 9, 9, 9], head);
    first[0] = 0x01;
    let ping = h5gate::relay::frame::from_client(0x9, [1, 1, 1, 1], b"in between");
    let last = h5gate::relay::frame::from_client(0x0, [7, 7, 7, 7], tail);
    for byte in [first, ping, last].concat() {
        viewer.send_raw(&[byte]);
    }
    let mut answers = [viewer.receive().unwrap(), viewer.receive().unwrap()];
    answers.sort_by_key(|frame| frame.opcode);
    assert!(String::from_utf8_lossy(&answers[0].payload).contains("4901"));
    assert_eq!(
        (answers[1].opcode, &answers[1].payload[..]),
        (0xa, &b"in between"[..])
    );
}

#[test]
fn foreign_players_messages_go_on_when_the_operator_says_so_but_a_switch_is_judged() {
    let server = MediaServer::echo();
    let upstream = "client_messages = \"any\"";
    let gate = Gate::start(&Setup {
        servers: vec![server.address],
        upstream,
        ..Setup::default()
    });
    let mut viewer = playing(&gate, &good("abcde-one"));
    for text in ["resume", r#"{"eventType":"onSeek"}"#] {
        viewer.say(text);
        assert_eq!(viewer.hear(), format!("echo:{text}"));
    }
    viewer.say(&switch(&to("abcde-two"), None).to_string());
    assert!(viewer.hear().contains("4901"));
    viewer.send(0x2, switch(&to("abcde-two"), None).to_string().as_bytes());
    assert!(viewer.hear().contains("4901"), "whatever the opcode");
    assert!(
        gate.logged("a setting weakens a check")["danger"]
            .as_str()
            .unwrap()
            .contains("client_messages")
    );
}

#[test]
fn an_organisations_token_switches_among_its_streams() {
    let gate = Gate::before(MediaServer::echo().address);
    let security = changed("abcde-one", |g| {
        g.scope = Scope::Organisation("abcde".parse().unwrap());
    });
    let mut viewer = playing(&gate, &security);
    viewer.say(&switch(&to("abcde-two"), None).to_string());
    assert!(viewer.hear().starts_with("echo:"));
    viewer.say(&switch(&to("fghij-one"), None).to_string());
    assert!(viewer.hear().contains("4901"));
}
