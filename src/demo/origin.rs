//! The media server of the demonstration: H5Live on a WebSocket, live HLS, and an endless progressive file, on one
//! socket and in HTTP/1.1.
//!
//! | path | what |
//! |---|---|
//! | `/h5live/stream[/stream.mp4]?stream=NAME&flags=…` | H5Live on a WebSocket |
//! | `/h5live/http/playlist.m3u8?stream=NAME` | multivariant playlist |
//! | `/h5live/http/NAME/media.m3u8`, `…/init.mp4`, `…/N.m4s` | media playlist and its segments |
//! | `/h5live/http/stream.mp4?stream=NAME` | fragmented MP4 without an end |
//!
//! It checks no token: it stands behind the gate and belongs on loopback. A stream that does not exist is a 404.

mod hls;
mod progressive;
mod route;
mod viewer;

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::catalogue::Catalogue;
use super::clip::ClipError;
use super::timeline::Timeline;

/// How long a client may take over its request's head, and how long a connection may rest between two requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a viewer that takes nothing of what it was sent is waited for.
const STALL_TIMEOUT: Duration = Duration::from_secs(10);

/// When a peer that acknowledges nothing, or takes nothing of an HTTP answer, is given up (`TCP_USER_TIMEOUT`).
const USER_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a connection may take to end when the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// The most bytes that the kernel keeps unsent for one connection (`TCP_NOTSENT_LOWAT`): some seconds of media. What a
/// viewer does not take in time is then not sent at all, instead of late.
const UNSENT_LIMIT: u32 = 128 * 1024;

/// How long the accept loop rests after an error such as having no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What all connections share.
#[derive(Debug)]
struct Origin {
    catalogue: Catalogue,
    timeline: Timeline,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Serves until `stop`, and returns when every connection has ended, a second later at most. WebSocket viewers are then
/// told 1001. The timeline begins with the call.
///
/// An error only comes at once, and only when the clips in the binary are damaged. Dropping the future ends the accepting
/// alone; cancel `stop` instead.
pub async fn serve(listener: TcpListener, stop: CancellationToken) -> Result<(), ClipError> {
    let catalogue = Catalogue::load()?;
    let origin = Arc::new(Origin {
        timeline: Timeline::start(catalogue.fragment_duration()),
        catalogue,
        stop: stop.clone(),
        tasks: TaskTracker::new(),
    });
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, _)) => {
                let connection = connection(Arc::clone(&origin), socket);
                origin.tasks.spawn(connection);
            }
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    origin.tasks.close();
    origin.tasks.wait().await;
    Ok(())
}

/// One connection, until it ends or becomes a WebSocket, which is a task of its own.
async fn connection(origin: Arc<Origin>, socket: TcpStream) {
    if let Err(error) = set_options(&socket) {
        return tracing::debug!(%error, "a connection of the demo's media server ended early");
    }
    let stop = origin.stop.clone();
    let service = service_fn(|request| {
        let answer = route::answer(&origin, request);
        std::future::ready(Ok::<_, Infallible>(answer))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            timeout(STOP_TIMEOUT, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection of the demo's media server failed");
    }
}

/// Media leaves at once, and a peer that is gone or takes nothing is noticed.
fn set_options(socket: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(socket);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_notsent_lowat(UNSENT_LIMIT)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(USER_TIMEOUT))?;
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))
}
