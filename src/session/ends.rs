//! Why and when a session is ended by the gate.

use tokio::time::Instant;

/// Why a session is ended by the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kick {
    /// Its token was revoked.
    Revoked,
    /// Its token expired and says that this ends the session.
    Expired,
    /// An operator ended it.
    Operator,
    /// The same player plays on by a newer socket.
    Superseded,
    /// It gets media, though it asked for metadata alone, and there is no seat for that.
    Crowded,
    /// The gate is stopping.
    Drain,
}

impl Kick {
    /// Whether nothing undoes it: no renewed token, no newer socket that goes first, and no other end.
    #[must_use]
    pub fn is_final(self) -> bool {
        match self {
            Self::Revoked | Self::Expired | Self::Operator | Self::Crowded => true,
            Self::Superseded | Self::Drain => false,
        }
    }
}

/// The ends that were asked for, each kind for itself, so that what undoes one of them undoes no other. Beside them is the
/// expiry of a token that cuts, which the token tells.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ends {
    /// When the newer socket of its player has the seat alone; undone when that one goes first.
    pub(super) superseded: Option<Instant>,
    /// When it is sent away because the gate stops; over HTTP it goes on with the process that comes next.
    pub(super) drained: Option<Instant>,
    /// What nothing undoes.
    pub(super) last: Option<(Instant, Kick)>,
}

impl Ends {
    /// Adds one; of a kind that is there already the sooner one counts.
    pub(super) fn add(&mut self, at: Instant, kick: Kick) {
        let end = match kick {
            Kick::Superseded => &mut self.superseded,
            Kick::Drain => &mut self.drained,
            Kick::Revoked | Kick::Expired | Kick::Operator | Kick::Crowded => {
                if self.last.is_none_or(|(sooner, _)| at < sooner) {
                    self.last = Some((at, kick));
                }
                return;
            }
        };
        *end = Some(end.map_or(at, |sooner| sooner.min(at)));
    }

    /// The one that comes first, `cut` among them. One that nothing undoes, or else the cut, goes before the others when its
    /// time has come, though their time may have come earlier and was not acted on yet.
    pub(super) fn next(&self, cut: Option<Instant>, now: Instant) -> Option<(Instant, Kick)> {
        let cut = cut.map(|at| (at, Kick::Expired));
        let undoable = [
            (self.superseded, Kick::Superseded),
            (self.drained, Kick::Drain),
        ];
        let undoable = undoable
            .into_iter()
            .filter_map(|(at, kick)| Some((at?, kick)));
        let is_due = |(at, _): &(Instant, Kick)| *at <= now;
        let due = self.last.filter(is_due).or(cut.filter(is_due));
        due.or_else(|| {
            let final_ones = self.last.into_iter().chain(cut);
            final_ones.chain(undoable).min_by_key(|(at, _)| *at)
        })
    }
}
