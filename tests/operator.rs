//! The operator's side: metrics, readiness, sessions, revocations, reload and drain.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod support;

use std::num::NonZeroU16;

use h5gate::token::{AtExpiry, UnixSeconds};
use rustix::process::Signal;
use serde_json::{Value, json};

use support::gate::{API_KEY, Gate, Setup, grant, mint};
use support::media_server::MediaServer;
use support::until;
use support::viewer::{Viewer, get, query, request};

fn playing(gate: &Gate, stream: &str) -> Viewer {
    let mut viewer = Viewer::open(gate.playback, &query(stream, &mint(&grant(stream))), &[]);
    assert_eq!(viewer.hear(), "hello");
    viewer
}

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
        metrics.body.contains("h5gate_sessions 0") && metrics.body.ends_with("# EOF\n"),
        "{}",
        metrics.body
    );
    assert_eq!(metrics.body.matches("# EOF").count(), 1);
}

#[test]
fn a_page_of_another_name_cannot_use_the_operators_browser() {
    let gate = Gate::before(MediaServer::echo().address);
    let raw = |host: &str| {
        let text = format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        support::viewer::exchange(gate.admin, text.as_bytes()).status
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
    assert_eq!(
        request(
            gate.admin,
            "DELETE",
            &format!("/api/sessions/{id}"),
            &[],
            ""
        )
        .status,
        204
    );
    assert_eq!(one.closed().0, 4901);
    until("the end of the session", || {
        sessions(&gate, "?stream=abcde-one")
            .is_empty()
            .then_some(())
    });
    assert_eq!(
        request(
            gate.admin,
            "DELETE",
            &format!("/api/sessions/{id}"),
            &[],
            ""
        )
        .status,
        404
    );
}

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
    assert_eq!(request(gate.admin, "DELETE", &path, &[], "").status, 204);
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

#[test]
fn a_token_plays_as_often_at_once_as_it_says() {
    let gate = Gate::before(MediaServer::echo().address);
    let mut twice = grant("abcde-one");
    twice.sessions = NonZeroU16::new(2);
    let security = mint(&twice);
    let open = |pid: &str| {
        Viewer::open(
            gate.playback,
            &format!("{}&pid={pid}", query("abcde-one", &security)),
            &[],
        )
    };
    let mut first = open("a");
    assert_eq!(first.hear(), "hello");
    let mut second = open("b");
    assert_eq!(second.hear(), "hello");
    assert_eq!(open("c").closed().0, 4901);
    // A player that switches by a second socket keeps its seat meanwhile; a third one is too many.
    let mut again = open("b");
    assert_eq!(again.hear(), "hello");
    assert_eq!(open("b").closed().0, 4901);
    drop(first);
    until("a free seat", || {
        (Viewer::open(
            gate.playback,
            &format!("{}&pid=d", query("abcde-one", &security)),
            &[],
        )
        .receive()?
        .opcode
            == 1)
            .then_some(())
    });
}

#[test]
fn a_reload_rotates_keys_and_a_bad_file_changes_nothing() {
    let server = MediaServer::echo();
    let setup = Setup {
        servers: vec![server.address],
        ..Setup::default()
    };
    let gate = Gate::start(&setup);
    let mut running = playing(&gate, "abcde-one");
    let minted = || {
        let body = r#"{"streamname":"abcde-one"}"#;
        let key = format!("X-BINTU-APIKEY: {API_KEY}");
        let answer = request(
            gate.playback,
            "POST",
            "/secure/token",
            &[&key, "Content-Type: application/json"],
            body,
        );
        assert_eq!(answer.status, 200, "{answer:?}");
        let answer: Value = serde_json::from_str(&answer.body).unwrap();
        let security = &answer["h5live"]["security"];
        format!(
            "url=rtmp%3A%2F%2Flocalhost%2Fplay&stream=abcde-one&token={}&options={}",
            security["token"].as_str().unwrap(),
            security["options"].as_str().unwrap()
        )
    };
    let old = minted();

    gate.rewrite_text("[[listener]]\naddress = 7\n");
    gate.signal(Signal::HUP);
    gate.logged("configuration not reloaded");
    assert_eq!(Viewer::open(gate.playback, &old, &[]).hear(), "hello");

    // A second key signs, the first only verifies.
    support::gate::write_secret(
        &gate.dir().join("next.secret"),
        "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI5OTk5",
    );
    gate.rewrite(&setup);
    let path = gate.dir().join("h5gate.toml");
    let good = std::fs::read_to_string(&path).unwrap();
    let first = "id = \"abcde-1\"\nsecret_file = \"abcde.secret\"\n";
    let both = format!(
        "{first}state = \"retiring\"\n[[organisation.key]]\nid = \"next\"\nsecret_file = \"next.secret\"\n"
    );
    assert!(good.contains(first));
    std::fs::write(&path, good.replace(first, &both)).unwrap();
    gate.signal(Signal::HUP);
    gate.logged("configuration reloaded");
    assert!(old.contains("token=h1.abcde-1."));
    let new = minted();
    assert!(new.contains("token=h1.next."), "{new}");
    for query in [&old, &new] {
        assert_eq!(Viewer::open(gate.playback, query, &[]).hear(), "hello");
    }

    // The first key is gone: its tokens start nothing, what plays goes on.
    let only = "id = \"next\"\nsecret_file = \"next.secret\"\n";
    std::fs::write(&path, good.replace(first, only)).unwrap();
    let reloads = || {
        gate.log()
            .iter()
            .filter(|line| line["message"] == "configuration reloaded")
            .count()
    };
    let before = reloads();
    gate.signal(Signal::HUP);
    until("the second reload", || (reloads() > before).then_some(()));
    assert_eq!(Viewer::open(gate.playback, &old, &[]).closed().0, 4901);
    assert_eq!(Viewer::open(gate.playback, &new, &[]).hear(), "hello");
    running.say(r#"{"eventType":"onPlay"}"#);
    assert_eq!(running.hear(), r#"echo:{"eventType":"onPlay"}"#);
}

#[test]
fn a_drain_sends_every_viewer_away_with_4503_and_ends_well() {
    let server = MediaServer::echo();
    let tables = "[timeouts]\ndrain = \"1s\"";
    let mut gate = Gate::start(&Setup {
        servers: vec![server.address],
        tables,
        ..Setup::default()
    });
    let mut viewers: Vec<_> = (0..5).map(|_| playing(&gate, "abcde-one")).collect();
    gate.signal(Signal::TERM);
    for viewer in &mut viewers {
        assert_eq!(viewer.closed().0, 4503);
    }
    assert_eq!(gate.ended().code(), Some(0));
}

#[test]
fn a_second_signal_stops_at_once() {
    let mut gate = Gate::before(MediaServer::echo().address);
    let _viewer = playing(&gate, "abcde-one");
    let _other = playing(&gate, "abcde-one");
    gate.signal(Signal::TERM);
    gate.logged("draining");
    assert_eq!(get(gate.admin, "/readyz", &[]).status, 503);
    assert_eq!(get(gate.admin, "/healthz", &[]).status, 200);
    gate.signal(Signal::TERM);
    assert_eq!(gate.ended().code(), Some(0));
}

#[test]
fn no_room_for_another_session_is_4503_and_for_another_connection_503() {
    let server = MediaServer::echo();
    let tables = "[limits]\nsessions = 1\nconnections = 3";
    let gate = Gate::start(&Setup {
        servers: vec![server.address],
        tables,
        ..Setup::default()
    });
    let _one = playing(&gate, "abcde-one");
    let query = query("abcde-one", &mint(&grant("abcde-one")));
    let mut refused = Viewer::open(gate.playback, &query, &[]);
    assert_eq!(refused.closed().0, 4503);
    let _idle: Vec<_> = (0..2)
        .map(|_| support::viewer::connect(gate.playback))
        .collect();
    until("the limit", || {
        (gate.metric("h5gate_connections") == 3.0).then_some(())
    });
    assert_eq!(Viewer::open(gate.playback, &query, &[]).status(), 503);
    assert!(gate.metric("h5gate_connections_refused_total") >= 1.0);
}

#[test]
fn one_players_name_is_no_way_around_the_seats() {
    let gate = Gate::before(MediaServer::echo().address);
    let mut three = grant("abcde-one");
    three.sessions = NonZeroU16::new(3);
    let query = format!("{}&pid=restream", query("abcde-one", &mint(&three)));
    let mut viewers: Vec<_> = (0..8)
        .map(|_| Viewer::open(gate.playback, &query, &[]))
        .collect();
    let playing = viewers
        .iter_mut()
        .filter_map(|viewer| Some(viewer.receive()?.opcode == 0x1));
    // Three seats, and one socket that leaves because a newer one has its seat.
    assert_eq!(playing.filter(|playing| *playing).count(), 4);
}

#[test]
fn two_people_cannot_take_turns_on_one_seat_unharmed() {
    let gate = Gate::before(MediaServer::echo().address);
    let mut once = grant("abcde-one");
    once.sessions = NonZeroU16::new(1);
    let query = format!("{}&pid=shared", query("abcde-one", &mint(&once)));
    let mut first = Viewer::open(gate.playback, &query, &[]);
    assert_eq!(first.hear(), "hello");
    let mut second = Viewer::open(gate.playback, &query, &[]);
    assert_eq!(second.hear(), "hello");
    drop(first);
    until("the first one's end", || {
        (gate.metric("h5gate_sessions") == 1.0).then_some(())
    });
    let mut third = Viewer::open(gate.playback, &query, &[]);
    assert_eq!(third.hear(), "hello");
    assert_eq!(
        second.closed().0,
        4901,
        "the second turn within a minute ends the older socket at once"
    );
}

#[test]
fn a_seat_that_is_taken_by_a_switch_supersedes_too() {
    let gate = Gate::before(MediaServer::echo().address);
    let mut once = grant("abcde-one");
    once.sessions = NonZeroU16::new(1);
    let limited = mint(&once);
    let open = |query: &str| Viewer::open(gate.playback, &format!("{query}&pid=x"), &[]);
    let mut other = open(&query("abcde-two", &mint(&grant("abcde-two"))));
    assert_eq!(other.hear(), "hello");
    // Two sockets take the seat, one after the other, so that the next one to take it ends the second at once.
    let mut holder = open(&query("abcde-one", &limited));
    assert_eq!(holder.hear(), "hello");
    let mut second = open(&query("abcde-one", &limited));
    assert_eq!(second.hear(), "hello");
    drop(holder);
    until("the first one's end", || {
        (gate.metric("h5gate_sessions") == 2.0).then_some(())
    });
    let security =
        json!({"expires": limited.expires, "token": limited.token, "options": limited.options});
    let rtmp = json!({"url": "rtmp://localhost/play", "stream": "abcde-one"});
    let switch = json!({"eventType": "onUpdateSource", "onUpdateSource": {"rtmp": rtmp, "security": security}});
    other.say(&switch.to_string());
    assert!(other.hear().starts_with("echo:"));
    assert_eq!(second.closed().0, 4901);
}

#[test]
fn a_token_of_a_fast_clock_can_be_revoked() {
    let gate = Gate::before(MediaServer::echo().address);
    for target in ["token_id", "tag"] {
        let mut early = grant("abcde-one");
        early.issued_at = UnixSeconds::new(support::gate::now() + 300);
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

#[test]
fn a_renewed_token_does_not_undo_a_drain() {
    let server = MediaServer::start(|mut gate| {
        gate.accept();
        gate.send(0x1, b"hello");
        while let Some(frame) = gate.receive() {
            if frame.opcode == 0x1 {
                gate.send(
                    0x1,
                    br#"{"eventType":"onUpdateSourceSuccess","onUpdateSourceSuccess":{}}"#,
                );
            }
        }
    });
    let tables = "[timeouts]\ndrain = \"4s\"";
    let mut gate = Gate::start(&Setup {
        servers: vec![server.address],
        tables,
        ..Setup::default()
    });
    let cut_in = |seconds| {
        let mut cut = grant("abcde-one");
        cut.expires = Some(UnixSeconds::new(support::gate::now() + seconds));
        cut.at_expiry = AtExpiry::Cut;
        mint(&cut)
    };
    let (soon, later) = (cut_in(3), cut_in(60));
    let mut viewers: Vec<_> = (0..2)
        .map(|_| Viewer::open(gate.playback, &query("abcde-one", &soon), &[]))
        .collect();
    viewers
        .iter_mut()
        .for_each(|viewer| assert_eq!(viewer.hear(), "hello"));
    gate.signal(Signal::TERM);
    gate.logged("draining");
    let security =
        json!({"expires": later.expires, "token": later.token, "options": later.options});
    let rtmp = json!({"url": "rtmp://localhost/play", "stream": "abcde-one"});
    let renewal = json!({"eventType": "onUpdateSource", "onUpdateSource": {"rtmp": rtmp, "security": security}});
    for viewer in &mut viewers {
        viewer.say(&renewal.to_string());
    }
    for viewer in &mut viewers {
        assert_eq!(viewer.closed().0, 4503);
    }
    assert_eq!(gate.ended().code(), Some(0));
}

#[test]
fn a_drain_in_no_time_still_tells_every_viewer() {
    let server = MediaServer::echo();
    let tables = "[timeouts]\ndrain = \"0s\"";
    let mut gate = Gate::start(&Setup {
        servers: vec![server.address],
        tables,
        ..Setup::default()
    });
    let mut viewers: Vec<_> = (0..5).map(|_| playing(&gate, "abcde-one")).collect();
    gate.signal(Signal::TERM);
    for viewer in &mut viewers {
        assert_eq!(viewer.closed().0, 4503);
    }
    assert_eq!(gate.ended().code(), Some(0));
}

#[test]
fn an_orchestrator_asks_for_health_by_any_name() {
    let gate = Gate::before(MediaServer::echo().address);
    for (path, status) in [("/healthz", 200), ("/readyz", 200), ("/metrics", 421)] {
        let text =
            format!("GET {path} HTTP/1.1\r\nHost: 10.1.2.3:9090\r\nConnection: close\r\n\r\n");
        assert_eq!(
            support::viewer::exchange(gate.admin, text.as_bytes()).status,
            status,
            "{path}"
        );
    }
}
