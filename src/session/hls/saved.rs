//! What of the HLS playbacks outlives a restart: their names and places. Everything else is in their viewers' tickets.
//!
//! ```text
//! h5gate-sessions 1 SAVED-AT            Unix seconds
//! ID IDENTITY V4 V6 UNKNOWN             a line for each playback; "-" where there is none
//! ```

use std::fmt::Write as _;

use crate::token::UnixSeconds;

use super::super::id::SessionId;
use super::Identity;
use super::place::Places;

const HEADER: &str = "h5gate-sessions 1";

/// One saved playback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saved {
    /// Its name.
    pub id: SessionId,
    /// What it began with.
    pub identity: Identity,
    /// Where it may be asked for.
    pub places: Places,
}

/// The text of saved playbacks.
#[must_use]
pub fn write(saved: &[Saved], now: UnixSeconds) -> String {
    let mut text = format!("{HEADER} {now}\n");
    for Saved {
        id,
        identity,
        places,
    } in saved
    {
        let net = |net: Option<ipnet::IpNet>| net.map_or("-".to_owned(), |net| net.to_string());
        let (v4, v6) = (net(places.v4), net(places.v6));
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{id} {:032x} {v4} {v6} {}",
            identity.0,
            u8::from(places.unknown)
        );
    }
    text
}

/// When it was saved, and what; `None` when it is no such text.
#[must_use]
pub fn read(text: &str) -> Option<(UnixSeconds, Vec<Saved>)> {
    let (header, rest) = text.split_once('\n')?;
    let saved_at = header.strip_prefix(HEADER)?.strip_prefix(' ')?;
    let saved_at = UnixSeconds::from_canonical(saved_at)?;
    let saved: Option<_> = rest.lines().map(read_one).collect();
    Some((saved_at, saved?))
}

fn read_one(line: &str) -> Option<Saved> {
    let mut fields = line.split(' ');
    let mut next = || fields.next();
    let id = SessionId::parse(next()?)?;
    let identity = Identity(u128::from_str_radix(next()?, 16).ok()?);
    let net = |text: &str| match text {
        "-" => Some(None),
        net => net.parse().ok().map(Some),
    };
    let (v4, v6) = (net(next()?)?, net(next()?)?);
    let unknown = next()? == "1";
    let places = Places { v4, v6, unknown };
    next().is_none().then_some(Saved {
        id,
        identity,
        places,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_reads_back_and_nothing_else_does() {
        let places = Places {
            v4: Some("192.0.2.0/24".parse().unwrap()),
            v6: Some("2001:db8::/56".parse().unwrap()),
            unknown: true,
        };
        let (id, identity) = (SessionId::new(u128::MAX), Identity(7));
        let saved = [
            Saved {
                id,
                identity,
                places,
            },
            Saved {
                places: Places::default(),
                id: SessionId::new(1),
                identity: Identity(u128::MAX),
            },
        ];
        let now = UnixSeconds::new(1_700_000_000);
        let text = write(&saved, now);
        assert_eq!(read(&text), Some((now, saved.to_vec())));
        assert_eq!(read(&write(&[], now)), Some((now, Vec::new())));
        for wrong in ["", "x\n", "h5gate-sessions 2 1\n", &text[..text.len() - 9]] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
