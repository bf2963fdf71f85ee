//! HTTP requests to media servers: the stream's server is asked, over a kept connection where there is one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, RETRY_AFTER};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::Empty;
use hyper::body::Incoming;
use tokio::time::timeout;

use crate::decision::permit::Permit;

use super::body::FetchBody;
use super::connection::{HttpConnection, Unanswered};
use super::dial::FIELD_LIMIT;
use super::failure::{Evidence, UpstreamFailure};
use super::head::FetchRequest;
use super::server::Server;
use super::{Upstream, UpstreamError, pool, redirect};

/// How many redirects are followed.
const REDIRECTS: usize = 3;

/// A media server's answer. Its headers are as they came, those of the connection among them.
#[derive(Debug)]
pub struct Fetched {
    /// `host:port` of the media server.
    pub server: Arc<str>,
    /// Any but 101, 5xx, and the redirects that were followed.
    pub status: StatusCode,
    /// Up to 64 fields in 16 KiB.
    pub headers: HeaderMap,
    /// Empty for HEAD, 204 and 304.
    pub body: FetchBody,
    /// Path and query of the last request, after all redirects.
    pub target: PathAndQuery,
}

impl Fetched {
    /// For the log.
    #[must_use]
    pub fn evidence(&self) -> Evidence {
        Evidence::answered(&self.server, &self.target, self.status, &self.headers)
    }
}

impl Upstream {
    /// The answer of the stream's media server, or of the next one when that cannot be reached, is late, or answers 404, 410
    /// or 5xx. A redirect to a media server is followed on the server that answered it, since all of them are taken to have
    /// the same paths. Not cancel safe: dropping the future closes the connection, as a caller that has lost its viewer needs.
    pub async fn fetch(
        &self,
        permit: &Permit,
        request: FetchRequest,
    ) -> Result<Fetched, UpstreamFailure> {
        // Only an answer that is held back by intent may use up the next server's share of the time.
        let held = match request.patience > self.patience.head {
            true => request.patience,
            false => Duration::ZERO,
        };
        let provoked = |error: &UpstreamError| match error {
            UpstreamError::TooLate | UpstreamError::ServerFault(_) | UpstreamError::Busy(_) => {
                request.held_back
            }
            UpstreamError::Refused
            | UpstreamError::UnknownName
            | UpstreamError::Unreachable
            | UpstreamError::Lost
            | UpstreamError::Outage
            | UpstreamError::NoStream(_)
            | UpstreamError::WrongStatus(_)
            | UpstreamError::WrongAnswer(_) => false,
        };
        let follow = |server| self.follow(server, &request);
        let lacks = |fetched: &Fetched| {
            let status = fetched.status;
            status == StatusCode::NOT_FOUND || status == StatusCode::GONE
        };
        self.in_turn(permit, held, provoked, lacks, follow).await
    }

    /// Asks one server, and the same one again for what it redirects to.
    async fn follow(
        &self,
        server: &Server,
        request: &FetchRequest,
    ) -> Result<Fetched, UpstreamFailure> {
        let mut target = request.target.clone();
        for _ in 0..=REDIRECTS {
            let answered = self.answer(server, request, &target).await;
            let (connection, answer) = answered.map_err(|error| {
                UpstreamFailure::from(error).about(|| Evidence::unanswered(server, Some(&target)))
            })?;
            let (head, incoming) = answer.into_parts();
            let evidence =
                || Evidence::answered(server.name(), &target, head.status, &head.headers);
            let failed = |error| Err(UpstreamFailure::from(error).about(evidence));
            if head.headers.len() > FIELD_LIMIT {
                return failed(UpstreamError::WrongAnswer("its head has too many fields"));
            }
            if head.status == StatusCode::SWITCHING_PROTOCOLS {
                return failed(UpstreamError::WrongAnswer(
                    "101 without an upgrade in the request",
                ));
            }
            if head.status == StatusCode::SERVICE_UNAVAILABLE
                && let Some(after) = retry_after(&head.headers)
            {
                return failed(UpstreamError::Busy(after));
            }
            if head.status.is_server_error() {
                return failed(UpstreamError::ServerFault(head.status.as_u16()));
            }
            // A body that should not be there may still come.
            let bodiless = request.method == Method::HEAD
                || matches!(
                    head.status,
                    StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
                );
            let idle = self.patience.media_idle;
            let body = FetchBody::new(server.id(), connection, incoming, idle, !bodiless);
            if !redirect::is_redirect(head.status) {
                return Ok(Fetched {
                    server: Arc::clone(server.name()),
                    status: head.status,
                    headers: head.headers,
                    body,
                    target,
                });
            }
            body.discard();
            let next = redirect::next(&target, &head.headers, |authority| {
                self.is_ours("http", authority)
            });
            target = match next {
                Ok(next) => next,
                Err(wrong) => return failed(UpstreamError::WrongAnswer(wrong)),
            };
        }
        let error = UpstreamError::WrongAnswer("too many redirects");
        Err(UpstreamFailure::from(error).about(|| Evidence::unanswered(server, Some(&target))))
    }

    /// One answer. A server may close an idle connection at any time, even while a request is on its way to it. So a kept
    /// connection that ends before the answer, or brings something that is no answer, is not this request's fault: the request
    /// is sent once more on a new connection, which is safe for GET and HEAD (RFC 9110 section 9.2.2).
    async fn answer(
        &self,
        server: &Server,
        request: &FetchRequest,
        target: &PathAndQuery,
    ) -> Result<(Box<HttpConnection>, Response<Incoming>), UpstreamError> {
        let wait = self.patience.head.max(request.patience);
        let asked = async |connection: &mut HttpConnection| {
            let asking = connection.ask(self.request(server, request, target));
            let asked = timeout(wait, asking).await;
            asked.map_err(|_| UpstreamError::TooLate)
        };
        if let Some(mut connection) = pool::take(server) {
            match asked(&mut connection).await? {
                Ok(answer) => return Ok((connection, answer)),
                // These bytes may have been on their way before the request was sent.
                Err(Unanswered::Malformed) => pool::distrust(server),
                Err(Unanswered::Closed) => {}
            }
        }
        let mut connection = HttpConnection::open(server, &self.patience).await?;
        match asked(&mut connection).await? {
            Ok(answer) => Ok((connection, answer)),
            Err(Unanswered::Malformed) => Err(UpstreamError::WrongAnswer("not HTTP")),
            Err(Unanswered::Closed) => Err(UpstreamError::Lost),
        }
    }

    fn request(
        &self,
        server: &Server,
        request: &FetchRequest,
        target: &PathAndQuery,
    ) -> Request<Empty<Bytes>> {
        let host = self.host.as_ref().map(|(_, host)| host);
        let mut asked = Request::new(Empty::new());
        *asked.method_mut() = request.method.clone();
        *asked.uri_mut() = Uri::from(target.clone());
        *asked.headers_mut() = request.headers.clone();
        let host = host.unwrap_or_else(|| server.authority()).clone();
        asked.headers_mut().insert(HOST, host);
        asked
    }
}

/// In how many seconds a media server can be asked again (RFC 9110 section 10.2.3); `None` also where it names a date.
pub fn retry_after(headers: &HeaderMap) -> Option<u32> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()
}
