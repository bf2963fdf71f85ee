//! A session goes along with its viewer to another address.

use tokio::time::Instant;

use crate::decision::denial::{Denial, Reason};
use crate::decision::permit::Permit;

use super::super::session::{HlsSession, Life, inherited_page};
use super::HlsSessions;

impl HlsSessions {
    /// Moves a session to where a new permit was given. Its seat may move along, for which this would wait where several gates
    /// share the seats.
    pub async fn move_to(&self, session: &HlsSession, permit: Permit) -> Result<(), Denial> {
        let (address, instant) = (permit.address(), Instant::now());
        let mut state = session.state();
        if matches!(state.life, Life::Playing(_)) && state.places.hold(address, self.bind) {
            // Another request of the same viewer has moved it this very moment.
            state.asked = instant;
            session.presence.hear(address);
            return Ok(());
        }
        let lacks_it = state.places.lack_family_of(address);
        if !lacks_it && session.presence.asks_at(address, instant) {
            return Err(Reason::Elsewhere { address }.into());
        }
        if !state.moves.take(instant) {
            return Err(Reason::Restless { address }.into());
        }
        let Life::Playing(guard) = &state.life else {
            // Ended this very moment.
            return Err(Reason::Restless { address }.into());
        };
        let page = inherited_page(&permit);
        guard.accept(guard.propose(permit)?);
        state.page = page;
        state.places.settle(address, self.bind);
        if !lacks_it {
            // What is still under way to the old place ends, so that it is not watched there as well.
            session.presence.leave(address);
        }
        state.asked = instant;
        session.presence.hear(address);
        Ok(())
    }
}
