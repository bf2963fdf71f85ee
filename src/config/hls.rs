//! `[hls]`

use std::time::Duration;

use super::HlsConfig;
use super::limits::size;
use super::reader::Table;
use super::units::{Bounds, duration};
use crate::session::place::Bind;

const MIB: u64 = 1 << 20;

impl Default for HlsConfig {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            session_idle: seconds(30),
            bind_address: Bind::Prefix,
            page_from_check: seconds(30),
            page_wait: seconds(1),
            playlist: 2 << 20,
            playlist_memory: 64 << 20,
            cache: true,
            cache_size: 256 << 20,
            cache_object: 16 << 20,
            read_ahead: 1 << 20,
            own_playlists: 1 << 20,
            cache_playlist: Duration::from_millis(500),
            cache_segment: seconds(10),
        }
    }
}

/// `[hls]`
pub(super) fn hls(root: &mut Table<'_>) -> HlsConfig {
    let default = HlsConfig::default();
    let mut table = root.table("hls");
    let t = &mut table;
    let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3600));
    let words = [
        ("exact", Bind::Exact),
        ("prefix", Bind::Prefix),
        ("off", Bind::Off),
    ];
    let bind_address = t.choice("bind_address", &words, default.bind_address);
    if bind_address == Bind::Off
        && let Some(value) = t.take("bind_address")
    {
        let what = "\"off\": a viewer that has the URL of a running playback may join it from anywhere, also when its token \
                    has expired";
        t.findings.danger(&value.place, what);
    }
    let idle = Bounds::new(second, hour, "a player asks once in a target duration");
    // Both may be nothing.
    let (at_once, never_long) = (Duration::ZERO, "a duration is never less");
    let page = Bounds::new(at_once, Duration::from_secs(600), never_long);
    let page_wait = Bounds::new(at_once, Duration::from_secs(5), never_long);
    let playlist = Bounds::new(64 << 10, 64 * MIB, "a playlist must fit in");
    let store = Bounds::new(MIB, 1 << 40, "a playlist or segment must fit in");
    let object = Bounds::new(64 << 10, 1024 * MIB, "a playlist must fit in");
    let ahead = Bounds::new(64 << 10, 1024 * MIB, "a viewer that reads fast would wait");
    let own = Bounds::new(
        16 << 10,
        1024 * MIB,
        "a playlist is loaded every few seconds",
    );
    let moment = Bounds::new(Duration::from_millis(10), hour, "use cache = false");
    HlsConfig {
        session_idle: duration(t, "session_idle", default.session_idle, idle),
        bind_address,
        page_from_check: duration(t, "page_from_check", default.page_from_check, page),
        page_wait: duration(t, "page_wait", default.page_wait, page_wait),
        playlist: size(t, "playlist", default.playlist, playlist),
        playlist_memory: size(t, "playlist_memory", default.playlist_memory, store),
        cache: t.flag("cache", default.cache),
        cache_size: size(t, "cache_size", default.cache_size, store),
        cache_object: size(t, "cache_object", default.cache_object, object),
        read_ahead: size(t, "read_ahead", default.read_ahead, ahead),
        own_playlists: size(t, "own_playlists", default.own_playlists, own),
        cache_playlist: duration(t, "cache_playlist", default.cache_playlist, moment),
        cache_segment: duration(t, "cache_segment", default.cache_segment, moment),
    }
}
