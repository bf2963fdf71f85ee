//! The token API behind hyper, on a socket of this machine.

use std::convert::Infallible;
use std::sync::Mutex;
use std::time::Duration;

use h5gate::clock::Clock;
use h5gate::decision::rules::Rules;
use h5gate::request::client_address::ClientAddress;
use h5gate::token::{Key, KeyState, Keyring, Secret};
use h5gate::token_api::api_key::{ApiKey, ApiKeys};
use h5gate::token_api::guesses::Guesses;
use h5gate::token_api::http::{MINTED, TokenApi, answer};
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::token_api_asking::NOW;

/// After this a test fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const KEY: &str = "the-api-key-of-abcde";
pub(crate) const OTHER_KEY: &str = "the-api-key-of-klmno";
pub(crate) const BODY: &str = r#"{"streamname":"abcde-one"}"#;

/// What a gate has, and how patient it is.
pub(crate) struct Service {
    pub(crate) clock: Clock,
    pub(crate) keyring: Keyring,
    pub(crate) rules: Rules,
    pub(crate) api_keys: ApiKeys,
    pub(crate) body_limit: usize,
    pub(crate) body_deadline: Duration,
    pub(crate) guesses: Guesses,
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
            clock: Clock::by_hand(Duration::from_secs(NOW)).0,
            keyring: Keyring::new([], keys).unwrap(),
            rules: Rules::default(),
            api_keys: ApiKeys::new(vec![
                api_key("shop", "abcde", KEY),
                api_key("late", "klmno", OTHER_KEY),
            ]),
            body_limit: 16 * 1024,
            body_deadline: Duration::from_secs(60),
            guesses: Guesses::new(100_000),
        }
    }
}

/// An answer as it came over the socket.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Value,
}

impl Reply {
    /// The one value of a header; `None` when it is not there.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        });
        let value = lines.next();
        assert_eq!(lines.next(), None, "{name} is there once in {}", self.head);
        value
    }

    pub(crate) fn error(&self) -> &str {
        self.body["error"].as_str().unwrap_or_default()
    }
}

impl Service {
    pub(crate) fn api(&self) -> TokenApi<'_> {
        TokenApi {
            clock: &self.clock,
            keyring: &self.keyring,
            rules: &self.rules,
            api_keys: &self.api_keys,
            body_limit: self.body_limit,
            body_deadline: self.body_deadline,
            has_length: false,
            address: ClientAddress::Unknown,
            guesses: &self.guesses,
        }
    }

    /// Serves one connection on which a client writes `sent`, and reads until the server closes it. What came back, and
    /// what the requests were counted as.
    pub(crate) async fn exchange(&self, sent: &[u8]) -> (Vec<Reply>, Vec<&'static str>) {
        self.exchange_with(sent, async |_| {}).await
    }

    /// The same, with something more that the client does after writing.
    pub(crate) async fn exchange_with(
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
        let both = async { tokio::join!(server, client) };
        let ((), replies) = timeout(PATIENCE, both).await.unwrap();
        (replies, outcomes.into_inner().unwrap())
    }

    /// The one answer to one request, and that it was counted as it says.
    pub(crate) async fn ask(&self, sent: &str) -> Reply {
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
pub(crate) fn request(method: &str, lines: &[&str], body: &str) -> String {
    let mut text =
        format!("{method} /secure/token HTTP/1.1\r\nHost: h5gate\r\nConnection: close\r\n");
    for line in lines {
        text += &format!("{line}\r\n");
    }
    text + &format!("Content-Length: {}\r\n\r\n{body}", body.len())
}

pub(crate) const WITH_KEY: &str = "X-BINTU-APIKEY: the-api-key-of-abcde";
pub(crate) const JSON: &str = "Content-Type: application/json";

pub(crate) fn good() -> String {
    request("POST", &[WITH_KEY, JSON], BODY)
}
