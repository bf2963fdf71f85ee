//! Files that outlive the process (`state_dir`). A disk may answer late or never, so nothing but a thread of each file's
//! own waits for it: the others say that there is something new, and may ask whether it is on the disk by now.

pub mod lines;
pub mod lock;

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use lock::{DirectoryLock, NotWritten};

/// After how long a save that failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// A file that is written anew, whole, whenever something has changed. Until it is [started](Self::start) it keeps nothing.
#[derive(Debug, Default)]
pub struct Kept(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    asked: Mutex<Asked>,
    newer: Condvar,
    progress: watch::Sender<Progress>,
    /// The disk kept a caller waiting for too long, and has not answered since.
    hangs: AtomicBool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    /// Whether a thread writes it.
    is_kept: bool,
    /// How often it was asked to.
    times: u64,
}

/// How many of the times that were asked for are over.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    tried: u64,
    written: u64,
}

impl Kept {
    /// Starts the thread that writes what `text` says at that moment, each time there is something new, for as long as this
    /// process keeps the directory.
    pub fn start(
        &self,
        path: PathBuf,
        lock: Arc<DirectoryLock>,
        text: impl Fn() -> String + Send + 'static,
    ) -> io::Result<()> {
        let shared = Arc::clone(&self.0);
        let write = move || shared.write(&path, &lock, text);
        thread::Builder::new()
            .name("state".to_owned())
            .spawn(write)?;
        self.0.asked().is_kept = true;
        Ok(())
    }

    /// Has it written, some time soon. Waits for nothing.
    pub fn save(&self) {
        self.0.ask();
    }

    /// Has it written, and waits until it is on the disk, for at most `patience`; whether it is. While the disk hangs nothing
    /// is waited for. Cancel safe: it is written even so.
    pub async fn save_within(&self, patience: Duration) -> bool {
        let Some(times) = self.0.ask() else {
            return false;
        };
        if self.0.hangs.load(Ordering::Relaxed) {
            return false;
        }
        let mut progress = self.0.progress.subscribe();
        let over = progress.wait_for(|progress| progress.tried >= times);
        match timeout(patience, over).await {
            Ok(progress) => progress.is_ok_and(|progress| progress.written >= times),
            Err(_) => {
                self.0.hangs.store(true, Ordering::Relaxed);
                false
            }
        }
    }

    /// The same, where it was asked for and is not on the disk yet; else nothing is written.
    pub async fn flush_within(&self, patience: Duration) -> bool {
        let Asked { is_kept, times } = *self.0.asked();
        let is_written = self.0.progress.borrow().written >= times;
        if is_written {
            is_kept
        } else {
            self.save_within(patience).await
        }
    }
}

impl Shared {
    fn ask(&self) -> Option<u64> {
        let mut asked = self.asked();
        if !asked.is_kept {
            return None;
        }
        asked.times += 1;
        self.newer.notify_one();
        Some(asked.times)
    }

    /// What the thread does until the process ends, or no longer keeps the directory.
    fn write(&self, path: &Path, lock: &DirectoryLock, text: impl Fn() -> String) {
        let (mut written, mut fails) = (0, false);
        loop {
            let times = self.next(written, fails);
            match lock.write(|| replace(path, &text())) {
                Ok(()) => {
                    written = times;
                    if std::mem::take(&mut fails) {
                        tracing::info!(path = %path.display(), "state is saved again");
                    }
                }
                Err(NotWritten::TakenOver) => return self.end(written),
                // The other process either keeps the directory soon or has let go of it by the next try.
                Err(NotWritten::Busy) => fails = true,
                Err(NotWritten::Disk(error)) => {
                    if !std::mem::replace(&mut fails, true) {
                        tracing::error!(%error, path = %path.display(), "state was not saved");
                    }
                }
            }
            self.hangs.store(false, Ordering::Relaxed);
            let tried = times;
            self.progress.send_replace(Progress { tried, written });
        }
    }

    /// Keeps nothing any more.
    fn end(&self, written: u64) {
        self.asked().is_kept = false;
        let tried = u64::MAX;
        self.progress.send_replace(Progress { tried, written });
    }

    /// Waits until it is asked for more than is written; where that failed, for a while at most.
    fn next(&self, written: u64, fails: bool) -> u64 {
        let asked = self.asked();
        let nothing_new = |asked: &mut Asked| asked.times == written;
        let asked = if fails {
            let waited = self.newer.wait_timeout(asked, AGAIN);
            waited.unwrap_or_else(PoisonError::into_inner).0
        } else {
            let waited = self.newer.wait_while(asked, nothing_new);
            waited.unwrap_or_else(PoisonError::into_inner)
        };
        asked.times
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        // Nothing that panics runs while it is held.
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What `work` comes to, on a thread of its own; `None` when that takes longer than `patience`, and the thread is left to
/// itself then.
pub async fn within<T: Send + 'static>(
    patience: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<Option<T>> {
    let (done, result) = oneshot::channel();
    let work = move || drop(done.send(work()));
    thread::Builder::new()
        .name("files".to_owned())
        .spawn(work)?;
    Ok(timeout(patience, result).await.ok().and_then(Result::ok))
}

/// A file that is there; `None` when there is none.
pub fn open(path: &Path) -> io::Result<Option<BufReader<File>>> {
    match fs::metadata(path) {
        Ok(about) if about.is_file() => Ok(Some(BufReader::new(File::open(path)?))),
        Ok(_) => Err(io::Error::other("this is no file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a file so that a reader, and the process after a loss of power, has the old text or the new one, whole.
pub fn replace(path: &Path, text: &str) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    // The new name is on the disk when the directory is.
    match path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

/// Gives what is at `path` another name, so that it can be looked at and is not in the way; the name.
pub fn set_aside(path: &Path, label: &str) -> io::Result<PathBuf> {
    for number in 0_u32.. {
        let aside = match number {
            0 => path.with_extension(format!("bad-{label}")),
            number => path.with_extension(format!("bad-{label}-{number}")),
        };
        if fs::symlink_metadata(&aside).is_err() {
            fs::rename(path, &aside)?;
            return Ok(aside);
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

#[cfg(test)]
#[path = "state/state_tests.rs"]
mod tests;
