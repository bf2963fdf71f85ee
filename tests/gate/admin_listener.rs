//! The operator's listener: who may call it, by which name, and what it tells.

use serde_json::Value;

use crate::support::gate::{Gate, Setup, grant, mint};
use crate::support::http_server::{HttpServer, playlist};
use crate::support::media_server::MediaServer;
use crate::support::viewer::{get, query, request};
use crate::support::{playing, until};

fn sessions(gate: &Gate, filter: &str) -> Vec<Value> {
    let answer = get(gate.admin, &format!("/api/sessions{filter}"), &[]);
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_str::<Value>(&answer.body).unwrap()["sessions"]
        .as_array()
        .unwrap()
        .clone()
}

#[test]
fn health_and_readiness_are_told_without_a_token_and_the_rest_is_not() {
    use sha2::{Digest as _, Sha256};
    let digest: String = Sha256::digest("secret")
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let admin = format!("token_sha256 = \"{digest}\"\nnames = [\"gate.internal\"]");
    let server = MediaServer::echo();
    let gate = Gate::start(&Setup {
        servers: vec![server.address],
        admin: &admin,
        ..Setup::default()
    });
    for (path, body) in [("/healthz", "alive\n"), ("/readyz", "ready\n")] {
        let answer = get(gate.admin, path, &[]);
        assert_eq!((answer.status, answer.body.as_str()), (200, body));
    }
    assert_eq!(get(gate.admin, "/metrics", &[]).status, 401);
    assert_eq!(
        get(gate.admin, "/metrics", &["Authorization: Bearer wrong"]).status,
        401
    );
    assert_eq!(
        get(gate.admin, "/metrics", &["Authorization: Basic secret"]).status,
        401
    );
    let metrics = get(gate.admin, "/metrics", &["Authorization: Bearer secret"]);
    assert_eq!(metrics.status, 200);
    assert!(
        metrics
            .body
            .contains("h5gate_sessions{transport=\"hls\"} 0")
            && metrics.body.ends_with("# EOF\n"),
        "{}",
        metrics.body
    );
    assert_eq!(metrics.body.matches("# EOF").count(), 1);
}

#[test]
fn an_orchestrator_asks_for_health_by_any_name() {
    let gate = Gate::before(MediaServer::echo().address);
    for (path, status) in [("/healthz", 200), ("/readyz", 200), ("/metrics", 421)] {
        let text =
            format!("GET {path} HTTP/1.1\r\nHost: 10.1.2.3:9090\r\nConnection: close\r\n\r\n");
        assert_eq!(
            crate::support::viewer::exchange(gate.admin, text.as_bytes()).status,
            status,
            "{path}"
        );
    }
}
#[test]
fn a_page_of_another_name_cannot_use_the_operators_browser() {
    let gate = Gate::before(MediaServer::echo().address);
    let raw = |host: &str| {
        let text = format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        crate::support::viewer::exchange(gate.admin, text.as_bytes()).status
    };
    assert_eq!(
        (raw("localhost:9000"), raw("127.0.0.1"), raw("[::1]:1")),
        (200, 200, 200)
    );
    assert_eq!((raw("evil.test"), raw("127.0.0.1.evil.test")), (421, 421));
    let body = r#"{"organisation":"abcde","tag":"x"}"#;
    let post =
        |headers: &[&str]| request(gate.admin, "POST", "/api/revocations", headers, body).status;
    assert_eq!(
        post(&[
            "Content-Type: application/json",
            "Origin: https://evil.test"
        ]),
        403
    );
    assert_eq!(post(&["Content-Type: text/plain"]), 415);
    assert_eq!(
        post(&["Content-Type: application/json", "Origin: http://localhost"]),
        201
    );
}

#[test]
fn sessions_are_listed_filtered_and_ended() {
    let gate = Gate::before(MediaServer::echo().address);
    let mut one = playing(&gate, "abcde-one");
    let _two = playing(&gate, "abcde-two");
    let _other = playing(&gate, "fghij-one");
    assert_eq!(sessions(&gate, "").len(), 3);
    assert_eq!(sessions(&gate, "?organisation=abcde").len(), 2);
    assert_eq!(
        sessions(&gate, "?organisation=abcde&stream=abcde-one").len(),
        1
    );
    assert_eq!(sessions(&gate, "?address=127.0.0.1").len(), 3);
    let page = get(gate.admin, "/api/sessions?limit=2", &[]).body;
    let next = serde_json::from_str::<Value>(&page).unwrap()["next"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(sessions(&gate, &format!("?after={next}")).len(), 1);
    assert_eq!(get(gate.admin, "/api/sessions?limit=0", &[]).status, 400);
    assert_eq!(get(gate.admin, "/api/sessions?colour=red", &[]).status, 400);

    let id = sessions(&gate, "?stream=abcde-one")[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/api/sessions/{id}");
    let delete = || request(gate.admin, "DELETE", &path, &[], "").status;
    assert_eq!(delete(), 200);
    assert_eq!(one.closed().0, 4901);
    until("the end of the session", || {
        sessions(&gate, "?stream=abcde-one")
            .is_empty()
            .then_some(())
    });
    assert_eq!(delete(), 404);
}

#[test]
fn sessions_are_told_apart_by_their_transport() {
    let media = MediaServer::echo();
    let http = HttpServer::start(&[("/hls/playlist.m3u8", playlist("#EXTM3U\n1.ts\n"))]);
    let gate = Gate::start(&Setup {
        servers: vec![media.address],
        upstream: &format!(
            "http_servers = [\"http://{}\"]\nhttp_path = \"/hls/\"",
            http.address
        ),
        ..Setup::default()
    });
    let _sockets = [playing(&gate, "abcde-one"), playing(&gate, "abcde-two")];
    let entry = query("abcde-one", &mint(&grant("abcde-one")));
    let path = format!("/h5live/authhttp/playlist.m3u8?{entry}");
    assert_eq!(get(gate.playback, &path, &[]).status, 200);
    for (transport, count) in [("websocket", 2), ("hls", 1)] {
        let found = sessions(&gate, &format!("?transport={transport}"));
        assert_eq!(found.len(), count, "{found:?}");
        assert!(found.iter().all(|one| one["transport"] == transport));
        let series = format!("h5gate_sessions{{transport=\"{transport}\"}}");
        assert_eq!(
            gate.metric(&series),
            f64::from(u8::try_from(count).unwrap())
        );
    }
    assert_eq!(gate.metric("h5gate_sessions"), 3.0);
    let started = gate.log();
    let started = started
        .iter()
        .filter(|line| line["message"] == "playback started");
    let hls = started.filter(|line| line["transport"] == "hls");
    assert_eq!(hls.count(), 1);
}
