//! `h5gate key new` leaves a whole secret or none, and never takes one away.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use h5gate::token::Secret;

/// A directory of this test's own.
fn place(name: &str) -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("command_line_keys")
        .join(name);
    let _ = fs::remove_dir_all(&place);
    fs::create_dir_all(&place).unwrap();
    place
}

fn new_key(out: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_h5gate"));
    command
        .args(["key", "new", "--out"])
        .arg(out)
        .output()
        .unwrap()
}

#[test]
fn a_new_file_is_a_secret_that_its_owner_alone_reads() {
    let place = place("new");
    let paths = [place.join("one.secret"), place.join("two.secret")];
    let secrets = paths.map(|path| {
        let made = new_key(&path);
        assert!(made.status.success(), "{made:?}");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let text = fs::read_to_string(&path).unwrap();
        assert!(Secret::from_base64(&text).is_ok() && text.ends_with('\n'));
        let told = String::from_utf8([made.stdout, made.stderr].concat()).unwrap();
        assert!(told.contains(path.to_str().unwrap()), "{told}");
        assert!(!told.contains(text.trim()), "{told}");
        text
    });
    assert_ne!(secrets[0], secrets[1]);
}

#[test]
fn what_is_there_stays_as_it_is() {
    let place = place("there");
    let (file, empty, link) = (place.join("k1"), place.join("empty"), place.join("link"));
    fs::write(&file, "a secret").unwrap();
    fs::write(&empty, "").unwrap();
    symlink(place.join("nowhere"), &link).unwrap();
    for (path, content) in [(&file, Some("a secret")), (&empty, Some("")), (&link, None)] {
        let refused = new_key(path);
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        let told = String::from_utf8(refused.stderr).unwrap();
        assert!(
            told.contains(path.to_str().unwrap()) && told.contains("is there already"),
            "{told}"
        );
        assert_eq!(fs::read_to_string(path).ok().as_deref(), content);
    }
    assert!(!place.join("nowhere").exists());
    let refused = new_key(&place.join("no/such/directory/k1"));
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        String::from_utf8(refused.stderr)
            .unwrap()
            .contains("cannot be written")
    );
}

#[test]
fn a_secret_that_cannot_be_written_is_a_failure() {
    let full = || {
        fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap()
    };
    let ended = Command::new(env!("CARGO_BIN_EXE_h5gate"))
        .args(["key", "new"])
        .stdout(Stdio::from(full()))
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(
        String::from_utf8(ended.stderr)
            .unwrap()
            .contains("standard output")
    );
}
