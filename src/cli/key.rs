//! `h5gate key`: new secrets.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use zeroize::Zeroizing;

use super::{complain, print, say};
use crate::config::new_secret;

/// Commands about keys
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a new secret: 32 random bytes in base64
    New(New),
}

/// Where a new secret goes
#[derive(Debug, Args)]
pub struct New {
    /// Write it to this new file, readable by its owner alone, instead of printing it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Runs one command.
pub fn run(command: &Command) -> ExitCode {
    let Command::New(New { out }) = command;
    let secret = match new_secret() {
        Ok(secret) => secret,
        Err(error) => return fail(&format!("the system has no randomness: {error}")),
    };
    let Some(path) = out else {
        return print(&secret);
    };
    let file = path.display();
    match write(path, &secret) {
        Ok(()) => {
            say(&format!(
                "{file}: a new secret, readable by its owner alone"
            ));
            ExitCode::SUCCESS
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => fail(&format!(
            "{file} is there already and was left as it is: without its secret the tokens that it signed would be refused"
        )),
        Err(error) => fail(&format!("{file} cannot be written: {error}")),
    }
}

/// Writes a secret to a file that is new, and leaves no half of one.
fn write(path: &Path, secret: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let line = Zeroizing::new(format!("{secret}\n"));
    let written = file
        .write_all(line.as_bytes())
        .and_then(|()| file.sync_all());
    if written.is_err() {
        // The first error is the one that tells.
        let _ = fs::remove_file(path);
    }
    written
}

fn fail(message: &str) -> ExitCode {
    complain(message);
    ExitCode::FAILURE
}
