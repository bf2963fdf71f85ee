//! Steps 2 to 5 for HTTP: which playback a request belongs to, and whether it may go on.

use std::sync::Arc;

use http::request::Parts;

use crate::clock;
use crate::decision::denial::{Denial, Reason};
use crate::decision::permit::Permit;
use crate::decision::{Facts, decide, resume};
use crate::gate::{Gate, Policy};
use crate::listener::Peer;
use crate::request::client_address::ClientAddress;
use crate::request::http_playback::LinkPath;
use crate::request::query::Query;
use crate::request::referer::Referer;
use crate::request::{Malformed, PlaybackRequest};
use crate::session::hls::{HlsSession, Identity, Standing};
use crate::session::id::SessionId;
use crate::session::seats::Content;
use crate::session::ticket::{OpenTicket, Ticket};
use crate::session::{Newcomer, Transport};
use crate::token::{Claims, Presented};

use super::super::{Refused, random_wide, record, still_valid};
use super::Trouble;
use super::wanted::Wanted;

/// A request that may be answered.
#[derive(Debug)]
pub struct Admitted {
    /// Whose it is.
    pub session: Arc<HlsSession>,
    /// What may be played.
    pub permit: Permit,
}

/// A playback that begins, or whose first URL was opened again.
#[derive(Debug)]
pub struct Begun<'a> {
    admitted: Admitted,
    ticket: Ticket,
    policy: Arc<Policy>,
    query: Query<'a>,
    upstream_query: String,
}

impl Begun<'_> {
    /// Who may be answered.
    pub fn admitted(&self) -> &Admitted {
        &self.admitted
    }

    /// The query for the media server.
    pub fn query(&self) -> &str {
        &self.upstream_query
    }

    /// The playlist that it begins with.
    pub fn playlist(&self, gate: &Gate) -> Result<Wanted, Trouble> {
        // Its token has just been verified, so there is a key to seal with.
        let ticket = self.policy.seals.write(&self.ticket);
        let ticket =
            ticket.ok_or_else(|| unnamed(Reason::Ticket, self.admitted.permit.address()))?;
        Ok(Wanted::playlist(gate, &self.admitted, &self.query, ticket))
    }
}

/// A request with a token: a start, unless the playback is known by it and goes on.
pub fn begin<'a>(gate: &Gate, head: &'a Parts, peer: Peer) -> Result<Begun<'a>, Trouble> {
    let policy = gate.policy();
    let address = policy.edge.neighbours.client(peer, &head.headers);
    let (request, query) = PlaybackRequest::read_http(head, peer, &policy.edge)
        .map_err(|error: Malformed| unnamed(error, address))?;
    let facts = Facts {
        stream: request.stream.clone(),
        url: request.url.clone(),
        address: request.address,
        referer: request.referer.clone(),
    };
    let refused = |denial| Refused {
        denial,
        address,
        request: Some(Box::new(request.clone())),
    };
    let security = Presented::from(&request.security);
    let verified = policy.keyring.verify(security);
    let claims = verified.map_err(|error| refused(error.into()))?;
    let identity = Identity::new(
        claims.grant.id,
        &request.stream,
        &request.connection,
        &request.player,
        &gate.hls.bind().place(address),
    );
    let opening = Opening {
        gate,
        identity,
        player: &request.player,
    };
    let known = gate.hls.name_of(identity);
    let admitted = match known.and_then(|id| gate.hls.find(id)) {
        Some(session) if same_source(&session, &facts) => {
            match gate.hls.standing(&session, address) {
                Standing::Plays => Admitted::going_on(session),
                Standing::Over(kick) => return Err(Trouble::Over(session.id(), kick)),
                Standing::Elsewhere => None,
            }
        }
        _ => None,
    };
    let admitted = match admitted {
        Some(admitted) => admitted,
        None => match known.filter(|id| gate.hls.dormant(*id, address).is_some()) {
            Some(id) => opening.wake(id, claims, &facts).map_err(refused)?,
            None => {
                // One of this name may play elsewhere by now.
                let taken = gate.hls.find(identity.session()).is_some();
                let id = if taken {
                    SessionId::new(random_wide())
                } else {
                    identity.session()
                };
                opening
                    .start(id, &policy, claims, &facts)
                    .map_err(refused)?
            }
        },
    };
    let first = policy.edge.rtmp_urls.first();
    let url = if first == Some(&request.url) {
        String::new()
    } else {
        request.url.to_string()
    };
    Ok(Begun {
        ticket: Ticket {
            session: admitted.session.id(),
            player: request.player,
            url,
            stream: request.stream,
            security: request.security,
        },
        admitted,
        policy,
        query,
        upstream_query: request.upstream_query,
    })
}

/// A request under a ticket.
pub fn go_on(
    gate: &Gate,
    head: &Parts,
    peer: Peer,
    link: LinkPath<'_>,
) -> Result<(Admitted, Wanted), Trouble> {
    let policy = gate.policy();
    let address = policy.edge.neighbours.client(peer, &head.headers);
    let opened = policy.seals.open(link.ticket);
    let OpenTicket { ticket, owner } = opened.map_err(|_| unnamed(Reason::Ticket, address))?;
    let urls = &policy.edge.rtmp_urls;
    let url = match ticket.url.as_str() {
        "" => urls.first().cloned(),
        url => urls.find(url),
    };
    let facts = Facts {
        stream: ticket.stream.clone(),
        url: url.ok_or_else(|| unnamed(Malformed::Url, address))?,
        address,
        referer: Referer::of_http(&head.headers),
    };
    let wanted = Wanted::link(&policy.seals, &owner, &facts, head.uri.query(), link);
    let wanted = wanted.map_err(|denial| Refused {
        denial,
        address,
        request: None,
    })?;
    let admitted = return_of(gate, &policy, &ticket, facts)?;
    admitted.session.prove();
    Ok((admitted, wanted))
}

/// The playback of a ticket: it goes on, or its viewer comes back and is judged by the claims of its token.
fn return_of(
    gate: &Gate,
    policy: &Policy,
    ticket: &Ticket,
    facts: Facts,
) -> Result<Admitted, Trouble> {
    let address = facts.address;
    let refused = |denial| Refused {
        denial,
        address,
        request: None,
    };
    let playing = gate.hls.find(ticket.session);
    if let Some(session) = &playing {
        // Whoever mints seals tickets, too, with any name in them.
        if !same_source(session, &facts) {
            return Err(unnamed(Reason::Ticket, address).into());
        }
        match gate.hls.standing(session, address) {
            Standing::Over(kick) => return Err(Trouble::Over(session.id(), kick)),
            Standing::Elsewhere => {}
            Standing::Plays => {
                if let Some(admitted) = Admitted::going_on(Arc::clone(session)) {
                    return Ok(admitted);
                }
            }
        }
    }
    let verified = policy.keyring.verify(Presented::from(&ticket.security));
    let claims = verified.map_err(|error| refused(error.into()))?;
    if let Some(session) = playing {
        let permit = decide(
            claims,
            facts,
            &policy.rules,
            &gate.revocations(),
            clock::now(),
        )
        .map_err(refused)?;
        gate.hls
            .move_to(&session, permit.clone(), clock::now())
            .map_err(refused)?;
        record::moved(&session, &permit);
        return Ok(Admitted { session, permit });
    }
    let dormant = gate.hls.dormant(ticket.session, address);
    let opening = Opening {
        gate,
        // Its first URL is not known here; by that one it would be another playback.
        identity: dormant.unwrap_or_else(|| Identity::of_ticket(ticket.session)),
        player: &ticket.player,
    };
    let admitted = match dormant {
        Some(_) => opening.wake(ticket.session, claims, &facts),
        None => opening.start(ticket.session, policy, claims, &facts),
    };
    Ok(admitted.map_err(refused)?)
}

impl Admitted {
    /// `None` when it ended this very moment.
    fn going_on(session: Arc<HlsSession>) -> Option<Self> {
        let permit = session.permit()?;
        Some(Self { session, permit })
    }
}

/// What a session is opened with.
struct Opening<'a> {
    gate: &'a Gate,
    identity: Identity,
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
        let revocations = self.gate.revocations();
        let permit = decide(
            claims,
            facts.clone(),
            &policy.rules,
            &revocations,
            clock::now(),
        )?;
        self.open(id, permit)
    }

    /// A playback goes on that ran when the gate was restarted.
    fn wake(&self, id: SessionId, claims: Claims, facts: &Facts) -> Result<Admitted, Denial> {
        let permit = resume(
            claims,
            facts.clone(),
            &self.gate.revocations(),
            clock::now(),
        )?;
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
        let begun = self
            .gate
            .hls
            .open(newcomer, self.identity, permit.clone())?;
        let session = begun.session;
        if !begun.is_new {
            return Ok(Admitted { session, permit });
        }
        if let Err(denial) = still_valid(self.gate, &permit) {
            self.gate.hls.withdraw(&session);
            return Err(denial);
        }
        record::started(self.gate, id, Transport::Hls, &permit);
        Ok(Admitted { session, permit })
    }
}

/// Whether a playback is of this stream and source.
fn same_source(session: &HlsSession, facts: &Facts) -> bool {
    let permit = session.permit();
    // One that is over is to be told so, whatever it was.
    permit.is_none_or(|permit| *permit.stream() == facts.stream && *permit.url() == facts.url)
}

/// A refusal of what could not be read.
fn unnamed(reason: impl Into<Reason>, address: ClientAddress) -> Refused {
    Refused {
        denial: reason.into().into(),
        address,
        request: None,
    }
}
