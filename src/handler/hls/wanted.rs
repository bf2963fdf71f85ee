//! What a request asks of the media server, in the gate's words.

use std::time::Duration;

use http::request::Parts;

use crate::decision::Facts;
use crate::decision::denial::{Denial, Reason};
use crate::gate::Gate;
use crate::relay::playlist::link_target;
use crate::request::Malformed;
use crate::request::http_playback::{Asked, PROGRESSIVE};
use crate::request::query::Query;
use crate::session::ticket::{Link, Seals};
use crate::token::{Owner, StreamName};

use super::admission::Admitted;

/// How many target durations a media server may hold a blocking playlist reload back.
const BLOCKING_TARGETS: u32 = 3;

/// What is to be fetched, and what a playlist's links need.
#[derive(Debug)]
pub struct Wanted {
    /// Path and query for this viewer alone.
    pub alone: String,
    /// Path and query for all who want the same, with nothing of the viewer in it; `None` where each has an answer of its
    /// own.
    pub shared: Option<String>,
    /// How the links of a playlist are made.
    pub links: LinkContext,
    /// Whether the media server may hold the answer back until there is news (`_HLS_msn`).
    pub blocking: bool,
}

/// What the links of a playlist depend on, beside its text.
#[derive(Clone, Debug)]
pub struct LinkContext {
    /// Whose stream.
    pub owner: Owner,
    /// The stream.
    pub stream: StreamName,
    /// The source.
    pub url: String,
    /// How many directories below the ticket the playlist is.
    pub depth: usize,
    /// The definitions that came with its own link, encoded.
    pub definitions: String,
    /// Whether a viewer wrote the query: a playlist that depends on it is then this viewer's alone.
    pub from_viewer: bool,
}

impl Wanted {
    /// The file without an end. It is never shared.
    pub fn progressive(gate: &Gate, admitted: &Admitted, query: &str) -> Self {
        let permit = &admitted.permit;
        let path = gate.http_path.for_stream(permit.stream());
        Self {
            alone: format!("{path}{PROGRESSIVE}?{query}"),
            shared: None,
            links: LinkContext {
                owner: permit.claims().owner.clone(),
                stream: permit.stream().clone(),
                url: permit.url().to_string(),
                depth: 0,
                definitions: String::new(),
                from_viewer: true,
            },
            blocking: false,
        }
    }

    /// What is asked for under a ticket, or why the gate did not offer that.
    pub fn under_ticket(
        gate: &Gate,
        seals: &Seals,
        owner: &Owner,
        facts: &Facts,
        head: &Parts,
        asked: Asked<'_>,
    ) -> Result<Self, Denial> {
        let raw = head.uri.query();
        let mut links = LinkContext {
            owner: owner.clone(),
            stream: facts.stream.clone(),
            url: facts.url.to_string(),
            depth: 0,
            definitions: String::new(),
            from_viewer: true,
        };
        let blocking =
            raw.is_some_and(|raw| raw.split('&').any(|one| one.starts_with("_HLS_msn=")));
        match asked {
            Asked::Playlist => {
                let query = Query::parse(raw.unwrap_or_default()).map_err(Malformed::from)?;
                let path = gate.http_playlist.for_stream(&facts.stream);
                let of_ticket = (facts.url.as_str(), facts.stream.as_str());
                let alone = query.for_source(of_ticket, |_| true);
                let shared = query.for_source(of_ticket, |key| key.starts_with("_HLS_"));
                Ok(Self {
                    alone: format!("{path}?{alone}"),
                    shared: Some(format!("{path}?{shared}")),
                    links,
                    blocking,
                })
            }
            Asked::Link {
                signature,
                definitions,
                path,
                depth,
            } => {
                let target = raw.map_or(path.to_owned(), |raw| format!("{path}?{raw}"));
                let link = Link {
                    owner,
                    stream: &facts.stream,
                    definitions,
                    target: &link_target(&target),
                };
                if !seals.is_signed(&link, signature) {
                    return Err(Reason::Link.into());
                }
                links.depth = depth;
                definitions.clone_into(&mut links.definitions);
                links.from_viewer = false;
                let target = format!("/{target}");
                let is_progressive = path.rsplit('/').next() == Some(PROGRESSIVE);
                Ok(Self {
                    shared: (!is_progressive).then(|| target.clone()),
                    alone: target,
                    links,
                    blocking,
                })
            }
        }
    }

    /// How long the head of the answer may take, when that is longer than usual.
    pub fn patience(&self, target: Option<Duration>) -> Duration {
        let target = target.filter(|_| self.blocking).unwrap_or_default();
        target * BLOCKING_TARGETS
    }
}
