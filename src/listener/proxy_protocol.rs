//! The PROXY protocol, versions 1 and 2, read without taking a byte of what follows it.

use std::io;
use std::net::SocketAddr;

use ppp::{v1, v2};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// Both versions are told apart, and neither is complete, in this many bytes.
const PREFIX: usize = 12;
/// The longest version 1 line, with its line end.
const V1_LIMIT: usize = 107;
/// A version 2 header without its addresses.
const V2_FIXED: usize = 16;
/// The most that addresses and extensions may take; TLS details of a front stay far below.
const V2_LIMIT: usize = 2048;

/// What the header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// The neighbour speaks for itself, as in a health check.
    Local,
    /// A client.
    Client {
        /// Where it is, unless the neighbour does not know it.
        address: Option<SocketAddr>,
        /// Whether it speaks TLS with the neighbour, as far as that says it (version 2, `PP2_TYPE_SSL`).
        tls: bool,
    },
}

/// Why a connection has no usable header. It is closed without a word: the peer does not speak HTTP yet.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The peer is not in `client.trusted_proxies`.
    #[error("a PROXY header from an address that is not in client.trusted_proxies")]
    Unlisted,
    /// Not a header of either version.
    #[error("no PROXY header")]
    Malformed,
    /// Not there when the first head had to be.
    #[error("the PROXY header came too late")]
    TooLate,
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads one header.
pub async fn read(socket: &mut TcpStream) -> Result<Header, ProxyError> {
    let mut header = vec![0; PREFIX];
    socket.read_exact(&mut header).await?;
    if header == v2::PROTOCOL_PREFIX {
        read_v2(socket, header).await
    } else if header.starts_with(b"PROXY ") {
        read_v1(socket, header).await
    } else {
        Err(ProxyError::Malformed)
    }
}

async fn read_v1(socket: &mut TcpStream, mut header: Vec<u8>) -> Result<Header, ProxyError> {
    let mut seen = [0; V1_LIMIT];
    loop {
        let room = V1_LIMIT - header.len();
        let Some(seen) = seen.get_mut(..room).filter(|room| !room.is_empty()) else {
            return Err(ProxyError::Malformed);
        };
        // Looked at first and then taken: what stands behind the line end is HTTP.
        let count = socket.peek(seen).await?;
        let fresh = seen.get_mut(..count).unwrap_or_default();
        if fresh.is_empty() {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let end = fresh.iter().position(|&b| b == b'\n');
        let taken = end.map_or(count, |end| end + 1);
        let fresh = fresh.get_mut(..taken).unwrap_or_default();
        socket.read_exact(fresh).await?;
        header.extend_from_slice(fresh);
        if end.is_some() {
            break;
        }
    }
    let parsed = v1::Header::try_from(header.as_slice()).map_err(|_| ProxyError::Malformed)?;
    let address = match parsed.addresses {
        v1::Addresses::Tcp4(a) => Some((a.source_address, a.source_port).into()),
        v1::Addresses::Tcp6(a) => Some((a.source_address, a.source_port).into()),
        v1::Addresses::Unknown => None,
    };
    Ok(Header::Client {
        address,
        tls: false,
    })
}

async fn read_v2(socket: &mut TcpStream, mut header: Vec<u8>) -> Result<Header, ProxyError> {
    header.resize(V2_FIXED, 0);
    let fixed = header.get_mut(PREFIX..).unwrap_or_default();
    socket.read_exact(fixed).await?;
    let &[_, _, high, low] = &*fixed else {
        return Err(ProxyError::Malformed);
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > V2_LIMIT {
        return Err(ProxyError::Malformed);
    }
    header.resize(V2_FIXED + length, 0);
    socket
        .read_exact(header.get_mut(V2_FIXED..).unwrap_or_default())
        .await?;
    let parsed = v2::Header::try_from(header.as_slice()).map_err(|_| ProxyError::Malformed)?;
    if parsed.command == v2::Command::Local {
        return Ok(Header::Local);
    }
    let address = match parsed.addresses {
        v2::Addresses::IPv4(a) => Some((a.source_address, a.source_port).into()),
        v2::Addresses::IPv6(a) => Some((a.source_address, a.source_port).into()),
        v2::Addresses::Unix(_) | v2::Addresses::Unspecified => None,
    };
    // The first byte of the extension has flags, the lowest of which is `PP2_CLIENT_SSL`.
    let mut extensions = parsed.tlvs().filter_map(Result::ok);
    let ssl = extensions.find(|extension| extension.kind == u8::from(v2::Type::SSL));
    let tls = ssl.is_some_and(|ssl| ssl.value.first().is_some_and(|flags| flags & 1 != 0));
    Ok(Header::Client { address, tls })
}
