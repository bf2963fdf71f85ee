//! Tickets and links: what an HLS viewer's paths are made of (`/h5live/authhttp/~TICKET/SIG/PATH`), sealed so that the
//! gate knows both again.
//!
//! ```text
//! ticket = session "." pid "." url "." stream "." tag "." expires "." options "." token "." seal
//! ```
//!
//! `pid`, `url`, `stream` and `tag` are base64url without padding, like the seal. All characters are unreserved in URLs (RFC 3986 section 2.3), so that no player writes them in
//! another way. A ticket carries the four strings of the token itself: a return after a pause is decided from the same
//! bytes by the same code as a start.
//!
//! A ticket is sealed by the key that signed its token; a link by its organisation's signing key joined with another
//! owner's, over the organisation, the stream and the path on the media server, so that it is the same for all viewers of a
//! stream. Joined, because an organisation that has its key to mint with could else name the paths of others' streams.

use std::collections::HashMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::token::{KeyId, Keyring, Owner, SEAL_BYTES, SealKey, Security, StreamName};

use crate::session::id::SessionId;

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

/// The keys of all seals. A reload adds to them and takes none away: a playback goes on when its key is retired, and
/// what its paths consist of must still be known. A return is decided by the keyring, which has the key no more.
#[derive(Debug)]
pub struct Seals {
    keys: HashMap<KeyId, Sealing>,
    /// Each owner's keys; the first one seals.
    owners: HashMap<Owner, Vec<KeyId>>,
}

#[derive(Clone, Debug)]
struct Sealing {
    owner: Owner,
    tickets: SealKey,
    /// The first one seals.
    links: Vec<SealKey>,
}

impl Sealing {
    /// The key is the same, but another owner's that was joined with it may be gone.
    fn know_links_of(&mut self, earlier: &Self) {
        let same = |one: &SealKey, other: &SealKey| one.seal(&[]) == other.seal(&[]);
        for links in &earlier.links {
            if !self.links.iter().any(|known| same(known, links)) {
                self.links.push(links.clone());
            }
        }
    }
}

impl Seals {
    /// The keys of a ring, and those of an earlier one.
    #[must_use]
    pub fn new(keyring: &Keyring, earlier: Option<&Self>) -> Self {
        let mut seals = Self {
            keys: HashMap::new(),
            owners: HashMap::new(),
        };
        let links = keyring.joined_seal_keys("link").map(|(_, links)| links);
        for ((id, owner, tickets), links) in keyring.seal_keys("ticket").zip(links) {
            seals.add(
                id,
                Sealing {
                    owner,
                    tickets,
                    links,
                },
            );
        }
        for (id, sealing) in earlier.into_iter().flat_map(|earlier| &earlier.keys) {
            match seals.keys.get_mut(id) {
                Some(kept) => kept.know_links_of(sealing),
                None => seals.add(id.clone(), sealing.clone()),
            }
        }
        seals
    }

    fn add(&mut self, id: KeyId, sealing: Sealing) {
        let owner = self.owners.entry(sealing.owner.clone()).or_default();
        owner.push(id.clone());
        self.keys.insert(id, sealing);
    }

    /// The ticket as text, sealed by the key of its token; `None` when the token is none that was verified.
    #[must_use]
    pub fn write(&self, ticket: &Ticket) -> Option<String> {
        let sealing = self.keys.get(token_key(&ticket.security.token)?)?;
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
        let seal = sealing.tickets.seal(&[&text]);
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
        let sealing = self.keys.get(key).ok_or(TicketError::Seal)?;
        if !sealing.tickets.is_seal(&[body], &seal) {
            return Err(TicketError::Seal);
        }
        let owner = sealing.owner.clone();
        Ok(OpenTicket { ticket, owner })
    }

    /// The seal of a link. An owner without a key has no viewers; its links have a seal that is good for nothing.
    #[must_use]
    pub fn sign(&self, link: &Link<'_>) -> [u8; SEAL_BYTES] {
        let first = self.owners.get(link.owner).and_then(|ids| ids.first());
        let key = first.and_then(|id| self.keys.get(id));
        let links = key.and_then(|key| key.links.first());
        links
            .map(|links| links.seal(&link.parts()))
            .unwrap_or_default()
    }

    /// Whether the gate signed this link.
    #[must_use]
    pub fn is_signed(&self, link: &Link<'_>, signature: &str) -> bool {
        let Some(seal) = read_seal(signature) else {
            return false;
        };
        let ids = self.owners.get(link.owner).into_iter().flatten();
        let keys = ids.filter_map(|id| self.keys.get(id));
        let mut links = keys.flat_map(|key| &key.links);
        links.any(|links| links.is_seal(&link.parts(), &seal))
    }
}

/// What the gate named in a playlist.
#[derive(Clone, Copy, Debug)]
pub struct Link<'a> {
    /// Whose stream.
    pub owner: &'a Owner,
    /// The stream.
    pub stream: &'a StreamName,
    /// The definitions that go with it.
    pub definitions: &'a str,
    /// Path and query on the media server, without `_HLS_*`.
    pub target: &'a str,
}

impl Link<'_> {
    fn parts(&self) -> [&str; 4] {
        [
            self.owner.as_str(),
            self.stream.as_str(),
            self.definitions,
            self.target,
        ]
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

fn read_seal(text: &str) -> Option<[u8; SEAL_BYTES]> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use std::str::FromStr as _;

    use super::*;
    use crate::token::{Grant, Key, KeyState, Scope, Secret, TokenId, UnixSeconds};

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
        let signature = URL_SAFE_NO_PAD.encode(before.sign(&link));
        let after = Seals::new(&new, Some(&before));
        assert!(after.open(&text).is_ok() && after.is_signed(&link, &signature));
        // What is written from now on is of the new key.
        assert_ne!(after.sign(&link), before.sign(&link));
        assert!(Seals::new(&new, None).open(&text).is_err());
    }

    #[test]
    fn links_outlive_the_other_owners_key_until_the_restart() {
        let ring = |other: &str, byte| {
            let key = |id: &str, owner: &str, byte| {
                let secret = Secret::new(vec![byte; 32]).unwrap();
                let owner = owner.parse().unwrap();
                Key::new(id.parse().unwrap(), owner, KeyState::Active, &secret)
            };
            Keyring::new([], [key("k1", "abcde", 1), key(other, "fghij", byte)]).unwrap()
        };
        let link = Link {
            owner: &"abcde".parse().unwrap(),
            stream: &"abcde-one".parse().unwrap(),
            definitions: "",
            target: "a/1.ts",
        };
        let before = Seals::new(&ring("k2", 2), None);
        let signature = URL_SAFE_NO_PAD.encode(before.sign(&link));
        let mut after = Seals::new(&ring("k3", 3), Some(&before));
        for _ in 0..10 {
            assert!(after.is_signed(&link, &signature));
            assert_ne!(after.sign(&link), before.sign(&link));
            after = Seals::new(&ring("k3", 3), Some(&after));
        }
        let id = KeyId::from_str("k1").unwrap();
        assert_eq!(after.keys[&id].links.len(), 2, "each reload adds nothing");
        assert!(!Seals::new(&ring("k3", 3), None).is_signed(&link, &signature));
    }

    #[test]
    fn a_link_is_of_one_organisation_one_stream_and_one_target() {
        let seals = Seals::new(&ring("k1", 1), None);
        let (owner, stream) = ("abcde".parse().unwrap(), "abcde-one".parse().unwrap());
        let link = Link {
            owner: &owner,
            stream: &stream,
            definitions: "d",
            target: "a/1.ts?x=1",
        };
        let signature = URL_SAFE_NO_PAD.encode(seals.sign(&link));
        assert!(seals.is_signed(&link, &signature));
        let (other, unlisted) = ("abcde-two".parse().unwrap(), Owner::Unlisted);
        for wrong in [
            Link {
                stream: &other,
                ..link
            },
            Link {
                owner: &unlisted,
                ..link
            },
            Link {
                definitions: "",
                ..link
            },
            Link {
                target: "a/1.ts",
                ..link
            },
        ] {
            assert!(!seals.is_signed(&wrong, &signature), "{wrong:?}");
        }
        assert!(!seals.is_signed(&link, "") && !seals.is_signed(&link, &"A".repeat(22)));
    }
}
