//! HTTP requests one after the other on one connection that is kept, to the gate and nowhere else.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{HOST, HeaderValue};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;

use super::end::Failure;
use super::target::Target;

/// What one connection reads at a time: thousands of viewers have one each.
const READ_LIMIT: usize = 16 * 1024;

/// One keep-alive connection, opened when it is needed.
#[derive(Debug)]
pub struct Fetcher {
    address: SocketAddr,
    host: Option<HeaderValue>,
    prefix: String,
    connection: Option<SendRequest<Full<Bytes>>>,
    /// Drives the connections.
    tasks: TaskTracker,
}

/// What the gate says of a refusal: `{"code":4903,"receipt":"…"}`.
#[derive(Deserialize)]
struct Refusal {
    code: u16,
}

/// The verdict in an HTTP refusal's body, if it is the gate's.
#[must_use]
pub fn verdict(body: &[u8]) -> Option<u16> {
    serde_json::from_slice::<Refusal>(body)
        .ok()
        .map(|refusal| refusal.code)
}

impl Fetcher {
    /// To one gate; connections are driven by `tasks`.
    #[must_use]
    pub fn new(target: &Target, tasks: TaskTracker) -> Self {
        Self {
            address: target.address,
            host: target.authority.parse().ok(),
            prefix: target.prefix.clone(),
            connection: None,
            tasks,
        }
    }

    /// A path of the gate, behind the prefix of its URL.
    #[must_use]
    pub fn path(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    /// Sends a request and gives the head of its answer. The body must be read to its end, or the next request takes
    /// another connection. No deadline of its own. Dropping it loses the connection's place: call [`Fetcher::forget`].
    pub async fn send(
        &mut self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Failure> {
        if let Some(host) = &self.host {
            request.headers_mut().insert(HOST, host.clone());
        }
        // A kept connection may have been closed while it rested: what was not sent at all is sent on another.
        if let Some(connection) = &mut self.connection
            && connection.ready().await.is_ok()
        {
            match connection.try_send_request(request).await {
                Ok(answer) => return Ok(answer),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => {
                        self.connection = None;
                        return Err(Failure::CutShort);
                    }
                },
            }
        }
        let connection = self.connection.insert(self.connect().await?);
        connection
            .send_request(request)
            .await
            .map_err(|_| Failure::CutShort)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Failure> {
        let socket = TcpStream::connect(self.address)
            .await
            .map_err(|error| Failure::from(&error))?;
        // An option that is not taken costs time, not correctness.
        let _ = socket.set_nodelay(true);
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(READ_LIMIT)
            .handshake(TokioIo::new(socket))
            .await
            .map_err(|_| Failure::Connection)?;
        self.tasks.spawn(async move {
            // The request that reads the answer sees the connection's end.
            let _ = connection.await;
        });
        Ok(sender)
    }

    /// Closes the connection; the next request opens another.
    pub fn forget(&mut self) {
        self.connection = None;
    }

    /// A whole body of at most `limit` bytes.
    pub async fn whole(body: Incoming, limit: usize) -> Result<Bytes, Failure> {
        let body = Limited::new(body, limit).collect().await;
        Ok(body.map_err(|_| Failure::CutShort)?.to_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_the_gates_own_form() {
        assert_eq!(verdict(br#"{"code":4903,"receipt":"r"}"#), Some(4903));
        for other in [
            &b""[..],
            b"Forbidden",
            b"{}",
            br#"{"code":"4903"}"#,
            br#"{"code":70000}"#,
        ] {
            assert_eq!(verdict(other), None);
        }
    }
}
