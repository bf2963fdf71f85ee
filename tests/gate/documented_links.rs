//! The page of links and tickets says what the code does: their forms are those of the code's own documentation. What is
//! signed and ignored is an example on the page, which runs as a documentation test.

use std::fs;
use std::path::Path;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// What the lines of a text say that begin so, without what makes them a comment and what explains them.
fn forms(text: &str, begins: &str) -> Vec<String> {
    let lines = text
        .lines()
        .map(|line| line.trim_start_matches("//!").trim());
    let form = |line: &str| line.split("    ").next().unwrap_or_default().to_owned();
    let named = lines.filter(|line| line.starts_with(begins));
    named
        .map(|line| form(line.split_once(" = ").map_or(line, |(_, form)| form)))
        .collect()
}

#[test]
fn the_forms_of_the_page_are_those_of_the_code() {
    let page = read("src/documentation/links.md");
    for (file, begins, count) in [
        ("src/hls/ticket.rs", "ticket = ", 1),
        ("src/hls/ticket.rs", "C      = ", 1),
        ("src/hls/ticket.rs", "L(x)   = ", 1),
        ("src/hls/link.rs", "/h5live/authhttp/~TICKET/", 2),
    ] {
        let code = forms(&read(file), begins);
        assert_eq!(code.len(), count, "{begins} in {file}");
        assert_eq!(forms(&page, begins), code, "{begins}");
    }
}
