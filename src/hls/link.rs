//! The form of links: how they are written, read and sealed.
//!
//! ```text
//! /h5live/authhttp/~TICKET/SIGNATURE/PATH?QUERY
//! /h5live/authhttp/~TICKET/SIGNATURE/~DEFINITIONS/PATH?QUERY
//! ```
//!
//! What stands behind the ticket is a link: a path and query of the media server, signed by the gate for one stream of one
//! organisation, so that it is the same for all viewers of the stream. Paths are matched byte for byte. What of a query is
//! signed: [`link_target`].

mod context;
mod query;
mod seal;

pub use context::LinkContext;
pub(super) use query::write_target;
pub use query::{for_server, link_target};
pub use seal::{Link, Signature};

/// A path under a ticket, taken apart: `~TICKET/SIG/PATH` or `~TICKET/SIG/~DEFINITIONS/PATH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkPath<'a> {
    /// The ticket, unread.
    pub ticket: &'a str,
    /// The signature, unread.
    pub signature: &'a str,
    /// The definitions that the playlist handed on; empty without any.
    pub definitions: &'a str,
    /// The path on the media server, without its leading `/`.
    pub path: &'a str,
    /// How many segments stand between the ticket and the last `/`.
    pub depth: usize,
}

/// What a request asks a media server for by a link of the gate's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Path and query, as the media server is asked.
    pub asked: String,
    /// The same for all spellings of it: what was signed.
    pub target: String,
}

impl<'a> LinkPath<'a> {
    /// Reads what stands behind the first `~`; `None` when it has not the form of a link.
    #[must_use]
    pub fn read(path: &'a str) -> Option<Self> {
        let (ticket, rest) = path.split_once('/')?;
        let depth = rest.bytes().filter(|byte| *byte == b'/').count();
        let (signature, rest) = rest.split_once('/')?;
        let (definitions, path) = match rest.strip_prefix('~') {
            Some(rest) => rest.split_once('/')?,
            None => ("", rest),
        };
        Some(Self {
            ticket,
            signature,
            definitions,
            path,
            depth,
        })
    }

    /// What it leads to with this query, when `is_signed` says so of its target.
    pub fn open(&self, query: Option<&str>, is_signed: impl Fn(&str) -> bool) -> Option<Named> {
        let path = self.path;
        let whole = query.map_or(path.to_owned(), |query| format!("{path}?{query}"));
        let target = link_target(&whole);
        if !is_signed(&target) {
            return None;
        }
        let asked = match for_server(query.unwrap_or_default()) {
            query if query.is_empty() => format!("/{path}"),
            query => format!("/{path}?{query}"),
        };
        Some(Named {
            asked,
            target: target.into_owned(),
        })
    }
}

/// How many characters [`write`] adds to a path and query, at most.
#[must_use]
pub fn added_length(to_ticket: &str, definitions: &str) -> usize {
    to_ticket.len() + Signature::LENGTH + "/~/".len() + definitions.len()
}

/// Appends a link. `to_ticket` leads from where it stands to the directory `~TICKET/`; the definitions are encoded, and the
/// path has no leading `/`.
pub fn write(
    to_ticket: &str,
    signature: Signature,
    definitions: &str,
    path_and_query: &str,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(to_ticket.as_bytes());
    out.extend_from_slice(signature.as_bytes());
    out.push(b'/');
    // A path that begins with `~` would be taken for definitions.
    if !definitions.is_empty() || path_and_query.starts_with('~') {
        out.push(b'~');
        out.extend_from_slice(definitions.as_bytes());
        out.push(b'/');
    }
    out.extend_from_slice(path_and_query.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_link_or_none() {
        let link = |definitions, path, depth| {
            Some(LinkPath {
                ticket: "T",
                signature: "S",
                definitions,
                path,
                depth,
            })
        };
        for (path, read) in [
            ("T/S/a.ts", link("", "a.ts", 1)),
            ("T/S/a/b/c.ts", link("", "a/b/c.ts", 3)),
            ("T/S/~D/a/c.m3u8", link("D", "a/c.m3u8", 3)),
            ("T/S/~/~a.ts", link("", "~a.ts", 2)),
            ("T/S//a.ts", link("", "/a.ts", 2)),
            ("T/S/~D", None),
            ("T", None),
            ("T/", None),
            ("T/playlist.m3u8", None),
            ("T/a.ts", None),
            ("T/stream.mp4", None),
        ] {
            assert_eq!(LinkPath::read(path), read, "{path}");
        }
    }
}
