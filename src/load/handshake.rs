//! The opening handshake of a WebSocket (RFC 6455 section 4.1) as a player's browser does it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::attempt::Context;
use super::end::Failure;
use super::fetch::verdict;

/// The longest head of an answer, and the most that is read of a refusal's body.
const HEAD_LIMIT: usize = 16 * 1024;

/// Fields of an answer's head.
const FIELDS: usize = 64;

/// Why it did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unopened {
    /// The gate's verdict, in an HTTP answer.
    Refused(u16),
    /// Something else.
    Failure(Failure),
}

impl From<Failure> for Unopened {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// Connects and opens a WebSocket; the socket, and what came right behind the answer. No deadline of its own.
pub async fn open(context: &Context, query: &str) -> Result<(TcpStream, Vec<u8>), Unopened> {
    let lost = |error: &std::io::Error| Unopened::Failure(Failure::from(error));
    let target = &context.target;
    let mut socket = TcpStream::connect(target.address)
        .await
        .map_err(|error| lost(&error))?;
    // An option that is not taken costs time, not correctness.
    let _ = socket.set_nodelay(true);
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).map_err(|_| Failure::Connection)?;
    let key = STANDARD.encode(nonce);
    let path = if context.plan.direct {
        "/h5live/stream/stream.mp4"
    } else {
        "/h5live/authstream/stream.mp4"
    };
    let request = format!(
        "GET {}{path}?{query} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\
         User-Agent: h5gate-load\r\n\r\n",
        target.prefix, target.authority
    );
    socket
        .write_all(request.as_bytes())
        .await
        .map_err(|error| lost(&error))?;
    let mut answer = Vec::new();
    loop {
        let read = socket.read_buf(&mut answer).await;
        let ended = read.map_err(|error| lost(&error))? == 0;
        match judge(&answer, &key, ended)? {
            Some(head) => return Ok((socket, answer.split_off(head))),
            None if ended => return Err(Failure::CutShort.into()),
            None => {}
        }
    }
}

/// The length of the head when it is complete and agrees to be a WebSocket; `None` when more is needed.
fn judge(answer: &[u8], key: &str, ended: bool) -> Result<Option<usize>, Unopened> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut head = httparse::Response::new(&mut fields);
    let length = match head.parse(answer) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if answer.len() < HEAD_LIMIT => return Ok(None),
        Ok(httparse::Status::Partial) | Err(_) => return Err(Failure::BadAnswer.into()),
    };
    let field = |name: &str| {
        let mut found = head.headers.iter();
        found.find(|field| field.name.eq_ignore_ascii_case(name))
    };
    let status = head.code.unwrap_or_default();
    if status == 101 {
        let accept = derive_accept_key(key.as_bytes());
        let agrees =
            field("sec-websocket-accept").is_some_and(|field| field.value == accept.as_bytes());
        return if agrees {
            Ok(Some(length))
        } else {
            Err(Failure::BadAnswer.into())
        };
    }
    let body = answer.get(length..).unwrap_or_default();
    let announced = field("content-length")
        .and_then(|field| std::str::from_utf8(field.value).ok()?.parse::<usize>().ok());
    let whole = announced.is_some_and(|announced| body.len() >= announced);
    match verdict(body) {
        Some(code) => Err(Unopened::Refused(code)),
        None if whole || ended || body.len() >= HEAD_LIMIT => Err(Failure::Status(status).into()),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    #[test]
    fn an_answer_is_an_agreement_a_verdict_or_a_failure() {
        let refused = |status: &str, body: &str| {
            format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
        };
        let good =
            format!("HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\r\n");
        let cases = [
            (good.clone(), Ok(Some(good.len()))),
            (good[..good.len() - 1].to_owned(), Ok(None)),
            (format!("{good}frame"), Ok(Some(good.len()))),
            (good.replace("s3pP", "S3pP"), Err(Failure::BadAnswer.into())),
            (
                refused("403 Forbidden", r#"{"code":4903,"receipt":"r"}"#),
                Err(Unopened::Refused(4903)),
            ),
            (refused("503 Busy", ""), Err(Failure::Status(503).into())),
            (
                "HTTP/1.1 403 Forbidden\r\nContent-Length: 27\r\n\r\n{".to_owned(),
                Ok(None),
            ),
            ("SSH-2.0-x\r\n".to_owned(), Err(Failure::BadAnswer.into())),
        ];
        for (answer, expected) in cases {
            assert_eq!(judge(answer.as_bytes(), KEY, false), expected, "{answer}");
        }
        let unbounded = b"HTTP/1.0 404 Not Found\r\n\r\nnothing";
        assert_eq!(judge(unbounded, KEY, false), Ok(None));
        assert_eq!(
            judge(unbounded, KEY, true),
            Err(Failure::Status(404).into())
        );
    }
}
