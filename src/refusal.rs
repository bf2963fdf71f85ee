//! The one map from what went wrong to what the outside is told: a close code, an HTTP status, a label for the metrics,
//! and whose fault it is. Exhaustive: a new denial does not compile until it has all four.
//!
//! Each code makes a player do the right thing (protocol.md 3): 4500 and 4503 are retried, the others are final. The reason
//! text is `code NNNN RECEIPT` and never says more, since more would help a forger.

use http::StatusCode;

use crate::decision::denial::Reason;
use crate::relay::frame::{self, BrokenClose, opcode};
use crate::relay::{Cause, Farewell};
use crate::request::strict::Rejection;
use crate::session::ends::Kick;
use crate::session::id::Receipt;
use crate::token::TokenError;
use crate::upstream::UpstreamError;

/// The check passed (the answer to `checkandclose`).
pub const CHECK_PASSED: u16 = 4200;
/// WebSocket's own code for a peer that breaks the protocol (RFC 6455 section 7.4.1).
const PROTOCOL_ERROR: u16 = 1002;
/// WebSocket's own code for text that is not UTF-8.
const NOT_UTF8: u16 = 1007;
const BAD_REQUEST: u16 = 4400;
const WRONG_UPSTREAM: u16 = 4500;
const UNAVAILABLE: u16 = 4503;
const DENIED: u16 = 4901;
const EXPIRED_OR_MISSING: u16 = 4903;

/// Which side has to mend it. Only [`Ours`](Fault::Ours) is worth an alert to the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The viewer, its page, or the issuer of its token.
    Client,
    /// A media server.
    Upstream,
    /// The gate or its operator.
    Ours,
}

/// What the outside is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The close code, also in band and in an HTTP answer's body.
    pub code: u16,
    /// The status of an HTTP answer.
    pub status: StatusCode,
    /// The reason in metrics and logs.
    pub label: &'static str,
    /// Which side has to mend it.
    pub fault: Fault,
}

impl Refusal {
    const fn new(code: u16, status: StatusCode, label: &'static str, fault: Fault) -> Self {
        Self {
            code,
            status,
            label,
            fault,
        }
    }

    /// Whether players retry after the code.
    #[must_use]
    pub const fn is_retried(&self) -> bool {
        matches!(self.code, WRONG_UPSTREAM | UNAVAILABLE)
    }

    /// The close frame that carries the code and a receipt.
    #[must_use]
    pub fn farewell(&self, receipt: Receipt) -> Farewell {
        Farewell {
            frame: close_frame(self.code, receipt),
            retried: self.is_retried(),
        }
    }
}

/// A close frame of the gate.
#[must_use]
pub fn close_frame(code: u16, receipt: Receipt) -> Vec<u8> {
    // Old browsers read the code from the reason's second word.
    frame::from_server(
        opcode::CLOSE,
        &frame::close_payload(code, &format!("code {code} {receipt}")),
    )
}

impl From<&Reason> for Refusal {
    fn from(reason: &Reason) -> Self {
        use Fault::{Client, Ours};
        let bad = |label| Self::new(BAD_REQUEST, StatusCode::BAD_REQUEST, label, Client);
        let denied = |label| Self::new(DENIED, StatusCode::FORBIDDEN, label, Client);
        let late = |label| Self::new(EXPIRED_OR_MISSING, StatusCode::FORBIDDEN, label, Client);
        let busy = |label| Self::new(UNAVAILABLE, StatusCode::SERVICE_UNAVAILABLE, label, Ours);
        match reason {
            Reason::Malformed(_) => bad("malformed"),
            Reason::Token(TokenError::Malformed { .. }) => denied("token_malformed"),
            Reason::Token(TokenError::Missing(_)) => late("token_missing"),
            Reason::Token(TokenError::UnknownKey(_)) => denied("unknown_key"),
            Reason::Token(TokenError::Signature(_)) => denied("signature"),
            Reason::Token(TokenError::Claims(_)) => denied("claims"),
            Reason::Revoked(_) => denied("revoked"),
            Reason::NotYetValid { .. } => late("not_yet_valid"),
            Reason::Expired { .. } => late("expired"),
            Reason::ExpiresRequired => late("expires_required"),
            Reason::LifetimeTooLong { .. } => denied("lifetime"),
            Reason::OutOfScope { .. } => denied("stream"),
            Reason::Referer { .. } => denied("referer"),
            Reason::Address { .. } => denied("address"),
            Reason::Placeless => denied("address_unknown"),
            Reason::Ticket => denied("ticket"),
            Reason::Link => denied("link"),
            // Retried by a viewer that has moved, until its old place is silent.
            Reason::Elsewhere { .. } => Self {
                fault: Client,
                ..busy("elsewhere")
            },
            Reason::Restless { .. } => denied("restless"),
            Reason::TooManySessions { .. } => denied("sessions"),
            // Only ever sent in band, where the present stream plays on: the code says that another try is worth it.
            Reason::TooManySwitches => Self {
                fault: Client,
                ..busy("switches")
            },
            Reason::Overloaded => busy("overloaded"),
            Reason::TokenShare { .. } => busy("token_share"),
            Reason::NetworkShare { .. } => busy("network_share"),
            Reason::PlaylistMemory => busy("playlist_memory"),
            Reason::OwnPlaylists => busy("own_playlists"),
            Reason::Draining => busy("draining"),
        }
    }
}

impl From<UpstreamError> for Refusal {
    fn from(error: UpstreamError) -> Self {
        use Fault::Upstream;
        match error {
            UpstreamError::Refused => Self::new(
                UNAVAILABLE,
                StatusCode::BAD_GATEWAY,
                "upstream_refused",
                Upstream,
            ),
            UpstreamError::UnknownName => Self::new(
                UNAVAILABLE,
                StatusCode::BAD_GATEWAY,
                "upstream_unknown_name",
                Upstream,
            ),
            UpstreamError::Unreachable | UpstreamError::Lost => Self::new(
                UNAVAILABLE,
                StatusCode::BAD_GATEWAY,
                "upstream_unreachable",
                Upstream,
            ),
            UpstreamError::Outage => Self::new(
                UNAVAILABLE,
                StatusCode::BAD_GATEWAY,
                "upstream_outage",
                Upstream,
            ),
            UpstreamError::ServerFault(_) | UpstreamError::Busy(_) => Self::new(
                UNAVAILABLE,
                StatusCode::BAD_GATEWAY,
                "upstream_fault",
                Upstream,
            ),
            // A stream that is not there, or not for this viewer, is not there at the next try either: 4400 is final in
            // all players, which then turn to the page or to their next entry. 4403 would say it, but means access denied
            // to 3.x and 4.x players and a stopped stream to 5.x; 4901 would blame the token, which the gate has found good.
            UpstreamError::NoStream(_) => Self::new(
                BAD_REQUEST,
                StatusCode::NOT_FOUND,
                "upstream_no_stream",
                Fault::Client,
            ),
            UpstreamError::TooLate => Self::new(
                UNAVAILABLE,
                StatusCode::GATEWAY_TIMEOUT,
                "upstream_late",
                Upstream,
            ),
            UpstreamError::WrongStatus(_) | UpstreamError::WrongAnswer(_) => Self::new(
                WRONG_UPSTREAM,
                StatusCode::BAD_GATEWAY,
                "upstream_wrong_answer",
                Upstream,
            ),
        }
    }
}

impl From<Cause> for Refusal {
    /// What a viewer is told at the end of a relay. Where the viewer is gone or closed first, the code is only for the log.
    fn from(cause: Cause) -> Self {
        use Fault::{Client, Upstream};
        let end = |code, label, fault| Self::new(code, StatusCode::OK, label, fault);
        match cause {
            Cause::ViewerClosed => end(1000, "viewer_closed", Client),
            Cause::ViewerGone => end(1000, "viewer_gone", Client),
            Cause::ViewerSilent => end(1000, "viewer_silent", Client),
            Cause::ViewerStalled => end(1000, "viewer_stalled", Client),
            Cause::Violation(_) => end(BAD_REQUEST, "violation", Client),
            Cause::ViewerClosedWrongly(BrokenClose::Code) => {
                end(PROTOCOL_ERROR, "violation", Client)
            }
            Cause::ViewerClosedWrongly(BrokenClose::Reason) => end(NOT_UTF8, "violation", Client),
            Cause::ServerClosed(_) => end(1000, "server_closed", Upstream),
            Cause::ServerGoingAway => end(UNAVAILABLE, "server_going_away", Upstream),
            Cause::ServerLost => end(UNAVAILABLE, "server_lost", Upstream),
            Cause::MediaIdle => end(UNAVAILABLE, "media_idle", Upstream),
            Cause::Kicked(kick) => Self::from(kick),
        }
    }
}

impl From<Kick> for Refusal {
    /// What a viewer is told when the gate ends its playback.
    fn from(kick: Kick) -> Self {
        use Fault::{Client, Ours};
        let denied = |label, fault| Self::new(DENIED, StatusCode::FORBIDDEN, label, fault);
        match kick {
            Kick::Revoked => denied("revoked", Client),
            Kick::Expired => {
                let status = StatusCode::FORBIDDEN;
                Self::new(EXPIRED_OR_MISSING, status, "expired", Client)
            }
            Kick::Operator => denied("operator", Ours),
            Kick::Superseded => denied("superseded", Client),
            Kick::Crowded => denied("sessions", Client),
            Kick::Drain => {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                Self::new(UNAVAILABLE, status, "draining", Ours)
            }
        }
    }
}

/// The status and the label for a request that no endpoint answers.
#[must_use]
pub fn rejection(rejection: Rejection) -> (StatusCode, &'static str) {
    match rejection {
        Rejection::NotFound => (StatusCode::NOT_FOUND, "not_found"),
        Rejection::Method => (StatusCode::METHOD_NOT_ALLOWED, "method"),
        Rejection::UpgradeRequired => (StatusCode::UPGRADE_REQUIRED, "upgrade_required"),
        Rejection::OldVersion => (StatusCode::BAD_REQUEST, "old_version"),
        Rejection::Handshake => (StatusCode::BAD_REQUEST, "handshake"),
        Rejection::TargetTooLong => (StatusCode::URI_TOO_LONG, "target_too_long"),
        Rejection::Target => (StatusCode::BAD_REQUEST, "target"),
        Rejection::Host => (StatusCode::BAD_REQUEST, "host"),
        Rejection::Body => (StatusCode::BAD_REQUEST, "body"),
    }
}
