//! The names that a token carries, each a type of its own: a key id where a stream name belongs does not compile.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Why a text is not the name that it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("must not be empty")]
    Empty,
    /// More bytes than the name may have.
    #[error("is {length} bytes long, at most {limit} are allowed")]
    TooLong {
        /// Bytes given.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Fewer bytes than the name must have.
    #[error("is {length} characters long, at least {least} are needed")]
    TooShort {
        /// Bytes given.
        length: usize,
        /// Bytes needed.
        least: usize,
    },
    /// A character that the name may not contain.
    #[error("has the character {character:?} at position {position}, which is not allowed")]
    Character {
        /// The first such character.
        character: char,
        /// Its position in characters, from 1.
        position: usize,
    },
    /// `.` and `..` mean a place, not a stream.
    #[error("must not be `.` or `..`")]
    Dots,
}

/// Defines a name: a shared string with one checking constructor.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Whether a text is such a name, without making one of it.
            pub(super) fn check(text: &str) -> Result<(), NameError> {
                let check: fn(&str) -> Result<(), NameError> = $check;
                check(text)
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::check(text)?;
                Ok(Self(text.into()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(
    /// A stream: 1 to 128 characters of `A-Z a-z 0-9 . _ ~ -`, not `.` or `..`.
    StreamName,
    |text| {
        length(text, 1, 128)?;
        characters(text, |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '~' | '-'))?;
        if matches!(text, "." | "..") { Err(NameError::Dots) } else { Ok(()) }
    }
);

name!(
    /// An organisation hash: 5 or 6 characters of `A-Z a-z 0-9`; upper and lower case differ (protocol.md 1).
    OrgaHash,
    |text| {
        characters(text, |c| c.is_ascii_alphanumeric())?;
        length(text, 5, 6)
    }
);

name!(
    /// A key id (`kid`): 1 to 32 characters of `A-Z a-z 0-9 _ -`.
    KeyId,
    |text| {
        length(text, 1, 32)?;
        characters(text, |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
    }
);

name!(
    /// The customer's own string: at most 256 bytes of UTF-8 without control characters; empty means none.
    Tag,
    |text| {
        if text.is_empty() {
            return Ok(());
        }
        length(text, 1, 256)?;
        characters(text, |c| !c.is_control())
    }
);

name!(
    /// The user that a token was minted for, as the issuer names it: 1 to 128 bytes of UTF-8 without control characters.
    User,
    |text| {
        length(text, 1, 128)?;
        characters(text, |c| !c.is_control())
    }
);

impl StreamName {
    /// The organisation that the stream belongs to: the text before the first `-`, if that is 5 or 6 letters or digits.
    #[must_use]
    pub fn organisation(&self) -> Option<&str> {
        let (head, _) = self.0.split_once('-')?;
        (matches!(head.len(), 5 | 6) && head.bytes().all(|b| b.is_ascii_alphanumeric()))
            .then_some(head)
    }
}

impl Tag {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Default for Tag {
    fn default() -> Self {
        Self("".into())
    }
}

fn length(text: &str, least: usize, limit: usize) -> Result<(), NameError> {
    match text.len() {
        0 => Err(NameError::Empty),
        length if length > limit => Err(NameError::TooLong { length, limit }),
        length if length < least => Err(NameError::TooShort { length, least }),
        _ => Ok(()),
    }
}

fn characters(text: &str, allowed: impl Fn(char) -> bool) -> Result<(), NameError> {
    match text
        .chars()
        .enumerate()
        .find(|&(_, character)| !allowed(character))
    {
        Some((index, character)) => Err(NameError::Character {
            character,
            position: index + 1,
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_organisation_is_the_text_before_the_first_dash() {
        let organisation = |name: &str| {
            name.parse::<StreamName>()
                .unwrap()
                .organisation()
                .map(str::to_owned)
        };
        assert_eq!(organisation("abcde-one-two").as_deref(), Some("abcde"));
        assert_eq!(organisation("AbCde6-one").as_deref(), Some("AbCde6"));
        for none in [
            "abcde",
            "abcd-one",
            "abcdefg-one",
            "ab_de-one",
            "-one",
            "live",
        ] {
            assert_eq!(organisation(none), None, "{none}");
        }
    }

    #[test]
    fn a_stream_name_is_what_a_url_carries_unescaped() {
        for good in ["a", "a.b~c_d-e", &"x".repeat(128)] {
            assert!(good.parse::<StreamName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "a b",
            "a%20b",
            "ä",
            "a\0",
            &"x".repeat(129),
        ] {
            assert!(bad.parse::<StreamName>().is_err(), "{bad:?}");
        }
    }
}
