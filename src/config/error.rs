//! What is wrong with a configuration, where, and what to do about it.

use std::fmt;

/// One error of a configuration.
///
/// Never contains a value of a key that may be a secret; a secret pasted where none belongs stays out of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file, as it was named; `None` for a text without a file.
    pub file: Option<String>,
    /// The line, from 1; `None` when it is about the whole file.
    pub line: Option<usize>,
    /// The path of the key, such as `organisation[0].key[1].id`; empty when it is about no key.
    pub key: String,
    /// What is wrong.
    pub problem: Problem,
}

/// What is allowed and has to be told: a setting that weakens a check, or one that is probably not meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The file, as it was named; `None` for a text without a file.
    pub file: Option<String>,
    /// The line, from 1; `None` when it is about the whole file.
    pub line: Option<usize>,
    /// The path of the key.
    pub key: String,
    /// What there is to say of it; never a value that may be a secret.
    pub what: String,
}

/// What is wrong at one place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The file is not there, not readable, or much too long.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// Not TOML, in the parser's words.
    #[error("not TOML: {0}")]
    Syntax(String),
    /// A table or a key of one path stands twice.
    #[error("stands twice; put all of it in one place")]
    Repeated,
    /// No such key is read in this table.
    #[error("unknown key; {}", suggestion(*.nearest, .known))]
    UnknownKey {
        /// The known key that looks most like it.
        nearest: Option<&'static str>,
        /// All keys of the table.
        known: Vec<&'static str>,
    },
    /// A value of another type.
    #[error("must be {expected}, not {found}")]
    Type {
        /// What is wanted.
        expected: &'static str,
        /// What stands there.
        found: &'static str,
    },
    /// A key that must be given and is not.
    #[error("is missing: {0}")]
    Missing(&'static str),
    /// A value that cannot be.
    #[error("{0}")]
    Value(String),
    /// A value that must be unique and is not.
    #[error("is the same as {first_key}{}; {reason}", on_line(*.first_line))]
    Duplicate {
        /// Where it stands first.
        first_key: String,
        /// The line of that.
        first_line: Option<usize>,
        /// Why that cannot be.
        reason: &'static str,
    },
    /// Values that are good each on its own and not together.
    #[error("{0}")]
    Conflict(String),
}

impl Problem {
    /// Whether it may vanish when the text is TOML: what is missing may stand where the parser could not read.
    pub(super) fn needs_the_whole_text(&self) -> bool {
        match self {
            Self::Missing(_) | Self::Conflict(_) => true,
            // A broken header changes what the tables after it are.
            Self::Type { found, .. } => matches!(*found, "a table" | "a list"),
            Self::Unreadable(_)
            | Self::Syntax(_)
            | Self::Repeated
            | Self::UnknownKey { .. }
            | Self::Value(_)
            | Self::Duplicate { .. } => false,
        }
    }
}

fn suggestion(nearest: Option<&str>, known: &[&str]) -> String {
    match nearest {
        Some(nearest) => format!("did you mean {nearest}?"),
        None => format!("known here: {}", known.join(", ")),
    }
}

fn on_line(line: Option<usize>) -> String {
    line.map(|line| format!(" on line {line}"))
        .unwrap_or_default()
}

impl fmt::Display for ConfigError {
    /// `h5gate.toml:12: upstream.servers[0]: must be …`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_place(f, self.file.as_deref(), self.line, &self.key)?;
        self.problem.fmt(f)
    }
}

impl fmt::Display for Notice {
    /// As an error.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_place(f, self.file.as_deref(), self.line, &self.key)?;
        f.write_str(&self.what)
    }
}

fn write_place(
    f: &mut fmt::Formatter<'_>,
    file: Option<&str>,
    line: Option<usize>,
    key: &str,
) -> fmt::Result {
    match (file, line) {
        (Some(file), Some(line)) => write!(f, "{file}:{line}: ")?,
        (Some(file), None) => write!(f, "{file}: ")?,
        (None, Some(line)) => write!(f, "line {line}: ")?,
        (None, None) => {}
    }
    if key.is_empty() {
        return Ok(());
    }
    write!(f, "{key}: ")
}

impl std::error::Error for ConfigError {}
