//! How a viewer asks: in the clear, or encrypted.

/// The scheme of what is asked for (RFC 9110 section 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// As `X-Forwarded-Proto` and `proto=` of `Forwarded` say it, in any letter case; `None` is another one.
    #[must_use]
    pub fn read(text: &[u8]) -> Option<Self> {
        let all = [Self::Http, Self::Https];
        all.into_iter()
            .find(|scheme| text.eq_ignore_ascii_case(scheme.as_str().as_bytes()))
    }

    /// In lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}
