//! Where secrets come from: files beside the configuration, or the environment. Never the configuration itself.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::{Zeroize as _, Zeroizing};

use crate::token::SECRET_MIN_BYTES;

/// The longest secret file; 32 bytes take 45.
const FILE_LIMIT: usize = 16 * 1024;

/// A secret as it is written, wiped on drop.
pub struct SecretText {
    /// Base64.
    pub text: Zeroizing<String>,
    /// Whether others than the owner of its file may read or change it.
    pub open_to_others: bool,
}

impl std::fmt::Debug for SecretText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretText(…)")
    }
}

/// A new secret: 32 random bytes in base64.
pub fn new_secret() -> Result<Zeroizing<String>, getrandom::Error> {
    let mut secret = Zeroizing::new([0; SECRET_MIN_BYTES]);
    getrandom::fill(secret.as_mut())?;
    Ok(Zeroizing::new(STANDARD.encode(secret.as_ref())))
}

/// Gives secrets by name.
pub trait SecretSource {
    /// The text of a file; a relative path is relative to the configuration file. [`io::ErrorKind::InvalidData`] when there
    /// is such a file and it is no text.
    fn file(&mut self, path: &Path) -> io::Result<SecretText>;

    /// The value of an environment variable; [`io::ErrorKind::NotFound`] when it is not set.
    fn env(&mut self, name: &str) -> io::Result<SecretText>;
}

/// The files and the environment of this process.
#[derive(Clone, Debug)]
pub struct SystemSecrets {
    directory: PathBuf,
}

impl SystemSecrets {
    /// `directory` is where relative paths begin.
    #[must_use]
    pub fn beside(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
        }
    }
}

/// What is there and cannot be a secret.
fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl SecretSource for SystemSecrets {
    fn file(&mut self, path: &Path) -> io::Result<SecretText> {
        let file = File::open(self.directory.join(path))?;
        let open_to_others = file.metadata()?.permissions().mode() & 0o077 != 0;
        // As large as it may become, so that no copy of it stays behind when it grows.
        let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_LIMIT + 1));
        file.take(FILE_LIMIT as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > FILE_LIMIT {
            return Err(wrong("the file is longer than 16 KiB"));
        }
        let is_utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
        let text = String::from_utf8(std::mem::take(&mut *bytes)).map_err(|error| {
            error.into_bytes().zeroize();
            wrong(if is_utf16 {
                "the file is UTF-16; save it as UTF-8 without a byte order mark"
            } else {
                "the file is not text; write the secret in base64, as `h5gate key new` does"
            })
        })?;
        Ok(SecretText {
            text: Zeroizing::new(text),
            open_to_others,
        })
    }

    fn env(&mut self, name: &str) -> io::Result<SecretText> {
        let text = std::env::var(name).map_err(|error| match error {
            std::env::VarError::NotPresent => io::Error::from(io::ErrorKind::NotFound),
            std::env::VarError::NotUnicode(_) => wrong("the value is not text"),
        })?;
        Ok(SecretText {
            text: Zeroizing::new(text),
            open_to_others: false,
        })
    }
}
