//! `[[organisation]]`: the owners of streams, their keys, the API keys that mint for them, and the rules for their tokens.

use std::collections::HashMap;
use std::time::Duration;

use super::digest::sha256;
use super::error::Problem;
use super::findings::Place;
use super::key::{self, SeenKeys};
use super::reader::{Table, Value};
use super::secret::SecretSource;
use super::units::{Bounds, duration};
use crate::decision::rules::{OrganisationRules, Rules};
use crate::token::{KeyId, KeyState, Keyring, Owner};
use crate::token_api::api_key::{ApiKey, ApiKeys};

/// All organisations.
pub(super) struct Organisations {
    /// `None` when the keys make no ring, which is told.
    pub(super) keyring: Option<Keyring>,
    pub(super) rules: Rules,
    pub(super) api_keys: ApiKeys,
    /// Where the first API keys stand; `None` when there are none.
    pub(super) minted_at: Option<Place>,
}

/// What was seen of all organisations so far, to find what stands twice.
#[derive(Default)]
struct Seen {
    owners: HashMap<Owner, Place>,
    keys: SeenKeys,
    api_keys: HashMap<[u8; 32], Place>,
}

/// `[[organisation]]`
pub(super) fn read(root: &mut Table<'_>, secrets: &mut dyn SecretSource) -> Organisations {
    let mut seen = Seen::default();
    let mut minted_at = None;
    let (mut owners, mut keys, mut rules, mut api_keys) =
        (Vec::new(), Vec::new(), HashMap::new(), Vec::new());
    for mut table in root.tables("organisation", "tables that begin with [[organisation]]") {
        let hash = table.need(
            "hash",
            "say whose streams: 5 or 6 letters or digits, or \"*\" for all that are not listed",
        );
        let owner = hash.and_then(|value| owner(&value, &mut seen.owners));
        let rules_read = rules_of(&mut table);
        let keys_before = keys.len();
        let minters = read_api_keys(&mut table, owner.as_ref(), &mut seen);
        let mut signs = false;
        for mut table in table.tables("key", "tables that begin with [[organisation.key]]") {
            let (key, state) = key::read(&mut table, owner.as_ref(), &mut seen.keys, secrets);
            signs |= state == KeyState::Active;
            keys.extend(key);
        }
        if keys.len() == keys_before {
            let what = "has no key: none of its streams can be played";
            table.findings.warn(&table.place, what);
        } else if !minters.is_empty() && !signs {
            let what = "has API keys and no active key: it can mint no token";
            table.findings.warn(&table.place, what);
        }
        if !minters.is_empty() && minted_at.is_none() {
            minted_at = table.take("api_keys").map(|value| value.place);
        }
        api_keys.extend(minters);
        if let Some(owner) = owner {
            rules.insert(owner.clone(), rules_read);
            owners.push(owner);
        }
    }
    if owners.is_empty() {
        root.findings.warn(
            &Place::of_absent("organisation"),
            "is missing: nothing can be played",
        );
    }
    let hashes = owners.iter().filter_map(|owner| match owner {
        Owner::Organisation(hash) => Some(hash.clone()),
        Owner::Unlisted => None,
    });
    let keyring = Keyring::new(hashes, keys).map_err(|error| {
        root.findings
            .add(&root.place, Problem::Value(error.to_string()));
    });
    Organisations {
        keyring: keyring.ok(),
        rules: Rules::new(rules),
        api_keys: ApiKeys::new(api_keys),
        minted_at,
    }
}

fn owner(value: &Value<'_>, seen: &mut HashMap<Owner, Place>) -> Option<Owner> {
    let owner = value.parsed_by("a string", |text| {
        text.parse::<Owner>()
            .map_err(|error| format!("{error}; it is 5 or 6 letters or digits, or \"*\""))
    })?;
    value.once(
        owner.clone(),
        seen,
        "put all of an organisation into one table",
    );
    Some(owner)
}

fn rules_of(table: &mut Table<'_>) -> OrganisationRules {
    let default = OrganisationRules::default();
    let day = Duration::from_secs(24 * 60 * 60);
    let lifetime = Bounds::new(
        Duration::from_secs(1),
        3650 * day,
        "every token would be refused",
    );
    let leeway = Bounds::new(Duration::ZERO, day, "");
    OrganisationRules {
        require_expires: table.flag("require_expires", default.require_expires),
        max_lifetime: whole_seconds(table, "max_lifetime", default.max_lifetime, lifetime),
        leeway: whole_seconds(table, "leeway", default.leeway, leeway),
    }
}

/// Tokens know whole seconds only; 300 ms would silently be none.
fn whole_seconds(
    table: &mut Table<'_>,
    key: &'static str,
    default: Duration,
    bounds: Bounds<Duration>,
) -> Duration {
    let duration = duration(table, key, default, bounds);
    if duration.subsec_nanos() != 0
        && let Some(value) = table.take(key)
    {
        value.refuse(Problem::Value(
            "must be whole seconds: tokens count in them".to_owned(),
        ));
    }
    duration
}

fn read_api_keys(table: &mut Table<'_>, owner: Option<&Owner>, seen: &mut Seen) -> Vec<ApiKey> {
    let expected = "a list of tables such as [{ id = \"backend\", sha256 = \"…\" }]";
    let (mut api_keys, mut ids) = (Vec::new(), HashMap::new());
    for mut table in table.tables("api_keys", expected) {
        let id = table
            .need("id", "give it a name for the log")
            .and_then(|value| {
                let id = value.parsed::<KeyId>("a string")?;
                value.once(
                    id.clone(),
                    &mut ids,
                    "the log names the organisation's API keys by it",
                );
                Some(id)
            });
        let digest = table
            .need(
                "sha256",
                "put the SHA-256 of the API key here, as sha256sum prints it",
            )
            .and_then(|value| {
                let digest = sha256(&value)?;
                value.once(
                    digest,
                    &mut seen.api_keys,
                    "an API key stands for one organisation, once",
                );
                Some(digest)
            });
        if let (Some(id), Some(sha256), Some(owner)) = (id, digest, owner) {
            api_keys.push(ApiKey {
                id: id.as_str().to_owned(),
                owner: owner.clone(),
                sha256,
            });
        }
    }
    api_keys
}
