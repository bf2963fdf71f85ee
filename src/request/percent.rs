//! Percent-encoding of what RFC 3986 does not allow, leaving alone what is encoded already.

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

/// Appends `text`, encoding each byte that is not allowed, and each `%` that encodes nothing.
pub fn encode(text: &str, allowed: impl Fn(u8) -> bool, out: &mut String) {
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|b| !allowed(b)) {
        let (run, behind) = rest.split_at_checked(at).unwrap_or((rest, ""));
        out.push_str(run);
        if escape(behind.as_bytes()).is_some() {
            out.push('%');
            rest = behind.get(1..).unwrap_or_default();
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
