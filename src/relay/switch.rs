//! `onUpdateSource`: the stream switches, or the token is renewed, inside the socket (PROTOCOL.md 5). Each is a playback
//! start and is decided like one.

use serde_json::{Map, Value, json};

use super::message::{names_source, without_source};
use crate::request::Malformed;
use crate::request::query::{Query, QueryError, encode_component, guarded};
use crate::request::rtmp_url::{RtmpUrl, RtmpUrls};
use crate::token::{Field, MalformedToken, Security, StreamName, TokenError};

/// The event.
pub const EVENT: &str = "onUpdateSource";
/// What of its body travels on as it is, beside what is written anew.
const BODY_KEYS: [&str; 3] = ["options", "tag", "count"];

/// A switch as the viewer wrote it.
#[derive(Debug, PartialEq)]
pub struct SwitchRequest {
    body: Map<String, Value>,
    request_id: Option<Value>,
}

/// What a switch asks for.
#[derive(Debug, PartialEq, Eq)]
pub struct SwitchTarget {
    /// The new stream.
    pub stream: StreamName,
    /// Its source, as configured.
    pub url: RtmpUrl,
    /// Its own four strings; `None` when the connection's current token is to be judged again.
    pub security: Option<Security>,
    /// Custom keys for the media server, none of which names a source.
    params: Option<Value>,
}

/// Why a switch cannot be decided on its merits.
#[derive(Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// The source is missing or malformed.
    Malformed(Malformed),
    /// One of the four strings is no string.
    Token(TokenError),
}

impl From<Malformed> for Unreadable {
    fn from(error: Malformed) -> Self {
        Self::Malformed(error)
    }
}

impl SwitchRequest {
    /// From a message whose `eventType` is `onUpdateSource`.
    #[must_use]
    pub fn new(mut object: Map<String, Value>) -> Self {
        let body = match object.remove(EVENT) {
            Some(Value::Object(body)) => body,
            _ => Map::new(),
        };
        let request_id = object
            .remove("requestId")
            .or_else(|| body.get("requestId").cloned());
        Self { body, request_id }
    }

    /// What it asks for.
    pub fn target(&self, urls: &RtmpUrls) -> Result<SwitchTarget, Unreadable> {
        let rtmp = match self.body.get("rtmp") {
            Some(Value::Object(rtmp)) => rtmp,
            _ => return Err(Malformed::StreamMissing.into()),
        };
        check_keys(rtmp)?;
        let params = self.body.get("params").map(read_params).transpose()?;
        let text = |key| {
            rtmp.get(key)
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
        };
        let stream = text("stream").ok_or(Malformed::StreamMissing)?;
        let stream = stream.parse().map_err(Malformed::Stream)?;
        let url = urls
            .find(text("url").ok_or(Malformed::UrlMissing)?)
            .ok_or(Malformed::Url)?;
        Ok(SwitchTarget {
            stream,
            url,
            security: self.security()?,
            params,
        })
    }

    /// Its four strings. No object, or one with nothing in it, means that it has none of its own.
    fn security(&self) -> Result<Option<Security>, Unreadable> {
        let given = match self.body.get("security") {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Object(given)) => given,
            Some(_) => return Err(Malformed::Message("security is not an object").into()),
        };
        check_keys(given)?;
        let mut security = Security::default();
        for (field, slot) in [
            (Field::Token, &mut security.token),
            (Field::Options, &mut security.options),
            (Field::Expires, &mut security.expires),
            (Field::Tag, &mut security.tag),
        ] {
            match given.get(field.name()) {
                None | Some(Value::Null) => {}
                Some(Value::String(text)) => slot.clone_from(text),
                Some(_) => {
                    return Err(Unreadable::Token(TokenError::Malformed {
                        field,
                        reason: MalformedToken::NotText,
                    }));
                }
            }
        }
        // A JWT alone is a token that is missing, not the absence of a wish.
        let none = security == Security::default() && !given.contains_key("jwtoken");
        Ok(if none { None } else { Some(security) })
    }

    /// The message for the media server: without `security`, the source in the operator's spelling.
    #[must_use]
    pub fn granted(&self, target: &SwitchTarget) -> String {
        let mut body = Map::new();
        for key in BODY_KEYS {
            if let Some(value) = self.body.get(key) {
                body.insert(key.to_owned(), without_source(value.clone()));
            }
        }
        if let Some(params) = &target.params {
            body.insert("params".to_owned(), params.clone());
        }
        // A token of ours is the gate's business; another kind travels on, as it does in the query.
        if let Some(token) = self.body.get("token").and_then(Value::as_str)
            && !token.starts_with("h1.")
        {
            body.insert("token".to_owned(), token.into());
        }
        body.insert(
            "rtmp".to_owned(),
            json!({ "url": target.url.as_str(), "stream": target.stream.as_str() }),
        );
        let mut message = Map::new();
        message.insert("eventType".to_owned(), EVENT.into());
        message.insert(EVENT.to_owned(), body.into());
        if let Some(id) = &self.request_id {
            message.insert("requestId".to_owned(), without_source(id.clone()));
        }
        Value::Object(message).to_string()
    }

    /// The answer for the viewer, with the request's own tag, count and id, so that the player knows which one failed.
    #[must_use]
    pub fn denied(&self, code: u16) -> String {
        let mut body = Map::new();
        for (key, value) in [
            ("tag", self.body.get("tag")),
            ("count", self.body.get("count")),
            ("requestId", self.request_id.as_ref()),
        ] {
            if let Some(value) = value {
                body.insert(key.to_owned(), value.clone());
            }
        }
        body.insert("code".to_owned(), code.into());
        json!({ "eventType": "onUpdateSourceError", "onUpdateSourceError": body }).to_string()
    }

    /// Whether an answer of the media server can be to this request: nothing that both carry differs.
    #[must_use]
    pub fn is_answered_by(&self, answer: &Answer) -> bool {
        let fits = |asked: Option<&Value>, told: Option<&Value>| match (asked, told) {
            (Some(asked), Some(told)) => asked == told,
            _ => true,
        };
        fits(self.request_id.as_ref(), answer.request_id.as_ref())
            && fits(self.body.get("tag"), answer.body.get("tag"))
            && fits(self.body.get("count"), answer.body.get("count"))
    }
}

/// The media server's answer to a switch.
#[derive(Debug)]
pub struct Answer {
    /// Whether the switch's token is the connection's from now on.
    pub taken: bool,
    body: Map<String, Value>,
    request_id: Option<Value>,
}

impl Answer {
    /// Reads a text message of the media server; `None` when it answers no switch.
    #[must_use]
    pub fn read(text: &[u8]) -> Option<Self> {
        let Ok(Value::Object(mut message)) = serde_json::from_slice(text) else {
            return None;
        };
        let event = message.get("eventType")?.as_str()?.to_owned();
        let body = match message.remove(&event) {
            Some(Value::Object(body)) => body,
            _ => Map::new(),
        };
        let taken = match event.as_str() {
            "onUpdateSourceSuccess" => true,
            "onUpdateSourceAbort" => {
                body.get("reason").and_then(Value::as_str) == Some("equalsource")
            }
            "onUpdateSourceError" | "onUpdateSourceFail" => false,
            _ => return None,
        };
        let request_id = message
            .remove("requestId")
            .or_else(|| body.get("requestId").cloned());
        Some(Self {
            taken,
            body,
            request_id,
        })
    }
}

/// No guarded key in another spelling.
fn check_keys(object: &Map<String, Value>) -> Result<(), Malformed> {
    object
        .keys()
        .try_for_each(|key| guarded(key).map(|_| ()))
        .map_err(Malformed::Query)
}

/// `params` are custom keys for the media server; a guarded one among them could name another source.
fn read_params(params: &Value) -> Result<Value, Malformed> {
    match params {
        Value::Null => {}
        Value::Object(_) => check_params(params)?,
        Value::String(query) => return rebuild_params(query).map(Value::String),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
            return Err(Malformed::Message(
                "params is neither an object nor a string",
            ));
        }
    }
    Ok(params.clone())
}

fn check_params(params: &Value) -> Result<(), Malformed> {
    match params {
        Value::Object(params) => params.iter().try_for_each(|(key, value)| {
            if let Some(name) = guarded(key).map_err(Malformed::Query)? {
                return Err(QueryError::Repeated(name).into());
            }
            if names_source(key) {
                return Err(QueryError::Spelling("stream").into());
            }
            check_params(value)
        }),
        Value::Array(params) => params.iter().try_for_each(check_params),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

/// A query is written anew, so that none of its characters separates for one reader what it joins for another.
fn rebuild_params(text: &str) -> Result<String, Malformed> {
    let pairs = text.trim_start_matches(['?', '&']);
    let query = Query::parse(pairs)?;
    if query.has_guarded_key() {
        return Err(QueryError::Repeated("stream").into());
    }
    let pairs = query.forwarded().map(|(key, value)| match value {
        Some(value) => format!("{}={}", encode_component(key), encode_component(value)),
        None => encode_component(key),
    });
    let start = if text.starts_with('?') { "?" } else { "" };
    Ok(start.to_owned() + &pairs.collect::<Vec<_>>().join("&"))
}
