use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use hyper::body::Body as _;
use tokio::time::Instant;

use super::error::{Broken, Unshared};
use super::fill::Filler;
use super::key::CacheKey;
use super::pieces::Pieces;
use super::reader::{Reader, SharedBody};

use super::{Cache, CacheSettings, LookUp};

pub(super) type Shared = Arc<Cache<&'static str, u16>>;
type Fill = (Filler<&'static str, u16>, Reader<&'static str, u16>);

pub(super) const SETTINGS: CacheSettings = CacheSettings {
    bytes: 1024 * 1024,
    object: 100 * 1024,
    keys: 100,

    pass: Duration::from_secs(5),
};

/// How long most entries here are fresh.
pub(super) const LIFETIME: Duration = Duration::from_secs(10);

/// How long the others are.
const SHORT: Duration = Duration::from_secs(1);

pub(super) fn key(target: &str) -> CacheKey {
    CacheKey::new(&["owner", "stream", target])
}

pub(super) fn fill(cache: &Shared, target: &str, now: Instant) -> Fill {
    match cache.look_up(key(target), now) {
        LookUp::Fill(filler, reader) => (filler, reader),
        other @ (LookUp::Share(_) | LookUp::Alone) => panic!("{other:?} instead of a fill"),
    }
}

pub(super) fn share(cache: &Shared, target: &str, now: Instant) -> Reader<&'static str, u16> {
    match cache.look_up(key(target), now) {
        LookUp::Share(reader) => reader,
        other @ (LookUp::Fill(..) | LookUp::Alone) => panic!("{other:?} instead of a share"),
    }
}

fn is_alone(cache: &Shared, target: &str, now: Instant) -> bool {
    matches!(cache.look_up(key(target), now), LookUp::Alone)
}

/// Fills a key with a body of unknown length.
pub(super) fn put(cache: &Shared, target: &str, body: &[u8], now: Instant) {
    let (filler, _reader) = fill(cache, target, now);
    let mut writer = filler.open("head", None, LIFETIME, now).unwrap();
    writer.push(body, now).unwrap();
    writer.finish().unwrap();
}

fn once<T>(future: impl Future<Output = T>) -> Poll<T> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

pub(super) fn head(
    reader: &mut Reader<&'static str, u16>,
) -> Poll<Result<&'static str, Unshared<u16>>> {
    once(reader.head())
}

/// One frame's data.
pub(super) fn frame(body: &mut SharedBody) -> Poll<Option<Result<Pieces, Broken>>> {
    Pin::new(body)
        .poll_frame(&mut Context::from_waker(Waker::noop()))
        .map_ok(|frame| frame.into_data().unwrap())
}

/// All that is there, and how it ends there: `None` for a clean end, `Some(None)` when more is to come.
pub(super) fn drain(body: &mut SharedBody) -> (Vec<u8>, Option<Option<Broken>>) {
    let mut all = Vec::new();
    loop {
        match frame(body) {
            Poll::Pending => return (all, Some(None)),
            Poll::Ready(None) => return (all, None),
            Poll::Ready(Some(Err(broken))) => return (all, Some(Some(broken))),
            Poll::Ready(Some(Ok(pieces))) => all.extend(pieces.take_apart().0.flatten()),
        }
    }
}

#[test]
fn many_askers_are_one_fetch() {
    let (cache, now) = (Cache::new(SETTINGS), Instant::now());
    let (filler, mut first) = fill(&cache, "a", now);
    let mut waiting: Vec<_> = (0..100).map(|_| share(&cache, "a", now)).collect();
    for reader in &mut waiting {
        assert!(head(reader).is_pending());
    }
    let mut writer = filler.open("head", Some(6), LIFETIME, now).unwrap();
    writer.push(b"abc", now).unwrap();
    waiting.push(share(&cache, "a", now));
    assert_eq!(head(&mut first), Poll::Ready(Ok("head")));
    writer.push(b"def", now).unwrap();
    writer.finish().unwrap();
    waiting.push(share(&cache, "a", now));
    for mut reader in waiting {
        assert_eq!(head(&mut reader), Poll::Ready(Ok("head")));
        assert_eq!(drain(&mut reader.into_body()), (b"abcdef".to_vec(), None));
    }
    let stats = cache.stats();
    assert_eq!((stats.fills, stats.joined, stats.hits), (1, 101, 1));
    assert_eq!((stats.entries, stats.in_flight), (1, 0));
}

#[test]
fn a_reader_that_leaves_changes_nothing_for_others() {
    let (cache, now) = (Cache::new(SETTINGS), Instant::now());
    let (filler, mut starter) = fill(&cache, "a", now);
    let mut other = share(&cache, "a", now);
    assert!(head(&mut starter).is_pending());
    assert!(head(&mut other).is_pending());
    drop(starter);
    let mut writer = filler.open("head", None, LIFETIME, now).unwrap();
    writer.push(b"abc", now).unwrap();
    let mut leaving = share(&cache, "a", now).into_body();
    assert_eq!(drain(&mut leaving), (b"abc".to_vec(), Some(None)));
    drop(leaving);
    writer.finish().unwrap();
    assert_eq!(head(&mut other), Poll::Ready(Ok("head")));
    assert_eq!(drain(&mut other.into_body()), (b"abc".to_vec(), None));
}

#[test]
fn a_failure_reaches_those_who_wait_and_nobody_after() {
    let (cache, now) = (Cache::new(SETTINGS), Instant::now());
    let (filler, mut first) = fill(&cache, "a", now);
    let mut second = share(&cache, "a", now);
    let mut impatient = share(&cache, "a", now).into_body();
    assert!(head(&mut second).is_pending());
    filler.fail(502);
    for reader in [&mut first, &mut second] {
        assert_eq!(head(reader), Poll::Ready(Err(Unshared::Failed(502))));
    }
    assert_eq!(
        drain(&mut impatient),
        (Vec::new(), Some(Some(Broken::Interrupted)))
    );
    let (_filler, mut next) = fill(&cache, "a", now);
    assert!(head(&mut next).is_pending());
}

#[test]
fn a_filler_that_is_dropped_interrupts_those_who_wait() {
    let (cache, now) = (Cache::new(SETTINGS), Instant::now());
    let (filler, mut reader) = fill(&cache, "a", now);
    assert!(head(&mut reader).is_pending());
    drop(filler);
    assert_eq!(head(&mut reader), Poll::Ready(Err(Unshared::Interrupted)));
    drop(reader);
    assert_eq!(cache.stats().bytes, 0);
    let _ = fill(&cache, "a", now);
}

#[test]
fn a_refused_key_is_left_alone_for_a_while() {
    let (cache, now) = (Cache::new(SETTINGS), Instant::now());
    let (filler, mut reader) = fill(&cache, "a", now);
    filler.refuse(now);
    assert_eq!(head(&mut reader), Poll::Ready(Err(Unshared::NotShared)));
    assert!(is_alone(&cache, "a", now));
    assert!(is_alone(
        &cache,
        "a",
        now + SETTINGS.pass - Duration::from_nanos(1)
    ));
    assert_eq!(cache.stats().passes, 2);
    let _others = fill(&cache, "b", now);
    let _again = fill(&cache, "a", now + SETTINGS.pass);
    assert_eq!(cache.stats().marks, 0);
}

#[test]
fn what_is_declared_too_large_is_not_shared() {
    let (cache, now) = (Cache::new(SETTINGS), Instant::now());
    for (target, length) in [("a", 100 * 1024 + 1), ("b", u64::MAX)] {
        let (filler, mut reader) = fill(&cache, target, now);
        let opened = filler.open("head", Some(length), LIFETIME, now);
        assert_eq!(opened.err(), Some(Broken::TooLarge));
        assert_eq!(head(&mut reader), Poll::Ready(Err(Unshared::NotShared)));
        assert!(is_alone(&cache, target, now));
    }
    let (filler, _reader) = fill(&cache, "c", now);
    assert!(filler.open("head", Some(100 * 1024), LIFETIME, now).is_ok());
}

#[test]
fn what_grows_too_large_is_read_to_its_end_and_not_shared_for_a_while() {
    let (cache, now) = (Cache::new(SETTINGS), Instant::now());
    let (filler, reader) = fill(&cache, "a", now);
    let mut body = reader.into_body();
    let mut writer = filler.open("head", None, LIFETIME, now).unwrap();
    writer.push(&[0; 100 * 1024], now).unwrap();
    let later = now + Duration::from_secs(60);
    writer.push(&[0; 156 * 1024], later).unwrap();
    assert!(is_alone(&cache, "a", later));
    writer.finish().unwrap();
    let (read, end) = drain(&mut body);
    assert_eq!((read.len(), end), (256 * 1024, None));
    drop(body);
    let stats = cache.stats();
    assert_eq!((stats.entries, stats.bytes), (0, 0), "nothing of it stays");
    let _ = fill(&cache, "a", later + SETTINGS.pass);
}

#[test]
fn what_outgrows_a_quarter_of_the_memory_breaks() {
    let (cache, now) = (Cache::new(SETTINGS), Instant::now());
    let (filler, reader) = fill(&cache, "a", now);
    let mut body = reader.into_body();
    let mut writer = filler.open("head", None, LIFETIME, now).unwrap();
    writer.push(&[0; 256 * 1024], now).unwrap();
    assert_eq!(writer.push(b"x", now), Err(Broken::TooLarge));
    let (read, end) = drain(&mut body);
    assert_eq!(
        (read.len(), end),
        (256 * 1024, Some(Some(Broken::TooLarge)))
    );
}

#[test]
fn what_outgrew_its_limit_stays_for_slow_readers_as_long_as_all_else() {
    let (cache, now) = (Cache::new(SETTINGS), Instant::now());
    let (filler, reader) = fill(&cache, "a", now);
    let mut slow = reader.into_body();
    let mut writer = filler.open("head", None, LIFETIME, now).unwrap();
    writer.push(&[0; 200 * 1024], now).unwrap();
    writer.finish().unwrap();
    let later = now + LIFETIME + Duration::from_secs(10);
    // What is being fetched by then takes more than is left beside it.
    let _others: Vec<_> = (0..9)
        .map(|target| {
            let (filler, reader) = fill(&cache, &target.to_string(), later);
            let length = Some(100 * 1024);
            (
                filler.open("head", length, LIFETIME, later).unwrap(),
                reader,
            )
        })
        .collect();
    assert_eq!(drain(&mut slow).1, Some(Some(Broken::TooSlow)));
}

#[test]
fn what_grows_too_large_for_nobody_is_not_fetched_on() {
    let (cache, now) = (Cache::new(SETTINGS), Instant::now());
    let (filler, reader) = fill(&cache, "a", now);
    let mut writer = filler.open("head", None, LIFETIME, now).unwrap();
    drop(reader);
    writer.push(&[0; 100 * 1024], now).unwrap();
    assert_eq!(writer.push(b"x", now), Err(Broken::TooLarge));
    assert_eq!(cache.stats().bytes, 0);
}

#[test]
fn an_entry_is_fresh_from_its_head_for_its_lifetime() {
    let ms = Duration::from_millis;
    for lasts in [SHORT, LIFETIME, ms(3_000)] {
        let (cache, asked) = (Cache::new(SETTINGS), Instant::now());
        let (filler, _reader) = fill(&cache, "a", asked);
        let came = asked + ms(700);
        let mut writer = filler.open("head", None, lasts, came).unwrap();
        writer.push(b"abc", came).unwrap();
        writer.finish().unwrap();
        let mut running = share(&cache, "a", came + lasts - ms(1)).into_body();
        let (_filler, _reader) = fill(&cache, "a", came + lasts);
        // One new fetch, however many ask.
        let _ = share(&cache, "a", came + lasts);
        assert_eq!(drain(&mut running), (b"abc".to_vec(), None));
    }
}

#[test]
fn an_entry_that_is_stale_before_it_is_finished_gives_way_and_is_not_kept() {
    let (cache, now) = (Cache::new(SETTINGS), Instant::now());
    let (filler, reader) = fill(&cache, "a", now);
    let mut old = filler.open("old", None, SHORT, now).unwrap();
    let later = now + SHORT;
    let (filler, mut newer) = fill(&cache, "a", later);
    let mut new = filler.open("new", None, SHORT, later).unwrap();
    new.push(b"new", later).unwrap();
    old.push(b"old", later).unwrap();
    old.finish().unwrap();
    assert_eq!(drain(&mut reader.into_body()), (b"old".to_vec(), None));
    new.finish().unwrap();
    assert_eq!(head(&mut newer), Poll::Ready(Ok("new")));
    let mut found = share(&cache, "a", later);
    assert_eq!(head(&mut found), Poll::Ready(Ok("new")));
    assert_eq!(cache.stats().entries, 1);
}

#[test]
fn what_a_superseded_fetch_does_not_say_about_the_newer_one() {
    let (cache, now) = (Cache::new(SETTINGS), Instant::now());
    let (filler, _reader) = fill(&cache, "a", now);
    let old = filler.open("old", None, SHORT, now).unwrap();
    let later = now + SHORT;
    let (filler, _reader) = fill(&cache, "a", later);
    drop(old);
    // The newer one is still found.
    let mut reader = share(&cache, "a", later);
    drop(filler);
    assert_eq!(head(&mut reader), Poll::Ready(Err(Unshared::Interrupted)));
}

#[test]
fn another_organisation_or_stream_shares_nothing() {
    let (cache, now) = (Shared::from(Cache::new(SETTINGS)), Instant::now());
    put(&cache, "a", b"abc", now);
    let others = [
        CacheKey::new(&["other", "stream", "a"]),
        CacheKey::new(&["stream", "a"]),
        CacheKey::new(&["owner", "other", "a"]),
    ];
    for other in others {
        assert!(matches!(cache.look_up(other, now), LookUp::Fill(..)));
    }
}

#[test]
fn looking_for_what_is_there_whole_starts_nothing() {
    let (cache, now) = (Cache::new(SETTINGS), Instant::now());
    let whole = |now| cache.find_whole(&key("a"), now);
    assert!(whole(now).is_none());
    let (filler, _reader) = fill(&cache, "a", now);
    let mut writer = filler.open("head", Some(3), LIFETIME, now).unwrap();
    writer.push(b"abc", now).unwrap();
    assert!(whole(now).is_none(), "its end is still to come");
    writer.finish().unwrap();
    let mut reader = whole(now).unwrap();
    assert_eq!(head(&mut reader), Poll::Ready(Ok("head")));
    assert_eq!(reader.whole(), Some(3));
    assert!(whole(now + LIFETIME).is_none(), "stale");
    let _ = fill(&cache, "a", now + LIFETIME);
}
