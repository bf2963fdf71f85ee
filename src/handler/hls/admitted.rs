//! What admission says of a request: it may be answered, as a part of this playback.

use std::sync::Arc;

use crate::decision::permit::Permit;
use crate::hls::session::HlsSession;
use crate::request::client_address::ClientAddress;

/// A request that may be answered.
#[derive(Debug)]
pub struct Admitted {
    /// The playback that it is a part of.
    pub session: Arc<HlsSession>,
    /// What may be played.
    pub permit: Permit,
    /// Where the request came from: the playback may have been allowed elsewhere.
    pub address: ClientAddress,
}

/// What an admitted request asked for, for the log.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The request.
    pub admitted: &'a Admitted,
    /// The path on the media server.
    pub path: &'a str,
}

impl Admitted {
    /// By a decision about this request.
    pub fn new(session: Arc<HlsSession>, permit: Permit) -> Self {
        let address = permit.address();
        Self {
            session,
            permit,
            address,
        }
    }

    /// Without a decision, as a part of a playback that plays at this address; `None` when it has just ended.
    pub fn going_on(session: Arc<HlsSession>, address: ClientAddress) -> Option<Self> {
        let permit = session.permit()?;
        Some(Self {
            session,
            permit,
            address,
        })
    }
}
