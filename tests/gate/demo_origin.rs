//! The demonstration's media server as an H5Live player meets it on a WebSocket.

use futures_util::SinkExt as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::support::demo::{Demo, PATIENCE, TICKS, assert_continuous, is_init, times};

#[tokio::test]
async fn a_viewer_is_greeted_and_then_gets_media_from_a_keyframe_on() {
    let demo = Demo::start().await;
    let mut viewer = demo.play("demo1-camera1").await;
    let info = viewer.hear("onServerInfo").await;
    let can = |what: &str| {
        info["capabilities"]
            .as_array()
            .unwrap()
            .contains(&json!(what))
    };
    assert!(can("onPlay") && can("onPause") && can("onUpdateSource"));
    let events = info["events"].as_array().unwrap();
    assert!(events.contains(&json!("onStreamInfo")) && events.contains(&json!("onMetaData")));
    assert_eq!(
        viewer.hear("onUpdateSourceSuccess").await,
        json!({ "tag": "", "count": 0, "requestId": 0 })
    );
    let status = viewer.hear("onStreamStatus").await;
    assert_eq!(
        status,
        json!({ "stream": "demo1-camera1", "status": "started" })
    );
    let info = viewer.hear("onStreamInfo").await;
    assert_eq!(
        info["mimeType"],
        r#"video/mp4; codecs="avc1.42C01E,mp4a.40.2""#
    );
    assert_eq!(
        info["videoInfo"],
        json!({ "width": 640, "height": 360, "frameRate": 25.0 })
    );
    assert_eq!(
        info["audioInfo"],
        json!({ "sampleRate": 48_000, "channels": 1, "bitsPerSample": 16 })
    );
    assert_eq!(
        (&info["haveVideo"], &info["haveAudio"]),
        (&json!(true), &json!(true))
    );
    assert!(is_init(&viewer.see().await));
    let data = viewer.hear("onMetaData").await;
    assert_eq!(data["handlerName"], "onMetaData");
    assert_eq!(data["message"], json!({ "stream": "demo1-camera1" }));
    let point = viewer.hear("onRandomAccessPoint").await;
    assert!(point["streamTime"].is_u64() && data["streamTime"] == point["streamTime"]);
    let mut media = viewer.see().await.to_vec();
    assert_eq!(times(&media)[0][0] % (4 * TICKS[0]), 0);
    // Across a seam: the loop is 20 fragments long, and a server begins shortly before the end of its second.
    let seam = 20 * TICKS[0];
    loop {
        media.extend_from_slice(&viewer.media().await);
        assert!(times(&media).len() < 40, "no seam");
        if times(&media).len() >= 10 && times(&media).iter().any(|time| time[0] % seam == 0) {
            break;
        }
    }
    assert_continuous(&times(&media));
}

#[tokio::test]
async fn all_viewers_of_a_stream_get_the_same_bytes() {
    let demo = Demo::start().await;
    let mut one = demo.play("demo1-camera2").await;
    let mut two = demo.play("demo1-camera2").await;
    assert_eq!(one.media().await, two.media().await);
    // The second may have begun a group of pictures later.
    let later = two.media().await;
    let catch_up = async { while one.media().await != later {} };
    timeout(PATIENCE, catch_up).await.unwrap();
    for _ in 0..8 {
        assert_eq!(one.media().await, two.media().await);
    }
}

#[tokio::test]
async fn a_switch_goes_on_where_the_old_stream_ended() {
    let demo = Demo::start().await;
    let mut viewer = demo.play("demo1-camera1").await;
    assert!(is_init(&viewer.media().await));
    let mut media = viewer.media().await.to_vec();
    viewer.switch("demo1-camera1-low").await;
    let answer = loop {
        let message = viewer.next().await.unwrap();
        if let Message::Text(text) = &message
            && text.contains(r#""requestId":9"#)
        {
            break text.clone();
        }
        if message.is_binary() {
            media.extend_from_slice(&message.into_data());
        }
    };
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let own = json!({ "tag": "a", "count": 1, "requestId": 9 });
    assert_eq!(
        answer,
        json!({ "eventType": "onUpdateSourceSuccess", "onUpdateSourceSuccess": own })
    );
    assert_eq!(
        viewer.hear("onStreamInfo").await["videoInfo"],
        json!({ "width": 320, "height": 180, "frameRate": 25.0 })
    );
    assert!(is_init(&viewer.see().await));
    viewer.hear("onMetaData").await;
    viewer.hear("onRandomAccessPoint").await;
    media.extend_from_slice(&viewer.see().await);
    assert_continuous(&times(&media));

    viewer.switch("demo1-camera1-low").await;
    viewer.switch("demo1-none").await;
    let mut said = Vec::new();
    while said.len() < 2 {
        if let Message::Text(text) = viewer.next().await.unwrap()
            && text.contains("onUpdateSource")
        {
            said.push(serde_json::from_str::<Value>(&text).unwrap());
        }
    }
    assert_eq!(said[0]["onUpdateSourceAbort"]["reason"], "equalsource");
    assert_eq!(
        said[1]["onUpdateSourceError"],
        json!({ "tag": "a", "count": 1, "requestId": 9, "code": 4400, "reason": "notfound" })
    );
}

#[tokio::test]
async fn flags_of_the_query_are_heeded() {
    let demo = Demo::start().await;
    let query = "/h5live/stream?stream=demo1-camera1&url=rtmp%3A%2F%2Flocalhost%2Fplay&flags=";
    let mut paused = demo
        .open(&format!("{query}faststart%2Cpaused"))
        .await
        .unwrap();
    let mut beside = demo.open(&format!("{query}metastreamonly")).await.unwrap();
    for viewer in [&mut paused, &mut beside] {
        for event in [
            "onServerInfo",
            "onUpdateSourceSuccess",
            "onStreamStatus",
            "onStreamInfo",
        ] {
            viewer.hear(event).await;
        }
    }
    beside.hear("onMetaData").await;
    beside.hear("onMetaData").await;
    // A keyframe has passed, and the paused viewer hears nothing but the answer to its own message.
    let play = json!({ "eventType": "onPlay", "onPlay": {}, "requestId": 1 });
    paused
        .0
        .send(Message::text(play.to_string()))
        .await
        .unwrap();
    paused.hear("onStreamInfo").await;
    assert!(is_init(&paused.see().await));
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let demo = Demo::start().await;
    for target in [
        "/h5live/stream?stream=demo1-camera3",
        "/h5live/stream",
        "/h5live/other?stream=demo1-camera1",
    ] {
        match demo.open(target).await {
            Err(Error::Http(response)) => assert_eq!(response.status(), 404, "{target}"),
            other => panic!("{:?}", other.err()),
        }
    }
    for (target, status) in [
        ("/", 404),
        ("/h5live/http/", 404),
        ("/h5live/http/playlist.m3u8", 404),
        ("/h5live/http/playlist.m3u8?stream=demo1-camera3", 404),
        ("/h5live/http/playlist.m3u8?stream=%zz", 400),
        ("/h5live/http/demo1-camera3/media.m3u8", 404),
        ("/h5live/http/demo1-camera1/9.m4s", 200),
        ("/h5live/http/demo1-camera1/1000.m4s", 404),
        ("/h5live/http/demo1-camera1/18446744073709551615.m4s", 404),
        ("/h5live/http/demo1-camera1/-1.m4s", 404),
        ("/h5live/stream?stream=demo1-camera1", 426),
    ] {
        assert_eq!(demo.get(target).await.status, status, "{target}");
    }
    let answer = demo
        .ask("POST", "/h5live/http/playlist.m3u8?stream=demo1-camera1")
        .await;
    assert_eq!(answer.status, 405);
    assert!(answer.head.contains("allow: get, head"));
}

#[tokio::test]
async fn a_stop_tells_the_viewers_and_ends_everything() {
    let demo = Demo::start().await;
    let mut viewer = demo.play("demo1-camera1").await;
    let mut endless = TcpStream::connect(demo.address).await.unwrap();
    let request = b"GET /h5live/http/stream.mp4?stream=demo1-camera1 HTTP/1.0\r\n\r\n";
    endless.write_all(request).await.unwrap();
    let mut bytes = Vec::new();
    endless.read_buf(&mut bytes).await.unwrap();
    viewer.media().await;

    demo.stop.cancel();
    let close = loop {
        if let Message::Close(close) = viewer.next().await.unwrap() {
            break close.unwrap();
        }
    };
    assert_eq!(u16::from(close.code), 1001);
    assert!(viewer.next().await.is_none());
    let end = timeout(PATIENCE, endless.read_to_end(&mut bytes)).await;
    end.unwrap().unwrap();
    let served = timeout(PATIENCE, demo.serving).await.unwrap();
    assert_eq!(served.unwrap(), Ok(()));
}
