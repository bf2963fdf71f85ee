use std::cell::Cell;
use std::fs;
use std::path::PathBuf;

use super::*;

/// A directory of one test.
struct TestDirectory(PathBuf);

impl TestDirectory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("h5gate-lock-{name}-{}", process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// What a process has that starts here.
    fn starts(&self) -> DirectoryLock {
        let lock = DirectoryLock::take(&self.0).unwrap();
        lock.keep().unwrap();
        lock
    }

    fn is_held(&self) -> bool {
        matches!(DirectoryLock::take(&self.0), Err(NotTaken::Held(_)))
    }
}

impl Drop for TestDirectory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Whether anything was written, and how that ended.
fn write(lock: &DirectoryLock) -> (bool, Result<(), NotWritten>) {
    let written = Cell::new(false);
    let outcome = lock.write(|| {
        written.set(true);
        Ok(())
    });
    (written.get(), outcome)
}

#[test]
fn one_process_keeps_a_directory_until_it_ends() {
    let here = TestDirectory::new("one");
    let lock = here.starts();
    let link = here.0.join("link");
    std::os::unix::fs::symlink(&here.0, &link).unwrap();
    for path in [&here.0, &link] {
        match DirectoryLock::take(path) {
            Err(NotTaken::Held(id)) => assert_eq!(id, process::id().to_string()),
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(write(&lock), (true, Ok(()))));
    assert!(here.is_held(), "between two writes, too");
    drop(lock);
    assert!(!here.is_held());
}

#[test]
fn one_that_gives_way_holds_the_lock_while_it_writes_and_no_longer() {
    let here = TestDirectory::new("way");
    let lock = here.starts();
    lock.write(|| {
        lock.give_way();
        assert!(here.is_held(), "this write is not over");
        lock.write(|| Ok(())).unwrap();
        assert!(here.is_held(), "the other one is over");
        Ok(())
    })
    .unwrap();
    assert!(!here.is_held());
    let error = lock.write(|| Err(io::ErrorKind::StorageFull.into()));
    assert!(matches!(error, Err(NotWritten::Disk(_))));
    assert!(!here.is_held(), "whatever comes of it");
    assert!(matches!(write(&lock), (true, Ok(()))));
}

#[test]
fn one_that_gave_way_writes_nothing_once_another_one_keeps_the_directory() {
    for ends in [false, true] {
        let here = TestDirectory::new(if ends { "ended" } else { "kept" });
        let old = here.starts();
        old.give_way();
        let new = DirectoryLock::take(&here.0).unwrap();
        assert!(matches!(write(&old), (false, Err(NotWritten::Busy))));
        assert!(old.is_with_another());
        new.keep().unwrap();
        let new = Some(new).filter(|_| !ends);
        for _ in 0..2 {
            assert!(matches!(write(&old), (false, Err(NotWritten::TakenOver))));
        }
        assert!(old.is_with_another());
        assert_eq!(here.is_held(), new.is_some(), "it holds nothing itself");
    }
}

#[test]
fn one_that_gave_way_writes_on_when_the_next_one_did_not_start() {
    let here = TestDirectory::new("failed");
    let old = here.starts();
    old.give_way();
    drop(DirectoryLock::take(&here.0).unwrap());
    assert!(matches!(write(&old), (true, Ok(()))));
    assert!(!old.is_with_another());
}

#[test]
fn a_lock_that_cannot_be_had_says_why() {
    let here = TestDirectory::new("none");
    let missing = DirectoryLock::take(&here.0.join("missing"));
    let is_missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    assert!(matches!(missing, Err(NotTaken::Disk(error)) if is_missing(&error)));
    fs::create_dir(here.0.join(FILE)).unwrap();
    assert!(matches!(
        DirectoryLock::take(&here.0),
        Err(NotTaken::Disk(_))
    ));
}
