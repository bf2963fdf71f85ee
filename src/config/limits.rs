//! `[limits]`

use rustix::process::{Resource, getrlimit};

use super::Limits;
use super::error::Problem;
use super::reader::{Table, Value};
use super::units::{Bounds, parse_size, show_size};

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
            sessions_per_token: share(connections),
            sessions_per_network: share(connections),
            backlog: 4096,
            dials: 256,
            head: 16 * 1024,
            fields: 64,
            uri: 8 * 1024,
            body: 16 * 1024,
            refused_body: 1024 * 1024,
            client_message: 16 * 1024,
            client_frames: 50,
            refusals: 10,
            refusals_logged: 1000,
            api_key_guesses: 5,
            unsent: 128 * 1024,
        }
    }
}

/// What one token or one network may have of so many sessions: the rest is for others. It is most of them, since there are
/// pages that give one token to all of their viewers, and fronts that are not listed, behind which all have one address.
fn share(sessions: usize) -> usize {
    sessions - sessions / 4
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
    let many = 10_000_000;
    let workers = Bounds::new(1, 1024, "connections need a thread");
    let connections = Bounds::new(1, many, "no viewer could connect");
    let sessions = Bounds::new(1, many, "no viewer could play");
    let per = Bounds::new(1, many, "no viewer could play");
    let backlog = Bounds::new(
        1,
        65_535,
        "viewers would be turned away before they are accepted",
    );
    let dials = Bounds::new(1, 65_535, "no media server could be reached");
    let head = Bounds::new(8 * KIB, 256 * KIB, "a token and cookies must fit in");
    let fields = Bounds::new(16, 1000, "browsers send about as many");
    let uri = Bounds::new(4 * KIB, 32 * KIB, "a token alone may have 2 KiB");
    let body = Bounds::new(4 * KIB, MIB, "a request for sixteen streams must fit in");
    let refused = Bounds::new(0, 64 * MIB, "a size is never less");
    let message = Bounds::new(4 * KIB, MIB, "a change of the stream brings a token");
    let rate = Bounds::new(1, 100_000, "what is beyond it would wait for ever");
    let logged = Bounds::new(1, 100_000, "an operator could not look a refusal up");
    let unsent = Bounds::new(16 * KIB, 64 * MIB, "a frame must find room");
    let connections = count(t, "connections", default.connections, connections);
    let sessions = count(t, "sessions", connections, sessions);
    let limits = Limits {
        workers: count(t, "workers", default.workers, workers),
        connections,
        sessions,
        sessions_per_token: count(t, "sessions_per_token", share(sessions), per),
        sessions_per_network: count(t, "sessions_per_network", share(sessions), per),
        backlog: count(t, "backlog", default.backlog, backlog),
        dials: count(t, "dials", default.dials, dials),
        head: size(t, "head", default.head, head),
        fields: count(t, "fields", default.fields, fields),
        uri: size(t, "uri", default.uri, uri),
        body: size(t, "body", default.body, body),
        refused_body: size(t, "refused_body", default.refused_body, refused),
        client_message: size(t, "client_message", default.client_message, message),
        client_frames: count(t, "client_frames", default.client_frames, rate),
        refusals: count(t, "refusals", default.refusals, rate),
        refusals_logged: count(t, "refusals_logged", default.refusals_logged, logged),
        api_key_guesses: count(t, "api_key_guesses", default.api_key_guesses, rate),
        unsent: size(t, "unsent", default.unsent, unsent),
    };
    // The default is never too large: it is the least that `head` may be.
    if limits.uri > limits.head
        && let Some(uri) = table.take("uri")
    {
        let advice = "is more than limits.head, which the target is a part of: raise limits.head or lower this";
        uri.refuse(Problem::Conflict(advice.to_owned()));
    }
    if let Some(value) = table.take("connections") {
        warn_of_descriptors(limits.connections, descriptors(), &value);
    }
    limits
}

fn warn_of_descriptors(connections: usize, descriptors: u64, given: &Value<'_>) {
    let needed = (connections as u64)
        .saturating_mul(2)
        .saturating_add(OWN_DESCRIPTORS);
    // One connection is always let in, even where the system gives next to nothing.
    if needed > descriptors && connections > 1 {
        let what = format!(
            "{connections} need {needed} file descriptors, and this process may have {descriptors}: raise LimitNOFILE \
             (ulimit -n), or viewers wait instead of hearing that the gate is full"
        );
        given.findings.warn(&given.place, &what);
    }
}

/// The number of a key, when it is given and within its bounds, else the default.
pub(super) fn count<N>(
    table: &mut Table<'_>,
    key: &'static str,
    default: N,
    bounds: Bounds<u64>,
) -> N
where
    N: TryFrom<u64>,
{
    let number = table.take(key).and_then(|value| {
        let number = value.count()?;
        value.accept(bounds.check(number, |number| number.to_string()))
    });
    // The bounds are within every such type.
    number
        .and_then(|number| N::try_from(number).ok())
        .unwrap_or(default)
}

/// The size of a key, when it is given and within its bounds, else the default.
pub(super) fn size<N>(
    table: &mut Table<'_>,
    key: &'static str,
    default: N,
    bounds: Bounds<u64>,
) -> N
where
    N: TryFrom<u64>,
{
    let bytes = table.take(key).and_then(|value| {
        let bytes = value.parsed_by("a size such as \"16KiB\"", parse_size)?;
        value.accept(bounds.check(bytes, show_size))
    });
    // The bounds are within every such type.
    bytes
        .and_then(|bytes| N::try_from(bytes).ok())
        .unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::findings::Findings;

    #[test]
    fn half_of_the_descriptors_are_for_viewers() {
        for (descriptors, connections) in [(20_000, 9_900), (1024, 412), (201, 1), (0, 1)] {
            let limits = Limits::of(descriptors, 3);
            assert_eq!(
                (limits.connections, limits.sessions),
                (connections, connections)
            );
            let share = connections.saturating_mul(3).div_ceil(4);
            assert_eq!(limits.sessions_per_token, share);
            assert_eq!(limits.sessions_per_network, share);
            assert_eq!(limits.workers, 3);
        }
    }

    #[test]
    fn more_connections_than_descriptors_are_warned_of() {
        let warnings = |connections, descriptors| {
            let (findings, document) = Findings::of("connections = 1");
            let mut table = Table::root(&document, &findings);
            let given = table.take("connections").unwrap();
            warn_of_descriptors(connections, descriptors, &given);
            drop(table);
            findings.finish().unwrap().1.len()
        };
        assert_eq!(warnings(9_900, 20_000), 0);
        assert_eq!(warnings(9_901, 20_000), 1);
        assert_eq!(warnings(1, 0), 0);
    }
}
