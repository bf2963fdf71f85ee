//! `h5gate token inspect` and `h5gate token verify`: what a token says, and what the gate says of it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::{fail, grant_json};
use crate::cli::{complain, say, with_config};
use crate::config::Config;
use crate::decision::denial::Reason;
use crate::decision::revocation::Revocations;
use crate::decision::{Facts, decide};
use crate::request::Malformed;
use crate::request::client_address::ClientAddress;
use crate::request::query::Query;
use crate::request::referer::Referer;
use crate::token::{Claims, Presented, Scope, StreamName, UnixSeconds, inspect};

/// What is told of a token of another form.
const JWT: &str = "this is a jwtoken, which the gate does not check: without a token of its own form (h1.…) a playback is \
    refused with 4903, \"token is missing\"";

/// What to verify
#[derive(Debug, Args)]
pub struct Verify {
    /// The configuration file with the keys
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// A playback URL, or its query
    url: String,
}

/// Shows what a token says, or the one in a URL.
pub(super) fn show(given: &str) -> ExitCode {
    let query = match given.split_once('?') {
        Some((_, query)) => match read(query) {
            Ok(query) => Some(query),
            Err(error) => return fail(&error),
        },
        None if is_jwt(given) => return fail(JWT),
        None => None,
    };
    let token = query.as_ref().map_or(given, |query| &query.security.token);
    if token.is_empty() {
        return fail("there is no token");
    }
    let mut inspection = match inspect(token) {
        Ok(inspection) => inspection,
        Err(error) => return fail(&error.to_string()),
    };
    if let Some(query) = &query {
        // They travel beside the token.
        inspection.grant.expires = UnixSeconds::from_canonical(&query.security.expires);
        inspection.grant.tag = query.security.tag.parse().unwrap_or_default();
    }
    let mut shown = grant_json(&inspection.grant);
    if let Value::Object(fields) = &mut shown {
        if query.is_none() {
            for field in ["expires", "expires_utc", "tag"] {
                fields.remove(field);
            }
        }
        fields.insert("key".to_owned(), inspection.key.as_str().into());
        fields.insert("verified".to_owned(), false.into());
    }
    say(&shown.to_string());
    ExitCode::SUCCESS
}

/// Holds a URL's token against the keys, and the rest of the URL against the token.
pub(super) fn verify(command: &Verify, now: UnixSeconds) -> ExitCode {
    with_config(&command.config, |config| {
        let whole = command.url.split_once('?');
        let query = whole.map_or(command.url.as_str(), |(_, query)| query);
        let query = match read(query) {
            Ok(query) => query,
            Err(error) => return fail(&error),
        };
        let claims = match config.keyring.verify(Presented::from(&query.security)) {
            Ok(claims) => claims,
            Err(error) => return fail(&error.to_string()),
        };
        let mut shown = grant_json(&claims.grant);
        if let Value::Object(fields) = &mut shown {
            fields.insert("key".to_owned(), claims.key.as_str().into());
            fields.insert("owner".to_owned(), claims.owner.to_string().into());
            fields.insert("verified".to_owned(), true.into());
        }
        say(&shown.to_string());
        if !claims.grant.addresses.is_empty() || !claims.grant.referers.is_empty() {
            complain(
                "the viewer's address and page, which the token is bound to, are not looked at here",
            );
        }
        let wrong = refusals(&config, &query, whole.is_some(), claims, now);
        for reason in &wrong {
            complain(&format!("refused: {reason}"));
        }
        if wrong.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    })
}

/// A query, unless what it has is a token of another form, or a token is all that there is.
fn read(query: &str) -> Result<Query<'_>, String> {
    if is_jwt(query) {
        return Err(JWT.to_owned());
    }
    if query.starts_with("h1.") {
        let advice = "this is a token alone: what signs it covers options, expires and tag as well; give the URL or its query";
        return Err(advice.to_owned());
    }
    let read = Query::parse(query).map_err(|error| error.to_string())?;
    let token = &read.security.token;
    if is_jwt(token) || token.is_empty() && read.jwt {
        return Err(JWT.to_owned());
    }
    Ok(read)
}

/// Three parts, of which the first is JSON in base64url.
fn is_jwt(text: &str) -> bool {
    text.starts_with("eyJ") && text.split('.').count() == 3
}

/// Why the gate would refuse a playback with this query now, wherever its viewer is. What a query leaves out is not held against
/// it unless it is a whole URL's.
fn refusals(
    config: &Config,
    query: &Query<'_>,
    is_whole: bool,
    claims: Claims,
    now: UnixSeconds,
) -> Vec<String> {
    let mut wrong = Vec::<Malformed>::new();
    let stream = match query.stream.as_deref().map(str::parse::<StreamName>) {
        Some(Ok(stream)) => Some(stream),
        Some(Err(error)) => {
            wrong.push(Malformed::Stream(error));
            None
        }
        None => {
            wrong.extend(is_whole.then_some(Malformed::StreamMissing));
            None
        }
    };
    let url = match query
        .url
        .as_deref()
        .map(|url| config.edge.rtmp_urls.find(url))
    {
        Some(Ok(url)) => Some(url),
        Some(Err(error)) => {
            wrong.push(Malformed::Url(error));
            None
        }
        None => {
            wrong.extend(is_whole.then_some(Malformed::UrlMissing));
            None
        }
    };
    let stream = stream.or_else(|| match &claims.grant.scope {
        Scope::Streams(streams) => streams.first().cloned(),
        Scope::Organisation(hash) => format!("{hash}-any").parse().ok(),
    });
    let url = url.or_else(|| config.edge.rtmp_urls.first().cloned());
    let mut told: Vec<_> = wrong.iter().map(ToString::to_string).collect();
    if let (Some(stream), Some(url)) = (stream, url) {
        let facts = Facts {
            stream,
            url,
            address: ClientAddress::Unknown,
            referer: Referer::Absent,
            inherited: false,
        };
        let decided = decide(claims, facts, &config.rules, &Revocations::default(), now);
        let reasons = decided.err().into_iter().flat_map(|denial| {
            let known = |reason: &&Reason| {
                !matches!(reason, Reason::Address { .. } | Reason::Referer { .. })
            };
            let reasons = denial.reasons().filter(known).map(ToString::to_string);
            reasons.collect::<Vec<_>>()
        });
        told.extend(reasons);
    }
    told
}
