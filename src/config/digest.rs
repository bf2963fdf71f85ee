//! SHA-256 digests: how API keys and the operator's token are written down.

use super::reader::Value;

/// SHA-256 of nothing at all, which `printf %s "$UNSET" | sha256sum` prints.
const OF_NOTHING: [u8; 32] = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

/// What stands in `deploy/h5gate.toml`, to be replaced.
const OF_THE_EXAMPLE: [u8; 32] = [0; 32];

/// 64 hexadecimal digits. The value is never repeated: it may be the key itself, put there by mistake.
pub(super) fn sha256(value: &Value<'_>) -> Option<[u8; 32]> {
    let digest = value.parsed_by("64 hexadecimal digits in quotes", |text| {
        let digest = hex(text.as_bytes()).ok_or_else(|| {
            "must be 64 hexadecimal digits, the SHA-256 of the key as `printf %s KEY | sha256sum` prints it".to_owned()
        })?;
        if digest == OF_NOTHING {
            return Err("is the SHA-256 of an empty text, so that a request without a key would be let in".to_owned());
        }
        Ok(digest)
    });
    if digest == Some(OF_THE_EXAMPLE) {
        let what = "is still the example's, which is of no key";
        value.findings.warn(&value.place, what);
    }
    digest
}

fn hex(digits: &[u8]) -> Option<[u8; 32]> {
    let (pairs, rest) = digits.as_chunks::<2>();
    let byte = |pair: &[u8; 2]| {
        let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
        u8::try_from(high? * 16 + low?).ok()
    };
    let bytes: Option<Vec<u8>> = pairs.iter().map(byte).collect();
    bytes.filter(|_| rest.is_empty())?.try_into().ok()
}
