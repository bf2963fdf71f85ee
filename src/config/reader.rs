//! Reads TOML key by key and says of each what is wrong with it.
//!
//! A [`Table`] remembers which keys were asked for; when it is dropped, every key that was not asked for is an error. So
//! a key is known exactly when it is read, and there is no list of keys to forget one in.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::Problem;
use super::findings::{Findings, Place, shown};
use super::nearest::nearest;

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
        let flag = |value: Value<'_>| {
            value
                .value
                .as_bool()
                .or_else(|| value.wrong_type("true or false"))
        };
        self.take(key).and_then(flag).unwrap_or(default)
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
    /// Every key that was not asked for is an error.
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
        self.value.as_str().or_else(|| self.wrong_type(expected))
    }

    /// The value as a text that `T` reads.
    pub(super) fn parsed<T: FromStr<Err: fmt::Display>>(
        &self,
        expected: &'static str,
    ) -> Option<T> {
        self.parsed_by(expected, T::from_str)
    }

    /// The value as a text that `parse` reads.
    pub(super) fn parsed_by<T, E: fmt::Display>(
        &self,
        expected: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let parsed = parse(self.text(expected)?);
        self.accept(parsed.map_err(|error| error.to_string()))
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
        let table = self
            .value
            .as_table()
            .or_else(|| self.wrong_type("a table"))?;
        Some(Table {
            place: self.place.clone(),
            findings: self.findings,
            entries: Some(table),
            asked: Vec::new(),
        })
    }

    /// What is good, or an error that says what to do.
    pub(super) fn accept<T>(&self, value: Result<T, String>) -> Option<T> {
        value.map_err(|what| self.refuse(Problem::Value(what))).ok()
    }

    /// Whether `it` is the first of its kind; a later one is an error, and `reason` says why.
    pub(super) fn once<T: Hash + Eq>(
        &self,
        it: T,
        seen: &mut HashMap<T, Place>,
        reason: &'static str,
    ) -> bool {
        if let Some(first) = seen.get(&it) {
            self.refuse_same(first, reason);
            return false;
        }
        seen.insert(it, self.place.clone());
        true
    }

    /// Says that the value must differ from an earlier one.
    pub(super) fn refuse_same(&self, first: &Place, reason: &'static str) {
        self.refuse(Problem::Duplicate {
            first_key: first.key.clone(),
            first_line: first.line,
            reason,
        });
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
