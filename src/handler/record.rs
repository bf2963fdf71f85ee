//! What is counted and logged: one line when a playback starts or is refused, one when it ends. Never a token.

use std::fmt::{self, Write as _};

use http::StatusCode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use crate::decision::denial::Denial;
use crate::decision::permit::Permit;
use crate::gate::Gate;
use crate::hls::session::HlsSession;
use crate::hls::sessions::Ended;
use crate::metrics::{Answered, Verdict, Why};
use crate::refusal::Refusal;
use crate::relay::RelayEnd;
use crate::request::client_address::ClientAddress;
use crate::session::Transport;
use crate::session::guard::SessionGuard;
use crate::session::id::{Receipt, SessionId};
use crate::token::StreamName;
use crate::upstream::failure::Evidence;

use super::hls::admitted::{Admitted, Asked};
use super::refused::Refused;
use super::websocket::{NoServer, Playback};

const GRANTED: Verdict = Verdict {
    verdict: "granted",
    reason: "",
    code: 0,
};

pub(super) fn started(gate: &Gate, session: SessionId, transport: Transport, permit: &Permit) {
    gate.metrics.verdicts.get_or_create(&GRANTED).inc();
    let (claims, facts) = (permit.claims(), permit.facts());
    tracing::info!(
        %session,
        transport = transport.name(),
        stream = %permit.stream(),
        address = %facts.address,
        referer = %facts.referer,
        inherited = facts.inherited,
        key = %claims.key,
        token = %claims.grant.id,
        tag = claims.grant.tag.as_str(),
        "playback started"
    );
}

/// Notes an answer of a playback over HTTP with something of the media: it starts by the first one.
pub(super) fn begun(gate: &Gate, admitted: &Admitted) {
    if admitted.session.begin() {
        started(
            gate,
            admitted.session.id(),
            Transport::Hls,
            &admitted.permit,
        );
    }
}

pub(super) fn checked(gate: &Gate, permit: &Permit) {
    let verdict = Verdict {
        verdict: "checked",
        reason: "",
        code: u32::from(crate::refusal::CHECK_PASSED),
    };
    gate.metrics.verdicts.get_or_create(&verdict).inc();
    tracing::info!(stream = %permit.stream(), address = %permit.address(), "playback checked");
}

pub(super) fn refused(gate: &Gate, refused: &Refused, refusal: &Refusal, receipt: Receipt) {
    let verdict = if refused.is_probe() {
        "probe"
    } else {
        "refused"
    };
    count(&gate.metrics.verdicts, verdict, refusal);
    if refused.is_probe() {
        return tracing::debug!(%receipt, "probe for a security service");
    }
    if !gate.refusal_lines.take(refused.address) {
        return;
    }
    let request = refused.request.as_deref();
    let (claims, subject) = (refused.denial.claims(), &refused.subject);
    tracing::info!(
        %receipt,
        code = refusal.code,
        reason = refusal.label,
        fault = ?refusal.fault,
        detail = %Brief(&refused.denial),
        session = subject.session.map(tracing::field::display),
        stream = request.map(|r| &r.stream).or(subject.stream.as_ref()).map(StreamName::as_str),
        path = subject.path.as_ref().map(|path| tracing::field::display(Brief(path))),
        address = %refused.address,
        referer = request.map(|r| tracing::field::display(Brief(&r.referer))),
        key = claims.map(|c| tracing::field::display(&c.key)),
        token = claims.map(|c| tracing::field::display(c.grant.id)),
        tag = claims.map(|c| c.grant.tag.as_str()),
        jwtoken = request.filter(|r| r.jwt).map(|_| "there is one, which is not checked"),
        "playback refused"
    );
}

/// Notes the refusal of a request for a playback that the gate has ended.
pub(super) fn refused_as_over(
    gate: &Gate,
    session: SessionId,
    address: ClientAddress,
    refusal: &Refusal,
    receipt: Receipt,
) {
    count(&gate.metrics.verdicts, "refused", refusal);
    if !gate.refusal_lines.take(address) {
        return;
    }
    tracing::info!(
        %receipt,
        code = refusal.code,
        reason = refusal.label,
        fault = ?refusal.fault,
        detail = "the playback is over",
        %session,
        %address,
        "playback refused"
    );
}

pub(super) fn switched(gate: &Gate, session: SessionId, permit: &Permit) {
    gate.metrics.switches.get_or_create(&GRANTED).inc();
    tracing::info!(%session, stream = %permit.stream(), token = %permit.claims().grant.id, "playback switches");
}

pub(super) fn switch_refused(
    gate: &Gate,
    guard: &SessionGuard,
    denial: &Denial,
    refusal: &Refusal,
) {
    count(&gate.metrics.switches, "refused", refusal);
    if !gate.refusal_lines.take(guard.permit().address()) {
        return;
    }
    let session = guard.id();
    tracing::info!(%session, code = refusal.code, reason = refusal.label, detail = %Brief(denial), "switch refused");
}

pub(super) fn no_server(
    gate: &Gate,
    playback: &Playback,
    why: &NoServer,
    refusal: &Refusal,
    receipt: Receipt,
) {
    let reason = Why {
        reason: refusal.label,
    };
    gate.metrics.ends.get_or_create(&reason).inc();
    if matches!(why, NoServer::Upstream(_)) {
        gate.metrics.upstream_errors.get_or_create(&reason).inc();
    }
    let evidence = match why {
        NoServer::Upstream(failure) => failure.evidence.as_deref(),
        NoServer::Interrupted(_) => None,
    };
    tracing::warn!(
        session = %playback.guard.id(),
        server = evidence.map(Evidence::server),
        %receipt,
        stream = %playback.permit.stream(),
        code = refusal.code,
        reason = refusal.label,
        detail = %why,
        "playback ended without a media server"
    );
}

pub(super) fn ended(gate: &Gate, guard: &SessionGuard, end: &RelayEnd, receipt: Receipt) {
    let refusal = Refusal::from(end.cause);
    gate.metrics
        .ends
        .get_or_create(&Why {
            reason: refusal.label,
        })
        .inc();
    gate.metrics.bytes_to_viewers.inc_by(end.to_viewer);
    gate.metrics.bytes_to_servers.inc_by(end.to_server);
    tracing::info!(
        session = %guard.id(),
        %receipt,
        reason = refusal.label,
        detail = ?end.cause,
        to_viewer = end.to_viewer,
        to_server = end.to_server,
        "playback ended"
    );
}

pub(super) fn moved(session: &HlsSession, permit: &Permit) {
    let facts = permit.facts();
    tracing::info!(
        session = %session.id(),
        address = %facts.address,
        referer = %facts.referer,
        inherited = facts.inherited,
        "playback moved"
    );
}

/// Notes the playbacks over HTTP that ended to make room for a new session.
pub(super) fn ended_for_room(gate: &Gate) {
    for ended in gate.hls.take_ended() {
        quiet_or_ended(gate, &ended);
    }
}

/// Notes the end of a playback over HTTP: by the gate, or because its viewer has been quiet.
pub(super) fn quiet_or_ended(gate: &Gate, ended: &Ended) {
    // What never started has no end.
    if !ended.session.has_begun() {
        return;
    }
    let label = ended.kick.map_or("quiet", |kick| Refusal::from(kick).label);
    gate.metrics
        .ends
        .get_or_create(&Why { reason: label })
        .inc();
    let to_viewer = ended.session.bytes();
    gate.metrics.bytes_to_viewers.inc_by(to_viewer);
    tracing::info!(session = %ended.session.id(), reason = label, to_viewer, "playback ended");
}

/// Why an admitted request over HTTP has no media.
pub(super) struct NoMedia<'a> {
    /// In the body of the answer, where it has one.
    pub code: Option<u16>,
    /// In one word.
    pub reason: &'static str,
    /// In a sentence.
    pub detail: &'a dyn fmt::Display,
    /// What is known of the media server.
    pub evidence: Option<&'a Evidence>,
}

pub(super) fn media_server_failed(gate: &Gate, refusal: &Refusal) {
    let reason = Why {
        reason: refusal.label,
    };
    gate.metrics.upstream_errors.get_or_create(&reason).inc();
}

/// Notes an admitted request over HTTP that is answered without media.
pub(super) fn no_media(gate: &Gate, asked: &Asked<'_>, why: &NoMedia<'_>, receipt: Receipt) {
    let Asked { admitted, path } = *asked;
    let address = admitted.address;
    if !gate.refusal_lines.take(address) {
        return;
    }
    let evidence = why.evidence;
    let path = evidence.and_then(Evidence::path).unwrap_or(path);
    let brief = |text| tracing::field::display(Brief(text));
    tracing::warn!(
        %receipt,
        session = %admitted.session.id(),
        stream = %admitted.permit.stream(),
        code = why.code,
        reason = why.reason,
        detail = %why.detail,
        server = evidence.map(Evidence::server),
        path = brief(path),
        status = evidence.and_then(Evidence::status),
        content_type = evidence.and_then(Evidence::content_type).map(brief),
        redirect_host = evidence.and_then(Evidence::redirect_host).map(brief),
        %address,
        "no media for a request"
    );
}

pub(super) fn answered(gate: &Gate, status: StatusCode) {
    let status = status.as_u16().into();
    gate.metrics
        .http_answers
        .get_or_create(&Answered { status })
        .inc();
}

pub(super) fn token_api(gate: &Gate, outcome: &'static str) {
    gate.metrics
        .token_api
        .get_or_create(&Why { reason: outcome })
        .inc();
}

pub(super) fn rejected(gate: &Gate, reason: &'static str) {
    gate.metrics.rejections.get_or_create(&Why { reason }).inc();
    tracing::debug!(reason, "request rejected");
}

fn count(verdicts: &Family<Verdict, Counter>, verdict: &'static str, refusal: &Refusal) {
    let labels = Verdict {
        verdict,
        reason: refusal.label,
        code: refusal.code.into(),
    };
    verdicts.get_or_create(&labels).inc();
}

/// The most bytes of a text in one field of a line.
const BRIEF: usize = 400;

/// A text of which a line has no more than [`BRIEF`] bytes, however long the viewer has made it.
struct Brief<T>(T);

impl<T: fmt::Display> fmt::Display for Brief<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shortened = Shortened { to: f, room: BRIEF };
        // It ends with an error where there is no more room.
        let whole = write!(shortened, "{}", self.0).is_ok();
        if whole { Ok(()) } else { f.write_str("…") }
    }
}

struct Shortened<'a, 'b> {
    to: &'a mut fmt::Formatter<'b>,
    room: usize,
}

impl fmt::Write for Shortened<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let part = text
            .get(..text.floor_char_boundary(self.room))
            .unwrap_or_default();
        self.to.write_str(part)?;
        self.room -= part.len();
        if part.len() < text.len() {
            self.room = 0;
            return Err(fmt::Error);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_shortened_between_two_characters() {
        assert_eq!(Brief("short").to_string(), "short");
        let whole = "x".repeat(BRIEF);
        assert_eq!(Brief(&whole).to_string(), whole);
        assert_eq!(Brief(whole.clone() + "y").to_string(), whole + "…");
        assert_eq!(
            Brief("é".repeat(BRIEF)).to_string(),
            "é".repeat(BRIEF / 2) + "…"
        );
        let pieces = format_args!("{}{}", "x".repeat(BRIEF - 1), "é").to_string();
        assert_eq!(Brief(pieces).to_string(), "x".repeat(BRIEF - 1) + "…");
    }
}
