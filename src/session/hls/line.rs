//! The playbacks in the order in which they are asked to make way, where there is no room: the oldest first, and who plays
//! goes to the end.

use std::collections::VecDeque;
use std::sync::Mutex;

use super::super::id::SessionId;
use super::lock;

/// How many that play are passed over in search of one that makes way.
const PASSED_OVER: usize = 32;

/// How many names may stand here beyond twice as many as there are playbacks, before those that mean nothing any more are
/// looked for.
const SPARE: usize = 64;

/// Their names; among them those of playbacks that are over.
#[derive(Debug, Default)]
pub(super) struct Line(Mutex<VecDeque<SessionId>>);

/// What becomes of the first one when room is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It makes way.
    Goes,
    /// It plays.
    Stays,
    /// There is no such playback any more.
    Forgotten,
}

impl Line {
    /// A playback that has just begun.
    pub(super) fn push(&self, id: SessionId) {
        lock(&self.0).push_back(id);
    }

    /// Lets `decide` judge one after the other until one of them goes; whether one did. No lock is held meanwhile.
    pub(super) fn make_way(&self, mut decide: impl FnMut(SessionId) -> Fate) -> bool {
        let mut passed_over = 0;
        while passed_over < PASSED_OVER {
            let Some(id) = lock(&self.0).pop_front() else {
                return false;
            };
            match decide(id) {
                Fate::Goes => return true,
                Fate::Forgotten => {}
                Fate::Stays => {
                    passed_over += 1;
                    self.push(id);
                }
            }
        }
        false
    }

    /// Drops the names that mean nothing any more, when they are many beside the `playing` ones.
    pub(super) fn tidy(&self, playing: usize, plays: impl Fn(SessionId) -> bool) {
        let mut names = lock(&self.0);
        if names.len() > 2 * playing + SPARE {
            names.retain(|id| plays(*id));
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        lock(&self.0).len()
    }
}
