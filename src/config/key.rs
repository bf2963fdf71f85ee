//! `[[organisation.key]]`: the keys that sign and verify tokens.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::error::Problem;
use super::findings::Place;
use super::reader::{Table, Value};
use super::secret::{SecretSource, SecretText};
use crate::token::{Key, KeyId, KeyState, Owner, Secret};

/// The keys of all organisations so far, to find what stands twice.
#[derive(Default)]
pub(super) struct SeenKeys {
    ids: HashMap<KeyId, Place>,
    /// By the SHA-256 of their texts. Secrets are random, so a digest says nothing of them.
    secrets: HashMap<[u8; 32], (Owner, Place)>,
}

/// One key, and what it may do. `owner` is `None` when the organisation has none that is right.
pub(super) fn read(
    table: &mut Table<'_>,
    owner: Option<&Owner>,
    seen: &mut SeenKeys,
    secrets: &mut dyn SecretSource,
) -> (Option<Key>, KeyState) {
    let id = table
        .need("id", "give it a name: it travels in every token")
        .and_then(|value| {
            let id = value.parsed::<KeyId>("a string")?;
            value
                .once(
                    id.clone(),
                    &mut seen.ids,
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

/// What stands at this key is never repeated: it may be a secret that was put there by mistake.
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

/// As above.
fn secret_env(value: &Value<'_>, secrets: &mut dyn SecretSource) -> Option<SecretText> {
    let name = value.text("the name of an environment variable")?;
    let good = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if name.is_empty() || !name.bytes().all(good) {
        value.refuse(Problem::Value(
            "must be the name of an environment variable: letters, digits and _".to_owned(),
        ));
        return None;
    }
    value.accept(secrets.env(name).map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            "is not set in the environment".to_owned()
        } else {
            format!("cannot be read: {error}")
        }
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
        Some((first, place)) if first != owner => value.refuse_same(
            place,
            "a secret is good for one organisation: make another with `h5gate key new`",
        ),
        Some((_, place)) => value.findings.warn(format!(
            "{} is the same secret as {}: that is no rotation",
            value.place.key, place.key
        )),
        None => {
            seen.insert(digest, (owner.clone(), value.place.clone()));
        }
    }
}
