//! `[timeouts]`

use std::time::Duration;

use super::Timeouts;
use super::reader::Table;
use super::units::{Bounds, duration};

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            head: seconds(10),
            keep_alive: seconds(60),
            upstream_connect: seconds(2),
            upstream_head: seconds(10),
            upstream_total: seconds(8),
            upstream_backoff: seconds(5),
            outage_hold: seconds(60),
            upstream_lookup: seconds(30),
            media_idle: seconds(60),
            ping: seconds(25),
            switch_answer: seconds(10),
            write_stall: seconds(30),
            user_timeout: seconds(30),
            half_close: seconds(5),
            linger: seconds(2),
            drain: seconds(300),
            disk: seconds(5),
        }
    }
}

/// `[timeouts]`
pub(super) fn timeouts(root: &mut Table<'_>) -> Timeouts {
    let default = Timeouts::default();
    let mut table = root.table("timeouts");
    let mut wait = |key, default, least, most, why| {
        duration(&mut table, key, default, Bounds::new(least, most, why))
    };
    let (zero, short, longer) = (
        Duration::ZERO,
        Duration::from_millis(10),
        Duration::from_millis(100),
    );
    let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
    let (hour, day) = (60 * minute, 24 * 60 * minute);
    let viewer = "every viewer would be too late";
    let server = "every media server would be too late";
    let asked = "the name servers would be asked without a pause";
    let pings = "quiet viewers would be flooded with pings";
    let system = "0 would mean the system's default, which is many minutes";
    let lost = "what is under way in the other direction would be lost";
    let reset = "a reset would overtake the close code";
    Timeouts {
        head: wait("head", default.head, short, 5 * minute, viewer),
        keep_alive: wait("keep_alive", default.keep_alive, short, hour, viewer),
        upstream_connect: wait(
            "upstream_connect",
            default.upstream_connect,
            short,
            minute,
            server,
        ),
        upstream_head: wait(
            "upstream_head",
            default.upstream_head,
            short,
            5 * minute,
            server,
        ),
        upstream_total: wait(
            "upstream_total",
            default.upstream_total,
            short,
            5 * minute,
            server,
        ),
        upstream_backoff: wait("upstream_backoff", default.upstream_backoff, zero, hour, ""),
        outage_hold: wait("outage_hold", default.outage_hold, zero, day, ""),
        upstream_lookup: wait(
            "upstream_lookup",
            default.upstream_lookup,
            longer,
            day,
            asked,
        ),
        media_idle: wait(
            "media_idle",
            default.media_idle,
            longer,
            day,
            "media has pauses",
        ),
        ping: wait("ping", default.ping, longer, hour, pings),
        switch_answer: wait(
            "switch_answer",
            default.switch_answer,
            longer,
            hour,
            "media servers take a moment",
        ),
        write_stall: wait(
            "write_stall",
            default.write_stall,
            longer,
            hour,
            "viewers have pauses",
        ),
        user_timeout: wait("user_timeout", default.user_timeout, longer, hour, system),
        half_close: wait("half_close", default.half_close, short, hour, lost),
        linger: wait("linger", default.linger, short, 30 * second, reset),
        drain: wait("drain", default.drain, zero, day, ""),
        disk: wait("disk", default.disk, longer, minute, "disks have pauses"),
    }
}
