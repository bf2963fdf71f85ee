//! What HTTP adds to minting: the API key, and that the body is small, whole and JSON.
//!
//! Refuse first, spend later: method, whether the address has tried too many keys, API key, content type, length, and only
//! then the body. No answer has a CORS header: an API key belongs in a back end, and a page that could use one would have it to lose.

use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName,
    HeaderValue, RETRY_AFTER, TRANSFER_ENCODING,
};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Body;
use tokio::time::timeout;

use crate::clock::Clock;
use crate::decision::rules::Rules;
use crate::random;
use crate::request::client_address::ClientAddress;
use crate::token::{Keyring, TokenId};

use super::api_key::{ApiKey, ApiKeys};
use super::error::ApiError;
use super::guesses::{Guesses, TooMany};
use super::mint;

const API_KEY: HeaderName = HeaderName::from_static("x-bintu-apikey");

/// What the API needs of the gate; one state of its policy, so that a request is answered by one.
#[derive(Clone, Copy, Debug)]
pub struct TokenApi<'a> {
    /// What every expiry is held against.
    pub clock: &'a Clock,
    /// What signs.
    pub keyring: &'a Keyring,
    /// What is asked of each organisation's tokens.
    pub rules: &'a Rules,
    /// The API keys that mint.
    pub api_keys: &'a ApiKeys,
    /// The most bytes that a body may have. The longest request that can be granted, a batch of long names with a full
    /// tag, is below 4 KiB, unless every character is written as `\uXXXX`.
    pub body_limit: usize,
    /// How long a body may take to arrive, from the call on.
    pub body_deadline: Duration,
    /// Whether the head had a `Content-Length`, also where `head` has none: hyper drops it beside `Transfer-Encoding`.
    pub has_length: bool,
    /// Where the request comes from.
    pub address: ClientAddress,
    /// What has been tried from there.
    pub guesses: &'a Guesses,
}

/// An answer, and what to count it as.
#[derive(Debug)]
pub struct Answered {
    /// What goes out.
    pub response: Response<Full<Bytes>>,
    /// [`MINTED`], or the error's name; from a fixed list.
    pub outcome: &'static str,
}

/// The outcome of a request that was granted.
pub const MINTED: &str = "minted";

/// Answers one request to `/secure/token`; the path is the caller's to check.
///
/// Logs one event: which API key got how many tokens, or why none. Never a token, a key, or anything of the body.
///
/// Cancel safe: nothing is kept, and a token that did not arrive is stored nowhere.
pub async fn answer<B>(api: &TokenApi<'_>, head: &Parts, body: B) -> Answered
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let api_key = match check_asker(api, head).await {
        Ok(api_key) => api_key,
        Err(error) => return refused_stranger(api, &error),
    };
    let body = match read(api, &head.headers, body).await {
        Ok(body) => body,
        Err(error) => return refused(api_key, &error, Unread::Yes),
    };
    let minted = mint::answer(
        &body,
        api_key,
        api.keyring,
        api.rules,
        api.clock.now(),
        random_id,
    );
    match minted {
        Ok(minted) => granted(api_key, &minted),
        Err(error) => refused(api_key, &error, Unread::No),
    }
}

/// Method and key.
async fn check_asker<'a>(api: &TokenApi<'a>, head: &Parts) -> Result<&'a ApiKey, ApiError> {
    if head.method != Method::POST {
        return Err(ApiError::Method);
    }
    let mut keys = head.headers.get_all(API_KEY).iter();
    let presented = match (keys.next(), keys.next()) {
        (Some(key), None) if !key.is_empty() => key,
        (_, Some(_)) => return Err(ApiError::ApiKeyRepeated),
        _ => return Err(ApiError::ApiKeyMissing),
    };
    let presented = presented.as_bytes();
    let turn = api.guesses.turn(api.address, presented).await;
    turn.map_err(|TooMany { retry_after }| ApiError::TooManyGuesses { retry_after })?;
    let found = api.api_keys.find(presented);
    let found = found.ok_or(ApiError::ApiKeyUnknown)?;
    api.guesses.right(api.address, presented);
    Ok(found)
}

/// Content type, length, and the body.
async fn read<B>(api: &TokenApi<'_>, headers: &HeaderMap, body: B) -> Result<Bytes, ApiError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let limit = api.body_limit;
    if !is_json(headers) {
        return Err(ApiError::ContentType);
    }
    let most = u64::try_from(limit).unwrap_or(u64::MAX);
    if announced_length(headers, api.has_length)?.is_some_and(|length| length > most) {
        return Err(ApiError::BodyTooLong { limit });
    }
    // A body in chunks says its length when it is over. What follows its last chunk is left out.
    let body = Limited::new(body, limit).collect();
    match timeout(api.body_deadline, body).await {
        Err(_) => Err(ApiError::BodyTooSlow),
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(ApiError::BodyTooLong { limit }),
        Ok(Err(_)) => Err(ApiError::BodyCutShort),
    }
}

/// `application/json`, with `charset=utf-8` at most, in any letter case (RFC 9110 section 8.3.1, RFC 8259 section 8.1).
fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (types.next(), types.next()) else {
        return false;
    };
    let Ok(value) = value.to_str() else {
        return false;
    };
    let mut parts = value.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    // An empty parameter is none: `application/json;`.
    let mut parameters = parts.filter(|parameter| !parameter.is_empty());
    let charset = parameters.next();
    essence.eq_ignore_ascii_case("application/json")
        && charset.is_none_or(is_utf8_charset)
        && parameters.next().is_none()
}

fn is_utf8_charset(parameter: &str) -> bool {
    parameter.split_once('=').is_some_and(|(name, value)| {
        let quoted = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
        name.eq_ignore_ascii_case("charset")
            && quoted.unwrap_or(value).eq_ignore_ascii_case("utf-8")
    })
}

/// The one `Content-Length`; `None` for a body in chunks (RFC 9112 section 6). With both two readers could find two ends of
/// the body.
fn announced_length(headers: &HeaderMap, has_length: bool) -> Result<Option<u64>, ApiError> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), lengths.next()) {
        (Some(_), Some(_)) => Err(ApiError::TwoLengths),
        (Some(_), None) if has_length => Err(ApiError::TwoLengths),
        (Some(coding), None)
            if coding.as_bytes().eq_ignore_ascii_case(b"chunked") && codings.next().is_none() =>
        {
            Ok(None)
        }
        (Some(_), None) => Err(ApiError::TransferCoding),
        // `parse` alone would take `+5`.
        (None, Some(length))
            if lengths.next().is_none() && length.as_bytes().iter().all(u8::is_ascii_digit) =>
        {
            let length = length.to_str().ok().and_then(|digits| digits.parse().ok());
            length.map(Some).ok_or(ApiError::LengthRequired)
        }
        (None, _) => Err(ApiError::LengthRequired),
    }
}

fn random_id() -> Option<TokenId> {
    random::bytes().map(TokenId::new)
}

fn granted(api_key: &ApiKey, minted: &mint::Answer) -> Answered {
    let (id, organisation, count) = (&api_key.id, &api_key.owner, minted.count());
    tracing::info!(api_key = %id, %organisation, count, "token minted");
    Answered {
        response: json(StatusCode::OK, minted.to_json()),
        outcome: MINTED,
    }
}

/// Whether bytes of the body may still be on their way.
#[derive(Clone, Copy)]
enum Unread {
    Yes,
    No,
}

/// Without a key: its address is named, once a second at most.
fn refused_stranger(api: &TokenApi<'_>, error: &ApiError) -> Answered {
    if let Some(unsaid) = api.guesses.say(api.address) {
        let (address, label) = (api.address, error.report().error);
        tracing::info!(%address, error = label, not_logged = unsaid, "no token minted");
    }
    answer_error(error, Unread::Yes)
}

fn refused(api_key: &ApiKey, error: &ApiError, unread: Unread) -> Answered {
    let report = error.report();
    let (id, organisation) = (api_key.id.as_str(), &api_key.owner);
    if report.status.is_server_error() {
        // Ours to mend: an organisation without a key, a system without randomness.
        tracing::error!(api_key = id, %organisation, error = report.error, "no token minted");
    } else {
        tracing::info!(api_key = id, %organisation, error = report.error, "no token minted");
    }
    answer_error(error, unread)
}

fn answer_error(error: &ApiError, unread: Unread) -> Answered {
    let report = error.report();
    let mut response = json(report.status, error.to_json());
    let headers = response.headers_mut();
    if *error == ApiError::Method {
        headers.insert(ALLOW, HeaderValue::from_static("POST"));
    }
    if let ApiError::TooManyGuesses { retry_after } = error {
        headers.insert(RETRY_AFTER, HeaderValue::from(*retry_after));
    }
    if matches!(unread, Unread::Yes) {
        // What follows on the connection would be the rest of this body, or be taken for it.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Answered {
        response,
        outcome: report.error,
    }
}

/// Tokens and refusals alike are for this asker and this moment.
fn json(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
