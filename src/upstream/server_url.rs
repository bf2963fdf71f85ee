//! Where a media server is, as an operator writes it: a plain value, of which a running [`Server`](super::server::Server) is
//! made.

use std::fmt;
use std::str::FromStr;

use http::HeaderValue;
use http::uri::Authority;

/// `http://HOST[:PORT]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    /// Without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// The name that its streams are chosen by: the same for the WebSocket and the HTTP side of a media server.
    pub(super) drawn_as: (String, u16),
    /// What `Host` says when this server is asked for itself.
    pub(super) authority: HeaderValue,
}

/// A text that is no server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an http URL with a host and an optional port, such as http://127.0.0.1:8181")]
pub struct NotAServer;

impl FromStr for ServerUrl {
    type Err = NotAServer;

    /// `http://HOST[:PORT]`, with nothing behind it; paths are configured on their own.
    fn from_str(text: &str) -> Result<Self, NotAServer> {
        let uri: http::Uri = text.parse().map_err(|_| NotAServer)?;
        let authority = uri.authority().ok_or(NotAServer)?;
        if uri.scheme_str() != Some("http")
            || uri.path() != "/"
            || uri.query().is_some()
            || authority.host().is_empty()
        {
            return Err(NotAServer);
        }
        let (host, port) = place(authority, 80).ok_or(NotAServer)?;
        let host = host.to_owned();
        let field = match port {
            80 => authority.host(),
            _ => authority.as_str(),
        };
        Ok(Self {
            drawn_as: (host.clone(), port),
            authority: HeaderValue::from_str(field).map_err(|_| NotAServer)?,
            host,
            port,
        })
    }
}

impl ServerUrl {
    /// The other side of the media server `other`: both are chosen for the same streams.
    #[must_use]
    pub fn beside(mut self, other: &Self) -> Self {
        self.drawn_as.clone_from(&other.drawn_as);
        self
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Host, without brackets, and port of an authority; `None` when its port is none or a user is named.
pub(super) fn place(authority: &Authority, default: u16) -> Option<(&str, u16)> {
    // `Authority::port` takes a port beyond 65535 for none at all, so what follows the host is read here; a user would
    // stand before it.
    let host = authority.host();
    let port = match authority.as_str().strip_prefix(host)? {
        "" | ":" => default,
        port => port.strip_prefix(':')?.parse().ok()?,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Some((host, port))
}
