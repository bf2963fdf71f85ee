//! Sessions in the order in which they are asked to make way, where there is no room: those that have begun and were
//! not asked yet before the others, and of each the oldest first.

use std::collections::VecDeque;
use std::sync::Mutex;

use super::id::SessionId;
use super::lock;

/// How many that play are passed over in search of one that makes way.
const PASSED_OVER: usize = 32;

/// How many are looked at for the first time in one search.
const NEWCOMERS: usize = 1024;

/// How many names may stand here beyond twice as many as there are sessions, before those that mean nothing any more are
/// looked for.
const SPARE: usize = 16;

/// Their names; among them those of sessions that are gone.
#[derive(Debug, Default)]
pub(crate) struct EvictionQueue(Mutex<Names>);

#[derive(Debug, Default)]
struct Names {
    newcomers: VecDeque<SessionId>,
    /// Those that once did not make way.
    others: VecDeque<SessionId>,
}

/// What becomes of one when room is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Candidate {
    /// It makes way.
    Evicted,
    /// It plays.
    Plays,
    /// It has begun and waits for what it asked for.
    Waits,
    /// There is no such session any more.
    Gone,
}

impl EvictionQueue {
    /// A session that has just begun.
    pub(crate) fn push(&self, id: SessionId) {
        lock(&self.0).newcomers.push_back(id);
    }

    /// Drops the names that mean nothing any more, when they are many beside the `playing` ones.
    pub(crate) fn tidy(&self, playing: usize, plays: impl Fn(SessionId) -> bool) {
        let mut names = lock(&self.0);
        if names.len() > 2 * playing + SPARE {
            names.newcomers.retain(|id| plays(*id));
            names.others.retain(|id| plays(*id));
        }
    }

    /// Lets `decide` judge one after the other until one of them goes; whether one did. No lock is held meanwhile.
    pub(crate) fn evict(&self, mut decide: impl FnMut(SessionId) -> Candidate) -> bool {
        let mut passed_over = 0;
        for _ in 0..NEWCOMERS {
            let Some(id) = lock(&self.0).newcomers.pop_front() else {
                break;
            };
            match decide(id) {
                Candidate::Evicted => return true,
                Candidate::Gone => {}
                Candidate::Plays => lock(&self.0).others.push_back(id),
                Candidate::Waits => {
                    lock(&self.0).newcomers.push_back(id);
                    passed_over += 1;
                    if passed_over == PASSED_OVER {
                        break;
                    }
                }
            }
        }
        let mut passed_over = 0;
        while passed_over < PASSED_OVER {
            let Some(id) = lock(&self.0).others.pop_front() else {
                return false;
            };
            match decide(id) {
                Candidate::Evicted => return true,
                Candidate::Gone => {}
                Candidate::Plays | Candidate::Waits => {
                    passed_over += 1;
                    lock(&self.0).others.push_back(id);
                }
            }
        }
        false
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        lock(&self.0).len()
    }
}

impl Names {
    fn len(&self) -> usize {
        self.newcomers.len() + self.others.len()
    }
}
