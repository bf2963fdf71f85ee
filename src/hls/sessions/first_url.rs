//! A session is known by the URL that it began with.

use std::sync::Arc;

use crate::decision::permit::Permit;
use crate::request::client_address::ClientAddress;

use super::super::identity::Identity;
use super::super::session::{HlsSession, Standing};
use super::HlsSessions;
use crate::session::ends::Kick;
use crate::session::id::SessionId;

/// What is known of the session of a first URL.
#[derive(Debug)]
pub enum Known {
    /// It plays, here among others, and what it was allowed to.
    Plays(Arc<HlsSession>, Permit),
    /// It plays by another kind of address, of which a viewer may have both.
    Joinable(Arc<HlsSession>),
    /// The gate has ended it.
    Over(SessionId, Kick),
    /// It ran here in an earlier process.
    Dormant(SessionId),
    /// It plays elsewhere and not here: one that begins here needs another name.
    Taken,
    /// Nothing.
    Nothing,
    /// Nothing of what plays is this viewer's: where it is, is not known.
    Nowhere,
}

impl HlsSessions {
    /// A request asks for the session that a URL begins: what is known of it. `first` makes its name, and `here` is what it is
    /// found by at this place where that name is taken. One that plays is heard of, as in [`ask`](Self::ask).
    #[must_use]
    pub fn ask_by_url(&self, first: Identity, here: Identity, address: ClientAddress) -> Known {
        let name = first.session();
        if !self.bind.is_place(address) {
            let over = match self.over.ask(name, address, self.bind) {
                Some((kick, true)) => Some((name, kick)),
                Some((_, false)) | None => self.final_end(name, address),
            };
            return over.map_or(Known::Nowhere, |(id, kick)| Known::Over(id, kick));
        }
        let alias = self.aliases.get(&here).map(|id| *id);
        let (mut taken, mut joinable, mut over) = (false, None, None);
        for id in [Some(name), alias].into_iter().flatten() {
            if let Some(session) = self.find(id) {
                match self.ask(&session, address) {
                    Standing::Plays => {
                        // Unless it has ended this very moment.
                        if let Some(permit) = session.permit() {
                            return Known::Plays(session, permit);
                        }
                    }
                    Standing::Over(_) => {}
                    Standing::Elsewhere if session.state().places.lack_family_of(address) => {
                        joinable = joinable.or(Some(session));
                    }
                    Standing::Elsewhere => taken = true,
                }
            }
            match self.over.ask(id, address, self.bind) {
                Some((kick, true)) => over = over.or(Some((id, kick))),
                Some((_, false)) => taken = true,
                None if self.is_dormant(id, address) => return Known::Dormant(id),
                None => {}
            }
        }
        if let Some((id, kick)) = over.or_else(|| self.final_end(name, address)) {
            Known::Over(id, kick)
        } else if let Some(session) = joinable {
            Known::Joinable(session)
        } else if taken || self.dormant.contains_key(&name) {
            Known::Taken
        } else {
            Known::Nothing
        }
    }

    /// An end that nothing undoes, of a session that played elsewhere by the first URL of this name: it is told everywhere.
    fn final_end(&self, first: SessionId, address: ClientAddress) -> Option<(SessionId, Kick)> {
        let id = *self.final_ends.get(&first)?;
        let (kick, is_told) = self.over.ask(id, address, self.bind)?;
        is_told.then_some((id, kick))
    }
}
