//! Links: `SIG/PATH?QUERY`, or `SIG/~DEFINITIONS/PATH?QUERY`, relative to `~TICKET/`.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::encoding::{encode, in_query};
use super::query::{append_child, append_signed, front};
use super::resolve::{Reference, base, resolve};
use super::{Context, URI_LIMIT};

/// A link's MAC as 22 characters of base64url.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature([u8; Signature::LENGTH]);

impl Signature {
    /// Its length in a link.
    pub const LENGTH: usize = 22;

    /// Writes down the first 128 bits of a MAC.
    #[must_use]
    pub fn new(mac: [u8; 16]) -> Self {
        let mut text = [b'A'; Self::LENGTH];
        // 16 bytes are 22 characters, so it cannot fail.
        let _ = URL_SAFE_NO_PAD.encode_slice(mac, &mut text);
        Self(text)
    }

    /// The characters. To be compared in constant time.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

/// What of a link's path and query is signed, and what of a request's is compared with it.
///
/// The path stands for itself, byte for byte. Of the query, parameters whose name begins with `_HLS_` are left out, since
/// players add them (draft-pantos-hls-rfc8216bis, section 6.2.5); and players that add them spell the others anew
/// (hls.js by `URLSearchParams`: `a:b%20c` becomes `a%3Ab+c`), so all spellings that form encoding reads alike are one:
/// `%41` is `A`, `+` is `%20`, `a` is `a=`, empty parameters are nothing. A raw `;` is not `%3B`, because some servers
/// separate parameters by it. This is no address: the media server is asked with what the player sent.
#[must_use]
pub fn link_target(path_and_query: &str) -> Cow<'_, str> {
    if !path_and_query.contains('?') {
        return Cow::Borrowed(path_and_query);
    }
    let mut target = String::with_capacity(path_and_query.len());
    write_target(path_and_query, &mut target);
    if target == path_and_query {
        Cow::Borrowed(path_and_query)
    } else {
        Cow::Owned(target)
    }
}

fn write_target(path_and_query: &str, out: &mut String) {
    out.clear();
    match path_and_query.split_once('?') {
        Some((path, query)) => {
            out.push_str(path);
            append_signed(query, out);
        }
        None => out.push_str(path_and_query),
    }
}

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

impl Link<'_> {
    /// About how long [`Self::write`] will be; never less without a fragment.
    pub(super) fn len(&self, definitions: &str) -> usize {
        let fragment = self.fragment.map_or(0, |fragment| 3 * fragment.len());
        let fixed = self.context.to_ticket.len() + Signature::LENGTH + "/~/#".len();
        fixed + definitions.len() + self.path_and_query.len() + fragment
    }

    /// Writes it, relative to the playlist.
    pub(super) fn write(&self, definitions: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(self.context.to_ticket.as_bytes());
        out.extend_from_slice((self.context.sign)(definitions, self.target).as_bytes());
        out.push(b'/');
        // A path that begins with `~` would be taken for definitions.
        if !definitions.is_empty() || self.path_and_query.starts_with('~') {
            out.push(b'~');
            out.extend_from_slice(definitions.as_bytes());
            out.push(b'/');
        }
        out.extend_from_slice(self.path_and_query.as_bytes());
        if let Some(fragment) = self.fragment {
            let mut encoded = String::from("#");
            encode(fragment, in_query, &mut encoded);
            out.extend_from_slice(encoded.as_bytes());
        }
    }
}
