//! Why a playback may not start.

use std::fmt;
use std::num::NonZeroU16;

use crate::request::Malformed;
use crate::request::client_address::ClientAddress;
use crate::request::referer::Referer;
use crate::token::{Claims, StreamName, TokenError, TokenId, UnixSeconds};

use super::revocation::RevocationId;

/// One failed rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The request is no playback request.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The token proves nothing.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// An operator took the token back.
    #[error("revoked by {0}")]
    Revoked(RevocationId),
    /// Too early.
    #[error("not valid before {not_before} ({})", .not_before.utc())]
    NotYetValid {
        /// The first valid second.
        not_before: UnixSeconds,
    },
    /// Too late.
    #[error("expired at {expires} ({})", .expires.utc())]
    Expired {
        /// The first second that is too late.
        expires: UnixSeconds,
    },
    /// The token never expires, which the organisation does not allow.
    #[error("the organisation requires expires")]
    ExpiresRequired,
    /// The token lives longer than the organisation allows, for example because its issuer wrote milliseconds.
    #[error("expires {expires} ({}) is later than the organisation's max_lifetime allows", .expires.utc())]
    LifetimeTooLong {
        /// As the token says.
        expires: UnixSeconds,
    },
    /// Another stream.
    #[error("the token is not for stream {stream}")]
    OutOfScope {
        /// The stream that was asked for.
        stream: StreamName,
    },
    /// Another page.
    #[error("the token is not for the page's host ({referer})")]
    Referer {
        /// As the browser told it.
        referer: Referer,
    },
    /// Another place.
    #[error("the token is not for the viewer's address ({address})")]
    Address {
        /// Where the viewer is.
        address: ClientAddress,
    },
    /// A token that limits its sessions is used over HTTP by a viewer of unknown address, which
    /// cannot be told from another viewer.
    #[error("the token limits its sessions, and the viewer's address is unknown")]
    Placeless,
    /// A ticket that the gate did not write.
    #[error("the ticket is none of the gate's")]
    Ticket,
    /// A path under a ticket that the gate did not name.
    #[error("no playlist of the stream named this path")]
    Link,
    /// A request for a running playback from another address, while its viewer still plays at the first one.
    #[error("the playback is still asked for where it plays, and now from {address}")]
    Elsewhere {
        /// Where the request came from.
        address: ClientAddress,
    },
    /// A ticket that is used from too many places in turn.
    #[error("the playback moves too often, now to {address}")]
    Restless {
        /// Where the viewer is.
        address: ClientAddress,
    },
    /// All of the token's or user's seats are taken.
    #[error("all {limit} sessions of the token are playing")]
    TooManySessions {
        /// As the token says.
        limit: NonZeroU16,
    },
    /// The viewer switches faster than the media server answers.
    #[error("too many switches wait for the media server's answer")]
    TooManySwitches,
    /// No room for another session.
    #[error("limits.sessions is reached")]
    Overloaded,
    /// One token has its share of all sessions.
    #[error("limits.sessions_per_token is reached: token {token} plays {limit} times")]
    TokenShare {
        /// Which.
        token: TokenId,
        /// The limit.
        limit: usize,
    },
    /// One network has its share of all sessions.
    #[error("limits.sessions_per_network is reached: the network of {address} plays {limit} times")]
    NetworkShare {
        /// Where the viewer is.
        address: ClientAddress,
        /// The limit.
        limit: usize,
    },
    /// No memory for another playlist.
    #[error("hls.playlist_memory is reached")]
    PlaylistMemory,
    /// A playback asks for playlists of its own faster than it may.
    #[error("hls.own_playlists is reached")]
    OwnPlaylists,
    /// The gate is stopping.
    #[error("the gate is draining")]
    Draining,
}

impl Reason {
    /// Whether there is no room, for all or for one share, so that a playback that idles may make way.
    #[must_use]
    pub fn is_for_want_of_room(&self) -> bool {
        matches!(
            self,
            Self::Overloaded | Self::TokenShare { .. } | Self::NetworkShare { .. }
        )
    }
}

/// A refusal: the first failed rule and all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    first: Reason,
    others: Vec<Reason>,
    claims: Option<Box<Claims>>,
}

impl Denial {
    /// From all rules that `claims` failed, in their order; the claims themselves when there are none.
    pub(super) fn unless_empty(reasons: Vec<Reason>, claims: Claims) -> Result<Claims, Self> {
        let mut reasons = reasons.into_iter();
        match reasons.next() {
            Some(first) => Err(Self {
                first,
                others: reasons.collect(),
                claims: Some(Box::new(claims)),
            }),
            None => Ok(claims),
        }
    }

    /// What the token proved, where it proved anything: the operator's record names its key, its id and its tag.
    #[must_use]
    pub fn claims(&self) -> Option<&Claims> {
        self.claims.as_deref()
    }

    /// Whether the only fault is that the request named no page.
    #[must_use]
    pub fn is_for_want_of_a_page(&self) -> bool {
        let absent = Reason::Referer {
            referer: Referer::Absent,
        };
        self.first == absent && self.others.is_empty()
    }

    /// Every failed rule, in the order of the decision.
    pub fn reasons(&self) -> impl Iterator<Item = &Reason> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The rule that makes the code.
    #[must_use]
    pub fn reason(&self) -> &Reason {
        &self.first
    }
}

impl<T: Into<Reason>> From<T> for Denial {
    fn from(reason: T) -> Self {
        Self {
            first: reason.into(),
            others: Vec::new(),
            claims: None,
        }
    }
}

impl fmt::Display for Denial {
    /// Every failed rule, for the operator's log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.first.fmt(f)?;
        self.others
            .iter()
            .try_for_each(|other| write!(f, "; {other}"))
    }
}
