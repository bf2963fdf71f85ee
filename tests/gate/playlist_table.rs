//! Playlists of every kind, and what becomes of each of their lines. The tables are in `tests/playlists/`:
//!
//! - `= NAME` begins a playlist; `@ KEY=VALUE…` is where it comes from; `! …` is what is said of it, or `! error …`.
//! - All other lines are its own. `=> LINE` is what becomes of the line above; without one it stays.
//! - `[TARGET]` is the signature over that target, `[{DEFINITIONS} TARGET]` over both, and `~{…}` the encoded definitions.
//! - `<CR>`, `<TAB>`, `<NUL>`, `<BOM>` and `<FF>` are those bytes, and `<EOF>` a line without a line end.

use std::cell::RefCell;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use h5gate::hls::link::Signature;
use h5gate::hls::playlist::{Context, Definitions, Kind, PlaylistError, Rewritten, rewrite};

#[derive(Debug, Default)]
struct Case {
    name: String,
    origin: String,
    verdict: String,
    text: Vec<u8>,
    expected: Vec<u8>,
}

fn bytes(line: &str) -> Vec<u8> {
    let mut rest = line.trim_end_matches("<EOF>");
    let mut bytes = Vec::new();
    let named: [(&str, &[u8]); 5] = [
        ("<CR>", b"\r"),
        ("<TAB>", b"\t"),
        ("<NUL>", b"\0"),
        ("<BOM>", b"\xef\xbb\xbf"),
        ("<FF>", b"\xff"),
    ];
    while !rest.is_empty() {
        if let Some((name, byte)) = named.iter().find(|(name, _)| rest.starts_with(name)) {
            bytes.extend_from_slice(byte);
            rest = &rest[name.len()..];
        } else {
            let length = rest.chars().next().unwrap().len_utf8();
            bytes.extend_from_slice(&rest.as_bytes()[..length]);
            rest = &rest[length..];
        }
    }
    if !line.ends_with("<EOF>") {
        bytes.push(b'\n');
    }
    bytes
}

fn cases() -> Vec<Case> {
    let tables = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/playlists");
    let mut cases: Vec<Case> = Vec::new();
    for table in fs::read_dir(tables).unwrap() {
        let table = fs::read_to_string(table.unwrap().path()).unwrap();
        // A blank line before a playlist is the table's.
        for playlist in table.trim_end().split("\n\n= ") {
            let mut case = Case::default();
            let mut last = 0;
            for (at, line) in playlist.lines().enumerate() {
                if at == 0 {
                    case.name = line.trim_start_matches("= ").to_owned();
                } else if let Some(origin) = line.strip_prefix("@ ") {
                    case.origin = origin.to_owned();
                } else if let Some(verdict) = line.strip_prefix("! ") {
                    case.verdict = format!("{} {verdict}", case.verdict).trim().to_owned();
                } else if let Some(line) = line.strip_prefix("=> ") {
                    case.expected.truncate(last);
                    case.expected.extend(bytes(line));
                } else {
                    last = case.expected.len();
                    case.text.extend(bytes(line));
                    case.expected.extend(bytes(line));
                }
            }
            cases.push(case);
        }
    }
    cases
}

/// A signature for each thing that was signed, and their meaning.
#[derive(Default)]
struct Signer(RefCell<Vec<(String, String)>>);

impl Signer {
    fn sign(&self, definitions: &str, target: &str) -> Signature {
        let mut signed = self.0.borrow_mut();
        signed.push((definitions.to_owned(), target.to_owned()));
        Signature::new((u128::MAX - signed.len() as u128).to_be_bytes())
    }

    /// Writes signatures and definitions as the tables do.
    fn explain(&self, text: &[u8]) -> Vec<u8> {
        // Latin-1, there and back, keeps all bytes.
        let mut text: String = text.iter().map(|&b| char::from(b)).collect();
        for (at, (definitions, target)) in self.0.borrow().iter().enumerate() {
            let signature = Signature::new((u128::MAX - (at as u128 + 1)).to_be_bytes());
            let signature = str::from_utf8(signature.as_bytes()).unwrap();
            let meaning = URL_SAFE_NO_PAD.decode(definitions).unwrap();
            let meaning = String::from_utf8(meaning).unwrap().replace('\n', ",");
            let query = target.split_once('?').map_or("", |(_, query)| query);
            let (target, _) = target.split_once('#').unwrap_or((target, ""));
            let parameters = query.split('&').filter(|one| !one.is_empty()).count();
            // Behind the marks stands how the query was spelled.
            let spelling = 4 * usize::from(parameters > 0);
            while let Some(found) = text.find(signature) {
                // A mark for each parameter follows.
                let end = found + signature.len() + 2 * parameters + spelling;
                assert_eq!(text.get(end..=end), Some("/"), "{text}");
                let shown = if definitions.is_empty() {
                    format!("[{target}]")
                } else {
                    text = text.replacen(
                        &format!("/~{definitions}/"),
                        &format!("/~{{{meaning}}}/"),
                        1,
                    );
                    format!("[{{{meaning}}} {target}]")
                };
                text.replace_range(found..end, &shown);
            }
        }
        text.chars().map(|c| u8::try_from(c).unwrap()).collect()
    }
}

fn is_ours(scheme: &str, authority: &str) -> bool {
    matches!(
        (scheme, authority),
        ("http", "media:8181" | "user@media:8181") | ("https", "media.example")
    )
}

fn run(case: &Case, signer: &Signer) -> Result<Rewritten, PlaylistError> {
    let (mut path, mut query, mut to_ticket) = ("/h5live/http/playlist.m3u8", "", String::new());
    let (mut stream, mut url) = ("abcde-one", "rtmp://localhost/play");
    let mut imported = Definitions::default();
    let mut is_viewers_query = false;
    for pair in case.origin.split_whitespace() {
        let (key, value) = pair.split_once('=').unwrap();
        match key {
            "path" => path = value,
            "query" => query = value,
            "viewers" => (query, is_viewers_query) = (value, true),
            "depth" => to_ticket = "../".repeat(value.parse().unwrap()),
            "stream" => stream = value,
            "url" => url = value,
            "import" => {
                let encoded = URL_SAFE_NO_PAD.encode(value.replace(',', "\n"));
                imported = Definitions::decode(&encoded).unwrap();
            }
            _ => panic!("{key} is no key of a context"),
        }
    }
    let context = Context {
        path,
        query,
        is_viewers_query,
        to_ticket: &to_ticket,
        place: &to_ticket,
        is_ours: &is_ours,
        stream,
        url,
        imported: &imported,
        sign: &|definitions, target| signer.sign(definitions, target),
    };
    rewrite(&case.text, &context)
}

fn verdict(result: &Result<Rewritten, PlaylistError>) -> String {
    let rewritten = match result {
        Ok(rewritten) => rewritten,
        Err(error) => return format!("error {error:?}"),
    };
    let kind = match rewritten.kind {
        Kind::Multivariant => "multivariant",
        Kind::Media => "media",
    };
    let target = rewritten
        .target_duration
        .map(|target| format!(" target={}", target.as_secs_f64()));
    let flags = [
        (rewritten.ended, " ended"),
        (rewritten.names_progressive, " progressive"),
        (rewritten.depends_on_query, " by-query"),
    ];
    let flags = flags.iter().filter(|(set, _)| *set).map(|(_, name)| *name);
    format!(
        "{kind}{}{}",
        target.unwrap_or_default(),
        flags.collect::<String>()
    )
}

#[test]
fn every_playlist_becomes_what_the_tables_say() {
    let cases = cases();
    assert!(cases.len() >= 40, "{} playlists", cases.len());
    let mut wrong = String::new();
    for case in &cases {
        let signer = Signer::default();
        let result = run(case, &signer);
        if verdict(&result) != case.verdict {
            let (is, should) = (verdict(&result), &case.verdict);
            wrong += &format!("{}: is {is:?}, should be {should:?}\n", case.name);
        }
        let Ok(rewritten) = &result else { continue };
        let text = signer.explain(&rewritten.text);
        let lines = text.split(|&b| b == b'\n');
        let expected = case.expected.split(|&b| b == b'\n');
        if lines.clone().count() != expected.clone().count() {
            wrong += &format!("{}: another number of lines\n", case.name);
        }
        for (is, should) in lines.zip(expected).filter(|(is, should)| is != should) {
            let (is, should) = (is.escape_ascii(), should.escape_ascii());
            wrong += &format!("{}:\n  is        {is}\n  should be {should}\n", case.name);
        }
    }
    assert!(wrong.is_empty(), "of {} playlists:\n{wrong}", cases.len());
}
