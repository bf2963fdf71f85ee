//! Percent-encoding in the normal form of RFC 3986, section 6.2.2: what may not stand there is encoded, what stands for itself
//! everywhere is not, and the digits are upper case. Clients ask for any of the spellings that have the same normal form.

use super::query::is_unreserved;

/// Whether a byte may stand in a path, `/` included (RFC 3986, section 3.3).
pub fn in_path(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(
            byte,
            b'!' | b'$' | b'&'..=b',' | b';' | b'=' | b':' | b'@' | b'/'
        )
}

/// Whether a byte may stand in a query and no browser encodes it: not `'`.
pub fn in_query(byte: u8) -> bool {
    byte == b'?' || byte != b'\'' && in_path(byte)
}

/// Appends the normal form of `text`: each byte that is not allowed is encoded, and each `%` that encodes nothing.
pub fn encode(text: &str, allowed: impl Fn(u8) -> bool, out: &mut String) {
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|b| !allowed(b)) {
        let (run, behind) = rest.split_at_checked(at).unwrap_or((rest, ""));
        out.push_str(run);
        if let Some(byte) = escape(behind.as_bytes()) {
            let (text, more) = behind.split_at_checked(3).unwrap_or((behind, ""));
            // As nearly all of them are.
            if !is_unreserved(byte) && !text.bytes().any(|b| b.is_ascii_lowercase()) {
                out.push_str(text);
            } else {
                push_normal(byte, out);
            }
            rest = more;
            continue;
        }
        let mut others = behind.chars();
        if let Some(other) = others.next() {
            let mut bytes = [0; 4];
            for byte in other.encode_utf8(&mut bytes).bytes() {
                push_escape(byte, out);
            }
        }
        rest = others.as_str();
    }
    out.push_str(rest);
}

/// A path in its normal form, without `.` and `..` (section 5.2.4). It begins with a slash, as the path does. What is encoded
/// and does not stand for itself stays encoded: `%2F` parts no segments.
#[must_use]
pub fn normal_path(path: &str) -> String {
    let mut normal = String::with_capacity(path.len());
    normal.push('/');
    let path = path.strip_prefix('/').unwrap_or(path);
    let mut segments = path.split('/').peekable();
    while let Some(segment) = segments.next() {
        let start = normal.len();
        encode(segment, in_path, &mut normal);
        match normal.get(start..) {
            Some(".") => normal.truncate(start),
            Some("..") => {
                normal.truncate(start - 1);
                normal.truncate(normal.rfind('/').unwrap_or_default());
                normal.push('/');
            }
            Some(_) if segments.peek().is_some() => normal.push('/'),
            Some(_) | None => {}
        }
    }
    normal
}

/// Appends a byte that was encoded: as itself where it stands for itself everywhere.
pub fn push_normal(byte: u8, out: &mut String) {
    if is_unreserved(byte) {
        out.push(char::from(byte));
    } else {
        push_escape(byte, out);
    }
}

/// The byte that an escape at the start of `bytes` means.
pub fn escape(bytes: &[u8]) -> Option<u8> {
    let &[b'%', high, low, ..] = bytes else {
        return None;
    };
    Some(digit(high)? << 4 | digit(low)?)
}

/// Appends one byte as an escape.
pub fn push_escape(byte: u8, out: &mut String) {
    out.push('%');
    for digit in [byte >> 4, byte & 0x0f] {
        let letter = if digit < 10 { b'0' } else { b'A' - 10 };
        out.push(char::from(letter + digit));
    }
}

fn digit(letter: u8) -> Option<u8> {
    match letter {
        b'0'..=b'9' => Some(letter - b'0'),
        b'a'..=b'f' => Some(letter - b'a' + 10),
        b'A'..=b'F' => Some(letter - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_normal_form() {
        for (path, normal) in [
            ("/a/%7Eb/%c3%bc.ts", "/a/~b/%C3%BC.ts"),
            ("/%41%2d%2E%5f%30", "/A-._0"),
            ("/a/./b/../c", "/a/c"),
            ("/a/%2e/b/%2E%2e/c", "/a/c"),
            ("/..", "/"),
            ("/../../a/..", "/"),
            ("/a/.", "/a/"),
            ("/a//../b//", "/a/b//"),
            ("/a/.../..b/.c", "/a/.../..b/.c"),
            // No segment ends there, so that none of them goes up.
            ("/a/%2e%2e%2fb", "/a/..%2Fb"),
            ("/a%2F..%2Fb", "/a%2F..%2Fb"),
            ("/a/..%5cb", "/a/..%5Cb"),
            ("/a/..;x/b", "/a/..;x/b"),
            ("/a/%252e%252e/b", "/a/%252e%252e/b"),
            ("/a%zz%4/100%", "/a%25zz%254/100%25"),
            ("/", "/"),
            ("", "/"),
        ] {
            assert_eq!(normal_path(path), normal, "{path}");
            assert_eq!(normal_path(normal), normal);
        }
    }
}
