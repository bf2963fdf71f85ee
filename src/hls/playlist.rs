//! Rewrites an HLS playlist so that all that a viewer loads comes through the gate, and only what the media server named.
//!
//! A URI that resolves to a configured media server becomes `SIG/PATH?QUERY`, relative to the directory `~TICKET/`: SIG
//! says that the gate itself wrote it. All else goes on byte for byte: line ends, comments, unknown tags, other hosts,
//! other schemes. The tags are those of draft-pantos-hls-rfc8216bis-14, the preloads of Apple's players, EXT-X-IMAGE-STREAM-INF
//! and EXT-X-PREFETCH.
//!
//! What is left as it is cannot be loaded through the gate, so in doubt a URI is left as it is:
//! - A path that two readers could read differently: `%2F`, `%5C`, `%2E%2E`, `..;x`, or `//` at its start.
//! - An attribute list that is malformed, an attribute that occurs twice or without quotes.
//! - A URI with a variable that is not defined, one longer than [`URI_LIMIT`], an authority with `@`.
//!
//! A link is spelled so that every player asks for exactly what was signed: in the normal form of RFC 3986, section 6.2.2,
//! `'` in a query encoded as well (browsers do), a `\` in a path as the `/` that browsers read. Blanks around a
//! URI go away with it. One byte order mark before `#EXTM3U` is allowed and kept, since players skip it.
//!
//! # What a viewer can do
//!
//! A media server may write a viewer's query into a playlist, decoded. Guarded here:
//! - `stream`, `url` and a token of the gate's in a child's query, in any spelling that some server reads so: they are removed,
//!   and `stream` and `url` of the ticket put at the front. `;` parts parameters as well as `&`. All other parameters are the
//!   media server's own and go back to it, `token` and `expires` of its own signature among them.
//! - A quote that adds a second `URI` to a tag: the tag is left as it is.
//! - EXT-X-DEFINE with QUERYPARAM: such a value gets into a link's query and never into its path, whether it comes
//!   directly, within a VALUE or by IMPORT, unless it is the ticket's own `stream` or `url`.
//!
//! Not guarded, since it cannot be told from what the media server means: a query written into the path of a URI; a
//! decoded quote in another attribute of a tag with no `URI` yet; a decoded line end. The last is kept out by the reader
//! of queries, which refuses control characters. A media server is trusted with what it names: it may name any path of
//! its own. What a link leads to is not looked at here: URIs in the JSON of content steering, of asset lists and of chapters, or
//! in a DASH manifest, are not rewritten.
//!
//! Work and memory are linear in the text, with [`GROWTH_LIMIT`] for what short URIs grow into.

mod attributes;
mod definitions;
mod links;
mod of_one;
mod query;
mod reload;
mod resolve;

pub use definitions::Definitions;
pub use of_one::of_one;
pub use reload::{Directives, Reach, Reload};

use std::ops::Range;
use std::time::Duration;

use attributes::{Meaning, Says, TagLine, find};
use definitions::Substituted;
use links::Links;

use super::link::Signature;

/// The longest URI that becomes a link, variables filled in; about what a request line may have.
pub const URI_LIMIT: usize = 8 * 1024;

/// How many bytes more than it has a text may cost, in links and filled-in variables.
pub const GROWTH_LIMIT: usize = 16 * 1024 * 1024;

/// The most EXT-X-DEFINE that are read.
const DEFINE_LIMIT: usize = 256;

/// The longest target duration that is believed, in seconds.
const TARGET_DURATION_LIMIT: f64 = 3_600.0;

/// Where a playlist comes from, and the playback that it is rewritten for.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Its path as the media server was asked, after redirects: absolute, percent-encoded, without the query.
    pub path: &'a str,
    /// Its query as the media server was asked, without `?`; empty when there is none.
    pub query: &'a str,
    /// Whether that is the viewer's own query, security keys included, and not one that a media server has named.
    pub is_viewers_query: bool,
    /// What leads from this playlist to the directory `~TICKET/`: one `../` for each directory below it.
    pub to_ticket: &'a str,
    /// What stands for that in a playlist that a playback may begin with, whose links the ticket is put into.
    pub place: &'a str,
    /// Whether a scheme (`http` or `https`) and an authority (`host` or `host:port`, as written) are a configured media
    /// server's. Asked with both schemes for a URI without one.
    pub is_ours: &'a dyn Fn(&str, &str) -> bool,
    /// The ticket's stream, decoded.
    pub stream: &'a str,
    /// The ticket's source, decoded.
    pub url: &'a str,
    /// What came with this playlist's own link; for IMPORT.
    pub imported: &'a Definitions,
    /// The MAC over a link: over its definitions, encoded (empty when there are none), and its [`link_target`](super::link::link_target). It must
    /// keep the two apart.
    pub sign: &'a dyn Fn(&str, &str) -> Signature,
}

/// Which of the two a playlist is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It names playlists.
    Multivariant,
    /// It names segments; also one that names nothing.
    Media,
}

/// How a rewritten playlist leads to the ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// By relative links, which are the same for all viewers: a media playlist below a ticket. A playback that begins with it
    /// begins with a multivariant playlist of the gate's, `of_one`.
    Relative,
    /// By links with places for the ticket: a multivariant playlist, or a media playlist of `stream.mp4` alone.
    Places {
        /// How many.
        count: usize,
    },
}

/// A rewritten playlist and what the gate wants to know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewritten {
    /// The text for the viewer.
    pub text: Vec<u8>,
    /// Which of the two it is.
    pub kind: Kind,
    /// How its links lead to the ticket.
    pub form: Form,
    /// EXT-X-TARGETDURATION, at most an hour; `None` when absent or no number.
    pub target_duration: Option<Duration>,
    /// EXT-X-ENDLIST: it will not change.
    pub ended: bool,
    /// Of a media playlist: what its next reload may ask for.
    pub reload: Reload,
    /// A link's file is `stream.mp4`, an endless file and no segment (protocol.md 2).
    pub names_progressive: bool,
    /// EXT-X-DEFINE with QUERYPARAM: players read it with the query that they asked with.
    pub depends_on_query: bool,
}

/// Why a text cannot be rewritten. Always the media server's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaylistError {
    /// It does not begin with `#EXTM3U`.
    #[error("does not begin with #EXTM3U")]
    NotAPlaylist,
    /// A URI that is no UTF-8.
    #[error("a URI is no UTF-8")]
    NotUtf8,
    /// A control character in a URI, NUL among them.
    #[error("a control character in a URI")]
    Control,
    /// More than the 256 EXT-X-DEFINE that are read, definitions for media playlists of more than
    /// 1,024 characters, or, when decoding, no definitions.
    #[error("too many definitions, or none of ours")]
    Definitions,
    /// Its links grow beyond [`GROWTH_LIMIT`].
    #[error("the links grow too long")]
    TooLong,
}

/// Rewrites a playlist. Bytes in, bytes out: no UTF-8 is asked of what is no URI.
pub fn rewrite(text: &[u8], context: &Context<'_>) -> Result<Rewritten, PlaylistError> {
    let body = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    if !body.starts_with(b"#EXTM3U") {
        return Err(PlaylistError::NotAPlaylist);
    }
    let first = Rewriter::new(text, context, "").run()?;
    let is_multivariant = first.rewritten.kind == Kind::Multivariant;
    let is_progressive = first.rewritten.names_progressive && first.links == 1;
    if !is_multivariant && !is_progressive {
        return Ok(first.rewritten);
    }
    // What it is, and all definitions, which are handed to its media playlists, are known only at the end.
    let handed = match is_multivariant {
        true => first.definitions.encode()?,
        false => String::new(),
    };
    let context = Context {
        to_ticket: context.place,
        ..*context
    };
    let second = Rewriter::new(text, &context, &handed).run()?;
    let form = Form::Places {
        count: second.links,
    };
    Ok(Rewritten {
        form,
        ..second.rewritten
    })
}

/// What a URI leads to, which decides the definitions that go with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leads {
    /// To no playlist that could import.
    Elsewhere,
    /// To a part of a segment.
    Part,
    /// To a media playlist of this multivariant playlist.
    ToMedia,
    /// To another media playlist beside this one: spelled as the multivariant playlist does, since players compare.
    ToSibling,
}

struct Done {
    rewritten: Rewritten,
    definitions: Definitions,
    links: usize,
}

/// One walk over the lines. What is untouched is copied in stretches.
struct Rewriter<'a> {
    text: &'a [u8],
    context: &'a Context<'a>,
    links: Links<'a>,
    handed: &'a str,
    /// `imported`, encoded when first needed.
    siblings: Option<String>,
    definitions: Definitions,
    /// EXT-X-DEFINE so far.
    defines: usize,
    /// Filled-in variables.
    filled: String,
    out: Vec<u8>,
    /// How much of the text is in `out`.
    copied: usize,
    /// How much may still be written beside the text.
    left: usize,
    multivariant: bool,
    media: bool,
    /// How many links were written.
    count: usize,
    rewritten: Rewritten,
}

impl<'a> Rewriter<'a> {
    fn new(text: &'a [u8], context: &'a Context<'a>, handed: &'a str) -> Self {
        Self {
            text,
            context,
            links: Links::new(context),
            handed,
            siblings: None,
            definitions: Definitions::default(),
            defines: 0,
            filled: String::new(),
            // Most of a live playlist's bytes are links, and a link is some times its URI.
            out: Vec::with_capacity((text.len() * 4).min(text.len() + 64 * 1024)),
            copied: 0,
            left: GROWTH_LIMIT,
            multivariant: false,
            media: false,
            count: 0,
            rewritten: Rewritten {
                text: Vec::new(),
                kind: Kind::Media,
                form: Form::Relative,
                target_duration: None,
                ended: false,
                reload: Reload::default(),
                names_progressive: false,
                depends_on_query: false,
            },
        }
    }

    fn run(mut self) -> Result<Done, PlaylistError> {
        // The first line is checked, and with a byte order mark it would look like a URI.
        let mut start = memchr::memchr(b'\n', self.text).map_or(self.text.len(), |end| end + 1);
        while let Some(rest) = self.text.get(start..).filter(|rest| !rest.is_empty()) {
            let length = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            let line = rest.get(..length).unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.first() == Some(&b'#') {
                self.tag(start, line)?;
            } else {
                self.uri(start..start + line.len(), Leads::ToMedia)?;
            }
            start += length + 1;
        }
        self.copy_until(self.text.len());
        self.rewritten.text = self.out;
        // Players look for segments first.
        if self.multivariant && !self.media {
            self.rewritten.kind = Kind::Multivariant;
        }
        Ok(Done {
            rewritten: self.rewritten,
            definitions: self.definitions,
            links: self.count,
        })
    }

    fn tag(&mut self, start: usize, line: &[u8]) -> Result<(), PlaylistError> {
        let Some(TagLine { name, value }) = TagLine::read(line) else {
            return Ok(());
        };
        match Meaning::of(name) {
            Meaning::Links { names, leads } => {
                self.multivariant |= leads == Leads::ToMedia;
                if leads == Leads::Part {
                    self.rewritten.reload.part();
                }
                let value_at = start + line.len() - value.len();
                let mut found = names.map(|name| find(value, name));
                found.sort_unstable_by_key(|found| found.as_ref().map(|range| range.start));
                for range in found.into_iter().flatten() {
                    self.uri(value_at + range.start..value_at + range.end, leads)?;
                }
            }
            Meaning::Prefetch => {
                self.media = true;
                self.uri(
                    start + line.len() - value.len()..start + line.len(),
                    Leads::Elsewhere,
                )?;
            }
            Meaning::Define => {
                self.defines += 1;
                if self.defines > DEFINE_LIMIT {
                    return Err(PlaylistError::Definitions);
                }
                let depends = self
                    .definitions
                    .define(value, self.context, &mut self.left)?;
                self.rewritten.depends_on_query |= depends;
            }
            Meaning::Multivariant => self.multivariant = true,
            Meaning::Segment => {
                self.media = true;
                self.rewritten.reload.segment();
            }
            Meaning::Reload(says) => {
                let reload = &mut self.rewritten.reload;
                match says {
                    Says::Start => reload.starts_at(value),
                    Says::Control => reload.control(value),
                    Says::PartTarget => reload.part_target(value),
                    Says::Skipped => reload.skipped(value),
                }
            }
            Meaning::TargetDuration => {
                self.media = true;
                self.rewritten.target_duration =
                    self.rewritten.target_duration.or_else(|| seconds(value));
            }
            Meaning::EndList => {
                self.rewritten.ended = true;
                self.rewritten.reload.end();
            }
            Meaning::Other => {}
        }
        Ok(())
    }

    /// Rewrites what stands at `range`, a URI line or an attribute's value without quotes, when it leads to a media server.
    fn uri(&mut self, range: Range<usize>, leads: Leads) -> Result<(), PlaylistError> {
        let raw = self.text.get(range.clone()).unwrap_or_default();
        let raw = std::str::from_utf8(raw).map_err(|_| PlaylistError::NotUtf8)?;
        let raw = raw.trim_matches([' ', '\t']);
        if has_control(raw) {
            return Err(PlaylistError::Control);
        }
        if raw.is_empty() || raw.len() > URI_LIMIT {
            return Ok(());
        }
        let filled = self.definitions.fill(raw, &mut self.filled);
        self.left = spend(self.left, self.filled.len())?;
        let uri = match filled {
            Substituted::AsItWas => raw,
            Substituted::Filled => self.filled.trim_matches(' '),
            Substituted::Impossible => return Ok(()),
        };
        let definitions = match leads {
            Leads::Elsewhere | Leads::Part => "",
            Leads::ToMedia => self.handed,
            Leads::ToSibling => match &mut self.siblings {
                Some(encoded) => encoded,
                siblings => siblings.insert(self.context.imported.encode()?),
            },
        };
        let Some(link) = self.links.find(uri) else {
            self.left = spend(self.left, self.links.written())?;
            return Ok(());
        };
        self.rewritten.names_progressive |= link.is_progressive;
        self.count += 1;
        self.left = spend(self.left, link.len(definitions))?;
        let before = self.text.get(self.copied..range.start);
        self.out.extend_from_slice(before.unwrap_or_default());
        self.copied = range.end;
        link.write(definitions, &mut self.out);
        Ok(())
    }

    fn copy_until(&mut self, end: usize) {
        let stretch = self.text.get(self.copied..end).unwrap_or_default();
        self.out.extend_from_slice(stretch);
        self.copied = end;
    }
}

fn has_control(text: &str) -> bool {
    // C1 controls are two bytes, the first of which is 0xC2.
    let suspect = |b: u8| b < 0x20 || b == 0x7f || b == 0xc2;
    // All of them, so that the compiler looks at sixteen at a time.
    text.bytes().fold(false, |found, b| found | suspect(b)) && text.chars().any(char::is_control)
}

fn spend(left: usize, bytes: usize) -> Result<usize, PlaylistError> {
    left.checked_sub(bytes).ok_or(PlaylistError::TooLong)
}

/// A decimal number of seconds; an integer by the book, a fraction from clumsy servers.
fn seconds(value: &[u8]) -> Option<Duration> {
    let number: f64 = std::str::from_utf8(value).ok()?.trim().parse().ok()?;
    if number.is_nan() {
        return None;
    }
    Duration::try_from_secs_f64(number.min(TARGET_DURATION_LIMIT)).ok()
}
