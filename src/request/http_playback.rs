//! The paths of HLS and of the progressive file, below `/h5live/authhttp/` (protocol.md 2). Matched byte for byte.

/// What all of them begin with.
const PREFIX: &str = "/h5live/authhttp/";

/// The playlist that a playback begins with.
pub const PLAYLIST: &str = "playlist.m3u8";

/// The file without an end.
pub const PROGRESSIVE: &str = "stream.mp4";

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpTarget<'a> {
    /// A playback is to begin, with [`PLAYLIST`]. The query has the token.
    Playlist,
    /// A playback is to begin, with [`PROGRESSIVE`]. The query has the token.
    Progressive,
    /// A playback goes on with what a playlist named: `~TICKET/SIG/PATH`.
    Link(LinkPath<'a>),
}

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

impl<'a> HttpTarget<'a> {
    /// Reads a path; `None` when it is not one of these.
    #[must_use]
    pub fn read(path: &'a str) -> Option<Self> {
        match path.strip_prefix(PREFIX)? {
            PLAYLIST => Some(Self::Playlist),
            PROGRESSIVE => Some(Self::Progressive),
            rest => {
                let (ticket, rest) = rest.strip_prefix('~')?.split_once('/')?;
                let depth = rest.bytes().filter(|byte| *byte == b'/').count();
                let (signature, rest) = rest.split_once('/')?;
                let (definitions, path) = match rest.strip_prefix('~') {
                    Some(rest) => rest.split_once('/')?,
                    None => ("", rest),
                };
                Some(Self::Link(LinkPath {
                    ticket,
                    signature,
                    definitions,
                    path,
                    depth,
                }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_of_three_or_none() {
        let link = |definitions, path, depth| {
            Some(HttpTarget::Link(LinkPath {
                ticket: "T",
                signature: "S",
                definitions,
                path,
                depth,
            }))
        };
        for (path, target) in [
            ("playlist.m3u8", Some(HttpTarget::Playlist)),
            ("stream.mp4", Some(HttpTarget::Progressive)),
            ("~T/S/a.ts", link("", "a.ts", 1)),
            ("~T/S/a/b/c.ts", link("", "a/b/c.ts", 3)),
            ("~T/S/~D/a/c.m3u8", link("D", "a/c.m3u8", 3)),
            ("~T/S/~/~a.ts", link("", "~a.ts", 2)),
            ("~T/S//a.ts", link("", "/a.ts", 2)),
            ("~T/S/~D", None),
            ("", None),
            ("Playlist.m3u8", None),
            ("playlist.m3u8/", None),
            ("x.ts", None),
            ("~T", None),
            ("~T/", None),
            ("~T/playlist.m3u8", None),
            ("~T/a.ts", None),
            ("~T/stream.mp4", None),
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
