//! Short random names in Crockford's base32: digits and capital letters without I, L, O and U, readable aloud.

use std::fmt;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Names one session: 16 characters, 80 random bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(u128);

/// Names one refusal: 10 characters, 50 random bits. The player shows it, the operator's log has it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Receipt(u64);

impl SessionId {
    const CHARACTERS: usize = 16;

    /// From random bits.
    #[must_use]
    pub fn new(random: u128) -> Self {
        Self(random >> (128 - 5 * Self::CHARACTERS))
    }

    /// What `Display` writes.
    #[must_use]
    pub fn text(self) -> String {
        write(self.0, Self::CHARACTERS)
    }

    /// Reads what `Display` writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != Self::CHARACTERS {
            return None;
        }
        let digit = |c: u8| {
            ALPHABET
                .iter()
                .position(|&a| a == c)
                .and_then(|d| u128::try_from(d).ok())
        };
        text.bytes()
            .try_fold(0, |bits, c| Some(bits << 5 | digit(c)?))
            .map(Self)
    }
}

impl Receipt {
    const CHARACTERS: usize = 10;

    /// From random bits.
    #[must_use]
    pub fn new(random: u64) -> Self {
        Self(random >> (64 - 5 * Self::CHARACTERS))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&write(self.0.into(), Self::CHARACTERS))
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn write(bits: u128, characters: usize) -> String {
    let digit = |place: usize| usize::try_from(bits >> (5 * place) & 31).unwrap_or_default();
    let character = |place| char::from(ALPHABET.get(digit(place)).copied().unwrap_or(b'0'));
    (0..characters).rev().map(character).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back() {
        for random in [0, 1, u128::MAX, 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef] {
            let id = SessionId::new(random);
            assert_eq!(id.to_string().len(), 16);
            assert_eq!(SessionId::parse(&id.to_string()), Some(id));
        }
        for bad in [
            "",
            "0123456789ABCDE",
            "0123456789ABCDEI",
            "0123456789abcdef",
        ] {
            assert_eq!(SessionId::parse(bad), None, "{bad}");
        }
        assert_eq!(Receipt::new(u64::MAX).to_string(), "ZZZZZZZZZZ");
    }
}
