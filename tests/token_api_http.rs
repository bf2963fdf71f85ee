//! The token API over HTTP: who may ask, what a request must look like before its body is read, and that neither tokens
//! nor keys are ever logged. Through hyper, on real sockets.

#![cfg(feature = "gate")]

use std::convert::Infallible;
use std::io::Write;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h5gate::clock;
use h5gate::decision::rules::Rules;
use h5gate::token::{Key, KeyState, Keyring, Presented, Scope, Secret, Security};
use h5gate::token_api::api_key::{ApiKey, ApiKeys};
use h5gate::token_api::http::{MINTED, TokenApi, answer};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const KEY: &str = "the-api-key-of-abcde";
const OTHER_KEY: &str = "the-api-key-of-klmno";
const BODY: &str = r#"{"streamname":"abcde-one"}"#;

/// What a gate has, and how patient it is.
struct Service {
    keyring: Keyring,
    rules: Rules,
    api_keys: ApiKeys,
    body_limit: usize,
    body_deadline: Duration,
}

impl Default for Service {
    fn default() -> Self {
        let secret = Secret::new(vec![7; 32]).unwrap();
        let key = |owner: &str, state| {
            Key::new(
                owner.parse().unwrap(),
                owner.parse().unwrap(),
                state,
                &secret,
            )
        };
        let keys = [
            key("abcde", KeyState::Active),
            key("klmno", KeyState::Retiring),
        ];
        let api_key = |id: &str, owner: &str, key: &str| ApiKey {
            id: id.to_owned(),
            owner: owner.parse().unwrap(),
            sha256: Sha256::digest(key).into(),
        };
        Self {
            keyring: Keyring::new([], keys).unwrap(),
            rules: Rules::default(),
            api_keys: ApiKeys::new(vec![
                api_key("shop", "abcde", KEY),
                api_key("late", "klmno", OTHER_KEY),
            ]),
            body_limit: 16 * 1024,
            body_deadline: Duration::from_secs(60),
        }
    }
}

/// An answer as it came over the socket.
#[derive(Debug)]
struct Reply {
    status: u16,
    head: String,
    body: Value,
}

impl Reply {
    /// The one value of a header; `None` when it is not there.
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        });
        let value = lines.next();
        assert_eq!(lines.next(), None, "{name} is there once in {}", self.head);
        value
    }

    fn error(&self) -> &str {
        self.body["error"].as_str().unwrap_or_default()
    }
}

impl Service {
    fn api(&self) -> TokenApi<'_> {
        TokenApi {
            keyring: &self.keyring,
            rules: &self.rules,
            api_keys: &self.api_keys,
            body_limit: self.body_limit,
            body_deadline: self.body_deadline,
        }
    }

    /// Serves one connection on which a client writes `sent`, and reads until the server closes it. What came back, and
    /// what the requests were counted as.
    async fn exchange(&self, sent: &[u8]) -> (Vec<Reply>, Vec<&'static str>) {
        self.exchange_with(sent, async |_| {}).await
    }

    /// The same, with something more that the client does after writing.
    async fn exchange_with(
        &self,
        sent: &[u8],
        then: impl AsyncFnOnce(&mut TcpStream),
    ) -> (Vec<Reply>, Vec<&'static str>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let outcomes = Mutex::new(Vec::new());
        let server = async {
            let (socket, _) = listener.accept().await.unwrap();
            let service = service_fn(async |request: Request<Incoming>| {
                let (head, body) = request.into_parts();
                let answered = answer(&self.api(), &head, body).await;
                outcomes.lock().unwrap().push(answered.outcome);
                Ok::<_, Infallible>(answered.response)
            });
            // A client that cuts its request short is an error here, and what the test is about.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(socket), service)
                .await;
        };
        let client = async {
            let mut socket = TcpStream::connect(address).await.unwrap();
            socket.write_all(sent).await.unwrap();
            then(&mut socket).await;
            let mut received = Vec::new();
            socket.read_to_end(&mut received).await.unwrap();
            replies(&String::from_utf8(received).unwrap())
        };
        let ((), replies) = tokio::join!(server, client);
        (replies, outcomes.into_inner().unwrap())
    }

    /// The one answer to one request, and that it was counted as it says.
    async fn ask(&self, sent: &str) -> Reply {
        let (mut replies, outcomes) = self.exchange(sent.as_bytes()).await;
        assert_eq!(replies.len(), 1, "{sent:?}: {replies:?}");
        let reply = replies.remove(0);
        let counted = match reply.status {
            200 => MINTED,
            _ => reply.error(),
        };
        assert_eq!(outcomes, [counted], "{sent:?}");
        reply
    }
}

/// Takes answers apart that follow one another.
fn replies(mut text: &str) -> Vec<Reply> {
    let mut replies = Vec::new();
    while let Some((head, rest)) = text.split_once("\r\n\r\n") {
        let mut reply = Reply {
            status: head[9..12].parse().unwrap(),
            head: head.to_owned(),
            body: Value::Null,
        };
        let length = reply.header("content-length").unwrap().parse().unwrap();
        // An answer to HEAD says the length of a body that is not there.
        let (body, rest) = rest.split_at_checked(length).unwrap_or((rest, ""));
        reply.body = serde_json::from_str(body).unwrap_or_default();
        text = rest;
        replies.push(reply);
    }
    assert_eq!(text, "", "nothing but whole answers");
    replies
}

/// A request from its lines, with the header that ends the connection and the length of the body.
fn request(method: &str, lines: &[&str], body: &str) -> String {
    let mut text =
        format!("{method} /secure/token HTTP/1.1\r\nHost: h5gate\r\nConnection: close\r\n");
    for line in lines {
        text += &format!("{line}\r\n");
    }
    text + &format!("Content-Length: {}\r\n\r\n{body}", body.len())
}

const WITH_KEY: &str = "X-BINTU-APIKEY: the-api-key-of-abcde";
const JSON: &str = "Content-Type: application/json";

fn good() -> String {
    request("POST", &[WITH_KEY, JSON], BODY)
}

/// What holds for every answer.
fn assert_private(reply: &Reply, about: &str) {
    assert_eq!(reply.header("cache-control"), Some("no-store"), "{about}");
    assert_eq!(
        reply.header("content-type"),
        Some("application/json"),
        "{about}"
    );
    for absent in [
        "access-control-allow-origin",
        "access-control-allow-methods",
        "access-control-allow-headers",
        "www-authenticate",
        "set-cookie",
    ] {
        assert_eq!(reply.header(absent), None, "{about}");
    }
}

#[tokio::test]
async fn a_good_request_gets_a_token_that_verifies() {
    let service = Service::default();
    let expires = (clock::now().get() + 3600).to_string();
    let body = json!({"streamname": "abcde-one", "expires": expires, "tag": "t"}).to_string();
    let before = clock::now();
    let reply = service
        .ask(&request("POST", &[WITH_KEY, JSON], &body))
        .await;
    assert_eq!(reply.status, 200);
    assert_private(&reply, "granted");
    let text = |name: &str| {
        let value = &reply.body["h5live"]["security"][name];
        value.as_str().unwrap().to_owned()
    };
    let security = Security {
        expires: text("expires"),
        tag: text("tag"),
        token: text("token"),
        options: text("options"),
    };
    assert_eq!(
        (&*security.expires, &*security.tag, &*security.options),
        (&*expires, "t", "9")
    );
    let grant = service
        .keyring
        .verify(Presented::from(&security))
        .unwrap()
        .grant;
    assert_eq!(grant.scope, Scope::stream("abcde-one".parse().unwrap()));
    assert!(grant.issued_at >= before && grant.issued_at <= clock::now());
    // Another request, another id.
    let again = service
        .ask(&request("POST", &[WITH_KEY, JSON], &body))
        .await;
    assert_ne!(again.body, reply.body);
}

#[tokio::test]
async fn only_post_is_answered() {
    let service = Service::default();
    let methods = [
        "GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "post", "TRACE",
    ];
    assert!(!methods.is_empty());
    for method in methods {
        // Without a key, too: the method comes first.
        for lines in [
            &[WITH_KEY, JSON][..],
            &[
                "Origin: https://example.com",
                "Access-Control-Request-Method: POST",
            ],
        ] {
            let (replies, outcomes) = service
                .exchange(request(method, lines, "").as_bytes())
                .await;
            let reply = &replies[0];
            assert_eq!(
                (reply.status, outcomes.as_slice()),
                (405, &["method_not_allowed"][..]),
                "{method}"
            );
            assert_eq!(reply.header("allow"), Some("POST"), "{method}");
            assert_private(reply, method);
            if method != "HEAD" {
                assert_eq!(reply.body["expected"], "POST", "{method}");
            }
        }
    }
}

#[tokio::test]
async fn an_api_key_is_needed_exactly_once() {
    let service = Service::default();
    let table: [(&[&str], &str); 8] = [
        (&[], "api_key_missing"),
        (&["X-BINTU-APIKEY: "], "api_key_missing"),
        (
            &["Authorization: Bearer the-api-key-of-abcde"],
            "api_key_missing",
        ),
        (&["X-BINTU-APIKEY: wrong"], "api_key_unknown"),
        (&["X-BINTU-APIKEY: the-api-key-of-abcd"], "api_key_unknown"),
        (&["X-BINTU-APIKEY: THE-API-KEY-OF-ABCDE"], "api_key_unknown"),
        (&[WITH_KEY, WITH_KEY], "api_key_repeated"),
        (&["X-BINTU-APIKEY: ", WITH_KEY], "api_key_repeated"),
    ];
    assert!(!table.is_empty());
    for (lines, error) in table {
        // Everything else may be wrong as well: whoever has no key learns nothing but that.
        for body in [BODY, "nonsense"] {
            let reply = service.ask(&request("POST", lines, body)).await;
            assert_eq!((reply.status, reply.error()), (401, error), "{lines:?}");
            assert_eq!(reply.body["field"], Value::Null);
            assert_eq!(reply.header("connection"), Some("close"), "{lines:?}");
            assert_private(&reply, error);
            assert!(!reply.body.to_string().contains("abcde"), "{reply:?}");
        }
    }
    // The name of a header is in any letter case.
    let reply = service
        .ask(&request(
            "POST",
            &["x-bintu-ApiKey: the-api-key-of-abcde", JSON],
            BODY,
        ))
        .await;
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn the_content_type_is_json_in_utf8() {
    let service = Service::default();
    let table: [(&[&str], bool); 20] = [
        (&["Content-Type: application/json"], true),
        (&["Content-Type: Application/JSON"], true),
        (&["Content-Type: application/json;charset=utf-8"], true),
        (&["Content-Type: application/json; charset=UTF-8"], true),
        (
            &["Content-Type: application/json ; Charset=\"utf-8\""],
            true,
        ),
        (&["Content-Type: application/json;"], true),
        (&[], false),
        (&["Content-Type: "], false),
        (&["Content-Type: application/x-www-form-urlencoded"], false),
        (&["Content-Type: text/plain"], false),
        (&["Content-Type: text/json"], false),
        (&["Content-Type: application/jsonp"], false),
        (&["Content-Type: application/problem+json"], false),
        (&["Content-Type: text/plain, application/json"], false),
        (&["Content-Type: application/json, text/plain"], false),
        (&["Content-Type: application/json; charset=latin1"], false),
        (&["Content-Type: application/json; charset"], false),
        (
            &["Content-Type: application/json; charset=utf-8; charset=latin1"],
            false,
        ),
        (&["Content-Type: application/json; version=1"], false),
        (&[JSON, JSON], false),
    ];
    assert!(!table.is_empty());
    for (types, good) in table {
        let lines: Vec<_> = [WITH_KEY].iter().chain(types).copied().collect();
        let reply = service.ask(&request("POST", &lines, BODY)).await;
        if good {
            assert_eq!(reply.status, 200, "{types:?}");
        } else {
            assert_eq!(
                (reply.status, reply.error()),
                (415, "content_type"),
                "{types:?}"
            );
            assert_private(&reply, "content type");
        }
    }
}

#[tokio::test]
async fn the_length_is_said_beforehand() {
    let service = Service::default();
    let head = format!("POST /secure/token HTTP/1.1\r\nHost: h5gate\r\n{WITH_KEY}\r\n{JSON}\r\n");
    let chunk = format!("{:x}\r\n{BODY}\r\n0\r\n\r\n", BODY.len());
    let table = [
        format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunk}"),
        format!("{head}\r\n"),
        format!("POST /secure/token HTTP/1.0\r\n{WITH_KEY}\r\n{JSON}\r\n\r\n"),
    ];
    assert!(!table.is_empty());
    for sent in table {
        let reply = service.ask(&sent).await;
        assert_eq!(
            (reply.status, reply.error()),
            (411, "length_required"),
            "{sent}"
        );
        assert_private(&reply, &sent);
    }
    // What hyper does not let through is refused all the same.
    for (name, value) in [
        ("transfer-encoding", "gzip"),
        ("content-length", "+26"),
        ("content-length", "0x1a"),
    ] {
        let answered = direct(&service, &[(name, value)], Full::from(BODY)).await;
        assert_eq!(
            answered,
            (StatusCode::LENGTH_REQUIRED, "length_required"),
            "{name}: {value}"
        );
    }
    let twice = [("content-length", "26"), ("content-length", "26")];
    let answered = direct(&service, &twice, Full::from(BODY)).await;
    assert_eq!(answered, (StatusCode::LENGTH_REQUIRED, "length_required"));
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_unread() {
    let service = Service {
        body_limit: 100,
        ..Service::default()
    };
    // Only the head is sent: an answer that waited for the body would never come.
    for length in ["101", "1000000000000", "9223372036854775808"] {
        let sent = format!(
            "POST /secure/token HTTP/1.1\r\nHost: h5gate\r\n{WITH_KEY}\r\n{JSON}\r\nContent-Length: {length}\r\n\r\n"
        );
        let reply = service.ask(&sent).await;
        assert_eq!(
            (reply.status, reply.error()),
            (413, "body_too_long"),
            "{length}"
        );
        assert_eq!(reply.header("connection"), Some("close"));
        assert!(
            reply.body["expected"]
                .as_str()
                .unwrap()
                .contains("100 bytes"),
            "{reply:?}"
        );
        assert_private(&reply, length);
    }
    let full = format!("{BODY:100}");
    assert_eq!(
        service
            .ask(&request("POST", &[WITH_KEY, JSON], &full))
            .await
            .status,
        200
    );
    // A body that is longer than it said, from whatever is not hyper.
    let answered = direct(
        &service,
        &[("content-length", "26")],
        Full::from(" ".repeat(101)),
    )
    .await;
    assert_eq!(answered, (StatusCode::PAYLOAD_TOO_LARGE, "body_too_long"));
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_not_waited_for() {
    let service = Service {
        body_deadline: Duration::from_millis(20),
        ..Service::default()
    };
    let sent = good();
    for kept_back in [1, BODY.len()] {
        let reply = service.ask(&sent[..sent.len() - kept_back]).await;
        assert_eq!((reply.status, reply.error()), (408, "body_too_slow"));
        assert_eq!(reply.header("connection"), Some("close"));
        assert_private(&reply, "slow");
    }
}

#[tokio::test]
async fn a_body_in_pieces_is_a_body() {
    let service = Service::default();
    let sent = good();
    let (head, body) = sent.split_at(sent.len() - BODY.len());
    let (replies, outcomes) = service
        .exchange_with(head.as_bytes(), async |socket| {
            for byte in body.bytes() {
                socket.write_all(&[byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
        })
        .await;
    assert_eq!((replies[0].status, outcomes), (200, vec![MINTED]));
}

#[tokio::test]
async fn a_body_that_breaks_off_mints_nothing() {
    let service = Service::default();
    let answered = direct(&service, &[("content-length", "26")], Broken).await;
    assert_eq!(answered, (StatusCode::BAD_REQUEST, "body_cut_short"));
    let sent = good();
    let (_, outcomes) = service
        .exchange_with(&sent.as_bytes()[..sent.len() - 1], async |socket| {
            socket.shutdown().await.unwrap();
        })
        .await;
    assert_eq!(outcomes, ["body_cut_short"]);
}

#[tokio::test]
async fn a_wrong_field_does_not_cost_the_connection() {
    let service = Service::default();
    let wrong = request("POST", &[WITH_KEY, JSON], "{}").replace("Connection: close\r\n", "");
    let (replies, outcomes) = service.exchange((wrong + &good()).as_bytes()).await;
    assert_eq!(outcomes, ["scope_missing", MINTED]);
    assert_eq!((replies[0].status, replies[1].status), (400, 200));
    assert_eq!(replies[0].header("connection"), None);
    assert_private(&replies[0], "wrong field");
}

#[tokio::test]
async fn the_order_of_the_checks_is_method_key_type_length_body() {
    let service = Service {
        body_limit: 10,
        ..Service::default()
    };
    let long = "x".repeat(20);
    let table: [(&str, &[&str], &str, u16); 6] = [
        ("GET", &[], &long, 405),
        ("POST", &[], &long, 401),
        ("POST", &[WITH_KEY], &long, 415),
        (
            "POST",
            &[WITH_KEY, JSON, "Transfer-Encoding: chunked"],
            "",
            411,
        ),
        ("POST", &[WITH_KEY, JSON], &long, 413),
        ("POST", &[WITH_KEY, JSON], "x", 400),
    ];
    assert!(!table.is_empty());
    for (method, lines, body, status) in table {
        let mut sent = request(method, lines, body);
        if status == 411 {
            sent = sent.replace("Content-Length: 0\r\n\r\n", "\r\n1\r\nx\r\n0\r\n\r\n");
        }
        assert_eq!(service.ask(&sent).await.status, status, "{sent}");
    }
}

#[tokio::test]
async fn every_answer_is_logged_once_without_its_secrets() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let service = Service::default();
    let _logged = tracing::subscriber::set_default(subscriber);

    let reply = service.ask(&good()).await;
    let token = reply.body["h5live"]["security"]["token"]
        .as_str()
        .unwrap()
        .to_owned();
    let event = log.ours();
    assert_eq!(
        (
            &event["message"],
            &event["level"],
            &event["api_key"],
            &event["organisation"],
            &event["count"]
        ),
        (
            &json!("token minted"),
            &json!("INFO"),
            &json!("shop"),
            &json!("abcde"),
            &json!(1)
        )
    );
    let batch = r#"{"streamnames":["abcde-one","abcde-two"]}"#;
    service
        .ask(&request("POST", &[WITH_KEY, JSON], batch))
        .await;
    assert_eq!(log.ours()["count"], json!(2));

    let bad_key = request("POST", &["X-BINTU-APIKEY: guess-number-one", JSON], BODY);
    service.ask(&bad_key).await;
    let event = log.ours();
    assert_eq!(
        (&event["message"], &event["error"], &event["api_key"]),
        (
            &json!("no token minted"),
            &json!("api_key_unknown"),
            &Value::Null
        )
    );
    let bad_field = r#"{"streamname":"abcde-one","tag":"a\nforged line","secret":"abc"}"#;
    service
        .ask(&request("POST", &[WITH_KEY, JSON], bad_field))
        .await;
    let event = log.ours();
    assert_eq!(
        (&event["level"], &event["error"], &event["api_key"]),
        (&json!("INFO"), &json!("unknown_field"), &json!("shop"))
    );
    // No active key: the operator's to mend.
    let late = format!("X-BINTU-APIKEY: {OTHER_KEY}");
    let body = r#"{"streamname":"klmno-one"}"#;
    let reply = service.ask(&request("POST", &[&late, JSON], body)).await;
    assert_eq!(reply.status, 503);
    let event = log.ours();
    assert_eq!(
        (&event["level"], &event["error"]),
        (&json!("ERROR"), &json!("no_active_key"))
    );

    let all = log.all();
    assert!(!all.is_empty());
    for secret in [
        KEY,
        OTHER_KEY,
        "guess-number-one",
        &token,
        "h1.",
        "forged line",
        "secret",
    ] {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
}

/// Calls the API without hyper, with headers beside key and type: status and outcome.
async fn direct<B>(
    service: &Service,
    headers: &[(&str, &str)],
    body: B,
) -> (StatusCode, &'static str)
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut request = Request::post("/secure/token")
        .header("x-bintu-apikey", KEY)
        .header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (head, ()) = request.body(()).unwrap().into_parts();
    let answered = answer(&service.api(), &head, body).await;
    let status = answered.response.status();
    let body = answered.response.into_body().collect().await.unwrap();
    let told: Value = serde_json::from_slice(&body.to_bytes()).unwrap();
    assert_eq!(told["error"], answered.outcome);
    (status, answered.outcome)
}

/// A body whose connection is lost.
struct Broken;

impl Body for Broken {
    type Data = Bytes;
    type Error = std::io::Error;
    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionReset.into())))
    }
}

/// What was logged, and how much of it a test has seen.
#[derive(Clone, Default)]
struct Log {
    text: Arc<Mutex<Vec<u8>>>,
    seen: Arc<Mutex<usize>>,
}

impl Log {
    fn all(&self) -> String {
        String::from_utf8(self.text.lock().unwrap().clone()).unwrap()
    }

    /// The one event of ours since the last look.
    fn ours(&self) -> Value {
        let all = self.all();
        let mut seen = self.seen.lock().unwrap();
        let lines = all[*seen..]
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let ours = |line: &Value| line["target"].as_str().unwrap().starts_with("h5gate");
        let mut events: Vec<_> = lines.filter(ours).collect();
        *seen = all.len();
        assert_eq!(events.len(), 1, "{events:?}");
        events.remove(0)
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.text.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
