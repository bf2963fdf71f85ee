//! Tokens that an operator took back before their expiry.

use std::fmt;

use crate::token::{Claims, Owner, StreamName, Tag, TokenId, UnixSeconds, User};

/// Names one revocation, for reading and lifting it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RevocationId(pub u64);

impl fmt::Display for RevocationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

/// Which tokens of an organisation are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The one with this id.
    Token(TokenId),
    /// Those with this tag.
    Tag(Tag),
    /// Those for this user.
    User(User),
    /// All, when they are used for this stream.
    Stream(StreamName),
}

/// One revocation. It meets tokens that were issued until it was made: a fresh token of the same user plays again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Its name.
    pub id: RevocationId,
    /// Whose tokens.
    pub owner: Owner,
    /// Which of them.
    pub target: Target,
    /// Tokens issued later than this are not meant.
    pub issued_until: UnixSeconds,
    /// When it is forgotten; `None` is never.
    pub ends: Option<UnixSeconds>,
}

impl Revocation {
    /// Whether a token with these claims, used for `stream`, is meant.
    #[must_use]
    pub fn meets(&self, claims: &Claims, stream: &StreamName, now: UnixSeconds) -> bool {
        let issued = claims.grant.issued_at;
        // A token whose issuer's clock is ahead counts as issued before: else it could not be taken back until then.
        let in_time = issued <= self.issued_until || issued > now;
        let meant = match &self.target {
            // One token, whenever it was issued.
            Target::Token(id) => claims.grant.id == *id,
            Target::Tag(tag) => in_time && claims.grant.tag == *tag,
            Target::User(user) => in_time && claims.grant.user.as_ref() == Some(user),
            Target::Stream(name) => in_time && stream == name,
        };
        meant && claims.owner == self.owner && self.ends.is_none_or(|ends| now < ends)
    }
}

/// All revocations.
#[derive(Clone, Debug, Default)]
pub struct Revocations(Vec<Revocation>);

impl Revocations {
    /// The first that meets a token.
    #[must_use]
    pub fn find(
        &self,
        claims: &Claims,
        stream: &StreamName,
        now: UnixSeconds,
    ) -> Option<&Revocation> {
        self.0
            .iter()
            .find(|revocation| revocation.meets(claims, stream, now))
    }

    /// All of them, oldest first.
    #[must_use]
    pub fn list(&self) -> &[Revocation] {
        &self.0
    }

    /// Adds one, and forgets those that ended.
    pub fn add(&mut self, revocation: Revocation, now: UnixSeconds) {
        self.0.retain(|old| old.ends.is_none_or(|ends| now < ends));
        self.0.push(revocation);
    }

    /// Lifts one; whether it was there.
    pub fn lift(&mut self, id: RevocationId) -> bool {
        let before = self.0.len();
        self.0.retain(|revocation| revocation.id != id);
        self.0.len() < before
    }
}
