//! What a page is found by: a player at its address, with its token.

use ipnet::IpNet;
use sha2::{Digest as _, Sha256};

use crate::request::client_address::ClientAddress;
use crate::session::place::Bind;
use crate::session::shares::Room;
use crate::token::Claims;

/// Half of a digest, so that what is kept has one small size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Half(u128);

/// A player at its address.
#[derive(Clone, Copy, Debug)]
pub struct Player {
    name: Half,
    network: IpNet,
}

/// A player with its token: what a page is found by.
#[derive(Clone, Copy, Debug)]
pub struct Viewer {
    pub(super) name: Half,
    token: Half,
    network: IpNet,
}

/// What may not have all the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Share {
    Token(Half),
    Network(IpNet),
}

impl Half {
    fn of(parts: &[&[u8]]) -> Self {
        let mut digest = Sha256::new();
        for part in parts {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        let digest: [u8; 32] = digest.finalize().into();
        let (halves, _) = digest.as_chunks::<16>();
        Self(u128::from_be_bytes(
            halves.first().copied().unwrap_or_default(),
        ))
    }
}

impl Player {
    /// By its `pid` and its address. Without the one or the other nothing tells it from others.
    #[must_use]
    pub fn new(pid: &str, address: ClientAddress) -> Option<Self> {
        let ClientAddress::Known(address) = address else {
            return None;
        };
        (!pid.is_empty()).then(|| Self {
            name: Half::of(&[pid.as_bytes(), address.to_string().as_bytes()]),
            network: Bind::Prefix.net(address),
        })
    }

    /// With its token, by all that it says: its id alone could be in another one, too.
    #[must_use]
    pub fn with(self, claims: &Claims) -> Viewer {
        let grant = &claims.grant;
        let expires = grant.expires.map(|expires| expires.get().to_be_bytes());
        let token = Half::of(&[
            claims.key.as_str().as_bytes(),
            &expires.map_or(Vec::new(), Vec::from),
            grant.tag.as_str().as_bytes(),
            // They have been read from a token, so that they can be written.
            &grant.carried().unwrap_or_default(),
        ]);
        let Half(player) = self.name;
        let Half(of_token) = token;
        Viewer {
            name: Half::of(&[&player.to_be_bytes(), &of_token.to_be_bytes()]),
            token,
            network: self.network,
        }
    }
}

impl Viewer {
    pub(super) fn shares(&self) -> [Share; 2] {
        [Share::Token(self.token), Share::Network(self.network)]
    }
}

impl Share {
    pub(super) fn most(self, room: Room) -> usize {
        match self {
            Self::Token(_) => room.of_token,
            Self::Network(_) => room.of_network,
        }
    }
}
