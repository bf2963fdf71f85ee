//! What the relay asks its caller, since it decides nothing itself.

use super::end::Cause;
use super::switch::SwitchRequest;
use crate::session::live::PendingId;

/// Decides for the relay, and is told what happens in it.
pub trait Authority {
    /// Decides a switch: the message for the media server, or why not.
    fn decide(&mut self, request: &SwitchRequest) -> Result<Granted, NotGranted>;
    /// Refuses a switch while too many are waiting for the media server.
    fn too_many(&mut self) -> NotGranted;
    /// Called when the state of a granted switch changes. After [`Overdue`](Outcome::Overdue) and
    /// [`Superseded`](Outcome::Superseded) it is called again.
    fn settle(&mut self, switch: PendingId, outcome: Outcome);
    /// Called for each message of the viewer that is dropped.
    fn dropped(&mut self);
    /// Called once, when the media server has sent its first bytes.
    fn server_speaks(&mut self);
    /// Whether an outage of the media servers is to be hidden from players.
    fn hides_outage(&self) -> bool;
    /// The close frame for an end, and whether players retry after its code.
    fn farewell(&mut self, cause: Cause) -> Farewell;
}

/// A granted switch.
#[derive(Debug)]
pub struct Granted {
    /// Its id until it is answered.
    pub id: PendingId,
    /// The message for the media server.
    pub message: String,
}

/// A refused switch: the player is told this code in band, and the present stream plays on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotGranted(pub u16);

/// What became of a granted switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The media server took it.
    Taken,
    /// The media server did not take it, or can no longer be expected to. This is final.
    NotTaken,
    /// No answer is waited for any more. The media server may have taken it, or may take it later.
    Overdue,
    /// The media server took a later one, so that no answer is waited for any more. It may still come, out of order.
    Superseded,
}

/// The gate's last frame.
#[derive(Debug)]
pub struct Farewell {
    /// The whole frame, after bytes that have not been sent yet.
    pub frame: Vec<u8>,
    /// Whether it must not be sent before [`RETRY_HOLD`](super::RETRY_HOLD), since players retry after its code.
    pub retried: bool,
}

impl Farewell {
    /// The same after `bytes`, which have not been sent yet.
    #[must_use]
    pub fn behind(mut self, bytes: Vec<u8>) -> Self {
        let frame = std::mem::replace(&mut self.frame, bytes);
        self.frame.extend(frame);
        self
    }
}
