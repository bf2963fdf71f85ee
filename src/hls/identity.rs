//! What an HLS viewer is known by when it opens its first URL again.

use sha2::{Digest as _, Sha256};

use crate::request::rtmp_url::RtmpUrl;
use crate::token::{Security, StreamName};

use crate::session::id::SessionId;

/// A digest of a session's first URL, so that it is small and stands on a disk without saying anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity(pub(super) u128);

/// What a session is found by where its name is not what its first URL makes: the same URL plays in another place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alias {
    /// Of its first URL at the place where it began.
    pub here: Identity,
    /// The name that its first URL makes.
    pub first: SessionId,
}

/// What is digested.
#[derive(Clone, Copy, Debug)]
pub struct FirstUrl<'a> {
    /// The four strings of the token, all of them: they are not verified again where the session plays.
    pub security: &'a Security,
    /// The source.
    pub url: &'a RtmpUrl,
    /// The stream.
    pub stream: &'a StreamName,
    /// `cid`.
    pub connection: &'a str,
    /// `pid`.
    pub player: &'a str,
}

impl FirstUrl<'_> {
    /// What the session is known by everywhere, and at this `place`: the same where nothing in the URL tells its viewer
    /// from others.
    #[must_use]
    pub fn identities(&self, place: &str) -> (Identity, Identity) {
        let mut digest = Sha256::new();
        let Security {
            expires,
            tag,
            token,
            options,
        } = self.security;
        for part in [
            self.stream.as_str(),
            self.url.as_str(),
            token,
            options,
            expires,
            tag,
            self.connection,
            self.player,
        ] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        let at = |place: &str| {
            let length = (place.len() as u64).to_be_bytes();
            Identity::of(digest.clone().chain_update(length).chain_update(place))
        };
        let here = at(place);
        if self.is_one_players() {
            (at(""), here)
        } else {
            (here, here)
        }
    }

    /// Whether a player made this URL for itself alone.
    fn is_one_players(&self) -> bool {
        !self.connection.is_empty() || !self.player.is_empty()
    }
}

impl Identity {
    fn of(digest: Sha256) -> Self {
        let digest: [u8; 32] = digest.finalize().into();
        let (halves, _) = digest.as_chunks::<16>();
        let half = halves.first().copied().unwrap_or_default();
        Self(u128::from_be_bytes(half))
    }

    /// The name of the session that begins so. It is the same whenever it begins: players compare the URIs of a segment
    /// that they have seen, and a ticket is a part of them.
    #[must_use]
    pub fn session(self) -> SessionId {
        SessionId::new(self.0)
    }
}
