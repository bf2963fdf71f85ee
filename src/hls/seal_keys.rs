//! The keys that tickets and links are sealed with.
//!
//! A ticket is sealed by the key that signed its token; a link by its organisation's signing key joined with another
//! owner's, so that it is the same for all viewers of a stream. Joined, because an organisation that has its key to mint with
//! could else name the paths of others' streams.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::token::{KeyId, Keyring, Owner, SEAL_BYTES, SealKey};

/// The keys of all seals. A reload adds to them and takes none away: a playback goes on when its key is retired, and
/// what its paths consist of must still be known. A return is decided by the keyring, which has the key no more.
#[derive(Debug)]
pub struct SealKeys {
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

impl SealKeys {
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

    /// The key of tickets whose token names this key, and whose it is.
    pub(super) fn ticket_key(&self, id: &str) -> Option<(&SealKey, &Owner)> {
        let sealing = self.keys.get(id)?;
        Some((&sealing.tickets, &sealing.owner))
    }

    /// The seal of a link over its parts. An owner without a key has no viewers; its links have a seal that is good for nothing.
    pub(super) fn seal_link(&self, owner: &Owner, parts: &[&str]) -> [u8; SEAL_BYTES] {
        let first = self.owners.get(owner).and_then(|ids| ids.first());
        let key = first.and_then(|id| self.keys.get(id));
        let links = key.and_then(|key| key.links.first());
        links.map(|links| links.seal(parts)).unwrap_or_default()
    }

    /// Whether the gate sealed these parts so.
    pub(super) fn is_link_seal(&self, owner: &Owner, parts: &[&str], seal: &str) -> bool {
        let Some(seal) = read_seal(seal) else {
            return false;
        };
        let ids = self.owners.get(owner).into_iter().flatten();
        let keys = ids.filter_map(|id| self.keys.get(id));
        let mut links = keys.flat_map(|key| &key.links);
        links.any(|links| links.is_seal(parts, &seal))
    }
}

/// A seal as it stands in a path; `None` when it is none.
pub(super) fn read_seal(text: &str) -> Option<[u8; SEAL_BYTES]> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
#[path = "seal_keys_tests.rs"]
mod tests;
