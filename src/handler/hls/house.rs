//! What is done for HLS playbacks beside their requests: those that are quiet end, and what has to outlive the process is
//! written to `state_dir`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::gate::Gate;
use crate::session::hls::saved::{Saved, read, write};
use crate::upstream::pool;

use super::super::record;

/// How often quiet playbacks are looked for.
const SWEEP: Duration = Duration::from_secs(1);

/// How often connections to media servers are looked at.
const TIDY: Duration = Duration::from_secs(5);

/// Every how many sweeps the playbacks are saved: what a process that is killed loses.
const SAVE_EVERY: u32 = 5;

/// The file in `state_dir`.
const FILE: &str = "hls-sessions";

/// Runs until the process ends.
pub async fn keep_house(gate: Arc<Gate>, state: Option<PathBuf>) {
    let mut ticks = interval(SWEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for turn in 1_u32.. {
        ticks.tick().await;
        for ended in gate.hls.sweep() {
            record::quiet_or_ended(&gate, &ended);
        }
        if let Some(cache) = &gate.cache {
            cache.sweep(Instant::now());
        }
        // Not when the drain has begun: what it ends was saved before.
        if turn.is_multiple_of(SAVE_EVERY) && gate.is_ready() && state.is_some() {
            let (gate, state) = (Arc::clone(&gate), state.clone());
            // Disks may be slow, and this thread hears the signals.
            let saving = tokio::task::spawn_blocking(move || save_now(&gate, state.as_deref()));
            let _ = saving.await;
        }
    }
}

/// Runs on each worker until `stop`: connections to media servers that nobody has used lately, or that the server has
/// closed, do not wait for the next request to be noticed.
pub async fn keep_thread(stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(TIDY) => pool::tidy(),
        }
    }
}

/// Saves the playbacks of this moment.
fn save_now(gate: &Gate, state: Option<&Path>) {
    if state.is_some() {
        save(&gate.hls.save(), state);
    }
}

/// Saves playbacks. That it fails is the operator's to know and no viewer's.
pub fn save(playbacks: &[Saved], state: Option<&Path>) {
    let Some(directory) = state else { return };
    let text = write(playbacks, clock::now());
    if let Err(error) = replace(&directory.join(FILE), &text) {
        tracing::error!(%error, path = %directory.display(), "the playbacks were not saved");
    }
}

/// Takes over the playbacks of the process before; an error when `state_dir` cannot be written to.
pub fn restore(gate: &Gate, state: Option<&Path>) -> Result<(), String> {
    let Some(directory) = state else {
        return Ok(());
    };
    let path = directory.join(FILE);
    let unusable = |error: io::Error| format!("{}: {error}", path.display());
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => write(&[], clock::now()),
        Err(error) => return Err(unusable(error)),
    };
    // Whether it can be written is better known now than when playbacks would be lost.
    replace(&path, &text).map_err(unusable)?;
    match read(&text) {
        Some((at, saved)) => {
            let playbacks = gate.hls.restore(saved, clock::now().since(at));
            tracing::info!(playbacks, "playbacks of the process before may go on");
        }
        None => tracing::warn!(path = %path.display(), "saved playbacks cannot be read"),
    }
    Ok(())
}

/// Whoever reads it has the old text or the new one, whole.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    // A save that the end of the process has overtaken still writes.
    static WRITING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let beside = path.with_extension("new");
    std::fs::write(&beside, text)?;
    std::fs::rename(&beside, path)
}
