//! A value that changes while tasks of several threads wait for it.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use slab::Slab;

/// The value, and who waits for its next change. Its lock is short: no waker is called or dropped under it, since either may
/// end a task that has a place here itself.
#[derive(Debug)]
pub(super) struct Watched<T> {
    inner: Mutex<Inner<T>>,
}

#[derive(Debug)]
struct Inner<T> {
    value: T,
    /// Counts the times that all were woken, so that a place of an earlier round is known to be void.
    round: u64,
    waiting: Slab<Waker>,
}

/// Where a waiter's waker is, if anywhere: its round and its slot. Whoever goes away with one must [`Watched::leave`].
#[derive(Debug, Default)]
pub(super) struct Place(Option<(u64, usize)>);

impl<T> Watched<T> {
    /// Nobody waits yet.
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

    /// Looks, and is woken at the next change when there is nothing yet. One place holds one waker, the last one's.
    pub(super) fn poll<R>(
        &self,
        place: &mut Place,
        cx: &Context<'_>,
        look: impl FnOnce(&T) -> Option<R>,
    ) -> Poll<R> {
        let mut inner = self.lock();
        let found = look(&inner.value);
        let _old = if found.is_some() {
            inner.remove(place)
        } else {
            inner.enter(place, cx.waker())
        };
        drop(inner);
        found.map_or(Poll::Pending, Poll::Ready)
    }

    /// Changes the value and wakes all who wait.
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

    /// Gives a place back.
    pub(super) fn leave(&self, place: &mut Place) {
        if place.0.is_some() {
            let _old = self.lock().remove(place);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Inner<T> {
    /// Takes the place out; its waker is the caller's to drop, after the lock.
    fn remove(&mut self, place: &mut Place) -> Option<Waker> {
        let (round, slot) = place.0.take()?;
        (round == self.round)
            .then(|| self.waiting.try_remove(slot))
            .flatten()
    }

    /// Puts a waker in; the one that it replaces is the caller's to drop, after the lock.
    fn enter(&mut self, place: &mut Place, waker: &Waker) -> Option<Waker> {
        if let Some((round, slot)) = place.0
            && round == self.round
            && let Some(present) = self.waiting.get_mut(slot)
        {
            return (!present.will_wake(waker)).then(|| mem::replace(present, waker.clone()));
        }
        place.0 = Some((self.round, self.waiting.insert(waker.clone())));
        None
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll, Wake, Waker};

    use super::{Place, Watched};

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn nothing(_: &u8) -> Option<u8> {
        None
    }

    #[test]
    fn a_waiter_that_is_polled_often_keeps_one_waker_and_its_last() {
        let watched = Watched::new(0_u8);
        let [first, last] = [Arc::new(Count::default()), Arc::new(Count::default())];
        let mut place = Place::default();
        for count in [&first, &first, &last] {
            let waker = Waker::from(Arc::clone(count));
            let polled = watched.poll(&mut place, &Context::from_waker(&waker), nothing);
            assert_eq!(polled, Poll::Pending);
            assert_eq!(watched.lock().waiting.len(), 1);
        }
        watched.change(|value| *value = 1);
        assert_eq!(first.0.load(Ordering::Relaxed), 0);
        assert_eq!(last.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_place_of_an_earlier_round_takes_no_others_away() {
        let watched = Watched::new(0_u8);
        let [early, late] = [Arc::new(Count::default()), Arc::new(Count::default())];
        let [mut early_place, mut late_place] = [Place::default(), Place::default()];
        let poll = |place: &mut Place, count: &Arc<Count>| {
            let waker = Waker::from(Arc::clone(count));
            watched.poll(place, &Context::from_waker(&waker), nothing)
        };
        assert!(poll(&mut early_place, &early).is_pending());
        watched.change(|value| *value = 1);
        assert!(poll(&mut late_place, &late).is_pending());
        watched.leave(&mut early_place);
        watched.change(|value| *value = 2);
        assert_eq!(late.0.load(Ordering::Relaxed), 1);
        assert_eq!(early.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn who_leaves_or_finds_something_has_no_waker_left_behind() {
        let watched = Watched::new(0_u8);
        let cx = Context::from_waker(Waker::noop());
        let mut place = Place::default();
        assert!(watched.poll(&mut place, &cx, nothing).is_pending());
        watched.leave(&mut place);
        assert!(watched.lock().waiting.is_empty());
        assert!(watched.poll(&mut place, &cx, nothing).is_pending());
        assert_eq!(
            watched.poll(&mut place, &cx, |value| Some(*value)),
            Poll::Ready(0)
        );
        assert!(watched.lock().waiting.is_empty());
    }

    #[test]
    fn a_waker_may_end_a_waiter_of_the_same_value() {
        struct Leaves(Arc<Watched<u8>>, std::sync::Mutex<Place>);
        impl Wake for Leaves {
            fn wake(self: Arc<Self>) {
                self.0.leave(&mut self.1.lock().unwrap());
            }
        }
        let watched = Arc::new(Watched::new(0_u8));
        let mut other = Place::default();
        assert!(
            watched
                .poll(&mut other, &Context::from_waker(Waker::noop()), nothing)
                .is_pending()
        );
        let leaves = Arc::new(Leaves(Arc::clone(&watched), other.into()));
        let mut place = Place::default();
        assert!(
            watched
                .poll(&mut place, &Context::from_waker(&leaves.into()), nothing)
                .is_pending()
        );
        watched.change(|value| *value = 1);
        assert!(watched.lock().waiting.is_empty());
    }
}
