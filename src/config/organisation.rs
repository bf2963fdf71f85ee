//! `[[organisation]]`: whose streams there are, their keys, who may mint for them, and what is asked of their tokens.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::error::Problem;
use super::limits::duration;
use super::reader::{Place, Table, Value};
use super::secret::{SecretSource, SecretText};
use super::units::Bounds;
use crate::decision::rules::{OrganisationRules, Rules};
use crate::token::{Key, KeyId, KeyState, Keyring, Owner, Secret};
use crate::token_api::api_key::{ApiKey, ApiKeys};

/// SHA-256 of nothing at all, which `printf %s "$UNSET" | sha256sum` prints.
const OF_NOTHING: [u8; 32] = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

/// What stands in `deploy/h5gate.toml`, to be replaced.
const OF_THE_EXAMPLE: [u8; 32] = [0; 32];

/// All organisations.
pub(super) struct Organisations {
    /// `None` when the keys make no ring, which is told.
    pub(super) keyring: Option<Keyring>,
    pub(super) rules: Rules,
    pub(super) api_keys: ApiKeys,
    /// How many API keys there are.
    pub(super) minters: usize,
}

/// What was seen of all organisations so far, to find what stands twice.
#[derive(Default)]
struct Seen {
    owners: HashMap<Owner, Place>,
    key_ids: HashMap<KeyId, Place>,
    /// Of the texts of secrets. Theirs are unguessable, so a digest says nothing of them.
    secrets: HashMap<[u8; 32], (Owner, Place)>,
    api_keys: HashMap<[u8; 32], Place>,
}

/// `[[organisation]]`
pub(super) fn read(root: &mut Table<'_>, secrets: &mut dyn SecretSource) -> Organisations {
    let mut seen = Seen::default();
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
            let (key, state) = read_key(&mut table, owner.as_ref(), &mut seen, secrets);
            signs |= state == KeyState::Active;
            keys.extend(key);
        }
        let name = &table.place.key;
        if keys.len() == keys_before {
            table.findings.warn(format!(
                "{name} has no key: none of its streams can be played"
            ));
        } else if !minters.is_empty() && !signs {
            table.findings.warn(format!(
                "{name} has API keys and no active key: it can mint no token"
            ));
        }
        api_keys.extend(minters);
        if let Some(owner) = owner {
            rules.insert(owner.clone(), rules_read);
            owners.push(owner);
        }
    }
    if owners.is_empty() {
        root.findings
            .warn("there is no [[organisation]]: nothing can be played".to_owned());
    }
    let hashes = owners.iter().filter_map(|owner| match owner {
        Owner::Organisation(hash) => Some(hash.clone()),
        Owner::Unlisted => None,
    });
    let keyring = Keyring::new(hashes, keys).map_err(|error| {
        root.findings
            .add(&root.place, Problem::Value(error.to_string()));
    });
    let minters = api_keys.len();
    Organisations {
        keyring: keyring.ok(),
        rules: Rules::new(rules),
        api_keys: ApiKeys::new(api_keys),
        minters,
    }
}

fn owner(value: &Value<'_>, seen: &mut HashMap<Owner, Place>) -> Option<Owner> {
    let owner = value.read("a string", |text| {
        text.parse::<Owner>()
            .map_err(|error| format!("{error}; it is 5 or 6 letters or digits, or \"*\""))
    })?;
    once(
        value,
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
                once(
                    &value,
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
                once(
                    &value,
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

fn read_key(
    table: &mut Table<'_>,
    owner: Option<&Owner>,
    seen: &mut Seen,
    secrets: &mut dyn SecretSource,
) -> (Option<Key>, KeyState) {
    let id = table
        .need("id", "give it a name: it travels in every token")
        .and_then(|value| {
            let id = value.parsed::<KeyId>("a string")?;
            once(
                &value,
                id.clone(),
                &mut seen.key_ids,
                "a token names its key by the id alone",
            )
            .then_some(id)
        });
    let words = [
        ("active", KeyState::Active),
        ("retiring", KeyState::Retiring),
    ];
    let (file, env) = (table.take("secret_file"), table.take("secret_env"));
    let state = table.choice("state", &words, KeyState::Active);
    let found = match (file, env) {
        (Some(file), None) => secret_file(&file, secrets).map(|text| (file, text)),
        (None, Some(env)) => secret_env(&env, secrets).map(|text| (env, text)),
        (Some(_), Some(env)) => {
            env.refuse(Problem::Conflict(
                "stands beside secret_file; a key has one of them".to_owned(),
            ));
            None
        }
        (None, None) => {
            table.missing(
                "secret_file",
                "say where the secret is, with secret_file or secret_env",
            );
            None
        }
    };
    let secret = found.and_then(|(value, text)| {
        let secret =
            value.accept(Secret::from_base64(&text.text).map_err(|error| error.to_string()))?;
        secret_once(&value, &text, owner?, &mut seen.secrets);
        Some(secret)
    });
    let key = match (id, owner, secret) {
        (Some(id), Some(owner), Some(secret)) => Some(Key::new(id, owner.clone(), state, &secret)),
        _ => None,
    };
    (key, state)
}

// What stands at these two keys is never repeated: it may be a secret that was put there by mistake.

fn secret_file(value: &Value<'_>, secrets: &mut dyn SecretSource) -> Option<SecretText> {
    let path = value.text("the path of a file")?;
    let text = secrets.file(Path::new(path));
    let text =
        value.accept(text.map_err(|error| {
            format!("cannot be read, relative to the configuration file: {error}")
        }))?;
    if text.open_to_others {
        let key = &value.place.key;
        value.findings.danger(format!(
            "{key}: others than its owner may read or change the file; use chmod 600"
        ));
    }
    Some(text)
}

fn secret_env(value: &Value<'_>, secrets: &mut dyn SecretSource) -> Option<SecretText> {
    let name = value.text("the name of an environment variable")?;
    let good = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if name.is_empty() || !name.bytes().all(good) {
        value.refuse(Problem::Value(
            "must be the name of an environment variable: letters, digits and _".to_owned(),
        ));
        return None;
    }
    value.accept(secrets.env(name).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "is not set in the environment".to_owned(),
        _ => format!("cannot be read: {error}"),
    }))
}

/// Whoever has a key signs for its owner, so two owners with one secret sign for each other.
fn secret_once(
    value: &Value<'_>,
    text: &SecretText,
    owner: &Owner,
    seen: &mut HashMap<[u8; 32], (Owner, Place)>,
) {
    // Each secret has one spelling in base64, so equal bytes are equal texts.
    let digest = Sha256::digest(text.text.trim()).into();
    match seen.get(&digest) {
        Some((first, place)) if first != owner => value.refuse(Problem::Duplicate {
            first_key: place.key.clone(),
            first_line: place.line,
            reason: "a secret is good for one organisation: make another with `h5gate key new`",
        }),
        Some((_, place)) => value.findings.warn(format!(
            "{} is the same secret as {}: that is no rotation",
            value.place.key, place.key
        )),
        None => {
            seen.insert(digest, (owner.clone(), value.place.clone()));
        }
    }
}

/// Whether it is the first of its kind; a later one is an error.
fn once<T: std::hash::Hash + Eq>(
    value: &Value<'_>,
    it: T,
    seen: &mut HashMap<T, Place>,
    reason: &'static str,
) -> bool {
    if let Some(first) = seen.get(&it) {
        value.refuse(Problem::Duplicate {
            first_key: first.key.clone(),
            first_line: first.line,
            reason,
        });
        return false;
    }
    seen.insert(it, value.place.clone());
    true
}

/// 64 hexadecimal digits. The value is never repeated: it may be the key itself, put there by mistake.
pub(super) fn sha256(value: &Value<'_>) -> Option<[u8; 32]> {
    let digest = value.read("64 hexadecimal digits in quotes", |text| {
        let digest = hex(text.as_bytes()).ok_or_else(|| {
            "must be 64 hexadecimal digits, the SHA-256 of the key as `printf %s KEY | sha256sum` prints it".to_owned()
        })?;
        if digest == OF_NOTHING {
            return Err("is the SHA-256 of an empty text, so that whoever says nothing would be let in".to_owned());
        }
        Ok(digest)
    });
    if digest == Some(OF_THE_EXAMPLE) {
        let key = &value.place.key;
        value.findings.warn(format!(
            "{key} is still the example's, which nobody has the key of"
        ));
    }
    digest
}

fn hex(digits: &[u8]) -> Option<[u8; 32]> {
    let (pairs, rest) = digits.as_chunks::<2>();
    let byte = |pair: &[u8; 2]| {
        let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
        u8::try_from(high? * 16 + low?).ok()
    };
    let bytes: Option<Vec<u8>> = pairs.iter().map(byte).collect();
    bytes.filter(|_| rest.is_empty())?.try_into().ok()
}
