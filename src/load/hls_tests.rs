use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::load::ANSWER_LIMIT;
use crate::load::attempt::Context;
use crate::load::plan::Plan;
use crate::load::tally::Tally;
use crate::load::target::Target;
use crate::load::tokens::{Minter, Tokens};
use crate::load::viewer::view;

const MEDIA: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n1.m4s\n";

/// A media server whose playlist is answered with these bytes, and whose segment with those: what is behind a `|` comes
/// when the test has ended.
async fn server(playlist: String, segment: &'static str, stop: CancellationToken) -> Target {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    TaskTracker::new().spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let (playlist, stop) = (playlist.clone(), stop.clone());
            TaskTracker::new().spawn(async move {
                let mut head = Vec::new();
                while socket.read_buf(&mut head).await.is_ok_and(|read| read > 0) {
                    if !head.ends_with(b"\r\n\r\n") {
                        continue;
                    }
                    let is_playlist = String::from_utf8_lossy(&head).contains("playlist.m3u8");
                    head.clear();
                    let answer = if is_playlist { &playlist } else { segment };
                    let (at_once, later) = answer.split_once('|').unwrap_or((answer, ""));
                    socket.write_all(at_once.as_bytes()).await.unwrap();
                    if !later.is_empty() {
                        stop.cancelled().await;
                        socket.write_all(later.as_bytes()).await.unwrap();
                    }
                }
            });
        }
    });
    Target {
        address,
        authority: address.to_string(),
        prefix: String::new(),
    }
}

fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// What one viewer of HLS has counted when the test ends, which is when `over` says so.
async fn watch(
    playlist: String,
    segment: &'static str,
    mut over: impl FnMut(&Tally) -> bool,
) -> Tally {
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    let target = server(playlist, segment, stop.clone()).await;
    let api = Fetcher::new(&target, tasks.clone());
    let hour = Duration::from_secs(3600);
    let context = Arc::new(Context {
        plan: Arc::new(Plan {
            viewers: 1,
            time: hour,
            ramp: Duration::ZERO,
            hls_percent: 100,
            streams: vec!["abcde-one".parse().unwrap()],
            workers: NonZeroUsize::MIN,
            stall: Duration::from_secs(2),
            direct: true,
        }),
        target,
        source: String::new(),
        tokens: Tokens::new(Minter::None, hour, api),
        tally: Arc::default(),
        stop: stop.clone(),
        tasks,
        run: 0,
    });
    let viewing = TaskTracker::new().spawn(view(Arc::clone(&context), 0));
    while !over(&context.tally.lock()) {
        sleep(Duration::from_millis(10)).await;
    }
    stop.cancel();
    viewing.await.unwrap();
    context.tally.lock().clone()
}

#[tokio::test(start_paused = true)]
async fn a_refusal_whose_body_does_not_come_is_not_waited_for() {
    let cut = "HTTP/1.1 403 Forbidden\r\nContent-Length: 27\r\n\r\n{";
    let began = Instant::now();
    let over = |tally: &Tally| !tally.lost.is_empty() || began.elapsed() > 2 * ANSWER_LIMIT;
    let tally = watch(ok(MEDIA), cut, over).await;
    assert_eq!(tally.granted, 1);
    assert_eq!(tally.lost.get("timeout"), Some(&1), "{:?}", tally.lost);
}

#[tokio::test]
async fn what_is_under_way_when_the_test_ends_is_still_counted() {
    let slow = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nme|dia";
    let list = MEDIA.len() as u64;
    let tally = watch(ok(MEDIA), slow, |tally| tally.hls_bytes == list + 2).await;
    assert_eq!((tally.segments, tally.hls_bytes), (1, list + 5));
    // But nothing was seen before the end.
    assert_eq!((tally.served, tally.unfinished, tally.playing), (0, 1, 0));
}

#[tokio::test]
async fn a_playlist_of_numbers_without_bounds_is_a_bad_answer() {
    let list = MEDIA.replace(":2\n", ":18446744073709551615\n");
    let nothing = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let tally = watch(ok(&list), nothing, |tally| tally.failed > 0).await;
    let failures = &tally.failures;
    assert_eq!(failures.get("bad_answer"), Some(&1), "{failures:?}");
}
