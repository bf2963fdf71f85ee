//! `h5gate load` against a running gate, with `h5gate load --origin` behind it.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::mpsc;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::gate::{API_KEY, Gate, Setup, write_secret};
use crate::support::http_server::{HttpServer, Page, playlist, segment};
use crate::support::media_server::{MediaServer, target};
use crate::support::viewer::{Viewer, get, request};
use crate::support::{PATIENCE, until};

/// An origin of the binary's own; killed when dropped.
struct Origin {
    child: Child,
    stdout: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Origin {
    fn start() -> Self {
        Self::spawn(load(&["--origin", "127.0.0.1:0"]))
    }

    fn spawn(mut command: Command) -> Self {
        let options = [
            "--fragment",
            "1KiB",
            "--segment",
            "16KiB",
            "--segment-seconds",
            "1",
        ];
        let mut child = command
            .args(options)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let address = line.strip_prefix("origin on ").unwrap();
        let address = address.split(": ").next().unwrap().parse().unwrap();
        Self {
            child,
            stdout,
            address,
        }
    }

    /// Ends it by a signal, and what it says then.
    fn ended_by(mut self, by: Signal) -> String {
        signal(&self.child, by);
        let mut said = String::new();
        self.stdout.read_to_string(&mut said).unwrap();
        assert!(self.child.wait().unwrap().success());
        said
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// The same command for a process that may have so many descriptors.
fn limited(descriptors: u32, command: &Command) -> Command {
    let mut limited = Command::new("sh");
    limited
        .arg("-c")
        .arg(format!("ulimit -n {descriptors} && exec \"$0\" \"$@\""))
        .arg(command.get_program())
        .args(command.get_args());
    limited
}

fn load(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_h5gate"));
    command.arg("load").args(arguments);
    command
}

/// A test of three seconds, in JSON.
fn test(address: SocketAddr, arguments: &[&str]) -> Output {
    load(&[&format!("http://{address}"), "--for", "3s", "--json"])
        .args(["--stream", "abcde-one"])
        .args(arguments)
        .env("LOAD_API_KEY", API_KEY)
        .output()
        .unwrap()
}

/// The document and the exit code.
fn document(output: &Output) -> (Value, Option<i32>) {
    let document = serde_json::from_slice(&output.stdout);
    (
        document.unwrap_or_else(|_| panic!("{output:?}")),
        output.status.code(),
    )
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A gate whose HLS playbacks are over as soon as may be, and its configuration.
fn gate_before(origin: SocketAddr) -> (Gate, String) {
    let gate = Gate::start(&Setup {
        servers: vec![origin],
        tables: "[hls]\nsession_idle = \"1s\"",
        ..Setup::default()
    });
    let config = gate.dir().join("h5gate.toml").to_str().unwrap().to_owned();
    (gate, config)
}

const GRANTED: &str = r#"h5gate_verdicts_total{verdict="granted",reason="",code="0"}"#;

/// Waits until every session has ended, and holds the gate's counts against the viewers'.
fn assert_the_gate_counted(gate: &Gate, granted: u64, bytes: u64) {
    until("every session to be counted", || {
        (gate.metric("h5gate_sessions") == 0.0).then_some(())
    });
    assert_eq!(gate.metric(GRANTED), granted as f64);
    let counted = || gate.metric("h5gate_to_viewers_bytes_total");
    until(
        &format!("{bytes} bytes at the gate, which has {}", counted()),
        || (counted() == bytes as f64).then_some(()),
    );
    assert_eq!(gate.metric("h5gate_session_ends_total"), granted as f64);
}

fn bytes(found: &Value) -> u64 {
    found["websocket"]["bytes"].as_u64().unwrap() + found["hls"]["bytes"].as_u64().unwrap()
}

#[test]
fn all_viewers_are_served_and_the_gate_counts_the_same() {
    let origin = Origin::start();
    let (gate, config) = gate_before(origin.address);
    let tokens = [
        &["--config", &config][..],
        &["--api-key-env", "LOAD_API_KEY"],
    ];
    let mut received = 0;
    for tokens in tokens {
        let viewers = ["--viewers", "50", "--workers", "2"];
        let output = test(gate.playback, &[&viewers, tokens].concat());
        let (found, code) = document(&output);
        assert_eq!(code, Some(0), "{output:?}");
        let served = json!({ "started": 50, "served": 50, "failed": 0, "unfinished": 0 });
        assert_eq!(found["viewers"], served, "{found}");
        assert_eq!(found["verdicts"], json!({ "granted": 50 }));
        assert_eq!(
            (&found["failures"], &found["lost"]),
            (&json!({}), &json!({}))
        );
        assert!(
            found["websocket"]["frames"].as_u64().unwrap() >= 50,
            "{found}"
        );
        for name in ["handshake", "first_frame"] {
            assert_eq!(found["latency"][name]["count"], 50, "{name}");
        }
        assert!(
            found["latency"]["frame_age"]["count"].as_u64() > Some(50),
            "{found}"
        );
        received += bytes(&found);
    }
    assert_the_gate_counted(&gate, 100, received);
    assert!(origin.ended_by(Signal::INT).contains("100 viewers"));
}

#[test]
fn hls_viewers_are_served_and_the_gate_counts_the_same() {
    let origin = Origin::start();
    for (transport, hls) in [("hls", 10), ("mixed", 5)] {
        let (gate, config) = gate_before(origin.address);
        let arguments = ["--viewers", "10", "--workers", "2", "--config", &config];
        let output = test(
            gate.playback,
            &[&arguments[..], &["--transport", transport]].concat(),
        );
        let (found, code) = document(&output);
        assert_eq!(code, Some(0), "{output:?}");
        let served = json!({ "started": 10, "served": 10, "failed": 0, "unfinished": 0 });
        assert_eq!(found["viewers"], served, "{found}");
        assert_eq!(found["verdicts"], json!({ "granted": 10 }));
        assert_eq!(
            (&found["failures"], &found["lost"]),
            (&json!({}), &json!({}))
        );
        // They begin three segments behind the newest.
        assert!(
            found["hls"]["segments"].as_u64() >= Some(3 * hls),
            "{found}"
        );
        assert_eq!(found["latency"]["hls_entry"]["count"], hls, "{found}");
        assert_the_gate_counted(&gate, 10, bytes(&found));
    }
}

/// Waits until so many viewers of each transport play.
fn until_they_play(gate: &Gate, websocket: u32, hls: u32) {
    let upstream = "h5gate_upstream_connect_seconds_count";
    let answers = r#"h5gate_http_answers_total{status="200"}"#;
    // Entry, playlist, initialisation and three segments of each.
    let (connects, loaded) = (f64::from(websocket), f64::from(6 * hls));
    until("all of them to play", || {
        let plays = gate.metric(upstream) >= connects && gate.metric(answers) >= loaded;
        plays.then_some(())
    });
}

#[test]
fn a_revoked_stream_is_lost_to_its_viewers_with_4901() {
    let origin = Origin::start();
    for (transport, websocket, hls) in [("hls", 0, 4), ("websocket", 4, 0)] {
        let (gate, config) = gate_before(origin.address);
        let child = load(&[&format!("http://{}", gate.playback), "--json"])
            .args(["--stream", "abcde-one", "--stream", "abcde-two"])
            .args(["--config", &config, "--transport", transport])
            .args(["--viewers", "4", "--for", "6s", "--ramp", "0s"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        until_they_play(&gate, websocket, hls);
        let answer = request(
            gate.admin,
            "POST",
            "/api/revocations",
            &["Content-Type: application/json"],
            &json!({ "organisation": "abcde", "stream": "abcde-two" }).to_string(),
        );
        assert!(answer.body.contains("\"sessions_ended\":2"), "{answer:?}");
        let (found, code) = document(&child.wait_with_output().unwrap());
        assert_eq!(code, Some(1), "{found}");
        assert_eq!(found["verdicts"], json!({ "granted": 4 }), "{found}");
        assert_eq!(found["lost"], json!({ "4901": 2 }), "{found}");
        assert_eq!(found["viewers"]["served"], 2, "{found}");
        assert_eq!(found["viewers"]["failed"], 2, "{found}");
        let ends = r#"h5gate_session_ends_total{reason="revoked"}"#;
        assert_eq!(gate.metric(ends), 2.0);
    }
}

#[test]
fn a_wrong_key_is_4901_for_everybody_and_exit_code_1() {
    use base64::Engine as _;
    let origin = Origin::start();
    // In a close code, and in the body of an HTTP answer.
    for tables in ["", "[refusal]\nwebsocket = \"http-status\""] {
        let gate = Gate::start(&Setup {
            servers: vec![origin.address],
            tables,
            ..Setup::default()
        });
        let config = gate.dir().join("h5gate.toml").to_str().unwrap().to_owned();
        let other = base64::engine::general_purpose::STANDARD.encode([9; 32]);
        write_secret(&gate.dir().join("abcde.secret"), &other);
        // Three over HLS and two over WebSocket.
        let arguments = ["--viewers", "5", "--hls", "60", "--config", &config];
        let (found, code) = document(&test(gate.playback, &arguments));
        assert_eq!(code, Some(1));
        let verdicts = json!({ "granted": 0, "4901": 5 });
        assert_eq!(found["verdicts"], verdicts, "{tables}");
        assert_eq!(found["viewers"]["failed"], 5);
        assert_eq!(found["all_served"], false);
        let refused = r#"h5gate_verdicts_total{verdict="refused",reason="signature",code="4901"}"#;
        assert_eq!(gate.metric(refused), 5.0);
    }
}

#[test]
fn hls_viewers_follow_playlists_and_load_segments() {
    let origin = Origin::start();
    let arguments = ["--viewers", "6", "--transport", "mixed", "--direct"];
    let (found, code) = document(&test(origin.address, &arguments));
    assert_eq!(code, Some(0), "{found}");
    assert_eq!(found["viewers"]["served"], 6);
    // Three viewers, who begin three segments behind the newest.
    assert!(found["hls"]["segments"].as_u64() >= Some(9), "{found}");
    assert!(
        found["hls"]["bytes"].as_u64() > Some(9 * 16 * 1024),
        "{found}"
    );
    for name in ["hls_entry", "first_segment", "first_frame"] {
        assert_eq!(found["latency"][name]["count"], 3, "{name}");
    }
    assert_eq!(
        found["latency"]["segment_age"]["count"],
        found["hls"]["segments"]
    );
}

/// A server of one segment, which is enough for a minute. Its entry is found where a redirect leads to.
fn one_segment(entry: &str) -> HttpServer {
    const MEDIA: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:60\n#EXTINF:60,\n1.m4s\n";
    let moved = Page {
        status: 302,
        fields: "Location: there/media.m3u8\r\n".to_owned(),
        body: Vec::new(),
    };
    let folder = entry.trim_end_matches("playlist.m3u8");
    HttpServer::start(&[
        (entry, moved),
        (&format!("{folder}there/media.m3u8"), playlist(MEDIA)),
        (&format!("{folder}there/1.m4s"), segment(b"media")),
    ])
}

#[test]
fn every_viewer_of_hls_has_a_token_and_ids_of_its_own() {
    let entry = "/h5live/authhttp/playlist.m3u8";
    let server = one_segment(entry);
    let (_configured, config) = gate_before(server.address);
    let arguments = ["--viewers", "4", "--hls", "100", "--config", &config];
    let (found, code) = document(&test(server.address, &arguments));
    assert_eq!(code, Some(0), "{found}");
    let heads = server.heads();
    let entries = heads.iter().filter(|head| target(head).starts_with(entry));
    let queries: Vec<_> = entries
        .map(|head| target(head).split_once('?').unwrap().1)
        .collect();
    let ids = |key: &str| {
        let values = queries
            .iter()
            .filter_map(|query| query.split('&').find_map(|pair| pair.strip_prefix(key)));
        values.collect::<BTreeSet<_>>().len()
    };
    assert_eq!((ids("cid="), ids("pid="), ids("token=")), (4, 4, 4));
}

#[test]
fn a_media_servers_redirect_is_followed_as_players_do() {
    let server = one_segment("/h5live/http/playlist.m3u8");
    let arguments = ["--viewers", "2", "--hls", "100", "--direct"];
    let (found, code) = document(&test(server.address, &arguments));
    assert_eq!(code, Some(0), "{found}");
    assert_eq!(found["viewers"]["served"], 2, "{found}");
    assert_eq!(found["hls"]["segments"], 2);
}

#[test]
fn a_viewer_whose_picture_stands_still_at_the_end_is_not_served() {
    let origin = Origin::start();
    let (gate, config) = gate_before(origin.address);
    let run = |form: &[&str]| {
        load(&[&format!("http://{}", gate.playback), "--for", "6s"])
            .args(["--stream", "abcde-one", "--config", &config])
            .args(["--viewers", "2", "--ramp", "0s", "--transport", "mixed"])
            .args(form)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let (json, text) = (run(&["--json"]), run(&[]));
    until_they_play(&gate, 2, 2);
    signal(&origin.child, Signal::STOP);
    let (found, code) = document(&json.wait_with_output().unwrap());
    assert_eq!(code, Some(1), "{found}");
    let none = json!({ "started": 2, "served": 0, "failed": 2, "unfinished": 0 });
    assert_eq!(found["viewers"], none, "{found}");
    assert_eq!(found["all_served"], false);
    assert_eq!(
        (&found["stalls"]["count"], &found["stalls"]["at_end"]),
        (&json!(2), &json!(2)),
        "{found}"
    );
    let output = text.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let summary = self::text(&output.stdout);
    assert!(
        summary.contains("0 served, 2 failed") && summary.contains("2 stood still at the end"),
        "{summary}"
    );
}

#[test]
fn a_media_server_that_goes_away_is_a_loss_with_the_gates_code() {
    let server = MediaServer::start(|mut gate| {
        gate.accept();
        gate.send(0x2, b"media");
    });
    let (gate, config) = gate_before(server.address);
    let (found, code) = document(&test(
        gate.playback,
        &["--viewers", "3", "--config", &config],
    ));
    assert_eq!(code, Some(1));
    assert_eq!(found["viewers"]["failed"], 3);
    assert!(found["lost"]["4503"].as_u64() >= Some(3), "{found}");
}

#[test]
fn ctrl_c_and_sigterm_end_early_with_the_summary() {
    for by in [Signal::INT, Signal::TERM] {
        let origin = Origin::start();
        let (gate, config) = gate_before(origin.address);
        let child = load(&[&format!("http://{}", gate.playback)])
            .args(["--stream", "abcde-one", "--config", &config])
            .args(["--viewers", "2", "--for", "1h", "--ramp", "10ms"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        until_they_play(&gate, 2, 0);
        signal(&child, by);
        let output = child.wait_with_output().unwrap();
        let summary = text(&output.stdout);
        assert!(
            summary.contains("2 viewers in") && summary.contains("(ended early): 2 served"),
            "{by:?}: {summary}"
        );
        assert_eq!(output.status.code(), Some(0), "{by:?}");
        assert!(origin.ended_by(by).contains("2 viewers"), "{by:?}");
    }
}

/// What is written to `from` until it is `enough`.
fn shown_until(mut from: impl Read + Send + 'static, enough: impl Fn(&str) -> bool) -> String {
    let (say, hear) = mpsc::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            if say.send(text(&buffer[..count])).is_err() {
                return;
            }
        }
    });
    let mut shown = String::new();
    while !enough(&shown) {
        shown += &hear
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|_| panic!("{shown:?}"));
    }
    shown
}

#[test]
fn a_terminal_shows_the_counts_while_a_test_runs() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let origin = Origin::start();
    let (gate, config) = gate_before(origin.address);
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let other_end = std::fs::OpenOptions::new()
        .write(true)
        .open(name.to_str().unwrap())
        .unwrap();
    let child = load(&[&format!("http://{}", gate.playback)])
        .args(["--stream", "abcde-one", "--config", &config])
        .args(["--viewers", "3", "--for", "1h", "--ramp", "10ms"])
        .stdout(Stdio::piped())
        .stderr(other_end)
        .spawn()
        .unwrap();
    let shown = shown_until(std::fs::File::from(terminal), |shown| {
        shown.contains("3 of 3 playing")
    });
    // Each line takes the place of the one before.
    assert!(shown.starts_with("\r\u{1b}[2K"), "{shown:?}");
    for part in [" s  ", " frames/s  ", " Mbit/s  ", "0 stalls  0 refused"] {
        assert!(shown.contains(part), "{part}: {shown:?}");
    }
    signal(&child, Signal::INT);
    assert!(child.wait_with_output().unwrap().status.success());
}

#[test]
fn an_origin_without_descriptors_says_so_and_goes_on() {
    let mut command = limited(20, &load(&["--origin", "127.0.0.1:0"]));
    command.stderr(Stdio::piped());
    let mut origin = Origin::spawn(command);
    let waiting: Vec<_> = (0..30)
        .map(|_| TcpStream::connect(origin.address).unwrap())
        .collect();
    let stderr = origin.child.stderr.take().unwrap();
    let line = shown_until(stderr, |shown| shown.contains('\n'));
    assert!(
        line.contains("accept failed") && line.contains("Too many open files"),
        "{line}"
    );
    drop(waiting);
    let answer = get(
        origin.address,
        "/h5live/http/playlist.m3u8?stream=abcde-one",
        &[],
    );
    assert_eq!(answer.status, 200, "{answer:?}");
    let said = origin.ended_by(Signal::TERM);
    assert!(said.contains("accept failed"), "{said}");
}

#[test]
fn an_origin_speaks_as_media_servers_do() {
    let origin = Origin::start();
    let target = "/h5live/stream?stream=abcde-one";
    let mut viewer = Viewer::open_path(origin.address, target, &[], b"");
    let told = |viewer: &mut Viewer, event: &str| {
        let text = loop {
            let frame = viewer.receive().unwrap();
            if frame.opcode == 0x1 {
                break text(&frame.payload);
            }
        };
        let mut message: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(message["eventType"], event, "{text}");
        message[event].take()
    };
    let info = told(&mut viewer, "onServerInfo");
    assert_eq!(info["capabilities"], json!(["onUpdateSource"]));
    assert!(
        info["events"]
            .as_array()
            .unwrap()
            .contains(&json!("onStreamInfo"))
    );
    assert_eq!(
        told(&mut viewer, "onUpdateSourceSuccess"),
        json!({ "tag": "", "count": 0, "requestId": 0 })
    );
    let status = json!({ "stream": "abcde-one", "status": "started" });
    assert_eq!(told(&mut viewer, "onStreamStatus"), status);
    let info = told(&mut viewer, "onStreamInfo");
    assert_eq!(
        info["videoInfo"],
        json!({ "width": 640, "height": 360, "frameRate": 30.0 })
    );
    assert_eq!(
        info["audioInfo"],
        json!({ "sampleRate": 48_000, "channels": 2, "bitsPerSample": 16 })
    );

    for (stream, id, event) in [
        ("abcde-two", 1, "onUpdateSourceSuccess"),
        ("abcde-two", 2, "onUpdateSourceAbort"),
        ("abcde-one", 3, "onUpdateSourceSuccess"),
    ] {
        let switch = json!({ "eventType": "onUpdateSource", "requestId": id, "onUpdateSource":
            { "tag": "t", "count": id, "rtmp": { "url": "rtmp://localhost/play", "stream": stream } } });
        viewer.say(&switch.to_string());
        let answer = told(&mut viewer, event);
        assert_eq!(
            (&answer["tag"], &answer["count"], &answer["requestId"]),
            (&json!("t"), &json!(id), &json!(id))
        );
        if event == "onUpdateSourceSuccess" {
            assert_eq!(told(&mut viewer, "onStreamInfo")["stream"], stream);
        }
    }
}

#[test]
fn an_origin_takes_no_options_of_a_test() {
    let options: [&[&str]; 14] = [
        &["--viewers", "1"],
        &["--for", "1s"],
        &["--ramp", "1s"],
        &["--hls", "1"],
        &["--transport", "hls"],
        &["--stream", "abcde-one"],
        &["--api-key-env", "LOAD_API_KEY"],
        &["--config", "h5gate.toml"],
        &["--direct"],
        &["--lifetime", "1m"],
        &["--source", "rtmp://localhost/play"],
        &["--stall", "1s"],
        &["--allow-host", "localhost"],
        &["--json"],
    ];
    // Whoever accepts one would listen: an address that nobody has ends it.
    for option in options {
        let output = load(&["--origin", "192.0.2.1:1"])
            .args(option)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{option:?}: {output:?}");
        let said = text(&output.stderr);
        assert!(
            said.contains("--origin") && said.contains(option[0]),
            "{option:?}: {said}"
        );
    }
}

#[test]
fn too_few_descriptors_for_anybody_are_said_as_such() {
    let origin = Origin::start();
    let url = format!("http://{}", origin.address);
    let command = load(&[&url, "--viewers", "10", "--direct", "--stream", "abcde-one"]);
    let output = limited(64, &command).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(
        said.contains("10 viewers need 110 file descriptors")
            && said.contains("may have 64")
            && said.contains("even one viewer needs 101")
            && !said.contains("at most"),
        "{said}"
    );
}

#[test]
fn what_cannot_be_tested_is_said_with_what_to_do() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = free.local_addr().unwrap();
    drop(free);
    let nobody = format!("http://{nobody}");
    let direct = ["--direct", "--stream", "abcde-one"];
    let cases: [(&[&str], i32, &str); 9] = [
        (&["http://192.0.2.1"], 2, "--allow-host 192.0.2.1"),
        (
            &["http://192.0.2.1", "--allow-host", "192.0.2.2"],
            2,
            "--allow-host 192.0.2.1",
        ),
        (&["127.0.0.1:8080"], 2, "http://127.0.0.1:8080"),
        (&["https://localhost"], 2, "without TLS"),
        (&[&nobody], 1, "is it started"),
        (&[&nobody, "--viewers", "100001"], 2, "100000"),
        (&[&nobody, "--for", "25h"], 2, "24h"),
        (&[&nobody, "--rate", "5"], 2, "--rate"),
        (&[], 2, "URL"),
    ];
    for (arguments, code, word) in cases {
        let output = load(arguments).args(direct).output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {output:?}"
        );
        assert!(output.stdout.is_empty(), "{arguments:?}");
        assert!(
            text(&output.stderr).contains(word),
            "{arguments:?}: {output:?}"
        );
    }
}

#[test]
fn a_wrong_api_key_is_told_in_the_apis_words() {
    let origin = Origin::start();
    let (gate, _) = gate_before(origin.address);
    let output = load(&[
        &format!("http://{}", gate.playback),
        "--stream",
        "abcde-one",
    ])
    .args(["--api-key-env", "LOAD_API_KEY"])
    .env("LOAD_API_KEY", "another")
    .output()
    .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(
        said.contains("401") && said.contains("the API key is not known"),
        "{said}"
    );
}
