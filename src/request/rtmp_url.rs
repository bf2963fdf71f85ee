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

/// All configured sources.
#[derive(Clone, Debug)]
pub struct RtmpUrls(Vec<RtmpUrl>);

impl RtmpUrls {
    /// From what is configured.
    #[must_use]
    pub fn new(urls: Vec<RtmpUrl>) -> Self {
        Self(urls)
    }

    /// The first configured source.
    #[must_use]
    pub fn first(&self) -> Option<&RtmpUrl> {
        self.0.first()
    }

    /// The configured source that `given` means: scheme and host in any letter case, port 1935 may be written; all else
    /// byte for byte.
    #[must_use]
    pub fn find(&self, given: &str) -> Option<RtmpUrl> {
        // As most players have it.
        if let Some(url) = self.0.iter().find(|url| url.as_str() == given) {
            return Some(url.clone());
        }
        let given = Canonical::of(given)?;
        self.0
            .iter()
            .find(|url| Canonical::of(url.as_str()).is_some_and(|url| url.means(&given)))
            .cloned()
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
            assert_eq!(urls.find(other), None, "{other}");
        }
    }
}
