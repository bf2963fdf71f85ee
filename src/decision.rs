//! Step 4: claims × facts × rules × revocations × now become a [`Permit`] or a [`Denial`]. All the rules and their order
//! stand here. Pure: no I/O, no clock.
//!
//! The order is malformed, missing, signature, consistency (all before this step), then revoked, not-before and expiry,
//! scope, referer, address; limits come after it. A denial lists every rule that failed, for the operator; its first
//! one makes the code that the player gets.

pub mod denial;
pub mod permit;
pub mod revocation;
pub mod rules;

use std::time::Duration;

use crate::request::PlaybackRequest;
use crate::request::client_address::ClientAddress;
use crate::request::referer::Referer;
use crate::request::rtmp_url::RtmpUrl;
use crate::token::{AtExpiry, Claims, StreamName, UnixSeconds};
use denial::{Denial, Reason};
use permit::Permit;
use revocation::Revocations;
use rules::Rules;

/// What the connection and the request say, to be compared with the claims.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The stream that is asked for.
    pub stream: StreamName,
    /// Its source, as configured.
    pub url: RtmpUrl,
    /// Where the viewer is.
    pub address: ClientAddress,
    /// On which host the page is.
    pub referer: Referer,
    /// Whether the request named no page, and `referer` is that of its player's WebSocket instead.
    pub inherited: bool,
}

impl Facts {
    /// What a request with a token says itself.
    #[must_use]
    pub fn of(request: &PlaybackRequest) -> Self {
        Self {
            stream: request.stream.clone(),
            url: request.url.clone(),
            address: request.address,
            referer: request.referer.clone(),
            inherited: false,
        }
    }

    /// With the page that the player's WebSocket told.
    #[must_use]
    pub fn inherit(self, page: String) -> Self {
        Self {
            referer: Referer::Host(page),
            inherited: true,
            ..self
        }
    }

    /// The page that was inherited.
    #[must_use]
    pub fn inherited_page(&self) -> Option<&str> {
        match &self.referer {
            Referer::Host(page) if self.inherited => Some(page),
            Referer::Host(_) | Referer::Absent | Referer::Unusable => None,
        }
    }
}

/// Decides once whether this playback may start.
pub fn decide(
    claims: Claims,
    facts: Facts,
    rules: &Rules,
    revocations: &Revocations,
    now: UnixSeconds,
) -> Result<Permit, Denial> {
    let mut reasons = revoked(&claims, &facts, revocations, now);
    reasons.extend(out_of_time(&claims, rules, now));
    reasons.extend(out_of_place(&claims, &facts));
    Denial::unless_empty(reasons, claims).map(|claims| Permit::new(claims, facts))
}

/// Decides whether a playback that was running before the gate restarted may go on: by everything but the time, which is checked
/// only when a playback starts, unless its token says that the expiry ends it.
pub fn resume(
    claims: Claims,
    facts: Facts,
    revocations: &Revocations,
    now: UnixSeconds,
) -> Result<Permit, Denial> {
    let mut reasons = revoked(&claims, &facts, revocations, now);
    reasons.extend(cut_off(&claims, now));
    reasons.extend(out_of_place(&claims, &facts));
    Denial::unless_empty(reasons, claims).map(|claims| Permit::new(claims, facts))
}

fn revoked(
    claims: &Claims,
    facts: &Facts,
    revocations: &Revocations,
    now: UnixSeconds,
) -> Vec<Reason> {
    let revocation = revocations.find(claims, &facts.stream, now);
    revocation
        .map(|revocation| Reason::Revoked(revocation.id))
        .into_iter()
        .collect()
}

/// Not-before, then expiry.
fn out_of_time(
    claims: &Claims,
    rules: &Rules,
    now: UnixSeconds,
) -> impl Iterator<Item = Reason> + use<> {
    let grant = &claims.grant;
    let rules = rules.of(&claims.owner);
    let not_before = grant.not_before.filter(|&not_before| now < not_before);
    let early = not_before.map(|not_before| Reason::NotYetValid { not_before });
    // Counted from now where the issue lies in the future, since such a token would otherwise outlive every limit.
    // A playback that is to be cut at its expiry has nothing left to play after it.
    let leeway = match grant.at_expiry {
        AtExpiry::Keep => rules.leeway,
        AtExpiry::Cut => Duration::ZERO,
    };
    let late = match grant.expires {
        Some(expires) if now >= expires.saturating_add(leeway) => Some(Reason::Expired { expires }),
        Some(expires) if expires.since(grant.issued_at.min(now)) > rules.max_lifetime => {
            Some(Reason::LifetimeTooLong { expires })
        }
        Some(_) => None,
        None => rules.require_expires.then_some(Reason::ExpiresRequired),
    };
    early.into_iter().chain(late)
}

/// The end of a playback that its expiry ends.
fn cut_off(claims: &Claims, now: UnixSeconds) -> Option<Reason> {
    let grant = &claims.grant;
    let expires = grant.expires.filter(|_| grant.at_expiry == AtExpiry::Cut)?;
    (now >= expires).then_some(Reason::Expired { expires })
}

/// Whether the ip claims admit an address; an unknown one only where there are none.
#[must_use]
pub fn admits(claims: &Claims, address: ClientAddress) -> bool {
    let addresses = &claims.grant.addresses;
    let fits = match address {
        ClientAddress::Known(address) => addresses.iter().any(|prefix| prefix.contains(address)),
        ClientAddress::Unknown => false,
    };
    addresses.is_empty() || fits
}

/// Scope, then referer, then address.
fn out_of_place(claims: &Claims, facts: &Facts) -> Vec<Reason> {
    let grant = &claims.grant;
    let mut reasons = Vec::new();
    if !grant.scope.covers(&facts.stream) {
        reasons.push(Reason::OutOfScope {
            stream: facts.stream.clone(),
        });
    }
    let at_home = |host: &str| grant.referers.iter().any(|pattern| pattern.matches(host));
    let referer_fits = match &facts.referer {
        Referer::Host(host) => at_home(host),
        Referer::Absent | Referer::Unusable => false,
    };
    if !grant.referers.is_empty() && !referer_fits {
        reasons.push(Reason::Referer {
            referer: facts.referer.clone(),
        });
    }
    if !admits(claims, facts.address) {
        reasons.push(Reason::Address {
            address: facts.address,
        });
    }
    reasons
}
