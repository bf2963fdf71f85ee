//! EXT-X-DEFINE (draft-pantos-hls-rfc8216bis, sections 4.3 and 4.4.2.3): variables, and how a multivariant playlist hands
//! them to its media playlists.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::percent_decode_str;

use crate::request::query::is_security;

use super::attributes::find;
use super::{Context, PlaylistError, URI_LIMIT, has_control, spend};

/// The longest encoded definitions.
const DEFINITIONS_LIMIT: usize = 1024;

/// Variables by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definitions {
    variables: BTreeMap<String, Variable>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Variable {
    value: String,
    /// Something in it came from a query, which a viewer may have written.
    from_query: bool,
}

/// What became of a text with variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Substituted {
    /// It has none.
    AsItWas,
    /// It is written anew.
    Filled,
    /// One is not defined or must not stand there, or it grew longer than [`URI_LIMIT`].
    Impossible,
}

impl Definitions {
    /// For a link: base64url without padding, at most 1,024 characters; empty when there are none. Equal definitions
    /// are the same text.
    pub fn encode(&self) -> Result<String, PlaylistError> {
        let mut text = String::new();
        for (name, variable) in &self.variables {
            text.push_str(name);
            text.push(if variable.from_query { '?' } else { '=' });
            text.push_str(&variable.value);
            text.push('\n');
        }
        let encoded = URL_SAFE_NO_PAD.encode(text);
        if encoded.len() > DEFINITIONS_LIMIT {
            return Err(PlaylistError::Definitions);
        }
        Ok(encoded)
    }

    /// Reads what [`Self::encode`] wrote, and nothing else.
    pub fn decode(encoded: &str) -> Result<Self, PlaylistError> {
        let mut definitions = Self::default();
        definitions
            .read(encoded)
            .filter(|()| definitions.encode().as_deref() == Ok(encoded))
            .ok_or(PlaylistError::Definitions)?;
        Ok(definitions)
    }

    fn read(&mut self, encoded: &str) -> Option<()> {
        if encoded.len() > DEFINITIONS_LIMIT {
            return None;
        }
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(encoded).ok()?).ok()?;
        for line in text.lines() {
            let (name, _) = line.split_at_checked(line.find(['=', '?'])?)?;
            let (mark, value) = line.get(name.len()..)?.split_at_checked(1)?;
            if !is_name(name) || has_control(value) {
                return None;
            }
            self.add(name, value.to_owned(), mark == "?");
        }
        Some(())
    }

    /// Reads the attributes of one EXT-X-DEFINE; whether it depends on the query. One that cannot be read defines nothing.
    pub(super) fn define(
        &mut self,
        list: &[u8],
        context: &Context<'_>,
        left: &mut usize,
    ) -> Result<bool, PlaylistError> {
        let text = |name: &[u8]| std::str::from_utf8(list.get(find(list, name)?)?).ok();
        if let Some(key) = text(b"QUERYPARAM") {
            let value = parameter(context.query, key);
            let viewers = |value: &str| context.is_viewers_query && is_security(key, value);
            if let Some(value) = value.filter(|value| !viewers(value)) {
                *left = spend(*left, value.len())?;
                let tickets = key == "stream" && value == context.stream
                    || key == "url" && value == context.url;
                self.add(key, value, !tickets);
            }
            return Ok(true);
        }
        if let Some(name) = text(b"IMPORT") {
            if let Some(variable) = context.imported.variables.get(name) {
                self.add(name, variable.value.clone(), variable.from_query);
            }
        } else if let (Some(name), Some(value)) = (text(b"NAME"), text(b"VALUE")) {
            let mut filled = String::new();
            match self.expand(value, &mut filled, true) {
                Expanded::Plain => self.add(name, value.to_owned(), false),
                Expanded::With { from_query } => {
                    *left = spend(*left, filled.len())?;
                    self.add(name, filled, from_query);
                }
                Expanded::Not => {}
            }
        }
        Ok(false)
    }

    /// Fills the variables of a URI in. A value from a query has no place in its path.
    pub(super) fn fill(&self, uri: &str, out: &mut String) -> Substituted {
        match self.expand(uri, out, false) {
            Expanded::Plain => Substituted::AsItWas,
            Expanded::With { .. } => Substituted::Filled,
            Expanded::Not => Substituted::Impossible,
        }
    }

    /// The first definition of a name stands: a second one is an error that players report.
    fn add(&mut self, name: &str, value: String, from_query: bool) {
        if is_name(name) && !has_control(&value) && !self.variables.contains_key(name) {
            let variable = Variable { value, from_query };
            self.variables.insert(name.to_owned(), variable);
        }
    }

    /// Once, from left to right: what is filled in is not looked at again.
    fn expand(&self, text: &str, out: &mut String, query_anywhere: bool) -> Expanded {
        out.clear();
        let mut expanded = None;
        let mut in_query = query_anywhere;
        // Nothing of `rest` is in `out`, and before `at` there is no variable in it.
        let mut rest = text;
        let mut at = 0;
        if memchr::memchr(b'{', text.as_bytes()).is_none() {
            return Expanded::Plain;
        }
        while let Some(open) = rest.get(at..).and_then(|rest| rest.find("{$")) {
            let open = at + open;
            let behind = rest.get(open + 2..).unwrap_or_default();
            let length = behind.bytes().position(|b| !is_name_byte(b));
            let name = behind.get(..length.unwrap_or(behind.len()));
            let name = name.unwrap_or_default();
            let closed = behind.as_bytes().get(name.len()) == Some(&b'}');
            at = open + 2 + name.len();
            if name.is_empty() || !closed {
                continue;
            }
            let Some(variable) = self.variables.get(name) else {
                return Expanded::Not;
            };
            let before = rest.get(..open).unwrap_or_default();
            out.push_str(before);
            out.push_str(&variable.value);
            in_query |= before.contains('?');
            if variable.from_query && !in_query || out.len() > URI_LIMIT {
                return Expanded::Not;
            }
            in_query |= variable.value.contains('?');
            expanded = Some(expanded.unwrap_or_default() || variable.from_query);
            rest = rest.get(at + 1..).unwrap_or_default();
            at = 0;
        }
        let Some(from_query) = expanded else {
            return Expanded::Plain;
        };
        out.push_str(rest);
        Expanded::With { from_query }
    }
}

enum Expanded {
    Plain,
    With { from_query: bool },
    Not,
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(is_name_byte)
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// The first parameter of this name, percent-decoded; `+` is a plus.
fn parameter(query: &str, name: &str) -> Option<String> {
    let decoded = |text| percent_decode_str(text).decode_utf8().ok();
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(key, _)| decoded(key).is_some_and(|key| key == name))?;
    Some(decoded(value)?.into_owned())
}
