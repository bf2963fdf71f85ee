//! The `h5gate` command.

use std::process::ExitCode;

use h5gate::clock::Clock;

fn main() -> ExitCode {
    h5gate::cli::run(std::env::args_os(), &Clock::system())
}
