//! The links of a playlist, one for each URI that leads to a media server.

use super::query::{append_child, front};
use super::resolve::{Reference, base, resolve};
use super::{Context, URI_LIMIT};
use crate::hls::link::{Written, write_target};
use crate::request::percent::{encode, in_query};

/// Makes links, one after the other, in the same buffers.
pub(super) struct Links<'a> {
    context: &'a Context<'a>,
    /// The playlist's own path.
    base: Option<String>,
    /// `url` and `stream` of the ticket, as a child's query begins.
    front: String,
    /// Path and query, as players will ask for them.
    link: String,
    scratch: String,
    target: String,
}

/// One link.
pub(super) struct Link<'l> {
    context: &'l Context<'l>,
    path_and_query: &'l str,
    target: &'l str,
    fragment: Option<&'l str>,
    /// Whether the file is `stream.mp4`.
    pub(super) is_progressive: bool,
}

impl<'a> Links<'a> {
    pub(super) fn new(context: &'a Context<'a>) -> Self {
        Self {
            context,
            base: base(context.path),
            front: front(context.url, context.stream),
            link: String::new(),
            scratch: String::new(),
            target: String::new(),
        }
    }

    /// The link for a URI that leads to a media server.
    pub(super) fn find<'l>(&'l mut self, uri: &'l str) -> Option<Link<'l>> {
        let context = self.context;
        let Reference { query, fragment } =
            resolve(uri, self.base.as_deref(), context.is_ours, &mut self.link)?;
        let file = self.link.rsplit('/').next();
        let is_progressive = file == Some("stream.mp4");
        if let Some(query) = query {
            append_child(query, &self.front, &mut self.scratch, &mut self.link);
        }
        if self.link.len() > URI_LIMIT {
            return None;
        }
        let target = if query.is_some() {
            write_target(&self.link, &mut self.target);
            &self.target
        } else {
            &self.link
        };
        Some(Link {
            context,
            path_and_query: &self.link,
            target,
            fragment,
            is_progressive,
        })
    }

    /// How much was written for the last URI.
    pub(super) fn written(&self) -> usize {
        self.link.len()
    }
}

impl<'l> Link<'l> {
    fn written(&self, definitions: &'l str) -> Written<'l> {
        Written {
            to_ticket: self.context.to_ticket,
            definitions,
            path_and_query: self.path_and_query,
            target: self.target,
        }
    }

    /// About how long [`Self::write`] will be; never less without a fragment.
    pub(super) fn len(&self, definitions: &'l str) -> usize {
        let fragment = self.fragment.map_or(0, |fragment| 3 * fragment.len());
        self.written(definitions).length() + "#".len() + fragment
    }

    /// Writes it, relative to the playlist.
    pub(super) fn write(&self, definitions: &'l str, out: &mut Vec<u8>) {
        let signature = (self.context.sign)(definitions, self.target);
        self.written(definitions).write(signature, out);
        if let Some(fragment) = self.fragment {
            let mut encoded = String::from("#");
            encode(fragment, in_query, &mut encoded);
            out.extend_from_slice(encoded.as_bytes());
        }
    }
}
