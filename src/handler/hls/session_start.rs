//! HLS, steps 4 and 5: a playback that is decided gets its session, or goes on at another address.

use std::sync::Arc;
use std::time::Duration;

use crate::decision::Facts;
use crate::decision::denial::{Denial, Reason};
use crate::decision::permit::Permit;
use crate::gate::Gate;
use crate::hls::identity::Alias;
use crate::hls::session::HlsSession;
use crate::session::ends::Kick;
use crate::session::id::SessionId;
use crate::session::seats::Delivery;
use crate::session::{Newcomer, Transport};
use crate::token::Claims;

use super::super::authorization::Authorization;
use super::super::{names, record};
use super::admitted::Admitted;
use super::page::with_inherited_page;

/// What a session is opened with.
#[derive(Clone, Copy, Debug)]
pub struct SessionStart<'a> {
    /// What decides it.
    pub authorization: Authorization<'a>,
    /// What the playback is found by where its name is taken.
    pub alias: Option<Alias>,
    /// The viewer's `pid`.
    pub player: &'a str,
}

impl SessionStart<'_> {
    /// A start, or a return after a pause: every rule is looked at.
    pub async fn start(
        &self,
        id: SessionId,
        claims: Claims,
        facts: &Facts,
    ) -> Result<Admitted, Denial> {
        let permit = self.authorization.decide(claims, facts.clone())?;
        self.open(id, permit).await
    }

    /// A request from an address that is not known: a playback of its own, since none can be told to be the same viewer's.
    /// So nothing goes on there past the expiry, and no count of sessions can be kept.
    pub async fn once(&self, claims: Claims, facts: &Facts) -> Result<Admitted, Denial> {
        let limit = claims.grant.sessions;
        let permit = self.authorization.decide(claims, facts.clone())?;
        match limit {
            Some(_) => Err(Reason::Placeless.into()),
            None => self.open(names::session(), permit).await,
        }
    }

    /// A playback goes on that ran when the gate was restarted.
    pub async fn resume(
        &self,
        id: SessionId,
        claims: Claims,
        facts: &Facts,
    ) -> Result<Admitted, Denial> {
        // It goes on by the page that it inherited when it started.
        let page = || self.authorization.gate.hls.page_of_dormant(id);
        let facts = with_inherited_page(facts.clone(), &claims, page);
        let permit = self.authorization.resume(claims, facts)?;
        let admitted = self.open(id, permit).await?;
        // It has its place whatever the media server answers: past its expiry it could not start anew.
        record::begun(self.authorization.gate, &admitted);
        Ok(admitted)
    }

    async fn open(&self, id: SessionId, permit: Permit) -> Result<Admitted, Denial> {
        let gate = self.authorization.gate;
        let newcomer = Newcomer {
            id,
            player: self.player.to_owned(),
            transport: Transport::Hls,
            delivery: Delivery::Media,
        };
        let taken = gate.hls.open(&newcomer, self.alias, &permit).await;
        record::ended_for_room(gate);
        let opened = self.authorization.enter(&permit, taken, |opened| {
            // One that another request has begun is withdrawn by that request.
            if opened.is_new {
                gate.hls.withdraw(&opened.session);
            }
        })?;
        Ok(Admitted::new(opened.session, permit))
    }
}

/// Moves a playback to the place of a request, if it may play there.
pub async fn move_here(
    authorization: Authorization<'_>,
    session: Arc<HlsSession>,
    claims: Claims,
    facts: &Facts,
) -> Result<Admitted, Denial> {
    let gate = authorization.gate;
    let permit = authorization.decide(claims, facts.clone())?;
    let taken = gate.hls.move_to(&session, permit.clone()).await;
    authorization.enter(&permit, taken, |()| end_as_revoked(gate, &session))?;
    record::moved(&session, &permit);
    Ok(Admitted::new(session, permit))
}

/// Ends a playback as the revocation would have that came before its move.
fn end_as_revoked(gate: &Gate, session: &HlsSession) {
    if let Some(playing) = gate.sessions.find(session.id()) {
        playing.end_in(Duration::ZERO, Kick::Revoked);
    }
    gate.hls.end_if_due(session);
}
