//! Tokens that an operator took back before their expiry.

use std::borrow::Cow;
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

impl RevocationId {
    /// Reads what `Display` writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let number = text.strip_prefix('r')?;
        let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
        number.parse().ok().filter(|_| is_number).map(Self)
    }
}

impl Target {
    /// What it is called in the operator's requests, and what it is, both as [`parse`](Self::parse) reads them.
    #[must_use]
    pub fn words(&self) -> (&'static str, Cow<'_, str>) {
        match self {
            Self::Token(id) => ("token_id", id.to_string().into()),
            Self::Tag(tag) => ("tag", tag.as_str().into()),
            Self::User(user) => ("user", user.as_str().into()),
            Self::Stream(stream) => ("stream", stream.as_str().into()),
        }
    }

    /// From what [`words`](Self::words) says; `None` when no token could have it.
    #[must_use]
    pub fn parse(field: &str, text: &str) -> Option<Self> {
        match field {
            "token_id" => TokenId::from_hex(text).map(Self::Token),
            // Tokens without a tag have nothing in common.
            "tag" if text.is_empty() => None,
            "tag" => text.parse().ok().map(Self::Tag),
            "user" => text.parse().ok().map(Self::User),
            "stream" => text.parse().ok().map(Self::Stream),
            _ => None,
        }
    }
}

/// One revocation. It meets tokens that were issued until it was made: a fresh token of the same user plays again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Its name.
    pub id: RevocationId,
    /// The organisation of the tokens.
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
        // An issuer's clock may be ahead: a token from the future counts as issued before, or it could not be revoked until then.
        let in_time = issued <= self.issued_until || issued > now;
        let meant = match &self.target {
            // One token, whenever it was issued.
            Target::Token(id) => claims.grant.id == *id,
            Target::Tag(tag) => in_time && claims.grant.tag == *tag,
            Target::User(user) => in_time && claims.grant.user.as_ref() == Some(user),
            Target::Stream(name) => in_time && stream == name,
        };
        meant && claims.owner == self.owner && !self.is_over(now)
    }

    fn is_over(&self, now: UnixSeconds) -> bool {
        self.ends.is_some_and(|ends| ends <= now)
    }

    /// All of it in one line: `ID OWNER ISSUED-UNTIL ENDS FIELD "TEXT"`, the times in Unix seconds, "-" where it does not end,
    /// the text as JSON has it.
    #[must_use]
    pub fn line(&self) -> String {
        let (field, text) = self.target.words();
        let Self {
            id,
            owner,
            issued_until,
            ..
        } = self;
        let ends = self.ends.map_or("-".to_owned(), |ends| ends.to_string());
        let text = serde_json::Value::from(text);
        format!("{id} {owner} {issued_until} {ends} {field} {text}")
    }

    /// Reads what [`line`](Self::line) writes.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.splitn(6, ' ');
        let mut next = || words.next();
        let id = RevocationId::parse(next()?)?;
        let owner = next()?.parse().ok()?;
        let issued_until = UnixSeconds::from_canonical(next()?)?;
        let ends = match next()? {
            "-" => None,
            ends => Some(UnixSeconds::from_canonical(ends)?),
        };
        let (field, text) = (next()?, next()?);
        let text: String = serde_json::from_str(text).ok()?;
        let target = Target::parse(field, &text)?;
        Some(Self {
            id,
            owner,
            target,
            issued_until,
            ends,
        })
    }
}

/// All revocations.
#[derive(Clone, Debug, Default)]
pub struct Revocations(Vec<Revocation>);

impl Revocations {
    /// These, oldest first. Those that are over meet nothing; they are forgotten when one is added.
    #[must_use]
    pub fn of(list: Vec<Revocation>) -> Self {
        Self(list)
    }

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
        self.0.retain(|old| !old.is_over(now));
        self.0.push(revocation);
    }

    /// Lifts one; whether it was there.
    pub fn lift(&mut self, id: RevocationId) -> bool {
        let before = self.0.len();
        self.0.retain(|revocation| revocation.id != id);
        self.0.len() < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_back_whatever_it_is_about() {
        let names = ["a tag \"with\\ everything\u{1F980}", "x"];
        let mut lines = 0;
        for (field, texts) in [
            ("token_id", ["00112233445566778899aabbccddeeff"; 2]),
            ("tag", names),
            ("user", names),
            ("stream", ["abcde-one", "two"]),
        ] {
            for (text, owner, ends) in [(texts[0], "abcde", None), (texts[1], "*", Some(9))] {
                let revocation = Revocation {
                    id: RevocationId(7),
                    owner: owner.parse().unwrap(),
                    target: Target::parse(field, text).unwrap(),
                    issued_until: UnixSeconds::new(5),
                    ends: ends.map(UnixSeconds::new),
                };
                let line = revocation.line();
                assert!(!line.contains('\n'), "{line}");
                assert_eq!(Revocation::parse(&line), Some(revocation), "{line}");
                lines += 1;
            }
        }
        assert_eq!(lines, 8);
    }

    #[test]
    fn nothing_else_is_a_revocation() {
        for line in [
            "",
            "7 abcde 5 - tag \"x\"",
            "r abcde 5 - tag \"x\"",
            "r+7 abcde 5 - tag \"x\"",
            "r7 no 5 - tag \"x\"",
            "r7 abcde - - tag \"x\"",
            "r7 abcde 5 never tag \"x\"",
            "r7 abcde 5 - colour \"x\"",
            "r7 abcde 5 - tag x",
            "r7 abcde 5 - tag \"\"",
            "r7 abcde 5 - tag \"x\" y",
            "r7 abcde 5 - tag",
        ] {
            assert_eq!(Revocation::parse(line), None, "{line}");
        }
    }
}
