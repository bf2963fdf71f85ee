use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use futures_util::future::join_all;
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout};

use super::error::Broken;
use super::reader::{Reader, SharedBody};
use super::tests::{LIFETIME, SETTINGS, Shared, fill, key, share};
use super::{Cache, CacheSettings, LookUp};

/// Hanging is how a lost waker shows; nothing waits so long otherwise.
const HANGS: Duration = Duration::from_secs(60);

/// Runs on a thread of its own, as a worker would.
fn worker<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime
        .unwrap()
        .block_on(async { timeout(HANGS, future).await.expect("a reader hangs") })
}

async fn read(mut reader: Reader<&'static str, u16>) -> Result<Vec<u8>, Broken> {
    assert_eq!(reader.head().await, Ok("head"));
    read_body(reader.into_body()).await
}

async fn read_body(mut body: SharedBody) -> Result<Vec<u8>, Broken> {
    let mut all = Vec::new();
    while let Some(frame) = body.frame().await {
        all.extend(frame?.into_data().unwrap().take_apart().0.flatten());
    }
    Ok(all)
}

#[test]
fn no_reader_on_any_thread_misses_a_byte_or_its_waker() {
    const BYTES: usize = 3_000;
    let (cache, now): (Shared, _) = (Cache::new(SETTINGS), Instant::now());
    for round in 0..5 {
        let target = round.to_string();
        let (filler, first) = fill(&cache, &target, now);
        let start = Barrier::new(3);
        thread::scope(|scope| {
            let workers = [(); 2].map(|()| {
                let readers: Vec<_> = (0..100).map(|_| share(&cache, &target, now)).collect();
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    worker(join_all(readers.into_iter().map(read)))
                })
            });
            start.wait();
            let mut writer = filler.open("head", None, LIFETIME, now).unwrap();
            for n in 0..BYTES {
                writer.push(&n.to_le_bytes()[..1], now).unwrap();
                if n % 64 == 0 {
                    thread::yield_now();
                }
            }
            writer.finish().unwrap();
            let expected = worker(read(first)).unwrap();
            assert_eq!(expected.len(), BYTES);
            for read in workers
                .into_iter()
                .flat_map(|worker| worker.join().unwrap())
            {
                assert_eq!(read.unwrap(), expected);
            }
        });
    }
}

#[test]
fn readers_that_come_and_go_while_others_wait_wake_nobody_wrongly() {
    let (cache, now): (Shared, _) = (Cache::new(SETTINGS), Instant::now());
    let (filler, first) = fill(&cache, "a", now);
    let written = AtomicUsize::new(0);
    thread::scope(|scope| {
        let faithful = scope.spawn(|| worker(read(first)).unwrap().len());
        let fickle = scope.spawn(|| {
            worker(async {
                let mut came = 0;
                while written.load(Ordering::Acquire) < 5_000 {
                    let mut body = share(&cache, "a", now).into_body();
                    for _ in 0..came % 4 {
                        // It goes away with a waker in place as often as not.
                        let _ = timeout(Duration::ZERO, body.frame()).await;
                    }
                    came += 1;
                }
            });
        });
        let mut writer = filler.open("head", None, LIFETIME, now).unwrap();
        for _ in 0..5_000 {
            writer.push(b"x", now).unwrap();
            written.fetch_add(1, Ordering::Release);
        }
        fickle.join().unwrap();
        writer.finish().unwrap();
        assert_eq!(faithful.join().unwrap(), 5_000);
    });
}

#[test]
fn a_break_reaches_readers_on_all_threads() {
    let (cache, now): (Shared, _) = (Cache::new(SETTINGS), Instant::now());
    let (filler, first) = fill(&cache, "a", now);
    thread::scope(|scope| {
        let workers = [first, share(&cache, "a", now)]
            .map(|reader| scope.spawn(|| worker(read_body(reader.into_body()))));
        let mut writer = filler.open("head", None, LIFETIME, now).unwrap();
        writer.push(b"abc", now).unwrap();
        drop(writer);
        for worker in workers {
            assert_eq!(worker.join().unwrap(), Err(Broken::Interrupted));
        }
    });
    assert_eq!(cache.stats().bytes, 0);
}

#[test]
fn of_all_who_ask_at_once_one_fetches() {
    const KEYS: usize = 200;
    let settings = CacheSettings {
        bytes: 64 * 1024 * 1024,
        keys: KEYS,
        ..SETTINGS
    };
    let (cache, now): (Shared, _) = (Cache::new(settings), Instant::now());
    let (fills, start) = (AtomicUsize::new(0), Barrier::new(4));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                start.wait();
                worker(async {
                    for n in 0..KEYS {
                        let reader = match cache.look_up(key(&n.to_string()), now) {
                            LookUp::Share(reader) => reader,
                            LookUp::Fill(filler, reader) => {
                                fills.fetch_add(1, Ordering::Relaxed);
                                let mut writer =
                                    filler.open("head", Some(3), LIFETIME, now).unwrap();
                                writer.push(b"abc", now).unwrap();
                                writer.finish().unwrap();
                                reader
                            }
                            LookUp::Alone => panic!("there is room"),
                        };
                        assert_eq!(read(reader).await.unwrap(), b"abc");
                    }
                });
            });
        }
    });
    assert_eq!(fills.load(Ordering::Relaxed), KEYS);
    let stats = cache.stats();
    assert_eq!(stats.hits + stats.joined + stats.fills, 4 * 200);
}
