//! `onUpdateSource`: the stream switches, or the token is renewed, inside the socket (protocol.md 5). Each is a playback
//! start and is decided like one.

mod names;
mod params;

use serde_json::{Map, Value, json};

use super::source_keys::without_source;
use crate::request::Malformed;
use crate::request::query::{QueryError, guarded};
use crate::request::rtmp_url::{RtmpUrl, RtmpUrls};
use crate::token::{Field, MalformedToken, Security, StreamName, TokenError};
use names::names;
use params::Params;

pub use names::{Answer, Names};

/// The event.
pub const EVENT: &str = "onUpdateSource";
/// The keys of its body that are forwarded unchanged; the others are dropped or written by the gate.
const BODY_KEYS: [&str; 3] = ["options", "tag", "count"];
/// The largest integer that every reader of JSON reads exactly (RFC 8259 section 6).
const LARGEST_NUMBER: u64 = (1 << 53) - 1;

/// A switch as the viewer wrote it.
#[derive(Debug, PartialEq)]
pub struct SwitchRequest {
    body: Map<String, Value>,
    request_id: Option<Value>,
    /// The id that the gate gives it, where the viewer named it in no way.
    given_id: Option<u32>,
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
    /// What is forwarded of `params`: custom keys, and the decided source where they named one.
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
        Self {
            body,
            request_id,
            given_id: None,
        }
    }

    /// Gives it `id` where the viewer named it in no way. Without one the media server would name its answer like the one to
    /// the connect, and an answer with those names settles nothing.
    pub fn give_id(&mut self, id: u32) {
        let [tag, count, own] = names(&self.body, self.request_id.as_ref());
        let is_nameless = tag.is_none_or(|tag| *tag == json!(""))
            && count.is_none_or(|count| *count == json!(0))
            && own.is_none();
        self.given_id = is_nameless.then_some(id);
    }

    /// What it asks for. The source may stand in `rtmp`, in `params` or in both (protocol.md 5): named twice it has to be
    /// the same one, and what is missing in one place is taken from the other. The same goes for the four strings in
    /// `security` and `params`.
    pub fn target(&self, urls: &RtmpUrls) -> Result<SwitchTarget, Unreadable> {
        self.check_names()?;
        let nothing = Map::new();
        let rtmp = match self.body.get("rtmp") {
            None | Some(Value::Null) => &nothing,
            Some(Value::Object(rtmp)) => rtmp,
            Some(_) => return Err(Malformed::Message("rtmp is not an object").into()),
        };
        check_keys(rtmp)?;
        let params = Params::read(self.body.get("params"))?;
        let stream = self.named("stream", rtmp, params.stream.as_deref(), |text| {
            text.parse::<StreamName>().map_err(Malformed::Stream)
        })?;
        let url = self.named("url", rtmp, params.url.as_deref(), |text| {
            urls.find(text).map_err(Malformed::Url)
        })?;
        let (stream, url) = (
            stream.ok_or(Malformed::StreamMissing)?,
            url.ok_or(Malformed::UrlMissing)?,
        );
        Ok(SwitchTarget {
            security: self.security(&params)?,
            params: params.granted(url.as_str(), stream.as_str()),
            stream,
            url,
        })
    }

    /// Checks that tag, count and id have the types that players give them. A media server might send others back in another
    /// spelling, by which the answer could not be found.
    fn check_names(&self) -> Result<(), Malformed> {
        let [tag, count, id] = names(&self.body, self.request_id.as_ref());
        let is_number = |name: &Value| {
            let number = name.as_i64().map(i64::unsigned_abs);
            number.is_some_and(|number| number <= LARGEST_NUMBER)
        };
        if tag.is_none_or(Value::is_string)
            && count.is_none_or(is_number)
            && id.is_none_or(is_number)
        {
            Ok(())
        } else {
            Err(Malformed::Message(
                "a tag, count or requestId of another type",
            ))
        }
    }

    /// One part of the source, from the places that name it. Directly in the body no player names it, so that alone counts for
    /// nothing; but it has to agree with the others.
    fn named<T: PartialEq>(
        &self,
        key: &'static str,
        rtmp: &Map<String, Value>,
        in_params: Option<&str>,
        read: impl Fn(&str) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        let one = |value: Option<&Value>| match value {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => read(text).map(Some),
            Some(_) => Err(Malformed::Message("a source that is no text")),
        };
        let in_params = in_params.map(&read).transpose()?;
        let (rtmp, beside) = (one(rtmp.get(key))?, one(self.body.get(key))?);
        let named = match (rtmp, in_params) {
            (Some(one), Some(other)) if one != other => {
                return Err(QueryError::Repeated(key).into());
            }
            (one, other) => one.or(other),
        };
        if beside.is_some() && named.is_some() && beside != named {
            return Err(QueryError::Repeated(key).into());
        }
        Ok(named)
    }

    /// Its four strings. None in `security` and none in `params` means that it has none of its own.
    fn security(&self, params: &Params) -> Result<Option<Security>, Unreadable> {
        let nothing = Map::new();
        let given = match self.body.get("security") {
            None | Some(Value::Null) => &nothing,
            Some(Value::Object(given)) => given,
            Some(_) => return Err(Malformed::Message("security is not an object").into()),
        };
        check_keys(given)?;
        let mut security = params.security.clone();
        for (field, slot) in [
            (Field::Token, &mut security.token),
            (Field::Options, &mut security.options),
            (Field::Expires, &mut security.expires),
            (Field::Tag, &mut security.tag),
        ] {
            match given.get(field.name()) {
                None | Some(Value::Null) => {}
                Some(Value::String(text)) if text.is_empty() || text == slot => {}
                Some(Value::String(text)) if slot.is_empty() => slot.clone_from(text),
                Some(Value::String(_)) => {
                    return Err(Malformed::from(QueryError::Repeated(field.name())).into());
                }
                Some(_) => {
                    return Err(Unreadable::Token(TokenError::Malformed {
                        field,
                        reason: MalformedToken::NotText,
                    }));
                }
            }
        }
        // A JWT alone is a missing token, and not a switch without a token of its own.
        let jwt = params.jwt || given.contains_key("jwtoken");
        let none = security == Security::default() && !jwt;
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
        // A token of the gate's is dropped; another kind is forwarded, as in the query.
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
        let given = self.given_id.map(Value::from);
        if let Some(id) = given.as_ref().or(self.request_id.as_ref()) {
            message.insert("requestId".to_owned(), without_source(id.clone()));
        }
        Value::Object(message).to_string()
    }

    /// The answer for the viewer, with the request's own tag, count and id, by which the player knows which switch failed.
    /// Players read all four fields, so that those that the request left out are there, empty.
    #[must_use]
    pub fn denied(&self, code: u16) -> String {
        let own = |given: Option<&Value>, empty: Value| given.cloned().unwrap_or(empty);
        let body = json!({
            "tag": own(self.body.get("tag"), "".into()),
            "count": own(self.body.get("count"), 0.into()),
            "requestId": own(self.request_id.as_ref(), 0.into()),
            "code": code,
        });
        json!({ "eventType": "onUpdateSourceError", "onUpdateSourceError": body }).to_string()
    }

    /// The names by which its answer is found.
    #[must_use]
    pub fn names(&self) -> Names {
        Names::new(&self.body, self.request_id.as_ref(), self.given_id)
    }
}

/// Refuses guarded keys in another spelling.
fn check_keys(object: &Map<String, Value>) -> Result<(), Malformed> {
    object
        .keys()
        .try_for_each(|key| guarded(key).map(|_| ()))
        .map_err(Malformed::Query)
}
