//! `params` of a switch: what players put into the query at connect, as an object or as a query. It may name the source,
//! alone or beside `rtmp`, and hold the four strings; the rest are custom keys for the media server.

use serde_json::{Map, Value};

use super::Unreadable;
use crate::relay::source_keys::names_source;
use crate::request::Malformed;
use crate::request::query::{Query, QueryError, encode_component, guarded, is_security};
use crate::token::{Field, MalformedToken, Security, TokenError};

/// What `params` say.
#[derive(Debug, Default)]
pub(super) struct Params {
    /// `url`
    pub url: Option<String>,
    /// `stream`
    pub stream: Option<String>,
    /// The four strings; absent ones are empty.
    pub security: Security,
    /// Whether there is a `jwtoken`.
    pub jwt: bool,
    kept: Kept,
}

/// What is forwarded of them, in the viewer's form.
#[derive(Debug, Default)]
enum Kept {
    #[default]
    Nothing,
    Null,
    Object(Map<String, Value>),
    Query {
        start: &'static str,
        pairs: Vec<(String, Option<String>)>,
    },
}

impl Params {
    /// Reads `params`, which may be missing.
    pub(super) fn read(params: Option<&Value>) -> Result<Self, Unreadable> {
        match params {
            None => Ok(Self::default()),
            Some(Value::Null) => Ok(Self {
                kept: Kept::Null,
                ..Self::default()
            }),
            Some(Value::Object(params)) => Self::of_object(params),
            Some(Value::String(text)) => Self::of_query(text),
            Some(Value::Bool(_) | Value::Number(_) | Value::Array(_)) => {
                Err(Malformed::Message("params is neither an object nor a string").into())
            }
        }
    }

    fn of_object(params: &Map<String, Value>) -> Result<Self, Unreadable> {
        let (mut read, mut kept) = (Self::default(), Map::new());
        for (key, value) in params {
            match guarded(key).map_err(Malformed::Query)? {
                Some("stream") => read.stream = source(value)?,
                Some("url") => read.url = source(value)?,
                Some("expires") => read.security.expires = string(Field::Expires, value)?,
                Some("tag") => read.security.tag = string(Field::Tag, value)?,
                Some("options") => read.security.options = string(Field::Options, value)?,
                Some("token") => {
                    let token = string(Field::Token, value)?;
                    if is_security(key, &token) {
                        read.security.token = token;
                        continue;
                    }
                    // Another kind of token is forwarded, as in the query.
                }
                Some(_) => read.jwt = true,
                None if names_source(key) => {
                    return Err(Malformed::from(QueryError::Spelling("stream")).into());
                }
                None => check_below(value)?,
            }
            if !is_security(key, "") {
                kept.insert(key.clone(), value.clone());
            }
        }
        read.kept = Kept::Object(kept);
        Ok(read)
    }

    fn of_query(text: &str) -> Result<Self, Unreadable> {
        let mut query =
            Query::parse(text.trim_start_matches(['?', '&'])).map_err(Malformed::Query)?;
        let mut security = std::mem::take(&mut query.security);
        if !is_security(Field::Token.name(), &security.token) {
            security.token.clear();
        }
        Ok(Self {
            url: query.url.as_deref().map(str::to_owned),
            stream: query.stream.as_deref().map(str::to_owned),
            security,
            jwt: query.jwt,
            kept: Kept::Query {
                start: if text.starts_with('?') { "?" } else { "" },
                pairs: query
                    .forwarded()
                    .map(|(key, value)| (key.to_owned(), value.map(str::to_owned)))
                    .collect(),
            },
        })
    }

    /// What the media server gets: without the security, and with the decided source wherever they name one. A query is
    /// written anew with all of its values escaped, so that no reader splits it in another way.
    pub(super) fn granted(self, url: &str, stream: &str) -> Option<Value> {
        let decided = |key: &str| match key {
            "url" => Some(url),
            "stream" => Some(stream),
            _ => None,
        };
        match self.kept {
            Kept::Nothing => None,
            Kept::Null => Some(Value::Null),
            Kept::Object(mut params) => {
                for (key, value) in &mut params {
                    if let Some(decided) = decided(key) {
                        *value = decided.into();
                    }
                }
                Some(params.into())
            }
            Kept::Query { start, pairs } => {
                let pairs = pairs.iter().map(|(key, value)| {
                    let encoded = encode_component(key);
                    match decided(key).or(value.as_deref()) {
                        Some(value) => encoded + "=" + &encode_component(value),
                        None => encoded,
                    }
                });
                Some((start.to_owned() + &pairs.collect::<Vec<_>>().join("&")).into())
            }
        }
    }
}

/// The text of a value, a number's included; `None` for a value that a query could not hold.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some(String::new()),
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn source(value: &Value) -> Result<Option<String>, Malformed> {
    let text = text(value).ok_or(Malformed::Message("params name a source that is no text"))?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

fn string(field: Field, value: &Value) -> Result<String, Unreadable> {
    text(value).ok_or(Unreadable::Token(TokenError::Malformed {
        field,
        reason: MalformedToken::NotText,
    }))
}

/// Refuses a source or a token below the first level, where a media server might look for one, too.
fn check_below(value: &Value) -> Result<(), Malformed> {
    match value {
        Value::Object(object) => object.iter().try_for_each(|(key, value)| {
            if let Some(name) = guarded(key).map_err(Malformed::Query)? {
                return Err(QueryError::Repeated(name).into());
            }
            if names_source(key) {
                return Err(QueryError::Spelling("stream").into());
            }
            check_below(value)
        }),
        Value::Array(items) => items.iter().try_for_each(check_below),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}
