//! How one try of a viewer ends.

use std::fmt;
use std::io;

/// Why something could not be loaded or opened. The text is the key in the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The token API gave no token.
    Token,
    /// The connection was refused: the gate listens no more.
    ConnectionRefused,
    /// This machine has no descriptor or port left.
    NoSocket,
    /// Another error of the socket before there was an answer.
    Connection,
    /// No answer in time.
    Timeout,
    /// The connection ended within an answer.
    CutShort,
    /// An HTTP status that is no verdict.
    Status(u16),
    /// An answer that is none of a gate, a playlist that is none, or frames that are none.
    BadAnswer,
    /// A redirect or a playlist that leads away from the gate, or in circles.
    LeadsAway,
    /// Granted, and no media came.
    NoMedia,
    /// The playlist has ended, or nothing new comes in it.
    PlaylistEnded,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token => "token",
            Self::ConnectionRefused => "connection_refused",
            Self::NoSocket => "no_socket",
            Self::Connection => "connection",
            Self::Timeout => "timeout",
            Self::CutShort => "cut_short",
            Self::Status(status) => return write!(f, "http_{status}"),
            Self::BadAnswer => "bad_answer",
            Self::LeadsAway => "leads_away",
            Self::NoMedia => "no_media",
            Self::PlaylistEnded => "playlist_ended",
        })
    }
}

impl From<&io::Error> for Failure {
    fn from(error: &io::Error) -> Self {
        use io::ErrorKind::{AddrInUse, AddrNotAvailable, ConnectionRefused, TimedOut};
        match (error.kind(), error.raw_os_error()) {
            (ConnectionRefused, _) => Self::ConnectionRefused,
            (TimedOut, _) => Self::Timeout,
            (AddrInUse | AddrNotAvailable, _) => Self::NoSocket,
            // EMFILE and ENFILE have no kind of their own.
            (_, Some(23 | 24)) => Self::NoSocket,
            _ => Self::Connection,
        }
    }
}

/// How a playback that had been granted ended before the test did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// With a close code, or with the `code` of an HTTP refusal. 1006 is no close frame at all, 1005 one without a code.
    Code(u16),
    /// Without.
    Failure(Failure),
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => code.fmt(f),
            Self::Failure(failure) => failure.fmt(f),
        }
    }
}

/// How one try of a viewer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It played until the test ended.
    Played,
    /// It lasted until the test ended, and its picture stood still by then.
    StoodStill,
    /// The test ended before there was media.
    Unfinished,
    /// The gate's verdict was a refusal, with this code.
    Refused(u16),
    /// There was no verdict.
    Failed(Failure),
    /// It had been granted and ended too early.
    Lost(Loss),
}

impl End {
    /// Whether a player connects again after it (protocol.md 3).
    #[must_use]
    pub fn is_retried(&self) -> bool {
        match self {
            Self::Played | Self::StoodStill | Self::Unfinished => false,
            Self::Refused(code) | Self::Lost(Loss::Code(code)) => {
                matches!(code, 1002 | 1003 | 1005..=1009 | 1011 | 1015 | 4500 | 4503)
            }
            Self::Failed(_) | Self::Lost(Loss::Failure(_)) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_player_comes_back_after_faults_and_not_after_verdicts() {
        for (end, again) in [
            (End::Played, false),
            (End::StoodStill, false),
            (End::Unfinished, false),
            (End::Refused(4901), false),
            (End::Refused(4903), false),
            (End::Refused(4503), true),
            (End::Failed(Failure::Timeout), true),
            (End::Lost(Loss::Code(1000)), false),
            (End::Lost(Loss::Code(1001)), false),
            (End::Lost(Loss::Code(1006)), true),
            (End::Lost(Loss::Failure(Failure::NoMedia)), true),
        ] {
            assert_eq!(end.is_retried(), again, "{end:?}");
        }
    }
}
