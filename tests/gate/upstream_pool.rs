//! Connections to media servers are kept for the next request, unless anything about them is in doubt.

use std::time::Duration;

use crate::support::fetch::{Origin, Step, fetch, get, nobody, ok, permit, read, text, upstream};
use h5gate::upstream::{Upstream, UpstreamError, pool};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use tokio::task::JoinSet;

#[tokio::test]
async fn one_connection_serves_one_request_after_the_other() {
    let answers = [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone",
        "HTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\nHTTP/1.1 206 Partial Content\r\nContent-Length: 1\r\n\r\nx",
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
    ];
    assert!(answers.len() > 5);
    let origin =
        Origin::start(move |asked| vec![Step::send(answers[(asked.turn - 1) % answers.len()])])
            .await;
    let upstream = upstream(&[origin.address], None);
    for _ in 0..2 {
        for answer in answers {
            let fetched = fetch(&upstream, "/").await.unwrap();
            let (_, end) = read(fetched.body).await;
            assert_eq!(end, Ok(()), "{answer}");
            assert_eq!(origin.seen().connections, 1, "{answer}");
        }
    }
}

#[tokio::test]
async fn a_head_request_is_the_last_of_its_connection() {
    let origin = Origin::sending("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n").await;
    let upstream = upstream(&[origin.address], None);
    for count in 1..4 {
        let asked = upstream
            .fetch(&permit("abcde-one"), get("/a").head_only())
            .await
            .unwrap();
        assert_eq!(asked.headers["content-length"], "5000");
        assert!(asked.body.is_end_stream());
        assert_eq!(read(asked.body).await, (vec![], Ok(())));
        origin.closed(count).await;
    }
    assert!(origin.seen().heads[0].starts_with("HEAD /a HTTP/1.1\r\n"));
}

#[tokio::test]
async fn whoever_does_not_ask_behind_the_last_byte_leaves_the_connection_ready() {
    let origin = Origin::saying("hello").await;
    let upstream = upstream(&[origin.address], None);
    for _ in 0..3 {
        let mut body = fetch(&upstream, "/").await.unwrap().body;
        assert_eq!(body.size_hint().exact(), Some(5));
        assert_eq!(
            body.frame().await.unwrap().unwrap().into_data().unwrap(),
            "hello"
        );
        assert!(body.is_end_stream());
        assert_eq!(body.size_hint().exact(), Some(0));
    }
    assert_eq!(origin.seen().connections, 1);
}

#[tokio::test]
async fn a_body_that_nobody_wants_keeps_its_connection_when_it_is_whole_and_closes_it_when_not() {
    let origin = Origin::start(|asked| match asked.head.starts_with("GET /whole") {
        true => vec![Step::send(
            "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone",
        )],
        false => vec![
            Step::send("HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\ngone"),
            Step::Hang,
        ],
    })
    .await;
    let upstream = upstream(&[origin.address], None);
    for _ in 0..3 {
        fetch(&upstream, "/whole").await.unwrap().body.discard();
    }
    assert_eq!(origin.seen().connections, 1);
    fetch(&upstream, "/half").await.unwrap().body.discard();
    origin.closed(1).await;
    assert_eq!(text(&upstream, "/whole").await, "gone");
    assert_eq!(origin.seen().connections, 2);
}

#[tokio::test]
async fn a_connection_that_is_to_end_is_not_kept() {
    let answers = [
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n",
    ];
    for answer in answers {
        let origin = Origin::sending(answer).await;
        let upstream = upstream(&[origin.address], None);
        for count in 1..4 {
            assert_eq!(text(&upstream, "/").await, "hello");
            origin.closed(count).await;
        }
        assert_eq!(origin.seen().connections, 3, "{answer}");
    }
}

#[tokio::test]
async fn a_kept_connection_that_the_server_has_closed_is_not_used() {
    let origin = Origin::start(|_| vec![Step::send(ok("hello")), Step::Close]).await;
    let upstream = upstream(&[origin.address], None);
    for count in 1..4 {
        assert_eq!(text(&upstream, "/").await, "hello");
        origin.closed(count).await;
    }
    assert_eq!(origin.seen().heads.len(), 3, "each was asked once");
    assert_eq!(origin.seen().connections, 3);
}

/// Two connections that are kept; the one above ends so, a second later.
async fn two_kept(end: fn() -> Step) -> (Origin, Upstream) {
    let origin = Origin::start(move |asked| match asked.connection {
        1 => vec![Step::send(ok("hello"))],
        _ => vec![
            Step::send(ok("hello")),
            Step::Pause(Duration::from_secs(1)),
            end(),
        ],
    })
    .await;
    let upstream = upstream(&[origin.address], None);
    let first = fetch(&upstream, "/").await.unwrap().body;
    let second = fetch(&upstream, "/").await.unwrap().body;
    assert_eq!(read(first).await.0, b"hello");
    assert_eq!(read(second).await.0, b"hello");
    (origin, upstream)
}

#[tokio::test(start_paused = true)]
async fn a_closed_connection_does_not_hide_the_one_below_it() {
    let (origin, upstream) = two_kept(|| Step::Close).await;
    origin.closed(1).await;
    assert_eq!(text(&upstream, "/").await, "hello");
    assert_eq!(origin.seen().connections, 2);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_asked_for_is_nobodys() {
    let origin = Origin::start(|asked| {
        let own = Step::send(ok("own"));
        match asked.connection {
            1 => vec![
                own,
                Step::Pause(Duration::from_secs(1)),
                Step::send(ok("stray")),
            ],
            _ => vec![own],
        }
    })
    .await;
    let upstream = upstream(&[origin.address], None);
    assert_eq!(text(&upstream, "/").await, "own");
    // The kept connection is looked at when it is asked for, when the stray answer has long been there.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(text(&upstream, "/").await, "own");
    assert_eq!(origin.seen().connections, 2);
}

#[tokio::test(start_paused = true)]
async fn tidying_closes_what_the_server_has_closed_and_nothing_else() {
    let (origin, upstream) = two_kept(|| Step::EndOfSending).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(origin.seen().closed, 0);
    pool::tidy();
    origin.closed(1).await;
    assert_eq!(text(&upstream, "/").await, "hello");
    let seen = origin.seen();
    assert_eq!((seen.connections, seen.closed), (2, 1));
}

#[tokio::test]
async fn a_kept_connection_that_ends_under_a_request_is_no_failure_of_the_server() {
    let ends: [fn() -> Vec<Step>; 3] = [
        || vec![Step::Close],
        || vec![Step::Reset],
        || vec![Step::send("HTTP/1.1 200 O"), Step::Close],
    ];
    for end in ends {
        let origin = Origin::start(move |asked| match asked.turn {
            1 => vec![Step::send(ok("hello"))],
            _ => end(),
        })
        .await;
        let upstream = upstream(&[origin.address], None);
        assert_eq!(text(&upstream, "/1").await, "hello");
        assert_eq!(text(&upstream, "/2").await, "hello");
        assert!(upstream.servers()[0].is_healthy());
        let seen = origin.seen();
        assert_eq!((seen.connections, seen.heads.len()), (2, 3));
    }
}

#[tokio::test]
async fn the_second_end_under_a_request_is_a_failure() {
    let origin = Origin::start(|asked| match (asked.connection, asked.turn) {
        (1, 1) => vec![Step::send(ok("hello"))],
        _ => vec![Step::Close],
    })
    .await;
    let upstream = upstream(&[origin.address], None);
    assert_eq!(text(&upstream, "/1").await, "hello");
    assert_eq!(
        fetch(&upstream, "/2").await.unwrap_err(),
        UpstreamError::Lost
    );
    assert!(!upstream.servers()[0].is_healthy());
    assert_eq!(origin.seen().heads.len(), 3);
}

#[tokio::test]
async fn dropping_a_body_midway_closes_its_connection() {
    let origin = Origin::start(|_| {
        vec![
            Step::send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nhello"),
            Step::Hang,
        ]
    })
    .await;
    let upstream = upstream(&[origin.address], None);
    let mut body = fetch(&upstream, "/").await.unwrap().body;
    body.frame().await.unwrap().unwrap();
    drop(body);
    origin.closed(1).await;
    // Before its first byte as well.
    drop(fetch(&upstream, "/").await.unwrap());
    origin.closed(2).await;
}

#[tokio::test]
async fn giving_up_on_an_answer_closes_its_connection() {
    let origin = Origin::start(|asked| match asked.turn {
        1 => vec![Step::send(ok("hello"))],
        _ => vec![Step::Hang],
    })
    .await;
    let upstream = upstream(&[origin.address], None);
    assert_eq!(text(&upstream, "/").await, "hello");
    tokio::select! {
        fetched = fetch(&upstream, "/") => panic!("{fetched:?}"),
        () = origin.asked(2) => {}
    }
    origin.closed(1).await;
    assert_eq!(origin.seen().connections, 1);
}

#[tokio::test]
async fn kept_connections_are_closed_after_half_a_minute() {
    let origin = Origin::saying("hello").await;
    let upstream = upstream(&[origin.address], None);
    text(&upstream, "/").await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(29)).await;
    pool::tidy();
    text(&upstream, "/").await;
    assert_eq!(origin.seen().connections, 1, "used again before that");
    tokio::time::advance(Duration::from_secs(30)).await;
    text(&upstream, "/").await;
    origin.closed(1).await;
    assert_eq!(origin.seen().connections, 2, "noticed by the next request");
    tokio::time::advance(Duration::from_secs(30)).await;
    pool::tidy();
    origin.closed(2).await;
}

#[tokio::test]
async fn at_most_64_connections_are_kept_and_each_serves_one_request_at_a_time() {
    let origin = Origin::saying("hello").await;
    let upstream = upstream(&[origin.address], None);
    let mut open = Vec::new();
    for _ in 0..70 {
        open.push(fetch(&upstream, "/").await.unwrap().body);
    }
    assert_eq!(origin.seen().connections, 70);
    for body in open {
        assert_eq!(read(body).await, (b"hello".to_vec(), Ok(())));
    }
    origin.closed(6).await;
    let open: Vec<_> = [fetch(&upstream, "/").await, fetch(&upstream, "/").await].into();
    let seen = origin.seen();
    assert_eq!((seen.connections, seen.closed), (70, 6));
    drop(open);
}

#[tokio::test]
async fn many_requests_at_once_each_get_their_own_answer() {
    let origin = Origin::start(|asked| {
        let target = asked.head.split(' ').nth(1).unwrap();
        vec![Step::send(ok(target))]
    })
    .await;
    let upstream = std::sync::Arc::new(upstream(&[origin.address], None));
    let mut asking = JoinSet::new();
    for viewer in 0..200 {
        let upstream = std::sync::Arc::clone(&upstream);
        asking.spawn(async move {
            for turn in 0..10 {
                let target = format!("/{viewer}/{turn}");
                assert_eq!(text(&upstream, &target).await, target);
            }
        });
    }
    while let Some(ended) = asking.join_next().await {
        ended.unwrap();
    }
    let seen = origin.seen();
    assert_eq!(seen.heads.len(), 2000);
    assert!(seen.connections <= 200, "{}", seen.connections);
}

#[tokio::test]
async fn servers_do_not_share_connections() {
    let (one, two) = (Origin::saying("one").await, Origin::saying("two").await);
    let (first, second) = (
        upstream(&[one.address], None),
        upstream(&[two.address], None),
    );
    for _ in 0..3 {
        assert_eq!(text(&first, "/").await, "one");
        assert_eq!(text(&second, "/").await, "two");
    }
    let absent = upstream(&[nobody()], None);
    assert_eq!(
        fetch(&absent, "/").await.unwrap_err(),
        UpstreamError::Refused
    );
}
