use std::cell::Cell;
use std::fs;
use std::path::PathBuf;

use super::*;

/// A directory of one test.
struct Place(PathBuf);

impl Place {
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

impl Drop for Place {
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
    let place = Place::new("one");
    let lock = place.starts();
    let link = place.0.join("link");
    std::os::unix::fs::symlink(&place.0, &link).unwrap();
    for path in [&place.0, &link] {
        match DirectoryLock::take(path) {
            Err(NotTaken::Held(id)) => assert_eq!(id, process::id().to_string()),
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(write(&lock), (true, Ok(()))));
    assert!(place.is_held(), "between two writes, too");
    drop(lock);
    assert!(!place.is_held());
}

#[test]
fn one_that_gives_way_holds_the_lock_while_it_writes_and_no_longer() {
    let place = Place::new("way");
    let lock = place.starts();
    lock.write(|| {
        lock.give_way();
        assert!(place.is_held(), "this write is not over");
        lock.write(|| Ok(())).unwrap();
        assert!(place.is_held(), "the other one is over");
        Ok(())
    })
    .unwrap();
    assert!(!place.is_held());
    let error = lock.write(|| Err(io::ErrorKind::StorageFull.into()));
    assert!(matches!(error, Err(NotWritten::Disk(_))));
    assert!(!place.is_held(), "whatever comes of it");
    assert!(matches!(write(&lock), (true, Ok(()))));
}

#[test]
fn one_that_gave_way_writes_nothing_once_another_one_keeps_the_directory() {
    for ends in [false, true] {
        let place = Place::new(if ends { "ended" } else { "kept" });
        let old = place.starts();
        old.give_way();
        let new = DirectoryLock::take(&place.0).unwrap();
        assert!(matches!(write(&old), (false, Err(NotWritten::Busy))));
        assert!(old.is_with_another());
        new.keep().unwrap();
        let new = Some(new).filter(|_| !ends);
        for _ in 0..2 {
            assert!(matches!(write(&old), (false, Err(NotWritten::TakenOver))));
        }
        assert!(old.is_with_another());
        assert_eq!(place.is_held(), new.is_some(), "it holds nothing itself");
    }
}

#[test]
fn one_that_gave_way_writes_on_when_the_next_one_did_not_start() {
    let place = Place::new("failed");
    let old = place.starts();
    old.give_way();
    drop(DirectoryLock::take(&place.0).unwrap());
    assert!(matches!(write(&old), (true, Ok(()))));
    assert!(!old.is_with_another());
}

#[test]
fn a_lock_that_cannot_be_had_says_why() {
    let place = Place::new("none");
    let missing = DirectoryLock::take(&place.0.join("missing"));
    let is_missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    assert!(matches!(missing, Err(NotTaken::Disk(error)) if is_missing(&error)));
    fs::create_dir(place.0.join(FILE)).unwrap();
    assert!(matches!(
        DirectoryLock::take(&place.0),
        Err(NotTaken::Disk(_))
    ));
}
