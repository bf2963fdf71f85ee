//! `[[organisation.key]]`: the keys that sign and verify tokens.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::error::Problem;
use super::findings::Place;
use super::reader::{Table, Value};
use super::secret::{SecretSource, SecretText};
use crate::token::{Key, KeyId, KeyState, Owner, SECRET_MIN_BYTES, Secret};

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
        (Some(file), None) => secret_file(&file, secrets).map(|found| (file, found)),
        (None, Some(env)) => secret_env(&env, secrets).map(|found| (env, found)),
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
    let secret = found.and_then(|(value, (text, name))| {
        let secret = Secret::from_base64(&text.text);
        let secret = value.accept(secret.map_err(|error| format!("{name}: {error}")))?;
        if is_hexadecimal(&text.text) {
            let what = format!(
                "{name} looks like hexadecimal digits and is read as base64, as its issuers have to do as well"
            );
            value.findings.warn(&value.place, &what);
        }
        secret_once(&value, &text, owner?, &mut seen.secrets);
        Some(secret)
    });
    let key = match (id, owner, secret) {
        (Some(id), Some(owner), Some(secret)) => Some(Key::new(id, owner.clone(), state, &secret)),
        _ => None,
    };
    (key, state)
}

/// The text of a file, and how to name the file. What stands at this key is repeated only where there is such a file: it may
/// be a secret that was put there by mistake.
fn secret_file(value: &Value<'_>, secrets: &mut dyn SecretSource) -> Option<(SecretText, String)> {
    let path = value.text("the path of a file")?;
    let text = secrets.file(Path::new(path));
    let text = value.accept(text.map_err(|error| {
        if error.kind() == io::ErrorKind::InvalidData {
            format!("{path:?}: {error}")
        } else {
            format!("cannot be read, relative to the configuration file: {error}")
        }
    }))?;
    if text.open_to_others {
        let what = format!("others than its owner may read or change {path:?}; use chmod 600");
        value.findings.danger(&value.place, &what);
    }
    Some((text, format!("{path:?}")))
}

/// As above.
fn secret_env(value: &Value<'_>, secrets: &mut dyn SecretSource) -> Option<(SecretText, String)> {
    let name = value.text("the name of an environment variable")?;
    let good = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if name.is_empty() || !name.bytes().all(good) {
        value.refuse(Problem::Value(
            "must be the name of an environment variable: letters, digits and _".to_owned(),
        ));
        return None;
    }
    let text = value.accept(secrets.env(name).map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            "is not set in the environment".to_owned()
        } else {
            format!("cannot be read: {error}")
        }
    }))?;
    Some((text, name.to_owned()))
}

/// Whether a secret was probably written in another form: as many hexadecimal digits are as good as never random base64.
fn is_hexadecimal(text: &str) -> bool {
    let text = text.trim();
    text.len() >= 2 * SECRET_MIN_BYTES && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A secret signs for the owner of its key, so that two owners with one secret would sign for each other.
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
        Some((_, place)) => {
            let what = format!("is the same secret as {}: that is no rotation", place.key);
            value.findings.warn(&value.place, &what);
        }
        None => {
            seen.insert(digest, (owner.clone(), value.place.clone()));
        }
    }
}
