//! The page of the token's wire form says what the code does: its claims are those of the table in the code, and its example
//! is a vector that every issuer can check itself by.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use h5gate::token::{Options, inspect};
use serde_json::Value;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The rows of a table that begin with a number, without what makes them a comment.
fn rows(text: &str) -> Vec<&str> {
    let lines = text
        .lines()
        .map(|line| line.trim_start_matches("//!").trim());
    lines
        .filter(|line| {
            line.strip_prefix("| ")
                .is_some_and(|row| row.starts_with(|c: char| c.is_ascii_digit()))
        })
        .collect()
}

/// The text between two headings of the page.
fn section<'a>(page: &'a str, from: &str, to: &str) -> &'a str {
    let (_, section) = page.split_once(from).unwrap();
    section
        .split_once(to)
        .map_or(section, |(section, _)| section)
}

fn page() -> String {
    read("src/documentation/token.md")
}

#[test]
fn the_claims_of_the_page_are_those_of_the_code() {
    let (page, code) = (page(), read("src/token/claim_table.rs"));
    let told = rows(section(&page, "## 2.", "## 3."));
    assert_eq!(told, rows(&code));
    assert_eq!(told.len(), 10);
}

#[test]
fn the_signed_message_of_the_page_is_that_of_the_code() {
    let (page, code) = (page(), read("src/token.rs"));
    let message = |text: &str| {
        let mut lines = text
            .lines()
            .map(|line| line.trim_start_matches("//!").trim());
        lines
            .find(|line| line.starts_with("M     = "))
            .unwrap()
            .to_owned()
    };
    assert_eq!(message(&page), message(&code));
}

#[test]
fn the_summary_of_the_page_is_that_of_the_code() {
    let page = page();
    let bits: Vec<_> = rows(section(&page, "## 4.", "## 5."))
        .into_iter()
        .map(|row| {
            let mut cells = row.split('|').map(str::trim).skip(1);
            (
                cells.next().unwrap().to_owned(),
                cells.next().unwrap().to_owned(),
            )
        })
        .collect();
    let expected = [
        (Options::EXPIRES, "`expires`"),
        (Options::IP, "an address (type 6)"),
        (Options::REFERER, "a referer (type 7)"),
        (Options::TAG, "`tag`"),
        (Options::ORGA, "an organisation (type 5)"),
    ];
    let expected = expected.map(|(bit, what)| (bit.to_string(), what.to_owned()));
    assert_eq!(bits, expected);
}

#[test]
fn the_example_of_the_page_is_a_vector_and_its_claims_are_in_it() {
    let page = page();
    let example = section(&page, "## 6.", "\u{0}");
    let told = |name: &str| {
        let mut lines = example.lines().filter_map(|line| line.split_once(' '));
        let (_, value) = lines.find(|(first, _)| *first == name).unwrap();
        value.trim().to_owned()
    };
    let vectors: Value = serde_json::from_str(&read("tests/vectors/token.json")).unwrap();
    let minted = vectors["minted"].as_array().unwrap();
    let vector = minted
        .iter()
        .find(|one| one["name"] == "everything at once");
    let security = &vector.unwrap()["security"];
    for name in ["token", "options", "expires", "tag"] {
        assert_eq!(security[name], told(name), "{name}");
    }

    let claims = example.lines().filter(|line| {
        let mut fields = line.split(' ');
        let is_hex = |field: &str| field.chars().all(|c| c.is_ascii_hexdigit());
        fields
            .next()
            .is_some_and(|first| first.len() == 2 && is_hex(first))
            && fields
                .next()
                .is_some_and(|length| length.len() == 4 && is_hex(length))
    });
    // What stands behind two blanks explains the bytes.
    let hex: String = claims
        .map(|line| line.split("  ").next().unwrap().replace(' ', ""))
        .collect();
    let bytes: Vec<u8> = (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect();
    let token = told("token");
    assert_eq!(
        token.split('.').nth(2),
        Some(&*URL_SAFE_NO_PAD.encode(bytes))
    );

    let grant = inspect(&token).unwrap().grant;
    let names: Vec<_> = example
        .lines()
        .filter_map(|line| line.split_once("streams "))
        .collect();
    let [(_, streams)] = names[..] else {
        panic!("{names:?}")
    };
    let streams: Vec<_> = streams
        .split(", ")
        .map(|name| name.parse().unwrap())
        .collect();
    assert_eq!(grant.scope, h5gate::token::Scope::Streams(streams));
}
