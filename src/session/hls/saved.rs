//! What of the HLS playbacks outlives a restart: their names and places. Everything else is in their viewers' tickets.
//!
//! ```text
//! h5gate-sessions 2 SAVED-AT            Unix seconds
//! ID ALIAS V4 V6 TARGET                 a line for each playback; "-" where there is none, TARGET in milliseconds
//! ```

use std::fmt::Write as _;
use std::time::Duration;

use crate::token::UnixSeconds;

use super::super::id::SessionId;
use super::identity::Identity;
use super::place::Places;

const HEADER: &str = "h5gate-sessions 2";

/// One saved playback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saved {
    /// Its name.
    pub id: SessionId,
    /// What it is found by where its name is not what its first URL makes.
    pub alias: Option<Identity>,
    /// Where it may be asked for.
    pub places: Places,
    /// The target duration of its playlists; zero while unknown.
    pub target: Duration,
}

/// The text of saved playbacks.
#[must_use]
pub fn write(saved: &[Saved], now: UnixSeconds) -> String {
    let mut text = format!("{HEADER} {now}\n");
    for Saved {
        id,
        alias,
        places,
        target,
    } in saved
    {
        let alias = alias.map_or("-".to_owned(), |alias| format!("{:032x}", alias.0));
        let net = |net: Option<ipnet::IpNet>| net.map_or("-".to_owned(), |net| net.to_string());
        let (v4, v6) = (net(places.v4), net(places.v6));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{id} {alias} {v4} {v6} {}", target.as_millis());
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
    let alias = match next()? {
        "-" => None,
        alias => Some(Identity(u128::from_str_radix(alias, 16).ok()?)),
    };
    let net = |text: &str| match text {
        "-" => Some(None),
        net => net.parse().ok().map(Some),
    };
    let (v4, v6) = (net(next()?)?, net(next()?)?);
    let places = Places { v4, v6 };
    // As long as a playback can remember it.
    let target = Duration::from_millis(next()?.parse::<u32>().ok()?.into());
    next().is_none().then_some(Saved {
        id,
        alias,
        places,
        target,
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
        };
        let saved = [
            Saved {
                id: SessionId::new(u128::MAX),
                alias: Some(Identity(7)),
                places,
                target: Duration::from_millis(4_004),
            },
            Saved {
                id: SessionId::new(1),
                alias: None,
                places: Places::default(),
                target: Duration::ZERO,
            },
        ];
        let now = UnixSeconds::new(1_700_000_000);
        let text = write(&saved, now);
        assert_eq!(read(&text), Some((now, saved.to_vec())));
        assert_eq!(read(&write(&[], now)), Some((now, Vec::new())));
        for wrong in ["", "x\n", "h5gate-sessions 1 1\n", &text[..text.len() - 9]] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
