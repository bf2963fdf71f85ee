//! The README's first steps work as they stand there.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

const README: &str = include_str!("../../README.md");
const MANIFEST: &str = include_str!("../../Cargo.toml");
const EXAMPLE: &str = include_str!("../../deploy/h5gate.toml");

#[test]
fn the_steps_before_serving_work_in_their_order() {
    let (_, steps) = README
        .split_once("cargo install --locked --path .")
        .unwrap();
    let steps = steps.split("```").next().unwrap().lines();
    let commands: Vec<_> = steps
        .filter_map(|line| line.strip_prefix("h5gate "))
        .map(|line| {
            line.split('#')
                .next()
                .unwrap()
                .split_whitespace()
                .collect::<Vec<_>>()
        })
        .collect();
    let names: Vec<_> = commands.iter().map(|command| command[0]).collect();
    assert_eq!(names, ["key", "check", "serve"]);

    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("readme");
    let _ = std::fs::remove_dir_all(&place);
    std::fs::create_dir_all(place.join("deploy")).unwrap();
    std::fs::write(place.join("deploy/h5gate.toml"), EXAMPLE).unwrap();
    let run = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_h5gate"))
            .args(arguments)
            .current_dir(&place)
            .output()
            .unwrap()
    };
    for command in &commands[..2] {
        let ended = run(command);
        assert!(ended.status.success(), "{command:?}: {ended:?}");
    }
    let key = std::fs::metadata(place.join("deploy/k1.secret")).unwrap();
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
    // Once more: the key that is there stays as it is.
    let again = run(&commands[0]);
    assert!(!again.status.success(), "{again:?}");
    assert!(run(&commands[1]).status.success());
}

#[test]
fn the_version_of_rust_is_the_manifests() {
    let line = MANIFEST
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = "));
    let version = line.unwrap().trim_matches('"');
    assert!(README.contains(&format!("With Rust {version} or newer:")));
}
