//! What the gate counts, in the OpenMetrics text form.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::cache::CacheStats;
use crate::hls::sessions::Counts;

/// A verdict's labels. All values are from fixed lists, so that nothing that a viewer sends makes a new series.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Verdict {
    /// `granted`, `checked` (a `checkandclose` that passed), `probe` (a check without a token) or `refused`.
    pub verdict: &'static str,
    /// Why it was refused; empty when it was not.
    pub reason: &'static str,
    /// The close code; 0 when there is none.
    pub code: u32,
}

/// One label: why.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Why {
    /// A label of the refusal map, or of the token API's errors.
    pub reason: &'static str,
}

/// One label: an HTTP status.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Answered {
    /// Such as 200.
    pub status: u32,
}

/// One label: a session's transport.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct By {
    transport: &'static str,
}

/// One label: how far a playback over HTTP is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct In {
    state: &'static str,
}

/// One label: a media server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Which {
    server: String,
}

/// All counters.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Verdicts at connect.
    pub verdicts: Family<Verdict, Counter>,
    /// Verdicts in band.
    pub switches: Family<Verdict, Counter>,
    /// Sessions that ended, by why.
    pub ends: Family<Why, Counter>,
    /// Requests that no endpoint answered, by why.
    pub rejections: Family<Why, Counter>,
    /// Answers of the token API, by error; `minted` is success.
    pub token_api: Family<Why, Counter>,
    /// Answers to viewers over HTTP, by status.
    pub http_answers: Family<Answered, Counter>,
    /// Requests that no media server served, by reason.
    pub upstream_errors: Family<Why, Counter>,
    /// From our 101 to the media server's.
    pub upstream_connect: Histogram,
    /// Messages of viewers that were not on the list.
    pub messages_dropped: Counter,
    /// Refusals that were not logged.
    pub refusals_not_logged: Counter,
    /// How often the clock jumped.
    pub clock_jumps: Counter,
    /// Reloads, by outcome.
    pub reloads: Family<Why, Counter>,
    /// Bytes from media servers to viewers.
    pub bytes_to_viewers: Counter,
    /// Bytes from viewers to media servers.
    pub bytes_to_servers: Counter,
}

/// Values that are read when the metrics are asked for, instead of being counted.
#[derive(Debug)]
pub struct Readings {
    /// Sessions now, by the name of their transport.
    pub sessions: Vec<(&'static str, usize)>,
    /// Playbacks over HTTP, those included that are over or not heard of since a restart.
    pub hls: Counts,
    /// Viewers' connections now.
    pub connections: usize,
    /// Connections turned away at the limit.
    pub connections_refused: usize,
    /// Log lines that were dropped because too many waited, or that could not be written.
    pub log_lines_dropped: usize,
    /// Media servers, and whether each is healthy.
    pub servers: Vec<(String, bool)>,
    /// Memory of playlists that are not shared.
    pub playlists: usize,
    /// The cache of what viewers over HTTP share; `None` when sharing is off.
    pub cache: Option<CacheStats>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("h5gate");
        let version = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The running version", version);
        let verdicts = Family::default();
        registry.register(
            "verdicts",
            "Verdicts on playbacks at connect",
            verdicts.clone(),
        );
        let switches = Family::default();
        registry.register(
            "switches",
            "Verdicts on switches inside a socket",
            switches.clone(),
        );
        let ends = Family::default();
        registry.register("session_ends", "Sessions that ended", ends.clone());
        let rejections = Family::default();
        registry.register(
            "rejections",
            "Requests that no endpoint answered",
            rejections.clone(),
        );
        let token_api = Family::default();
        registry.register(
            "token_api_requests",
            "Answers of the token API",
            token_api.clone(),
        );
        let http_answers = Family::default();
        registry.register(
            "http_answers",
            "Answers to viewers over HTTP",
            http_answers.clone(),
        );
        let upstream_errors = Family::default();
        registry.register(
            "upstream_errors",
            "Playbacks for which no media server could be had",
            upstream_errors.clone(),
        );
        let upstream_connect = Histogram::new([0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 8.0]);
        let help = "From the viewer's 101 to the media server's";
        registry.register_with_unit(
            "upstream_connect",
            help,
            Unit::Seconds,
            upstream_connect.clone(),
        );
        let messages_dropped = Counter::default();
        registry.register(
            "messages_dropped",
            "Viewers' messages that were not on the list",
            messages_dropped.clone(),
        );
        let refusals_not_logged = Counter::default();
        registry.register(
            "refusals_not_logged",
            "Refusals beyond limits.refusals_logged, which are in no log",
            refusals_not_logged.clone(),
        );
        let clock_jumps = Counter::default();
        registry.register(
            "clock_jumps",
            "How often the time of day jumped by a second or more",
            clock_jumps.clone(),
        );
        let reloads = Family::default();
        registry.register(
            "reloads",
            "Reloads of the configuration: ok or failed",
            reloads.clone(),
        );
        let bytes_to_viewers = Counter::default();
        let help = "Bytes from media servers to viewers, counted when a session ends";
        registry.register_with_unit("to_viewers", help, Unit::Bytes, bytes_to_viewers.clone());
        let bytes_to_servers = Counter::default();
        let help = "Bytes from viewers to media servers, counted when a session ends";
        registry.register_with_unit("to_servers", help, Unit::Bytes, bytes_to_servers.clone());
        Self {
            registry,
            verdicts,
            switches,
            ends,
            rejections,
            token_api,
            http_answers,
            upstream_errors,
            upstream_connect,
            messages_dropped,
            refusals_not_logged,
            clock_jumps,
            reloads,
            bytes_to_viewers,
            bytes_to_servers,
        }
    }
}

impl Metrics {
    /// The whole text, counters and readings.
    #[must_use]
    pub fn text(&self, readings: &Readings) -> String {
        let mut text = String::new();
        let mut now = Registry::with_prefix("h5gate");
        let gauge = |n: usize| ConstGauge::new(i64::try_from(n).unwrap_or(i64::MAX));
        let counter = |n: usize| ConstCounter::new(n as u64);
        let sessions = Family::<By, Gauge>::default();
        for (transport, count) in &readings.sessions {
            let count = i64::try_from(*count).unwrap_or(i64::MAX);
            sessions.get_or_create(&By { transport }).set(count);
        }
        now.register("sessions", "Sessions now", sessions);
        let playbacks = Family::<In, Gauge>::default();
        let Counts {
            playing,
            over,
            dormant,
        } = readings.hls;
        for (state, count) in [("playing", playing), ("over", over), ("waiting", dormant)] {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            playbacks.get_or_create(&In { state }).set(count);
        }
        let help = "Playbacks over HTTP that are kept in mind: playing, over (its viewer still hears why), waiting (not heard \
                    of since a restart)";
        now.register("hls_playbacks", help, playbacks);
        now.register(
            "connections",
            "Connections of viewers now",
            gauge(readings.connections),
        );
        let help = "Connections turned away at limits.connections";
        now.register(
            "connections_refused",
            help,
            counter(readings.connections_refused),
        );
        now.register(
            "log_lines_dropped",
            "Log lines that found no room or could not be written",
            counter(readings.log_lines_dropped),
        );
        let help =
            "Memory of playlists that are being read or rewritten, or are one viewer's alone";
        now.register_with_unit("playlists", help, Unit::Bytes, gauge(readings.playlists));
        if let Some(cache) = &readings.cache {
            let look_ups = [
                ("hit", cache.hits),
                ("joined", cache.joined),
                ("filled", cache.fills),
                ("passed", cache.passes),
                ("crowded", cache.crowded),
            ];
            let family = Family::<Why, Counter>::default();
            for (reason, count) in look_ups {
                family.get_or_create(&Why { reason }).inc_by(count);
            }
            let help = "Requests for playlists and segments, by what the cache had: hit, joined (being fetched), filled, \
                        passed (not to be shared), crowded (no room)";
            now.register("cache_requests", help, family);
            let help = "Memory of shared playlists and segments";
            now.register_with_unit("cache", help, Unit::Bytes, gauge(cache.bytes));
        }
        let healthy = Family::<Which, Gauge>::default();
        for (server, is_healthy) in &readings.servers {
            healthy
                .get_or_create(&Which {
                    server: server.clone(),
                })
                .set(i64::from(*is_healthy));
        }
        now.register(
            "upstream_healthy",
            "1 unless the media server failed lately",
            healthy,
        );
        // Writing to a string cannot fail; each registry ends with a line of its own, of which one may stay.
        let _ = encode(&mut text, &now);
        text.truncate(text.trim_end_matches("# EOF\n").len());
        let _ = encode(&mut text, &self.registry);
        text
    }
}
