//! Where a load test goes: one address of one gate, on this machine unless its host is named a second time.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};

use http::Uri;
use http::uri::Scheme;

/// A gate to be tested. Its address is looked up once: no answer of a name server leads the test elsewhere later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where every connection goes.
    pub address: SocketAddr,
    /// The `Host` of every request.
    pub authority: String,
    /// What the URL's path begins with: empty, or `/…` without a slash at its end.
    pub prefix: String,
}

/// Why an address is not tested.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// No URL of a gate.
    #[error("{0:?} is no gate's address: write it as http://127.0.0.1:8080, without a query")]
    Url(String),
    /// Another scheme.
    #[error(
        "only http:// can be tested: name a listener of the gate without TLS instead of {0}://"
    )]
    Scheme(String),
    /// The name has no address.
    #[error("{host} cannot be looked up: {source}")]
    LookUp {
        /// The name.
        host: String,
        /// What the system says.
        source: io::Error,
    },
    /// An address that is not this machine's.
    #[error(
        "{host} is {address}, which is not this machine. A load test is for a gate of one's own: if it is yours, say so \
         with --allow-host {host}"
    )]
    Elsewhere {
        /// The host of the URL.
        host: String,
        /// One of its addresses.
        address: SocketAddr,
    },
    /// Nothing listens there.
    #[error("no gate at {address}: {source}; is it started, and is this its playback listener?")]
    NoGate {
        /// The last address tried.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

impl Target {
    /// Reads a gate's base URL, looks its host up and connects once. Every address of a host must be of this machine,
    /// unless `allowed` is that host. Blocks; bounded by the system's name look-up and five seconds for each address.
    pub fn find(url: &str, allowed: Option<&str>) -> Result<Self, TargetError> {
        let (host, port, prefix) = parse(url)?;
        let addresses: Vec<_> = (host.as_str(), port)
            .to_socket_addrs()
            .map_err(|source| TargetError::LookUp {
                host: host.clone(),
                source,
            })?
            .collect();
        check(&host, &addresses, allowed)?;
        let mut last = None;
        for address in addresses {
            match std::net::TcpStream::connect_timeout(&address, super::HANDSHAKE_LIMIT) {
                Ok(_) => {
                    let authority = if host.contains(':') {
                        format!("[{host}]:{port}")
                    } else {
                        format!("{host}:{port}")
                    };
                    return Ok(Self {
                        address,
                        authority,
                        prefix,
                    });
                }
                Err(source) => last = Some(TargetError::NoGate { address, source }),
            }
        }
        Err(last.unwrap_or_else(|| TargetError::LookUp {
            host,
            source: io::ErrorKind::NotFound.into(),
        }))
    }
}

fn parse(url: &str) -> Result<(String, u16, String), TargetError> {
    let wrong = || TargetError::Url(url.to_owned());
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    match uri.scheme() {
        Some(scheme) if *scheme == Scheme::HTTP || scheme.as_str() == "ws" => {}
        Some(scheme) => return Err(TargetError::Scheme(scheme.to_string())),
        None => return Err(wrong()),
    }
    let authority = uri.authority().ok_or_else(wrong)?;
    if authority.as_str().contains('@') || uri.query().is_some() {
        return Err(wrong());
    }
    let host = authority.host();
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    if host.is_empty() {
        return Err(wrong());
    }
    Ok((
        host.to_ascii_lowercase(),
        authority.port_u16().unwrap_or(80),
        uri.path().trim_end_matches('/').to_owned(),
    ))
}

fn check(host: &str, addresses: &[SocketAddr], allowed: Option<&str>) -> Result<(), TargetError> {
    if allowed.is_some_and(|allowed| allowed.trim_matches(['[', ']']).eq_ignore_ascii_case(host)) {
        return Ok(());
    }
    let elsewhere = addresses
        .iter()
        .find(|address| !address.ip().to_canonical().is_loopback());
    match elsewhere {
        Some(&address) => Err(TargetError::Elsewhere {
            host: host.to_owned(),
            address,
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_host_a_port_and_a_prefix() {
        for (url, expected) in [
            ("http://127.0.0.1:8080", ("127.0.0.1", 8080, "")),
            ("http://Localhost/", ("localhost", 80, "")),
            ("ws://[::1]:81/edge/", ("::1", 81, "/edge")),
        ] {
            let (host, port, prefix) = parse(url).unwrap();
            assert_eq!((host.as_str(), port, prefix.as_str()), expected);
        }
        for wrong in [
            "",
            "127.0.0.1:8080",
            "/x",
            "http://",
            "http://a@b/",
            "http://a/?q",
        ] {
            assert!(matches!(parse(wrong), Err(TargetError::Url(_))), "{wrong}");
        }
        assert!(matches!(
            parse("https://localhost"),
            Err(TargetError::Scheme(_))
        ));
    }

    #[test]
    fn another_machine_must_be_named_twice() {
        let here: SocketAddr = "127.0.0.9:80".parse().unwrap();
        let mapped: SocketAddr = "[::ffff:127.0.0.1]:80".parse().unwrap();
        let there: SocketAddr = "192.0.2.1:80".parse().unwrap();
        assert!(check("gate.test", &[here, mapped], None).is_ok());
        for addresses in [&[there][..], &[here, there]] {
            for allowed in [None, Some("other.test")] {
                let refused = check("gate.test", addresses, allowed).unwrap_err();
                assert!(refused.to_string().contains("--allow-host gate.test"));
            }
            assert!(check("gate.test", addresses, Some("Gate.Test")).is_ok());
        }
        assert!(check("2001:db8::1", &[there], Some("[2001:db8::1]")).is_ok());
    }
}
