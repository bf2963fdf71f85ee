//! Switches that were sent to the media server, oldest first, until it is known what became of them.
//!
//! Players switch without waiting for an answer, and a media server may answer the last switch alone. So an answer settles
//! the switches before it as well, and a switch without an answer stops waiting at its deadline. What the media server did
//! with such a switch is not known, and it may still take it: that is why it is kept ([`State`]). Pure: the time is an
//! argument.

use tokio::time::Instant;

use super::Outcome;
use super::switch::{Answer, Names};
use crate::session::live::PendingId;

/// The most switches that wait at once. A player that switches every 600 ms has 17 within the default deadline.
const WAITING_LIMIT: usize = 24;

/// The most switches that are kept at once, those that wait no longer among them. A media server that answers none of so many
/// does not support switches.
const KNOWN_LIMIT: usize = 64;

/// The gate's ids for switches that the viewer named in no way are above this. Players count from 1.
const FIRST_ID: u32 = 1_000_000_000;

/// All switches of one connection.
#[derive(Debug, Default)]
pub(super) struct Switches {
    known: Vec<Pending>,
    /// How many ids the gate has given.
    ids: u32,
    /// The media server's answer to the connect has come, or can come no more, since media has.
    connect_is_over: bool,
}

#[derive(Debug)]
struct Pending {
    id: PendingId,
    names: Names,
    state: State,
    /// An answer came that may have been to this switch or to another; the same holds for every later answer by its names.
    shares_answers: bool,
}

/// How far a switch has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// An answer is due by then.
    Waiting(Instant),
    /// No answer came in time, or a later switch was answered as not taken. It may be in force until a later one is.
    Overdue,
    /// A later one is in force. Until this time an answer may still come, out of order.
    Superseded(Instant),
}

impl Switches {
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// An id for the next switch, to be used if the viewer named it in no way.
    pub(super) fn next_id(&mut self) -> u32 {
        self.ids = self.ids.wrapping_add(1);
        FIRST_ID.saturating_add(self.ids)
    }

    /// Whether one more may go to the media server.
    pub(super) fn have_room(&self) -> bool {
        let waiting = |one: &&Pending| matches!(one.state, State::Waiting(_));
        self.known.len() < KNOWN_LIMIT && self.known.iter().filter(waiting).count() < WAITING_LIMIT
    }

    /// Adds one that was sent to the media server; its answer is due by `until`.
    pub(super) fn push(&mut self, id: PendingId, names: Names, until: Instant) {
        self.known.push(Pending {
            id,
            names,
            state: State::Waiting(until),
            shares_answers: false,
        });
    }

    /// When [`expire`](Self::expire) has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let until = |one: &Pending| match one.state {
            State::Waiting(until) | State::Superseded(until) => Some(until),
            State::Overdue => None,
        };
        self.known.iter().filter_map(until).min()
    }

    /// From here on an answer that is named like the one to the connect is a switch's.
    pub(super) fn connect_is_over(&mut self) {
        self.connect_is_over = true;
    }

    /// What an answer of the media server means for the switch that it names, and for those before it.
    ///
    /// An answer may fit several switches. A success counts for the oldest of them: everything before it is replaced for
    /// certain, and the newer ones stay as switches that may be in force. A failure removes none of them, since any of them
    /// may be the one that was taken.
    pub(super) fn answer(&mut self, answer: &Answer) -> Vec<(PendingId, Outcome)> {
        if answer.is_named_as_the_connects() && !self.connect_is_over {
            self.connect_is_over = true;
            return Vec::new();
        }
        let by_id = |one: &Pending| one.names.are_in(answer) && one.names.have_id_of(answer);
        let has_id = self.known.iter().any(by_id);
        let is_meant = |one: &Pending| {
            if has_id {
                by_id(one)
            } else {
                one.names.are_in(answer)
            }
        };
        let (Some(first), Some(last)) = (
            self.known.iter().position(is_meant),
            self.known.iter().rposition(is_meant),
        ) else {
            return Vec::new();
        };
        if first != last {
            let meant = self.known.iter_mut().filter(|one| is_meant(one));
            meant.for_each(|one| one.shares_answers = true);
        }
        if answer.taken {
            self.take(first)
        } else {
            self.fail(last)
        }
    }

    /// The switch at `index` was taken, or a newer one that shares its answers.
    fn take(&mut self, index: usize) -> Vec<(PendingId, Outcome)> {
        let taken = self.known.remove(index).id;
        let mut place = 0;
        let mut outcomes = Vec::new();
        self.known.retain_mut(|one| {
            place += 1;
            if place > index {
                return true;
            }
            match one.state {
                State::Waiting(until) => {
                    one.state = State::Superseded(until);
                    outcomes.push((one.id, Outcome::Superseded));
                    true
                }
                State::Overdue => {
                    outcomes.push((one.id, Outcome::NotTaken));
                    false
                }
                State::Superseded(_) => true,
            }
        });
        outcomes.push((taken, Outcome::Taken));
        outcomes
    }

    /// The switch at `index` was not taken, or an older one that shares its answers. The older ones wait no longer.
    fn fail(&mut self, index: usize) -> Vec<(PendingId, Outcome)> {
        let is_sure = |one: &Pending| !one.shares_answers;
        let failed = self.known.get(index).is_some_and(is_sure);
        let failed = failed.then(|| self.known.remove(index).id);
        let before = if failed.is_some() { index } else { index + 1 };
        let mut outcomes = Vec::new();
        for one in self.known.iter_mut().take(before) {
            if let State::Waiting(_) = one.state {
                one.state = State::Overdue;
                outcomes.push((one.id, Outcome::Overdue));
            }
        }
        outcomes.extend(failed.map(|id| (id, Outcome::NotTaken)));
        outcomes
    }

    /// Changes the state of all whose time is over.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<(PendingId, Outcome)> {
        let mut outcomes = Vec::new();
        self.known.retain_mut(|one| match one.state {
            State::Waiting(until) if until <= now => {
                one.state = State::Overdue;
                outcomes.push((one.id, Outcome::Overdue));
                true
            }
            State::Superseded(until) if until <= now => {
                outcomes.push((one.id, Outcome::NotTaken));
                false
            }
            State::Waiting(_) | State::Superseded(_) | State::Overdue => true,
        });
        outcomes
    }
}
