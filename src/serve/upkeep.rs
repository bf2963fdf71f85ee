//! What runs beside the workers: name look-ups, and what an operator should hear of.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::{Jump, JumpWatch};
use crate::gate::Gate;

/// Looks the names of all media servers up.
pub(super) async fn look_up_all(gate: &Gate) {
    for server in gate.servers() {
        server.look_up().await;
    }
}

/// Once a second, logs what an operator should know.
pub(super) async fn keep_watch(gate: Arc<Gate>) {
    let mut watch = JumpWatch::new(gate.clock.since_1970(), Instant::now());
    let mut lost_before = gate.lost_lines();
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let jump = watch.look(gate.clock.since_1970(), Instant::now());
        if let Some(Jump { by, forward }) = jump {
            gate.metrics.clock_jumps.inc();
            gate.sessions.clock_jumped();
            let direction = if forward { "forward" } else { "back" };
            tracing::warn!(
                direction,
                ?by,
                "the clock has jumped: what plays goes on unless its token cuts it at its expiry, and new decisions use the new time"
            );
        }
        let count = gate.refusal_lines.take_unsaid();
        if count > 0 {
            gate.metrics.refusals_not_logged.inc_by(count);
            tracing::warn!(count, "refusals beyond limits.refusals_logged, not logged");
        }
        let lost = gate.lost_lines();
        if lost > lost_before {
            tracing::warn!(
                count = lost - lost_before,
                "log lines were lost before this one"
            );
            // This line may be lost as well, and must not make another one.
            lost_before = lost + 1;
        }
    }
}

/// Looks the media servers' names up again and again, off the way of any request; at once unless that has just been done.
pub(super) async fn keep_names_fresh(gate: Arc<Gate>, mut fresh: bool) {
    loop {
        if !fresh {
            look_up_all(&gate).await;
        }
        fresh = false;
        tokio::time::sleep(gate.timeouts.upstream_lookup).await;
    }
}
