use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::{Kind, Shareable, is_called_playlist, shareable};

fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for &(name, value) in fields {
        headers.append(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    headers
}

/// What a response is shared as that is what it is called.
fn kind(fields: &[(&'static str, &'static str)], path: &str) -> Option<Kind> {
    let headers = headers(fields);
    let content_type = headers.get("content-type");
    let kind = match is_called_playlist(content_type.map(|value| value.to_str().unwrap()), path) {
        true => Kind::Playlist,
        false => Kind::Segment,
    };
    shareable(StatusCode::OK, &headers, path, kind).map(|_| kind)
}

/// A segment with these fields beside its type.
fn segment(fields: &[(&'static str, &'static str)]) -> Option<Shareable> {
    let mut all = headers(fields);
    all.insert("content-type", HeaderValue::from_static("video/mp4"));
    shareable(StatusCode::OK, &all, "/h5live/http/7.m4s", Kind::Segment)
}

#[test]
fn the_shorter_of_two_lifetimes_counts() {
    let ms = Duration::from_millis;
    let given = |fresh_for| Shareable { fresh_for };
    for (fresh_for, lasts) in [
        (None, ms(10_000)),
        (Some(ms(3_000)), ms(3_000)),
        (Some(ms(30_000)), ms(10_000)),
        (Some(Duration::MAX), ms(10_000)),
    ] {
        assert_eq!(given(fresh_for).lifetime(ms(10_000)), lasts);
    }
}

#[test]
fn playlists_and_segments_are_told_by_type_and_name() {
    let (playlist, segment) = (Some(Kind::Playlist), Some(Kind::Segment));
    let table = [
        (Some("application/vnd.apple.mpegurl"), "/x", playlist),
        (
            Some("Application/X-mpegURL ; charset=utf-8"),
            "/x",
            playlist,
        ),
        (Some("audio/mpegurl"), "/x", playlist),
        (Some("audio/x-mpegurl"), "/x", playlist),
        (Some("text/plain"), "/a/b.M3U8", playlist),
        (None, "/a/b.m3u", playlist),
        (Some("video/mp2t"), "/x", segment),
        (Some("VIDEO/iso.segment"), "/x", segment),
        (Some("audio/aac"), "/x", segment),
        (Some("application/mp4"), "/x", segment),
        (Some("text/vtt;charset=utf-8"), "/x", segment),
        (Some("application/octet-stream"), "/a/7.ts", segment),
        (Some("binary/octet-stream"), "/a/7.TS", segment),
        (None, "/a/7.cmfv", segment),
        (None, "/a/7%2em4s", segment),
        (Some("application/octet-stream"), "/a/7", None),
        (Some("application/octet-stream"), "/a.ts/7", None),
        (Some("text/html"), "/a/7.ts", None),
        (Some("application/json"), "/x", None),
        (Some("videos/mp4"), "/x", None),
        (None, "/a/ts", None),
        (None, "/", None),
        (Some("application/octet-stream"), "/a/b.key", None),
        (Some("video/mp4"), "/a/b.KEY", None),
        (Some("video/mp4"), "/h5live/http/stream.mp4", None),
        (Some("video/mp4"), "/h5live/http/Stream%2Emp4", None),
        (Some("video/mp4"), "/h5live/http/stream.mp4/", None),
        (None, "stream.mp4", None),
        (Some("video/mp4"), "/stream.mp4/7.m4s", segment),
        (Some("video/mp4"), "/a/mystream.mp4", segment),
    ];
    assert!(!table.is_empty());
    for (content_type, path, expected) in table {
        let fields: Vec<_> = content_type
            .map(|value| ("content-type", value))
            .into_iter()
            .collect();
        assert_eq!(kind(&fields, path), expected, "{content_type:?} {path}");
        let called = is_called_playlist(content_type, path);
        assert_eq!(called, expected == playlist, "{content_type:?} {path}");
    }
}

#[test]
fn what_it_is_called_keeps_nothing_from_being_shared_as_what_it_is() {
    let shared =
        |fields: &[_], path: &str, kind| shareable(StatusCode::OK, &headers(fields), path, kind);
    let mpegurl = ("content-type", "application/vnd.apple.mpegurl");
    let octets = ("content-type", "application/octet-stream");
    let gzip = ("content-encoding", "gzip");
    assert!(shared(&[mpegurl], "/7.ts", Kind::Segment).is_some());
    assert!(shared(&[mpegurl], "/7", Kind::Segment).is_none());
    for path in ["/live", "/7.ts"] {
        assert!(shared(&[octets], path, Kind::Playlist).is_some(), "{path}");
        assert!(
            shared(&[octets, gzip], path, Kind::Playlist).is_some(),
            "{path}"
        );
        assert!(
            shared(&[octets, gzip], path, Kind::Segment).is_none(),
            "{path}"
        );
    }
    assert!(shared(&[mpegurl], "/stream.mp4", Kind::Playlist).is_none());
    // It will be one.
    for fields in [&[][..], &[mpegurl], &[("content-type", "video/mp2t")]] {
        assert!(
            shared(fields, "/live.m3u8", Kind::Segment).is_none(),
            "{fields:?}"
        );
    }
}

#[test]
fn only_a_200_is_shared() {
    for code in [100, 201, 204, 206, 301, 304, 404, 500, 503] {
        let status = StatusCode::from_u16(code).unwrap();
        assert_eq!(
            shareable(status, &headers(&[]), "/7.ts", Kind::Segment),
            None,
            "{code}"
        );
    }
    assert!(segment(&[]).is_some());
}

#[test]
fn what_is_one_viewers_own_is_not_shared() {
    let table = [
        ("set-cookie", "a=b"),
        ("cache-control", "private"),
        ("cache-control", "max-age=5, No-Store"),
        ("cache-control", "private=\"x\""),
        ("cache-control", "PRIVATE = \"x, y\", max-age=5"),
        ("cache-control", "public,,no-store"),
        ("vary", "*"),
        ("vary", "Cookie"),
        ("vary", "Origin, User-Agent"),
        ("content-encoding", "gzip"),
        ("content-encoding", "identity, br"),
    ];
    assert!(!table.is_empty());
    for (name, value) in table {
        assert_eq!(segment(&[(name, value)]), None, "{name}: {value}");
        // Nor when a harmless field of the name stands before it.
        let before = match name {
            "vary" => (name, "Origin"),
            "content-encoding" => (name, "identity"),
            _ => ("cache-control", "public"),
        };
        assert_eq!(segment(&[before, (name, value)]), None, "{name}: {value}");
    }
}

#[test]
fn a_field_that_is_no_text_is_taken_for_the_worst() {
    for name in ["cache-control", "vary", "content-encoding", "content-type"] {
        let mut all = headers(&[]);
        all.insert(name, HeaderValue::from_bytes(b"\xff").unwrap());
        assert_eq!(
            shareable(StatusCode::OK, &all, "/7.ts", Kind::Segment),
            None,
            "{name}"
        );
    }
}

#[test]
fn a_lifetime_of_a_second_or_more_bounds_the_freshness() {
    let table = [
        (&["max-age=5"][..], Some(5)),
        (&["public, Max-Age=\"7\""], Some(7)),
        (&["max-age=9, s-maxage=3"], Some(3)),
        (&["max-age=2", "s-maxage=60"], Some(2)),
        (&["max-age=0"], None),
        (&["no-cache"], None),
        (&["no-cache, max-age=0, must-revalidate"], None),
        (&["s-maxage=0, max-age=4"], Some(4)),
        (&["max-age=-1"], None),
        (&["max-age=soon"], None),
        (&["max-age"], None),
        (&["x-no-store, privately, max-age=1"], Some(1)),
        (&[], None),
    ];
    assert!(!table.is_empty());
    for (values, expected) in table {
        let fields: Vec<_> = values
            .iter()
            .map(|value| ("cache-control", *value))
            .collect();
        let fresh_for = segment(&fields).map(|shareable| shareable.fresh_for);
        assert_eq!(
            fresh_for,
            Some(expected.map(Duration::from_secs)),
            "{values:?}"
        );
    }
}

#[test]
fn what_the_gate_writes_itself_may_vary() {
    for value in ["Origin", "accept-encoding, ORIGIN", "Accept-Encoding,"] {
        assert!(segment(&[("vary", value)]).is_some(), "{value}");
    }
    assert!(segment(&[("content-encoding", "Identity")]).is_some());
}
