//! What of an HLS session outlives a restart: its name, its places, and whether it is over. Everything else is in its
//! viewer's ticket.

use std::sync::Arc;
use std::time::Duration;

use super::identity::{Alias, Identity};
use crate::session::ends::Kick;
use crate::session::id::SessionId;
use crate::session::place::Places;

/// One saved session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// Its name.
    pub id: SessionId,
    /// What it is found by where its name is not what its first URL makes.
    pub alias: Option<Alias>,
    /// Where it may be asked for.
    pub places: Places,
    /// The target duration of its playlists; zero while unknown.
    pub target: Duration,
    /// How it stands.
    pub outlook: Outlook,
    /// The page that it inherited: its requests tell none.
    pub page: Option<Arc<str>>,
}

/// How a saved session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// It may go on.
    GoesOn {
        /// For how long it has been waited for since the restart before; zero when it has been heard of since.
        waited: Duration,
    },
    /// The gate has ended it.
    Over(Kick),
}

/// The ends that outlive a restart, as they are written. One that a drain ended goes on.
const ENDS: [(Kick, &str); 5] = [
    (Kick::Revoked, "revoked"),
    (Kick::Expired, "expired"),
    (Kick::Operator, "operator"),
    (Kick::Superseded, "superseded"),
    (Kick::Crowded, "crowded"),
];

/// What stands before a page.
const PAGE: &str = "page=";

impl Saved {
    /// All of it in one line: `ID ALIAS V4 V6 TARGET OUTLOOK`, "-" where there is none, TARGET in milliseconds. ALIAS is
    /// what it is found by at its place, `/`, and the name that its first URL makes. OUTLOOK is for
    /// how many milliseconds it has been waited for, or why it is over. Behind it stands `page=HOST` where a page was
    /// inherited.
    #[must_use]
    pub fn line(&self) -> String {
        let Self { id, places, .. } = self;
        let alias = self.alias.map_or("-".to_owned(), |alias| {
            format!("{:032x}/{}", alias.here.0, alias.first)
        });
        let net = |net: Option<ipnet::IpNet>| net.map_or("-".to_owned(), |net| net.to_string());
        let (v4, v6) = (net(places.v4), net(places.v6));
        let target = self.target.as_millis();
        let outlook = match self.outlook {
            Outlook::GoesOn { waited } => waited.as_millis().to_string(),
            Outlook::Over(kick) => {
                let name = ENDS.iter().find(|(end, _)| *end == kick);
                name.map_or("0", |(_, name)| name).to_owned()
            }
        };
        let page = self.page.as_ref();
        let page = page.map_or(String::new(), |page| format!(" {PAGE}{page}"));
        format!("{id} {alias} {v4} {v6} {target} {outlook}{page}")
    }

    /// Reads what [`line`](Self::line) writes.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(' ');
        let mut next = || fields.next();
        let id = SessionId::parse(next()?)?;
        let alias = match next()? {
            "-" => None,
            alias => {
                let (here, first) = alias.split_once('/')?;
                Some(Alias {
                    here: Identity(u128::from_str_radix(here, 16).ok()?),
                    first: SessionId::parse(first)?,
                })
            }
        };
        let net = |text: &str| match text {
            "-" => Some(None),
            net => net.parse().ok().map(Some),
        };
        let (v4, v6) = (net(next()?)?, net(next()?)?);
        // As long as a session can remember it.
        let milliseconds = |text: &str| {
            text.parse()
                .ok()
                .map(|ms: u32| Duration::from_millis(ms.into()))
        };
        let target = milliseconds(next()?)?;
        let word = next()?;
        let outlook = match ENDS.iter().find(|(_, name)| *name == word) {
            Some((kick, _)) => Outlook::Over(*kick),
            None => Outlook::GoesOn {
                waited: milliseconds(word)?,
            },
        };
        let page = match next() {
            Some(field) => Some(field.strip_prefix(PAGE)?.into()),
            None => None,
        };
        next().is_none().then_some(Self {
            id,
            alias,
            places: Places { v4, v6 },
            target,
            outlook,
            page,
        })
    }
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
        let one = Saved {
            id: SessionId::new(u128::MAX),
            alias: Some(Alias {
                here: Identity(7),
                first: SessionId::new(1 << 64),
            }),
            places,
            target: Duration::from_millis(4_004),
            outlook: Outlook::GoesOn {
                waited: Duration::from_millis(1),
            },
            page: None,
        };
        let bare = Saved {
            id: SessionId::new(1),
            alias: None,
            places: Places::default(),
            target: Duration::ZERO,
            outlook: Outlook::GoesOn {
                waited: Duration::ZERO,
            },
            page: None,
        };
        let of_a_page = Saved {
            page: Some("page.test".into()),
            ..one.clone()
        };
        let over = ENDS.map(|(kick, _)| Saved {
            outlook: Outlook::Over(kick),
            ..one.clone()
        });
        for saved in [one, bare, of_a_page].into_iter().chain(over) {
            let line = saved.line();
            assert_eq!(Saved::parse(&line), Some(saved.clone()), "{line}");
            let plain = Saved {
                page: None,
                ..saved
            };
            let plain = plain.line();
            let (short, _) = plain.rsplit_once(' ').unwrap();
            for wrong in [short, &format!("{line} 1"), &format!("{short} drained")] {
                assert_eq!(Saved::parse(wrong), None, "{wrong}");
            }
        }
    }
}
