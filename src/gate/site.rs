//! Pages beside the endpoints.

use std::fmt;

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use http_body_util::Full;

/// Answers requests that are for no endpoint, such as those for a page; `None` is not found.
pub struct Site(Box<SiteAnswer>);

type SiteAnswer = dyn Fn(&Parts) -> Option<Response<Full<Bytes>>> + Send + Sync;

impl Site {
    /// From what answers.
    pub fn new(
        answer: impl Fn(&Parts) -> Option<Response<Full<Bytes>>> + Send + Sync + 'static,
    ) -> Self {
        Self(Box::new(answer))
    }

    /// The answer to a request, if there is one.
    #[must_use]
    pub fn answer(&self, head: &Parts) -> Option<Response<Full<Bytes>>> {
        (self.0)(head)
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Site")
    }
}
