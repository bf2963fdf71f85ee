//! The fields of a request for a token.

use std::fmt;

/// How many streams `streamnames` may name.
pub const BATCH_LIMIT: usize = 16;

/// A field of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// `streamname`: one stream.
    Streamname,
    /// `orga`: every stream of an organisation.
    Orga,
    /// `streamnames`: 1 to [`BATCH_LIMIT`] streams, a token for each. Not the vendor's.
    Streamnames,
    /// `tag`
    Tag,
    /// `expires`
    Expires,
    /// `ip`
    Ip,
    /// `referer`
    Referer,
}

impl Field {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Streamname,
        Self::Orga,
        Self::Streamnames,
        Self::Tag,
        Self::Expires,
        Self::Ip,
        Self::Referer,
    ];

    /// The name as it travels.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Streamname => "streamname",
            Self::Orga => "orga",
            Self::Streamnames => "streamnames",
            Self::Tag => "tag",
            Self::Expires => "expires",
            Self::Ip => "ip",
            Self::Referer => "referer",
        }
    }

    /// The field of this name.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.name() == name)
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
