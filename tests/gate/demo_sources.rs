//! The demo takes the sources that players send: their own defaults, and those of the vendor's documentation.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use h5gate::request::query::encode_component;
use h5gate::token::Security;
use serde_json::Value;

use crate::support::viewer::{Viewer, get, query, request};

/// Killed when dropped.
struct Demo(Child);

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start() -> (Demo, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let child = Command::new(env!("CARGO_BIN_EXE_h5gate"))
        .args(["demo", "--listen", &address.to_string()])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let demo = Demo(child);
    crate::support::until("the demo listens", || TcpStream::connect(address).ok());
    (demo, address)
}

/// A token of the demo's own API.
fn minted(address: SocketAddr) -> Security {
    let info: Value = serde_json::from_str(&get(address, "/demo/info", &[]).body).unwrap();
    let key = format!("X-BINTU-APIKEY: {}", info["api_key"].as_str().unwrap());
    let headers = ["Content-Type: application/json", &key];
    let body = r#"{"streamname":"demo1-camera1"}"#;
    let answer = request(address, "POST", "/secure/token", &headers, body);
    let answer: Value = serde_json::from_str(&answer.body).unwrap();
    let text = |name: &str| {
        answer["h5live"]["security"][name]
            .as_str()
            .unwrap()
            .to_owned()
    };
    Security {
        expires: text("expires"),
        tag: text("tag"),
        token: text("token"),
        options: text("options"),
    }
}

#[test]
fn the_demo_plays_every_source_that_players_name_and_no_other() {
    let (_demo, address) = start();
    let security = minted(address);
    let usual = encode_component("rtmp://localhost/play");
    let query_of =
        |source: &str| query("demo1-camera1", &security).replace(&usual, &encode_component(source));
    for source in [
        "rtmp://localhost/play",
        "rtmp://localhost/splay",
        "rtmp://bintu-splay.nanocosmos.de/splay",
        "rtmp://bintu-play.nanocosmos.de/play",
        "rtmp://bintu-splay.nanocosmos.de:1935/splay",
        "RTMP://BINTU-PLAY.nanocosmos.de/play",
        "rtmp://LOCALHOST:1935/splay",
    ] {
        let mut viewer = Viewer::open(address, &query_of(source), &[]);
        assert!(viewer.hear().contains("onServerInfo"), "{source}");
        let target = format!("/h5live/authhttp/playlist.m3u8?{}", query_of(source));
        assert_eq!(get(address, &target, &[]).status, 200, "{source}");
    }
    for source in [
        "rtmp://bintu-splay.nanocosmos.de/play",
        "rtmp://other.test/splay",
        "rtmps://localhost/play",
    ] {
        let mut viewer = Viewer::open(address, &query_of(source), &[]);
        assert_eq!(viewer.closed().0, 4400, "{source}");
    }
}

#[test]
fn the_documented_paths_lead_to_the_picture() {
    let (_demo, address) = start();
    let query = query("demo1-camera1", &minted(address));
    for path in ["", "/", "/stream.mp4", "/stream.mp4/"] {
        let target = format!("/h5live/authstream{path}?{query}");
        let mut viewer = Viewer::open_path(address, &target, &[], b"");
        assert!(viewer.hear().contains("onServerInfo"), "{path}");
    }
}
