//! What an operator asks of the tokens of an organisation.

use std::collections::HashMap;
use std::time::Duration;

use crate::token::Owner;

/// The rules for one organisation's tokens.
#[derive(Clone, Copy, Debug)]
pub struct OrganisationRules {
    /// Whether a token must expire. Default: no.
    pub require_expires: bool,
    /// The longest time between a token's issue and its expiry. Default: 365 days (protocol.md 1).
    pub max_lifetime: Duration,
    /// How long after its expiry a token still starts a playback, in whole seconds. Default: 0.
    pub leeway: Duration,
}

impl Default for OrganisationRules {
    fn default() -> Self {
        Self {
            require_expires: false,
            max_lifetime: Duration::from_secs(365 * 24 * 60 * 60),
            leeway: Duration::ZERO,
        }
    }
}

/// The rules of all organisations.
#[derive(Debug, Default)]
pub struct Rules {
    organisations: HashMap<Owner, OrganisationRules>,
    default: OrganisationRules,
}

impl Rules {
    /// From what is configured.
    #[must_use]
    pub fn new(organisations: HashMap<Owner, OrganisationRules>) -> Self {
        Self {
            organisations,
            default: OrganisationRules::default(),
        }
    }

    /// The rules for a key's owner.
    #[must_use]
    pub fn of(&self, owner: &Owner) -> &OrganisationRules {
        self.organisations.get(owner).unwrap_or(&self.default)
    }
}
