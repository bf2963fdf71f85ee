//! `deploy/h5gate.toml` is true: it works as it is, it has every key, and every default and bound that it states is the
//! real one.

use std::path::Path;

use crate::support::memory::{parse, secret};
use h5gate::config::{Config, Limits, Problem};

const TEXT: &str = include_str!("../../deploy/h5gate.toml");

/// A line with a key.
struct Setting {
    /// Its index.
    line: usize,
    /// The path of its table without indices, such as `organisation.key`.
    table: String,
    key: String,
    /// Whether the line stands, or begins with `#`.
    stands: bool,
    /// What is written above it, as one line.
    words: String,
}

/// Every line with a key.
fn settings() -> Vec<Setting> {
    let (mut settings, mut table, mut words) = (Vec::new(), String::new(), String::new());
    for (line, text) in TEXT.lines().enumerate() {
        if let Some(comment) = text.strip_prefix("# ") {
            words += comment;
            words += " ";
        } else if text.starts_with('[') {
            table = text.trim_matches(['[', ']']).to_owned();
            words.clear();
        } else if let Some((key, _)) = text.trim_start_matches('#').split_once(" = ") {
            let (key, table, words) = (key.to_owned(), table.clone(), std::mem::take(&mut words));
            settings.push(Setting {
                line,
                table,
                key,
                stands: !text.starts_with('#'),
                words,
            });
        } else {
            assert!(
                text.is_empty() || text == "#",
                "{}: neither words nor a setting: {text}",
                line + 1
            );
            words.clear();
        }
    }
    settings
}

impl Setting {
    /// The example with another line in the place of this one.
    fn replaced(&self, with: &str) -> String {
        let lines = TEXT
            .lines()
            .enumerate()
            .map(|(line, text)| if line == self.line { with } else { text });
        let text = lines.collect::<Vec<_>>().join("\n");
        // A key has one of the two.
        if self.key == "secret_env" {
            text.replace("\nsecret_file = ", "\n#secret_file = ")
        } else {
            text
        }
    }

    /// The example with this line as it would stand.
    fn standing(&self) -> String {
        let text = TEXT.lines().nth(self.line).unwrap();
        self.replaced(text.trim_start_matches('#'))
            .replace("H5GATE_K1", "K3")
    }

    /// The example with another value of this key.
    fn set(&self, value: &str) -> String {
        self.replaced(&format!("{} = {value}", self.key))
    }

    fn path(&self) -> String {
        format!("{}.{}", self.table, self.key)
    }
}

/// Everything that a configuration says, as text.
fn all(text: &str) -> String {
    let config = parse(text).unwrap_or_else(|errors| panic!("{errors:#?}"));
    format!("{config:#?}")
}

#[test]
fn the_example_works_as_it_is() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("config_example");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("h5gate.toml"), TEXT).unwrap();
    std::fs::write(directory.join("k1.secret"), secret('B') + "\n").unwrap();
    let config = Config::load(&directory.join("h5gate.toml")).unwrap();
    assert_eq!(config.listeners.len(), 1);
    assert!(config.listeners[0].playback && config.listeners[0].token_api);
    let told: Vec<_> = config.warnings.iter().map(ToString::to_string).collect();
    let words = "organisation[0].api_keys[0].sha256: is still the example's";
    assert!(
        matches!(&told[..], [one] if one.contains("h5gate.toml:") && one.contains(words)),
        "{told:?}"
    );
}

#[test]
fn every_key_stands_in_the_example() {
    let settings = settings();
    let mut tables: Vec<_> = settings
        .iter()
        .map(|setting| setting.table.as_str())
        .collect();
    tables.dedup();
    // Keys above all tables are looked at below.
    let mut keys = settings.iter().filter(|s| s.table.is_empty()).count();
    for table in tables.into_iter().filter(|table| !table.is_empty()) {
        // An unknown key that looks like none is answered with all that are known.
        let header = TEXT
            .lines()
            .find(|line| line.starts_with('[') && line.trim_matches(['[', ']']) == table)
            .unwrap();
        let text = TEXT.replacen(
            &format!("\n{header}\n"),
            &format!("\n{header}\nqqqqqqqqqqqqqqqqqqqqqqqq = 1\n"),
            1,
        );
        let errors = parse(&text).unwrap_err();
        let [error] = &errors[..] else {
            panic!("{errors:#?}")
        };
        let Problem::UnknownKey {
            nearest: None,
            known,
        } = &error.problem
        else {
            panic!("{error}")
        };
        let mut known: Vec<_> = known.iter().copied().filter(|key| *key != "key").collect();
        let mut there: Vec<_> = settings
            .iter()
            .filter(|s| s.table == table)
            .map(|s| s.key.as_str())
            .collect();
        known.sort_unstable();
        there.sort_unstable();
        assert_eq!(known, there, "{table}");
        keys += known.len();
    }
    assert_eq!(keys, settings.len());
    // The tables themselves, and the tables inside `api_keys`.
    let known = |text: &str| match &parse(text).unwrap_err()[..] {
        [error] => error
            .to_string()
            .split_once("known here: ")
            .unwrap()
            .1
            .to_owned(),
        errors => panic!("{errors:#?}"),
    };
    for name in known(&format!("qqqqqqqqqqqqqqqqqqqqqqqq = 1\n{TEXT}")).split(", ") {
        let stands = |s: &Setting| s.table == name || (s.table.is_empty() && s.key == name);
        assert!(settings.iter().any(stands), "{name}");
    }
    assert_eq!(
        known(&TEXT.replace(
            "id = \"backend\"",
            "id = \"backend\", qqqqqqqqqqqqqqqqqqqqqqqq = 1"
        )),
        "id, sha256"
    );
}

#[test]
fn every_default_in_the_example_is_the_real_one() {
    let as_it_is = all(TEXT);
    let (mut defaults, mut examples, mut required) = (0, 0, 0);
    for setting in settings() {
        let path = setting.path();
        let of_the_machine = [
            "limits.workers",
            "limits.connections",
            "limits.sessions",
            "limits.sessions_per_token",
            "limits.sessions_per_network",
        ]
        .contains(&path.as_str());
        let has = |word| setting.words.contains(word);
        let marks = [has("Required"), has("Default: "), has("No default")];
        assert_eq!(
            marks.iter().filter(|mark| **mark).count(),
            1,
            "{path}: {:?}",
            setting.words
        );
        match marks {
            [true, ..] => {
                required += 1;
                assert!(setting.stands, "{path}");
                let errors = parse(&setting.replaced("")).unwrap_err();
                assert!(
                    matches!(&errors[..], [one] if matches!(one.problem, Problem::Missing(_))),
                    "{path}: {errors:#?}"
                );
            }
            [_, true, _] if !of_the_machine => {
                defaults += 1;
                assert!(!setting.stands, "{path}");
                assert_eq!(all(&setting.standing()), as_it_is, "{path}");
            }
            _ => {
                examples += 1;
                let other = if setting.stands {
                    setting.replaced("")
                } else {
                    setting.standing()
                };
                // Which of several sources of a secret it is leaves no trace.
                assert!(
                    all(&other) != as_it_is || setting.key == "secret_env",
                    "{path}"
                );
            }
        }
    }
    assert!(
        defaults > 30 && examples > 5 && required > 5,
        "{defaults} {examples} {required}"
    );
}

#[test]
fn every_bound_in_the_example_is_the_real_one() {
    let mut checked = 0;
    for setting in settings() {
        let path = setting.path();
        let Some((_, bounds)) = setting.words.split_once("From ") else {
            assert!(
                !["limits", "timeouts"].contains(&setting.table.as_str()),
                "{path} has no bounds"
            );
            continue;
        };
        let (least, rest) = bounds.split_once(" to ").unwrap();
        let most = rest.split('.').next().unwrap();
        let quoted = |value: &str| {
            if value.bytes().all(|b| b.is_ascii_digit()) {
                value.to_owned()
            } else {
                format!("\"{value}\"")
            }
        };
        for bound in [least, most] {
            // `limits.uri` must fit into the head.
            let text = setting
                .set(&quoted(bound))
                .replace("#head = \"16KiB\"", "head = \"256KiB\"");
            let text = if path == "limits.head" {
                setting.set(&quoted(bound))
            } else {
                text
            };
            assert!(
                parse(&text).is_ok(),
                "{path} = {bound}: {:?}",
                parse(&text).err()
            );
        }
        let refusal = |value: &str| match &parse(&setting.set(&quoted(value))).unwrap_err()[..] {
            [error] => error.to_string(),
            errors => panic!("{path} = {value}: {errors:#?}"),
        };
        let unit = least.trim_start_matches(|c: char| c.is_ascii_digit());
        if !least.starts_with('0') {
            let told = refusal(&format!("0{unit}"));
            assert!(
                told.contains(&format!("must be at least {least}: ")),
                "{path}: {told}"
            );
        }
        let huge = match unit {
            "" => "4000000000",
            "KiB" | "MiB" => "4000GiB",
            _ => "40000d",
        };
        let told = refusal(huge);
        assert!(
            told.ends_with(&format!("must be at most {most}")),
            "{path}: {told}"
        );
        checked += 1;
    }
    assert!(checked > 20);
}

#[test]
fn the_machine_gives_the_other_defaults() {
    let limits = parse(TEXT).unwrap().limits;
    assert_eq!(limits, Limits::of_this_machine());
    assert_eq!(
        limits.workers,
        std::thread::available_parallelism().unwrap().get()
    );
    let fewer = parse(&TEXT.replace("#connections = 20000", "connections = 7"))
        .unwrap()
        .limits;
    assert_eq!((fewer.connections, fewer.sessions), (7, 7));
    let shares = (fewer.sessions_per_token, fewer.sessions_per_network);
    assert_eq!(shares, (6, 6));
}
