//! A failure, and what an operator is told of the media server's part in it.

use std::sync::Arc;

use http::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use http::uri::PathAndQuery;
use http::{HeaderMap, StatusCode};

use super::UpstreamError;
use super::redirect::host_of;
use super::server::Server;

/// Why there is no use in what a media server did, and which one it was.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{error}")]
pub struct UpstreamFailure {
    /// What decides the answer to the viewer.
    pub error: UpstreamError,
    /// What is known of the server; `None` where none was asked.
    pub evidence: Option<Arc<Evidence>>,
}

/// Which media server was asked for what, and what of its answer is worth a line in the log.
#[derive(Clone, Debug)]
pub struct Evidence {
    server: Arc<str>,
    target: Option<PathAndQuery>,
    status: Option<StatusCode>,
    content_type: Option<HeaderValue>,
    location: Option<HeaderValue>,
}

impl UpstreamFailure {
    /// The same with this evidence, unless it has some of its own.
    #[must_use]
    pub fn about(self, evidence: impl FnOnce() -> Evidence) -> Self {
        let evidence = self.evidence.or_else(|| Some(Arc::new(evidence())));
        Self { evidence, ..self }
    }
}

impl From<UpstreamError> for UpstreamFailure {
    fn from(error: UpstreamError) -> Self {
        Self {
            error,
            evidence: None,
        }
    }
}

impl Evidence {
    /// Of a server that has not answered.
    pub(super) fn unanswered(server: &Server, target: Option<&PathAndQuery>) -> Self {
        Self {
            server: Arc::clone(server.name()),
            target: target.cloned(),
            status: None,
            content_type: None,
            location: None,
        }
    }

    /// Of an answer.
    #[must_use]
    pub fn answered(
        server: &Arc<str>,
        target: &PathAndQuery,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Self {
        Self {
            server: Arc::clone(server),
            target: Some(target.clone()),
            status: Some(status),
            content_type: headers.get(CONTENT_TYPE).cloned(),
            location: headers.get(LOCATION).cloned(),
        }
    }

    /// `host:port` of the server, as configured.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// What it was asked for last, without the query.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        self.target.as_ref().map(PathAndQuery::path)
    }

    /// What it answered.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.status.map(|status| status.as_u16())
    }

    /// The type that it gave its answer.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.content_type.as_ref()?.to_str().ok()
    }

    /// The host, and a port where one is named, that it redirected to; `None` also where that is the same server.
    #[must_use]
    pub fn redirect_host(&self) -> Option<&str> {
        host_of(self.location.as_ref()?.to_str().ok()?)
    }
}
