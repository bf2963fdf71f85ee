//! The body: which fields are there, read so that no second reader can understand it differently.

use super::error::ApiError;
use super::field::{BATCH_LIMIT, Field};
use super::json::Json;

/// What is asked for, as text: nothing but the form has been checked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TokenRequest {
    pub(super) scope: RequestedScope,
    /// Empty where it was not asked for, as are the others.
    pub(super) tag: String,
    pub(super) expires: String,
    pub(super) ip: String,
    pub(super) referer: String,
}

/// Which of the three scopes is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RequestedScope {
    Stream(String),
    Organisation(String),
    Streams(Vec<String>),
}

impl TokenRequest {
    /// Reads a body. An empty string is the same as no field: back ends send `"tag":""` (protocol.md 1). Everything else
    /// that is not what it should be is refused and named, never ignored: a token without the binding that its issuer
    /// meant to ask for would play for every viewer.
    pub(super) fn read(body: &[u8]) -> Result<Self, ApiError> {
        let mut fields = Fields::default();
        for (name, value) in entries(body)? {
            let field = Field::from_name(&name).ok_or_else(|| ApiError::unknown_field(&name))?;
            if fields.seen.contains(&field) {
                return Err(ApiError::RepeatedField(field));
            }
            fields.seen.push(field);
            fields.set(field, value)?;
        }
        let scope = fields.scope()?;
        let Fields {
            tag,
            expires,
            ip,
            referer,
            ..
        } = fields;
        Ok(Self {
            scope,
            tag,
            expires,
            ip,
            referer,
        })
    }
}

fn entries(body: &[u8]) -> Result<Vec<(String, Json)>, ApiError> {
    let value = Json::read(body).map_err(ApiError::NotJson)?;
    match value {
        Json::Object(entries) => Ok(entries),
        Json::Null | Json::Bool | Json::Number | Json::Text(_) | Json::List(_) => {
            Err(ApiError::NotAnObject(value.kind()))
        }
    }
}

#[derive(Default)]
struct Fields {
    seen: Vec<Field>,
    streamname: String,
    orga: String,
    streamnames: Option<Vec<String>>,
    tag: String,
    expires: String,
    ip: String,
    referer: String,
}

impl Fields {
    fn set(&mut self, field: Field, value: Json) -> Result<(), ApiError> {
        let place = match field {
            Field::Streamnames => {
                self.streamnames = list(value)?;
                return Ok(());
            }
            Field::Streamname => &mut self.streamname,
            Field::Orga => &mut self.orga,
            Field::Tag => &mut self.tag,
            Field::Expires => &mut self.expires,
            Field::Ip => &mut self.ip,
            Field::Referer => &mut self.referer,
        };
        *place = text(value).map_err(|found| ApiError::NotAString { field, found })?;
        Ok(())
    }

    /// Exactly one of the three.
    fn scope(&mut self) -> Result<RequestedScope, ApiError> {
        let streamname = Some(std::mem::take(&mut self.streamname)).filter(|text| !text.is_empty());
        let orga = Some(std::mem::take(&mut self.orga)).filter(|text| !text.is_empty());
        match (streamname, orga, self.streamnames.take()) {
            (Some(name), None, None) => Ok(RequestedScope::Stream(name)),
            (None, Some(hash), None) => Ok(RequestedScope::Organisation(hash)),
            (None, None, Some(names)) => Ok(RequestedScope::Streams(names)),
            (None, None, None) => Err(ApiError::NoScope),
            _ => Err(ApiError::SeveralScopes),
        }
    }
}

/// A text, or what is there instead.
fn text(value: Json) -> Result<String, &'static str> {
    match value {
        Json::Text(text) => Ok(text),
        Json::Null | Json::Bool | Json::Number | Json::List(_) | Json::Object(_) => {
            Err(value.kind())
        }
    }
}

fn list(value: Json) -> Result<Option<Vec<String>>, ApiError> {
    let items = match value {
        Json::List(items) => items,
        Json::Text(text) if text.is_empty() => return Ok(None),
        Json::Null | Json::Bool | Json::Number | Json::Text(_) | Json::Object(_) => {
            return Err(ApiError::NotAList(value.kind()));
        }
    };
    if !(1..=BATCH_LIMIT).contains(&items.len()) {
        return Err(ApiError::BatchSize(items.len()));
    }
    let mut names = Vec::with_capacity(items.len());
    for (item, entry) in items.into_iter().zip(1..) {
        let name = text(item).map_err(|found| ApiError::EntryNotAString { entry, found })?;
        if names.contains(&name) {
            return Err(ApiError::RepeatedStream { entry });
        }
        names.push(name);
    }
    Ok(Some(names))
}
