//! The measuring side of the benchmark: a media server, its viewers, and relays that do nothing but relay. `../run`
//! starts it; see `../../README.md`.
//!
//! ```text
//! rig floor copy|shared|splice LISTEN MEDIA_SERVER            a bare relay, until killed
//! rig measure ROW key=value…                           one measurement, printed as one line of JSON
//! ```

mod floor;
mod hls;
mod origin;
mod process;
mod rows;
mod settings;
mod splice;
mod viewer;
mod wire;

use std::process::ExitCode;

use settings::Settings;

/// What goes wrong ends the measurement, with a sentence.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["floor", kind, listen, server] => floor::run(kind, listen, server),
        ["measure", row, rest @ ..] => Settings::read(rest)
            .and_then(|settings| rows::measure(row, settings))
            .map(|result| println!("{result}")),
        _ => Err(
            "usage: rig floor copy|shared|splice LISTEN MEDIA_SERVER | rig measure ROW key=value…"
                .into(),
        ),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rig: {error}");
            ExitCode::FAILURE
        }
    }
}
