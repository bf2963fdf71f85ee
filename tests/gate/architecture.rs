//! The shape of the house: imports point one way, and `lib.rs` keeps the order of a request.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each module, and what it may import of ours: nothing that stands behind it. A module that is not here does not exist.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("listener", &[]),
    ("token", &[]),
    ("request", &["listener", "token"]),
    ("decision", &["token", "request"]),
    ("clock", &["token"]),
    ("session", &["token", "request", "decision", "clock"]),
    ("h5live_messages", &[]),
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
    (
        "relay",
        &["listener", "token", "request", "session", "pace", "random"],
    ),
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
            "h5live_messages",
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
            "h5live_messages",
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
            "token", "request", "decision", "clock", "logging", "load", "config", "serve", "demo",
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

/// Each module's path, such as `session::guard`, and its text without comments and tests.
fn modules() -> BTreeMap<String, String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut modules = BTreeMap::new();
    for file in files(&source) {
        let relative = file.strip_prefix(&source).unwrap().with_extension("");
        let parts: Vec<_> = relative.iter().map(|part| part.to_str().unwrap()).collect();
        let is_code =
            !matches!(parts[..], ["lib" | "main"]) && !parts.last().unwrap().ends_with("_tests");
        if is_code {
            modules.insert(parts.join("::"), code(&fs::read_to_string(&file).unwrap()));
        }
    }
    modules
}

/// A text up to its tests, without comments.
fn code(text: &str) -> String {
    let before_tests = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap();
    let lines = before_tests
        .lines()
        .map(|line| line.split("//").next().unwrap());
    lines.collect::<Vec<_>>().join("\n")
}

/// What the text of a module names of ours: absolute paths, with the items in them.
fn named(module: &str, code: &str) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("::") {
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let start = code[..at]
            .rfind(|c| !word(c))
            .map_or(0, |before| before + 1);
        // The head of a path only: `super::super::x` is looked at from its first `super`.
        if code[..start].ends_with("::") {
            continue;
        }
        let mut here: Vec<String> = match &code[start..at] {
            "crate" => Vec::new(),
            "self" => module.split("::").map(str::to_owned).collect(),
            "super" => {
                let mut here: Vec<_> = module.split("::").map(str::to_owned).collect();
                here.pop();
                here
            }
            _ => continue,
        };
        expand(&code[at + 2..], &mut here, &mut found);
    }
    found
}

/// The paths of a use tree (`a::{b, c::D}`) or of a path in an expression, below `here`; how much of the text that was.
fn expand<'t>(text: &'t str, here: &mut Vec<String>, found: &mut BTreeSet<Vec<String>>) -> &'t str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            let depth = here.len();
            rest = expand(rest, here, found).trim_start();
            here.truncate(depth);
            match rest.strip_prefix(',') {
                Some(more) if !more.trim_start().starts_with('}') => rest = more,
                Some(more) => return more.trim_start().strip_prefix('}').unwrap_or(more),
                None => return rest.strip_prefix('}').unwrap_or(rest),
            }
        }
    }
    let end = text
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name == "super" {
        here.pop();
    } else if name != "self" {
        here.push(name.to_owned());
    }
    if let Some(deeper) = rest.strip_prefix("::") {
        return expand(deeper, here, found);
    }
    found.insert(here.clone());
    // `x as y`
    let after = rest.trim_start();
    after.strip_prefix("as ").map_or(rest, |alias| {
        alias
            .trim_start()
            .trim_start_matches(|c: char| c.is_alphanumeric() || c == '_')
    })
}

/// Which modules each module imports. What a module takes from those around it is what it was made for, and is left out.
fn graph(modules: &BTreeMap<String, String>) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut graph = BTreeMap::new();
    for (module, code) in modules {
        let targets: BTreeSet<&str> = named(module, code)
            .into_iter()
            .filter_map(|mut path| {
                while !path.is_empty() {
                    if let Some((target, _)) = modules.get_key_value(&path.join("::")) {
                        return Some(target.as_str());
                    }
                    path.pop();
                }
                None
            })
            .filter(|target| target != module && !module.starts_with(&format!("{target}::")))
            .collect();
        graph.insert(module.as_str(), targets);
    }
    graph
}

/// The modules that import one another, each once for each circle that a walk from it finds.
fn circles<'m>(graph: &BTreeMap<&'m str, BTreeSet<&'m str>>) -> Vec<Vec<&'m str>> {
    let reach = |from: &'m str| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(module) = next.pop() {
            let new = graph
                .get(module)
                .into_iter()
                .flatten()
                .filter(|to| seen.insert(**to));
            next.extend(new.copied().collect::<Vec<_>>());
        }
        seen
    };
    let reached: BTreeMap<_, _> = graph
        .keys()
        .map(|module| (*module, reach(module)))
        .collect();
    let in_circles: BTreeSet<Vec<&str>> = reached
        .iter()
        .filter(|(module, reached)| reached.contains(**module))
        .map(|(module, reach)| {
            reach
                .iter()
                .filter(|other| reached[**other].contains(*module))
                .copied()
                .collect()
        })
        .collect();
    in_circles.into_iter().collect()
}

/// What breaks the plan: a module at the top that imports another than it may.
fn wrong_arrows(graph: &BTreeMap<&str, BTreeSet<&str>>) -> BTreeSet<String> {
    let allowed: BTreeMap<_, _> = MAY_IMPORT.iter().copied().collect();
    let top = |module: &str| module.split("::").next().unwrap().to_owned();
    let mut wrong = BTreeSet::new();
    for (module, targets) in graph {
        match allowed.get(top(module).as_str()) {
            None => {
                wrong.insert(format!("{module} is not in the plan"));
            }
            Some(allowed) => wrong.extend(
                targets
                    .iter()
                    .filter(|to| top(to) != top(module) && !allowed.contains(&top(to).as_str()))
                    .map(|to| format!("{module} must not import {to}")),
            ),
        }
    }
    wrong
}

#[test]
fn imports_point_one_way() {
    let modules = modules();
    let graph = graph(&modules);
    assert_eq!(wrong_arrows(&graph), BTreeSet::new());
    assert_eq!(circles(&graph), Vec::<Vec<&str>>::new());
    for (module, _) in MAY_IMPORT {
        assert!(
            graph.contains_key(module),
            "{module} is planned and does not exist"
        );
    }
    let arrows = graph.values().map(BTreeSet::len).sum::<usize>();
    assert!(arrows > 300, "only {arrows} imports were found");
}

/// What the configuration is made of: each file of it, and each that one of them imports.
fn parts_of_the_configuration<'m>(
    graph: &BTreeMap<&'m str, BTreeSet<&'m str>>,
) -> BTreeSet<&'m str> {
    let is_config = |module: &str| module.split("::").next() == Some("config");
    let files = graph.iter().filter(|(module, _)| is_config(module));
    files
        .flat_map(|(module, imported)| imported.iter().chain([module]))
        .copied()
        .collect()
}

#[test]
fn the_configuration_is_made_of_plain_values() {
    // What shares, waits or runs is made of the configuration when the gate is built.
    let running = [
        "Mutex",
        "RwLock",
        "OnceLock",
        "Atomic",
        "Semaphore",
        "Notify",
        "TcpStream",
        "spawn",
    ];
    let modules = modules();
    let graph = graph(&modules);
    let parts = parts_of_the_configuration(&graph);
    assert!(parts.contains("upstream::server_url") && parts.len() > 15);
    for part in parts {
        let found = running.iter().find(|word| modules[part].contains(**word));
        assert_eq!(found, None, "{part} is a part of the configuration");
    }
}

#[test]
fn the_plan_stands_in_an_order_of_imports() {
    let mut before = BTreeSet::new();
    for (module, may_import) in MAY_IMPORT {
        for other in *may_import {
            assert!(
                before.contains(other),
                "{module} may import {other}, which stands behind it"
            );
        }
        assert!(before.insert(*module), "{module} stands in the plan twice");
    }
}

/// The wrong arrows and the circles of a house of these files.
fn faults(files: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
    let modules = files
        .iter()
        .map(|(module, text)| ((*module).to_owned(), code(text)))
        .collect();
    let graph = graph(&modules);
    let circles = circles(&graph).into_iter().map(|circle| circle.join(" "));
    (
        wrong_arrows(&graph).into_iter().collect(),
        circles.collect(),
    )
}

#[test]
fn a_wrong_arrow_and_a_circle_are_seen() {
    let wrong = "token must not import clock".to_owned();
    for text in [
        "use crate::clock;",
        "use crate::{clock::Clock};",
        "fn f() { crate::clock::Clock::system() }",
        "use super::clock::{self, Clock as Watch};",
    ] {
        let files = [("clock", ""), ("token", text)];
        assert_eq!(faults(&files), (vec![wrong.clone()], vec![]), "{text}");
    }
    // A comment and a test import nothing; a module may take what those around it offer.
    let fine = [
        ("clock", ""),
        (
            "token",
            "// crate::clock\n#[cfg(test)]\nmod tests {\nuse crate::clock;",
        ),
        ("token::key", "use super::Secret;"),
    ];
    assert_eq!(faults(&fine), (vec![], vec![]));
    let circle = [
        ("token", ""),
        ("token::key", "use super::wire::Parts;"),
        ("token::wire", "use super::{seal::Seal, Owner};"),
        ("token::seal", "use crate::token::key::Key;"),
        ("token::time", "use super::key::Key;"),
    ];
    assert_eq!(
        faults(&circle),
        (
            vec![],
            vec!["token::key token::seal token::wire".to_owned()]
        )
    );
    assert_eq!(
        faults(&[("elsewhere", "")]).0,
        ["elsewhere is not in the plan"]
    );
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
fn all_properties_keep_what_failed_beside_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let all = ["src", "tests"].map(|below| files(&root.join(below)));
    let mut properties = 0;
    for file in all.concat() {
        let text = fs::read_to_string(&file).unwrap();
        let mut lines = text.lines().map(str::trim);
        while lines.any(|line| line == "proptest! {") {
            let config = lines.next().unwrap();
            let is_set = config.contains("proptest_config(") && config.contains("settings()");
            assert!(is_set, "{}: {config}", file.display());
            properties += 1;
        }
    }
    assert!(properties > 10, "{properties}");
}

#[test]
fn a_permit_is_made_by_the_decision_alone() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let makes = |file: &PathBuf| fs::read_to_string(file).unwrap().contains("Permit::new(");
    let makers: Vec<_> = files(&source).into_iter().filter(makes).collect();
    assert_eq!(makers, [source.join("decision.rs")]);
}

/// The modules whose code, without its tests, holds one of these texts.
fn modules_with(texts: &[&str]) -> BTreeSet<String> {
    let all = modules().into_iter();
    let with = all.filter(|(_, code)| texts.iter().any(|text| code.contains(text)));
    with.map(|(module, _)| module).collect()
}

#[test]
fn what_a_viewers_connection_is_made_of_is_known_to_the_listener_alone() {
    // Those of media servers, and what stands in for viewers and media servers.
    let may_name_it = ["listener", "upstream", "load", "demo::origin"];
    let is_below = |module: &str, top: &str| {
        let below = module.strip_prefix(top);
        below.is_some_and(|below| below.is_empty() || below.starts_with("::"))
    };
    let mut naming = modules_with(&["TcpStream"]);
    assert!(naming.contains("listener::socket"), "{naming:?}");
    naming.retain(|module| !may_name_it.iter().any(|top| is_below(module, top)));
    assert_eq!(naming, BTreeSet::new());
}

#[test]
fn the_handler_authorises_in_one_place() {
    let mut authorising = modules_with(&[
        "decision::decide",
        "decision::resume",
        "decision::{Facts, decide",
        "keyring.verify(",
        ".revocations()",
    ]);
    authorising.retain(|module| module.starts_with("handler"));
    assert_eq!(
        authorising,
        BTreeSet::from(["handler::authorization".to_owned()])
    );
}
