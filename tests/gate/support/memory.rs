//! Secrets from memory, and a configuration that has no error.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use h5gate::config::{Config, ConfigError, SecretSource, SecretText};

/// Base64 of 32 bytes, another for each letter.
pub(crate) fn secret(letter: char) -> String {
    format!("{}=", letter.to_string().repeat(42) + "A")
}

/// Files and variables by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) files: HashMap<String, String>,
    pub(crate) env: HashMap<String, String>,
    pub(crate) open_to_others: bool,
}

impl Memory {
    /// `k1.secret` and `k2.secret`, `copy.secret` as `k1.secret`, a few that are no secrets, and `K3` in the environment.
    pub(crate) fn new() -> Self {
        let files = [
            ("k1.secret", secret('B') + "\n"),
            ("k2.secret", secret('C')),
            ("copy.secret", secret('B')),
            ("short.secret", "c2hvcnQ=".to_owned()),
            ("garbage.secret", "a secret phrase!".to_owned()),
            ("empty.secret", String::new()),
            ("marked.secret", format!("\u{feff}{}\r\n", secret('B'))),
            ("quoted.secret", format!("\"{}\"\n", secret('B'))),
            ("url.secret", secret('-')),
            ("two.secret", secret('B') + "\n" + &secret('C')),
            ("unpadded.secret", secret('B').replace('=', "")),
            ("windows.secret", format!("  {}\r\n\r\n", secret('B'))),
            ("hex.secret", "0f".repeat(32)),
        ];
        let env = [("K3", secret('D')), ("K4", format!("'{}'", secret('D')))];
        Self {
            files: files.map(|(name, text)| (name.to_owned(), text)).into(),
            env: env.map(|(name, text)| (name.to_owned(), text)).into(),
            open_to_others: false,
        }
    }

    fn find(&self, found: Option<&String>) -> io::Result<SecretText> {
        let text = found.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(SecretText {
            text: text.clone().into(),
            open_to_others: self.open_to_others,
        })
    }
}

impl SecretSource for Memory {
    fn file(&mut self, path: &Path) -> io::Result<SecretText> {
        self.find(self.files.get(path.to_str().unwrap()))
    }

    fn env(&mut self, name: &str) -> io::Result<SecretText> {
        self.find(self.env.get(name))
    }
}

/// A configuration that has no error, line by line.
pub(crate) const GOOD: [&str; 11] = [
    r#"[[listener]]"#,
    r#"address = "127.0.0.1:8080""#,
    r#"serves = ["playback", "token-api"]"#,
    r#"[upstream]"#,
    r#"servers = ["http://127.0.0.1:8181"]"#,
    r#"[[organisation]]"#,
    r#"hash = "abcde""#,
    r#"api_keys = [{ id = "backend", sha256 = "1111111111111111111111111111111111111111111111111111111111111111" }]"#,
    r#"[[organisation.key]]"#,
    r#"id = "k1""#,
    r#"secret_file = "k1.secret""#,
];

/// [`GOOD`] with one line, from 1, replaced by other text; the line after the last is empty.
pub(crate) fn with(line: usize, text: &str) -> String {
    let mut lines = [&GOOD[..], &[""]].concat();
    lines[line - 1] = text;
    lines.join("\n")
}

pub(crate) fn parse(text: &str) -> Result<Config, Vec<ConfigError>> {
    Config::parse(text, &mut Memory::new())
}
