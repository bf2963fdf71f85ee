//! The demonstration's media server by itself, and what it would send, as a file: for scripts that look at it from
//! outside.
//!
//! ```text
//! demo_origin serve ADDRESS              until it is killed; writes the address that it got
//! demo_origin write STREAM FROM SECONDS  a progressive file of so many seconds, made at once, to standard output
//! ```

use std::error::Error;
use std::io::{Write as _, stdout};

use h5gate::demo::catalogue::Catalogue;
use h5gate::demo::origin;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["serve", address] => {
            let listener = TcpListener::bind(address).await?;
            writeln!(stdout(), "{}", listener.local_addr()?)?;
            Ok(origin::serve(listener, CancellationToken::new()).await?)
        }
        ["write", stream, from, seconds] => write(stream, from.parse()?, seconds.parse()?),
        _ => Err("demo_origin serve ADDRESS, or demo_origin write STREAM FROM SECONDS".into()),
    }
}

/// The whole groups of pictures from `from` seconds of media time on, at least `seconds` of them.
fn write(stream: &str, from: u64, seconds: u64) -> Result<(), Box<dyn Error>> {
    let catalogue = Catalogue::load()?;
    let clip = &catalogue.get(stream).ok_or("no such stream")?.clip;
    let fragment = u64::try_from(clip.fragment_duration().as_millis())?;
    let group = |seconds: u64| {
        (seconds * 1000)
            .div_ceil(fragment)
            .next_multiple_of(clip.group())
    };
    let mut out = stdout().lock();
    out.write_all(&clip.init())?;
    for index in group(from)..group(from + seconds) {
        out.write_all(&clip.fragment(index))?;
    }
    Ok(out.flush()?)
}
