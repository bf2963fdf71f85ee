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

use crate::request::client_address::ClientAddress;
use crate::request::referer::Referer;
use crate::request::rtmp_url::RtmpUrl;
use crate::token::{AtExpiry, Claims, StreamName, UnixSeconds};
use denial::{Denial, Reason};
use permit::Permit;
use revocation::Revocations;
use rules::Rules;

/// What the connection and the request say, to be held against the claims.
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
}

/// Decides once whether this playback may start.
pub fn decide(
    claims: Claims,
    facts: Facts,
    rules: &Rules,
    revocations: &Revocations,
    now: UnixSeconds,
) -> Result<Permit, Denial> {
    let grant = &claims.grant;
    let rules = rules.of(&claims.owner);
    let mut reasons = Vec::new();
    if let Some(revocation) = revocations.find(&claims, &facts.stream, now) {
        reasons.push(Reason::Revoked(revocation.id));
    }
    if let Some(not_before) = grant.not_before.filter(|&not_before| now < not_before) {
        reasons.push(Reason::NotYetValid { not_before });
    }
    // From now where the issue lies ahead: a token issued in the future would outlive every rule.
    // A playback that is to be cut at its expiry has nothing left to play after it.
    let leeway = match grant.at_expiry {
        AtExpiry::Keep => rules.leeway,
        AtExpiry::Cut => Duration::ZERO,
    };
    match grant.expires {
        Some(expires) if now >= expires.saturating_add(leeway) => {
            reasons.push(Reason::Expired { expires });
        }
        Some(expires) if expires.since(grant.issued_at.min(now)) > rules.max_lifetime => {
            reasons.push(Reason::LifetimeTooLong { expires });
        }
        Some(_) => {}
        None if rules.require_expires => reasons.push(Reason::ExpiresRequired),
        None => {}
    }
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
    let address_fits = match facts.address {
        ClientAddress::Known(address) => grant
            .addresses
            .iter()
            .any(|prefix| prefix.contains(address)),
        ClientAddress::Unknown => false,
    };
    if !grant.addresses.is_empty() && !address_fits {
        reasons.push(Reason::Address {
            address: facts.address,
        });
    }
    Denial::unless_empty(reasons, claims).map(|claims| Permit::new(claims, facts))
}
