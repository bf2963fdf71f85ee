//! Switches that went to the media server, oldest first, until its word on them is known.
//!
//! Players switch without waiting for an answer, and a media server may answer the last switch alone. So an answer settles
//! the switches before it as well, and one without an answer stops waiting at its deadline. What the media server did with
//! those is not known: it may still take one, which is why they are kept ([`State`]). Pure: the time is an argument.

use tokio::time::Instant;

use super::Outcome;
use super::switch::{Answer, Names};
use crate::session::guard::PendingId;

/// The most switches that wait at once. A player that switches every 600 ms has 17 within the default deadline.
const WAITING_LIMIT: usize = 24;

/// The most switches that are known at once, those that wait no longer among them. A media server that answers none of so
/// many does not know switches.
const KNOWN_LIMIT: usize = 64;

/// What the gate calls the first switch that the viewer gave no name. Players count from 1.
const FIRST_ID: u32 = 1_000_000_000;

/// All of one connection.
#[derive(Debug, Default)]
pub(super) struct Switches {
    known: Vec<Pending>,
    /// How many the gate had a name for.
    ids: u32,
}

#[derive(Debug)]
struct Pending {
    id: PendingId,
    names: Names,
    state: State,
}

/// How far a switch has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// An answer is due by then.
    Waiting(Instant),
    /// No answer came in time, or one to a later switch that the media server did not take. It may be in force until a
    /// later one is.
    Overdue,
    /// A later one is in force. Until then an answer may still come, out of turn.
    Superseded(Instant),
}

impl Switches {
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// A name for one more, if it has none of its own.
    pub(super) fn next_id(&mut self) -> u32 {
        self.ids = self.ids.wrapping_add(1);
        FIRST_ID.saturating_add(self.ids)
    }

    /// Whether one more may go to the media server.
    pub(super) fn have_room(&self) -> bool {
        let waiting = |one: &&Pending| matches!(one.state, State::Waiting(_));
        self.known.len() < KNOWN_LIMIT && self.known.iter().filter(waiting).count() < WAITING_LIMIT
    }

    /// One more has gone to the media server, whose answer is due by `until`.
    pub(super) fn push(&mut self, id: PendingId, names: Names, until: Instant) {
        self.known.push(Pending {
            id,
            names,
            state: State::Waiting(until),
        });
    }

    /// When the next one has waited long enough.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let until = |one: &Pending| match one.state {
            State::Waiting(until) | State::Superseded(until) => Some(until),
            State::Overdue => None,
        };
        self.known.iter().filter_map(until).min()
    }

    /// What the media server's word means: for the switch that it names, and for those before it.
    pub(super) fn answer(&mut self, answer: &Answer) -> Vec<(PendingId, Outcome)> {
        let find = |waiting: bool| {
            self.known.iter().position(|one| {
                matches!(one.state, State::Waiting(_)) == waiting && one.names.are_in(answer)
            })
        };
        let mut known = self.known.iter();
        let given = known.position(|one| one.names.are_given_in(answer));
        let Some(index) = given.or_else(|| find(true)).or_else(|| find(false)) else {
            return Vec::new();
        };
        let answered = self.known.remove(index).id;
        let mut place = 0;
        let mut outcomes = Vec::new();
        self.known.retain_mut(|one| {
            place += 1;
            if place > index {
                return true;
            }
            let (state, outcome) = match (one.state, answer.taken) {
                (State::Waiting(until), true) => {
                    (Some(State::Superseded(until)), Outcome::Superseded)
                }
                (State::Waiting(_), false) => (Some(State::Overdue), Outcome::Overdue),
                (State::Overdue, true) => (None, Outcome::NotTaken),
                (State::Overdue, false) | (State::Superseded(_), _) => return true,
            };
            outcomes.push((one.id, outcome));
            one.state = state.unwrap_or(one.state);
            state.is_some()
        });
        let outcome = if answer.taken {
            Outcome::Taken
        } else {
            Outcome::NotTaken
        };
        outcomes.push((answered, outcome));
        outcomes
    }

    /// Those that have waited long enough.
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
