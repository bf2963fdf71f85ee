//! What of a gate outlives its process, in the files of `state_dir`: the revocations, and the HLS sessions.
//!
//! To forget revocations would let in what was taken back, so a file of them that cannot be used is no start. A file of
//! sessions that cannot be used costs those whose token has expired their session, and is set aside.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::decision::revocation::Revocation;
use crate::hls::saved::Saved;
use crate::state::lines::{self, Found, Kind};
use crate::state::lock::{DirectoryLock, NotTaken};
use crate::state::{Kept, open, replace, set_aside, within};
use crate::token::UnixSeconds;

use super::Gate;

/// The files' names are the first words in them. The number is when they were saved, in Unix seconds.
const PLAYBACKS: Kind = Kind {
    name: "hls-sessions",
    version: 3,
};

/// The number is that of the next revocation, so that none has the name of an earlier one.
const REVOCATIONS: Kind = Kind {
    name: "revocations",
    version: 1,
};

/// How often a lock that another process holds is tried.
const TRY_AGAIN: Duration = Duration::from_millis(50);

/// The files of a gate.
#[derive(Debug, Default)]
pub struct KeptState {
    /// The HLS sessions.
    pub playbacks: Kept,
    /// The revocations.
    pub revocations: Kept,
    /// Of their directory, where there is one.
    lock: OnceLock<Arc<DirectoryLock>>,
}

/// What became of the last save.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastSave {
    /// It is on the disk, or there is no `state_dir`.
    Done,
    /// The process that comes next keeps the directory already.
    TakenOver,
    /// The disk did not take it in time.
    Late,
}

impl KeptState {
    /// Saves both, and waits until they are on the disk, for at most `patience`; whether they are.
    pub async fn save_within(&self, patience: Duration) -> bool {
        let (playbacks, revocations) = (&self.playbacks, &self.revocations);
        let both = tokio::join!(
            playbacks.save_within(patience),
            revocations.save_within(patience)
        );
        both == (true, true)
    }

    /// The gate drains: what is known by now is saved, and the process that comes next may keep the directory. Until it does,
    /// this one still saves there what an operator ends.
    pub async fn give_way(&self, patience: Duration) {
        if let Some(lock) = self.lock.get() {
            self.flush(patience).await;
            lock.give_way();
        }
    }

    /// Saves what is not on the disk when the process ends, and waits for that, for at most `patience`. The sessions could not
    /// be asked for while the gate drained, and are waited for from here on.
    pub async fn last_save(&self, patience: Duration) -> LastSave {
        let Some(lock) = self.lock.get() else {
            return LastSave::Done;
        };
        if self.flush(patience).await {
            LastSave::Done
        } else if lock.is_with_another() {
            LastSave::TakenOver
        } else {
            LastSave::Late
        }
    }

    /// Saves the sessions, and of the revocations what is not on the disk.
    async fn flush(&self, patience: Duration) -> bool {
        let (playbacks, revocations) = (&self.playbacks, &self.revocations);
        let both = tokio::join!(
            playbacks.save_within(patience),
            revocations.flush_within(patience)
        );
        both == (true, true)
    }
}

/// Takes over what the process before has left in `directory`, and keeps it there from now on; an error says why the gate
/// must not start. A disk that does not answer is waited for as `timeouts.disk` says, and so is another process that keeps the
/// directory. Not cancel safe: what was cancelled must not serve.
pub async fn keep(gate: &Arc<Gate>, directory: &Path) -> Result<(), String> {
    let patience = gate.timeouts.disk;
    let hangs = || {
        let directory = directory.display();
        format!("{directory} has not answered for {patience:?} (timeouts.disk)")
    };
    let cannot = |error: io::Error| error.to_string();
    let began = Instant::now();
    let lock = loop {
        let place = directory.to_owned();
        let taken = within(patience, move || DirectoryLock::take(&place)).await;
        match taken.map_err(cannot)?.ok_or_else(hangs)? {
            Ok(lock) => break Arc::new(lock),
            Err(NotTaken::Held(_)) if began.elapsed() < patience => sleep(TRY_AGAIN).await,
            Err(why) => return Err(not_taken(directory, patience, &why)),
        }
    };
    let (taking, place, held) = (Arc::clone(gate), directory.to_owned(), Arc::clone(&lock));
    let take_over = move || {
        take_over(&taking, &place)?;
        held.keep().map_err(|error| error.to_string())
    };
    let taken = within(patience, take_over).await;
    taken.map_err(cannot)?.ok_or_else(hangs)??;
    let (playing, revoking) = (Arc::clone(gate), Arc::clone(gate));
    let (playbacks, revocations) = (
        directory.join(PLAYBACKS.name),
        directory.join(REVOCATIONS.name),
    );
    let kept = &gate.kept;
    kept.playbacks
        .start(playbacks, Arc::clone(&lock), move || {
            playbacks_text(&playing)
        })
        .map_err(cannot)?;
    kept.revocations
        .start(revocations, Arc::clone(&lock), move || {
            revocations_text(&revoking)
        })
        .map_err(cannot)?;
    let _ = kept.lock.set(lock);
    Ok(())
}

fn not_taken(directory: &Path, patience: Duration, why: &NotTaken) -> String {
    let path = directory.display();
    match why {
        NotTaken::Held(_) => format!(
            "{path}: {why}, and has not begun to drain within {patience:?} (timeouts.disk). A directory is one gate's alone: stop the \
             other one, or give this one a directory of its own"
        ),
        NotTaken::Disk(error) if error.kind() == io::ErrorKind::NotFound => format!(
            "{path}: there is no such directory. Make it, or mount what it is on: the gate makes files in it, and never the directory \
             itself, so that one that is not mounted is not taken for a first start"
        ),
        NotTaken::Disk(error) => format!("{path}: {error}"),
    }
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
        // All of them: the file is written anew behind this.
        gate.revocations.restore(found.number, found.good);
        tracing::info!(revocations, "revocations of the process before hold");
    } else {
        let path = path.display();
        tracing::warn!(%path, "there is no file of revocations: this is a first start, or not the directory that it was");
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

fn revocations_text(gate: &Gate) -> String {
    let (next, all) = gate.revocations.snapshot();
    let lines: Vec<_> = all.list().iter().map(Revocation::line).collect();
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
    // Ends whose time has come are saved as ends.
    gate.hls.end_due();
    let saved = gate.hls.snapshot();
    let lines: Vec<_> = saved.iter().map(Saved::line).collect();
    lines::write(PLAYBACKS, gate.clock.now().get(), &lines)
}
