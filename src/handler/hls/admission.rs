//! HLS, steps 3 to 5: which playback a request belongs to, and whether it may go on.

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;

use crate::decision::Facts;
use crate::decision::denial::{Denial, Reason};
use crate::decision::permit::Permit;
use crate::gate::Gate;
use crate::gate::policy::Policy;
use crate::hls::identity::{FirstUrl, Identity};
use crate::hls::link::LinkPath;
use crate::hls::session::{HlsSession, Standing};
use crate::hls::sessions::first_url::Known;
use crate::hls::ticket::{OpenTicket, Ticket};
use crate::listener::Peer;
use crate::request::http_playback::HttpTarget;
use crate::request::referer::Referer;
use crate::request::{Malformed, PlaybackRequest};
use crate::session::ends::Kick;
use crate::session::id::SessionId;
use crate::session::seats::Delivery;
use crate::session::{Newcomer, Transport};
use crate::token::Claims;

use super::super::authorization::Authorization;
use super::super::http_connection::HttpConnection;
use super::super::refused::Refused;
use super::super::{names, record};
use super::NotAdmitted;
use super::admitted::Admitted;
use super::connection_cache::ConnectionCache;
use super::entry::Entry;
use super::media_request::MediaRequest;
use super::page::{page_is_told, viewer, with_inherited_page};

/// Admits a GET or HEAD: to the playback that begins with it, or to the one that it is a part of.
pub async fn admit(
    gate: &Gate,
    connection: &HttpConnection,
    head: &Parts,
    target: HttpTarget<'_>,
) -> Result<(Admitted, MediaRequest), NotAdmitted> {
    let (peer, cache) = (connection.peer, &connection.hls_cache);
    match target {
        HttpTarget::Playlist => {
            let entry = admit_entry(gate, peer, head).await?;
            let media = entry.playlist(gate)?;
            Ok((entry.admitted, media))
        }
        HttpTarget::Progressive => {
            let entry = admit_entry(gate, peer, head).await?;
            let media = MediaRequest::progressive(gate, &entry.admitted, &entry.query());
            Ok((entry.admitted, media))
        }
        HttpTarget::Link(path) => {
            let link = LinkPath::read(&path).ok_or_else(|| {
                let address = gate.policy().edge.neighbours.client(peer, &head.headers);
                Refused::unnamed(Reason::Link, address)
            })?;
            admit_link(gate, peer, head, link, cache).await
        }
    }
}

/// Admits a request with a token. The WebSocket that tells the page of its player may come a moment later.
async fn admit_entry<'a>(
    gate: &Gate,
    peer: Peer,
    head: &'a Parts,
) -> Result<Entry<'a>, NotAdmitted> {
    let outcome = decide_entry(gate, peer, head).await;
    let Some(refused) = for_want_of_a_page(&outcome) else {
        return outcome;
    };
    let (request, claims) = (refused.request.as_deref(), refused.denial.claims());
    let viewer = request
        .zip(claims)
        .and_then(|(request, claims)| viewer(&request.player, claims, request.address));
    match page_is_told(gate, viewer).await {
        true => decide_entry(gate, peer, head).await,
        false => outcome,
    }
}

/// Admits a request under a ticket. The WebSocket that tells the page of its player may come a moment later.
async fn admit_link(
    gate: &Gate,
    peer: Peer,
    head: &Parts,
    link: LinkPath<'_>,
    cache: &ConnectionCache,
) -> Result<(Admitted, MediaRequest), NotAdmitted> {
    let policy = gate.policy();
    let outcome = decide_link(gate, &policy, peer, head, link, cache).await;
    let Some(refused) = for_want_of_a_page(&outcome) else {
        return outcome;
    };
    let opened = cache.open(&policy, link.ticket);
    // A request that waits must not keep a policy that a reload has replaced.
    drop(policy);
    let both = opened.ok().zip(refused.denial.claims());
    let viewer =
        both.and_then(|(opened, claims)| viewer(&opened.ticket.player, claims, refused.address));
    match page_is_told(gate, viewer).await {
        true => decide_link(gate, &gate.policy(), peer, head, link, cache).await,
        false => outcome,
    }
}

/// The refusal of a request that lacks nothing but its page.
fn for_want_of_a_page<T>(outcome: &Result<T, NotAdmitted>) -> Option<&Refused> {
    match outcome {
        Err(NotAdmitted::Refused(refused)) if refused.denial.is_for_want_of_a_page() => {
            Some(refused)
        }
        Ok(_) | Err(_) => None,
    }
}

/// Decides a request with a token: a start, unless the playback is known by it and goes on.
async fn decide_entry<'a>(
    gate: &Gate,
    peer: Peer,
    head: &'a Parts,
) -> Result<Entry<'a>, NotAdmitted> {
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
    let authorization = Authorization {
        gate,
        policy: &policy,
    };
    let claims = authorization.verify(&request.security).map_err(refused)?;
    let page = || gate.pages.find(&viewer(&request.player, &claims, address)?);
    let facts = with_inherited_page(facts, &claims, page);
    let url = FirstUrl {
        token: &request.security.token,
        url: &request.url,
        stream: &request.stream,
        connection: &request.connection,
        player: &request.player,
    };
    let (first, here) = url.identities(&gate.hls.bind().place(address));
    let opening = Opening {
        authorization,
        alias: None,
        player: &request.player,
    };
    // A minter may have sealed a ticket with this name for something else.
    let owner = claims.owner.clone();
    let is_ours = |session: &HlsSession| session.is_of(&owner, &facts.stream, &facts.url);
    let admitted = match gate.hls.ask_by_url(first, here, address) {
        Known::Plays(session, permit) if is_ours(&session) => Ok(Admitted {
            session,
            permit,
            address,
        }),
        Known::Over(session, kick) => {
            return Err(NotAdmitted::Over {
                session,
                kick,
                address,
            });
        }
        Known::Joinable(session) if is_ours(&session) => {
            move_here(authorization, session, claims, &facts).await
        }
        Known::Dormant(id) => opening.resume(id, claims, &facts).await,
        Known::Taken | Known::Plays(..) | Known::Joinable(_) => {
            let opening = Opening {
                alias: Some(here),
                ..opening
            };
            opening.start(names::session(), claims, &facts).await
        }
        Known::Nothing => opening.start(first.session(), claims, &facts).await,
        Known::Nowhere => opening.once(claims, &facts).await,
    };
    let admitted = admitted.map_err(refused)?;
    // The name of a single request would make other links of each answer.
    let session = if gate.hls.bind().is_place(address) {
        admitted.session.id()
    } else {
        first.session()
    };
    Ok(Entry {
        ticket: Ticket::new(
            (session, request.player),
            (request.url.to_string(), request.stream),
            admitted.permit.claims(),
        ),
        admitted,
        policy,
        query,
    })
}

/// Decides a request under a ticket.
async fn decide_link(
    gate: &Gate,
    policy: &Arc<Policy>,
    peer: Peer,
    head: &Parts,
    link: LinkPath<'_>,
    cache: &ConnectionCache,
) -> Result<(Admitted, MediaRequest), NotAdmitted> {
    let address = policy.edge.neighbours.client(peer, &head.headers);
    let opened = cache.open(policy, link.ticket);
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
    let media = MediaRequest::link(&policy.seals, owner, &facts, head.uri.query(), link);
    let media = media.map_err(|denial| Refused {
        denial,
        address,
        request: None,
    })?;
    let admitted = match playing {
        // A minter seals tickets, too, with any name in them.
        Some(session) if !session.is_of(owner, &facts.stream, &facts.url) => {
            return Err(Refused::unnamed(Reason::Ticket, address).into());
        }
        playing => {
            let authorization = Authorization { gate, policy };
            return_by_ticket(authorization, ticket, playing, &facts).await?
        }
    };
    admitted.session.prove();
    Ok((admitted, media))
}

/// The playback of a ticket: it goes on, or the request is a return, which is decided by the claims of its token.
async fn return_by_ticket(
    authorization: Authorization<'_>,
    ticket: &Ticket,
    playing: Option<Arc<HlsSession>>,
    facts: &Facts,
) -> Result<Admitted, NotAdmitted> {
    let (gate, address) = (authorization.gate, facts.address);
    let over = |session, kick| NotAdmitted::Over {
        session,
        kick,
        address,
    };
    if playing.is_none()
        && let Some(kick) = gate.hls.ask_over(ticket.session, address)
    {
        return Err(over(ticket.session, kick));
    }
    if let Some(session) = &playing {
        match gate.hls.ask(session, address) {
            Standing::Over(kick) => return Err(over(session.id(), kick)),
            Standing::Elsewhere => {}
            Standing::Plays => {
                if let Some(admitted) = Admitted::going_on(Arc::clone(session), address) {
                    return Ok(admitted);
                }
            }
        }
    }
    let admitted = decide_return(authorization, ticket, playing, facts).await;
    let refused = |denial| Refused {
        denial,
        address,
        request: None,
    };
    Ok(admitted.map_err(refused)?)
}

/// Decides the return to a playback that does not play, or not at this address.
async fn decide_return(
    authorization: Authorization<'_>,
    ticket: &Ticket,
    playing: Option<Arc<HlsSession>>,
    facts: &Facts,
) -> Result<Admitted, Denial> {
    let (gate, address) = (authorization.gate, facts.address);
    let claims = authorization.recognise(ticket)?;
    let page = || gate.pages.find(&viewer(&ticket.player, &claims, address)?);
    let facts = &with_inherited_page(facts.clone(), &claims, page);
    let opening = Opening {
        authorization,
        alias: None,
        player: &ticket.player,
    };
    if !gate.hls.bind().is_place(address) {
        return opening.once(claims, facts).await;
    }
    if let Some(session) = playing {
        return move_here(authorization, session, claims, facts).await;
    }
    match gate.hls.is_dormant(ticket.session, address) {
        true => opening.resume(ticket.session, claims, facts).await,
        false => opening.start(ticket.session, claims, facts).await,
    }
}

/// Moves a playback to the place of a request, if it may play there.
async fn move_here(
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

/// What a session is opened with.
#[derive(Clone, Copy)]
struct Opening<'a> {
    authorization: Authorization<'a>,
    alias: Option<Identity>,
    player: &'a str,
}

impl Opening<'_> {
    /// A start, or a return after a pause: every rule is looked at.
    async fn start(
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
    async fn once(&self, claims: Claims, facts: &Facts) -> Result<Admitted, Denial> {
        let limit = claims.grant.sessions;
        let permit = self.authorization.decide(claims, facts.clone())?;
        match limit {
            Some(_) => Err(Reason::Placeless.into()),
            None => self.open(names::session(), permit).await,
        }
    }

    /// A playback goes on that ran when the gate was restarted.
    async fn resume(
        &self,
        id: SessionId,
        claims: Claims,
        facts: &Facts,
    ) -> Result<Admitted, Denial> {
        // It goes on by the page that it inherited when it started.
        let page = || self.authorization.gate.hls.page_of_dormant(id);
        let facts = with_inherited_page(facts.clone(), &claims, page);
        let permit = self.authorization.resume(claims, facts)?;
        self.open(id, permit).await
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
        if opened.is_new {
            record::started(gate, id, Transport::Hls, &permit);
        }
        Ok(Admitted::new(opened.session, permit))
    }
}
