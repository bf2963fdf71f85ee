//! What of a gate outlives its process, in the files of `state_dir`: the revocations, and the HLS playbacks.
//!
//! To forget revocations would let in what was taken back, so a file of them that cannot be used is no start. A file of
//! playbacks that cannot be used costs those whose token has expired their playback, and is set aside.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use crate::decision::revocation::{Revocation, Revocations};
use crate::hls::saved::Saved;
use crate::state::lines::{self, Found, Kind};
use crate::state::{Kept, open, replace, set_aside, within};
use crate::token::UnixSeconds;

use super::Gate;

/// The files' names are the first words in them. The number is when they were saved, in Unix seconds.
const PLAYBACKS: Kind = Kind {
    name: "hls-sessions",
    version: 2,
};

/// The number is that of the next revocation, so that none has the name of an earlier one.
const REVOCATIONS: Kind = Kind {
    name: "revocations",
    version: 1,
};

/// The files of a gate.
#[derive(Debug, Default)]
pub struct KeptState {
    /// The HLS playbacks.
    pub playbacks: Kept,
    /// The revocations.
    pub revocations: Kept,
}

impl KeptState {
    /// Saves both, and waits until they are on the disk, for at most `patience`; whether they are.
    pub async fn saved(&self, patience: std::time::Duration) -> bool {
        let (playbacks, revocations) = (&self.playbacks, &self.revocations);
        let both = tokio::join!(playbacks.saved(patience), revocations.saved(patience));
        both == (true, true)
    }
}

/// Takes over what the process before has left in `directory`, and keeps it there from now on; an error says why the gate
/// must not start. A disk that does not answer is waited for as `timeouts.disk` says. Not cancel safe: what was cancelled
/// must not serve.
pub async fn keep(gate: &Arc<Gate>, directory: &Path) -> Result<(), String> {
    let patience = gate.timeouts.disk;
    let (taking, place) = (Arc::clone(gate), directory.to_owned());
    let taken = within(patience, move || take_over(&taking, &place)).await;
    let hangs = || {
        let directory = directory.display();
        format!("{directory} has not answered for {patience:?} (timeouts.disk)")
    };
    let cannot = |error: io::Error| error.to_string();
    taken.map_err(cannot)?.ok_or_else(hangs)??;
    let (playing, revoking) = (Arc::clone(gate), Arc::clone(gate));
    let (playbacks, revocations) = (
        directory.join(PLAYBACKS.name),
        directory.join(REVOCATIONS.name),
    );
    let kept = &gate.kept;
    kept.playbacks
        .start(playbacks, move || playbacks_text(&playing))
        .map_err(cannot)?;
    kept.revocations
        .start(revocations, move || revocations_text(&revoking))
        .map_err(cannot)
}

fn take_over(gate: &Gate, directory: &Path) -> Result<(), String> {
    let path = directory.join(REVOCATIONS.name);
    let says = |what: String| format!("{}: {what}", path.display());
    let found = read(&path, REVOCATIONS, Revocation::parse).map_err(|what| {
        says(format!(
            "{what}. What was revoked is not known, so nothing is let in: put back a good copy of this file, or move it away \
             and revoke again what must stay revoked"
        ))
    })?;
    if let Some(found) = found {
        let revocations = found.good.len();
        restore_revocations(gate, found);
        tracing::info!(revocations, "revocations of the process before hold");
    }
    // Whether it can be written is better known now than when it is needed.
    replace(&path, &revocations_text(gate)).map_err(|error| says(error.to_string()))?;

    let path = directory.join(PLAYBACKS.name);
    let says = |what: String| format!("{}: {what}", path.display());
    restore_playbacks(gate, &path).map_err(|error| says(error.to_string()))?;
    replace(&path, &playbacks_text(gate)).map_err(|error| says(error.to_string()))
}

/// What stands in a file that is as it was written; `None` when there is no file.
fn read<T>(
    path: &Path,
    kind: Kind,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<Found<T>>, String> {
    let left = salvage(path, kind, parse)?;
    match left {
        Some(Found {
            lost,
            is_whole: false,
            ..
        }) => Err(format!(
            "it is damaged: {lost} of its lines are lost, or it has more than it should"
        )),
        left => Ok(left),
    }
}

/// What is left in a file.
fn salvage<T>(
    path: &Path,
    kind: Kind,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<Found<T>>, String> {
    let unreadable = |error: io::Error| format!("it cannot be read: {error}");
    let Some(file) = open(path).map_err(unreadable)? else {
        return Ok(None);
    };
    let read = lines::read(kind, file, parse).map_err(unreadable)?;
    read.map(Some).map_err(|unusable| unusable.to_string())
}

fn restore_revocations(gate: &Gate, found: Found<Revocation>) {
    let after = |one: &Revocation| one.id.0.saturating_add(1);
    let next = found.good.iter().map(after).fold(found.number, u64::max);
    // All of them, also those that are over by a clock that may be wrong at a start: the file is written anew behind this.
    let revocations = Revocations::of(found.good);
    gate.next_revocation.store(next.max(1), Ordering::Relaxed);
    let mut shared = gate
        .revocations
        .write()
        .unwrap_or_else(PoisonError::into_inner);
    *shared = Arc::new(revocations);
}

fn revocations_text(gate: &Gate) -> String {
    let lines: Vec<_> = gate
        .revocations()
        .list()
        .iter()
        .map(Revocation::line)
        .collect();
    // Behind them: none of them has a later number.
    let next = gate.next_revocation.load(Ordering::Relaxed);
    lines::write(REVOCATIONS, next, &lines)
}

/// An error is the directory's, and not that of a file that cannot be used.
fn restore_playbacks(gate: &Gate, path: &Path) -> io::Result<()> {
    let found = match salvage(path, PLAYBACKS, Saved::parse) {
        Ok(None) => return Ok(()),
        Ok(Some(found)) => {
            if !found.is_whole {
                let aside = aside(gate, path)?;
                let lost = found.lost;
                tracing::warn!(lost, kept = found.good.len(), set_aside = %aside.display(), "the file of the playbacks was damaged");
            }
            found
        }
        Err(why) => {
            let aside = aside(gate, path)?;
            tracing::warn!(why, set_aside = %aside.display(), "the file of the playbacks cannot be used, they are lost");
            return Ok(());
        }
    };
    let ago = gate.clock.now().since(UnixSeconds::new(found.number));
    let playbacks = gate.hls.restore(found.good, ago);
    tracing::info!(playbacks, "playbacks of the process before may go on");
    Ok(())
}

fn aside(gate: &Gate, path: &Path) -> io::Result<PathBuf> {
    set_aside(path, &gate.clock.now().to_string())
}

fn playbacks_text(gate: &Gate) -> String {
    let saved = gate.hls.save();
    let lines: Vec<_> = saved.iter().map(Saved::line).collect();
    lines::write(PLAYBACKS, gate.clock.now().get(), &lines)
}
