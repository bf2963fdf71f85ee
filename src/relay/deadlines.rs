//! When something is due, and what is done then. Every wait of a relay has a deadline, and what is done at a deadline always
//! moves it: with a deadline that stays in the past the task would be polled for ever.

use tokio::time::Instant;

use crate::listener::socket::Side;

use super::{Authority, Cause, Relay, Silence, ViewerSide};

/// Unanswered pings after which a quiet viewer is gone.
const PINGS_UNANSWERED: u8 = 2;

impl<V, S, A> Relay<'_, V, S, A>
where
    V: Side,
    S: Side,
    A: Authority,
{
    /// The nearest time at which something is due.
    pub(super) fn next_deadline(&self) -> Instant {
        match &self.close {
            Some(close) if !close.due => close.not_before,
            Some(close) => self
                .stall_deadline()
                .map_or(close.give_up, |stall| stall.min(close.give_up)),
            None => {
                let asked = self.asked.map(|(at, _)| at);
                let (switches, held) = (self.switches.deadline(), self.held_until);
                [self.viewer_deadline(), asked, switches, held]
                    .into_iter()
                    .flatten()
                    .fold(self.patience(), Ord::min)
            }
        }
    }

    /// Does what is due; the cause when the relay is over.
    pub(super) fn on_deadline(&mut self, now: Instant) -> Option<Cause> {
        let stalled = self.stall_deadline().is_some_and(|stall| stall <= now);
        if let Some(close) = &mut self.close {
            close.due |= close.not_before <= now;
            return (close.give_up <= now || stalled && close.due).then_some(close.cause);
        }
        if stalled {
            return Some(Cause::ViewerStalled);
        }
        self.held_until = self.held_until.filter(|until| *until > now);
        if self.switches.deadline().is_some_and(|end| end <= now) {
            let overdue = self.switches.expire(now);
            self.settle(overdue);
        }
        if self.viewer_deadline().is_some_and(|end| end <= now) {
            match self.viewer_side {
                ViewerSide::Closed(_) => self.begin_close(Cause::ViewerClosed),
                ViewerSide::Open | ViewerSide::Ended(_) => return Some(Cause::ViewerGone),
            }
        } else if let Some((_, kick)) = self.asked.filter(|(at, _)| *at <= now) {
            self.begin_close(Cause::Kicked(kick));
        } else if self.patience() <= now {
            return self.on_silence(now);
        }
        None
    }

    /// Until when the peer that is waited for may be silent. That peer is the viewer while it takes nothing, since the media
    /// server is not read then, and while a ping of a quiet viewer is due; otherwise it is the media server.
    fn patience(&self) -> Instant {
        match self.stall_deadline() {
            Some(stall) => stall,
            None if self.is_quiet() => self.last_contact + self.settings.ping,
            None => self.last_media + self.settings.media_idle,
        }
    }

    /// Until when the other direction goes on after the viewer has ended its own.
    fn viewer_deadline(&self) -> Option<Instant> {
        match self.viewer_side {
            ViewerSide::Open => None,
            ViewerSide::Closed(since) => Some(since + self.settings.linger),
            ViewerSide::Ended(since) => Some(since + self.settings.half_close),
        }
    }

    fn stall_deadline(&self) -> Option<Instant> {
        self.stalled_since
            .map(|since| since + self.settings.write_stall)
    }

    /// Whether the media server may be silent now. Inside a frame it may not, and a ping could not be sent there.
    fn is_quiet(&self) -> bool {
        self.silence != Silence::Never && self.follower.between_frames()
    }

    fn on_silence(&mut self, now: Instant) -> Option<Cause> {
        if !self.is_quiet() {
            self.begin_close(Cause::MediaIdle);
        } else if self.pings == PINGS_UNANSWERED {
            return Some(Cause::ViewerSilent);
        } else {
            self.pings += 1;
            self.last_contact = now;
            self.own_ping = true;
        }
        None
    }
}
