//! What a request asks of the media server, in the gate's words.

use std::sync::LazyLock;
use std::time::Duration;

use crate::decision::Facts;
use crate::decision::denial::{Denial, Reason};
use crate::decision::permit::Permit;
use crate::gate::Gate;
use crate::relay::cache::rules::is_playlist;
use crate::relay::playlist::{is_usual, link_target};
use crate::request::http_playback::{LinkPath, PROGRESSIVE};
use crate::request::query::Query;
use crate::session::ticket::{Link, Seals};
use crate::token::{Owner, StreamName};

use super::super::random_wide;
use super::admission::Admitted;

/// How many target durations a media server may hold a blocking playlist reload back.
const BLOCKING_TARGETS: u32 = 3;

/// Stands for the ticket in a playlist that all viewers share: no link has such characters, and no media server knows
/// them, since they are another text in each process.
pub static TICKET_HERE: LazyLock<String> =
    LazyLock::new(|| format!("~{{{:032x}}}/", random_wide()));

/// What is to be fetched, and what a playlist's links need.
#[derive(Debug)]
pub struct Wanted {
    /// Path and query for this viewer alone.
    pub alone: String,
    /// Path and query for all who want the same, with nothing of the viewer in it; `None` where each has an answer of its
    /// own.
    pub shared: Option<String>,
    /// Whether it is a playlist by its name.
    pub names_playlist: bool,
    /// How the links of a playlist are made.
    pub links: LinkContext,
    /// Whether the media server may hold the answer back until there is news (`_HLS_msn`).
    pub blocking: bool,
    /// The ticket that a playlist's links lead to, where it is not in the request.
    pub ticket: Option<String>,
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
    /// What leads from the playlist to the ticket.
    pub to_ticket: String,
    /// The definitions that came with its own link, encoded.
    pub definitions: String,
    /// Whether a viewer wrote the query: a playlist that depends on it is then this viewer's alone.
    pub from_viewer: bool,
}

impl LinkContext {
    /// Of a playback that begins.
    fn of(permit: &Permit) -> Self {
        Self {
            owner: permit.claims().owner.clone(),
            stream: permit.stream().clone(),
            url: permit.url().to_string(),
            to_ticket: String::new(),
            definitions: String::new(),
            from_viewer: true,
        }
    }
}

impl Wanted {
    /// The file without an end. It is never shared.
    pub fn progressive(gate: &Gate, admitted: &Admitted, query: &str) -> Self {
        let permit = &admitted.permit;
        let path = gate.http_path.for_stream(permit.stream());
        Self {
            alone: format!("{path}{PROGRESSIVE}?{query}"),
            shared: None,
            names_playlist: false,
            links: LinkContext::of(permit),
            blocking: false,
            ticket: None,
        }
    }

    /// The playlist that a playback begins with. Its links lead to the viewer's ticket.
    pub fn playlist(gate: &Gate, admitted: &Admitted, query: &Query<'_>, ticket: String) -> Self {
        let permit = &admitted.permit;
        let path = gate.http_playlist.for_stream(permit.stream());
        let of_source = (permit.url().as_str(), permit.stream().as_str());
        let alone = query.for_source(of_source, |_| true);
        let shared = query.for_source(of_source, is_of_hls);
        let mut links = LinkContext::of(permit);
        // For all viewers the same; the ticket is put in where the answer leaves.
        links.to_ticket.clone_from(&TICKET_HERE);
        let names_playlist = is_playlist(None, &path);
        let shared = is_usual(&shared, names_playlist).then(|| [&path, "?", &shared].concat());
        Self {
            alone: [&path, "?", &alone].concat(),
            shared,
            names_playlist,
            links,
            blocking: is_blocking(&alone),
            ticket: Some(ticket),
        }
    }

    /// What a playlist named, or why the gate did not offer that.
    pub fn link(
        seals: &Seals,
        owner: &Owner,
        facts: &Facts,
        query: Option<&str>,
        asked: LinkPath<'_>,
    ) -> Result<Self, Denial> {
        let LinkPath {
            signature,
            definitions,
            path,
            depth,
            ..
        } = asked;
        let target = query.map_or(path.to_owned(), |query| format!("{path}?{query}"));
        let link = Link {
            owner,
            stream: &facts.stream,
            definitions,
            target: &link_target(&target),
        };
        if !seals.is_signed(&link, signature) {
            return Err(Reason::Link.into());
        }
        let target = format!("/{target}");
        let is_progressive = path.rsplit('/').next() == Some(PROGRESSIVE);
        let names_playlist = is_playlist(None, path);
        let is_for_many = query.is_none_or(|query| is_usual(query, names_playlist));
        Ok(Self {
            shared: (!is_progressive && is_for_many).then(|| target.clone()),
            alone: target,
            names_playlist,
            links: LinkContext {
                owner: owner.clone(),
                stream: facts.stream.clone(),
                url: facts.url.to_string(),
                to_ticket: "../".repeat(depth),
                definitions: definitions.to_owned(),
                from_viewer: false,
            },
            blocking: query.is_some_and(is_blocking),
            ticket: None,
        })
    }

    /// How long the head of the answer may take, when that is longer than usual.
    pub fn patience(&self, target: Option<Duration>) -> Duration {
        let target = target.filter(|_| self.blocking).unwrap_or_default();
        target * BLOCKING_TARGETS
    }
}

/// Whether a query asks for news that may still have to come.
fn is_blocking(query: &str) -> bool {
    query.split('&').any(|one| one.starts_with("_HLS_msn="))
}

/// Parameters that players add to the URL of a playlist (draft-pantos-hls-rfc8216bis, section 6.2.5).
fn is_of_hls(key: &str) -> bool {
    key.starts_with("_HLS_")
}
