//! What is done for HLS playbacks beside their requests: those that are quiet end, and what has to outlive the process is
//! saved.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use crate::gate::Gate;
use crate::upstream::pool;

use super::super::record;

/// How often quiet playbacks are looked for.
const SWEEP: Duration = Duration::from_secs(1);

/// How often connections to media servers are looked at.
const TIDY: Duration = Duration::from_secs(5);

/// Every how many sweeps the playbacks are saved: what a process that is killed loses.
const SAVE_EVERY: u32 = 5;

/// Runs until the process ends.
pub async fn maintain(gate: Arc<Gate>) {
    let mut ticks = interval(SWEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for turn in 1_u32.. {
        ticks.tick().await;
        for ended in gate.hls.sweep() {
            record::quiet_or_ended(&gate, &ended);
        }
        gate.pages.sweep();
        gate.http.sweep(Instant::now());
        if turn.is_multiple_of(SAVE_EVERY) {
            gate.kept.playbacks.save();
        }
    }
}

/// Runs on each worker until `stop`: kept connections to media servers that no request has used lately, or that the server
/// has closed, are closed here and not first at the next request.
pub async fn maintain_worker(stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(TIDY) => pool::tidy(),
        }
    }
}
