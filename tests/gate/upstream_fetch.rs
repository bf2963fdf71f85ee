//! What a media server is asked over HTTP, and what is made of its answers and their bodies.

use std::time::Duration;

use crate::support::fetch::{Origin, Step, fetch, get, ok, permit, read, text, upstream};
use h5gate::listener::scheme::Scheme;
use h5gate::session::id::SessionId;
use h5gate::upstream::UpstreamError;
use h5gate::upstream::body::{BodyError, FetchBody};
use h5gate::upstream::head::{FetchRequest, NotATarget, ViewerParts};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::BodyExt as _;
use tokio::time::Instant;

/// Everything that a viewer may send, and more.
fn viewers_headers() -> HeaderMap {
    let fields = [
        ("host", "gate.example.com"),
        ("user-agent", "player/1"),
        ("user-agent", "player/2"),
        ("accept", "*/*"),
        ("accept-language", "de"),
        ("accept-encoding", "gzip"),
        ("origin", "https://page.example.com"),
        ("referer", "https://page.example.com/"),
        ("range", "bytes=0-9"),
        ("if-range", "\"1\""),
        ("if-none-match", "\"2\""),
        ("if-modified-since", "Tue, 14 Nov 2023 22:13:20 GMT"),
        ("if-match", "\"3\""),
        ("if-unmodified-since", "Tue, 14 Nov 2023 22:13:21 GMT"),
        ("cookie", "secret=1"),
        ("authorization", "Basic eDp5"),
        ("connection", "close, x-other"),
        ("x-forwarded-for", "198.51.100.1"),
        ("x-h5gate-session", "forged"),
        ("x-h5gate-tag", "forged"),
        ("x-other", "1"),
    ];
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    headers
}

/// The head that a media server gets, its lines sorted but for the first.
async fn head_of(request: FetchRequest, host: Option<&str>) -> Vec<String> {
    let origin = Origin::saying("hello").await;
    let upstream = upstream(&[origin.address], host);
    upstream.fetch(&permit("abcde-one"), request).await.unwrap();
    let head = origin.seen().heads[0].replace(&origin.address.to_string(), "ITSELF");
    let mut lines: Vec<_> = head.trim_end().lines().map(str::to_lowercase).collect();
    lines[1..].sort();
    lines
}

fn for_viewer(is_playlist: bool) -> FetchRequest {
    for_viewer_by(Scheme::Http, is_playlist)
}

fn for_viewer_by(scheme: Scheme, is_playlist: bool) -> FetchRequest {
    let parts = ViewerParts {
        target: "/hls/a.ts?b=c%20d",
        headers: &viewers_headers(),
        session: SessionId::new(0),
        scheme,
        is_playlist,
    };
    FetchRequest::for_viewer(&permit("abcde-one"), &parts).unwrap()
}

#[tokio::test]
async fn of_a_viewers_request_only_what_is_listed_travels_on() {
    let named = [
        "accept-encoding: identity",
        "accept-language: de",
        "accept: */*",
        "host: itself",
        "origin: https://page.example.com",
        "user-agent: player/1",
        "x-forwarded-for: 192.0.2.7",
        "x-forwarded-proto: http",
        "x-h5gate-session: 0000000000000000",
        "x-h5gate-tag: a%20tag",
    ];
    let conditions = [
        "range: bytes=0-9",
        "if-range: \"1\"",
        "if-none-match: \"2\"",
        "if-modified-since: tue, 14 nov 2023 22:13:20 gmt",
        "if-match: \"3\"",
        "if-unmodified-since: tue, 14 nov 2023 22:13:21 gmt",
    ];
    let first = ["get /hls/a.ts?b=c%20d http/1.1"];
    let mut all = [&named[..], &conditions[..]].concat();
    all.sort_unstable();
    let segment = head_of(for_viewer(false), None).await;
    assert_eq!(segment, [&first[..], &all[..]].concat());
    let playlist = head_of(for_viewer(true), None).await;
    assert_eq!(playlist, [&first[..], &named[..]].concat());
}

#[tokio::test]
async fn a_media_server_is_told_the_scheme_of_the_viewers_own_connection() {
    for scheme in [Scheme::Http, Scheme::Https] {
        let head = head_of(for_viewer_by(scheme, false), None).await;
        let told = head
            .iter()
            .filter(|line| line.starts_with("x-forwarded-proto"));
        let told: Vec<_> = told.collect();
        assert_eq!(told, [&format!("x-forwarded-proto: {}", scheme.as_str())]);
    }
}

#[tokio::test]
async fn a_shared_request_says_nothing_of_any_viewer() {
    let expected = [
        "get /a?b http/1.1".to_owned(),
        "accept-encoding: identity".to_owned(),
        "accept: */*".to_owned(),
        "host: media.example.com:81".to_owned(),
        format!("user-agent: h5gate/{}", env!("CARGO_PKG_VERSION")),
    ];
    assert_eq!(
        head_of(get("/a?b"), Some("media.example.com:81")).await,
        expected
    );
}

#[test]
fn what_is_no_path_is_no_target() {
    for target in ["", "a", "*", "http://a/", "/ä", "/a b", "/a\r\nX: y"] {
        assert_eq!(
            FetchRequest::shared(target).unwrap_err(),
            NotATarget,
            "{target:?}"
        );
    }
}

#[tokio::test]
async fn a_large_body_arrives_byte_for_byte_whatever_its_pieces() {
    let body: Vec<u8> = (0..=250).cycle().take(5 << 20).collect();
    let sizes = [1, 7, 4096, 65_537, 300_001];
    for chunked in [false, true] {
        let sent = body.clone();
        let origin = Origin::start(move |_| {
            let head = match chunked {
                true => "Transfer-Encoding: chunked".to_owned(),
                false => format!("Content-Length: {}", sent.len()),
            };
            let mut steps = vec![Step::send(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n"))];
            let (mut rest, mut sizes) = (&sent[..], sizes.iter().cycle());
            while !rest.is_empty() {
                let (piece, behind) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
                rest = behind;
                steps.push(match chunked {
                    true => Step::send(
                        [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat(),
                    ),
                    false => Step::send(piece),
                });
            }
            if chunked {
                steps.push(Step::send("0\r\nX-Trailer: 1\r\n\r\n"));
            }
            steps
        })
        .await;
        let upstream = upstream(&[origin.address], None);
        for _ in 0..2 {
            let (read, end) = read(fetch(&upstream, "/").await.unwrap().body).await;
            assert_eq!(end, Ok(()));
            assert!(read == body, "chunked: {chunked}");
        }
        assert_eq!(origin.seen().connections, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_cut_short_never_ends_cleanly() {
    let heads = [
        "Content-Length: 6\r\n\r\nhello",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "Transfer-Encoding: chunked\r\n\r\n6\r\nhello",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n",
    ];
    for head in heads {
        for end in [|| Step::Close, || Step::Reset] {
            let origin = Origin::start(move |_| {
                vec![
                    Step::send(format!("HTTP/1.1 200 OK\r\n{head}")),
                    // A reset may overtake what was sent before it; it must not overtake the head. Paused time goes
                    // on when there is nothing else to do, so the head has been read by then.
                    Step::Pause(Duration::from_secs(1)),
                    end(),
                ]
            })
            .await;
            let upstream = upstream(&[origin.address], None);
            let (read, end) = read(fetch(&upstream, "/").await.unwrap().body).await;
            assert_eq!(end, Err(BodyError::Cut), "{head}");
            assert!(b"hello".starts_with(&read[..]), "{head}");
            origin.closed(1).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_pauses_too_long_inside_a_body_is_given_up_and_one_that_pauses_often_is_not()
{
    let origin = Origin::start(|_| {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n";
        let mut steps = vec![Step::send(head)];
        for _ in 0..10 {
            steps.push(Step::Pause(Duration::from_secs(59)));
            steps.push(Step::send("x"));
        }
        steps.push(Step::Hang);
        steps
    })
    .await;
    let upstream = upstream(&[origin.address], None);
    let body = fetch(&upstream, "/").await.unwrap().body;
    let start = Instant::now();
    assert_eq!(read(body).await, (vec![b'x'; 10], Err(BodyError::Idle)));
    assert_eq!(start.elapsed().as_secs(), 10 * 59 + 60);
    origin.closed(1).await;
}

#[tokio::test(start_paused = true)]
async fn a_viewer_that_pauses_is_no_silence_of_the_server() {
    let origin = Origin::start(|_| {
        vec![
            Step::send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"),
            Step::Pause(Duration::from_secs(100)),
            Step::send("hello"),
        ]
    })
    .await;
    let upstream = upstream(&[origin.address], None);
    let mut body: FetchBody = fetch(&upstream, "/").await.unwrap().body;
    body.frame().await.unwrap().unwrap();
    // Nobody asks for 99 s, so that the server's own pause counts from there.
    tokio::time::sleep(Duration::from_secs(99)).await;
    assert_eq!(read(body).await, (b"hello".to_vec(), Ok(())));
}

#[tokio::test]
async fn what_is_no_answer_is_a_wrong_one() {
    let huge = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(17_000));
    let fields = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{}\r\n",
        "X: y\r\n".repeat(64)
    );
    let answers: Vec<(&str, String)> = vec![
        ("no HTTP", "hello\r\n\r\n".to_owned()),
        ("a wrong version", "HTTP/3.1 200 OK\r\n\r\n".to_owned()),
        ("a status of letters", "HTTP/1.1 abc OK\r\n\r\n".to_owned()),
        (
            "a wrong length",
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n".to_owned(),
        ),
        (
            "two lengths",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab".to_owned(),
        ),
        (
            "101",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"
                .to_owned(),
        ),
        ("a huge head", huge),
        ("too many fields", fields),
    ];
    assert!(!answers.is_empty());
    for (what, answer) in answers {
        let origin = Origin::start(move |_| vec![Step::send(answer.clone())]).await;
        let upstream = upstream(&[origin.address], None);
        let error = fetch(&upstream, "/").await.unwrap_err();
        assert!(
            matches!(error, UpstreamError::WrongAnswer(_)),
            "{what}: {error}"
        );
        assert_eq!(origin.seen().heads.len(), 1, "{what}");
        origin.closed(1).await;
    }
}

#[tokio::test]
async fn a_head_within_the_limits_is_an_answer() {
    let fields = "X: y\r\n".repeat(63);
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{fields}\r\n");
    let long = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: {}\r\n\r\n",
        "x".repeat(16_000)
    );
    for answer in [answer, long] {
        let origin = Origin::start(move |_| vec![Step::send(answer.clone())]).await;
        assert_eq!(text(&upstream(&[origin.address], None), "/").await, "");
    }
    let origin = Origin::start(|_| vec![Step::send(ok("hello"))]).await;
    assert_eq!(text(&upstream(&[origin.address], None), "/").await, "hello");
}

#[test]
fn a_body_can_be_handed_to_a_server_of_viewers() {
    fn fits<B>()
    where
        B: hyper::body::Body<Data = bytes::Bytes> + Send + Unpin + 'static,
        B::Error: std::error::Error + Send + Sync,
    {
    }
    fits::<FetchBody>();
    fn is_send<T: Send>(_: &T) {}
    let upstream = upstream(&[], None);
    is_send(&upstream.fetch(&permit("abcde-one"), get("/")));
}
