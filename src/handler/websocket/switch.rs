//! Switches inside the socket, authorised like a start: steps 3 to 5 again, for what the relay reads.

use crate::decision::Facts;
use crate::decision::denial::{Denial, Reason};
use crate::gate::Gate;
use crate::hls::player_pages::OpenPage;
use crate::refusal::Refusal;
use crate::relay::switch::{SwitchRequest, Unreadable};
use crate::relay::{Authority, Cause, Farewell, Granted, NotGranted, Outcome};
use crate::session::guard::SessionGuard;
use crate::session::id::Receipt;
use crate::session::live::PendingId;
use crate::token::Security;

use super::super::authorization::{Authorization, still_allowed};
use super::super::record;

/// What one connection's relay asks.
#[derive(Debug)]
pub struct SwitchAuthority<'a> {
    gate: &'a Gate,
    guard: &'a SessionGuard,
    /// The current token, by which a switch is decided that brings none.
    security: Security,
    /// Tokens of switches that the media server may still take.
    pending: Vec<(PendingId, Security)>,
    /// Where its player's HLS has its page from.
    page: Option<Box<OpenPage>>,
    receipt: Receipt,
}

impl<'a> SwitchAuthority<'a> {
    /// For one connection, from what it was started with.
    #[must_use]
    pub fn new(
        gate: &'a Gate,
        guard: &'a SessionGuard,
        security: Security,
        page: Option<Box<OpenPage>>,
        receipt: Receipt,
    ) -> Self {
        Self {
            gate,
            guard,
            security,
            pending: Vec::new(),
            page,
            receipt,
        }
    }

    fn authorize(&mut self, request: &SwitchRequest) -> Result<Granted, Denial> {
        let policy = self.gate.policy();
        let target = request
            .target(&policy.edge.rtmp_urls)
            .map_err(|error| match error {
                Unreadable::Malformed(error) => Denial::from(error),
                Unreadable::Token(error) => Denial::from(error),
            })?;
        // Where the viewer and its page are is known from the connect.
        let facts = Facts {
            stream: target.stream.clone(),
            url: target.url.clone(),
            ..self.guard.permit().facts().clone()
        };
        let security = target.security.as_ref().unwrap_or(&self.security).clone();
        let authorization = Authorization {
            gate: self.gate,
            policy: &policy,
        };
        let permit = authorization.permit(&security, facts)?;
        let taken = self.guard.propose(permit.clone());
        let id = authorization.enter(&permit, taken, |id| self.guard.reject(id))?;
        self.pending.push((id, security));
        record::switched(self.gate, self.guard.id(), &permit);
        Ok(Granted {
            id,
            message: request.granted(&target),
        })
    }

    fn refuse(&self, denial: &Denial) -> NotGranted {
        let refusal = Refusal::from(denial.reason());
        record::switch_refused(self.gate, self.guard, denial, &refusal);
        NotGranted(refusal.code)
    }
}

impl Authority for SwitchAuthority<'_> {
    fn decide(&mut self, request: &SwitchRequest) -> Result<Granted, NotGranted> {
        self.authorize(request)
            .map_err(|denial| self.refuse(&denial))
    }

    fn too_many(&mut self) -> NotGranted {
        self.refuse(&Reason::TooManySwitches.into())
    }

    fn settle(&mut self, switch: PendingId, outcome: Outcome) {
        let taken = match outcome {
            // It may be in force, and counts until a later one is.
            Outcome::Overdue => return,
            Outcome::Superseded => return self.guard.supersede(switch),
            Outcome::Taken => true,
            Outcome::NotTaken => false,
        };
        let Some(index) = self.pending.iter().position(|(id, _)| *id == switch) else {
            return;
        };
        let (_, security) = self.pending.remove(index);
        if !taken {
            return self.guard.reject(switch);
        }
        self.security = security;
        self.guard.accept(switch);
        if let Some(page) = &mut self.page {
            page.use_token(self.guard.permit().claims());
        }
        // One that was superseded met no revocation until now, when it is in force after all.
        if still_allowed(self.gate, &self.guard.permit()).is_err() {
            self.guard.revoke();
        }
    }

    fn dropped(&mut self) {
        self.gate.metrics.messages_dropped.inc();
    }

    fn server_speaks(&mut self) {
        self.gate.websocket.upstream().outage().ends();
    }

    fn hides_outage(&self) -> bool {
        self.gate.websocket.upstream().outage().is_hidden()
    }

    fn farewell(&mut self, cause: Cause) -> Farewell {
        Refusal::from(cause).farewell(self.receipt)
    }
}
