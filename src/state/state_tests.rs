use std::sync::mpsc;

use super::*;

const SOON: Duration = Duration::from_secs(20);

/// A directory of one test.
struct TestDirectory(PathBuf);

impl TestDirectory {
    fn new(name: &str) -> Self {
        let name = format!("h5gate-state-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn lock(&self) -> Arc<DirectoryLock> {
        let lock = DirectoryLock::take(&self.0).unwrap();
        lock.keep().unwrap();
        Arc::new(lock)
    }
}

impl Drop for TestDirectory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn what_was_not_started_keeps_nothing_and_says_so() {
    let kept = Kept::default();
    kept.save();
    assert!(!kept.save_within(SOON).await);
}

#[tokio::test]
async fn what_is_saved_is_what_was_so_when_it_was_asked_for_or_later() {
    let here = TestDirectory::new("newest");
    let path = here.0.join("file");
    let value = Arc::new(Mutex::new(0));
    let (kept, now) = (Kept::default(), Arc::clone(&value));
    let text = move || now.lock().unwrap().to_string();
    kept.start(path.clone(), here.lock(), text).unwrap();
    for round in 1..20 {
        *value.lock().unwrap() = round;
        kept.save();
        assert!(kept.save_within(SOON).await);
        assert_eq!(fs::read_to_string(&path).unwrap(), round.to_string());
    }
}

#[tokio::test]
async fn a_disk_that_hangs_is_waited_for_once_and_used_again_when_it_answers() {
    let here = TestDirectory::new("hangs");
    let path = here.0.join("file");
    let (let_go, held) = mpsc::channel::<()>();
    let kept = Kept::default();
    let hang = move || {
        let _ = held.recv();
        "text".to_owned()
    };
    kept.start(path, here.lock(), hang).unwrap();
    assert!(!kept.save_within(Duration::from_millis(50)).await);
    // However long that would be.
    assert!(!kept.save_within(Duration::from_secs(3600)).await);
    drop(let_go);
    let mut progress = kept.0.progress.subscribe();
    let answered = progress.wait_for(|progress| progress.written > 0);
    drop(timeout(SOON, answered).await.unwrap().unwrap());
    assert!(kept.save_within(SOON).await);
}

#[tokio::test]
async fn what_failed_is_told_at_once_and_tried_again() {
    let here = TestDirectory::new("fails");
    let directory = here.0.join("later");
    let kept = Kept::default();
    let path = directory.join("file");
    kept.start(path.clone(), here.lock(), || "text".to_owned())
        .unwrap();
    assert!(!kept.save_within(Duration::from_secs(3600)).await);
    fs::create_dir(&directory).unwrap();
    let mut progress = kept.0.progress.subscribe();
    let written = progress.wait_for(|progress| progress.written > 0);
    drop(timeout(SOON, written).await.unwrap().unwrap());
    assert_eq!(fs::read_to_string(&path).unwrap(), "text");
}

#[tokio::test]
async fn what_is_flushed_is_written_where_there_is_something_new() {
    let here = TestDirectory::new("flushed");
    let path = here.0.join("file");
    let kept = Kept::default();
    assert!(!kept.flush_within(SOON).await, "it keeps nothing");
    kept.start(path.clone(), here.lock(), || "new".to_owned())
        .unwrap();
    fs::write(&path, "old").unwrap();
    assert!(kept.flush_within(SOON).await);
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    kept.save();
    assert!(kept.flush_within(SOON).await);
    assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    fs::write(&path, "old").unwrap();
    assert!(kept.flush_within(SOON).await);
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");
}

#[tokio::test]
async fn nothing_is_kept_in_a_directory_that_another_process_keeps() {
    let here = TestDirectory::new("taken");
    let path = here.0.join("file");
    let (kept, lock) = (Kept::default(), here.lock());
    kept.start(path.clone(), Arc::clone(&lock), || "old".to_owned())
        .unwrap();
    lock.give_way();
    assert!(kept.save_within(SOON).await);
    let next = DirectoryLock::take(&here.0).unwrap();
    // The next one may not start after all: this is tried again.
    assert!(!kept.save_within(SOON).await);
    fs::write(&path, "new").unwrap();
    next.keep().unwrap();
    let mut progress = kept.0.progress.subscribe();
    let over = progress.wait_for(|progress| progress.tried == u64::MAX);
    drop(timeout(SOON, over).await.unwrap().unwrap());
    assert!(!kept.save_within(SOON).await && !kept.flush_within(SOON).await);
    assert_eq!(fs::read_to_string(&path).unwrap(), "new");
}

#[test]
fn what_is_set_aside_overwrites_nothing() {
    let here = TestDirectory::new("aside");
    let path = here.0.join("file");
    let mut names = Vec::new();
    for round in 0..3 {
        fs::write(&path, round.to_string()).unwrap();
        names.push(set_aside(&path, "7").unwrap());
    }
    fs::create_dir(&path).unwrap();
    assert!(set_aside(&path, "7").unwrap().is_dir());
    for (name, round) in names.iter().zip(0..) {
        assert_eq!(fs::read_to_string(name).unwrap(), round.to_string());
    }
}

#[tokio::test]
async fn what_takes_too_long_is_not_waited_for() {
    let (_let_go, held) = mpsc::channel::<()>();
    let late = within(Duration::from_millis(50), move || held.recv()).await;
    assert!(late.unwrap().is_none());
    assert_eq!(within(SOON, || 7).await.unwrap(), Some(7));
}
