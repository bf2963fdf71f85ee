//! Whatever is wrong with a configuration is said with its line, its key and what to do; all of it at once, and never a
//! secret.

use h5gate::config::{Config, Problem};
use proptest::prelude::*;

use crate::properties::settings;
use crate::support::memory::{GOOD, Memory, parse, secret, with};

/// Wrong configurations, each with its error.
const WRONG: &str = include_str!("../config/wrong.txt");

/// The cases of [`WRONG`]: a line of [`GOOD`], the text in its place, and the line, the key and words of the error.
fn wrong() -> Vec<(usize, String, usize, &'static str, &'static str)> {
    let mut cases = Vec::<(usize, String, usize, &str, &str)>::new();
    let lines = WRONG
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    for text in lines {
        if let Some(case) = text.strip_prefix('@') {
            let [lines, key, words] = case.split(" | ").collect::<Vec<_>>().try_into().unwrap();
            let (replaced, line) = lines.split_once(" -> ").unwrap();
            cases.push((
                replaced.parse().unwrap(),
                String::new(),
                line.parse().unwrap(),
                key,
                words,
            ));
        } else {
            let case = cases.last_mut().unwrap();
            if !case.1.is_empty() {
                case.1.push('\n');
            }
            case.1.push_str(text);
        }
    }
    cases
}

#[test]
fn the_good_configuration_has_no_error() {
    let config = parse(&GOOD.join("\n")).unwrap();
    assert_eq!((config.dangers, config.warnings), (vec![], vec![]));
}

#[test]
fn every_error_names_its_line_and_key_and_what_to_do() {
    let cases = wrong();
    assert!(cases.len() > 100);
    let mut wrong = Vec::new();
    for (replaced, text, line, key, words) in &cases {
        let errors = parse(&with(*replaced, text)).err().unwrap_or_default();
        let told = |error: &h5gate::config::ConfigError| {
            error.line == Some(*line) && error.key == *key && error.to_string().contains(words)
        };
        if !matches!(&errors[..], [one] if told(one)) {
            let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
            wrong.push(format!(
                "{text:?}: expected {line}: {key}: {words}; got {errors:#?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn all_errors_are_told_at_once_in_the_order_of_their_lines() {
    let text = r#"
[[listener]]
address = "here"
serves = ["radio"]
[upstream]
servers = ["ftp://a"]
client_message = "any"
[limits]
head = "1B"
fields = "many"
[timeouts]
drain = "soon"
[[organisation]]
hash = "a"
[[organisation.key]]
secret_file = "k1.secret"
state = "new"
"#;
    let errors = parse(text).unwrap_err();
    let places: Vec<_> = errors
        .iter()
        .map(|error| (error.line.unwrap(), error.key.as_str()))
        .collect();
    let expected = [
        (3, "listener[0].address"),
        (4, "listener[0].serves[0]"),
        (6, "upstream.servers[0]"),
        (7, "upstream.client_message"),
        (9, "limits.head"),
        (10, "limits.fields"),
        (12, "timeouts.drain"),
        (14, "organisation[0].hash"),
        (15, "organisation[0].key[0].id"),
        (17, "organisation[0].key[0].state"),
    ];
    assert_eq!(places, expected);
}

#[test]
fn errors_of_syntax_do_not_hide_the_others_nor_make_up_any() {
    let text = "[[listener]]\naddress = 127.0.0.1:80\nserves = playback\n[upstream]\nserver = []\n[limits]\nhead = \"1\"\n";
    let errors = parse(text).unwrap_err();
    let lines: Vec<_> = errors
        .iter()
        .map(|error| (error.line, matches!(error.problem, Problem::Syntax(_))))
        .collect();
    // Neither the servers nor organisations are missed: they may stand where the parser could not read.
    assert_eq!(
        lines,
        [
            (Some(2), true),
            (Some(3), true),
            (Some(5), false),
            (Some(7), false)
        ]
    );
}

#[test]
fn an_empty_file_lacks_a_listener() {
    let told = |text| {
        parse(text)
            .unwrap_err()
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    let say = "begin a table with [[listener]] and say address and serves";
    assert_eq!(told(""), [format!("listener: is missing: {say}")]);
    assert_eq!(
        told("listener = []"),
        [format!("line 1: listener: is empty: {say}")]
    );
}

#[test]
fn a_gate_that_only_mints_needs_no_media_server() {
    let text = with(3, "serves = [\"token-api\"]");
    for text in [
        text.replace(GOOD[4], ""),
        text.replace(GOOD[4], "servers = []"),
    ] {
        assert!(parse(&text).unwrap().upstream.servers.is_empty());
    }
}

#[test]
fn a_file_is_named_as_it_was_given() {
    let directory = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("config_errors");
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("gate.toml");
    std::fs::write(&path, with(2, "address = 1")).unwrap();
    let errors = Config::load(&path).unwrap_err();
    let told: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert!(
        told[0].starts_with(&format!(
            "{}:2: listener[0].address: must be",
            path.display()
        )),
        "{told:?}"
    );
    assert!(
        told[1].contains(":11: organisation[0].key[0].secret_file: cannot be read"),
        "{told:?}"
    );
    assert_eq!(told.len(), 2);

    std::fs::write(&path, b"# one\n# \xff\n").unwrap();
    let errors = Config::load(&path).unwrap_err();
    assert_eq!((errors[0].line, errors.len()), (Some(2), 1));

    let errors = Config::load(&directory.join("nowhere.toml")).unwrap_err();
    assert!(
        matches!(errors[0].problem, Problem::Unreadable(_)),
        "{errors:?}"
    );
    assert!(Config::load(&directory).is_err());
}

#[test]
fn no_error_repeats_a_secret() {
    let secret = secret('E');
    // Wherever an operator may put a secret by mistake, or a parser may trip over it.
    let texts = [
        with(11, &format!("secret = \"{secret}\"")),
        with(11, &format!("secret_file = \"{secret}\"")),
        with(11, &format!("secret_env = \"{secret}\"")),
        with(
            11,
            &format!("secret_env = \"{}\"", secret.trim_end_matches('=')),
        ),
        with(11, &format!("secret_file = {secret}")),
        with(11, &format!("secret_file = \"{secret}")),
        with(11, &secret),
        with(11, &format!("\"{secret}\"")),
        with(11, &format!("\"{secret}\" = 1\n\"{secret}\" = 1")),
        with(11, &format!("{secret} = \"k1.secret\"")),
        with(11, &format!("[{secret}]")),
        with(10, &format!("id = \"{secret}\"")),
        with(12, &format!("state = \"{secret}\"")),
        with(7, &format!("hash = \"{secret}\"")),
        with(
            8,
            &format!("api_keys = [{{ id = \"{secret}\", sha256 = \"{secret}\" }}]"),
        ),
        with(8, &format!("api_keys = [\"{secret}\"]")),
        with(
            12,
            &format!("[admin]\naddress = \"{secret}\"\ntoken_sha256 = \"{secret}\""),
        ),
        with(12, &format!("[admin.{secret}]\n[admin.{secret}]")),
    ];
    for text in texts {
        let errors = parse(&text)
            .err()
            .unwrap_or_else(|| panic!("no error in {text}"));
        let told = format!(
            "{errors:?} {}",
            errors.iter().map(ToString::to_string).collect::<String>()
        );
        assert!(!told.contains("EEEE"), "{told}");
    }
    for bad in [
        format!("{secret}{secret}"),
        secret.replace('=', ""),
        format!("x{secret}"),
        secret[..40].to_owned(),
    ] {
        let mut source = Memory::new();
        source.files.insert("k1.secret".to_owned(), bad);
        let errors = Config::parse(&GOOD.join("\n"), &mut source).unwrap_err();
        let told = format!("{errors:?} {}", errors[0]);
        assert!(!told.contains("EEEE"), "{told}");
    }
}

proptest! {
    #![proptest_config(settings())]

    // However a file is damaged, its errors are told and nothing panics.
    #[test]
    fn a_damaged_file_is_read_to_its_end(
        damages in proptest::collection::vec((any::<prop::sample::Index>(), 0..6), 1..8),
        other in "[\\PC\n]{0,8}",
    ) {
        // Without its words, and with every setting standing.
        let lines = include_str!("../../deploy/h5gate.toml").lines().filter(|line| !line.starts_with("# "));
        let lines: Vec<_> = lines.map(|line| line.trim_start_matches('#')).collect();
        let mut text: Vec<char> = lines.join("\n").chars().collect();
        for (at, damage) in damages {
            let at = at.index(text.len());
            let end = (at + 30).min(text.len());
            match damage {
                0 => drop(text.drain(at..end)),
                1 => drop(text.remove(at)),
                2 => text.insert(at, ['[', ']', '{', '}', '"', '=', '.', '\n'][at % 8]),
                3 => drop(text.splice(at..at, other.chars())),
                4 => {
                    let copy: Vec<_> = text[at..end].to_vec();
                    text.splice(at..at, copy);
                }
                _ => text[at..end].reverse(),
            }
        }
        let text: String = text.into_iter().collect();
        let lines = text.lines().count().max(1);
        if let Err(errors) = parse(&text) {
            prop_assert!(!errors.is_empty());
            prop_assert!(errors.iter().all(|error| error.line.is_none_or(|line| (1..=lines + 1).contains(&line))));
            prop_assert!(errors.is_sorted_by_key(|error| error.line));
        }
    }
}
