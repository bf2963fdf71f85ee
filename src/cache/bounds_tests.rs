use std::sync::Weak;
use std::time::Duration;

use futures_util::FutureExt as _;
use http_body_util::{BodyExt as _, Collected};
use proptest::prelude::*;
use tokio::time::Instant;

use super::entry::{Buffer, ENTRY_BYTES};
use super::error::{Broken, Unshared};
use super::fill::{Filler, Writer};
use super::index::STEP_BYTES;
use super::reader::{Reader, SharedBody};
use super::tests::{LIFETIME, SETTINGS, Shared, fill, key, put, share};
use super::{Cache, CacheSettings, LookUp};
use crate::properties::settings;

/// What an entry with this body is charged.
fn cost(target: &str, body: usize) -> usize {
    ENTRY_BYTES + key(target).size() + body
}

/// Room for so many entries with this body, and for one that comes.
fn room_for(entries: usize, body: usize) -> CacheSettings {
    CacheSettings {
        bytes: entries * cost("0", body),
        object: body,
        ..SETTINGS
    }
}

fn is_fresh(cache: &Shared, target: &str, now: Instant) -> bool {
    matches!(cache.look_up(key(target), now), LookUp::Share(_))
}

#[test]
fn the_least_recently_used_goes_first() {
    let (cache, now) = (Cache::new(room_for(3, 500)), Instant::now());
    for target in ["0", "1", "2"] {
        put(&cache, target, &[0; 500], now);
    }
    assert_eq!(cache.stats().bytes, 3 * cost("0", 500));
    drop(share(&cache, "0", now));
    put(&cache, "3", &[0; 500], now);
    let stats = cache.stats();
    assert_eq!((stats.entries, stats.evicted), (3, 1));
    for (target, there) in [("0", true), ("2", true), ("3", true), ("1", false)] {
        assert_eq!(is_fresh(&cache, target, now), there, "{target}");
    }
}

#[test]
fn no_more_keys_than_allowed() {
    let settings = CacheSettings {
        keys: 3,
        ..SETTINGS
    };
    let (cache, now) = (Cache::new(settings), Instant::now());
    for target in ["0", "1", "2", "3", "4"] {
        put(&cache, target, b"abc", now);
    }
    assert_eq!(cache.stats().entries, 3);
    let running = ["5", "6", "7"].map(|target| fill(&cache, target, now));
    assert_eq!(cache.stats().entries, 0);
    assert!(matches!(cache.look_up(key("8"), now), LookUp::Alone));
    assert_eq!(cache.stats().crowded, 1);
    for (filler, _reader) in running {
        filler.refuse(now);
    }
    for target in ["8", "9"] {
        fill(&cache, target, now).0.refuse(now);
    }
    assert_eq!(cache.stats().marks, 3);
    // The oldest mark went.
    assert!(matches!(cache.look_up(key("5"), now), LookUp::Fill(..)));
    assert!(matches!(cache.look_up(key("9"), now), LookUp::Alone));
    assert_eq!(cache.stats().bytes, 0);
}

#[test]
fn what_is_being_fetched_is_never_evicted_and_leaves_newcomers_alone() {
    let (cache, now) = (Cache::new(room_for(2, 500)), Instant::now());
    put(&cache, "old", &[0; 500], now);
    let mut running = Vec::new();
    for target in ["0", "1"] {
        let (filler, reader) = fill(&cache, target, now);
        running.push((
            filler.open("head", Some(500), LIFETIME, now).unwrap(),
            reader,
        ));
    }
    assert_eq!(cache.stats().bytes, 2 * cost("0", 500));
    assert!(matches!(cache.look_up(key("2"), now), LookUp::Alone));
    for (mut writer, reader) in running {
        writer.push(&[0; 500], now).unwrap();
        writer.finish().unwrap();
        assert_eq!(reader.whole(), Some(500));
    }
    let _ = fill(&cache, "2", now);
}

#[test]
fn a_body_that_finds_no_room_is_not_shared_but_not_held_against_its_key() {
    let settings = CacheSettings {
        bytes: 2 * cost("0", 0) + 999,
        object: 500,
        ..SETTINGS
    };
    let (cache, now) = (Cache::new(settings), Instant::now());
    let [(first, one), (second, mut two)] = ["0", "1"].map(|target| fill(&cache, target, now));
    let first = first.open("head", Some(500), LIFETIME, now).unwrap();
    let refused = second.open("head", Some(500), LIFETIME, now);
    assert_eq!(refused.err(), Some(Broken::NoRoom));
    assert_eq!(two.head().now_or_never(), Some(Err(Unshared::NotShared)));
    assert_eq!(cache.stats().marks, 0);
    // What was charged in advance is free at once, although there are readers.
    drop(first);
    assert_eq!(cache.stats().bytes, 2 * cost("0", 0));
    drop((one, two));
    let _ = fill(&cache, "1", now);
}

#[test]
fn nothing_is_evicted_for_what_finds_no_room_anyway() {
    let settings = CacheSettings {
        bytes: 3 * cost("0", 0) + 3_000,
        object: 3_000,
        ..SETTINGS
    };
    // With all that is finished gone, its cost and its body are free.
    let free = u64::try_from(cost("0", 100)).unwrap();
    for (length, room) in [(free + 1, false), (free, true)] {
        let (cache, now) = (Cache::new(settings), Instant::now());
        let [(first, _one), (second, _two)] = ["0", "1"].map(|target| fill(&cache, target, now));
        put(&cache, "2", &[0; 100], now);
        let _first = first.open("head", Some(2_900), LIFETIME, now).unwrap();
        let opened = second.open("head", Some(length), LIFETIME, now);
        assert_eq!(opened.is_ok(), room);
        let stats = cache.stats();
        assert_eq!((stats.entries == 0, stats.evicted == 1), (room, room));
    }
}

#[test]
fn what_grows_without_room_breaks_and_gets_through_alone() {
    let settings = CacheSettings {
        bytes: 2 * STEP_BYTES + 4 * ENTRY_BYTES,
        object: 2 * STEP_BYTES,
        ..SETTINGS
    };
    let (cache, now) = (Cache::new(settings), Instant::now());
    let [first, second] = ["0", "1"].map(|target| {
        let (filler, reader) = fill(&cache, target, now);
        (filler.open("head", None, LIFETIME, now).unwrap(), reader)
    });
    let (mut growing, _reader) = first;
    growing.push(&vec![0; STEP_BYTES], now).unwrap();
    // Less than a step is left, and given to the last byte.
    growing.push(&[0; 1024], now).unwrap();
    assert_eq!(growing.push(&[0; 2048], now), Err(Broken::NoRoom));
    assert!(matches!(cache.look_up(key("0"), now), LookUp::Alone));
    second.0.finish().unwrap();
}

#[test]
fn an_entry_that_is_read_counts_until_its_last_reader_and_is_passed_over() {
    let (cache, now) = (Cache::new(room_for(2, 500)), Instant::now());
    put(&cache, "0", &[0; 500], now);
    let slow = share(&cache, "0", now).into_body();
    put(&cache, "1", &[0; 500], now);
    put(&cache, "2", &[0; 500], now);
    assert!(is_fresh(&cache, "0", now));
    assert!(!is_fresh(&cache, "1", now));
    let stale = now + LIFETIME;
    cache.sweep(stale);
    assert_eq!(cache.stats().entries, 0);
    assert_eq!(cache.stats().bytes, cost("0", 500));
    drop(slow);
    assert_eq!(cache.stats().bytes, 0);
}

#[test]
fn who_has_not_begun_to_read_keeps_an_entry_as_well() {
    let (cache, now) = (Cache::new(room_for(2, 500)), Instant::now());
    put(&cache, "0", &[0; 500], now);
    let waiting = share(&cache, "0", now);
    put(&cache, "1", &[0; 500], now);
    put(&cache, "2", &[0; 500], now);
    assert!(is_fresh(&cache, "0", now));
    drop(waiting);
}

#[test]
fn slow_readers_of_everything_leave_newcomers_alone_and_lose_nothing() {
    let (cache, now) = (Cache::new(room_for(51, 500)), Instant::now());
    let targets: Vec<_> = (10..60).map(|n| n.to_string()).collect();
    let mut slow = Vec::new();
    for target in &targets {
        put(&cache, target, &[0; 500], now);
        slow.push(share(&cache, target, now).into_body());
    }
    assert!(matches!(cache.look_up(key("x"), now), LookUp::Alone));
    assert_eq!((cache.stats().crowded, cache.stats().evicted), (1, 0));
    assert!(targets.iter().all(|target| is_fresh(&cache, target, now)));
    drop(slow);
    let _ = fill(&cache, "x", now);
}

#[test]
fn who_reads_slowly_for_long_makes_room_for_others_and_for_no_one_else() {
    let settings = CacheSettings {
        bytes: 3 * cost("0", 500) + cost("0", 100),
        ..room_for(4, 500)
    };
    let (cache, now) = (Cache::new(settings), Instant::now());
    let bodies = ["0", "1", "2"].map(|target| {
        put(&cache, target, &[0; 500], now);
        share(&cache, target, now).into_body()
    });
    let stale = now + LIFETIME;
    cache.sweep(stale);
    let soon = stale + Duration::from_secs(9);
    assert!(matches!(cache.look_up(key("x"), soon), LookUp::Alone));
    // One goes for one that comes, the longest stale first.
    let later = stale + Duration::from_secs(10);
    put(&cache, "x", &[1; 500], later);
    assert!(is_fresh(&cache, "x", later));
    let mut read = bodies.map(|body| body.collect().now_or_never());
    assert_eq!(
        read[0].take().unwrap().map(Collected::to_bytes),
        Err(Broken::TooSlow)
    );
    for whole in read.into_iter().skip(1) {
        let whole = whole.unwrap().map(Collected::to_bytes);
        assert_eq!(whole, Ok(vec![0; 500].into()));
    }
    cache.sweep(later + LIFETIME);
    assert_eq!(cache.stats().bytes, 0);
}

#[test]
fn a_sweep_frees_what_is_stale_and_nothing_else() {
    let (cache, now) = (Cache::new(SETTINGS), Instant::now());
    let later = now + Duration::from_secs(5);
    for target in 0..40 {
        put(&cache, &format!("old{target}"), b"abc", now);
        fill(&cache, &format!("no{target}"), now).0.refuse(now);
    }
    for target in 0..40 {
        put(&cache, &format!("new{target}"), b"abc", later);
    }
    cache.sweep(now);
    assert_eq!((cache.stats().entries, cache.stats().marks), (80, 40));
    cache.sweep(now + LIFETIME);
    assert_eq!((cache.stats().entries, cache.stats().marks), (40, 0));
    cache.sweep(later + LIFETIME);
    assert_eq!((cache.stats().entries, cache.stats().bytes), (0, 0));
}

#[test]
fn a_million_keys_stay_within_the_bounds() {
    let settings = CacheSettings {
        bytes: 600 * ENTRY_BYTES,
        object: 10_000,
        keys: 500,
        ..SETTINGS
    };
    let (cache, now) = (Cache::new(settings), Instant::now());
    put(&cache, "wanted", b"abc", now);
    for n in 0..1_000_000_u32 {
        let (filler, _reader) = fill(&cache, &n.to_string(), now);
        if n % 8 == 0 {
            let mut writer = filler.open("head", Some(3), LIFETIME, now).unwrap();
            writer.push(b"abc", now).unwrap();
            writer.finish().unwrap();
        } else {
            filler.refuse(now);
        }
        if n % 100 == 0 {
            // What is asked for now and then outlives what is asked for once.
            assert!(is_fresh(&cache, "wanted", now));
            let stats = cache.stats();
            assert!(stats.bytes <= settings.bytes && stats.entries <= 500 && stats.marks <= 500);
        }
    }
    cache.sweep(now + Duration::from_secs(60));
    assert_eq!(cache.stats().bytes, 0);
}

#[derive(Clone, Debug)]
enum Step {
    LookUp(u8),
    Open(usize, Option<u16>),
    Push(usize, u16),
    Finish(usize),
    DropWriter(usize),
    Refuse(usize),
    Fail(usize),
    DropFiller(usize),
    IntoBody(usize),
    DropReader(usize),
    DropBody(usize),
    Wait(u16),
    Sweep,
}

fn step() -> impl Strategy<Value = Step> {
    let at = || any::<usize>();
    prop_oneof![
        8 => (0..12_u8).prop_map(Step::LookUp),
        6 => (at(), proptest::option::of(0..3_000_u16)).prop_map(|(at, length)| Step::Open(at, length)),
        8 => (at(), 0..2_000_u16).prop_map(|(at, length)| Step::Push(at, length)),
        5 => at().prop_map(Step::Finish),
        1 => at().prop_map(Step::DropWriter),
        1 => at().prop_map(Step::Refuse),
        1 => at().prop_map(Step::Fail),
        1 => at().prop_map(Step::DropFiller),
        2 => at().prop_map(Step::IntoBody),
        4 => at().prop_map(Step::DropReader),
        2 => at().prop_map(Step::DropBody),
        2 => (0..4_000_u16).prop_map(Step::Wait),
        1 => Just(Step::Sweep),
    ]
}

fn take<T>(list: &mut Vec<T>, at: usize) -> Option<T> {
    (!list.is_empty()).then(|| list.swap_remove(at % list.len()))
}

/// What is alive, held from outside.
#[derive(Default)]
struct Held {
    fillers: Vec<Filler<&'static str, u16>>,
    writers: Vec<Writer<&'static str, u16>>,
    readers: Vec<Reader<&'static str, u16>>,
    bodies: Vec<SharedBody>,
    contents: Vec<Weak<Buffer>>,
}

impl Held {
    fn step(&mut self, cache: &Shared, step: &Step, now: &mut Instant) {
        match *step {
            Step::LookUp(n) => match cache.look_up(key(&n.to_string()), *now) {
                LookUp::Share(reader) => self.readers.push(reader),
                LookUp::Fill(filler, reader) => {
                    self.contents.push(reader.buffer());
                    self.fillers.push(filler);
                    self.readers.push(reader);
                }
                LookUp::Alone => {}
            },
            Step::Open(at, length) => {
                let opened = take(&mut self.fillers, at)
                    .and_then(|f| f.open("head", length.map(u64::from), LIFETIME, *now).ok());
                self.writers.extend(opened);
            }
            Step::Push(at, length) => {
                if let Some(mut writer) = take(&mut self.writers, at) {
                    let _ = writer.push(&vec![0; length.into()], *now);
                    self.writers.push(writer);
                }
            }
            Step::Finish(at) => {
                let _ = take(&mut self.writers, at).map(Writer::finish);
            }
            Step::DropWriter(at) => drop(take(&mut self.writers, at)),
            Step::Refuse(at) => {
                let _ = take(&mut self.fillers, at).map(|filler| filler.refuse(*now));
            }
            Step::Fail(at) => {
                let _ = take(&mut self.fillers, at).map(|filler| filler.fail(500));
            }
            Step::DropFiller(at) => drop(take(&mut self.fillers, at)),
            Step::IntoBody(at) => {
                let body = take(&mut self.readers, at).map(Reader::into_body);
                self.bodies.extend(body);
            }
            Step::DropReader(at) => drop(take(&mut self.readers, at)),
            Step::DropBody(at) => drop(take(&mut self.bodies, at)),
            Step::Wait(ms) => *now += Duration::from_millis(ms.into()),
            Step::Sweep => cache.sweep(*now),
        }
    }

    /// What is really held by all that is alive, and what they are charged: the same for what is finished.
    fn truth(&mut self) -> (usize, usize) {
        let mut sums = (0, 0);
        self.contents.retain(|buffer| {
            let Some(buffer) = buffer.upgrade() else {
                return false;
            };
            let held = ENTRY_BYTES + key("0").size() + buffer.lengths().1;
            let charged = buffer.charge.bytes();
            assert!(held <= charged);
            if buffer.whole().is_some() {
                // The keys are of one or two digits.
                assert!(charged - held <= 1);
            }
            sums.0 += held;
            sums.1 += charged;
            true
        });
        sums
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..settings() })]
    #[test]
    fn the_account_is_the_truth_whatever_happens(steps in proptest::collection::vec(step(), 1..150)) {
        let settings = CacheSettings {
            bytes: 17_000,
            object: 2_500,
            keys: 6,
            ..SETTINGS
        };
        let cache = Cache::new(settings);
        let mut now = Instant::now();
        let mut held = Held::default();
        for step in steps {
            held.step(&cache, &step, &mut now);
            let stats = cache.stats();
            let (real, charged) = held.truth();
            prop_assert_eq!(stats.bytes, charged);
            prop_assert!(real <= charged && charged <= settings.bytes);
            prop_assert!(stats.entries + stats.in_flight <= settings.keys);
            prop_assert!(stats.marks <= settings.keys);
            prop_assert!(cache.index().is_consistent());
        }
        drop((held.fillers, held.writers));
        prop_assert_eq!(cache.stats().in_flight, 0);
        drop((held.readers, held.bodies));
        cache.sweep(now + Duration::from_secs(60));
        let stats = cache.stats();
        prop_assert_eq!((stats.bytes, stats.entries, stats.marks), (0, 0, 0));
    }
}
