//! What a request asks of the media server, in the gate's words.

use std::sync::LazyLock;
use std::time::Duration;

use crate::cache::key::CacheKey;
use crate::decision::Facts;
use crate::decision::denial::{Denial, Reason};
use crate::gate::Gate;
use crate::hls::link::{Link, LinkContext, LinkPath, Named, as_asked};
use crate::hls::playlist::{Directives, Form};
use crate::hls::seal_keys::SealKeys;
use crate::hls::shareable::is_called_playlist;
use crate::request::http_playback::PROGRESSIVE;
use crate::request::query::Query;
use crate::token::Owner;

use super::super::names;
use super::admitted::Admitted;

/// How many target durations a media server may hold a blocking playlist reload back.
const BLOCKING_TARGETS: u32 = 3;

/// Stands for the ticket in a playlist that all viewers share: no link has such characters, and no media server knows
/// them, since they are another text in each process.
pub static TICKET_HERE: LazyLock<String> =
    LazyLock::new(|| format!("~{{{:032x}}}/", names::wide()));

/// What is to be fetched, and what a playlist's links need.
#[derive(Debug)]
pub struct MediaRequest {
    /// Path and query for this viewer alone, without what it asks of a reload.
    pub alone: String,
    /// The same with nothing of the viewer in it, for an answer that many share; `None` where each has an answer of its own.
    pub shared: Option<String>,
    /// What is asked of the reload of a playlist.
    pub asked: Directives,
    /// Whether it is a playlist by its name.
    pub names_playlist: bool,
    /// How the links of a playlist are made.
    pub links: LinkContext,
    /// The ticket of a playback that begins.
    pub ticket: Option<String>,
}

impl MediaRequest {
    /// The file without an end. It is never shared.
    pub fn progressive(gate: &Gate, admitted: &Admitted, query: &str) -> Self {
        let permit = &admitted.permit;
        let path = gate.http.path(permit.stream());
        Self {
            alone: format!("{path}{PROGRESSIVE}?{query}"),
            shared: None,
            asked: Directives::default(),
            names_playlist: false,
            links: LinkContext::of(permit),
            ticket: None,
        }
    }

    /// The playlist that a playback begins with: what its own link would ask for, so that both are one answer for all viewers.
    pub fn playlist(gate: &Gate, admitted: &Admitted, query: &Query<'_>, ticket: String) -> Self {
        let permit = &admitted.permit;
        let path = gate.http.playlist_path(permit.stream());
        let of_source = (permit.url().as_str(), permit.stream().as_str());
        let alone = query.for_source(of_source, |key| !is_added(key));
        let shared = [&path, "?", &query.for_source(of_source, |_| false)].concat();
        let mut links = LinkContext::of(permit);
        // Behind the signature as many directories as the path has slashes.
        links.to_ticket = "../".repeat(path.matches('/').count());
        let names_playlist = is_called_playlist(None, &path);
        Self {
            alone: [&path, "?", &alone].concat(),
            shared: Some(as_asked(&shared)),
            // That is for the media playlist to hear, which players reload.
            asked: Directives::default(),
            names_playlist,
            links,
            ticket: Some(ticket),
        }
    }

    /// What a playlist named, or why the gate did not offer that.
    pub fn link(
        seals: &SealKeys,
        owner: &Owner,
        facts: &Facts,
        query: Option<&str>,
        asked: LinkPath<'_>,
    ) -> Result<Self, Denial> {
        let named = asked.open(query, |target| {
            let link = Link {
                owner,
                stream: &facts.stream,
                definitions: asked.definitions,
                target,
            };
            link.is_signed(seals, asked.signature)
        });
        let Named {
            asked: target,
            is_usual,
        } = named.ok_or(Reason::Link)?;
        let LinkPath {
            definitions,
            path,
            depth,
            ..
        } = asked;
        let parameters = query.unwrap_or_default().split('&');
        let parameters = parameters.map(|one| one.split_once('=').unwrap_or((one, "")));
        let is_progressive = path.rsplit('/').next() == Some(PROGRESSIVE);
        let names_playlist = is_called_playlist(None, path);
        Ok(Self {
            shared: (is_usual && !is_progressive).then(|| target.clone()),
            alone: target,
            asked: Directives::read(parameters),
            names_playlist,
            links: LinkContext {
                owner: owner.clone(),
                stream: facts.stream.clone(),
                url: facts.url.to_string(),
                to_ticket: "../".repeat(depth),
                definitions: definitions.to_owned(),
                from_viewer: false,
            },
            ticket: None,
        })
    }

    /// The path on the media server.
    pub fn path(&self) -> &str {
        self.alone.split('?').next().unwrap_or_default()
    }

    /// Whether a playback begins with a playlist of the gate's, and the media server's is asked for by the link in it.
    pub fn is_to_be_asked_for_again(&self, form: Form) -> bool {
        self.ticket.is_some() && form == Form::Relative
    }

    /// What leads to the ticket from a playlist that this is answered with.
    pub fn to_ticket(&self) -> String {
        match &self.ticket {
            Some(ticket) => format!("~{ticket}/"),
            None => self.links.to_ticket.clone(),
        }
    }

    /// What makes two answers the same: this, and what is asked of a reload.
    pub fn key(&self, directives: Directives) -> CacheKey {
        let links = &self.links;
        CacheKey::new(&[
            links.owner.as_str(),
            links.stream.as_str(),
            // A playlist's links depend on these, too.
            &links.to_ticket,
            &links.definitions,
            &links.url,
            self.shared.as_ref().unwrap_or(&self.alone),
            &directives.added_to(""),
        ])
    }
}

/// How long the head of an answer may take that is asked for so, when that is longer than usual.
pub fn patience(directives: Directives, target: Option<Duration>) -> Duration {
    let target = target.filter(|_| directives.waits()).unwrap_or_default();
    target * BLOCKING_TARGETS
}

/// Whether a parameter is one that players add to the URL of a playlist (draft-pantos-hls-rfc8216bis, section 6.2.5).
fn is_added(key: &str) -> bool {
    key.starts_with("_HLS_")
}
