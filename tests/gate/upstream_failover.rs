//! HTTP: a media server that fails is followed by the next one, and redirects are followed inside the media servers.

use std::net::SocketAddr;
use std::time::Duration;

use crate::support::fetch::{Origin, Step, fetch, get, nobody, ok, permit, read, text, upstream};
use h5gate::upstream::UpstreamError;
use h5gate::upstream::server::Server;
use tokio::time::Instant;

/// Streams, so many that each of two servers is drawn first by some of them, whatever the ports.
fn streams() -> Vec<String> {
    (0..40).map(|number| format!("abcde-{number}")).collect()
}

/// Every stream gets its answer, though one of two servers fails.
async fn all_are_served(failing: SocketAddr) {
    let good = Origin::saying("good").await;
    for stream in streams() {
        let upstream = upstream(&[failing, good.address], None);
        let fetched = upstream.fetch(&permit(&stream), get("/a")).await.unwrap();
        assert_eq!(read(fetched.body).await.0, b"good", "{stream}");
    }
    assert_eq!(good.seen().heads.len(), streams().len());
}

#[tokio::test]
async fn an_absent_server_is_followed_by_the_next() {
    all_are_served(nobody()).await;
}

#[tokio::test]
async fn a_server_that_fails_is_followed_by_the_next() {
    let scripts: [fn() -> Vec<Step>; 5] = [
        || vec![Step::Close],
        || vec![Step::Reset],
        || vec![Step::send("HTTP/1.1 200 OK\r\n"), Step::Close],
        || vec![Step::send("HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n")],
        || {
            vec![Step::send(
                "HTTP/1.1 503 Oh\r\nContent-Length: 9\r\n\r\nlater",
            )]
        },
    ];
    for script in scripts {
        let failing = Origin::start(move |_| script()).await;
        all_are_served(failing.address).await;
        assert!(!failing.seen().heads.is_empty(), "no stream drew it");
    }
}

#[tokio::test]
async fn what_a_server_has_not_is_asked_of_the_next_and_says_nothing_against_it() {
    for answer in [
        "HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 410 X\r\nContent-Length: 0\r\n\r\n",
    ] {
        let empty = Origin::sending(answer).await;
        all_are_served(empty.address).await;
        assert!(!empty.seen().heads.is_empty(), "no stream drew it");
        let two = [Origin::sending(answer).await, Origin::sending(answer).await];
        let both = upstream(&[two[0].address, two[1].address], None);
        let fetched = fetch(&both, "/").await.unwrap();
        assert!(fetched.status.is_client_error());
        assert!(both.servers().iter().all(Server::is_healthy));
        let failing = upstream(&[two[0].address, nobody()], None);
        assert_eq!(
            fetch(&failing, "/").await.unwrap_err(),
            UpstreamError::Refused
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_leaves_time_for_the_next() {
    let hung = Origin::start(|_| vec![Step::Hang]).await;
    let start = Instant::now();
    all_are_served(hung.address).await;
    let hung = u32::try_from(hung.seen().heads.len()).unwrap();
    assert!(hung > 0, "no stream drew it");
    assert_eq!(
        start.elapsed().as_secs(),
        (Duration::from_secs(4) * hung).as_secs()
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_never_comes_is_late() {
    let hung = Origin::start(|_| vec![Step::Hang]).await;
    let upstream = upstream(&[hung.address], None);
    let start = Instant::now();
    assert_eq!(
        fetch(&upstream, "/").await.unwrap_err(),
        UpstreamError::TooLate
    );
    assert_eq!(start.elapsed().as_secs(), 8);
    assert!(!upstream.servers().first().unwrap().is_healthy());
}

#[tokio::test(start_paused = true)]
async fn a_server_may_hold_an_answer_back_as_long_as_the_request_says() {
    let held =
        Origin::start(|_| vec![Step::Pause(Duration::from_secs(17)), Step::send(ok("held"))]).await;
    let other =
        Origin::start(|_| vec![Step::Pause(Duration::from_secs(17)), Step::send(ok("held"))]).await;
    let upstream = upstream(&[held.address, other.address], None);
    let patient = get("/").waiting(Duration::from_secs(18));
    let fetched = upstream.fetch(&permit("abcde-one"), patient).await.unwrap();
    assert_eq!(read(fetched.body).await.0, b"held");
    let patient = get("/").waiting(Duration::from_secs(16));
    let late = upstream.fetch(&permit("abcde-one"), patient).await;
    assert_eq!(late.unwrap_err().error, UpstreamError::TooLate);
    let asked = held.seen().heads.len() + other.seen().heads.len();
    assert_eq!(asked, 2, "no time is left for a second server");
}

#[tokio::test]
async fn the_last_fault_is_told_and_at_most_three_servers_are_asked() {
    let mut servers = Vec::new();
    for _ in 0..5 {
        servers.push(Origin::sending("HTTP/1.1 502 Oh\r\nContent-Length: 0\r\n\r\n").await);
    }
    let addresses: Vec<_> = servers.iter().map(|server| server.address).collect();
    let upstream = upstream(&addresses, None);
    assert_eq!(
        fetch(&upstream, "/").await.unwrap_err(),
        UpstreamError::ServerFault(502)
    );
    let asked: usize = servers.iter().map(|server| server.seen().heads.len()).sum();
    assert_eq!(asked, 3);
    // What a request provokes says little of the server.
    assert!(upstream.servers().iter().all(Server::is_healthy));
}

#[tokio::test]
async fn a_wrong_answer_is_not_asked_of_another_server() {
    let wrong = [
        Origin::sending("hello").await,
        Origin::sending("hello").await,
    ];
    let both = [wrong[0].address, wrong[1].address];
    for stream in streams() {
        let asked = upstream(&both, None);
        let error = asked.fetch(&permit(&stream), get("/")).await.unwrap_err();
        assert!(
            matches!(error.error, UpstreamError::WrongAnswer(_)),
            "{error}"
        );
        assert!(asked.servers().iter().all(Server::is_healthy));
    }
    let asked: usize = wrong.iter().map(|server| server.seen().heads.len()).sum();
    assert_eq!(asked, streams().len());
}

#[tokio::test]
async fn other_statuses_are_the_callers() {
    for status in [200, 206, 300, 304, 400, 403, 404, 410, 416, 429] {
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
        let origin = Origin::start(move |_| vec![Step::send(answer.clone())]).await;
        let upstream = upstream(&[origin.address], None);
        assert_eq!(fetch(&upstream, "/").await.unwrap().status, status);
    }
}

fn redirect(status: u16, location: &str) -> Vec<Step> {
    let text = "moved";
    vec![Step::send(format!(
        "HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 5\r\n\r\n{text}"
    ))]
}

#[tokio::test]
async fn redirects_inside_the_media_servers_are_followed_on_the_same_connection() {
    for status in [301, 302, 303, 307, 308] {
        let origin = Origin::start(move |asked| match asked.head.split(' ').nth(1).unwrap() {
            "/a/1" => redirect(status, "2?q"),
            "/a/2?q" => redirect(status, "http://MEDIA.example.com/b/3"),
            "/b/3" => redirect(status, "//media.example.com:80/4"),
            _ => vec![Step::send(ok("there"))],
        })
        .await;
        let upstream = upstream(&[origin.address], Some("media.example.com"));
        let fetched = fetch(&upstream, "/a/1").await.unwrap();
        assert_eq!(fetched.target.as_str(), "/4", "{status}");
        assert_eq!(read(fetched.body).await.0, b"there");
        let seen = origin.seen();
        assert_eq!((seen.connections, seen.heads.len()), (1, 4), "{status}");
    }
}

#[tokio::test]
async fn a_redirect_to_another_of_the_servers_is_asked_of_the_streams_own() {
    let other = Origin::saying("other").await;
    let there = format!("http://{}/b", other.address);
    let origin = Origin::start(move |asked| match asked.head.starts_with("GET /a ") {
        true => redirect(302, &there),
        false => vec![Step::send(ok("own"))],
    })
    .await;
    let upstream = upstream(&[origin.address, other.address], None);
    let mut own = 0;
    for stream in streams() {
        let fetched = upstream.fetch(&permit(&stream), get("/a")).await.unwrap();
        own += usize::from(read(fetched.body).await.0 == b"own");
    }
    assert!(own > 0, "no stream drew the one that redirects");
    assert!(
        other
            .seen()
            .heads
            .iter()
            .all(|head| head.starts_with("GET /a "))
    );
}

#[tokio::test]
async fn redirects_that_lead_away_or_nowhere_are_wrong_answers() {
    let locations = [
        "http://elsewhere.example.com/",
        "//elsewhere.example.com/",
        "https://media.example.com/",
        "http://media.example.com:81/",
        "http://user@media.example.com/",
        "ftp://media.example.com/",
        "http:/a",
        "/ä",
        "/loop",
    ];
    for location in locations {
        let origin = Origin::start(move |_| redirect(302, location)).await;
        let upstream = upstream(&[origin.address], Some("media.example.com"));
        let error = fetch(&upstream, "/loop").await.unwrap_err();
        assert!(
            matches!(error, UpstreamError::WrongAnswer(_)),
            "{location}: {error}"
        );
        let asked = if location == "/loop" { 4 } else { 1 };
        assert_eq!(origin.seen().heads.len(), asked, "{location}");
    }
    let origin = Origin::sending("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n").await;
    let error = fetch(&upstream(&[origin.address], None), "/")
        .await
        .unwrap_err();
    assert!(matches!(error, UpstreamError::WrongAnswer(_)));
    assert_eq!(
        text(&upstream(&[Origin::saying("x").await.address], None), "/").await,
        "x"
    );
}
