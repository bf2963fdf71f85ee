//! `h5gate load` against a running gate, with `h5gate load --origin` behind it.

#![cfg(feature = "gate")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod support;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use support::gate::{API_KEY, Gate, Setup, write_secret};
use support::media_server::{FromGate, MediaServer, read_head};
use support::until;

/// An origin of the binary's own; killed when dropped.
struct Origin {
    child: Child,
    stdout: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Origin {
    fn start() -> Self {
        let options = [
            "--fragment",
            "1KiB",
            "--segment",
            "16KiB",
            "--segment-seconds",
            "1",
        ];
        let mut child = load(&["--origin", "127.0.0.1:0"])
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

    /// Ctrl-C, and what it says then.
    fn interrupted(mut self) -> String {
        interrupt(&self.child);
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

fn interrupt(child: &Child) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
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

fn gate_before(origin: SocketAddr) -> (Gate, String) {
    let gate = Gate::before(origin);
    let config = gate.dir().join("h5gate.toml").to_str().unwrap().to_owned();
    (gate, config)
}

#[test]
fn all_viewers_are_served_and_the_gate_counts_the_same() {
    let origin = Origin::start();
    let (gate, config) = gate_before(origin.address);
    let tokens = [
        &["--config", &config][..],
        &["--api-key-env", "LOAD_API_KEY"],
    ];
    let (mut granted, mut bytes) = (0.0, 0.0);
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
        granted += found["verdicts"]["granted"].as_f64().unwrap();
        bytes += found["websocket"]["bytes"].as_f64().unwrap();
    }
    let verdicts = r#"h5gate_verdicts_total{verdict="granted",reason="",code="0"}"#;
    until("every session to be counted", || {
        (gate.metric("h5gate_sessions") == 0.0).then_some(())
    });
    assert_eq!(gate.metric(verdicts), granted);
    until("the same bytes at the gate", || {
        (gate.metric("h5gate_to_viewers_bytes_total") == bytes).then_some(())
    });
    assert!(origin.interrupted().contains("100 viewers"));
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
        let arguments = ["--viewers", "5", "--config", &config];
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

/// A gate's side of HLS as load expects it: the entry leads to a ticket, and what is below that is relative.
fn hls_gate(mut gate: FromGate) {
    let mut head = gate.head.clone();
    loop {
        let target = head.split(' ').nth(1).unwrap().to_owned();
        let path = target.split('?').next().unwrap();
        let (status, body) = match path {
            "/h5live/authhttp/playlist.m3u8" if target.contains("stream=abcde-two") => {
                ("403 Forbidden", r#"{"code":4903,"receipt":"r"}"#)
            }
            "/h5live/authhttp/playlist.m3u8" => (
                "302 Found\r\nLocation: ~TICKET/playlist.m3u8?stream=abcde-one",
                "",
            ),
            "/h5live/authhttp/~TICKET/playlist.m3u8" => (
                "200 OK",
                "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow/media.m3u8?t=1\n",
            ),
            "/h5live/authhttp/~TICKET/low/media.m3u8" => (
                "200 OK",
                "#EXTM3U\n#EXT-X-TARGETDURATION:60\n#EXT-X-MAP:URI=\"init.mp4\"\n#EXTINF:60,\n1.m4s\n",
            ),
            "/h5live/authhttp/~TICKET/low/init.mp4" | "/h5live/authhttp/~TICKET/low/1.m4s" => {
                ("200 OK", "media")
            }
            _ => ("404 Not Found", ""),
        };
        let length = body.len();
        gate.send_raw(
            format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}").as_bytes(),
        );
        match read_head(&mut gate.socket) {
            Some(next) => head = next,
            None => return,
        }
    }
}

#[test]
fn hls_viewers_follow_the_gates_ticket_and_read_its_refusals() {
    let gate = MediaServer::start(hls_gate);
    let (_configured, config) = gate_before(gate.address);
    let arguments = ["--viewers", "4", "--hls", "100", "--config", &config];
    // Every second viewer plays the stream that is refused.
    let arguments = [&arguments[..], &["--stream", "abcde-two"]].concat();
    let (found, code) = document(&test(gate.address, &arguments));
    assert_eq!(code, Some(1));
    assert_eq!(
        found["verdicts"],
        json!({ "granted": 2, "4903": 2 }),
        "{found}"
    );
    assert_eq!(
        (&found["failures"], &found["lost"]),
        (&json!({}), &json!({}))
    );
    assert_eq!(found["viewers"]["served"], 2, "{found}");
    assert_eq!(found["hls"]["segments"], 2);
    let heads = gate.heads();
    assert_eq!(
        heads.len(),
        4,
        "each viewer keeps its connection: {heads:#?}"
    );
    let ids = |key: &str| {
        let values = heads.iter().filter_map(|head| {
            let query = head.split(' ').nth(1)?.split_once('?')?.1;
            query.split('&').find_map(|pair| pair.strip_prefix(key))
        });
        values.collect::<BTreeSet<_>>().len()
    };
    assert_eq!((ids("cid="), ids("pid="), ids("token=")), (4, 4, 4));
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
fn ctrl_c_ends_early_with_the_summary() {
    let origin = Origin::start();
    let (gate, config) = gate_before(origin.address);
    let child = load(&[&format!("http://{}", gate.playback)])
        .args(["--stream", "abcde-one", "--config", &config])
        .args(["--viewers", "2", "--for", "1h", "--ramp", "10ms"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    until("both viewers at the gate", || {
        (gate.metric("h5gate_sessions") == 2.0).then_some(())
    });
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    let summary = text(&output.stdout);
    assert!(
        summary.contains("2 viewers in") && summary.contains("ended early"),
        "{summary}"
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
