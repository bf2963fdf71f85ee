//! What can be wrong with a request for a token.

use crate::token::{ClaimError, Domain, DomainError, MintError, NameError, UnixSeconds};

use super::field::Field;

/// How much of an unknown field's name is said back, in characters.
const ECHO_LIMIT: usize = 64;

/// Why nothing was minted; its text is the `message`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// Another method than POST.
    #[error("the method is not POST")]
    Method,
    /// No `X-BINTU-APIKEY`, or an empty one.
    #[error("the request has no API key")]
    ApiKeyMissing,
    /// More than one `X-BINTU-APIKEY`.
    #[error("the request has more than one API key")]
    ApiKeyRepeated,
    /// No such key is configured.
    #[error("the API key is not known")]
    ApiKeyUnknown,
    /// Too many unknown keys came from the address.
    #[error("too many unknown API keys have come from this address")]
    TooManyGuesses {
        /// In how many seconds it may try again.
        retry_after: u64,
    },
    /// Another content type, more than one, or none.
    #[error("the content type is not JSON in UTF-8")]
    ContentType,
    /// Neither chunks nor one `Content-Length`.
    #[error("the request does not say where its body ends")]
    LengthRequired,
    /// `Content-Length` and `Transfer-Encoding`.
    #[error("the request says twice where its body ends")]
    TwoLengths,
    /// Another `Transfer-Encoding` than `chunked`.
    #[error("the body is in a transfer coding that is not taken")]
    TransferCoding,
    /// More bytes than the body may have.
    #[error("the body is longer than {limit} bytes")]
    BodyTooLong {
        /// Bytes allowed.
        limit: usize,
    },
    /// The body did not arrive in time.
    #[error("the body did not arrive in time")]
    BodyTooSlow,
    /// The connection ended within the body, or a chunk of it is malformed.
    #[error("the body broke off or is malformed")]
    BodyCutShort,
    /// Not one JSON value; what the parser says of it.
    #[error("the body is not JSON: {0}")]
    NotJson(String),
    /// JSON, but something else than an object.
    #[error("the body is {0}, not an object")]
    NotAnObject(&'static str),
    /// A field that does not exist, its name shortened to 64 characters.
    #[error("there is no field {0:?}")]
    UnknownField(String),
    /// A field that is there twice.
    #[error("`{0}` is there more than once")]
    RepeatedField(Field),
    /// A field of text that is something else.
    #[error("`{field}` is {found}, not a string")]
    NotAString {
        /// Which field.
        field: Field,
        /// What it is.
        found: &'static str,
    },
    /// `streamnames` is something else than an array.
    #[error("`streamnames` is {0}, not an array")]
    NotAList(&'static str),
    /// `streamnames` has no entries or too many.
    #[error("`streamnames` has {0} entries")]
    BatchSize(usize),
    /// An entry of `streamnames` is something else than a string.
    #[error("entry {entry} of `streamnames` is {found}, not a string")]
    EntryNotAString {
        /// Its position, from 1.
        entry: usize,
        /// What it is.
        found: &'static str,
    },
    /// An entry of `streamnames` that is no stream name.
    #[error("entry {entry} of `streamnames` {error}")]
    EntryName {
        /// Its position, from 1.
        entry: usize,
        /// What is wrong.
        error: NameError,
    },
    /// An entry of `streamnames` that an earlier one already names.
    #[error("entry {entry} of `streamnames` is there twice")]
    RepeatedStream {
        /// Its position, from 1.
        entry: usize,
    },
    /// None of the three scopes.
    #[error("nothing says what may be played")]
    NoScope,
    /// More than one of the three scopes.
    #[error("more than one of `streamname`, `orga` and `streamnames` is there")]
    SeveralScopes,
    /// A stream, organisation or tag that is not of its form.
    #[error("`{field}` {error}")]
    Name {
        /// Which field.
        field: Field,
        /// What it should be.
        name: Name,
        /// What is wrong.
        error: NameError,
    },
    /// Not a number in its one decimal spelling.
    #[error("`expires` is not a whole number in plain decimal digits")]
    ExpiresMalformed,
    /// Far too large for seconds.
    #[error("`expires` is in milliseconds: {0} divided by 1000 is {seconds}", seconds = .0.get() / 1000)]
    ExpiresInMilliseconds(UnixSeconds),
    /// Not later than now.
    #[error("`expires` is not in the future: it is {expires}, and now is {now}")]
    ExpiresPast {
        /// What was asked for.
        expires: UnixSeconds,
        /// The time of the request.
        now: UnixSeconds,
        /// The latest time allowed.
        latest: UnixSeconds,
    },
    /// Later than the organisation allows.
    #[error("`expires` is too far ahead: it is {expires}, and the latest allowed is {latest}")]
    ExpiresTooFar {
        /// What was asked for.
        expires: UnixSeconds,
        /// The latest time allowed.
        latest: UnixSeconds,
    },
    /// Absent, and the organisation's tokens must expire.
    #[error("`expires` is missing: every token of this organisation must expire")]
    ExpiresRequired {
        /// The time of the request.
        now: UnixSeconds,
        /// The latest time allowed.
        latest: UnixSeconds,
    },
    /// Not an address.
    #[error("`ip` is not an IP address")]
    Ip,
    /// Not a domain name as the vendor's rules have it.
    #[error("`referer` {error}")]
    Referer {
        /// The rule that it breaks.
        error: DomainError,
        /// The domain that was probably meant.
        meant: Option<Domain>,
    },
    /// Refused when it was to be signed; `field` is the one that names the scope.
    #[error("{}", mint_message(.error))]
    Mint {
        /// Which field.
        field: Field,
        /// Why.
        error: MintError,
    },
    /// The system gives no random bytes.
    #[error("the service has no randomness for a token's id")]
    NoRandomness,
}

/// Which kind of name a text should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// A stream.
    Stream,
    /// An organisation hash.
    Organisation,
    /// A tag.
    Tag,
}

impl ApiError {
    /// A field that does not exist.
    pub(super) fn unknown_field(name: &str) -> Self {
        Self::UnknownField(name.chars().take(ECHO_LIMIT).collect())
    }
}

fn mint_message(error: &MintError) -> String {
    match error {
        MintError::Claims(ClaimError::ForeignStream { stream, .. }) => {
            format!("the API key may not mint for the stream {stream}")
        }
        MintError::Claims(ClaimError::ForeignOrganisation { organisation, .. }) => {
            format!("the API key may not mint for the organisation {organisation}")
        }
        MintError::NoActiveKey(_) | MintError::TooMany { .. } | MintError::TooLong { .. } => {
            error.to_string()
        }
        MintError::Claims(_) => "the token could not be made".to_owned(),
    }
}
