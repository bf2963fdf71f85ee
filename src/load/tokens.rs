//! Where viewers' tokens come from: a new one for each viewer and each try, as a page's back end mints them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::token::{Grant, Keyring, MintError, Scope, Security, StreamName, TokenId, UnixSeconds};

use super::HANDSHAKE_LIMIT;
use super::end::Failure;
use super::fetch::Fetcher;

/// The longest answer of the token API that is read.
const ANSWER_LIMIT: usize = 64 * 1024;

/// Where tokens come from.
#[derive(Clone)]
pub enum Minter {
    /// There are none: a media server asks for no tokens.
    None,
    /// The first active key of the stream's owner.
    Keys(Arc<Keyring>),
    /// The gate's token API, with this API key.
    Api(Arc<Zeroizing<String>>),
}

impl fmt::Debug for Minter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Keys(_) => "Keys",
            Self::Api(_) => "Api",
        })
    }
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The keys do not sign for the stream.
    #[error("no token for {stream}: {source}")]
    Mint {
        /// The stream.
        stream: StreamName,
        /// Why.
        source: MintError,
    },
    /// The API answered, and not with a token.
    #[error("the token API answers {status}: {said}")]
    Refused {
        /// Its status.
        status: u16,
        /// Its body, shortened.
        said: String,
    },
    /// The API did not answer.
    #[error("the token API does not answer ({0}); does this listener serve \"token-api\"?")]
    NoAnswer(Failure),
    /// An API key that no header carries.
    #[error("the API key has characters that an HTTP header cannot carry")]
    ApiKey,
    /// No randomness for a token's id.
    #[error("the system has no randomness: {0}")]
    Randomness(#[from] getrandom::Error),
}

/// A token, and what it took.
#[derive(Debug)]
pub struct Minted {
    /// The four strings.
    pub security: Security,
    /// How long the token API took, from the request on: a viewer that waits for its turn on the worker's connection says
    /// nothing of the gate. `None` when no API was asked.
    pub asked: Option<Duration>,
}

#[derive(Deserialize)]
struct Answer {
    h5live: Envelope,
}

#[derive(Deserialize)]
struct Envelope {
    security: Fields,
}

#[derive(Deserialize)]
struct Fields {
    expires: String,
    tag: String,
    token: String,
    options: String,
}

/// Mints for one worker. All its requests to the API share one connection.
#[derive(Debug)]
pub struct Tokens {
    minter: Minter,
    lifetime: Duration,
    api: Mutex<Fetcher>,
    clock: Clock,
}

impl Tokens {
    /// Tokens that are good for `lifetime` from their minting; `api` leads to the gate.
    #[must_use]
    pub fn new(minter: Minter, lifetime: Duration, api: Fetcher) -> Self {
        Self {
            minter,
            lifetime,
            api: Mutex::new(api),
            clock: Clock::system(),
        }
    }

    /// A new token for a stream. Not cancel safe: a request to the API that is dropped costs its connection.
    pub async fn mint(&self, stream: &StreamName) -> Result<Minted, TokenError> {
        let mut asked = None;
        let security = match &self.minter {
            Minter::None => Security {
                expires: String::new(),
                tag: String::new(),
                token: String::new(),
                options: String::new(),
            },
            Minter::Keys(keyring) => sign(keyring, stream, self.clock.now(), self.expires())?,
            Minter::Api(key) => {
                let mut api = self.api.lock().await;
                let began = Instant::now();
                let answer = ask(&mut api, key, stream, self.expires());
                let Ok(answer) = timeout(HANDSHAKE_LIMIT, answer).await else {
                    api.forget();
                    return Err(TokenError::NoAnswer(Failure::Timeout));
                };
                asked = Some(began.elapsed());
                answer?
            }
        };
        Ok(Minted { security, asked })
    }

    fn expires(&self) -> UnixSeconds {
        self.clock.now().saturating_add(self.lifetime)
    }
}

fn sign(
    keyring: &Keyring,
    stream: &StreamName,
    now: UnixSeconds,
    expires: UnixSeconds,
) -> Result<Security, TokenError> {
    let mut id = [0; 16];
    getrandom::fill(&mut id)?;
    let mut grant = Grant::new(TokenId::new(id), now, Scope::stream(stream.clone()));
    grant.expires = Some(expires);
    keyring
        .mint(&keyring.owner_of(stream), &grant)
        .map_err(|source| TokenError::Mint {
            stream: stream.clone(),
            source,
        })
}

/// `POST /secure/token` (protocol.md 1).
async fn ask(
    api: &mut Fetcher,
    key: &str,
    stream: &StreamName,
    expires: UnixSeconds,
) -> Result<Security, TokenError> {
    let expires = expires.to_string();
    let body = serde_json::json!({ "streamname": stream.as_str(), "expires": expires });
    let request = Request::builder()
        .method(Method::POST)
        .uri(api.path("/secure/token"))
        .header("content-type", "application/json")
        .header("x-bintu-apikey", key)
        .body(Full::new(Bytes::from(body.to_string())))
        .map_err(|_| TokenError::ApiKey)?;
    let answer = api.send(request).await.map_err(TokenError::NoAnswer)?;
    let status = answer.status().as_u16();
    let body = Fetcher::whole(answer.into_body(), ANSWER_LIMIT)
        .await
        .map_err(TokenError::NoAnswer)?;
    match serde_json::from_slice::<Answer>(&body) {
        Ok(Answer {
            h5live: Envelope { security },
        }) if status == 200 => Ok(Security {
            expires: security.expires,
            tag: security.tag,
            token: security.token,
            options: security.options,
        }),
        _ => Err(TokenError::Refused {
            status,
            said: shown(&body),
        }),
    }
}

/// What a terminal may show of an answer.
fn shown(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let shown = text.trim().chars().take(500);
    shown
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::time::sleep;
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::load::target::Target;

    const ANSWER: &str =
        r#"{"h5live":{"security":{"expires":"1","tag":"","token":"h1.k.p.t","options":"1"}}}"#;

    const TIME: Duration = Duration::from_millis(200);

    /// A gate with a token API that takes [`TIME`].
    async fn slow_api() -> Target {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        TaskTracker::new().spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while socket.read_buf(&mut request).await.unwrap() > 0 {
                // The end of its body.
                if request.ends_with(b"}") {
                    request.clear();
                    sleep(TIME).await;
                    let length = ANSWER.len();
                    let answer =
                        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{ANSWER}");
                    socket.write_all(answer.as_bytes()).await.unwrap();
                }
            }
        });
        Target {
            address,
            authority: address.to_string(),
            prefix: String::new(),
        }
    }

    #[tokio::test]
    async fn the_time_of_the_api_is_not_that_of_waiting_for_ones_turn() {
        let target = slow_api().await;
        let minter = Minter::Api(Arc::new(Zeroizing::new("key".to_owned())));
        let api = Fetcher::new(&target, TaskTracker::new());
        let tokens = Tokens::new(minter, Duration::from_secs(60), api);
        let stream = "abcde-one".parse().unwrap();
        let began = Instant::now();
        let (one, other) = tokio::join!(tokens.mint(&stream), tokens.mint(&stream));
        let [one, other] = [one, other].map(|minted| minted.unwrap().asked.unwrap());
        assert!(one >= TIME && other >= TIME, "{one:?}, {other:?}");
        // One comes after the other: the wait for one's turn would be counted twice.
        assert!(one + other <= began.elapsed(), "{one:?}, {other:?}");
    }
}
