//! A media server made of a script, on the test's own runtime, so that paused time and sockets keep step; and what is
//! needed to ask it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use h5gate::decision::permit::Permit;
use h5gate::request::client_address::ClientAddress;
use h5gate::upstream::body::{BodyError, FetchBody};
use h5gate::upstream::fetch::Fetched;
use h5gate::upstream::head::FetchRequest;
use h5gate::upstream::{Patience, Upstream, UpstreamError};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A media server; it ends with its value.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    seen: watch::Receiver<Seen>,
    _accepting: JoinSet<()>,
}

/// What a media server has seen so far.
#[derive(Clone, Default)]
pub(crate) struct Seen {
    pub(crate) connections: usize,
    /// How many the gate has closed, or their script.
    pub(crate) closed: usize,
    pub(crate) heads: Vec<String>,
}

/// A request, as the script sees it.
pub(crate) struct Asked {
    /// Which connection since the start, from 1.
    pub(crate) connection: usize,
    /// Which request on it, from 1.
    pub(crate) turn: usize,
    pub(crate) head: String,
}

/// What a script does with a request. At the end of its steps the connection waits for the next one.
pub(crate) enum Step {
    Send(Vec<u8>),
    /// Waits until this much of the virtual time is over.
    Pause(Duration),
    /// Closes with all that was sent.
    Close,
    /// Closes so that the gate sees a reset.
    Reset,
    /// Closes its own half and waits until the gate closes the other.
    EndOfSending,
    /// Says nothing more until the gate closes.
    Hang,
}

impl Step {
    pub(crate) fn send(bytes: impl Into<Vec<u8>>) -> Self {
        Self::Send(bytes.into())
    }
}

type Script = dyn Fn(&Asked) -> Vec<Step> + Send + Sync;

impl Origin {
    pub(crate) async fn start(
        script: impl Fn(&Asked) -> Vec<Step> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, seen) = watch::channel(Seen::default());
        let (tell, script): (_, Arc<Script>) = (Arc::new(tell), Arc::new(script));
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                tell.send_modify(|seen| seen.connections += 1);
                let number = tell.borrow().connections;
                let (tell, script) = (Arc::clone(&tell), Arc::clone(&script));
                connections.spawn(async move {
                    serve(socket, number, &tell, script.as_ref()).await;
                    tell.send_modify(|seen| seen.closed += 1);
                });
            }
        });
        Self {
            address,
            seen,
            _accepting: accepting,
        }
    }

    /// Answers every request with 200 and this text.
    pub(crate) async fn saying(text: &'static str) -> Self {
        Self::start(move |_| vec![Step::send(ok(text))]).await
    }

    /// Answers every request with these bytes.
    pub(crate) async fn sending(bytes: &'static str) -> Self {
        Self::start(move |_| vec![Step::send(bytes)]).await
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    /// Waits until so many connections have been closed.
    pub(crate) async fn closed(&self, count: usize) {
        self.until(|seen| seen.closed >= count).await;
    }

    /// Waits until so many requests have come.
    pub(crate) async fn asked(&self, count: usize) {
        self.until(|seen| seen.heads.len() >= count).await;
    }

    async fn until(&self, condition: impl FnMut(&Seen) -> bool) {
        let mut seen = self.seen.clone();
        let waited = tokio::time::timeout(Duration::from_secs(20), seen.wait_for(condition)).await;
        waited.expect("waited in vain").unwrap();
    }
}

async fn serve(
    mut socket: TcpStream,
    connection: usize,
    tell: &watch::Sender<Seen>,
    script: &Script,
) {
    socket.set_nodelay(true).unwrap();
    for turn in 1.. {
        let Some(head) = read_head(&mut socket).await else {
            return;
        };
        tell.send_modify(|seen| seen.heads.push(head.clone()));
        for step in script(&Asked {
            connection,
            turn,
            head,
        }) {
            match step {
                Step::Send(bytes) => {
                    if socket.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
                Step::Pause(time) => tokio::time::sleep(time).await,
                Step::Close => return,
                Step::Reset => {
                    socket.set_zero_linger().unwrap();
                    return;
                }
                Step::EndOfSending => {
                    socket.shutdown().await.unwrap();
                    let _ = socket.read(&mut [0]).await;
                    return;
                }
                Step::Hang => {
                    let _ = socket.read(&mut [0]).await;
                    return;
                }
            }
        }
    }
}

async fn read_head(socket: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

/// A whole answer.
pub(crate) fn ok(text: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    )
}

/// An address where nobody listens.
pub(crate) fn nobody() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

pub(crate) const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(2),
    head: Duration::from_secs(10),
    total: Duration::from_secs(8),
    backoff: Duration::from_secs(5),
    user_timeout: Duration::from_secs(30),
    media_idle: Duration::from_secs(60),
    outage_hold: Duration::ZERO,
};

pub(crate) fn upstream(servers: &[SocketAddr], host: Option<&str>) -> Upstream {
    let servers = servers.iter().map(|server| format!("http://{server}"));
    let servers = servers.map(|server| server.parse().unwrap()).collect();
    let host = host.map(|host| host.parse().unwrap());
    Upstream::new(servers, host, PATIENCE, 100)
}

/// A permit for a stream, with a tag.
pub(crate) fn permit(stream: &str) -> Permit {
    let address = ClientAddress::Known(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)));
    super::permit::permit(stream, address, |grant| {
        grant.tag = "a tag".parse().unwrap();
    })
}

pub(crate) fn get(target: &str) -> FetchRequest {
    FetchRequest::shared(target).unwrap()
}

pub(crate) async fn fetch(upstream: &Upstream, target: &str) -> Result<Fetched, UpstreamError> {
    let fetched = upstream.fetch(&permit("abcde-one"), get(target)).await;
    fetched.map_err(|failure| failure.error)
}

/// The whole body, or what came before its error.
pub(crate) async fn read(mut body: FetchBody) -> (Vec<u8>, Result<(), BodyError>) {
    let mut all = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => all.extend_from_slice(&frame.into_data().unwrap()),
            Err(error) => return (all, Err(error)),
        }
    }
    assert!(body.is_end_stream());
    (all, Ok(()))
}

/// Asks, and reads the whole text of the answer.
pub(crate) async fn text(upstream: &Upstream, target: &str) -> String {
    let (body, end) = read(fetch(upstream, target).await.unwrap().body).await;
    assert_eq!(end, Ok(()));
    String::from_utf8(body).unwrap()
}
