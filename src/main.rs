//! The `h5gate` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    h5gate::cli::main()
}
