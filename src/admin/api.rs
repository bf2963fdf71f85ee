//! `/metrics`, the sessions and the revocations.

use bytes::Bytes;
use http::header::HeaderValue;
use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::decision::revocation::{Revocation, RevocationId, Target};
use crate::gate::Gate;
use crate::session::Transport;
use crate::session::id::SessionId;
use crate::session::live::Session;
use crate::token::{Owner, UnixSeconds, User};

use super::respond;

const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Sessions in one answer, unless `limit` asks for fewer.
const PAGE: usize = 1000;

/// Whether a content type is JSON.
pub fn is_json(value: &HeaderValue) -> bool {
    let essence = value
        .to_str()
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

/// Answers a request that may be answered.
pub async fn answer(gate: &Gate, head: &Parts, body: &[u8]) -> Response<Full<Bytes>> {
    let path: Vec<_> = head.uri.path().split('/').skip(1).collect();
    match (&head.method, path.as_slice()) {
        (&Method::GET | &Method::HEAD, ["metrics"]) => {
            respond(StatusCode::OK, METRICS_TYPE, gate.metrics_text())
        }
        (&Method::GET | &Method::HEAD, ["api", "sessions"]) => {
            sessions(gate, head.uri.query().unwrap_or_default())
        }
        (&Method::DELETE, ["api", "sessions", id]) => end_session(gate, id).await,
        (&Method::GET | &Method::HEAD, ["api", "revocations"]) => {
            let list: Vec<_> = gate
                .revocations()
                .list()
                .iter()
                .map(revocation_json)
                .collect();
            json_answer(StatusCode::OK, &json!({ "revocations": list }))
        }
        (&Method::POST, ["api", "revocations"]) => revoke(gate, body).await,
        (&Method::DELETE, ["api", "revocations", id]) => lift(gate, id).await,
        (_, ["metrics" | "healthz" | "readyz"] | ["api", "sessions" | "revocations", ..]) => error(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            None,
            "this method does nothing here",
        ),
        _ => not_found(),
    }
}

/// `GET /api/sessions?organisation&stream&tag&address&token_id&transport&after&limit`, in the order of their ids.
fn sessions(gate: &Gate, query: &str) -> Response<Full<Bytes>> {
    let mut filters = Vec::new();
    let (mut after, mut limit) = (None, PAGE);
    for (key, value) in form_pairs(query) {
        match key.as_str() {
            "organisation" | "stream" | "tag" | "address" | "token_id" | "transport" => {
                filters.push((key, value));
            }
            "after" => match SessionId::parse(&value) {
                Some(id) => after = Some(id),
                None => return bad("after", "must be the id of a session"),
            },
            "limit" => match value.parse() {
                Ok(count @ 1..=PAGE) => limit = count,
                _ => return bad("limit", "must be a number from 1 to 1000"),
            },
            _ => return bad(&key, "is not a filter of sessions"),
        }
    }
    let fits = |session: &Value| {
        filters
            .iter()
            .all(|(key, value)| session.get(key) == Some(&json!(value)))
    };
    let later = gate
        .sessions
        .list()
        .into_iter()
        .filter(|session| after.is_none_or(|after| session.id() > after));
    let mut found: Vec<_> = later
        .map(|session| session_json(&session))
        .filter(fits)
        .take(limit + 1)
        .collect();
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found
        .last()
        .filter(|_| more)
        .and_then(|last| last.get("id"))
        .cloned();
    json_answer(StatusCode::OK, &json!({ "sessions": found, "next": next }))
}

fn session_json(session: &Session) -> Value {
    let permit = session.permit();
    let claims = permit.claims();
    json!({
        "id": session.id().to_string(),
        "organisation": claims.owner.to_string(),
        "stream": permit.stream().as_str(),
        "tag": claims.grant.tag.as_str(),
        "user": claims.grant.user.as_ref().map(User::as_str),
        "address": permit.address().to_string(),
        "token_id": claims.grant.id.to_string(),
        "key": claims.key.as_str(),
        "transport": session.transport().name(),
        "started": session.started().get(),
        "expires": claims.grant.expires.map(UnixSeconds::get),
    })
}

/// The playback ends at once; the answer says whether its end is on the disk, too.
async fn end_session(gate: &Gate, id: &str) -> Response<Full<Bytes>> {
    let Some(id) = SessionId::parse(id) else {
        return not_found();
    };
    let Some(transport) = gate.kick(id).await else {
        return not_found();
    };
    tracing::info!(session = %id, transport = transport.name(), "ended by the operator");
    let durable = match transport {
        Transport::Hls => gate.kept.playbacks.save_within(gate.timeouts.disk).await,
        // Nothing of it outlives its socket.
        Transport::WebSocket => false,
    };
    let answer = json!({ "id": id.to_string(), "durable": durable });
    json_answer(StatusCode::OK, &answer)
}

/// The body of `POST /api/revocations`: the organisation, and exactly one field that says which of its tokens.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RevocationRequest {
    organisation: String,
    token_id: Option<String>,
    tag: Option<String>,
    user: Option<String>,
    stream: Option<String>,
    ends: Option<u64>,
}

/// Ends the playbacks of the tokens at once; the answer says whether the revocation is on the disk, too.
async fn revoke(gate: &Gate, body: &[u8]) -> Response<Full<Bytes>> {
    let request: RevocationRequest = match serde_json::from_slice(body) {
        Ok(request) => request,
        Err(problem) => return error(StatusCode::BAD_REQUEST, "body", None, &problem.to_string()),
    };
    let Ok(owner) = request.organisation.parse::<Owner>() else {
        return bad("organisation", "must be an organisation's hash, or *");
    };
    let targets = [
        ("token_id", request.token_id),
        ("tag", request.tag),
        ("user", request.user),
        ("stream", request.stream),
    ];
    let mut given = targets
        .into_iter()
        .filter_map(|(field, text)| Some((field, text?)));
    let (Some((field, text)), None) = (given.next(), given.next()) else {
        return bad(
            "token_id",
            "exactly one of token_id, tag, user and stream must be given",
        );
    };
    let target = Target::parse(field, &text);
    let Some(target) = target else {
        return bad(field, "is not in the form that a token has");
    };
    let (revocation, ended) = gate
        .revoke(owner, target, request.ends.map(UnixSeconds::new))
        .await;
    tracing::info!(id = %revocation.id, owner = %revocation.owner, field, sessions_ended = ended, "revoked");
    let durable = gate.kept.save_within(gate.timeouts.disk).await;
    let mut answer = revocation_json(&revocation);
    if let Value::Object(fields) = &mut answer {
        fields.insert("sessions_ended".to_owned(), ended.into());
        fields.insert("durable".to_owned(), durable.into());
    }
    json_answer(StatusCode::CREATED, &answer)
}

/// Lifts a revocation; the answer says whether that is on the disk, too.
async fn lift(gate: &Gate, id: &str) -> Response<Full<Bytes>> {
    let Some(id) = RevocationId::parse(id) else {
        return not_found();
    };
    if !gate.lift(id).await {
        return not_found();
    }
    let durable = gate.kept.revocations.save_within(gate.timeouts.disk).await;
    let answer = json!({ "id": id.to_string(), "durable": durable });
    json_answer(StatusCode::OK, &answer)
}

fn revocation_json(revocation: &Revocation) -> Value {
    let (field, text) = revocation.target.words();
    json!({
        "id": revocation.id.to_string(),
        "organisation": revocation.owner.to_string(),
        field: text,
        "issued_until": revocation.issued_until.get(),
        "ends": revocation.ends.map(UnixSeconds::get),
    })
}

/// The pairs of a query. A key that cannot be decoded becomes an unknown one.
fn form_pairs(query: &str) -> Vec<(String, String)> {
    let parse = |pair: &str| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decode = |text: &str| {
            percent_encoding::percent_decode_str(text)
                .decode_utf8_lossy()
                .into_owned()
        };
        (decode(key), decode(value))
    };
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(parse)
        .collect()
}

fn bad(field: &str, message: &str) -> Response<Full<Bytes>> {
    error(StatusCode::BAD_REQUEST, "bad_value", Some(field), message)
}

fn not_found() -> Response<Full<Bytes>> {
    error(
        StatusCode::NOT_FOUND,
        "not_found",
        None,
        "there is nothing of this name",
    )
}

fn error(
    status: StatusCode,
    error: &str,
    field: Option<&str>,
    message: &str,
) -> Response<Full<Bytes>> {
    json_answer(
        status,
        &json!({ "error": error, "field": field, "message": message }),
    )
}

fn json_answer(status: StatusCode, value: &Value) -> Response<Full<Bytes>> {
    respond(status, "application/json", value.to_string())
}
