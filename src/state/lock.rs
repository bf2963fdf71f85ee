//! One process keeps a directory at a time: the one that holds its lock.
//!
//! A process that runs holds the lock until it ends, however it ends. One that drains holds it only while it writes, so that
//! the process that comes next can start beside it; once that one keeps the directory the draining one writes nothing more.

use std::fs::{File, OpenOptions, TryLockError};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The file that is locked. Its text names the process that keeps the directory.
const FILE: &str = "lock";

/// The longest name that is read, in bytes.
const LONGEST: u64 = 64;

/// The lock of a directory.
#[derive(Debug)]
pub struct DirectoryLock {
    /// The name of this process in the file: its id, and a number that no other process of that id has.
    name: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: File,
    /// Writes under way.
    writes: usize,
    /// The lock is held for a write, and not between two of them.
    gives_way: bool,
    /// Another process held the lock when it was tried last.
    is_busy: bool,
    /// Another process keeps the directory by now.
    is_lost: bool,
}

/// Why a lock is not taken.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// Another process holds it; what that one is called.
    #[error("process {0} keeps it")]
    Held(String),
    /// The lock's file cannot be used.
    #[error(transparent)]
    Disk(#[from] io::Error),
}

/// Why a file is not written.
#[derive(Debug, thiserror::Error)]
pub enum NotWritten {
    /// Another process keeps the directory, for good.
    #[error("another process keeps the directory")]
    TakenOver,
    /// Another process holds the lock, and may keep the directory soon.
    #[error("another process holds the lock")]
    Busy,
    /// The disk does not take it.
    #[error(transparent)]
    Disk(#[from] io::Error),
}

impl DirectoryLock {
    /// Takes the lock of a directory that exists, without waiting for another process.
    pub fn take(directory: &Path) -> Result<Self, NotTaken> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(directory.join(FILE))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = name_in(&mut file)?;
                let id = holder.split(' ').next().unwrap_or_default();
                return Err(NotTaken::Held(id.to_owned()));
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let id = process::id();
        Ok(Self {
            name: format!("{id} {:016x}", RandomState::new().hash_one(id)),
            state: Mutex::new(State {
                file,
                writes: 0,
                gives_way: false,
                is_busy: false,
                is_lost: false,
            }),
        })
    }

    /// This process keeps the directory from here on: one that drains writes nothing there any more.
    pub fn keep(&self) -> io::Result<()> {
        let mut state = self.state();
        state.file.set_len(0)?;
        state.file.rewind()?;
        state.file.write_all(self.name.as_bytes())
    }

    /// Lets the next process have the directory: the lock is held only while something is written.
    pub fn give_way(&self) {
        let mut state = self.state();
        state.gives_way = true;
        state.release();
    }

    /// Whether the last write was not made because another process has the directory, or is about to.
    #[must_use]
    pub fn is_with_another(&self) -> bool {
        let state = self.state();
        state.is_lost || state.is_busy
    }

    /// Writes something into the directory, as long as this process keeps it. Nothing else waits meanwhile.
    pub fn write(&self, write: impl FnOnce() -> io::Result<()>) -> Result<(), NotWritten> {
        self.state().hold(&self.name)?;
        let written = write();
        let mut state = self.state();
        state.writes -= 1;
        state.release();
        Ok(written?)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that panics runs while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Holds the lock for one write more.
    fn hold(&mut self, name: &str) -> Result<(), NotWritten> {
        if self.gives_way && self.writes == 0 {
            let locked = self.file.try_lock();
            self.is_busy = matches!(locked, Err(TryLockError::WouldBlock));
            // A process that has the lock may not keep the directory yet, and one that kept it may be gone again.
            self.is_lost |= name_in(&mut self.file)? != name;
            if self.is_lost {
                self.release();
                return Err(NotWritten::TakenOver);
            }
            locked.map_err(|error| match error {
                TryLockError::WouldBlock => NotWritten::Busy,
                TryLockError::Error(error) => error.into(),
            })?;
        }
        self.writes += 1;
        Ok(())
    }

    /// Lets go of the lock where it is held for nothing.
    fn release(&mut self) {
        if self.gives_way && self.writes == 0 {
            // An error is that of a disk that is gone, and the lock with it.
            let _ = self.file.unlock();
        }
    }
}

/// The name of the process that keeps the directory.
fn name_in(file: &mut File) -> io::Result<String> {
    file.rewind()?;
    let mut name = Vec::new();
    file.take(LONGEST).read_to_end(&mut name)?;
    Ok(String::from_utf8_lossy(&name).into_owned())
}

#[cfg(test)]
#[path = "lock_tests.rs"]
mod tests;
