//! What a test found: a text for people, a JSON document for programs, and the line while it runs.
//!
//! The document, with times in milliseconds (`null` where nothing was measured) and `latency` the same for each name:
//!
//! ```json
//! {
//!   "target": "http://127.0.0.1:8080", "ran_seconds": 30.0, "ended_early": false, "all_served": true,
//!   "plan": { "viewers": 500, "seconds": 30.0, "ramp_seconds": 3.0, "hls_percent": 0, "workers": 1, "streams": ["abcde-one"] },
//!   "viewers": { "started": 500, "served": 500, "failed": 0, "unfinished": 0 },
//!   "tries": 500, "connects_per_second": 166.7,
//!   "verdicts": { "granted": 499, "4901": 1 },
//!   "failures": { "timeout": 1 }, "lost": { "1006": 1 },
//!   "latency": { "handshake": { "count": 500, "p50": 0.9, "p90": 1.4, "p99": 3.1, "max": 8.2 } },
//!   "stalls": { "count": 0, "longest": 0.0, "at_end": 0 },
//!   "websocket": { "frames": 435000, "bytes": 3567000000 }, "hls": { "segments": 0, "bytes": 0 },
//!   "client": { "cpu_seconds": 4.2, "cpu_percent": 14.0 }
//! }
//! ```
//!
//! Names in `latency`: `token`, `handshake`, `first_frame`, `frame_age`, `hls_entry`, `hls_playlist`, `hls_segment`,
//! `first_segment`, `segment_age`; see [`Tally`]. `stalls.at_end` are viewers whose picture stood still when the test
//! ended; they are among the failed ones. `cpu_percent` is of one core.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::token::StreamName;

use super::plan::Plan;
use super::tally::{Tally, Times};

/// A test that is over.
#[derive(Clone, Debug)]
pub struct Report {
    /// The gate's base URL.
    pub target: String,
    /// What was planned.
    pub plan: Plan,
    /// What was counted.
    pub tally: Tally,
    /// From the first connection to the last one's end.
    pub ran: Duration,
    /// Ctrl-C or SIGTERM ended it.
    pub ended_early: bool,
    /// The processor time of this process.
    pub cpu: Duration,
}

impl Report {
    /// Whether every viewer was served: the command's exit code is 0.
    #[must_use]
    pub fn all_served(&self) -> bool {
        self.tally.all_served(self.ended_early)
    }

    fn cpu_percent(&self) -> f64 {
        100.0 * self.cpu.as_secs_f64() / self.ran.as_secs_f64().max(1e-9)
    }

    fn times(&self) -> [(&'static str, &'static str, &Times); 9] {
        let tally = &self.tally;
        [
            ("token", "token API", &tally.token),
            ("handshake", "connect to 101", &tally.handshake),
            ("first_frame", "connect to first frame", &tally.first_frame),
            ("frame_age", "frame age", &tally.frame_age),
            ("hls_entry", "connect to playlist", &tally.hls_entry),
            (
                "first_segment",
                "connect to first segment",
                &tally.first_segment,
            ),
            ("hls_playlist", "playlist", &tally.hls_playlist),
            ("hls_segment", "segment", &tally.hls_segment),
            ("segment_age", "segment age", &tally.segment_age),
        ]
    }

    /// The document.
    #[must_use]
    pub fn json(&self) -> Value {
        let (tally, plan) = (&self.tally, &self.plan);
        let mut verdicts = Map::new();
        verdicts.insert("granted".to_owned(), tally.granted.into());
        for (code, count) in &tally.refused {
            verdicts.insert(code.to_string(), (*count).into());
        }
        let latency: Map<_, _> = self
            .times()
            .into_iter()
            .map(|(name, _, times)| {
                let shown = json!({
                    "count": times.count(),
                    "p50": ms(times.quantile(0.5)),
                    "p90": ms(times.quantile(0.9)),
                    "p99": ms(times.quantile(0.99)),
                    "max": ms(times.max()),
                });
                (name.to_owned(), shown)
            })
            .collect();
        json!({
            "target": self.target,
            "ran_seconds": self.ran.as_secs_f64(),
            "ended_early": self.ended_early,
            "all_served": self.all_served(),
            "plan": {
                "viewers": plan.viewers,
                "seconds": plan.time.as_secs_f64(),
                "ramp_seconds": plan.ramp.as_secs_f64(),
                "hls_percent": plan.hls_percent,
                "workers": plan.workers,
                "streams": plan.streams.iter().map(StreamName::as_str).collect::<Vec<_>>(),
            },
            "viewers": {
                "started": tally.started,
                "served": tally.served,
                "failed": tally.failed,
                "unfinished": tally.unfinished,
            },
            "tries": tally.tries,
            "connects_per_second": tally.connects_per_second(),
            "verdicts": verdicts,
            "failures": tally.failures,
            "lost": tally.lost,
            "latency": latency,
            "stalls": {
                "count": tally.stalls,
                "longest": ms(Some(tally.longest_stall)),
                "at_end": tally.stood_still,
            },
            "websocket": { "frames": tally.frames, "bytes": tally.websocket_bytes },
            "hls": { "segments": tally.segments, "bytes": tally.hls_bytes },
            "client": { "cpu_seconds": self.cpu.as_secs_f64(), "cpu_percent": self.cpu_percent() },
        })
    }

    /// The summary, some lines without a last line break.
    #[must_use]
    pub fn text(&self) -> String {
        let tally = &self.tally;
        let mut text = String::new();
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(
            text,
            "{}: {} viewers in {:.1} s{}: {} served, {} failed, {} unfinished",
            self.target,
            tally.started,
            self.ran.as_secs_f64(),
            if self.ended_early {
                " (ended early)"
            } else {
                ""
            },
            tally.served,
            tally.failed,
            tally.unfinished,
        );
        let _ = write!(text, "  verdicts    {} granted", tally.granted);
        for (code, count) in &tally.refused {
            let _ = write!(text, ", {count} × {code}");
        }
        let _ = writeln!(
            text,
            ", in {} tries; {:.0} connects/s",
            tally.tries,
            tally.connects_per_second()
        );
        for (what, counts) in [("failures", &tally.failures), ("lost", &tally.lost)] {
            let counts: Vec<_> = counts
                .iter()
                .map(|(key, n)| format!("{n} × {key}"))
                .collect();
            if !counts.is_empty() {
                let _ = writeln!(text, "  {what:<11} {}", counts.join(", "));
            }
        }
        let _ = writeln!(
            text,
            "  {:<28}{:>9}{:>9}{:>9}{:>9}",
            "milliseconds", "p50", "p90", "p99", "max"
        );
        for (_, name, times) in self.times() {
            if let (Some(p50), Some(p90), Some(p99), Some(max)) = (
                times.quantile(0.5),
                times.quantile(0.9),
                times.quantile(0.99),
                times.max(),
            ) {
                let [p50, p90, p99, max] =
                    [p50, p90, p99, max].map(|time| time.as_secs_f64() * 1e3);
                let _ = writeln!(
                    text,
                    "    {name:<26}{p50:>9.2}{p90:>9.2}{p99:>9.2}{max:>9.2}"
                );
            }
        }
        let _ = write!(
            text,
            "  stalls      {}, the longest {:.1} s",
            tally.stalls,
            tally.longest_stall.as_secs_f64()
        );
        if tally.stood_still > 0 {
            let _ = write!(text, "; {} stood still at the end", tally.stood_still);
        }
        text.push('\n');
        let _ = writeln!(
            text,
            "  received    {} frames, {} segments, {}",
            tally.frames,
            tally.segments,
            bytes(tally.websocket_bytes + tally.hls_bytes)
        );
        let _ = write!(
            text,
            "  this client {:.1} s of processor time, {:.0} % of a core",
            self.cpu.as_secs_f64(),
            self.cpu_percent()
        );
        if self.is_busy() {
            let _ = write!(
                text,
                "\n  warning: this client was busy itself; its times are too long. Give it --workers, or fewer viewers"
            );
        }
        text
    }

    /// Whether the client's own threads were near their limit.
    fn is_busy(&self) -> bool {
        let workers = u32::try_from(self.plan.workers.get()).unwrap_or(u32::MAX);
        self.cpu_percent() > 80.0 * f64::from(workers)
    }
}

/// The line while a test runs; `before` are the counts of `since` ago.
#[must_use]
pub fn line(now: &Tally, before: &Tally, elapsed: Duration, since: Duration) -> String {
    let rate = |now: u64, before: u64| {
        let difference = u32::try_from(now.saturating_sub(before)).unwrap_or(u32::MAX);
        f64::from(difference) / since.as_secs_f64().max(1e-9)
    };
    let kib = |tally: &Tally| (tally.websocket_bytes + tally.hls_bytes) / 1024;
    let refused: u64 = now.refused.values().sum();
    let failures: u64 = now.failures.values().sum();
    let lost: u64 = now.lost.values().sum();
    format!(
        "{:>5.0} s  {} of {} playing  {:.0} frames/s  {:.0} segments/s  {:.1} Mbit/s  {} stalls  {refused} refused  \
         {failures} failed  {lost} lost",
        elapsed.as_secs_f64(),
        now.playing,
        now.started,
        rate(now.frames, before.frames),
        rate(now.segments, before.segments),
        rate(kib(now), kib(before)) * 8.0 * 1024.0 / 1e6,
        now.stalls,
    )
}

fn ms(time: Option<Duration>) -> Value {
    time.map_or(Value::Null, |time| (time.as_secs_f64() * 1e3).into())
}

fn bytes(count: u64) -> String {
    let mib = count / (1024 * 1024);
    if mib >= 10 {
        format!("{mib} MiB")
    } else {
        format!("{} KiB", count / 1024)
    }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
