//! What a viewer is sent over minutes, in a time that the tests move: nothing here takes as long as it says.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{DuplexStream, duplex};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::demo::catalogue::Catalogue;
use crate::demo::timeline::{HISTORY, Timeline};

/// Ticks of the pictures in a fragment of 320 ms.
const TICKS: u64 = 28_800;

fn origin() -> Arc<Origin> {
    let catalogue = Catalogue::load().unwrap();
    Arc::new(Origin {
        timeline: Timeline::start(catalogue.fragment_duration()),
        catalogue,
        stop: CancellationToken::new(),
        tasks: TaskTracker::new(),
    })
}

/// The viewer's end of a connection that holds at most 64 KiB on its way.
struct Player(WebSocketStream<DuplexStream>);

#[derive(Debug, PartialEq)]
enum Heard {
    Text(String, Value),
    Init,
    /// The decode time of its pictures, in fragments.
    Fragment(u64),
}

impl Player {
    async fn open(origin: &Arc<Origin>, silence: Silence) -> Self {
        let (near, far) = duplex(64 * 1024);
        let stream = Arc::clone(origin.catalogue.get("demo1-camera1").unwrap());
        let viewer = serve(Arc::clone(origin), stream, silence, far);
        origin.tasks.spawn(viewer);
        let mut player = Self(WebSocketStream::from_raw_socket(near, Role::Client, None).await);
        // The connect's own success is no answer to a switch.
        assert_eq!(
            player.names(2).await,
            ["onServerInfo", "onUpdateSourceSuccess"]
        );
        player
    }

    async fn say(&mut self, event: &str, body: Value) {
        let text = json!({ "eventType": event, event: body }).to_string();
        self.0.send(Message::text(text)).await.unwrap();
    }

    async fn switch(&mut self, stream: &str, count: u32) {
        let body =
            json!({ "tag": "t", "count": count, "requestId": count, "rtmp": { "stream": stream } });
        self.say("onUpdateSource", body).await;
    }

    /// The next message; `None` at the end.
    async fn hear(&mut self) -> Option<Heard> {
        let message = self.0.next().await?.ok()?;
        if let Message::Text(text) = message {
            let mut message: Value = serde_json::from_str(&text).unwrap();
            let event = message["eventType"].as_str().unwrap().to_owned();
            let body = message[&event].take();
            return Some(Heard::Text(event, body));
        }
        assert!(message.is_binary(), "{message:?}");
        let bytes = message.into_data();
        if &bytes[4..8] == b"ftyp" {
            return Some(Heard::Init);
        }
        let at = bytes.windows(4).position(|four| four == b"tfdt").unwrap() + 8;
        let time = u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
        assert_eq!(time % TICKS, 0);
        Some(Heard::Fragment(time / TICKS))
    }

    /// The next text of this event, whatever comes before.
    async fn hear_of(&mut self, event: &str) -> Value {
        loop {
            let heard = self.hear().await.expect("the event before the end");
            if let Heard::Text(name, body) = heard
                && name == event
            {
                return body;
            }
        }
    }

    /// The names of events and `init` or `fragment`, as far as `count`.
    async fn names(&mut self, count: usize) -> Vec<String> {
        let mut names = Vec::new();
        while names.len() < count {
            names.push(match self.hear().await.unwrap() {
                Heard::Text(name, _) => name,
                Heard::Init => "init".to_owned(),
                Heard::Fragment(_) => "fragment".to_owned(),
            });
        }
        names
    }

    async fn fragment(&mut self) -> Option<u64> {
        loop {
            match self.hear().await? {
                Heard::Fragment(index) => return Some(index),
                Heard::Text(..) | Heard::Init => {}
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn ten_minutes_have_no_gap_and_take_ten_minutes() {
    let origin = origin();
    let start = Instant::now();
    let mut player = Player::open(&origin, Silence::None).await;
    let first = player.fragment().await.unwrap();
    assert_eq!(first, HISTORY - 4);
    for index in first + 1..HISTORY + 1875 {
        assert_eq!(player.fragment().await, Some(index));
    }
    assert_eq!(start.elapsed().as_secs(), 600);
}

#[tokio::test(start_paused = true)]
async fn a_slow_viewer_goes_on_at_the_live_edge() {
    let origin = origin();
    let mut player = Player::open(&origin, Silence::None).await;
    let mut last = player.fragment().await.unwrap();
    // A pause of nine seconds, again and again: too long to be caught up, too short to be given up.
    for _ in 0..5 {
        sleep(Duration::from_secs(9)).await;
        loop {
            let next = player.fragment().await.unwrap();
            assert!(next < HISTORY + 500, "it never jumps");
            let jump = next - last - 1;
            last = next;
            if jump > 0 {
                assert_eq!(next % 4, 0, "the jump leads to a keyframe");
                assert!(origin.timeline.newest() - next <= 4, "and to the live edge");
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_viewer_that_takes_nothing_is_given_up() {
    let origin = origin();
    let mut player = Player::open(&origin, Silence::None).await;
    assert!(player.fragment().await.is_some());
    let start = Instant::now();
    origin.tasks.close();
    origin.tasks.wait().await;
    let seconds = start.elapsed().as_secs();
    assert!((10..15).contains(&seconds), "given up after {seconds} s");
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_a_viewer_that_takes_nothing() {
    let origin = origin();
    let _player = Player::open(&origin, Silence::None).await;
    sleep(Duration::from_secs(6)).await;
    assert!(!origin.tasks.is_empty(), "it is still being waited for");
    let start = Instant::now();
    origin.stop.cancel();
    origin.tasks.close();
    origin.tasks.wait().await;
    assert_eq!(start.elapsed(), STOP_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn a_paused_viewer_gets_no_media_until_it_plays() {
    let origin = origin();
    let mut player = Player::open(&origin, Silence::Paused).await;
    let greeting = ["onStreamStatus", "onStreamInfo"];
    assert_eq!(player.names(2).await, greeting);
    sleep(Duration::from_secs(120)).await;
    player.say("onPlay", json!({})).await;
    let start = [
        "onStreamInfo",
        "init",
        "onMetaData",
        "onRandomAccessPoint",
        "fragment",
    ];
    assert_eq!(player.names(5).await, start);

    for _ in 0..20 {
        player.fragment().await.unwrap();
    }
    player.say("onPause", json!({})).await;
    sleep(Duration::from_secs(120)).await;
    // Whatever was on its way when it paused, and then nothing for two minutes.
    player.say("onPlay", json!({})).await;
    player.hear_of("onStreamInfo").await;
    let next = player.fragment().await.unwrap();
    assert_eq!(next, origin.timeline.newest_keyframe(4));
}

#[tokio::test(start_paused = true)]
async fn a_viewer_beside_hls_gets_metadata_and_no_media() {
    let origin = origin();
    let mut player = Player::open(&origin, Silence::MetadataOnly).await;
    let names = player.names(102).await;
    assert_eq!(names[..2], ["onStreamStatus", "onStreamInfo"]);
    assert!(names[2..].iter().all(|name| name == "onMetaData"));
}

#[tokio::test(start_paused = true)]
async fn a_switch_is_made_between_two_fragments_and_loses_none() {
    let origin = origin();
    let mut player = Player::open(&origin, Silence::None).await;
    let mut expected = player.fragment().await.unwrap();
    let names = ["demo1-camera1-low", "demo1-camera2", "demo1-camera1"];
    for (count, name) in names.into_iter().cycle().take(60).enumerate() {
        let count = u32::try_from(count).unwrap();
        player.switch(name, count).await;
        loop {
            match player.hear().await.unwrap() {
                Heard::Fragment(index) => {
                    expected += 1;
                    assert_eq!(index, expected, "still of the stream before");
                }
                Heard::Text(event, body) if event == "onUpdateSourceSuccess" => {
                    assert_eq!(
                        body,
                        json!({ "tag": "t", "count": count, "requestId": count })
                    );
                    break;
                }
                Heard::Text(event, _) => assert!(!event.starts_with("onUpdate"), "{event}"),
                Heard::Init => panic!("before the answer"),
            }
        }
        assert_eq!(player.hear_of("onStreamInfo").await["stream"], name);
        assert_eq!(player.hear().await, Some(Heard::Init));
        assert_eq!(player.hear_of("onRandomAccessPoint").await["stream"], name);
        expected += 1;
        assert_eq!(player.hear().await, Some(Heard::Fragment(expected)));
        assert_eq!(expected % 4, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_switch_that_is_not_made_says_why() {
    let origin = origin();
    let mut player = Player::open(&origin, Silence::None).await;
    player.fragment().await.unwrap();
    player.switch("demo1-camera1", 1).await;
    let abort = player.hear_of("onUpdateSourceAbort").await;
    assert_eq!(
        (&abort["reason"], &abort["count"]),
        (&json!("equalsource"), &json!(1))
    );
    player.switch("demo1-nothing", 2).await;
    let error = player.hear_of("onUpdateSourceError").await;
    assert_eq!(
        (&error["requestId"], &error["tag"]),
        (&json!(2), &json!("t"))
    );
    player.switch("demo1-camera2", 3).await;
    player.switch("demo1-camera1-low", 4).await;
    let abort = player.hear_of("onUpdateSourceAbort").await;
    assert_eq!(
        (&abort["reason"], &abort["count"]),
        (&json!("superseded"), &json!(3))
    );
    assert_eq!(player.hear_of("onUpdateSourceSuccess").await["count"], 4);
    // And back before the next keyframe: what is played is what counts.
    player.switch("demo1-camera2", 5).await;
    player.switch("demo1-camera1-low", 6).await;
    assert_eq!(
        player.hear_of("onUpdateSourceAbort").await["reason"],
        "superseded"
    );
    assert_eq!(
        player.hear_of("onUpdateSourceAbort").await["reason"],
        "equalsource"
    );
}

#[tokio::test(start_paused = true)]
async fn a_paused_viewer_switches_at_once() {
    let origin = origin();
    let mut player = Player::open(&origin, Silence::Paused).await;
    player.switch("demo1-camera2", 1).await;
    assert_eq!(player.hear_of("onUpdateSourceSuccess").await["count"], 1);
    assert_eq!(
        player.hear_of("onStreamInfo").await["stream"],
        "demo1-camera2"
    );
    player.say("onPlay", json!({})).await;
    assert_eq!(
        player.hear_of("onRandomAccessPoint").await["stream"],
        "demo1-camera2"
    );

    // A switch that was waiting for its keyframe when the viewer paused.
    player.switch("demo1-camera1", 2).await;
    player.say("onPause", json!({})).await;
    assert_eq!(player.hear_of("onUpdateSourceSuccess").await["count"], 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_message_is_ignored_and_what_is_too_long_ends_the_connection() {
    let origin = origin();
    let mut player = Player::open(&origin, Silence::None).await;
    player.0.send(Message::text("resume")).await.unwrap();
    player.say("onSomething", json!(null)).await;
    for _ in 0..20 {
        assert!(player.fragment().await.is_some());
    }
    player
        .0
        .send(Message::text("x".repeat(MESSAGE_LIMIT + 1)))
        .await
        .unwrap();
    while player.hear().await.is_some() {}
}
