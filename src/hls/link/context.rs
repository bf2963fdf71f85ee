//! What the links of one playlist have in common.

use crate::decision::permit::Permit;
use crate::token::{Owner, StreamName};

use super::super::seal_keys::SealKeys;
use super::{Link, Signature};

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
    #[must_use]
    pub fn of(permit: &Permit) -> Self {
        Self {
            owner: permit.claims().owner.clone(),
            stream: permit.stream().clone(),
            url: permit.url().to_string(),
            to_ticket: String::new(),
            definitions: String::new(),
            from_viewer: true,
        }
    }

    /// The signature of one of its links: over the definitions, encoded, and the [`link_target`](super::link_target).
    #[must_use]
    pub fn sign(&self, seals: &SealKeys, definitions: &str, target: &str) -> Signature {
        let link = Link {
            owner: &self.owner,
            stream: &self.stream,
            definitions,
            target,
        };
        link.sign(seals)
    }
}
