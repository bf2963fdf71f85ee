//! All that is found in a configuration: errors, dangers, warnings, and the lines that they are on.

use std::cell::RefCell;
use std::ops::Range;

use toml::Spanned;
use toml::de::DeTable;

use super::error::{ConfigError, Notice, Problem};

/// The longest name of an unknown key that an error repeats. A secret, which might stand there by mistake, is longer.
const NAME_LIMIT: usize = 40;

/// Where something stands, or would stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The path of the key.
    pub(super) key: String,
    /// The line, from 1.
    pub(super) line: Option<usize>,
}

impl Place {
    /// Of a key that is not there.
    pub(super) fn of_absent(key: &str) -> Self {
        Self {
            key: key.to_owned(),
            line: None,
        }
    }
}

/// All that was found.
pub(super) struct Findings {
    /// Where each line but the first begins.
    lines: Vec<usize>,
    errors: RefCell<Vec<ConfigError>>,
    dangers: RefCell<Vec<Notice>>,
    warnings: RefCell<Vec<Notice>>,
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

    /// The line on which a span begins.
    pub(super) fn line(&self, span: &Range<usize>) -> usize {
        self.lines.partition_point(|start| *start <= span.start) + 1
    }

    /// An error.
    pub(super) fn add(&self, place: &Place, problem: Problem) {
        self.errors.borrow_mut().push(ConfigError {
            file: None,
            line: place.line,
            key: place.key.clone(),
            problem,
        });
    }

    /// A setting that weakens a check.
    pub(super) fn danger(&self, place: &Place, danger: &str) {
        self.dangers.borrow_mut().push(notice(place, danger));
    }

    /// A setting that is allowed and probably not meant.
    pub(super) fn warn(&self, place: &Place, warning: &str) {
        self.warnings.borrow_mut().push(notice(place, warning));
    }

    /// Dangers and warnings, or all errors by line. Where the text is no TOML, what the parser made of that line is not
    /// reported as well, nor what needs the whole text.
    pub(super) fn finish(self) -> Result<(Vec<Notice>, Vec<Notice>), Vec<ConfigError>> {
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

fn notice(place: &Place, what: &str) -> Notice {
    Notice {
        file: None,
        line: place.line,
        key: place.key.clone(),
        what: what.to_owned(),
    }
}

/// The name of a key as an error may show it.
pub(super) fn shown(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.len() > NAME_LIMIT {
        format!("(a name of {} bytes)", name.len())
    } else if !name.is_empty() && name.chars().all(bare) {
        name.to_owned()
    } else {
        format!("{name:?}")
    }
}
