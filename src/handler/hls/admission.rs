//! HLS, steps 3 to 5: which playback a request belongs to, and whether it may go on.

use std::sync::Arc;

use http::request::Parts;

use crate::decision::Facts;
use crate::decision::denial::{Denial, Reason};
use crate::decision::permit::Permit;
use crate::gate::Gate;
use crate::gate::policy::Policy;
use crate::hls::identity::{Alias, FirstUrl};
use crate::hls::link::LinkPath;
use crate::hls::session::{HlsSession, Standing};
use crate::hls::sessions::first_url::Known;
use crate::hls::ticket::{OpenTicket, Ticket};
use crate::listener::Peer;
use crate::request::http_playback::HttpTarget;
use crate::request::referer::Referer;
use crate::request::{Malformed, PlaybackRequest};

use super::super::authorization::Authorization;
use super::super::http_connection::HttpConnection;
use super::super::names;
use super::super::refused::{Refused, Subject};
use super::NotAdmitted;
use super::admitted::Admitted;
use super::connection_cache::ConnectionCache;
use super::entry::Entry;
use super::media_request::MediaRequest;
use super::page::{page_is_told, viewer, with_inherited_page};
use super::session_start::{SessionStart, move_here};

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
    let facts = Facts::of(&request);
    let refused = |denial| Refused {
        denial,
        address,
        request: Some(Box::new(request.clone())),
        subject: Subject::default(),
    };
    let authorization = Authorization {
        gate,
        policy: &policy,
    };
    let url = FirstUrl {
        security: &request.security,
        url: &request.url,
        stream: &request.stream,
        connection: &request.connection,
        player: &request.player,
    };
    let (first, here) = url.identities(&gate.hls.bind().place(address));
    // A session is known by its whole first URL, whose token was verified when it began: what plays goes on though a reload has
    // taken the key away.
    let known = gate.hls.ask_by_url(first, here, address);
    // A minter may have sealed a ticket with this name for something else.
    if let Known::Plays(session, permit) = &known
        && is_for(permit, &facts)
    {
        return Ok(Entry {
            ticket: Ticket::new(
                (session.id(), request.player),
                (request.url.to_string(), request.stream),
                permit.claims(),
            ),
            admitted: Admitted {
                session: Arc::clone(session),
                permit: permit.clone(),
                address,
            },
            policy,
            query,
        });
    }
    let claims = authorization.verify(&request.security).map_err(refused)?;
    let page = || gate.pages.find(&viewer(&request.player, &claims, address)?);
    let facts = with_inherited_page(facts, &claims, page);
    let new_session = SessionStart {
        authorization,
        alias: None,
        player: &request.player,
    };
    let owner = claims.owner.clone();
    let is_ours = |session: &HlsSession| session.is_of(&owner, &facts.stream, &facts.url);
    let admitted = match known {
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
        Known::Dormant(id) => new_session.resume(id, claims, &facts).await,
        Known::Taken | Known::Plays(..) | Known::Joinable(_) => {
            let new_session = SessionStart {
                alias: Some(Alias {
                    here,
                    first: first.session(),
                }),
                ..new_session
            };
            new_session.start(names::session(), claims, &facts).await
        }
        Known::Nothing => new_session.start(first.session(), claims, &facts).await,
        Known::Nowhere => new_session.once(claims, &facts).await,
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

/// Whether what was allowed is what is asked for.
fn is_for(permit: &Permit, facts: &Facts) -> bool {
    permit.stream() == &facts.stream && permit.url() == &facts.url
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
    // It may not be the gate's, and have a ticket in it once more.
    let path = || {
        let whole = format!("/{}", link.path);
        whole.split("/~").next().map(str::to_owned)
    };
    let opened = opened.map_err(|_| {
        Refused::unnamed(Reason::Ticket, address).about(Subject {
            path: path(),
            ..Subject::default()
        })
    })?;
    let OpenTicket { ticket, owner } = &*opened;
    let subject = || Subject {
        session: Some(ticket.session),
        stream: Some(ticket.stream.clone()),
        path: path(),
    };
    let refused = |denial| Refused {
        denial,
        address,
        request: None,
        subject: subject(),
    };
    let playing = gate.hls.find(ticket.session);
    // What plays goes on, though a reload has taken its source away.
    let its_own = playing.as_ref().and_then(|session| session.source());
    let url = its_own
        .filter(|url| url.as_str() == ticket.url)
        .map_or_else(|| policy.edge.rtmp_urls.find(&ticket.url), Ok);
    let facts = Facts {
        stream: ticket.stream.clone(),
        url: url.map_err(|error| refused(Reason::from(Malformed::Url(error)).into()))?,
        address,
        referer: Referer::of_http(&head.headers),
        inherited: false,
    };
    let media = MediaRequest::link(&policy.seals, owner, &facts, head.uri.query(), link);
    let media = media.map_err(refused)?;
    let admitted = match playing {
        // A minter seals tickets, too, with any name in them.
        Some(session) if !session.is_of(owner, &facts.stream, &facts.url) => {
            return Err(refused(Reason::Ticket.into()).into());
        }
        playing => {
            let authorization = Authorization { gate, policy };
            return_by_ticket(authorization, ticket, playing, &facts, refused).await?
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
    refused: impl FnOnce(Denial) -> Refused,
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
    let new_session = SessionStart {
        authorization,
        alias: None,
        player: &ticket.player,
    };
    if !gate.hls.bind().is_place(address) {
        return new_session.once(claims, facts).await;
    }
    if let Some(session) = playing {
        return move_here(authorization, session, claims, facts).await;
    }
    match gate.hls.is_dormant(ticket.session, address) {
        true => new_session.resume(ticket.session, claims, facts).await,
        false => new_session.start(ticket.session, claims, facts).await,
    }
}
