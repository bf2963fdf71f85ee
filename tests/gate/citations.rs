//! What a comment or a page cites exists: the file, and in it the section.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Where text may cite something.
const READ: [&str; 6] = [
    "src",
    "tests",
    "deploy",
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
];

/// What is not ours to hold to this: what is generated, and what other projects wrote.
const LEFT_OUT: [&str; 3] = ["node_modules", "target", "media"];

fn texts(below: &Path, found: &mut Vec<PathBuf>) {
    if below.is_file() {
        found.push(below.to_owned());
        return;
    }
    for entry in fs::read_dir(below).into_iter().flatten() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if !LEFT_OUT.contains(&name) {
            texts(&path, found);
        }
    }
}

/// A cited page, and the number of a section behind it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Citation {
    page: String,
    section: Option<String>,
}

/// Every `NAME.md` of a text, with the number that follows it.
fn citations(text: &str) -> BTreeSet<Citation> {
    let is_of_path = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices(".md") {
        let (before, after) = (&text[..at], &text[at + ".md".len()..]);
        let start = before
            .char_indices()
            .rev()
            .take_while(|(_, c)| is_of_path(*c))
            .last()
            .map_or(at, |(at, _)| at);
        let goes_on = after.starts_with(|c: char| c.is_ascii_alphanumeric());
        if start == at || goes_on {
            continue;
        }
        let digits: String = after
            .strip_prefix(' ')
            .unwrap_or_default()
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        found.insert(Citation {
            page: format!("{}.md", &before[start..]),
            section: (!digits.is_empty()).then_some(digits),
        });
    }
    found
}

/// The page: beside the text that cites it, from the top of the project, or of the crate's documentation.
fn find(root: &Path, cited_in: &Path, page: &str) -> Option<String> {
    let beside = cited_in.parent().unwrap().join(page);
    let places = [
        beside,
        root.join(page),
        root.join("src/documentation").join(page),
    ];
    places
        .iter()
        .find_map(|place| fs::read_to_string(place).ok())
}

fn has_section(page: &str, number: &str) -> bool {
    let heading = format!("{number}. ");
    page.lines()
        .filter_map(|line| {
            line.trim_start_matches('#')
                .strip_prefix(' ')
                .filter(|_| line.starts_with('#'))
        })
        .any(|title| title.starts_with(&heading))
}

#[test]
fn every_cited_page_and_section_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    READ.iter()
        .for_each(|place| texts(&root.join(place), &mut files));
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for file in files {
        let Ok(text) = fs::read_to_string(&file) else {
            continue;
        };
        for citation in citations(&text) {
            // This file speaks of citations that do not exist.
            if file.ends_with("gate/citations.rs") {
                continue;
            }
            seen += 1;
            let page = find(root, &file, &citation.page);
            let good = match (&page, &citation.section) {
                (Some(page), Some(section)) => has_section(page, section),
                (page, None) => page.is_some(),
                (None, Some(_)) => false,
            };
            if !good {
                let file = file.strip_prefix(root).unwrap().display();
                wrong.push(format!("{file}: {citation:?}"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(seen > 30, "only {seen} citations were found");
}

#[test]
fn a_citation_is_a_page_and_perhaps_a_section() {
    let cited = |text| {
        let all = citations(text).into_iter();
        all.map(|one| (one.page, one.section.unwrap_or_default()))
            .collect::<Vec<_>>()
    };
    let pair = |page: &str, section: &str| (page.to_owned(), section.to_owned());
    assert_eq!(
        cited("(a.md 3). b/c.md, d.mdx"),
        [pair("a.md", "3"), pair("b/c.md", "")]
    );
    assert_eq!(cited("no page: .md"), []);
    assert!(
        has_section("# x\n## 3. Verdicts\n", "3") && !has_section("3. Verdicts\n## 30. x", "3")
    );
}
