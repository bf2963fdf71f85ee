//! The shape of the house: imports point one way, and `lib.rs` keeps the order of a request.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Each module, and what it may import of ours. A module that is not here does not exist.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("listener", &[]),
    ("token", &[]),
    ("request", &["listener", "token"]),
    ("decision", &["token", "request"]),
    ("session", &["token", "request", "decision"]),
    ("clock", &["token"]),
    ("dialect", &[]),
    ("interrupt", &[]),
    ("logging", &[]),
    ("pace", &[]),
    ("random", &[]),
    (
        "upstream",
        &[
            "listener", "token", "request", "decision", "session", "random",
        ],
    ),
    ("relay", &["token", "request", "session", "pace", "random"]),
    (
        "refusal",
        &[
            "token", "request", "decision", "session", "upstream", "relay",
        ],
    ),
    (
        "load",
        &[
            "listener",
            "token",
            "request",
            "clock",
            "dialect",
            "interrupt",
            "relay",
        ],
    ),
    ("state", &[]),
    (
        "token_api",
        &["token", "request", "decision", "clock", "pace", "random"],
    ),
    (
        "config",
        &[
            "token",
            "request",
            "decision",
            "session",
            "upstream",
            "token_api",
        ],
    ),
    ("cache", &[]),
    ("hls", &["token", "request", "decision", "session"]),
    ("metrics", &["cache", "hls"]),
    (
        "gate",
        &[
            "listener",
            "token",
            "request",
            "decision",
            "session",
            "clock",
            "logging",
            "pace",
            "upstream",
            "relay",
            "state",
            "token_api",
            "config",
            "cache",
            "hls",
            "metrics",
        ],
    ),
    (
        "handler",
        &[
            "listener",
            "token",
            "request",
            "decision",
            "session",
            "clock",
            "pace",
            "random",
            "upstream",
            "relay",
            "refusal",
            "token_api",
            "config",
            "cache",
            "hls",
            "metrics",
            "gate",
        ],
    ),
    (
        "admin",
        &[
            "listener", "token", "request", "decision", "session", "refusal", "config", "gate",
            "handler",
        ],
    ),
    (
        "serve",
        &[
            "listener",
            "clock",
            "interrupt",
            "logging",
            "state",
            "config",
            "metrics",
            "gate",
            "handler",
            "admin",
        ],
    ),
    (
        "demo",
        &[
            "token",
            "request",
            "decision",
            "clock",
            "dialect",
            "logging",
            "token_api",
            "config",
            "gate",
            "serve",
        ],
    ),
    (
        "cli",
        &[
            "token", "request", "clock", "logging", "load", "config", "serve", "demo",
        ],
    ),
];

fn files(below: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// What each module imports of ours, by `crate::NAME`.
fn imports() -> BTreeMap<String, Vec<(String, PathBuf)>> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut imports = BTreeMap::<_, Vec<_>>::new();
    for file in files(&source) {
        let relative = file.strip_prefix(&source).unwrap();
        let module = relative
            .components()
            .next()
            .unwrap()
            .as_os_str()
            .to_str()
            .unwrap();
        let module = module.trim_end_matches(".rs").to_owned();
        let text = fs::read_to_string(&file).unwrap();
        let names = imports.entry(module.clone()).or_default();
        for (at, _) in text.match_indices("crate::") {
            let name: String = text[at + 7..]
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            if name != module && !name.is_empty() {
                names.push((name, file.clone()));
            }
        }
    }
    imports
}

#[test]
fn imports_point_one_way() {
    let imports = imports();
    let allowed: BTreeMap<_, _> = MAY_IMPORT.iter().copied().collect();
    let mut wrong = Vec::new();
    for (module, names) in &imports {
        if matches!(module.as_str(), "lib" | "main") {
            continue;
        }
        let Some(allowed) = allowed.get(module.as_str()) else {
            wrong.push(format!("{module} is not in the plan"));
            continue;
        };
        for (name, file) in names {
            if !allowed.contains(&name.as_str()) {
                wrong.push(format!(
                    "{module} must not import {name} ({})",
                    file.display()
                ));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    for (module, _) in MAY_IMPORT {
        assert!(
            imports.contains_key(*module),
            "{module} is planned and does not exist"
        );
    }
}

#[test]
fn the_library_declares_its_modules_in_the_order_of_a_request() {
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let declared: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .collect();
    let order = [
        "listener", "request", "token", "decision", "session", "upstream", "relay", "hls",
        "refusal", "handler",
    ];
    assert_eq!(declared.get(..order.len()), Some(&order[..]));
}

#[test]
fn a_permit_is_made_by_the_decision_alone() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let makes = |file: &PathBuf| fs::read_to_string(file).unwrap().contains("Permit::new(");
    let makers: Vec<_> = files(&source).into_iter().filter(makes).collect();
    assert_eq!(makers, [source.join("decision.rs")]);
}
