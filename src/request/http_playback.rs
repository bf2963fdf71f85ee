//! The paths of HLS and of the progressive file, below `/h5live/authhttp/` (protocol.md 2). Those that a playback begins with are
//! matched byte for byte.

use std::borrow::Cow;

use super::percent::normal_path;

/// What all of them begin with.
const PREFIX: &str = "/h5live/authhttp/";

/// The playlist that a playback begins with.
pub const PLAYLIST: &str = "playlist.m3u8";

/// The file without an end.
pub const PROGRESSIVE: &str = "stream.mp4";

/// What a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpTarget<'a> {
    /// A playback is to begin, with [`PLAYLIST`]. The query has the token.
    Playlist,
    /// A playback is to begin, with [`PROGRESSIVE`]. The query has the token.
    Progressive,
    /// A playback goes on with what a playlist named: what stands behind `~` in the path's normal form, unread. Clients ask for
    /// a link in any spelling of it, with the `..` that has led from a playlist to it as well.
    Link(Cow<'a, str>),
}

impl<'a> HttpTarget<'a> {
    /// Reads a path; `None` when it is not one of these.
    #[must_use]
    pub fn read(path: &'a str) -> Option<Self> {
        if !is_normal(path) {
            let normal = normal_path(path);
            let link = normal.strip_prefix(PREFIX)?.strip_prefix('~')?;
            return Some(Self::Link(Cow::Owned(link.to_owned())));
        }
        match path.strip_prefix(PREFIX)? {
            PLAYLIST => Some(Self::Playlist),
            PROGRESSIVE => Some(Self::Progressive),
            rest => rest.strip_prefix('~').map(Cow::from).map(Self::Link),
        }
    }
}

/// Whether a path has nothing that a normal form might lack. The gate's own links have encoded bytes rarely.
fn is_normal(path: &str) -> bool {
    let bytes = path.as_bytes();
    let dot = |slash: usize| bytes.get(slash + 1) == Some(&b'.');
    memchr::memchr(b'%', bytes).is_none() && !memchr::memchr_iter(b'/', bytes).any(dot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_of_three_or_none() {
        let link = |path| Some(HttpTarget::Link(Cow::Borrowed(path)));
        for (path, target) in [
            ("playlist.m3u8", Some(HttpTarget::Playlist)),
            ("stream.mp4", Some(HttpTarget::Progressive)),
            ("~T/S/a.ts", link("T/S/a.ts")),
            ("~", link("")),
            ("%7eT/./S/%c3%bc%2D%41.ts", link("T/S/%C3%BC-A.ts")),
            ("~T/S/a/b.m3u8/../../../../~T/S/c.ts", link("T/S/c.ts")),
            ("x/..//~T/S", None),
            ("./playlist.m3u8", None),
            ("playlist%2Em3u8", None),
            ("~T/../playlist.m3u8", None),
            ("~T/../../authstream", None),
            ("", None),
            ("Playlist.m3u8", None),
            ("playlist.m3u8/", None),
            ("x.ts", None),
        ] {
            assert_eq!(
                HttpTarget::read(&format!("{PREFIX}{path}")),
                target,
                "{path}"
            );
        }
        assert_eq!(HttpTarget::read("/h5live/authstream"), None);
    }
}
