use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use super::{Slot, Watch};

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
    let watched = Watch::new(0_u8);
    let [first, last] = [Arc::new(Count::default()), Arc::new(Count::default())];
    let mut slot = Slot::default();
    for count in [&first, &first, &last] {
        let waker = Waker::from(Arc::clone(count));
        let polled = watched.poll(&mut slot, &Context::from_waker(&waker), nothing);
        assert_eq!(polled, Poll::Pending);
        assert_eq!(watched.lock().waiting.len(), 1);
    }
    watched.change(|value| *value = 1);
    assert_eq!(first.0.load(Ordering::Relaxed), 0);
    assert_eq!(last.0.load(Ordering::Relaxed), 1);
}

#[test]
fn a_place_of_an_earlier_round_takes_no_others_away() {
    let watched = Watch::new(0_u8);
    let [early, late] = [Arc::new(Count::default()), Arc::new(Count::default())];
    let [mut early_slot, mut late_slot] = [Slot::default(), Slot::default()];
    let poll = |slot: &mut Slot, count: &Arc<Count>| {
        let waker = Waker::from(Arc::clone(count));
        watched.poll(slot, &Context::from_waker(&waker), nothing)
    };
    assert!(poll(&mut early_slot, &early).is_pending());
    watched.change(|value| *value = 1);
    assert!(poll(&mut late_slot, &late).is_pending());
    watched.leave(&mut early_slot);
    watched.change(|value| *value = 2);
    assert_eq!(late.0.load(Ordering::Relaxed), 1);
    assert_eq!(early.0.load(Ordering::Relaxed), 1);
}

#[test]
fn who_leaves_or_finds_something_has_no_waker_left_behind() {
    let watched = Watch::new(0_u8);
    let cx = Context::from_waker(Waker::noop());
    let mut slot = Slot::default();
    assert!(watched.poll(&mut slot, &cx, nothing).is_pending());
    watched.leave(&mut slot);
    assert!(watched.lock().waiting.is_empty());
    assert!(watched.poll(&mut slot, &cx, nothing).is_pending());
    assert_eq!(
        watched.poll(&mut slot, &cx, |value| Some(*value)),
        Poll::Ready(0)
    );
    assert!(watched.lock().waiting.is_empty());
}

#[test]
fn a_waker_may_end_a_waiter_of_the_same_value() {
    struct Leaves(Arc<Watch<u8>>, std::sync::Mutex<Slot>);
    impl Wake for Leaves {
        fn wake(self: Arc<Self>) {
            self.0.leave(&mut self.1.lock().unwrap());
        }
    }
    let watched = Arc::new(Watch::new(0_u8));
    let mut other = Slot::default();
    assert!(
        watched
            .poll(&mut other, &Context::from_waker(Waker::noop()), nothing)
            .is_pending()
    );
    let leaves = Arc::new(Leaves(Arc::clone(&watched), other.into()));
    let mut slot = Slot::default();
    assert!(
        watched
            .poll(&mut slot, &Context::from_waker(&leaves.into()), nothing)
            .is_pending()
    );
    watched.change(|value| *value = 1);
    assert!(watched.lock().waiting.is_empty());
}
