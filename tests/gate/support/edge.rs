//! A gate as far as playlists go: it rewrites them, a browser follows a link, and it opens what it has signed.

use std::cell::RefCell;
use std::hash::{DefaultHasher, Hash, Hasher};

use h5gate::hls::link::{LinkPath, Signature};
use h5gate::hls::playlist::{Context, Definitions, PlaylistError, Rewritten, rewrite};
use h5gate::request::query::{QueryError, guarded};
use percent_encoding::percent_decode_str;
use url::Url;

/// What every link leads below.
const BELOW: &str = "https://edge.example/h5live/authhttp/~T/";

/// The media server's host and port.
const MEDIA: &str = "media:8181";

/// Of the ticket.
const STREAM: &str = "abcde-one";
const SOURCE: &str = "rtmp://localhost/pl'ay";

/// One playlist's place.
#[derive(Clone, Debug)]
pub(crate) struct Edge {
    /// What the viewer asked for, behind `~T/`.
    pub(crate) asked: String,
    /// What the media server was asked for.
    pub(crate) path: String,
    /// With this query.
    pub(crate) query: String,
}

/// What was signed: definitions, encoded, and target.
pub(crate) type Signed = Vec<(String, String)>;

impl Edge {
    /// Rewrites a playlist; the media server is `media:8181`, the stream `abcde-one`, the source `rtmp://localhost/pl'ay`.
    pub(crate) fn rewrite(&self, text: &[u8]) -> Result<(Rewritten, Signed), PlaylistError> {
        let signed = RefCell::new(Signed::new());
        // a=b and i=j, and t from a query.
        let imported = Definitions::decode("YT1iCmk9agp0P3UK")?;
        let asked = self.asked.split('?').next().unwrap_or_default();
        let to_ticket = "../".repeat(asked.matches('/').count());
        let rewritten = rewrite(
            text,
            &Context {
                path: &self.path,
                query: &self.query,
                is_viewers_query: true,
                to_ticket: &to_ticket,
                place: &to_ticket,
                is_ours: &|_, authority| authority == MEDIA,
                stream: STREAM,
                url: SOURCE,
                imported: &imported,
                sign: &|definitions, target| {
                    let pair = (definitions.to_owned(), target.to_owned());
                    signed.borrow_mut().push(pair);
                    sign(definitions, target)
                },
            },
        )?;
        Ok((rewritten, signed.into_inner()))
    }

    /// Where the viewer got the playlist.
    pub(crate) fn base(&self) -> Url {
        let base = Url::parse(BELOW).expect("an address");
        base.join(&self.asked).expect("an address below it")
    }

    /// What a browser asks for, behind `~T/`; `None` when it goes elsewhere.
    pub(crate) fn browser_asks(&self, link: &str) -> Option<String> {
        request(&self.base().join(link).ok()?)
    }

    /// Where a URI leads that the gate left alone, for a player that has the playlist from the media server itself. `None`
    /// when that is another server.
    pub(crate) fn meant_by(&self, uri: &str) -> Option<Place> {
        let Self { path, query, .. } = self;
        let base = Url::parse(&format!("http://{MEDIA}{path}?{query}")).expect("an address");
        let address = base.join(&without_drives(uri)).ok()?;
        let authority = format!("{}:{}", address.host_str()?, address.port()?);
        let path = address.path().strip_prefix('/')?;
        let place = Place::read(path, address.query());
        (authority == MEDIA).then_some(place.of_the_ticket())
    }
}

/// `url` takes a segment `x:` or `x|` for a drive, whatever the scheme, and `..` does not lead out of one. Browsers do so
/// with `file:` alone, so here such a segment is escaped.
fn without_drives(uri: &str) -> String {
    let mut kept = String::new();
    for (at, segment) in uri.split_inclusive(['/', '\\']).enumerate() {
        match segment.as_bytes() {
            [letter, mark @ (b':' | b'|'), b'/' | b'\\'] if letter.is_ascii_alphabetic() => {
                let is_scheme = at == 0 && *mark == b':';
                let escaped = segment.replace(':', "%3A").replace('|', "%7C");
                kept += if is_scheme { segment } else { &escaped };
            }
            _ => kept += segment,
        }
    }
    kept
}

/// Where on a media server something is, in whatever spelling: escapes are decoded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// What stands between the slashes of the path.
    segments: Vec<Vec<u8>>,
    /// Of the query, if there is one.
    parameters: Option<Vec<Parameter>>,
}

/// `&` or `;`, which some servers read alike, and what follows.
#[derive(Debug, PartialEq, Eq)]
struct Parameter {
    separator: char,
    key: Vec<u8>,
    value: Option<Vec<u8>>,
}

impl Place {
    /// What a request for a link asks the media server for, as [`Edge::browser_asks`] has it.
    pub(crate) fn asked_for(request: &str) -> Self {
        let (path, query) = match request.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (request, None),
        };
        let (_signature, behind) = path.split_once('/').expect("a signature");
        let path = match behind.strip_prefix('~') {
            Some(behind) => behind.split_once('/').expect("definitions").1,
            None => behind,
        };
        Self::read(path, query)
    }

    fn read(path: &str, query: Option<&str>) -> Self {
        Self {
            segments: path.split('/').map(decoded).collect(),
            parameters: query.map(|query| {
                let separators = std::iter::once('&').chain(query.chars().filter(is_separator));
                let parameters = query.split(|letter| is_separator(&letter));
                separators
                    .zip(parameters)
                    .map(|(separator, text)| Parameter::read(separator, text))
                    .collect()
            }),
        }
    }

    /// Where a query says anything of the stream or of security, that goes, and the ticket's source and stream come first.
    fn of_the_ticket(mut self) -> Self {
        let Some(parameters) = self
            .parameters
            .take_if(|all| all.iter().any(Parameter::is_guarded))
        else {
            return self;
        };
        let front = [("url", SOURCE), ("stream", STREAM)].map(|(key, value)| Parameter {
            separator: '&',
            key: key.into(),
            value: Some(value.into()),
        });
        let mut kept = Vec::from(front);
        let mut apart = true; // from what stood before it
        for mut parameter in parameters {
            if parameter.is_guarded() {
                apart = true;
                continue;
            }
            if std::mem::take(&mut apart) {
                parameter.separator = '&';
            }
            kept.push(parameter);
        }
        self.parameters = Some(kept);
        self
    }
}

impl Parameter {
    fn read(separator: char, text: &str) -> Self {
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (text, None),
        };
        Self {
            separator,
            key: decoded(key),
            value: value.map(decoded),
        }
    }

    /// Whether some server takes it for a guarded one: a `+` may be a space and a NUL the end, blanks and control
    /// characters around it may count for nothing, and U+017F is an `s` to those who fold letters as Unicode does.
    fn is_guarded(&self) -> bool {
        let key = String::from_utf8_lossy(&self.key).replace('+', " ");
        let key = key.trim_matches(|c: char| c.is_whitespace() || c.is_control());
        let folded = key.to_uppercase().to_lowercase();
        match guarded(folded.split('\0').next().unwrap_or_default()) {
            Ok(Some(name)) | Err(QueryError::Spelling(name)) => {
                let ours = self
                    .value
                    .as_deref()
                    .is_some_and(|value| value.starts_with(b"h1."));
                matches!(name, "stream" | "url") || name == "token" && ours
            }
            Ok(None) | Err(_) => false,
        }
    }
}

fn is_separator(letter: &char) -> bool {
    matches!(letter, '&' | ';')
}

fn decoded(text: &str) -> Vec<u8> {
    percent_decode_str(text).collect()
}

/// Each URI that was rewritten, as it was written, and the link that became of it. Panics when anything else changed.
pub(crate) fn links<'t>(text: &'t [u8], rewritten: &'t [u8]) -> Vec<(&'t str, &'t str)> {
    let (old, new) = (pieces(text), pieces(rewritten));
    assert_eq!(old.len(), new.len(), "lines or quotes came or went");
    let mut links = Vec::new();
    for (old, new) in old.into_iter().zip(new).filter(|(old, new)| old != new) {
        let (Piece::MayBeUri(old), Piece::MayBeUri(new)) = (old, new) else {
            panic!("{old:?} became {new:?}");
        };
        let text = |bytes| str::from_utf8(bytes).expect("a URI and a link are UTF-8");
        links.push((text(old), text(new)));
    }
    links
}

/// A stretch of a playlist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'t> {
    /// A line that is no tag, or what stands between the quotes of one.
    MayBeUri(&'t [u8]),
    /// Anything else.
    Fixed(&'t [u8]),
}

/// Takes a playlist apart at the ends of its lines and at the quotes of its tags.
pub(crate) fn pieces(text: &[u8]) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    for line in text.split(|&b| b == b'\n') {
        let body = line.strip_suffix(b"\r").unwrap_or(line);
        let prefetch = b"#EXT-X-PREFETCH:";
        if let Some(uri) = body.strip_prefix(prefetch) {
            pieces.extend([Piece::Fixed(prefetch), Piece::MayBeUri(uri)]);
        } else if body.starts_with(b"#") {
            let kinds = [Piece::Fixed, Piece::MayBeUri].into_iter().cycle();
            let parts = body.split(|&b| b == b'"');
            pieces.extend(parts.zip(kinds).map(|(part, kind)| kind(part)));
        } else {
            pieces.push(Piece::MayBeUri(body));
        }
        pieces.push(Piece::Fixed(line.get(body.len()..).unwrap_or_default()));
    }
    pieces
}

/// What a request for an address is, behind `~T/`; `None` for one that goes elsewhere.
pub(crate) fn request(address: &Url) -> Option<String> {
    let mut address = address.clone();
    address.set_fragment(None);
    Some(address.as_str().strip_prefix(BELOW)?.to_owned())
}

/// What a request means, if it was signed.
pub(crate) fn open(request: &str, signed: &Signed) -> Option<(String, String)> {
    let (path, query) = request
        .split_once('?')
        .map_or((request, None), |(path, query)| (path, Some(query)));
    let path = format!("T/{path}");
    let link = LinkPath::read(&path)?;
    let meant = RefCell::default();
    let is_signed = |target: &str| {
        target.clone_into(&mut meant.borrow_mut());
        let signature = sign(link.definitions, target);
        signature.as_bytes() == link.signature.as_bytes()
    };
    link.open(query, is_signed)?;
    let meant = (link.definitions.to_owned(), meant.into_inner());
    let is_known = signed.contains(&meant);
    // How the link's query was spelled is no part of what is asked for.
    let (definitions, target) = meant;
    let target = target.split('#').next().unwrap_or_default().to_owned();
    is_known.then_some((definitions, target))
}

/// No MAC, but another one for everything.
fn sign(definitions: &str, target: &str) -> Signature {
    let hash = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, definitions, target).hash(&mut hasher);
        u128::from(hasher.finish())
    };
    Signature::new((hash(0) << 64 | hash(1)).to_be_bytes())
}
