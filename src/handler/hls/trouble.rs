//! Why a request that was admitted has no answer.

use std::sync::Arc;

use crate::decision::denial::Reason;
use crate::gate::reloads::Known;
use crate::gate::sharing::Failure;
use crate::hls::playlist::{Directives, Reach};
use crate::upstream::UpstreamError;
use crate::upstream::failure::{Evidence, UpstreamFailure};
use crate::upstream::head::NotATarget;

use super::super::refused::{Refused, Subject};
use super::Trouble;
use super::admitted::Admitted;
use super::media_request::MediaRequest;

/// Why there is no answer.
pub fn troubled(failure: Failure, admitted: &Admitted) -> Trouble {
    match failure {
        Failure::Upstream(error) => error.into(),
        Failure::Status(status, after, evidence) => Trouble::Status(status, after, evidence),
        Failure::NoRoom => refused(Reason::PlaylistMemory, admitted),
    }
}

/// A refusal of a request that was admitted.
pub fn refused(reason: Reason, admitted: &Admitted) -> Trouble {
    Trouble::from(Refused {
        denial: reason.into(),
        address: admitted.permit.address(),
        request: None,
        subject: Subject {
            session: Some(admitted.session.id()),
            stream: Some(admitted.permit.stream().clone()),
            path: None,
        },
    })
}

/// What of a viewer's wish the playlist is asked for with.
pub fn in_reach(known: Option<&Known>, wanted: &MediaRequest) -> Result<Directives, Trouble> {
    match known.map(|known| known.reload.reach(wanted.asked)) {
        // The playlist as it is says what may be waited for.
        None => Ok(Directives::default()),
        Some(Reach::Ask(directives)) => Ok(directives),
        // Section 6.2.5.2 of the draft.
        Some(Reach::TooFar) => Err(Trouble::TooFar),
    }
}

/// What a playback was to begin with is no playlist.
pub fn no_beginning(evidence: Arc<Evidence>) -> Trouble {
    Trouble::Upstream(UpstreamFailure {
        error: UpstreamError::WrongAnswer("no playlist to begin with"),
        evidence: Some(evidence),
    })
}

/// A path that the media server named and that cannot be asked for.
pub fn not_a_target(_: NotATarget) -> UpstreamError {
    UpstreamError::WrongAnswer("a path that cannot be asked for")
}
