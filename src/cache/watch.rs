//! A value that changes while tasks of several threads wait for it.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use slab::Slab;

/// The value, and the wakers of the tasks that wait for its next change. No waker is called or dropped while the lock is held,
/// since either may end a task that has a slot here itself.
#[derive(Debug)]
pub(super) struct Watch<T> {
    inner: Mutex<Inner<T>>,
}

#[derive(Debug)]
struct Inner<T> {
    value: T,
    /// Counts the times that all were woken, so that a slot of an earlier round is known to be void.
    round: u64,
    waiting: Slab<Waker>,
}

/// Where the waker of a waiting task is kept, if it is: its round and its index. It has to be given back by [`Watch::leave`]
/// before it is dropped.
#[derive(Debug, Default)]
pub(super) struct Slot(Option<(u64, usize)>);

impl<T> Watch<T> {
    /// A value that no task waits for yet.
    pub(super) fn new(value: T) -> Self {
        Self {
            inner: Mutex::new(Inner {
                value,
                round: 0,
                waiting: Slab::new(),
            }),
        }
    }

    /// Looks once, now.
    pub(super) fn look<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.lock().value)
    }

    /// Looks, and is woken at the next change when there is nothing yet. One slot holds one waker, the last one's.
    pub(super) fn poll<R>(
        &self,
        slot: &mut Slot,
        cx: &Context<'_>,
        look: impl FnOnce(&T) -> Option<R>,
    ) -> Poll<R> {
        let mut inner = self.lock();
        let found = look(&inner.value);
        let _old = if found.is_some() {
            inner.remove(slot)
        } else {
            inner.enter(slot, cx.waker())
        };
        drop(inner);
        found.map_or(Poll::Pending, Poll::Ready)
    }

    /// Changes the value and wakes all waiting tasks.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let mut inner = self.lock();
        let result = change(&mut inner.value);
        let woken = if inner.waiting.is_empty() {
            Slab::new()
        } else {
            inner.round = inner.round.wrapping_add(1);
            mem::take(&mut inner.waiting)
        };
        drop(inner);
        for (_, waker) in woken {
            waker.wake();
        }
        result
    }

    /// Gives a slot back.
    pub(super) fn leave(&self, slot: &mut Slot) {
        if slot.0.is_some() {
            let _old = self.lock().remove(slot);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Inner<T> {
    /// Takes the slot out; its waker is the caller's to drop, after the lock.
    fn remove(&mut self, slot: &mut Slot) -> Option<Waker> {
        let (round, index) = slot.0.take()?;
        (round == self.round)
            .then(|| self.waiting.try_remove(index))
            .flatten()
    }

    /// Puts a waker in; the one that it replaces is the caller's to drop, after the lock.
    fn enter(&mut self, slot: &mut Slot, waker: &Waker) -> Option<Waker> {
        if let Some((round, index)) = slot.0
            && round == self.round
            && let Some(present) = self.waiting.get_mut(index)
        {
            return (!present.will_wake(waker)).then(|| mem::replace(present, waker.clone()));
        }
        slot.0 = Some((self.round, self.waiting.insert(waker.clone())));
        None
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
