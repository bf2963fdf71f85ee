use std::num::NonZeroUsize;

use super::*;
use crate::load::end::{End, Failure, Loss};

fn report() -> Report {
    let mut tally = Tally {
        started: 3,
        served: 1,
        failed: 2,
        tries: 4,
        granted: 2,
        frames: 90,
        websocket_bytes: 20 << 20,
        ..Tally::default()
    };
    tally.end(End::Refused(4901));
    tally.end(End::Failed(Failure::Timeout));
    tally.end(End::Lost(Loss::Code(1006)));
    tally.end(End::StoodStill);
    for time in [1, 2, 3] {
        tally.handshake.record(Duration::from_millis(time));
    }
    tally.stall(Some(Duration::from_millis(2500)));
    Report {
        target: "http://127.0.0.1:8080".to_owned(),
        plan: Plan {
            viewers: 3,
            time: Duration::from_secs(10),
            ramp: Duration::from_secs(1),
            hls_percent: 0,
            streams: vec!["abcde-one".parse().unwrap()],
            workers: NonZeroUsize::MIN,
            stall: Duration::from_secs(2),
            direct: false,
        },
        tally,
        ran: Duration::from_secs(10),
        ended_early: false,
        cpu: Duration::from_secs(1),
    }
}

#[test]
fn the_document_has_the_shape_that_is_promised() {
    let found = report().json();
    let text = include_str!("report.rs");
    let promised: String = text
        .split("```")
        .nth(1)
        .unwrap()
        .lines()
        .map(|line| {
            line.trim_start_matches("//!")
                .trim_start()
                .trim_start_matches("json")
        })
        .collect();
    let promised: Value = serde_json::from_str(&promised).unwrap();
    let keys =
        |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    assert_eq!(keys(&found), keys(&promised));
    for part in ["plan", "viewers", "stalls", "websocket", "hls", "client"] {
        assert_eq!(keys(&found[part]), keys(&promised[part]), "{part}");
    }
    assert_eq!(found["verdicts"], json!({ "granted": 2, "4901": 1 }));
    assert_eq!(found["failures"], json!({ "timeout": 1 }));
    assert_eq!(found["lost"], json!({ "1006": 1 }));
    assert_eq!(found["stalls"]["at_end"], json!(1));
    assert_eq!(found["all_served"], json!(false));
    let handshake = &found["latency"]["handshake"];
    assert_eq!(keys(handshake), keys(&promised["latency"]["handshake"]));
    assert_eq!(
        (&handshake["count"], &handshake["max"]),
        (&json!(3), &json!(3.0))
    );
    assert_eq!(found["latency"]["hls_entry"]["p50"], Value::Null);
    for name in keys(&found["latency"]) {
        assert!(
            text.contains(&format!("`{name}`")),
            "{name} is not in the description"
        );
    }
    assert_eq!(found["client"]["cpu_percent"], json!(10.0));
}

#[test]
fn the_summary_names_what_went_wrong_and_warns_of_a_busy_client() {
    let mut report = report();
    let text = report.text();
    for part in [
        "1 served, 2 failed",
        "1 × 4901",
        "1 × timeout",
        "1 × 1006",
        "connect to 101",
        "20 MiB",
        "the longest 2.5 s; 1 stood still at the end",
        "10 % of a core",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert!(
        !text.contains("warning") && !text.contains("segment age"),
        "{text}"
    );
    report.cpu = Duration::from_secs(9);
    assert!(report.text().contains("--workers"));
}

#[test]
fn the_line_shows_rates_since_the_last_one() {
    let before = Tally::default();
    let line = line(
        &report().tally,
        &before,
        Duration::from_secs(4),
        Duration::from_secs(2),
    );
    assert!(
        line.contains("45 frames/s") && line.contains("83.9 Mbit/s"),
        "{line}"
    );
    assert!(
        line.contains("1 refused") && line.contains("1 lost"),
        "{line}"
    );
}
