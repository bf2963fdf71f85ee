//! The token API over HTTP: who may ask, and what a request must look like before its body is read. Through hyper, on real
//! sockets.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h5gate::token::{Presented, Scope, Security};
use h5gate::token_api::http::{MINTED, answer};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Frame};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::support::token_api_asking::NOW;
use crate::support::token_api_service::{BODY, JSON, KEY, Reply, Service, WITH_KEY, good, request};

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
    let expires = (NOW + 3600).to_string();
    let body = json!({"streamname": "abcde-one", "expires": expires, "tag": "t"}).to_string();
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
    assert_eq!(grant.issued_at.get(), NOW);
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
async fn a_body_says_where_it_ends() {
    let service = Service::default();
    let head = format!("POST /secure/token HTTP/1.1\r\nHost: h5gate\r\n{WITH_KEY}\r\n{JSON}\r\n");
    let table = [
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
    let length = ("content-length", "26");
    let chunked = ("transfer-encoding", "chunked");
    for (lines, status, error) in [
        (vec![("content-length", "+26")], 411, "length_required"),
        (vec![("content-length", "0x1a")], 411, "length_required"),
        (vec![length, length], 411, "length_required"),
        (vec![("transfer-encoding", "gzip")], 400, "transfer_coding"),
        (vec![chunked, chunked], 400, "transfer_coding"),
        (vec![length, chunked], 400, "length_ambiguous"),
        (
            vec![length, ("transfer-encoding", "gzip")],
            400,
            "length_ambiguous",
        ),
    ] {
        let answered = direct(&service, &lines, Full::from(BODY)).await;
        let status = StatusCode::from_u16(status).unwrap();
        assert_eq!(answered, (status, error), "{lines:?}");
    }
    let answered = direct(&service, &[chunked], Full::from(BODY)).await;
    assert_eq!(answered, (StatusCode::OK, MINTED));
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
            &[WITH_KEY, JSON, "Transfer-Encoding: gzip, chunked"],
            "",
            400,
        ),
        ("POST", &[WITH_KEY, JSON], &long, 413),
        ("POST", &[WITH_KEY, JSON], "x", 400),
    ];
    assert!(!table.is_empty());
    for (method, lines, body, status) in table {
        let mut sent = request(method, lines, body);
        if body.is_empty() {
            sent = sent.replace("Content-Length: 0\r\n\r\n", "\r\n1\r\nx\r\n0\r\n\r\n");
        }
        assert_eq!(service.ask(&sent).await.status, status, "{sent}");
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
    if answered.outcome != MINTED {
        assert_eq!(told["error"], answered.outcome);
    }
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
