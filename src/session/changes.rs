//! Tells one task that something has changed. A task that looks at every wake, as a relay does for every frame, takes no
//! lock for it.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Counts changes of something that is kept elsewhere, and wakes the task that watches it.
#[derive(Debug, Default)]
pub(super) struct Changes {
    count: AtomicU32,
    /// Stays when it is woken, so that it need not be handed in again.
    watcher: Mutex<Option<Waker>>,
}

impl Changes {
    /// Tells of a change that has been made.
    pub(super) fn tell(&self) {
        self.count.fetch_add(1, Ordering::Release);
        // A task that hands in its waker only now looks at the count behind that.
        let watcher = self.watcher().clone();
        if let Some(watcher) = watcher {
            watcher.wake();
        }
    }

    /// Hears of all changes, those before it as well. The latest watch is the one that is woken.
    pub(super) fn watch(&self) -> Watch<'_> {
        Watch {
            changes: self,
            seen: 0,
            waker: None,
        }
    }

    fn watcher(&self) -> MutexGuard<'_, Option<Waker>> {
        // Nothing that panics runs while it is held.
        self.watcher.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task's watch.
#[derive(Debug)]
pub struct Watch<'a> {
    changes: &'a Changes,
    seen: u32,
    /// What was handed in.
    waker: Option<Waker>,
}

impl Watch<'_> {
    /// Ready when there was a change since it was ready last; else the task is woken by the next one.
    pub fn poll_changed(&mut self, cx: &Context<'_>) -> Poll<()> {
        let waker = cx.waker();
        if !self
            .waker
            .as_ref()
            .is_some_and(|known| known.will_wake(waker))
        {
            *self.changes.watcher() = Some(waker.clone());
            self.waker = Some(waker.clone());
        }
        // Behind the waker: a change that did not find it is found here.
        let count = self.changes.count.load(Ordering::Acquire);
        if std::mem::replace(&mut self.seen, count) == count {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }

    /// Resolves with the next change. Cancel safe: a change between two calls is not lost.
    pub async fn changed(&mut self) {
        poll_fn(|cx| self.poll_changed(cx)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;
    use std::thread::{self, Thread};
    use std::time::Duration;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Count {
        fn wakes(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    fn task() -> (Arc<Count>, Waker) {
        let count = Arc::new(Count::default());
        (Arc::clone(&count), Waker::from(count))
    }

    #[test]
    fn every_change_wakes_and_is_seen_once() {
        let changes = Changes::default();
        let (woken, waker) = task();
        let cx = Context::from_waker(&waker);
        let mut watch = changes.watch();
        for already in 0..3 {
            assert!(watch.poll_changed(&cx).is_pending());
            assert_eq!(woken.wakes(), already);
            changes.tell();
            assert_eq!(woken.wakes(), already + 1);
            assert!(watch.poll_changed(&cx).is_ready());
        }
        // Looked at for another reason between the change and its wake: the wake that is to come must be the next one's.
        changes.tell();
        assert!(watch.poll_changed(&cx).is_ready());
        assert!(watch.poll_changed(&cx).is_pending());
        changes.tell();
        assert_eq!(woken.wakes(), 5);
        assert!(watch.poll_changed(&cx).is_ready());
    }

    #[test]
    fn what_changed_before_the_watch_is_seen() {
        let changes = Changes::default();
        changes.tell();
        let (_, waker) = task();
        let cx = Context::from_waker(&waker);
        for _ in 0..2 {
            let mut watch = changes.watch();
            assert!(watch.poll_changed(&cx).is_ready());
            assert!(watch.poll_changed(&cx).is_pending());
        }
    }

    #[test]
    fn the_task_that_looked_last_is_woken() {
        let changes = Changes::default();
        let ((first, one), (second, other)) = (task(), task());
        let mut watch = changes.watch();
        for waker in [&one, &other] {
            let looked = watch.poll_changed(&Context::from_waker(waker));
            assert!(looked.is_pending());
        }
        changes.tell();
        assert_eq!((first.wakes(), second.wakes()), (0, 1));
    }

    /// Both sides as fast as they can, so that changes meet every step of a look.
    #[test]
    fn no_change_is_lost_between_threads() {
        const CHANGES: usize = 100_000;
        let patience = Duration::from_secs(60);
        struct Unpark(Thread);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let (changes, made) = (Changes::default(), AtomicUsize::new(0));
        let seen = AtomicUsize::new(0);
        thread::scope(|scope| {
            let watcher = scope.spawn(|| {
                let mut watch = changes.watch();
                while seen.load(Ordering::Relaxed) < CHANGES {
                    // A waker of its own each time, so that it is handed in anew each time.
                    let waker = Waker::from(Arc::new(Unpark(thread::current())));
                    let cx = Context::from_waker(&waker);
                    while watch.poll_changed(&cx).is_pending() {
                        let before = std::time::Instant::now();
                        thread::park_timeout(patience);
                        assert!(before.elapsed() < patience, "a change woke no task");
                    }
                    seen.store(made.load(Ordering::Relaxed), Ordering::Relaxed);
                }
            });
            for number in 1..=CHANGES {
                made.store(number, Ordering::Relaxed);
                changes.tell();
                // Every second one meets a watcher that has seen the one before and waits.
                while number % 2 == 0
                    && seen.load(Ordering::Relaxed) < number
                    && !watcher.is_finished()
                {
                    thread::yield_now();
                }
            }
        });
    }
}
