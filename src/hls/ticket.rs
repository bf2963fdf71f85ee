//! Tickets: what an HLS viewer's paths begin with (`/h5live/authhttp/~TICKET/…`), sealed so that the gate knows them again.
//!
//! ```text
//! ticket = session "." pid "." url "." stream "." tag "." expires "." options "." token "." seal
//! ```
//!
//! `pid`, `url`, `stream` and `tag` are base64url without padding, like the seal. All characters are unreserved in URLs (RFC 3986 section 2.3), so that no player writes them in
//! another way. A ticket carries the four strings of the token itself: a return after a pause is decided from the same
//! bytes by the same code as a start.
//!
//! It is sealed by the key that signed its token.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::session::id::SessionId;
use crate::token::{Owner, Security, StreamName};

use super::seals::{Seals, read_seal};

/// The longest `pid` that a ticket carries; a viewer with a longer one has no name when it comes back.
const PLAYER_LIMIT: usize = 64;

/// The characters of a session, of a seal, and of a separator.
const WITHOUT_FIELDS: usize = 16 + 22 + 1;

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
    /// The token that the playback started with.
    pub security: Security,
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
    /// Sealed by nobody known.
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

impl Seals {
    /// The ticket as text, sealed by the key of its token; `None` when the token is none that was verified.
    #[must_use]
    pub fn write(&self, ticket: &Ticket) -> Option<String> {
        let (key, _) = self.ticket_key(token_key(&ticket.security.token)?)?;
        let player = Some(ticket.player.as_str()).filter(|name| name.len() <= PLAYER_LIMIT);
        let Security {
            expires,
            tag,
            token,
            options,
        } = &ticket.security;
        let encoded = [
            player.unwrap_or_default(),
            &ticket.url,
            ticket.stream.as_str(),
            tag,
        ];
        let plain = [expires, options, token];
        let length = encoded
            .iter()
            .map(|text| text.len() * 4 / 3 + 4)
            .sum::<usize>()
            + plain.iter().map(|text| text.len() + 1).sum::<usize>();
        let mut text = String::with_capacity(length + WITHOUT_FIELDS);
        text.push_str(&ticket.session.text());
        for field in encoded {
            text.push('.');
            URL_SAFE_NO_PAD.encode_string(field, &mut text);
        }
        for field in plain {
            text.push('.');
            text.push_str(field);
        }
        let seal = key.seal(&[&text]);
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(seal, &mut text);
        Some(text)
    }

    /// Reads a ticket and checks its seal.
    pub fn open(&self, text: &str) -> Result<OpenTicket, TicketError> {
        let (body, seal) = text.rsplit_once('.').ok_or(TicketError::Malformed)?;
        let seal = read_seal(seal).ok_or(TicketError::Malformed)?;
        let ticket = read(body).ok_or(TicketError::Malformed)?;
        let key = token_key(&ticket.security.token).ok_or(TicketError::Malformed)?;
        // Which keys there are is no secret here: a ticket is asked for with a token of the key.
        let (key, owner) = self.ticket_key(key).ok_or(TicketError::Seal)?;
        if !key.is_seal(&[body], &seal) {
            return Err(TicketError::Seal);
        }
        let owner = owner.clone();
        Ok(OpenTicket { ticket, owner })
    }
}

fn read(body: &str) -> Option<Ticket> {
    let mut fields = body.splitn(8, '.');
    let mut next = || fields.next();
    let session = SessionId::parse(next()?)?;
    let decode = |text: &str| String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok();
    let (player, url) = (decode(next()?)?, decode(next()?)?);
    let (stream, tag) = (decode(next()?)?.parse().ok()?, decode(next()?)?);
    let (expires, options, token) = (next()?, next()?, next()?);
    Some(Ticket {
        session,
        player,
        url,
        stream,
        security: Security {
            expires: expires.to_owned(),
            tag,
            token: token.to_owned(),
            options: options.to_owned(),
        },
    })
}

/// The key id that a token names: its second part.
fn token_key(token: &str) -> Option<&str> {
    token.split('.').nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hls::link::Link;
    use crate::token::{Grant, Key, KeyState, Keyring, Scope, Secret, TokenId, UnixSeconds};

    fn ring(id: &str, byte: u8) -> Keyring {
        let secret = Secret::new(vec![byte; 32]).unwrap();
        let owner = "abcde".parse().unwrap();
        let key = Key::new(id.parse().unwrap(), owner, KeyState::Active, &secret);
        Keyring::new([], [key]).unwrap()
    }

    fn ticket(keyring: &Keyring) -> Ticket {
        let stream: StreamName = "abcde-~one.two".parse().unwrap();
        let scope = Scope::stream(stream.clone());
        let mut grant = Grant::new(TokenId::new([7; 16]), UnixSeconds::new(1), scope);
        grant.tag = "a tag. with/everything?".parse().unwrap();
        let owner = "abcde".parse().unwrap();
        Ticket {
            session: SessionId::new(77),
            player: "12345".to_owned(),
            url: "rtmp://localhost/play".to_owned(),
            stream,
            security: keyring.mint(&owner, &grant).unwrap(),
        }
    }

    #[test]
    fn a_ticket_reads_back_and_needs_no_escape() {
        let keyring = ring("k1", 1);
        let (seals, ticket) = (Seals::new(&keyring, None), ticket(&keyring));
        let text = seals.write(&ticket).unwrap();
        let open = seals.open(&text).unwrap();
        assert_eq!(open.ticket, ticket);
        assert_eq!(open.owner, "abcde".parse().unwrap());
        let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        assert!(text.bytes().all(unreserved), "{text}");
    }

    #[test]
    fn every_changed_character_is_a_wrong_ticket() {
        let keyring = ring("k1", 1);
        let seals = Seals::new(&keyring, None);
        let text = seals.write(&ticket(&keyring)).unwrap();
        for at in 0..text.len() {
            for with in ["A", "B", ".", "0", ""] {
                let mut changed = text.clone();
                changed.replace_range(at..=at, with);
                assert!(
                    changed == text || seals.open(&changed).is_err(),
                    "{changed}"
                );
            }
        }
        assert!(Seals::new(&ring("k1", 2), None).open(&text).is_err());
        assert!(Seals::new(&ring("k2", 1), None).open(&text).is_err());
    }

    #[test]
    fn a_key_that_is_gone_still_knows_its_seals_until_the_restart() {
        let (old, new) = (ring("k1", 1), ring("k2", 2));
        let before = Seals::new(&old, None);
        let text = before.write(&ticket(&old)).unwrap();
        let link = Link {
            owner: &"abcde".parse().unwrap(),
            stream: &"abcde-one".parse().unwrap(),
            definitions: "",
            target: "a/1.ts",
        };
        let signature = link.sign(&before);
        let signature = str::from_utf8(signature.as_bytes()).unwrap();
        let after = Seals::new(&new, Some(&before));
        assert!(after.open(&text).is_ok() && link.is_signed(&after, signature));
        // What is written from now on is of the new key.
        assert_ne!(link.sign(&after), link.sign(&before));
        assert!(Seals::new(&new, None).open(&text).is_err());
    }
}
