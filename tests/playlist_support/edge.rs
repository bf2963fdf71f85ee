//! A gate as far as playlists go: it rewrites them, a browser follows a link, and it opens what it has signed.

use std::hash::{DefaultHasher, Hash, Hasher};

use h5gate::relay::playlist::{
    Context, Definitions, PlaylistError, Rewritten, Signature, link_target, rewrite,
};
use h5gate::request::http_playback::{HttpTarget, LinkPath};
use url::Url;

/// What every link leads below.
const BELOW: &str = "https://edge.example/h5live/authhttp/~T/";

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
        let signed = std::cell::RefCell::new(Signed::new());
        // a=b and i=j, and t from a query.
        let imported = Definitions::decode("YT1iCmk9agp0P3UK")?;
        let asked = self.asked.split('?').next().unwrap_or_default();
        let to_ticket = "../".repeat(asked.matches('/').count());
        let rewritten = rewrite(
            text,
            &Context {
                path: &self.path,
                query: &self.query,
                to_ticket: &to_ticket,
                is_ours: &|_, authority| authority == "media:8181",
                stream: "abcde-one",
                url: "rtmp://localhost/pl'ay",
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
    let path = format!("/h5live/authhttp/~T/{path}");
    let HttpTarget::Link(LinkPath {
        signature,
        definitions,
        path,
        ..
    }) = HttpTarget::read(&path)?
    else {
        return None;
    };
    let link = query.map_or(path.to_owned(), |query| format!("{path}?{query}"));
    let target = link_target(&link);
    let verifies = sign(definitions, &target).as_bytes() == signature.as_bytes();
    let meant = (definitions.to_owned(), target.into_owned());
    (verifies && signed.contains(&meant)).then_some(meant)
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
