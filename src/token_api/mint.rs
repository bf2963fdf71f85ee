//! Minting what a request asks for: pure, its time and its randomness are arguments.

use std::net::IpAddr;

use serde::Serialize;

use crate::decision::rules::{OrganisationRules, Rules};
use crate::token::{
    AddressPrefix, Domain, Grant, Keyring, RefererPattern, Scope, Security, StreamName, Tag,
    TokenId, UnixSeconds,
};

use super::api_key::ApiKey;
use super::error::{ApiError, Name};
use super::field::Field;
use super::request::{RequestedScope, TokenRequest};

/// A number from here on counts milliseconds: in seconds it is the year 5138, in milliseconds it is 1973.
pub const MILLISECONDS_FROM: u64 = 100_000_000_000;

/// What was minted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// For `streamname` and `orga`.
    One(Security),
    /// For `streamnames`, in the order asked for.
    Batch(Vec<(StreamName, Security)>),
}

/// Answers a request that `api_key` makes at `now`. A batch is minted whole or not at all.
///
/// Faults are looked for in this order, and the first is told: the JSON, its fields, the scope, `expires`, `ip`,
/// `referer`, `tag`; then whether the API key's owner may grant it. `random` gives a token's id from the system's
/// generator, or `None` where there is no randomness.
pub fn answer(
    body: &[u8],
    api_key: &ApiKey,
    keyring: &Keyring,
    rules: &Rules,
    now: UnixSeconds,
    mut random: impl FnMut() -> Option<TokenId>,
) -> Result<Answer, ApiError> {
    let asked = TokenRequest::read(body)?;
    let (field, scopes) = scopes(&asked.scope)?;
    let terms = Terms::read(&asked, rules.of(&api_key.owner), now)?;
    let mut mint = |scope| {
        let id = random().ok_or(ApiError::NoRandomness)?;
        keyring
            .mint(&api_key.owner, &terms.grant(id, now, scope))
            .map_err(|error| ApiError::Mint { field, error })
    };
    match scopes {
        Scopes::One(scope) => mint(scope).map(Answer::One),
        Scopes::Batch(streams) => {
            let minted = streams.into_iter().map(|stream| {
                let security = mint(Scope::stream(stream.clone()))?;
                Ok((stream, security))
            });
            minted.collect::<Result<_, _>>().map(Answer::Batch)
        }
    }
}

impl Answer {
    /// How many tokens it holds.
    #[must_use]
    pub fn count(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Batch(minted) => minted.len(),
        }
    }

    /// The body of the answer (protocol.md 1; the batch is ours).
    #[must_use]
    pub fn to_json(&self) -> String {
        let body = match self {
            Self::One(security) => AnswerBody::Security(security.into()),
            Self::Batch(minted) => {
                AnswerBody::Streams(minted.iter().map(StreamBody::from).collect())
            }
        };
        // Strings and lists of strings always serialise.
        serde_json::to_string(&H5live { h5live: body }).unwrap_or_default()
    }
}

/// What tokens are to be minted for.
enum Scopes {
    One(Scope),
    Batch(Vec<StreamName>),
}

/// The scope, and the field that names it.
fn scopes(asked: &RequestedScope) -> Result<(Field, Scopes), ApiError> {
    Ok(match asked {
        RequestedScope::Stream(name) => {
            let stream = name.parse().map_err(|error| ApiError::Name {
                field: Field::Streamname,
                name: Name::Stream,
                error,
            })?;
            (Field::Streamname, Scopes::One(Scope::stream(stream)))
        }
        RequestedScope::Organisation(hash) => {
            let hash = hash.parse().map_err(|error| ApiError::Name {
                field: Field::Orga,
                name: Name::Organisation,
                error,
            })?;
            (Field::Orga, Scopes::One(Scope::Organisation(hash)))
        }
        RequestedScope::Streams(names) => {
            let streams = names.iter().zip(1..).map(|(name, entry)| {
                name.parse()
                    .map_err(|error| ApiError::EntryName { entry, error })
            });
            let streams = streams.collect::<Result<_, _>>()?;
            (Field::Streamnames, Scopes::Batch(streams))
        }
    })
}

/// What every token of the request is bound to, beside its scope.
struct Terms {
    expires: Option<UnixSeconds>,
    address: Option<AddressPrefix>,
    referer: Option<RefererPattern>,
    tag: Tag,
}

impl Terms {
    fn read(
        asked: &TokenRequest,
        rules: &OrganisationRules,
        now: UnixSeconds,
    ) -> Result<Self, ApiError> {
        Ok(Self {
            expires: expires(&asked.expires, rules, now)?,
            address: present(&asked.ip).map(address).transpose()?,
            referer: present(&asked.referer).map(referer).transpose()?,
            tag: asked.tag.parse().map_err(|error| ApiError::Name {
                field: Field::Tag,
                name: Name::Tag,
                error,
            })?,
        })
    }

    fn grant(&self, id: TokenId, now: UnixSeconds, scope: Scope) -> Grant {
        Grant {
            expires: self.expires,
            addresses: self.address.into_iter().collect(),
            referers: self.referer.iter().cloned().collect(),
            tag: self.tag.clone(),
            ..Grant::new(id, now, scope)
        }
    }
}

fn expires(
    text: &str,
    rules: &OrganisationRules,
    now: UnixSeconds,
) -> Result<Option<UnixSeconds>, ApiError> {
    let latest = now.saturating_add(rules.max_lifetime);
    let Some(text) = present(text) else {
        return match rules.require_expires {
            true => Err(ApiError::ExpiresRequired { now, latest }),
            false => Ok(None),
        };
    };
    let expires = UnixSeconds::from_canonical(text).ok_or(ApiError::ExpiresMalformed)?;
    if expires.get() >= MILLISECONDS_FROM {
        Err(ApiError::ExpiresInMilliseconds(expires))
    } else if now >= expires {
        Err(ApiError::ExpiresPast {
            expires,
            now,
            latest,
        })
    } else if expires.since(now) > rules.max_lifetime {
        Err(ApiError::ExpiresTooFar { expires, latest })
    } else {
        Ok(Some(expires))
    }
}

/// One address; the vendor's API knows no prefixes.
fn address(text: &str) -> Result<AddressPrefix, ApiError> {
    text.parse::<IpAddr>()
        .map(AddressPrefix::single)
        .map_err(|_| ApiError::Ip)
}

/// One host; the vendor's API knows no wildcards.
fn referer(text: &str) -> Result<RefererPattern, ApiError> {
    text.parse()
        .map(RefererPattern::Exact)
        .map_err(|error| ApiError::Referer {
            error,
            meant: host_within(text),
        })
}

/// The domain inside a URL, or before a port or path: most often what was meant.
fn host_within(text: &str) -> Option<Domain> {
    let (_, rest) = text.split_once("://").unwrap_or(("", text));
    rest.split(['/', '?', '#', ':']).next()?.parse().ok()
}

fn present(text: &str) -> Option<&str> {
    if text.is_empty() { None } else { Some(text) }
}

#[derive(Serialize)]
struct H5live<'a> {
    h5live: AnswerBody<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum AnswerBody<'a> {
    Security(SecurityBody<'a>),
    Streams(Vec<StreamBody<'a>>),
}

#[derive(Serialize)]
struct StreamBody<'a> {
    streamname: &'a str,
    security: SecurityBody<'a>,
}

#[derive(Serialize)]
struct SecurityBody<'a> {
    expires: &'a str,
    tag: &'a str,
    token: &'a str,
    options: &'a str,
}

impl<'a> From<&'a Security> for SecurityBody<'a> {
    fn from(security: &'a Security) -> Self {
        let Security {
            expires,
            tag,
            token,
            options,
        } = security;
        Self {
            expires,
            tag,
            token,
            options,
        }
    }
}

impl<'a> From<&'a (StreamName, Security)> for StreamBody<'a> {
    fn from((streamname, security): &'a (StreamName, Security)) -> Self {
        Self {
            streamname: streamname.as_str(),
            security: security.into(),
        }
    }
}
