//! A text of lines, each with a checksum, so that one that is damaged is known and spoils no other.
//!
//! ```text
//! NAME VERSION NUMBER COUNT CHECK       NUMBER is what the text needs beside its lines, COUNT how many these are
//! LINE CHECK                            CHECK is the first 8 bytes of the SHA-256 of LINE, in hexadecimal
//! ```

use std::io::{self, BufRead, Read as _};

use sha2::{Digest as _, Sha256};

/// The longest line, more than any that is written: what stands behind a longer one is lost.
const LINE_LIMIT: u64 = 4096;

/// How many lines more than it should have are looked at in a text: a damaged one may be several.
const SPARE_LINES: u64 = 64;

/// What a text is.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// Its first word.
    pub name: &'static str,
    /// Its second word: what its lines mean.
    pub version: u32,
}

/// What is left of a text.
#[derive(Debug, PartialEq, Eq)]
pub struct Found<T> {
    /// The number in its first line.
    pub number: u64,
    /// Its good lines.
    pub good: Vec<T>,
    /// How many of its lines are damaged or missing.
    pub lost: u64,
    /// Whether it is as it was written.
    pub is_whole: bool,
}

/// Why nothing of a text can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// It is damaged from the first line on, or something else.
    #[error("its first line is damaged")]
    FirstLine,
    /// Another version of the gate wrote it.
    #[error("it is of version {0}, which this version of the gate does not know")]
    Version(String),
}

/// The text of `lines`, none of which has a line break.
#[must_use]
pub fn write<L: AsRef<str>>(kind: Kind, number: u64, lines: &[L]) -> String {
    let Kind { name, version } = kind;
    let mut text = String::new();
    let mut add = |line: &str| {
        text.push_str(line);
        text.push(' ');
        text.push_str(&check(line.as_bytes()));
        text.push('\n');
    };
    add(&format!("{name} {version} {number} {}", lines.len()));
    lines.iter().for_each(|line| add(line.as_ref()));
    text
}

/// Reads a text, each line by `parse`; an error is the disk's. What it costs is bounded by what the text says of itself.
pub fn read<T>(
    kind: Kind,
    mut source: impl BufRead,
    parse: impl Fn(&str) -> Option<T>,
) -> io::Result<Result<Found<T>, Unusable>> {
    let mut line = Vec::new();
    next_line(&mut source, &mut line)?;
    let (number, count) = match first_line(kind, &line) {
        Ok(first) => first,
        Err(unusable) => return Ok(Err(unusable)),
    };
    let (mut good, mut lines) = (Vec::new(), 0);
    while lines < count.saturating_add(SPARE_LINES) && next_line(&mut source, &mut line)? {
        lines += 1;
        good.extend(unsealed(&line).and_then(&parse));
    }
    let lost = count.saturating_sub(good.len() as u64);
    Ok(Ok(Found {
        number,
        is_whole: lost == 0 && lines == count,
        good,
        lost,
    }))
}

/// Whether there is one.
fn next_line(source: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    Ok(source.take(LINE_LIMIT).read_until(b'\n', line)? > 0)
}

fn first_line(kind: Kind, line: &[u8]) -> Result<(u64, u64), Unusable> {
    let text = String::from_utf8_lossy(line);
    let mut words = text.split_ascii_whitespace();
    if words.next() != Some(kind.name) {
        return Err(Unusable::FirstLine);
    }
    // The line of another version may be of another form altogether.
    let version = words.next().unwrap_or_default();
    let is_number = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit());
    if is_number && version.parse() != Ok(kind.version) {
        return Err(Unusable::Version(version.to_owned()));
    }
    let numbers = unsealed(line).and_then(|line| {
        let mut numbers = line.split(' ').skip(2).map(|word| word.parse().ok());
        let (number, count) = (numbers.next()??, numbers.next()??);
        numbers.next().is_none().then_some((number, count))
    });
    numbers.ok_or(Unusable::FirstLine)
}

/// A line without its checksum, which is right.
fn unsealed(line: &[u8]) -> Option<&str> {
    let line = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let (line, sum) = line.rsplit_once(' ')?;
    (sum == check(line.as_bytes())).then_some(line)
}

fn check(line: &[u8]) -> String {
    let digest: [u8; 32] = Sha256::digest(line).into();
    let (words, _) = digest.as_chunks::<8>();
    let first = words.first().copied().unwrap_or_default();
    format!("{:016x}", u64::from_be_bytes(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Kind = Kind {
        name: "h5gate-test",
        version: 3,
    };

    fn found(bytes: &[u8]) -> Result<Found<String>, Unusable> {
        read(KIND, bytes, |line| Some(line.to_owned())).unwrap()
    }

    fn text() -> String {
        write(KIND, 7, &["one", "two words", "", "four"])
    }

    #[test]
    fn what_is_written_reads_back() {
        let all = found(text().as_bytes()).unwrap();
        assert_eq!((all.number, all.lost, all.is_whole), (7, 0, true));
        assert_eq!(all.good, ["one", "two words", "", "four"]);
        assert!(
            found(write::<&str>(KIND, 0, &[]).as_bytes())
                .unwrap()
                .is_whole
        );
    }

    #[test]
    fn every_changed_byte_is_seen_and_costs_its_own_line_alone() {
        let text = text();
        for at in 0..text.len() {
            for change in [1, 0x20, 0x80] {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= change;
                let Ok(found) = found(&bytes) else {
                    assert!(at <= text.find('\n').unwrap(), "{at}");
                    continue;
                };
                assert!(!found.is_whole, "{at} {change}");
                // A line break that is gone makes one line of two.
                assert!((1..=2).contains(&found.lost), "{at} {change} {found:?}");
            }
        }
    }

    #[test]
    fn a_text_that_was_cut_off_keeps_its_beginning() {
        let text = text();
        let first = text.find('\n').unwrap() + 1;
        for length in 0..text.len() {
            match found(&text.as_bytes()[..length]) {
                Err(unusable) => {
                    assert!(length < first, "{length} {unusable}");
                }
                Ok(found) => {
                    let lines = text[first..length].matches('\n').count();
                    assert_eq!((found.good.len(), found.lost), (lines, 4 - lines as u64));
                    assert!(!found.is_whole);
                }
            }
        }
    }

    #[test]
    fn other_texts_and_versions_are_unusable_and_large_ones_are_not_read_to_their_end() {
        for (bytes, expected) in [
            (&b""[..], Unusable::FirstLine),
            (b"{}\n", Unusable::FirstLine),
            (b"h5gate-test\n", Unusable::FirstLine),
            (b"h5gate-test 3 7 4\n", Unusable::FirstLine),
            (b"h5gate-test 1 7\n", Unusable::Version("1".to_owned())),
            (b"h5gate-test 4 {\n", Unusable::Version("4".to_owned())),
        ] {
            assert_eq!(found(bytes), Err(expected), "{bytes:?}");
        }
        let endless = |byte| io::BufReader::new(io::repeat(byte));
        let keep = |line: &str| Some(line.to_owned());
        let read_endless = read(KIND, endless(0), keep).unwrap();
        assert_eq!(read_endless, Err(Unusable::FirstLine));
        let text = text();
        for byte in [b'x', b'\n'] {
            let behind = io::Read::chain(text.as_bytes(), endless(byte));
            let found = read(KIND, behind, keep).unwrap().unwrap();
            assert_eq!(
                (found.good.len(), found.lost, found.is_whole),
                (4, 0, false)
            );
        }
    }
}
