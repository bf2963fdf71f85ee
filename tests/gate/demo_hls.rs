//! The demonstration's media server as an HLS client and a browser's `<video>` meet it.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::demo::{Demo, PATIENCE, TICKS, assert_continuous, is_init, times};

#[tokio::test]
async fn hls_has_an_abr_set_whose_segments_follow_on_themselves() {
    let demo = Demo::start().await;
    let entry = demo
        .get("/h5live/http/playlist.m3u8?stream=demo1-camera1")
        .await;
    assert!(
        entry
            .head
            .contains("content-type: application/vnd.apple.mpegurl")
    );
    let children: Vec<_> = uris(entry.text()).map(str::to_owned).collect();
    assert_eq!(
        children,
        ["demo1-camera1/media.m3u8", "demo1-camera1-low/media.m3u8"]
    );
    assert!(
        entry.text().contains("RESOLUTION=640x360") && entry.text().contains("RESOLUTION=320x180")
    );
    let single = demo
        .get("/h5live/http/playlist.m3u8?stream=demo1-camera2")
        .await;
    assert_eq!(
        uris(single.text()).collect::<Vec<_>>(),
        ["demo1-camera2/media.m3u8"]
    );

    for child in &children {
        let folder = format!("/h5live/http/{}", child.trim_end_matches("media.m3u8"));
        let playlist = demo.get(&format!("/h5live/http/{child}")).await;
        let text = playlist.text();
        assert!(!text.contains("DISCONTINUITY") && !text.contains("ENDLIST"));
        let init = demo.get(&format!("{folder}init.mp4")).await;
        assert!(text.contains("URI=\"init.mp4\"") && is_init(&init.body));
        let names: Vec<_> = uris(text).collect();
        assert_eq!(names.len(), 6);
        assert_eq!(text.matches("#EXTINF:1.28000,\n").count(), 6);
        let first: u64 = tag(text, "#EXT-X-MEDIA-SEQUENCE:");
        assert_eq!(names[0], format!("{first}.m4s"));
        let mut media = Vec::new();
        for name in names {
            let segment = demo.get(&format!("{folder}{name}")).await;
            assert!(segment.head.contains("content-type: video/mp4"));
            media.extend(segment.body);
        }
        assert_eq!(times(&media).len(), 24);
        assert_eq!(times(&media)[0][0], first * 4 * TICKS[0]);
        assert_continuous(&times(&media));
    }
}

#[tokio::test]
async fn a_live_playlist_goes_on() {
    let demo = Demo::start().await;
    let path = "/h5live/http/demo1-camera1/media.m3u8";
    let first: u64 = tag(demo.get(path).await.text(), "#EXT-X-MEDIA-SEQUENCE:");
    // A viewer is the clock: a group of pictures passes.
    let mut viewer = demo.play("demo1-camera1").await;
    for _ in 0..10 {
        viewer.media().await;
    }
    let playlist = demo.get(path).await;
    let now: u64 = tag(playlist.text(), "#EXT-X-MEDIA-SEQUENCE:");
    assert!(now > first, "{first} and then {now}");
    // What has just left the playlist can still be fetched by those who have the older one.
    assert_eq!(
        demo.get(&format!("/h5live/http/demo1-camera1/{first}.m4s"))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_head_request_has_no_body() {
    let demo = Demo::start().await;
    let answer = demo
        .ask("HEAD", "/h5live/http/stream.mp4?stream=demo1-camera1")
        .await;
    assert_eq!((answer.status, answer.body.len()), (200, 0));
}

#[tokio::test]
async fn the_progressive_file_is_whole_from_its_first_byte() {
    let demo = Demo::start().await;
    let mut socket = TcpStream::connect(demo.address).await.unwrap();
    // HTTP/1.0 has no chunks: what follows the head is the file.
    let request = b"GET /h5live/http/stream.mp4?stream=demo1-camera2 HTTP/1.0\r\n\r\n";
    socket.write_all(request).await.unwrap();
    let mut bytes = Vec::new();
    let read = async {
        while bytes.windows(4).filter(|four| four == b"moof").count() < 8 {
            assert_ne!(socket.read_buf(&mut bytes).await.unwrap(), 0);
        }
    };
    timeout(PATIENCE, read).await.unwrap();
    let split = bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap();
    let file = &bytes[split + 4..];
    assert!(is_init(file));
    let end = file.windows(4).rposition(|four| four == b"moof").unwrap() - 4;
    let times = times(&file[..end]);
    assert_eq!(times.len(), 7);
    assert_continuous(&times);
}

/// The lines of a playlist that are names.
fn uris(playlist: &str) -> impl Iterator<Item = &str> {
    playlist.lines().filter(|line| !line.starts_with('#'))
}

fn tag(playlist: &str, name: &str) -> u64 {
    let value = playlist.lines().find_map(|line| line.strip_prefix(name));
    value.unwrap().parse().unwrap()
}
