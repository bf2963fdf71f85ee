//! Domain names of the referer claim, by the rules of protocol.md 1.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A host name of at least two labels, in lower case, without a trailing dot; an internationalised name in its
/// A-label form (RFC 5890).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Domain(Arc<str>);

/// The first rule that a text breaks. Every rule is one that the vendor states.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DomainError {
    /// Nothing was given.
    #[error("must not be empty")]
    Empty,
    /// It is a URL.
    #[error("must not have a scheme")]
    Scheme,
    /// It has something behind the host.
    #[error("must not have a path, a query or a fragment")]
    Path,
    /// It has a port.
    #[error("must not have a port")]
    Port,
    /// It has a `*`.
    #[error("must not have a wildcard")]
    Wildcard,
    /// More than 253 characters.
    #[error("is {0} characters long, at most 253 are allowed")]
    TooLong(usize),
    /// Two dots in a row, or a dot at the start.
    #[error("must not have an empty label")]
    EmptyLabel,
    /// A label of more than 63 characters.
    #[error("has a label of {0} characters, at most 63 are allowed")]
    LabelTooLong(usize),
    /// A label that starts or ends with `-`.
    #[error("must not have a label that starts or ends with a hyphen")]
    Hyphen,
    /// Something but letters, digits and hyphens.
    #[error(
        "has the character {0:?}; only letters, digits, hyphens and dots are allowed (write other scripts as A-labels, `xn--…`)"
    )]
    Character(char),
    /// The last label is a number, as in an IP address.
    #[error("must not end in a label of digits only")]
    NumericTop,
    /// Only one label.
    #[error("must have at least two labels, as in `example.com`")]
    SingleLabel,
}

impl Domain {
    /// The name in lower case, without a trailing dot.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Domain {
    type Err = DomainError;

    /// Takes any letter case and one trailing dot.
    fn from_str(text: &str) -> Result<Self, DomainError> {
        if text.contains("://") {
            return Err(DomainError::Scheme);
        }
        if text.contains(['/', '?', '#']) {
            return Err(DomainError::Path);
        }
        if text.contains('*') {
            return Err(DomainError::Wildcard);
        }
        if text.contains(':') {
            return Err(DomainError::Port);
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.is_empty() {
            return Err(if text.is_empty() {
                DomainError::Empty
            } else {
                DomainError::EmptyLabel
            });
        }
        if name.len() > 253 {
            return Err(DomainError::TooLong(name.len()));
        }
        let mut labels = 0_usize;
        let mut top = "";
        for label in name.split('.') {
            check_label(label)?;
            labels += 1;
            top = label;
        }
        if top.bytes().all(|b| b.is_ascii_digit()) {
            return Err(DomainError::NumericTop);
        }
        if labels < 2 {
            return Err(DomainError::SingleLabel);
        }
        Ok(Self(name.to_ascii_lowercase().into()))
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

fn check_label(label: &str) -> Result<(), DomainError> {
    if let Some(bad) = label
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || *c == '-'))
    {
        return Err(DomainError::Character(bad));
    }
    match label.len() {
        0 => Err(DomainError::EmptyLabel),
        long @ 64.. => Err(DomainError::LabelTooLong(long)),
        _ if label.starts_with('-') || label.ends_with('-') => Err(DomainError::Hyphen),
        _ => Ok(()),
    }
}

/// What a referer claim names: one host, or all hosts below a domain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefererPattern {
    /// This host and no other.
    Exact(Domain),
    /// Every host below this domain, at any depth, but not the domain itself; written `*.example.com`.
    Below(Domain),
}

impl RefererPattern {
    /// Whether `host` (lower case, no trailing dot, no port) is meant. A look-alike that only ends in the same letters
    /// is not: the character before the domain must be a dot.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(domain) => host == domain.as_str(),
            Self::Below(domain) => host
                .strip_suffix(domain.as_str())
                .and_then(|head| head.strip_suffix('.'))
                .is_some_and(|head| !head.is_empty()),
        }
    }
}

impl FromStr for RefererPattern {
    type Err = DomainError;
    fn from_str(text: &str) -> Result<Self, DomainError> {
        match text.strip_prefix("*.") {
            Some(below) => below.parse().map(Self::Below),
            None => text.parse().map(Self::Exact),
        }
    }
}

impl fmt::Display for RefererPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(domain) => domain.fmt(f),
            Self::Below(domain) => write!(f, "*.{domain}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vendors_examples_hold() {
        for good in [
            "nanocosmos.de",
            "demo-nanocosmos123.de",
            "Demo.Nanocosmos.DE.",
            "1.example",
            "xn--bcher-kva.example",
        ] {
            assert!(good.parse::<Domain>().is_ok(), "{good}");
        }
        let bad = [
            ("https://demo.nanocosmos.de", DomainError::Scheme),
            ("nanocosmos.de/nanoplayer", DomainError::Path),
            ("nanocosmos", DomainError::SingleLabel),
            ("", DomainError::Empty),
            (".", DomainError::EmptyLabel),
            ("a..de", DomainError::EmptyLabel),
            (".a.de", DomainError::EmptyLabel),
            ("a.de..", DomainError::EmptyLabel),
            ("-a.de", DomainError::Hyphen),
            ("a-.de", DomainError::Hyphen),
            ("a.de:443", DomainError::Port),
            ("*.a.de", DomainError::Wildcard),
            ("a_b.de", DomainError::Character('_')),
            ("bücher.de", DomainError::Character('ü')),
            ("user@a.de", DomainError::Character('@')),
            ("192.168.1.1", DomainError::NumericTop),
            ("a.123", DomainError::NumericTop),
        ];
        for (text, error) in bad {
            assert_eq!(text.parse::<Domain>(), Err(error), "{text}");
        }
        assert_eq!(
            format!("{}.de", "a".repeat(64)).parse::<Domain>(),
            Err(DomainError::LabelTooLong(64))
        );
        let long = format!("{}de", "abcdefghi.".repeat(26));
        assert_eq!(long.parse::<Domain>(), Err(DomainError::TooLong(262)));
    }

    #[test]
    fn a_look_alike_is_another_host() {
        let exact: RefererPattern = "demo.nanocosmos.de".parse().unwrap();
        assert!(exact.matches("demo.nanocosmos.de"));
        for other in [
            "demo.nanocosmos.de.evil.com",
            "evil-demo.nanocosmos.de",
            "a.demo.nanocosmos.de",
            "nanocosmos.de",
            "",
        ] {
            assert!(!exact.matches(other), "{other}");
        }
        let below: RefererPattern = "*.nanocosmos.de".parse().unwrap();
        assert!(below.matches("demo.nanocosmos.de") && below.matches("a.b.nanocosmos.de"));
        for other in [
            "nanocosmos.de",
            ".nanocosmos.de",
            "evilnanocosmos.de",
            "nanocosmos.de.evil.com",
        ] {
            assert!(!below.matches(other), "{other}");
        }
    }
}
