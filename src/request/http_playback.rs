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
    /// A playback goes on with what a playlist named: what stands behind `~`, unread.
    Link(&'a str),
}

impl<'a> HttpTarget<'a> {
    /// Reads a path; `None` when it is not one of these.
    #[must_use]
    pub fn read(path: &'a str) -> Option<Self> {
        match path.strip_prefix(PREFIX)? {
            PLAYLIST => Some(Self::Playlist),
            PROGRESSIVE => Some(Self::Progressive),
            rest => rest.strip_prefix('~').map(Self::Link),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_of_three_or_none() {
        for (path, target) in [
            ("playlist.m3u8", Some(HttpTarget::Playlist)),
            ("stream.mp4", Some(HttpTarget::Progressive)),
            ("~T/S/a.ts", Some(HttpTarget::Link("T/S/a.ts"))),
            ("~", Some(HttpTarget::Link(""))),
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
