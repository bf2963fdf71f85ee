//! What a media server sends though nothing asked for it is never the answer to the next request.

use std::time::Duration;

use crate::support::fetch::{Origin, Step, fetch, get, ok, permit, read, text, upstream};
use h5gate::upstream::UpstreamError;

/// What a server could send too much: each looks like the answer to the next request, or is a part of one.
fn strays() -> Vec<String> {
    let strays = [
        ok("stray"),
        "stray".to_owned(),
        "\r\n".to_owned() + &ok("stray"),
        "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
    ];
    strays.into()
}

#[tokio::test(start_paused = true)]
async fn a_body_that_comes_late_behind_an_answer_without_one_is_nobodys() {
    let heads = [
        (true, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        (
            true,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        (
            false,
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        ),
        (false, "HTTP/1.1 204 No Content\r\n\r\n"),
    ];
    for (is_head, head) in heads {
        for stray in strays() {
            let origin = Origin::start(move |asked| match asked.head.contains(" /first ") {
                // It comes when the next request is on its way, or at once.
                true => vec![
                    Step::send(head),
                    Step::Pause(Duration::from_millis(5)),
                    Step::send(stray.clone()),
                ],
                false => vec![
                    Step::Pause(Duration::from_millis(20)),
                    Step::send(ok("own")),
                ],
            })
            .await;
            let upstream = upstream(&[origin.address], None);
            let first = match is_head {
                true => get("/first").head_only(),
                false => get("/first"),
            };
            let first = upstream.fetch(&permit("abcde-one"), first).await.unwrap();
            assert_eq!(read(first.body).await.0, b"", "{head}");
            assert_eq!(text(&upstream, "/second").await, "own", "{head}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_come_is_seen_before_the_runtime_tells_of_it() {
    for stray in strays() {
        let origin = Origin::start(move |asked| match asked.connection {
            1 => vec![
                Step::send(ok("own")),
                Step::Pause(Duration::from_secs(1)),
                Step::send(stray.clone()),
                Step::Close,
            ],
            _ => vec![Step::send(ok("own"))],
        })
        .await;
        let upstream = upstream(&[origin.address], None);
        assert_eq!(text(&upstream, "/").await, "own");
        // The server's task has just sent it and ended: no socket was looked at since.
        origin.closed(1).await;
        assert_eq!(text(&upstream, "/").await, "own");
        let seen = origin.seen();
        assert_eq!(
            (seen.connections, seen.heads.len()),
            (2, 2),
            "asked once each"
        );
    }
}

#[tokio::test]
async fn what_is_no_answer_on_a_kept_connection_is_not_this_requests() {
    for garbage in ["garbage\r\n\r\n", "0\r\n\r\n", "HTTP/9.9 x\r\n\r\n"] {
        let origin = Origin::start(move |asked| match (asked.connection, asked.turn) {
            (1, 2) => vec![Step::send(garbage), Step::Hang],
            _ => vec![Step::send(ok("own"))],
        })
        .await;
        let upstream = upstream(&[origin.address], None);
        for _ in 0..3 {
            assert_eq!(text(&upstream, "/").await, "own", "{garbage}");
        }
        let seen = origin.seen();
        // One connection is found out, and from then on none is used twice.
        assert_eq!((seen.connections, seen.heads.len()), (3, 4), "{garbage}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_was_caught_is_asked_on_fresh_connections_for_a_minute() {
    let origin = Origin::start(|asked| match asked.connection {
        1 => vec![
            Step::send(ok("own")),
            Step::Pause(Duration::from_secs(1)),
            Step::send(ok("stray")),
        ],
        _ => vec![Step::send(ok("own"))],
    })
    .await;
    let upstream = upstream(&[origin.address], None);
    assert_eq!(text(&upstream, "/").await, "own");
    tokio::time::sleep(Duration::from_secs(2)).await;
    for connections in 2..6 {
        assert_eq!(text(&upstream, "/").await, "own");
        assert_eq!(origin.seen().connections, connections);
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    for _ in 0..3 {
        assert_eq!(text(&upstream, "/").await, "own");
        assert_eq!(origin.seen().connections, 6, "trusted again");
    }
}

#[tokio::test]
async fn interim_answers_have_an_end() {
    for interim in [
        "HTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 199 X\r\n\r\n",
    ] {
        let few = interim.repeat(10) + &ok("own");
        let many = interim.repeat(1_000_000 / interim.len()) + &ok("own");
        let origin = Origin::start(move |asked| match asked.head.contains(" /few ") {
            true => vec![Step::send(few.clone())],
            false => vec![Step::send(many.clone())],
        })
        .await;
        let upstream = upstream(&[origin.address], None);
        assert_eq!(text(&upstream, "/few").await, "own");
        let many = fetch(&upstream, "/many").await.unwrap_err();
        assert!(matches!(many, UpstreamError::WrongAnswer(_)), "{many:?}");
    }
}
