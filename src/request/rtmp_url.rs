//! The sources that a viewer may name. `url` is covered by no claim, so it is never the viewer's to choose.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A configured RTMP URL, in the operator's spelling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtmpUrl(Arc<str>);

impl RtmpUrl {
    /// The operator's spelling.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RtmpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A text that is no RTMP URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an RTMP URL such as rtmp://localhost/play")]
pub struct NotRtmp;

impl FromStr for RtmpUrl {
    type Err = NotRtmp;
    fn from_str(text: &str) -> Result<Self, NotRtmp> {
        let Canonical { host, path, .. } = Canonical::of(text).ok_or(NotRtmp)?;
        let plain = |b: u8| b.is_ascii_graphic() && b != b'%';
        if host.is_empty() || path.is_empty() || !text.bytes().all(plain) {
            return Err(NotRtmp);
        }
        Ok(Self(text.into()))
    }
}

/// A source that is none of the configured ones, as the log may have it: without a name and a password, without a query,
/// and no longer than a line. A page that is set up for another place names such a source in every request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unlisted(Box<str>);

/// Bytes of it that are kept.
const UNLISTED_LIMIT: usize = 200;

impl Unlisted {
    fn of(given: &str) -> Self {
        let given = given.split(['?', '#']).next().unwrap_or_default();
        let (scheme, rest) = given.split_at(given.find("://").map_or(0, |at| at + 3));
        // Where it is no URL, any part may be meant for a password.
        let host_ends = rest.find('/').filter(|_| !scheme.is_empty());
        let (authority, path) = rest.split_at(host_ends.unwrap_or(rest.len()));
        let host = authority.rsplit('@').next().unwrap_or_default();
        let mut text = format!("{scheme}{host}{path}");
        text.truncate(text.floor_char_boundary(UNLISTED_LIMIT));
        Self(text.into())
    }
}

impl fmt::Display for Unlisted {
    /// Quoted, and escaped where it would not be one line of text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// All configured sources.
#[derive(Clone, Debug)]
pub struct RtmpUrls(Vec<RtmpUrl>);

impl RtmpUrls {
    /// From what is configured.
    #[must_use]
    pub fn new(urls: Vec<RtmpUrl>) -> Self {
        Self(urls)
    }

    /// All of them, in the operator's order.
    pub fn iter(&self) -> impl Iterator<Item = &RtmpUrl> {
        self.0.iter()
    }

    /// The first configured source.
    #[must_use]
    pub fn first(&self) -> Option<&RtmpUrl> {
        self.0.first()
    }

    /// The configured source that `given` means: scheme and host in any letter case, port 1935 may be written; all else
    /// byte for byte.
    pub fn find(&self, given: &str) -> Result<RtmpUrl, Unlisted> {
        // As most players have it.
        if let Some(url) = self.0.iter().find(|url| url.as_str() == given) {
            return Ok(url.clone());
        }
        let meant = Canonical::of(given).and_then(|given| {
            let mut urls = self.0.iter();
            urls.find(|url| Canonical::of(url.as_str()).is_some_and(|url| url.means(&given)))
        });
        meant.cloned().ok_or_else(|| Unlisted::of(given))
    }
}

struct Canonical<'a> {
    scheme: &'a str,
    host: &'a str,
    path: &'a str,
}

impl<'a> Canonical<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let known = ["rtmp", "rtmps", "rtmpt"];
        if !known.iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
            return None;
        }
        let (authority, path) = rest.split_at(rest.find('/')?);
        let host = authority.strip_suffix(":1935").unwrap_or(authority);
        Some(Self { scheme, host, path })
    }

    fn means(&self, other: &Self) -> bool {
        self.scheme.eq_ignore_ascii_case(other.scheme)
            && self.host.eq_ignore_ascii_case(other.host)
            && self.path == other.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_one_that_the_operator_named() {
        let urls = RtmpUrls::new(vec![
            "rtmp://localhost/play".parse().unwrap(),
            "rtmp://B.test:1936/x".parse().unwrap(),
        ]);
        for same in [
            "rtmp://localhost/play",
            "RTMP://LocalHost/play",
            "rtmp://localhost:1935/play",
        ] {
            assert_eq!(
                urls.find(same).unwrap().as_str(),
                "rtmp://localhost/play",
                "{same}"
            );
        }
        assert_eq!(
            urls.find("rtmp://b.test:1936/x").unwrap().as_str(),
            "rtmp://B.test:1936/x"
        );
        for other in [
            "rtmp://localhost/Play",
            "rtmp://localhost/play/",
            "rtmp://localhost/splay",
            "rtmp://localhost:1936/play",
            "rtmps://localhost/play",
            "rtmp://user@localhost/play",
            "rtmp://localhost/play?x",
            "rtmp://evil.test/play",
            "localhost/play",
            "rtmp://localhost",
            "",
            "rtmp://localhost/play ",
            "rtmp://localhost/./play",
        ] {
            assert!(urls.find(other).is_err(), "{other}");
        }
    }

    #[test]
    fn what_is_logged_of_another_source_is_a_line_without_secrets() {
        let urls = RtmpUrls::new(vec!["rtmp://localhost/play".parse().unwrap()]);
        let logged = |given: &str| urls.find(given).unwrap_err().to_string();
        for (given, expected) in [
            (
                "rtmp://bintu-splay.nanocosmos.de:80/splay",
                "\"rtmp://bintu-splay.nanocosmos.de:80/splay\"",
            ),
            ("rtmp://u:p@h/a@b", "\"rtmp://h/a@b\""),
            ("rtmp://u:p@@h/a", "\"rtmp://h/a\""),
            ("u:p@h/a", "\"h/a\""),
            ("rtmp:/u:p@h/a", "\"h/a\""),
            ("rtmp://h/a?token=t", "\"rtmp://h/a\""),
            ("rtmp://h#t/a", "\"rtmp://h\""),
            ("rtmp://h/\r\n\"", "\"rtmp://h/\\r\\n\\\"\""),
            ("", "\"\""),
            ("://", "\"://\""),
        ] {
            assert_eq!(logged(given), expected, "{given}");
        }
        let long = logged(&format!("rtmp://h/{}", "ä".repeat(10_000)));
        assert!(long.len() <= UNLISTED_LIMIT + 2, "{long}");
    }
}
