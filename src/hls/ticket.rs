//! Tickets: what an HLS viewer's paths begin with (`/h5live/authhttp/~TICKET/…`), sealed so that the gate knows them again.
//!
//! ```text
//! ticket = session "." base64url(C) "." base64url(seal)     no padding, at most 4,096 characters
//! C      = version (1 byte, 1) | L(kid) | L(pid) | L(url) | L(stream) | L(expires) | L(tag) | P
//! L(x)   = length of x as two bytes, big-endian | x
//! P      = the claims of the token, as its second part has them (see `token::claim_table`)
//! ```
//!
//! `stream` is empty where it is the only one that the token is for; `expires` is decimal, and empty where the token has none.
//! There is one text for each ticket. All its characters are unreserved in URLs (RFC 3986 section 2.3), so that no player writes
//! them in another way.
//!
//! It carries what a return after a pause is decided from, and never the token: what stands in the paths of segments and in the
//! log of each cache on the way opens nothing by itself but this playback. It is sealed by the key that signed the token.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::session::id::SessionId;
use crate::token::{Claims, Grant, KeyId, Owner, Scope, StreamName, UnixSeconds};

use super::seal_keys::{SealKeys, read_seal};

/// The longest `pid` that a ticket carries; a viewer with a longer one has no name when it comes back.
const PLAYER_LIMIT: usize = 64;

/// The most characters that a ticket may have; those of usual tokens have some two hundred.
pub const TICKET_LIMIT: usize = 4096;

const VERSION: u8 = 1;

/// What one HLS viewer's paths begin with.
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The playback.
    pub session: SessionId,
    /// `pid`; at most 64 bytes.
    pub player: String,
    /// The source in the operator's spelling.
    pub url: String,
    /// The stream.
    pub stream: StreamName,
    /// The key of the token that the playback started with.
    pub key: KeyId,
    /// What that token said.
    pub grant: Grant,
}

impl Ticket {
    /// Of a playback that starts by these claims, under a name.
    #[must_use]
    pub fn new(
        (session, player): (SessionId, String),
        (url, stream): (String, StreamName),
        claims: &Claims,
    ) -> Self {
        Self {
            session,
            player,
            url,
            stream,
            key: claims.key.clone(),
            grant: claims.grant.clone(),
        }
    }

    /// Everything but the session's name; `None` where it is longer than tickets are.
    fn encode(&self) -> Option<Vec<u8>> {
        let Self {
            url, stream, key, ..
        } = self;
        let Grant { expires, tag, .. } = &self.grant;
        let player = Some(self.player.as_str()).filter(|name| name.len() <= PLAYER_LIMIT);
        let expires = expires.map_or(String::new(), |expires| expires.to_string());
        let stream = match only_stream(&self.grant) == Some(stream) {
            true => "",
            false => stream.as_str(),
        };
        let mut bytes = Vec::with_capacity(256);
        bytes.push(VERSION);
        let player = player.unwrap_or_default();
        for text in [key.as_str(), player, url, stream, &expires, tag.as_str()] {
            let length = u16::try_from(text.len()).ok()?;
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes.extend_from_slice(&self.grant.carried()?);
        Some(bytes)
    }

    fn decode(session: SessionId, bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(&[VERSION])?;
        let mut next = || {
            let (length, behind) = rest.split_first_chunk::<2>()?;
            let (text, behind) = behind.split_at_checked(u16::from_be_bytes(*length).into())?;
            rest = behind;
            str::from_utf8(text).ok()
        };
        let key = next()?.parse().ok()?;
        let player = next().filter(|name| name.len() <= PLAYER_LIMIT)?;
        let (url, stream, expires, tag) = (next()?, next()?, next()?, next()?.parse().ok()?);
        let expires = match expires {
            "" => None,
            expires => Some(UnixSeconds::from_canonical(expires)?),
        };
        let grant = Grant::from_carried(rest, expires, tag).ok()?;
        let stream = match (stream, only_stream(&grant)) {
            ("", only) => only?.clone(),
            // It has been written in the longer way.
            (stream, Some(only)) if stream == only.as_str() => return None,
            (stream, _) => stream.parse().ok()?,
        };
        Some(Self {
            session,
            player: player.to_owned(),
            url: url.to_owned(),
            stream,
            key,
            grant,
        })
    }
}

/// The stream of a token that is for one alone.
fn only_stream(grant: &Grant) -> Option<&StreamName> {
    match &grant.scope {
        Scope::Streams(streams) => match &streams[..] {
            [only] => Some(only),
            _ => None,
        },
        Scope::Organisation(_) => None,
    }
}

impl fmt::Debug for Ticket {
    /// A ticket opens a stream: it is written nowhere.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({} of {})", self.session, self.stream)
    }
}

/// Why a text is no ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// Not in the form of one.
    #[error("the ticket is malformed")]
    Malformed,
    /// Sealed by no key that is known.
    #[error("the ticket's seal is wrong")]
    Seal,
}

/// A ticket whose seal is good.
#[derive(Debug)]
pub struct OpenTicket {
    /// What it says.
    pub ticket: Ticket,
    /// Whose key sealed it.
    pub owner: Owner,
}

impl SealKeys {
    /// The ticket as text, sealed by the key of its token; `None` when that key is not known, or the ticket is too long for a
    /// path.
    #[must_use]
    pub fn write(&self, ticket: &Ticket) -> Option<String> {
        let (key, _) = self.ticket_key(ticket.key.as_str())?;
        let claims = ticket.encode()?;
        let mut text = ticket.session.text();
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut text);
        let seal = key.seal(&[&text]);
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(seal, &mut text);
        Some(text).filter(|text| text.len() <= TICKET_LIMIT)
    }

    /// Reads a ticket and checks its seal.
    pub fn open(&self, text: &str) -> Result<OpenTicket, TicketError> {
        let short = Some(text).filter(|text| text.len() <= TICKET_LIMIT);
        let (body, seal) = short
            .and_then(|text| text.rsplit_once('.'))
            .ok_or(TicketError::Malformed)?;
        let seal = read_seal(seal).ok_or(TicketError::Malformed)?;
        let ticket = read(body).ok_or(TicketError::Malformed)?;
        // Which keys there are is no secret here: a ticket is asked for with a token of the key.
        let (key, owner) = self
            .ticket_key(ticket.key.as_str())
            .ok_or(TicketError::Seal)?;
        if !key.is_seal(&[body], &seal) {
            return Err(TicketError::Seal);
        }
        let owner = owner.clone();
        Ok(OpenTicket { ticket, owner })
    }
}

fn read(body: &str) -> Option<Ticket> {
    let (session, claims) = body.split_once('.')?;
    let claims = URL_SAFE_NO_PAD.decode(claims).ok()?;
    Ticket::decode(SessionId::parse(session)?, &claims)
}

#[cfg(test)]
#[path = "ticket_tests.rs"]
mod tests;
