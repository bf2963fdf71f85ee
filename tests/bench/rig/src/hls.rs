//! HLS: a live playlist, segments of 1 MiB, and players that reload the one and fetch the other on keep-alive.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::rows::Measured;
use crate::settings::Settings;
use crate::{Result, process, wire};

/// Segments in the playlist.
const SEGMENTS: usize = 6;
/// Bytes of a segment.
const SEGMENT: usize = 1024 * 1024;
/// How long a proxy gets to finish what it does behind the last answer.
const SETTLE: Duration = Duration::from_millis(200);

/// The media server's whole answer to a request.
pub fn answer(head: &str) -> &'static [u8] {
    static PLAYLIST: OnceLock<Vec<u8>> = OnceLock::new();
    static SEGMENT_ANSWER: OnceLock<Vec<u8>> = OnceLock::new();
    let target = head.split(' ').nth(1).unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default();
    if path.ends_with(".m3u8") {
        PLAYLIST.get_or_init(|| {
            let mut text =
                "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:4711\n"
                    .to_owned();
            for number in 0..SEGMENTS {
                text += &format!("#EXTINF:2.000,\nsegment-{}.ts\n", 4711 + number);
            }
            whole(
                "application/vnd.apple.mpegurl",
                "max-age=1",
                text.as_bytes(),
            )
        })
    } else if path.ends_with(".ts") {
        SEGMENT_ANSWER.get_or_init(|| whole("video/mp2t", "max-age=60", &vec![0x47; SEGMENT]))
    } else {
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    }
}

fn whole(kind: &str, cache: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nCache-Control: {cache}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// One player's connection.
struct Player {
    socket: TcpStream,
    settings: Arc<Settings>,
    buffer: Vec<u8>,
}

/// What came for a request: its head, the beginning of its body (all of a playlist), and the body's length.
struct Answer {
    head: String,
    beginning: String,
    length: usize,
}

impl Player {
    async fn connect(settings: &Arc<Settings>) -> Result<Self> {
        let socket = TcpStream::connect(settings.proxy).await?;
        socket.set_nodelay(true)?;
        Ok(Self {
            socket,
            settings: Arc::clone(settings),
            buffer: vec![0; 256 * 1024],
        })
    }

    async fn get(&mut self, target: &str) -> Result<Answer> {
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: {}\r\n{}Accept: */*\r\n\r\n",
            self.settings.proxy,
            wire::BROWSER
        );
        self.socket.write_all(request.as_bytes()).await?;
        let mut have = 0;
        let head_length = loop {
            if let Some(length) = wire::head_length(&self.buffer[..have]) {
                break length;
            }
            match self.socket.read(&mut self.buffer[have..]).await? {
                0 => return Err("closed inside a head".into()),
                count => have += count,
            }
        };
        let head = String::from_utf8_lossy(&self.buffer[..head_length]).into_owned();
        let length = wire::header(&head, "content-length").map_or(Ok(0), str::parse)?;
        let mut taken = have - head_length;
        // Only the small bodies are looked at, and those fit.
        while taken < length && length <= self.buffer.len() - head_length {
            match self
                .socket
                .read(&mut self.buffer[head_length + taken..])
                .await?
            {
                0 => return Err("closed inside a body".into()),
                count => taken += count,
            }
        }
        let text = &self.buffer[head_length..(head_length + taken).min(self.buffer.len())];
        let beginning = if length < 64 * 1024 {
            String::from_utf8_lossy(text).into_owned()
        } else {
            String::new()
        };
        while taken < length {
            match self.socket.read(&mut self.buffer).await? {
                0 => return Err("closed inside a body".into()),
                count => taken += count,
            }
        }
        Ok(Answer {
            head,
            beginning,
            length,
        })
    }

    async fn get_ok(&mut self, target: &str) -> Result<Answer> {
        let answer = self.get(target).await?;
        if !answer.head.starts_with("HTTP/1.1 200 ") {
            return Err(format!("no 200 for {target} but {}", answer.head).into());
        }
        Ok(answer)
    }
}

/// A URI of a playlist, as a target.
fn beside(base: &str, uri: &str) -> String {
    if let Some((_, rest)) = uri.split_once("://") {
        return rest
            .find('/')
            .map_or("/".into(), |slash| rest[slash..].to_owned());
    }
    if uri.starts_with('/') {
        return uri.to_owned();
    }
    let path = base.split('?').next().unwrap_or_default();
    let mut folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut uri = uri;
    while let Some(above) = uri.strip_prefix("../") {
        folder = folder.rsplit_once('/').map_or("", |(folder, _)| folder);
        uri = above;
    }
    format!("{folder}/{uri}")
}

/// µs of processor time for each request of a playlist.
pub async fn playlists(settings: &Arc<Settings>) -> Result<Measured> {
    let (players, count) = (
        settings.number("players", 8)?,
        settings.number("count", 20_000)?,
    );
    let used = drive(settings, players, count, false).await?;
    Ok(vec![("cost", used.0 / 1e3 / used.1), ("units", used.1)])
}

/// ms of processor time for each GB of segments.
pub async fn segments(settings: &Arc<Settings>) -> Result<Measured> {
    let (players, count) = (
        settings.number("players", 4)?,
        settings.number("count", 1500)?,
    );
    let used = drive(settings, players, count, true).await?;
    let gigabytes = used.1 * SEGMENT as f64 / 1e9;
    Ok(vec![
        ("cost", used.0 / 1e6 / gigabytes),
        ("units", gigabytes),
    ])
}

/// Lets `players` make `count` requests; nanoseconds used and requests made.
async fn drive(
    settings: &Arc<Settings>,
    players: usize,
    count: usize,
    segments: bool,
) -> Result<(f64, f64)> {
    let each = count / players;
    let mut ready = Vec::new();
    for _ in 0..players {
        let mut player = Player::connect(settings).await?;
        let uris = |body: &str| -> Vec<String> {
            let lines = body.lines();
            let uris = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
            uris.map(str::to_owned).collect()
        };
        let mut playlist = settings.target.clone();
        let mut body = player.get_ok(&playlist).await?.beginning;
        // The gate begins with a multivariant playlist; what players reload is its variant.
        let by_ticket = body.contains("#EXT-X-STREAM-INF");
        if by_ticket {
            let variant = uris(&body).pop().unwrap_or_default();
            playlist = beside(&playlist, &variant);
            body = player.get_ok(&playlist).await?.beginning;
        }
        let named = uris(&body);
        if named.len() != SEGMENTS {
            return Err(format!("a playlist of {SEGMENTS} segments came as {body:?}").into());
        }
        // A peer's token opens all that its location serves; a link of the gate's carries its own ticket.
        let query = settings
            .target
            .split_once('?')
            .map_or("", |(_, query)| query);
        let target = |uri: &String| match (segments, by_ticket) {
            (false, _) => playlist.clone(),
            (true, true) => beside(&playlist, uri),
            (true, false) => format!("{}?{query}", beside(&playlist, uri)),
        };
        let targets: Vec<_> = named.iter().map(target).collect();
        for target in &targets {
            player.get_ok(target).await?;
        }
        ready.push((player, targets));
    }
    sleep(SETTLE).await;
    let before = process::cpu(settings.pid)?;
    let running: Vec<_> = ready
        .into_iter()
        .map(|(mut player, targets)| {
            tokio::spawn(async move {
                for target in targets.iter().cycle().take(each) {
                    let answer = player.get_ok(target).await?;
                    if segments && answer.length != SEGMENT {
                        return Err("a segment of another length".into());
                    }
                }
                // Kept until all have done, so that no end is counted.
                Result::Ok(player)
            })
        })
        .collect();
    let mut players = Vec::new();
    for one in running {
        players.push(one.await??);
    }
    sleep(SETTLE).await;
    let used = process::cpu_since(settings.pid, before)?;
    Ok((used as f64, (each * players.len()) as f64))
}
