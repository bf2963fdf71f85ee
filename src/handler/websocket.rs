//! Playback over a WebSocket.

pub mod admission;
pub mod dialling;
pub mod ending;
pub mod switch;

use crate::decision::permit::Permit;
use crate::hls::player_pages::OpenPage;
use crate::refusal::Refusal;
use crate::relay::{Cause, Farewell, Silence};
use crate::request::Flags;
use crate::session::guard::SessionGuard;
use crate::session::id::Receipt;
use crate::token::Security;
use crate::upstream::failure::UpstreamFailure;
use crate::upstream::head::RequestHead;

/// How a handshake is answered.
#[derive(Debug)]
pub enum Answer {
    /// By a 101.
    Switch {
        /// What follows it.
        admission: Admission,
        /// Of a refusal, for the head of the 101.
        receipt: Option<Receipt>,
    },
    /// By the status of a refusal, where the operator wants that.
    Status {
        /// The refusal.
        refusal: Refusal,
        /// Its name.
        receipt: Receipt,
    },
}

/// What follows the 101.
#[derive(Debug)]
pub enum Admission {
    /// A playback may start.
    Play(Box<Playback>),
    /// Nothing but a close frame.
    Close(Farewell),
}

/// A playback that may start.
#[derive(Debug)]
pub struct Playback {
    /// What was allowed.
    pub permit: Permit,
    /// Its session.
    pub guard: SessionGuard,
    /// The handshake for the media server.
    pub head: RequestHead,
    /// Its token, by which its switches are decided that bring none.
    pub security: Security,
    /// What the player asked for.
    pub flags: Flags,
    /// Where its player's HLS has its page from.
    pub page: Option<Box<OpenPage>>,
}

impl Playback {
    /// What stays when the media server has answered; the rest is given back to the allocator.
    #[expect(clippy::boxed_local, reason = "the box is given back, too")]
    #[must_use]
    pub fn into_running(
        self: Box<Self>,
    ) -> (SessionGuard, Security, Silence, Option<Box<OpenPage>>) {
        let silence = match self.flags {
            Flags {
                meta_stream_only: true,
                ..
            } => Silence::Always,
            Flags { paused: true, .. } => Silence::Paused,
            Flags { .. } => Silence::Never,
        };
        (self.guard, self.security, silence, self.page)
    }
}

/// Why a granted playback has no media server.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NoServer {
    /// There is none to be had.
    #[error(transparent)]
    Upstream(UpstreamFailure),
    /// The session was ended, or the viewer left.
    #[error("{0:?} while a media server was dialled")]
    Interrupted(Cause),
}

impl From<&NoServer> for Refusal {
    fn from(why: &NoServer) -> Self {
        match why {
            NoServer::Upstream(failure) => Self::from(failure.error),
            NoServer::Interrupted(cause) => Self::from(*cause),
        }
    }
}
