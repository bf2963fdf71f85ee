//! `[limits]` and `[timeouts]`.

use std::time::Duration;

use rustix::process::{Resource, getrlimit};

use super::error::Problem;
use super::reader::{Findings, Table};
use super::units::{Bounds, parse_duration, parse_size, show_duration, show_size};
use super::{Limits, Timeouts};

/// File descriptors that are no viewer's: listening sockets, the log, the operator's connections, name look-ups.
const OWN_DESCRIPTORS: u64 = 200;

/// What Linux grants a process whose limit is "unlimited" (`fs.nr_open`).
const UNLIMITED_DESCRIPTORS: u64 = 1 << 20;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

impl Limits {
    /// The defaults on this machine, for as many file descriptors as this process may have.
    #[must_use]
    pub fn of_this_machine() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::of(descriptors(), cores)
    }

    fn of(descriptors: u64, cores: usize) -> Self {
        // A viewer has two: its own connection and the one to its media server.
        let connections = usize::try_from(descriptors.saturating_sub(OWN_DESCRIPTORS) / 2)
            .unwrap_or(usize::MAX)
            .max(1);
        Self {
            workers: cores,
            connections,
            sessions: connections,
            backlog: 4096,
            dials: 256,
            head: 16 * 1024,
            fields: 64,
            uri: 8 * 1024,
            body: 16 * 1024,
            client_message: 16 * 1024,
        }
    }
}

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
            upstream_lookup: seconds(30),
            media_idle: seconds(60),
            ping: seconds(25),
            write_stall: seconds(30),
            user_timeout: seconds(30),
            half_close: seconds(5),
            linger: seconds(2),
            drain: seconds(300),
        }
    }
}

fn descriptors() -> u64 {
    getrlimit(Resource::Nofile)
        .current
        .unwrap_or(UNLIMITED_DESCRIPTORS)
}

/// `[limits]`
pub(super) fn limits(root: &mut Table<'_>) -> Limits {
    let default = Limits::of_this_machine();
    let mut table = root.table("limits");
    let t = &mut table;
    let nobody = "nobody could connect";
    let workers = count(
        t,
        "workers",
        default.workers,
        Bounds::new(1, 1024, "somebody has to do the work"),
    );
    let connections = count(
        t,
        "connections",
        default.connections,
        Bounds::new(1, 10_000_000, nobody),
    );
    let sessions = count(
        t,
        "sessions",
        connections,
        Bounds::new(1, 10_000_000, "nobody could play"),
    );
    let backlog = Bounds::new(
        1,
        65_535,
        "viewers would be turned away while they wait to be accepted",
    );
    let dials = Bounds::new(1, 65_535, "no media server could be reached");
    let fields = Bounds::new(16, 1000, "browsers send about as many");
    let uri = Bounds::new(4 * KIB, 32 * KIB, "a token alone may have 2 KiB");
    let head = Bounds::new(
        8 * KIB,
        256 * KIB,
        "a request with its token and cookies must fit in",
    );
    let body = Bounds::new(4 * KIB, MIB, "a request for sixteen streams must fit in");
    let message = Bounds::new(4 * KIB, MIB, "a change of the stream brings a token");
    let limits = Limits {
        workers,
        connections,
        sessions,
        backlog: count(t, "backlog", default.backlog, backlog),
        dials: count(t, "dials", default.dials, dials),
        head: size(t, "head", default.head, head),
        fields: count(t, "fields", default.fields, fields),
        uri: size(t, "uri", default.uri, uri),
        body: size(t, "body", default.body, body),
        client_message: size(t, "client_message", default.client_message, message),
    };
    // The default is never too large: it is the least that `head` may be.
    if limits.uri > limits.head
        && let Some(uri) = table.take("uri")
    {
        let advice = "is more than limits.head, which the target is a part of: raise limits.head or lower this";
        uri.refuse(Problem::Conflict(advice.to_owned()));
    }
    warn_of_descriptors(limits.connections, descriptors(), table.findings);
    limits
}

fn warn_of_descriptors(connections: usize, descriptors: u64, findings: &Findings) {
    let needed = (connections as u64)
        .saturating_mul(2)
        .saturating_add(OWN_DESCRIPTORS);
    // One connection is always let in, even where the system gives next to nothing.
    if needed > descriptors && connections > 1 {
        findings.warn(format!(
            "limits.connections = {connections} needs {needed} file descriptors, and this process may have {descriptors}: \
             raise LimitNOFILE (ulimit -n), or viewers wait instead of hearing that the gate is full"
        ));
    }
}

/// `[timeouts]`
pub(super) fn timeouts(root: &mut Table<'_>) -> Timeouts {
    let default = Timeouts::default();
    let mut table = root.table("timeouts");
    let t = &mut table;
    let milliseconds = Duration::from_millis;
    let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(60 * 60));
    let day = 24 * hour;
    let wait = |most, why| Bounds::new(milliseconds(10), most, why);
    let slowly = |most, why| Bounds::new(milliseconds(100), most, why);
    let from_zero = |most| Bounds::new(Duration::ZERO, most, "");
    let late = "every media server would be too late";
    Timeouts {
        head: duration(
            t,
            "head",
            default.head,
            wait(5 * minute, "every viewer would be too late"),
        ),
        keep_alive: duration(
            t,
            "keep_alive",
            default.keep_alive,
            wait(hour, "every viewer would be too late"),
        ),
        upstream_connect: duration(
            t,
            "upstream_connect",
            default.upstream_connect,
            wait(minute, late),
        ),
        upstream_head: duration(
            t,
            "upstream_head",
            default.upstream_head,
            wait(5 * minute, late),
        ),
        upstream_total: duration(
            t,
            "upstream_total",
            default.upstream_total,
            wait(5 * minute, late),
        ),
        upstream_backoff: duration(
            t,
            "upstream_backoff",
            default.upstream_backoff,
            from_zero(hour),
        ),
        upstream_lookup: {
            let why = "the name servers would be asked without a pause";
            duration(
                t,
                "upstream_lookup",
                default.upstream_lookup,
                slowly(day, why),
            )
        },
        media_idle: duration(
            t,
            "media_idle",
            default.media_idle,
            slowly(day, "media has pauses"),
        ),
        ping: duration(
            t,
            "ping",
            default.ping,
            slowly(hour, "quiet viewers would be flooded with pings"),
        ),
        write_stall: duration(
            t,
            "write_stall",
            default.write_stall,
            slowly(hour, "viewers have pauses"),
        ),
        user_timeout: {
            let why = "0 would mean the system's default, which is many minutes";
            duration(t, "user_timeout", default.user_timeout, slowly(hour, why))
        },
        half_close: {
            let why = "what is under way in the other direction would be lost";
            duration(t, "half_close", default.half_close, wait(hour, why))
        },
        linger: {
            let why = "a reset would overtake the close code";
            duration(
                t,
                "linger",
                default.linger,
                wait(Duration::from_secs(30), why),
            )
        },
        drain: duration(t, "drain", default.drain, from_zero(day)),
    }
}

/// The number of a key, when it is given and within its bounds, else the default.
fn count<N>(table: &mut Table<'_>, key: &'static str, default: N, bounds: Bounds<u64>) -> N
where
    N: TryFrom<u64>,
{
    let value = table.take(key);
    let number = value
        .and_then(|value| value.accept(bounds.check(value.count()?, |number| number.to_string())));
    // The bounds are within every such type.
    number
        .and_then(|number| N::try_from(number).ok())
        .unwrap_or(default)
}

fn size(table: &mut Table<'_>, key: &'static str, default: usize, bounds: Bounds<u64>) -> usize {
    let read = |text: &str| {
        bounds.check(
            parse_size(text).map_err(|error| error.to_string())?,
            show_size,
        )
    };
    let bytes = table
        .take(key)
        .and_then(|value| value.read("a size such as \"16KiB\"", read));
    bytes
        .and_then(|bytes| usize::try_from(bytes).ok())
        .unwrap_or(default)
}

/// The duration of a key, when it is given and within its bounds, else the default.
pub(super) fn duration(
    table: &mut Table<'_>,
    key: &'static str,
    default: Duration,
    bounds: Bounds<Duration>,
) -> Duration {
    let read = |text: &str| {
        bounds.check(
            parse_duration(text).map_err(|error| error.to_string())?,
            show_duration,
        )
    };
    table
        .take(key)
        .and_then(|value| value.read("a duration such as \"6s\"", read))
        .unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_descriptors_are_for_viewers() {
        for (descriptors, connections) in [(20_000, 9_900), (1024, 412), (201, 1), (0, 1)] {
            let limits = Limits::of(descriptors, 3);
            assert_eq!(
                (limits.connections, limits.sessions),
                (connections, connections)
            );
            assert_eq!(limits.workers, 3);
        }
    }

    #[test]
    fn more_connections_than_descriptors_are_warned_of() {
        let warnings = |connections, descriptors| {
            let (findings, _) = Findings::of("");
            warn_of_descriptors(connections, descriptors, &findings);
            findings.finish().unwrap().1.len()
        };
        assert_eq!(warnings(9_900, 20_000), 0);
        assert_eq!(warnings(9_901, 20_000), 1);
        assert_eq!(warnings(1, 0), 0);
    }
}
