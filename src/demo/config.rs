//! The configuration of the demonstration's gate: a text as an operator writes it, with what is known when it starts.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::DemoError;
use crate::config::{Config, SecretSource, SecretText, new_secret};

const TEXT: &str = include_str!("h5gate.toml");

/// The addresses of one run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addresses {
    /// The gate's, for viewers and the token API.
    pub(super) listen: SocketAddr,
    /// The operator's side, if there is one.
    pub(super) admin: Option<SocketAddr>,
    /// The media server's.
    pub(super) origin: SocketAddr,
}

/// The configuration for these addresses and an API key, with secrets of its own.
pub(super) fn read(addresses: Addresses, api_key: &str) -> Result<Config, DemoError> {
    let mut text = filled(addresses, api_key);
    if let Some(admin) = addresses.admin {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n[admin]\naddress = \"{admin}\"\n");
    }
    Config::parse(&text, &mut NewSecrets).map_err(|errors| {
        let errors = errors.iter().map(ToString::to_string);
        DemoError::Config(errors.collect::<Vec<_>>().join("\n"))
    })
}

fn filled(addresses: Addresses, api_key: &str) -> String {
    let mut sha256 = String::new();
    for byte in Sha256::digest(api_key) {
        let _ = write!(sha256, "{byte:02x}");
    }
    TEXT.replace("{listen}", &addresses.listen.to_string())
        .replace("{origin}", &addresses.origin.to_string())
        .replace("{api_key_sha256}", &sha256)
}

/// Makes a new secret for each name.
struct NewSecrets;

impl SecretSource for NewSecrets {
    fn file(&mut self, _: &Path) -> io::Result<SecretText> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn env(&mut self, _: &str) -> io::Result<SecretText> {
        Ok(SecretText {
            text: new_secret()?,
            open_to_others: false,
        })
    }
}
