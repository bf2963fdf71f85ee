//! Steps 3 to 5 for everything that plays: a start, a return by a ticket and a switch in the socket are verified, decided and
//! given their place here, and nowhere else.

use crate::decision::denial::{Denial, Reason};
use crate::decision::permit::Permit;
use crate::decision::{Facts, decide, resume};
use crate::gate::Gate;
use crate::gate::policy::Policy;
use crate::hls::ticket::Ticket;
use crate::token::{Claims, Presented, Security};

/// One authorisation. The policy is taken once for it, and what it refuses is told by the same policy, also when a reload
/// comes in between.
#[derive(Clone, Copy, Debug)]
pub struct Authorization<'a> {
    /// The gate.
    pub gate: &'a Gate,
    /// The policy of the moment in which the authorisation began.
    pub policy: &'a Policy,
}

impl Authorization<'_> {
    /// Step 3: what a token says.
    pub fn verify(self, security: &Security) -> Result<Claims, Denial> {
        Ok(self.policy.keyring.verify(Presented::from(security))?)
    }

    /// Step 3 for a return by a ticket: its claims were verified when the gate sealed it, and the key may be gone since then.
    pub fn recognise(self, ticket: &Ticket) -> Result<Claims, Denial> {
        let Ticket { key, grant, .. } = ticket;
        Ok(self.policy.keyring.recognise(key, grant.clone())?)
    }

    /// Step 4: whether these claims allow what is asked for.
    pub fn decide(self, claims: Claims, facts: Facts) -> Result<Permit, Denial> {
        let (revocations, now) = (self.gate.revocations(), self.gate.clock.now());
        decide(claims, facts, &self.policy.rules, &revocations, now)
    }

    /// Steps 3 and 4 at once, where nothing is to be done between them.
    pub fn permit(self, security: &Security, facts: Facts) -> Result<Permit, Denial> {
        self.decide(self.verify(security)?, facts)
    }

    /// Step 4 for a playback that ran when the gate was restarted.
    pub fn resume(self, claims: Claims, facts: Facts) -> Result<Permit, Denial> {
        let (revocations, now) = (self.gate.revocations(), self.gate.clock.now());
        resume(claims, facts, &revocations, now)
    }

    /// Step 5: what was allowed has `taken` its place, if there was one. A revocation that came between the decision and the place
    /// has not seen what has the place; it is seen here, and then the place is given back.
    pub fn enter<P>(
        self,
        permit: &Permit,
        taken: Result<P, Denial>,
        give_back: impl FnOnce(P),
    ) -> Result<P, Denial> {
        let place = taken?;
        match still_allowed(self.gate, permit) {
            Ok(()) => Ok(place),
            Err(denial) => {
                give_back(place);
                Err(denial)
            }
        }
    }
}

/// Whether no revocation meets what was allowed.
pub fn still_allowed(gate: &Gate, permit: &Permit) -> Result<(), Denial> {
    let (claims, stream) = (permit.claims(), permit.stream());
    match gate.revocations().find(claims, stream, gate.clock.now()) {
        Some(revocation) => Err(Reason::Revoked(revocation.id).into()),
        None => Ok(()),
    }
}
