//! The form of links: how they are written, read and sealed.
//!
//! ```text
//! /h5live/authhttp/~TICKET/SIGNATURE[MARKS SPELLING]/PATH?QUERY
//! /h5live/authhttp/~TICKET/SIGNATURE[MARKS SPELLING]/~DEFINITIONS/PATH?QUERY
//! ```
//!
//! What stands behind the ticket is a link: a path and query of the media server, signed by the gate for one stream of one
//! organisation, so that it is the same for all viewers of the stream. A path leaves in the normal form of RFC 3986, section
//! 6.2.2, and is read in it: a client may ask for it in any spelling of the same form. What of a query is signed:
//! [`link_target`]. What players add to it (`_=1700000000`, `CMCD=…`), wherever and however often, is no part of
//! the link: behind the signature stands a mark for each parameter of the link's own, by which they are found. Players may
//! spell these anew; four characters behind the marks, which are signed, tell how the playlist spelled them.

mod context;
mod query;
mod seal;

pub use context::LinkContext;
pub use query::Mark;
#[allow(unused_imports, reason = "tests hold what is signed against it")]
pub use query::link_target;
pub(super) use query::write_target;
use query::{
    SPELLING_MARKS, append_for_server, append_signed, is_form, marks, marks_length, own, spelling,
    spelling_of,
};
pub use seal::{Link, Signature};

/// A path under a ticket, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkPath<'a> {
    /// The ticket, unread.
    pub ticket: &'a str,
    /// The signature, unread.
    pub signature: &'a str,
    /// Of the parameters that are the link's own.
    pub marks: &'a [Mark],
    /// How the playlist spelled them; empty without any.
    pub spelling: &'a [Mark],
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
    /// Whether the query is spelled as the playlist has it, or as form encoding does it, which players use. The answer to
    /// another spelling is its viewer's alone: it may be another one, and there is no end of them.
    pub is_usual: bool,
}

/// A path and query as a link of the gate's asks for them.
#[must_use]
pub fn as_asked(path_and_query: &str) -> String {
    query::for_server(path_and_query)
}

impl<'a> LinkPath<'a> {
    /// Reads what stands behind the first `~`; `None` when it has not the form of a link.
    #[must_use]
    pub fn read(path: &'a str) -> Option<Self> {
        let (ticket, rest) = path.split_once('/')?;
        let depth = rest.bytes().filter(|byte| *byte == b'/').count();
        let (signature, rest) = rest.split_once('/')?;
        let (signature, marks) = signature
            .split_at_checked(Signature::LENGTH)
            .unwrap_or((signature, ""));
        let (marks, _) = marks.as_bytes().as_chunks();
        let own = marks.len().saturating_sub(SPELLING_MARKS);
        let (marks, spelling) = marks.split_at_checked(own).unwrap_or_default();
        let (definitions, path) = match rest.strip_prefix('~') {
            Some(rest) => rest.split_once('/')?,
            None => ("", rest),
        };
        Some(Self {
            ticket,
            signature,
            marks,
            spelling,
            definitions,
            path,
            depth,
        })
    }

    /// What it leads to with this query, when `is_signed` says so of a target that may be meant.
    pub fn open(&self, query: Option<&str>, is_signed: impl Fn(&str) -> bool) -> Option<Named> {
        let path = self.path;
        own(query.unwrap_or_default(), self.marks).find_map(|own| {
            let mut target = path.to_owned();
            append_signed(own.iter().copied(), &mut target);
            let signed = target.len();
            if !own.is_empty() {
                target.push('#');
                target.extend(self.spelling.as_flattened().iter().copied().map(char::from));
            }
            is_signed(&target).then(|| {
                let mut asked = format!("/{path}");
                append_for_server(own.iter().copied(), &mut asked);
                let query = asked.get(1 + path.len()..).unwrap_or_default();
                let is_usual = own.is_empty()
                    || spelling(query).as_slice() == self.spelling.as_flattened()
                    || is_form(query, target.get(path.len()..signed).unwrap_or_default());
                Named { asked, is_usual }
            })
        })
    }
}

/// A link that is to be written.
#[derive(Clone, Copy, Debug)]
pub struct Written<'a> {
    /// What leads from where it stands to the directory `~TICKET/`.
    pub to_ticket: &'a str,
    /// The definitions that go with it, encoded.
    pub definitions: &'a str,
    /// Path and query as players are to ask for them; without a leading `/`.
    pub path_and_query: &'a str,
    /// Their [`link_target`].
    pub target: &'a str,
}

impl Written<'_> {
    /// How many bytes it takes, at most.
    #[must_use]
    pub fn length(&self) -> usize {
        let signature = Signature::LENGTH + marks_length(self.target);
        let fixed = self.to_ticket.len() + signature + "/~/".len();
        fixed + self.definitions.len() + self.path_and_query.len()
    }

    /// Appends it.
    pub fn write(&self, signature: Signature, out: &mut Vec<u8>) {
        out.extend_from_slice(self.to_ticket.as_bytes());
        out.extend_from_slice(signature.as_bytes());
        marks(self.target).for_each(|mark| out.extend_from_slice(&mark));
        out.extend_from_slice(spelling_of(self.target).as_bytes());
        out.push(b'/');
        // A path that begins with `~` would be taken for definitions.
        if !self.definitions.is_empty() || self.path_and_query.starts_with('~') {
            out.push(b'~');
            out.extend_from_slice(self.definitions.as_bytes());
            out.push(b'/');
        }
        out.extend_from_slice(self.path_and_query.as_bytes());
    }
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
                marks: &[],
                spelling: &[],
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
        let path = format!("T/{}aBcDefghi/1.ts", "S".repeat(22));
        let link = LinkPath::read(&path).unwrap();
        assert_eq!(
            (link.signature.len(), link.marks, link.spelling),
            (22, &[*b"aB", *b"cD"][..], &[*b"ef", *b"gh"][..])
        );
    }
}
