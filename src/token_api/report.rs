//! The one map from what is wrong to what the asker is told: a status, a name, a field, and what would be right.
//!
//! ```json
//! {"error":"expires_in_milliseconds","field":"expires","message":"…","expected":"…"}
//! ```
//!
//! `error` is for programs and stays; `message` says what is wrong and `expected` what would be right, both for people.
//! All four are always there; `field` is `null` where no single field of the body is at fault.

use http::StatusCode;
use serde::Serialize;

use crate::token::{ClaimError, DomainError, MintError, NameError, Owner, UnixSeconds};

use super::error::{ApiError, Name};
use super::field::{BATCH_LIMIT, Field};

/// What the asker is told, beside the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The status of the answer.
    pub status: StatusCode,
    /// The error's name for programs, from a fixed list; also the label in metrics and logs.
    pub error: &'static str,
    /// The field at fault; `None` where no single one is.
    pub field: Option<String>,
    /// What would be right.
    pub expected: String,
}

impl ApiError {
    /// The map.
    #[must_use]
    pub fn report(&self) -> Report {
        let bad = |error, field: Field, expected: String| Report {
            status: StatusCode::BAD_REQUEST,
            error,
            field: Some(field.name().to_owned()),
            expected,
        };
        let whole = |status, error, expected: String| Report {
            status,
            error,
            field: None,
            expected,
        };
        let body = |error, expected: String| whole(StatusCode::BAD_REQUEST, error, expected);
        let key =
            |error, expected: &str| whole(StatusCode::UNAUTHORIZED, error, expected.to_owned());
        match self {
            Self::Method => whole(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "POST".to_owned(),
            ),
            Self::ApiKeyMissing => key(
                "api_key_missing",
                "the header X-BINTU-APIKEY with an API key",
            ),
            Self::ApiKeyRepeated => key("api_key_repeated", "the header X-BINTU-APIKEY once"),
            Self::ApiKeyUnknown => key(
                "api_key_unknown",
                "an API key of this service in X-BINTU-APIKEY",
            ),
            Self::TooManyGuesses { retry_after } => whole(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_guesses",
                format!("the same request after {retry_after} s"),
            ),
            Self::ContentType => whole(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "content_type",
                "Content-Type: application/json, with no charset or charset=utf-8".to_owned(),
            ),
            Self::LengthRequired => whole(
                StatusCode::LENGTH_REQUIRED,
                "length_required",
                "one Content-Length, or Transfer-Encoding: chunked".to_owned(),
            ),
            Self::TwoLengths => body(
                "length_ambiguous",
                "Content-Length or Transfer-Encoding: chunked, not both".to_owned(),
            ),
            Self::TransferCoding => body(
                "transfer_coding",
                "Transfer-Encoding: chunked, and no other coding".to_owned(),
            ),
            Self::BodyTooLong { limit } => whole(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_long",
                format!("a body of at most {limit} bytes"),
            ),
            Self::BodyTooSlow => whole(
                StatusCode::REQUEST_TIMEOUT,
                "body_too_slow",
                "the whole body right behind the head".to_owned(),
            ),
            Self::BodyCutShort => body(
                "body_cut_short",
                "as many bytes as Content-Length says, or whole chunks up to the last".to_owned(),
            ),
            Self::NotJson(_) => body("not_json", an_object()),
            Self::NotAnObject(_) => body("not_an_object", an_object()),
            Self::UnknownField(name) => Report {
                field: Some(name.clone()),
                ..body("unknown_field", format!("only {}", all_fields()))
            },
            Self::RepeatedField(field) => {
                bad("repeated_field", *field, "each field once".to_owned())
            }
            Self::NotAString { field, .. } => bad(
                "not_a_string",
                *field,
                format!(
                    "{}, as a JSON string; \"\" or no field for none",
                    form_of(*field)
                ),
            ),
            Self::NotAList(_) => bad("not_an_array", Field::Streamnames, a_batch()),
            Self::BatchSize(_) => bad("streamnames_count", Field::Streamnames, a_batch()),
            Self::EntryNotAString { .. } => bad("not_a_string", Field::Streamnames, a_batch()),
            Self::EntryName { error, .. } => {
                bad(Name::Stream.error(error), Field::Streamnames, a_batch())
            }
            Self::RepeatedStream { .. } => bad(
                "streamnames_repeated",
                Field::Streamnames,
                "each stream once".to_owned(),
            ),
            Self::NoScope => body("scope_missing", a_scope()),
            Self::SeveralScopes => body("scope_ambiguous", a_scope()),
            Self::Name { field, name, error } => bad(name.error(error), *field, form_of(*field)),
            Self::ExpiresMalformed => bad(
                "expires_malformed",
                Field::Expires,
                format!(
                    "{}, without sign, space, point, exponent or leading zero",
                    form_of(Field::Expires)
                ),
            ),
            Self::ExpiresInMilliseconds(expires) => bad(
                "expires_in_milliseconds",
                Field::Expires,
                format!("Unix time in whole seconds: {}", expires.get() / 1000),
            ),
            Self::ExpiresPast { now, latest, .. } => bad(
                "expires_in_the_past",
                Field::Expires,
                between(*now, *latest),
            ),
            Self::ExpiresTooFar { latest, .. } => bad(
                "expires_too_far",
                Field::Expires,
                format!("Unix time in whole seconds, at most {latest}"),
            ),
            Self::ExpiresRequired { now, latest } => {
                bad("expires_required", Field::Expires, between(*now, *latest))
            }
            Self::Ip => bad("ip_malformed", Field::Ip, form_of(Field::Ip)),
            Self::Referer { error, meant } => bad(
                referer_error(error),
                Field::Referer,
                match meant {
                    Some(domain) => format!("the domain name alone: {domain}"),
                    None => form_of(Field::Referer),
                },
            ),
            Self::Mint { field, error } => minting(*field, error),
            Self::NoRandomness => internal(),
        }
    }

    /// The body of the answer.
    #[must_use]
    pub fn to_json(&self) -> String {
        let Report {
            error,
            field,
            expected,
            ..
        } = &self.report();
        let body = Body {
            error,
            field: field.as_deref(),
            message: &self.to_string(),
            expected,
        };
        // Strings always serialise.
        serde_json::to_string(&body).unwrap_or_default()
    }
}

impl Name {
    fn error(self, error: &NameError) -> &'static str {
        let [empty, long, short, character, dots] = match self {
            Self::Stream => [
                "streamname_empty",
                "streamname_too_long",
                "streamname_too_short",
                "streamname_character",
                "streamname_dots",
            ],
            Self::Organisation => [
                "orga_empty",
                "orga_too_long",
                "orga_too_short",
                "orga_character",
                "orga_dots",
            ],
            Self::Tag => [
                "tag_empty",
                "tag_too_long",
                "tag_too_short",
                "tag_character",
                "tag_dots",
            ],
        };
        match error {
            NameError::Empty => empty,
            NameError::TooLong { .. } => long,
            NameError::TooShort { .. } => short,
            NameError::Character { .. } => character,
            NameError::Dots => dots,
        }
    }
}

fn referer_error(error: &DomainError) -> &'static str {
    match error {
        DomainError::Empty => "referer_empty",
        DomainError::Scheme => "referer_scheme",
        DomainError::Path => "referer_path",
        DomainError::Port => "referer_port",
        DomainError::Wildcard => "referer_wildcard",
        DomainError::TooLong(_) => "referer_too_long",
        DomainError::EmptyLabel => "referer_empty_label",
        DomainError::LabelTooLong(_) => "referer_label_too_long",
        DomainError::Hyphen => "referer_hyphen",
        DomainError::Character(_) => "referer_character",
        DomainError::NumericTop => "referer_numeric_top_label",
        DomainError::SingleLabel => "referer_single_label",
    }
}

/// How keys are kept is not told to the client; what its API key may mint for is.
fn minting(field: Field, error: &MintError) -> Report {
    let foreign = |error, owner: &Owner| Report {
        status: StatusCode::FORBIDDEN,
        error,
        field: Some(field.name().to_owned()),
        expected: match owner {
            Owner::Organisation(hash) => {
                format!("a stream whose name begins with `{hash}-`, or the organisation `{hash}`")
            }
            Owner::Unlisted => "a stream that is of no listed organisation".to_owned(),
        },
    };
    let long = |error, expected: &str| Report {
        status: StatusCode::BAD_REQUEST,
        error,
        field: None,
        expected: expected.to_owned(),
    };
    match error {
        MintError::NoActiveKey(_) => Report {
            status: StatusCode::SERVICE_UNAVAILABLE,
            error: "no_active_key",
            field: None,
            expected: "an active key for the organisation, which the operator has to configure"
                .to_owned(),
        },
        MintError::TooLong { .. } => long("token_too_long", "a shorter value of the longest claim"),
        MintError::TooMany { .. } => long("too_many_entries", "fewer entries"),
        MintError::Claims(ClaimError::ForeignStream { owner, .. }) => {
            foreign("stream_forbidden", owner)
        }
        MintError::Claims(ClaimError::ForeignOrganisation { owner, .. }) => {
            foreign("orga_forbidden", owner)
        }
        // Nothing that can be asked for comes out inconsistent; a clock before 1970 does.
        MintError::Claims(
            ClaimError::Truncated
            | ClaimError::UnknownType(_)
            | ClaimError::Order(_)
            | ClaimError::Value(_)
            | ClaimError::Missing(_)
            | ClaimError::Scope
            | ClaimError::Mask { .. }
            | ClaimError::CutWithoutExpiry,
        ) => internal(),
    }
}

fn internal() -> Report {
    Report {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        error: "internal",
        field: None,
        expected: "the same request later; the fault is not the request's".to_owned(),
    }
}

/// What a field has to be.
fn form_of(field: Field) -> String {
    match field {
        Field::Streamname => "1 to 128 characters of A-Z a-z 0-9 . _ ~ -, such as abcde-stream1",
        Field::Orga => "an organisation hash: 5 or 6 characters of A-Z a-z 0-9, such as abcde",
        Field::Streamnames => return a_batch(),
        Field::Tag => "at most 256 bytes of UTF-8 without control characters",
        Field::Expires => "Unix time in whole seconds, such as 1700000000",
        Field::Ip => "one IPv4 or IPv6 address without a prefix length, port or zone, such as 192.0.2.1 or 2001:db8::1",
        Field::Referer => {
            "a domain name of at least two labels of 1 to 63 letters, digits and inner hyphens, at most 253 characters, \
             without scheme, port, path or wildcard, such as example.com"
        }
    }
    .to_owned()
}

fn between(now: UnixSeconds, latest: UnixSeconds) -> String {
    format!("Unix time in whole seconds, after {now} and at most {latest}")
}

fn an_object() -> String {
    format!("one JSON object in UTF-8, of {}", all_fields())
}

fn a_batch() -> String {
    format!(
        "an array of 1 to {BATCH_LIMIT} strings, each {}",
        form_of(Field::Streamname)
    )
}

fn a_scope() -> String {
    "exactly one of streamname, orga and streamnames; \"\" counts as absent".to_owned()
}

fn all_fields() -> String {
    Field::ALL.map(Field::name).join(", ")
}

#[derive(Serialize)]
struct Body<'a> {
    error: &'a str,
    field: Option<&'a str>,
    message: &'a str,
    expected: &'a str,
}
