//! The page of the demonstration, and what it asks for: the API key, and new attempts that have to be refused.

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::gate::site::Site;
use crate::request::query::playback_query;
use crate::token::{
    AddressPrefix, Grant, Keyring, Owner, Presented, RefererPattern, Scope, Security, StreamName,
    TokenId, UnixSeconds,
};

use super::catalogue::NAMES;
use super::{ORGANISATION, RIVAL, SOURCE};

/// Nothing but the page's own files runs; it may connect to any gate that `?media=` names.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src *; media-src * blob:; \
    img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page's files, carried in the binary.
const FILES: [(&str, &str, &str); 5] = [
    (
        "/",
        "text/html; charset=utf-8",
        include_str!("page/index.html"),
    ),
    (
        "/demo.css",
        "text/css; charset=utf-8",
        include_str!("page/demo.css"),
    ),
    (
        "/demo.js",
        "text/javascript; charset=utf-8",
        include_str!("page/demo.js"),
    ),
    (
        "/player.js",
        "text/javascript; charset=utf-8",
        include_str!("page/player.js"),
    ),
    (
        "/hls.js",
        "text/javascript; charset=utf-8",
        include_str!("page/hls.js"),
    ),
];

/// What the page says of the streams.
const TITLES: [(&str, &str); 3] = [
    ("Camera 1", "high"),
    ("Camera 1", "low"),
    ("Camera 2", "high"),
];

const CAMERA_1: &str = NAMES[0];
const CAMERA_2: &str = NAMES[2];

/// Serves the page.
#[derive(Debug)]
pub struct Front {
    keyring: Keyring,
    api_key: String,
    clock: Clock,
}

impl Front {
    /// With the gate's own keys, to make tokens that the API would not.
    #[must_use]
    pub fn new(keyring: Keyring, api_key: String, clock: Clock) -> Self {
        Self {
            keyring,
            api_key,
            clock,
        }
    }

    /// As what answers beside the gate's endpoints.
    #[must_use]
    pub fn into_site(self) -> Site {
        Site::new(move |head| self.answer(head))
    }

    fn answer(&self, head: &Parts) -> Option<Response<Full<Bytes>>> {
        if head.method != Method::GET && head.method != Method::HEAD {
            return None;
        }
        match head.uri.path() {
            "/demo/info" => Some(json_answer(&self.info())),
            "/demo/refusals" => Some(match self.refusals() {
                Some(refusals) => json_answer(&refusals),
                None => failed(),
            }),
            path => FILES
                .iter()
                .find(|(name, _, _)| *name == path)
                .map(|(_, kind, text)| respond(kind, Bytes::from_static(text.as_bytes()))),
        }
    }

    fn info(&self) -> Value {
        let streams: Vec<_> = NAMES
            .iter()
            .zip(TITLES)
            .map(|(name, (title, quality))| json!({ "name": name, "title": title, "quality": quality }))
            .collect();
        json!({ "organisation": ORGANISATION, "api_key": self.api_key, "url": SOURCE, "streams": streams })
    }

    /// One attempt for each way to be refused, made for this moment.
    fn refusals(&self) -> Option<Value> {
        let now = self.clock.now().get();
        let none = || Security {
            expires: String::new(),
            tag: String::new(),
            token: String::new(),
            options: String::new(),
        };
        let good = self.mint(ORGANISATION, CAMERA_1, |_| {})?;
        let expired = self.mint(ORGANISATION, CAMERA_1, |grant| {
            grant.issued_at = UnixSeconds::new(now.saturating_sub(3600));
            grant.expires = Some(UnixSeconds::new(now.saturating_sub(60)));
        })?;
        let elsewhere: RefererPattern = "another-site.example".parse().ok()?;
        let page = self.mint(ORGANISATION, CAMERA_1, |grant| {
            grant.referers = vec![elsewhere];
        })?;
        let far_away: AddressPrefix = "192.0.2.1".parse().ok()?;
        let address = self.mint(ORGANISATION, CAMERA_1, |grant| {
            grant.addresses = vec![far_away];
        })?;
        let masked = Security {
            options: "1".to_owned(),
            ..address.clone()
        };
        let tampered = Security {
            token: tamper(&good.token)?,
            ..good.clone()
        };
        let connect = |id: &str, title: &str, security: &Security| json!({ "id": id, "title": title, "query": query(CAMERA_1, security) });
        let switch = json!({
            "eventType": "onUpdateSource",
            "onUpdateSource": {
                "options": { "faststart": 1 }, "tag": "", "count": 1,
                "rtmp": { "url": SOURCE, "stream": CAMERA_2 },
            },
            "requestId": 1,
        });
        Some(json!([
            connect("expired", "Expired token", &expired),
            connect("wrong-stream", "Token of another stream", &self.mint(ORGANISATION, CAMERA_2, |_| {})?),
            connect("other-organisation", "Token of another organisation", &self.mint(RIVAL, "rival-camera1", |_| {})?),
            connect("wrong-referer", "Token for another page", &page),
            connect("wrong-ip", "Token for another address", &address),
            connect("tampered", "Tampered token", &tampered),
            connect("missing", "No token at all", &none()),
            connect("masked-down", "Address check masked out of the options", &masked),
            {
                "id": "in-band", "title": "Switch inside the socket, without a token for the stream",
                "query": query(CAMERA_1, &good), "switch": switch,
            },
        ]))
    }

    fn mint(&self, owner: &str, stream: &str, change: impl FnOnce(&mut Grant)) -> Option<Security> {
        let owner: Owner = owner.parse().ok()?;
        let stream: StreamName = stream.parse().ok()?;
        let mut id = [0; 16];
        getrandom::fill(&mut id).ok()?;
        let now = self.clock.now();
        let mut grant = Grant::new(TokenId::new(id), now, Scope::stream(stream));
        grant.expires = Some(UnixSeconds::new(now.get().saturating_add(3600)));
        change(&mut grant);
        self.keyring.mint(&owner, &grant).ok()
    }
}

/// The token with one character of its signature changed.
fn tamper(token: &str) -> Option<String> {
    let (rest, signature) = token.rsplit_once('.')?;
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    Some(format!("{rest}.{first}{}", signature.get(1..)?))
}

/// A playback's query as players write it: empty values are left out (protocol.md 2).
fn query(stream: &str, security: &Security) -> String {
    playback_query(SOURCE, stream, Presented::from(security))
}

fn json_answer(value: &Value) -> Response<Full<Bytes>> {
    respond("application/json", Bytes::from(value.to_string()))
}

fn failed() -> Response<Full<Bytes>> {
    let mut response = respond(
        "text/plain; charset=utf-8",
        Bytes::from_static(b"the demo cannot mint\n"),
    );
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}

fn respond(kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
