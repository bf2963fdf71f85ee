//! Steps 2 to 5 for HTTP: which playback a request belongs to, and whether it may go on.

use std::sync::Arc;

use http::request::Parts;

use crate::clock;
use crate::decision::denial::{Denial, Reason};
use crate::decision::permit::Permit;
use crate::decision::{Facts, decide, resume};
use crate::gate::{Gate, Policy};
use crate::hls::identity::{FirstUrl, Identity};
use crate::hls::playback::{HlsSession, Standing};
use crate::hls::playbacks::Known;
use crate::hls::ticket::{OpenTicket, Ticket};
use crate::listener::Peer;
use crate::request::http_playback::LinkPath;
use crate::request::referer::Referer;
use crate::request::{Malformed, PlaybackRequest};
use crate::session::id::SessionId;
use crate::session::seats::Content;
use crate::session::{Newcomer, Transport};
use crate::token::{Claims, Presented};

use super::super::{Refused, random_wide, record, still_valid};
use super::Trouble;
use super::admitted::Admitted;
use super::connection_cache::ConnectionCache;
use super::entry::Entry;
use super::media_request::MediaRequest;
use super::page::{comes, viewer, with_page};

/// `begin_at_once`, for which the check of the player may come a moment later.
pub async fn begin<'a>(gate: &Gate, head: &'a Parts, peer: Peer) -> Result<Entry<'a>, Trouble> {
    let outcome = begin_at_once(gate, head, peer);
    let has_page = match &outcome {
        Err(Trouble::Refused(refused)) if refused.denial.is_for_want_of_a_page() => {
            let request = refused.request.as_deref();
            let viewer = request
                .and_then(|request| viewer(&request.player, &request.security, request.address));
            comes(gate, viewer).await
        }
        _ => false,
    };
    match has_page {
        true => begin_at_once(gate, head, peer),
        false => outcome,
    }
}

/// A request with a token: a start, unless the playback is known by it and goes on.
fn begin_at_once<'a>(gate: &Gate, head: &'a Parts, peer: Peer) -> Result<Entry<'a>, Trouble> {
    let policy = gate.policy();
    let address = policy.edge.neighbours.client(peer, &head.headers);
    let (request, query) = PlaybackRequest::read_http(head, peer, &policy.edge)
        .map_err(|error: Malformed| Refused::unnamed(error, address))?;
    let facts = Facts {
        stream: request.stream.clone(),
        url: request.url.clone(),
        address: request.address,
        referer: request.referer.clone(),
        inherited: false,
    };
    let refused = |denial| Refused {
        denial,
        address,
        request: Some(Box::new(request.clone())),
    };
    let security = Presented::from(&request.security);
    let verified = policy.keyring.verify(security);
    let claims = verified.map_err(|error| refused(error.into()))?;
    let page = || {
        gate.pages
            .find(&viewer(&request.player, &request.security, address)?)
    };
    let facts = with_page(facts, &claims, page);
    let url = FirstUrl {
        token: &request.security.token,
        url: &request.url,
        stream: &request.stream,
        connection: &request.connection,
        player: &request.player,
    };
    let (first, here) = url.identities(&gate.hls.bind().place(address));
    let opening = Opening {
        gate,
        alias: None,
        player: &request.player,
    };
    let start = |id, alias, claims| {
        let opening = Opening { alias, ..opening };
        opening.start(id, &policy, claims, &facts)
    };
    // Whoever mints may have sealed a ticket with this name for something else.
    let owner = claims.owner.clone();
    let is_ours = |session: &HlsSession| session.is_of(&owner, &facts.stream, &facts.url);
    let known = gate.hls.known(first, here, address);
    let admitted = match known {
        Known::Plays(session) if is_ours(&session) => match Admitted::going_on(session, address) {
            Some(admitted) => Ok(admitted),
            None => start(first.session(), None, claims),
        },
        Known::Over(id, kick) => return Err(Trouble::Over(id, kick)),
        Known::Joinable(session) if is_ours(&session) => {
            go_along(gate, &policy, session, claims, &facts)
        }
        Known::Dormant(id) => opening.wake(id, claims, &facts),
        Known::Taken | Known::Plays(_) | Known::Joinable(_) => {
            start(SessionId::new(random_wide()), Some(here), claims)
        }
        Known::Nothing => start(first.session(), None, claims),
        Known::Nowhere => opening.once(&policy, claims, &facts),
    };
    let admitted = admitted.map_err(refused)?;
    // The name of a single request would make other links of each answer.
    let session = if gate.hls.bind().is_place(address) {
        admitted.session.id()
    } else {
        first.session()
    };
    Ok(Entry {
        identities: (first, here),
        ticket: Ticket {
            session,
            player: request.player,
            url: request.url.to_string(),
            stream: request.stream,
            security: request.security,
        },
        admitted,
        policy,
        query,
    })
}

/// `go_on_at_once`, for which the WebSocket of the player may come a moment later.
pub async fn go_on(
    gate: &Gate,
    head: &Parts,
    peer: Peer,
    link: LinkPath<'_>,
    cache: &ConnectionCache,
) -> Result<(Admitted, MediaRequest), Trouble> {
    let outcome = go_on_at_once(gate, head, peer, link, cache);
    let has_page = match &outcome {
        Err(Trouble::Refused(refused)) if refused.denial.is_for_want_of_a_page() => {
            let opened = cache.open(&gate.policy(), link.ticket);
            let viewer = opened.ok().and_then(|opened| {
                let Ticket {
                    player, security, ..
                } = &opened.ticket;
                viewer(player, security, refused.address)
            });
            comes(gate, viewer).await
        }
        _ => false,
    };
    match has_page {
        true => go_on_at_once(gate, head, peer, link, cache),
        false => outcome,
    }
}

/// A request under a ticket.
fn go_on_at_once(
    gate: &Gate,
    head: &Parts,
    peer: Peer,
    link: LinkPath<'_>,
    cache: &ConnectionCache,
) -> Result<(Admitted, MediaRequest), Trouble> {
    let policy = gate.policy();
    let address = policy.edge.neighbours.client(peer, &head.headers);
    let opened = cache.open(&policy, link.ticket);
    let opened = opened.map_err(|_| Refused::unnamed(Reason::Ticket, address))?;
    let OpenTicket { ticket, owner } = &*opened;
    let playing = gate.hls.find(ticket.session);
    // What plays goes on, though a reload has taken its source away.
    let its_own = playing.as_ref().and_then(|session| session.source());
    let url = its_own
        .filter(|url| url.as_str() == ticket.url)
        .map_or_else(|| policy.edge.rtmp_urls.find(&ticket.url), Ok);
    let facts = Facts {
        stream: ticket.stream.clone(),
        url: url.map_err(|error| Refused::unnamed(Malformed::Url(error), address))?,
        address,
        referer: Referer::of_http(&head.headers),
        inherited: false,
    };
    let wanted = MediaRequest::link(&policy.seals, owner, &facts, head.uri.query(), link);
    let wanted = wanted.map_err(|denial| Refused {
        denial,
        address,
        request: None,
    })?;
    let admitted = match playing {
        // Whoever mints seals tickets, too, with any name in them.
        Some(session) if !session.is_of(owner, &facts.stream, &facts.url) => {
            return Err(Refused::unnamed(Reason::Ticket, address).into());
        }
        playing => return_of(gate, &policy, ticket, playing, &facts)?,
    };
    admitted.session.prove();
    Ok((admitted, wanted))
}

/// The playback of a ticket: it goes on, or its viewer comes back and is judged by the claims of its token.
fn return_of(
    gate: &Gate,
    policy: &Policy,
    ticket: &Ticket,
    playing: Option<Arc<HlsSession>>,
    facts: &Facts,
) -> Result<Admitted, Trouble> {
    let address = facts.address;
    let refused = |denial| Refused {
        denial,
        address,
        request: None,
    };
    if playing.is_none()
        && let Some(kick) = gate.hls.why_over(ticket.session, address)
    {
        return Err(Trouble::Over(ticket.session, kick));
    }
    if let Some(session) = &playing {
        match gate.hls.standing(session, address) {
            Standing::Over(kick) => return Err(Trouble::Over(session.id(), kick)),
            Standing::Elsewhere => {}
            Standing::Plays => {
                if let Some(admitted) = Admitted::going_on(Arc::clone(session), address) {
                    return Ok(admitted);
                }
            }
        }
    }
    let verified = policy.keyring.verify(Presented::from(&ticket.security));
    let claims = verified.map_err(|error| refused(error.into()))?;
    let page = || {
        gate.pages
            .find(&viewer(&ticket.player, &ticket.security, address)?)
    };
    let facts = &with_page(facts.clone(), &claims, page);
    let opening = Opening {
        gate,
        alias: None,
        player: &ticket.player,
    };
    if !gate.hls.bind().is_place(address) {
        let admitted = opening.once(policy, claims, facts);
        return Ok(admitted.map_err(refused)?);
    }
    if let Some(session) = playing {
        let admitted = go_along(gate, policy, session, claims, facts);
        return Ok(admitted.map_err(refused)?);
    }
    let admitted = if gate.hls.is_dormant(ticket.session, address) {
        opening.wake(ticket.session, claims, facts)
    } else {
        opening.start(ticket.session, policy, claims, facts)
    };
    Ok(admitted.map_err(refused)?)
}

/// A playback goes on at another place, if it may.
fn go_along(
    gate: &Gate,
    policy: &Policy,
    session: Arc<HlsSession>,
    claims: Claims,
    facts: &Facts,
) -> Result<Admitted, Denial> {
    let (revocations, now) = (gate.revocations(), clock::now());
    let permit = decide(claims, facts.clone(), &policy.rules, &revocations, now)?;
    gate.hls.move_to(&session, permit.clone(), now)?;
    record::moved(&session, &permit);
    Ok(Admitted::new(session, permit))
}

/// What a session is opened with.
#[derive(Clone, Copy)]
struct Opening<'a> {
    gate: &'a Gate,
    alias: Option<Identity>,
    player: &'a str,
}

impl Opening<'_> {
    /// A start, or a return after a pause: every rule is looked at.
    fn start(
        &self,
        id: SessionId,
        policy: &Policy,
        claims: Claims,
        facts: &Facts,
    ) -> Result<Admitted, Denial> {
        let permit = self.decide(policy, claims, facts)?;
        self.open(id, permit)
    }

    fn decide(&self, policy: &Policy, claims: Claims, facts: &Facts) -> Result<Permit, Denial> {
        let (revocations, now) = (self.gate.revocations(), clock::now());
        decide(claims, facts.clone(), &policy.rules, &revocations, now)
    }

    /// A request from an address that is not known: a playback of its own, since none can be told to be the same viewer's.
    /// So nothing goes on there past the expiry, and no count of sessions can be kept.
    fn once(&self, policy: &Policy, claims: Claims, facts: &Facts) -> Result<Admitted, Denial> {
        let limit = claims.grant.sessions;
        let permit = self.decide(policy, claims, facts)?;
        match limit {
            Some(_) => Err(Reason::Placeless.into()),
            None => self.open(SessionId::new(random_wide()), permit),
        }
    }

    /// A playback goes on that ran when the gate was restarted.
    fn wake(&self, id: SessionId, claims: Claims, facts: &Facts) -> Result<Admitted, Denial> {
        // It goes on by the page that it inherited when it started.
        let page = || self.gate.hls.page_of_dormant(id);
        let facts = with_page(facts.clone(), &claims, page);
        let permit = resume(claims, facts, &self.gate.revocations(), clock::now())?;
        self.open(id, permit)
    }

    fn open(&self, id: SessionId, permit: Permit) -> Result<Admitted, Denial> {
        let newcomer = Newcomer {
            id,
            player: self.player.to_owned(),
            transport: Transport::Hls,
            content: Content::Media,
            now: clock::now(),
        };
        let begun = self.gate.hls.open(&newcomer, self.alias, &permit);
        record::ended_meanwhile(self.gate);
        let begun = begun?;
        let session = begun.session;
        if !begun.is_new {
            return Ok(Admitted::new(session, permit));
        }
        if let Err(denial) = still_valid(self.gate, &permit) {
            self.gate.hls.withdraw(&session);
            return Err(denial);
        }
        record::started(self.gate, id, Transport::Hls, &permit);
        Ok(Admitted::new(session, permit))
    }
}
