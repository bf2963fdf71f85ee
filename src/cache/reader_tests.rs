use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use bytes::Buf as _;
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use tokio::time::Instant;

use super::error::{Broken, Unshared};
use super::fill::Writer;
use super::reader::{FRAME_BYTES, SharedBody};
use super::tests::{LIFETIME, SETTINGS, drain, fill, frame, head, put, share};
use super::{Cache, CacheSettings};

#[test]
fn a_slow_reader_neither_holds_up_nor_misses_anything() {
    let (cache, now) = (Cache::new(SETTINGS), Instant::now());
    let (filler, slow) = fill(&cache, "a", now);
    let mut writer = filler.open("head", None, LIFETIME, now).unwrap();
    let mut slow = slow.into_body();
    let mut fast = share(&cache, "a", now).into_body();
    let mut written = Vec::new();
    let mut slowly_read = Vec::new();
    for part in 0..200_u8 {
        let part = vec![part; 1 + usize::from(part)];
        writer.push(&part, now).unwrap();
        assert_eq!(drain(&mut fast), (part.clone(), Some(None)));
        written.extend(part);
        if written.len() % 7 == 0
            && let Poll::Ready(Some(Ok(pieces))) = frame(&mut slow)
        {
            slowly_read.extend(pieces.take_apart().0.flatten());
        }
    }
    writer.finish().unwrap();
    assert_eq!(drain(&mut fast), (Vec::new(), None));
    assert!(slowly_read.len() < written.len());
    let (rest, end) = drain(&mut slow);
    slowly_read.extend(rest);
    assert_eq!((slowly_read, end), (written, None));
}

#[test]
fn readers_share_one_copy() {
    let (cache, now) = (Cache::new(SETTINGS), Instant::now());
    put(&cache, "a", &[7; 1000], now);
    let mut bodies = [(); 2].map(|()| share(&cache, "a", now).into_body());
    let places = bodies.each_mut().map(|body| match frame(body) {
        Poll::Ready(Some(Ok(pieces))) => pieces.chunk().as_ptr(),
        other @ (Poll::Ready(_) | Poll::Pending) => panic!("{other:?}"),
    });
    assert_eq!(places[0], places[1]);
}

#[test]
fn what_lies_in_many_chunks_leaves_in_few_frames() {
    let settings = CacheSettings {
        object: SETTINGS.bytes,
        ..SETTINGS
    };
    let (cache, now) = (Cache::new(settings), Instant::now());
    put(&cache, "a", &[7; 2 * FRAME_BYTES + 1], now);
    let mut body = share(&cache, "a", now).into_body();
    let lengths = [(); 4].map(|()| match frame(&mut body) {
        Poll::Ready(Some(Ok(pieces))) => pieces.remaining(),
        Poll::Ready(None) => 0,
        other @ (Poll::Ready(Some(Err(_))) | Poll::Pending) => panic!("{other:?}"),
    });
    assert_eq!(lengths, [FRAME_BYTES, FRAME_BYTES, 1, 0]);
}

#[test]
fn what_was_read_is_charged_until_it_is_sent() {
    let (cache, now) = (Cache::new(SETTINGS), Instant::now());
    put(&cache, "a", &[7; 1000], now);
    let mut body = share(&cache, "a", now).into_body();
    let Poll::Ready(Some(Ok(unsent))) = frame(&mut body) else {
        panic!("no frame");
    };
    drop(body);
    cache.sweep(now + 2 * LIFETIME);
    assert!(cache.stats().bytes >= 1000);
    drop(unsent);
    assert_eq!(cache.stats().bytes, 0);
}

#[test]
fn a_body_that_breaks_never_ends_cleanly_and_leaves_nothing() {
    let (cache, now) = (Cache::new(SETTINGS), Instant::now());
    let (filler, mut late) = fill(&cache, "a", now);
    let mut body = share(&cache, "a", now).into_body();
    let mut writer = filler.open("head", None, LIFETIME, now).unwrap();
    writer.push(b"abc", now).unwrap();
    drop(writer);
    let broken = Some(Some(Broken::Interrupted));
    assert_eq!(drain(&mut body), (b"abc".to_vec(), broken));
    assert_eq!(drain(&mut body), (Vec::new(), broken));
    assert!(!body.is_end_stream());
    // A reader that has not sent its answer's head yet need not begin with a broken body.
    assert_eq!(head(&mut late), Poll::Ready(Err(Unshared::Interrupted)));
    assert_eq!(late.whole(), None);
    drop((late, body));
    assert_eq!(cache.stats().bytes, 0);
    let _ = fill(&cache, "a", now);
}

#[test]
fn a_body_of_another_length_than_declared_is_broken() {
    let (cache, now) = (Cache::new(SETTINGS), Instant::now());
    let open = |target| -> (Writer<_, _>, SharedBody) {
        let (filler, reader) = fill(&cache, target, now);
        let writer = filler.open("head", Some(3), LIFETIME, now).unwrap();
        (writer, reader.into_body())
    };
    let broken = Some(Some(Broken::WrongLength));

    let (mut writer, mut body) = open("short");
    writer.push(b"ab", now).unwrap();
    assert_eq!(writer.finish(), Err(Broken::WrongLength));
    assert_eq!(drain(&mut body), (b"ab".to_vec(), broken));

    let (mut writer, mut body) = open("long");
    writer.push(b"ab", now).unwrap();
    assert_eq!(writer.push(b"cd", now), Err(Broken::WrongLength));
    assert_eq!(drain(&mut body), (b"ab".to_vec(), broken));
    assert_eq!(writer.push(b"c", now), Err(Broken::Interrupted));
    assert_eq!(writer.finish(), Err(Broken::Interrupted));
    let _ = fill(&cache, "long", now);
}

#[test]
fn a_finished_body_is_served_in_ranges() {
    let (cache, now) = (Cache::new(SETTINGS), Instant::now());
    let body: Vec<u8> = (0..=255).cycle().take(90_000).collect();
    let (filler, reader) = fill(&cache, "a", now);
    let mut writer = filler.open("head", None, LIFETIME, now).unwrap();
    for part in body.chunks(40_000) {
        writer.push(part, now).unwrap();
    }
    assert_eq!(reader.whole(), None);
    writer.finish().unwrap();
    assert_eq!(reader.whole(), Some(90_000));
    let table = [
        (0, 90_000),
        (0, 1),
        (39_999, 40_001),
        (89_999, 90_000),
        (5, 5),
    ];
    for (start, end) in table {
        let mut range = share(&cache, "a", now).into_range(start..end);
        assert_eq!(range.size_hint().exact(), Some(end - start));
        let within = usize::try_from(start).unwrap()..usize::try_from(end).unwrap();
        assert_eq!(drain(&mut range), (body[within].to_vec(), None));
        assert!(range.is_end_stream());
    }
    let mut beyond = share(&cache, "a", now).into_range(89_999..90_001);
    let (read, end) = drain(&mut beyond);
    assert_eq!((read.len(), end), (1, Some(Some(Broken::PastTheEnd))));
}

#[test]
fn the_size_is_exact_once_it_is_known() {
    let (cache, now) = (Cache::new(SETTINGS), Instant::now());
    for (target, declared) in [("declared", Some(5)), ("unknown", None)] {
        let (filler, reader) = fill(&cache, target, now);
        let mut body = reader.into_body();
        let mut writer = filler.open("head", declared, LIFETIME, now).unwrap();
        writer.push(b"abc", now).unwrap();
        assert_eq!(body.size_hint().lower(), declared.unwrap_or(3));
        assert_eq!(body.size_hint().exact(), declared);
        assert!(frame(&mut body).is_ready());
        writer.push(b"de", now).unwrap();
        writer.finish().unwrap();
        assert_eq!(body.size_hint().exact(), Some(2));
        assert!(!body.is_end_stream());
        assert!(frame(&mut body).is_ready());
        assert!(body.is_end_stream());
        assert_eq!(
            share(&cache, target, now).into_body().size_hint().exact(),
            Some(5)
        );
    }
}

#[tokio::test]
async fn an_empty_body_is_a_body() {
    let (cache, now) = (Cache::new(SETTINGS), Instant::now());
    let (filler, reader) = fill(&cache, "a", now);
    let writer = filler.open("head", Some(0), LIFETIME, now).unwrap();
    writer.finish().unwrap();
    assert_eq!(reader.whole(), Some(0));
    let body = reader.into_body();
    assert!(body.is_end_stream());
    assert!(body.collect().await.unwrap().to_bytes().is_empty());
}

#[test]
fn a_reader_that_leaves_takes_its_waker_along() {
    struct Nothing;
    impl Wake for Nothing {
        fn wake(self: Arc<Self>) {}
    }
    let (cache, now) = (Cache::new(SETTINGS), Instant::now());
    let (_filler, mut reader) = fill(&cache, "a", now);
    let mut body = share(&cache, "a", now).into_body();
    let nothing = Arc::new(Nothing);
    let waker = Waker::from(Arc::clone(&nothing));
    let mut cx = Context::from_waker(&waker);
    assert!(pin!(reader.head()).poll(&mut cx).is_pending());
    assert!(Pin::new(&mut body).poll_frame(&mut cx).is_pending());
    assert_eq!(Arc::strong_count(&nothing), 4);
    drop(reader);
    assert_eq!(Arc::strong_count(&nothing), 3);
    drop(body);
    assert_eq!(Arc::strong_count(&nothing), 2);
}
