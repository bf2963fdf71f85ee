//! What the relay asks of the step before it, since it decides nothing itself.

use super::end::Cause;
use super::switch::SwitchRequest;
use crate::session::guard::PendingId;

/// Decides for the relay, and is told what happens in it.
pub trait Authority {
    /// Decides a switch: the message for the media server, or why not.
    fn decide(&mut self, request: &SwitchRequest) -> Result<Granted, NotGranted>;
    /// Refuses a switch while too many are waiting for the media server.
    fn too_many(&mut self) -> NotGranted;
    /// Hears what became of a granted switch; [`Overdue`](Outcome::Overdue) and [`Superseded`](Outcome::Superseded) are not
    /// the last word.
    fn settle(&mut self, switch: PendingId, outcome: Outcome);
    /// Hears of a message that was dropped.
    fn dropped(&mut self);
    /// Hears that the media server has said something, before it is closed or lost. Once.
    fn server_speaks(&mut self);
    /// Whether an outage of the media servers is to be hidden from players.
    fn hides_outage(&self) -> bool;
    /// The close frame for an end, and whether players retry after its code.
    fn farewell(&mut self, cause: Cause) -> Farewell;
}

/// A granted switch.
#[derive(Debug)]
pub struct Granted {
    /// Its name until it is answered.
    pub id: PendingId,
    /// The message for the media server.
    pub message: String,
}

/// A switch that goes no further: the player is told this code in band, and what plays goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotGranted(pub u16);

/// What became of a granted switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The media server took it.
    Taken,
    /// The media server did not take it, or can no longer be expected to. It is not heard of again.
    NotTaken,
    /// It waits no longer. The media server may have taken it, or take it later.
    Overdue,
    /// It waits no longer, since the media server took a later one. Its answer may still come, out of turn.
    Superseded,
}

/// The gate's last frame.
#[derive(Debug)]
pub struct Farewell {
    /// The whole frame, behind what has not left yet.
    pub frame: Vec<u8>,
    /// Whether it must not leave before [`RETRY_HOLD`]: players retry after its code, and the outage is hidden as yet.
    pub retried: bool,
}

impl Farewell {
    /// The same behind bytes that have not left yet.
    #[must_use]
    pub fn behind(mut self, bytes: Vec<u8>) -> Self {
        let frame = std::mem::replace(&mut self.frame, bytes);
        self.frame.extend(frame);
        self
    }
}
