//! Reads a TOML text key by key and collects all that is wrong with it.
//!
//! A [`Table`] remembers which keys were asked for; when it is dropped, every key that nobody asked for is an error. So
//! a key is known exactly when it is read, and there is no list of keys to forget one in.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Problem};
use super::nearest::nearest;

/// The longest name of an unknown key that an error repeats. A secret, which might stand there by mistake, is longer.
const NAME_LIMIT: usize = 40;

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The path of the key.
    pub(super) key: String,
    /// The line, from 1.
    pub(super) line: Option<usize>,
}

/// All that was found.
pub(super) struct Findings {
    /// Where each line but the first begins.
    lines: Vec<usize>,
    errors: RefCell<Vec<ConfigError>>,
    dangers: RefCell<Vec<String>>,
    warnings: RefCell<Vec<String>>,
}

impl Findings {
    /// Parses a text as far as it can be understood.
    pub(super) fn of(text: &str) -> (Self, Spanned<DeTable<'_>>) {
        let (root, errors) = DeTable::parse_recoverable(text);
        let findings = Self {
            lines: text.match_indices('\n').map(|(at, _)| at + 1).collect(),
            errors: RefCell::default(),
            dangers: RefCell::default(),
            warnings: RefCell::default(),
        };
        for error in errors {
            let line = error.span().map(|span| findings.line(&span));
            // The parser says neither which key it is nor where it stood first.
            if error.message().starts_with("duplicate key") {
                let name = error
                    .span()
                    .and_then(|span| text.get(span))
                    .unwrap_or_default();
                let key = shown(name.trim_matches(['"', '\'']));
                findings.add(&Place { key, line }, Problem::Repeated);
            } else {
                let place = Place {
                    key: String::new(),
                    line,
                };
                findings.add(&place, Problem::Syntax(error.message().to_owned()));
            }
        }
        (findings, root)
    }

    fn line(&self, span: &Range<usize>) -> usize {
        self.lines.partition_point(|start| *start <= span.start) + 1
    }

    pub(super) fn add(&self, place: &Place, problem: Problem) {
        self.errors.borrow_mut().push(ConfigError {
            file: None,
            line: place.line,
            key: place.key.clone(),
            problem,
        });
    }

    /// A setting that weakens a check.
    pub(super) fn danger(&self, danger: String) {
        self.dangers.borrow_mut().push(danger);
    }

    /// A setting that is allowed and probably not meant.
    pub(super) fn warn(&self, warning: String) {
        self.warnings.borrow_mut().push(warning);
    }

    /// Dangers and warnings, or all errors by line. Where the text is no TOML, what the parser made of that line is not
    /// reported as well, nor what needs the whole text.
    pub(super) fn finish(self) -> Result<(Vec<String>, Vec<String>), Vec<ConfigError>> {
        let mut errors = self.errors.into_inner();
        let is_syntax = |error: &ConfigError| matches!(error.problem, Problem::Syntax(_));
        let mut broken: Vec<_> = errors
            .iter()
            .filter(|error| is_syntax(error))
            .map(|error| error.line)
            .collect();
        broken.dedup();
        if !broken.is_empty() {
            let mut told = Vec::new();
            errors.retain(|error| {
                if is_syntax(error) {
                    let first = !told.contains(&error.line);
                    told.push(error.line);
                    return first;
                }
                !error.problem.needs_the_whole_text() && !broken.contains(&error.line)
            });
        }
        errors.sort_by_key(|error| error.line);
        if errors.is_empty() {
            Ok((self.dangers.into_inner(), self.warnings.into_inner()))
        } else {
            Err(errors)
        }
    }
}

/// A table, or the absence of one, in which every key has its default.
pub(super) struct Table<'a> {
    pub(super) place: Place,
    pub(super) findings: &'a Findings,
    entries: Option<&'a DeTable<'a>>,
    asked: Vec<&'static str>,
}

impl<'a> Table<'a> {
    /// The whole text.
    pub(super) fn root(table: &'a Spanned<DeTable<'a>>, findings: &'a Findings) -> Self {
        let place = Place {
            key: String::new(),
            line: None,
        };
        Self {
            place,
            findings,
            entries: Some(table.get_ref()),
            asked: Vec::new(),
        }
    }

    /// The value of a key, when it is given.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Value<'a>> {
        if !self.asked.contains(&key) {
            self.asked.push(key);
        }
        let (name, value) = self.entries?.get_key_value(key)?;
        let line = Some(self.findings.line(&name.span()));
        let place = Place {
            key: self.path(key),
            line,
        };
        Some(Value {
            place,
            findings: self.findings,
            value: value.get_ref(),
        })
    }

    /// The value of a key that must be given; `what` says what to give.
    pub(super) fn need(&mut self, key: &'static str, what: &'static str) -> Option<Value<'a>> {
        let value = self.take(key);
        if value.is_none() {
            self.missing(key, what);
        }
        value
    }

    /// Says that a key is missing.
    pub(super) fn missing(&self, key: &str, what: &'static str) {
        let place = Place {
            key: self.path(key),
            line: self.place.line,
        };
        self.findings.add(&place, Problem::Missing(what));
    }

    /// The table of a key.
    pub(super) fn table(&mut self, key: &'static str) -> Table<'a> {
        self.take(key)
            .and_then(|value| value.table())
            .unwrap_or_else(|| Table {
                place: Place {
                    key: self.path(key),
                    line: self.place.line,
                },
                findings: self.findings,
                entries: None,
                asked: Vec::new(),
            })
    }

    /// The tables of a key, none when it is not given.
    pub(super) fn tables(&mut self, key: &'static str, expected: &'static str) -> Vec<Table<'a>> {
        self.take(key)
            .and_then(|value| value.tables(expected))
            .unwrap_or_default()
    }

    /// The value of a key that is `true` or `false`.
    pub(super) fn flag(&mut self, key: &'static str, default: bool) -> bool {
        let Some(value) = self.take(key) else {
            return default;
        };
        match value.value {
            DeValue::Boolean(flag) => *flag,
            _ => value.wrong_type("true or false").unwrap_or(default),
        }
    }

    /// The value of a key that is one of a few words.
    pub(super) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&str, T)],
        default: T,
    ) -> T {
        self.take(key)
            .and_then(|value| value.choice(words))
            .unwrap_or(default)
    }

    fn path(&self, key: &str) -> String {
        match self.place.key.as_str() {
            "" => key.to_owned(),
            table => format!("{table}.{key}"),
        }
    }
}

impl Drop for Table<'_> {
    /// Complains about every key that nobody asked for.
    fn drop(&mut self) {
        for (name, _) in self.entries.into_iter().flatten() {
            if self.asked.contains(&name.get_ref().as_ref()) {
                continue;
            }
            let line = Some(self.findings.line(&name.span()));
            let place = Place {
                key: self.path(&shown(name.get_ref())),
                line,
            };
            let nearest = nearest(name.get_ref(), &self.asked);
            let known = self.asked.clone();
            self.findings
                .add(&place, Problem::UnknownKey { nearest, known });
        }
    }
}

/// A value and where it stands.
#[derive(Clone)]
pub(super) struct Value<'a> {
    pub(super) place: Place,
    pub(super) findings: &'a Findings,
    value: &'a DeValue<'a>,
}

impl<'a> Value<'a> {
    /// The value as text; `expected` says what it is to be.
    pub(super) fn text(&self, expected: &'static str) -> Option<&'a str> {
        match self.value {
            DeValue::String(text) => Some(text.as_ref()),
            _ => self.wrong_type(expected),
        }
    }

    /// The value as a text that `T` reads.
    pub(super) fn parsed<T: FromStr<Err: fmt::Display>>(
        &self,
        expected: &'static str,
    ) -> Option<T> {
        self.read(expected, |text| {
            text.parse::<T>().map_err(|error| error.to_string())
        })
    }

    /// The value as a text that `read` reads.
    pub(super) fn read<T>(
        &self,
        expected: &'static str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.accept(read(self.text(expected)?))
    }

    /// The value as a whole number that is not negative.
    pub(super) fn count(&self) -> Option<u64> {
        let DeValue::Integer(integer) = self.value else {
            return self.wrong_type("a whole number, without quotes");
        };
        let number = u64::from_str_radix(integer.as_str(), integer.radix());
        self.accept(number.map_err(|_| "must be a whole number that is not negative".to_owned()))
    }

    /// The value as one of a few words.
    pub(super) fn choice<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let text = self.text("a string")?;
        let found = words.iter().find(|(word, _)| *word == text);
        let quoted = || {
            words
                .iter()
                .map(|(word, _)| format!("\"{word}\""))
                .collect::<Vec<_>>()
                .join(" or ")
        };
        self.accept(
            found
                .map(|(_, value)| *value)
                .ok_or_else(|| format!("must be {}", quoted())),
        )
    }

    /// The elements of the value; `expected` says what it is to be.
    pub(super) fn list(&self, expected: &'static str) -> Option<Vec<Value<'a>>> {
        let DeValue::Array(array) = self.value else {
            return self.wrong_type(expected);
        };
        let element = |(index, element): (usize, &'a Spanned<DeValue<'a>>)| {
            let key = format!("{}[{index}]", self.place.key);
            let line = Some(self.findings.line(&element.span()));
            Value {
                place: Place { key, line },
                findings: self.findings,
                value: element.get_ref(),
            }
        };
        Some(array.iter().enumerate().map(element).collect())
    }

    /// The elements of the value, those of them that are tables.
    pub(super) fn tables(&self, expected: &'static str) -> Option<Vec<Table<'a>>> {
        Some(
            self.list(expected)?
                .iter()
                .filter_map(Value::table)
                .collect(),
        )
    }

    /// The value as a table.
    pub(super) fn table(&self) -> Option<Table<'a>> {
        match self.value {
            DeValue::Table(table) => Some(Table {
                place: self.place.clone(),
                findings: self.findings,
                entries: Some(table),
                asked: Vec::new(),
            }),
            _ => self.wrong_type("a table"),
        }
    }

    /// What is good, or an error that says what to do.
    pub(super) fn accept<T>(&self, value: Result<T, String>) -> Option<T> {
        value.map_err(|what| self.refuse(Problem::Value(what))).ok()
    }

    pub(super) fn refuse(&self, problem: Problem) {
        self.findings.add(&self.place, problem);
    }

    fn wrong_type<T>(&self, expected: &'static str) -> Option<T> {
        let found = match self.value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number with a point",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.refuse(Problem::Type { expected, found });
        None
    }
}

/// The name of a key as an error may show it.
fn shown(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.len() > NAME_LIMIT {
        format!("(a name of {} bytes)", name.len())
    } else if !name.is_empty() && name.chars().all(bare) {
        name.to_owned()
    } else {
        format!("{name:?}")
    }
}
