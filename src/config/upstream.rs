//! `[upstream]`: the media servers, and what viewers may ask of them.

use std::str::FromStr;

use http::Uri;
use http::uri::Authority;

use super::UpstreamConfig;
use super::error::Problem;
use super::reader::{Table, Value};
use crate::request::rtmp_url::{RtmpUrl, RtmpUrls};
use crate::token::StreamName;
use crate::upstream::server_url::ServerUrl;

/// The sources of a media server that is set up as the vendor ships it. Names of the vendor's own cloud are not among them:
/// what is listed goes to the media servers, which would fetch the stream from there for any viewer that asks.
const RTMP_URLS: [&str; 2] = ["rtmp://localhost/splay", "rtmp://localhost/play"];

/// The longest path.
const PATH_LIMIT: usize = 1024;

/// `[upstream]`; `needed` when a listener serves playback.
pub(super) fn read(root: &mut Table<'_>, needed: bool) -> (UpstreamConfig, RtmpUrls) {
    let mut table = root.table("upstream");
    let servers = servers(&mut table, needed);
    let http_servers = http_servers(&mut table, &servers);
    let path = table.take("websocket_path");
    let http_path = table
        .take("http_path")
        .and_then(|value| value.parsed_by("a path", http_path))
        .unwrap_or_else(|| PathTemplate("/h5live/authhttp/".to_owned()));
    let http_playlist = table
        .take("http_playlist")
        .and_then(|value| value.parsed("a path"))
        .unwrap_or_else(|| PathTemplate(format!("{}playlist.m3u8", http_path.0)));
    let rtmp_urls = rtmp_urls(&mut table);
    let host = table.take("host");
    let any_message = table.choice(
        "client_messages",
        &[("player", false), ("any", true)],
        false,
    );
    if any_message && let Some(value) = table.take("client_messages") {
        let what =
            "\"any\": all that viewers send goes to the media servers, not only what a player says";
        table.findings.danger(&value.place, what);
    }
    let config = UpstreamConfig {
        servers,
        http_servers,
        http_path,
        http_playlist,
        websocket_path: path.and_then(|value| value.parsed_by("a path", plain_path)),
        host: host.and_then(|value| value.parsed_by("a host", host_field)),
        any_message,
    };
    (config, rtmp_urls)
}

/// A path on the media servers, in which `{stream}` stands for the stream's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathTemplate(String);

impl PathTemplate {
    /// The path for a stream. Names of streams need no escape in a path.
    #[must_use]
    pub fn for_stream(&self, stream: &StreamName) -> String {
        self.0.replace(STREAM, stream.as_str())
    }
}

impl FromStr for PathTemplate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        plain_path(&text.replace(STREAM, "stream")).map_err(|_| {
            "must be a path of plain characters such as \"/hls/{stream}/playlist.m3u8\", without a query".to_owned()
        })?;
        Ok(Self(text.to_owned()))
    }
}

/// Stands for the stream's name in a path.
const STREAM: &str = "{stream}";

/// What stands in the place of `/h5live/authhttp/`.
fn http_path(text: &str) -> Result<PathTemplate, String> {
    let path: PathTemplate = text.parse()?;
    if text.ends_with('/') {
        Ok(path)
    } else {
        Err("must end in \"/\", such as \"/hls/{stream}/\"".to_owned())
    }
}

/// The media servers' HTTP side; their WebSocket side when it is not given.
fn http_servers(table: &mut Table<'_>, servers: &[ServerUrl]) -> Vec<ServerUrl> {
    let Some(value) = table.take("http_servers") else {
        return servers.to_vec();
    };
    let Some((count, http_servers)) = server_list(&value) else {
        return Vec::new();
    };
    if count != servers.len() && !servers.is_empty() {
        value.refuse(Problem::Conflict(format!(
            "has {count} and upstream.servers has {}: list as many, in the same order",
            servers.len()
        )));
    }
    let paired = http_servers.into_iter().zip(servers);
    paired.map(|(http, server)| http.beside(server)).collect()
}

fn servers(table: &mut Table<'_>, needed: bool) -> Vec<ServerUrl> {
    const WHAT: &str = "list at least one media server, such as [\"http://127.0.0.1:8181\"]";
    let Some(value) = table.take("servers") else {
        if needed {
            table.missing("servers", WHAT);
        }
        return Vec::new();
    };
    let Some((count, servers)) = server_list(&value) else {
        return Vec::new();
    };
    if count == 0 && needed {
        value.refuse(Problem::Conflict(format!(
            "is empty while a listener serves playback: {WHAT}"
        )));
    }
    servers
}

/// The length of a list, and the servers in it, each of them once.
fn server_list(value: &Value<'_>) -> Option<(usize, Vec<ServerUrl>)> {
    let elements = value.list("a list of http URLs")?;
    let count = elements.len();
    let mut servers = Vec::<ServerUrl>::new();
    let mut places = Vec::<Value<'_>>::new();
    for element in elements {
        let Some(server) = element.parsed_by("an http URL", server) else {
            continue;
        };
        let same = |(other, _): &(&ServerUrl, _)| {
            other.to_string().eq_ignore_ascii_case(&server.to_string())
        };
        if let Some((_, first)) = servers.iter().zip(&places).find(same) {
            element.refuse_same(&first.place, "each media server can be listed once");
        }
        servers.push(server);
        places.push(element);
    }
    Some((count, servers))
}

fn rtmp_urls(table: &mut Table<'_>) -> RtmpUrls {
    let Some(value) = table.take("rtmp_urls") else {
        return RtmpUrls::new(
            RTMP_URLS
                .iter()
                .filter_map(|url| url.parse().ok())
                .collect(),
        );
    };
    let elements = value.list("a list of RTMP URLs");
    if elements.as_ref().is_some_and(Vec::is_empty) {
        value.refuse(Problem::Value(
            "must not be empty: no viewer could name a source".to_owned(),
        ));
    }
    let mut urls = Vec::<RtmpUrl>::new();
    let mut places = Vec::<Value<'_>>::new();
    for element in elements.into_iter().flatten() {
        let Some(url) = element.parsed::<RtmpUrl>("an RTMP URL") else {
            continue;
        };
        let same = |(other, _): &(&RtmpUrl, _)| {
            RtmpUrls::new(vec![(*other).clone()])
                .find(url.as_str())
                .is_ok()
        };
        if let Some((_, first)) = urls.iter().zip(&places).find(same) {
            element.refuse_same(
                &first.place,
                "letter case of the host and port 1935 make no difference",
            );
        }
        urls.push(url);
        places.push(element);
    }
    RtmpUrls::new(urls)
}

fn server(text: &str) -> Result<ServerUrl, String> {
    let uri = text.parse::<Uri>().ok();
    let authority = uri.as_ref().and_then(Uri::authority);
    // A port that is none gets a word of its own.
    if authority.is_some_and(|a| !a.as_str().contains('@') && !has_good_port(a)) {
        return Err(BAD_PORT.to_owned());
    }
    text.parse::<ServerUrl>().map_err(|error| error.to_string())
}

/// The whole path of the media servers' WebSocket endpoint.
fn plain_path(text: &str) -> Result<String, String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&b);
    let dots = |segment: &str| segment == "." || segment == "..";
    if !text.starts_with('/')
        || text.len() > PATH_LIMIT
        || !text.bytes().all(allowed)
        || text.split('/').any(dots)
    {
        return Err(
            "must be a path of plain characters such as \"/h5live/authstream\", without a query"
                .to_owned(),
        );
    }
    Ok(text.to_owned())
}

fn host_field(text: &str) -> Result<String, String> {
    let authority = text
        .parse::<Authority>()
        .ok()
        .filter(|a| !a.host().is_empty() && !a.as_str().contains('@'));
    match authority {
        Some(authority) if has_good_port(&authority) => Ok(text.to_owned()),
        Some(_) => Err(BAD_PORT.to_owned()),
        None => {
            Err("must be a host and an optional port, such as \"media.example.com\"".to_owned())
        }
    }
}

const BAD_PORT: &str = "must have a port from 1 to 65535, or no colon";

/// No port at all, or a number that is one.
fn has_good_port(authority: &Authority) -> bool {
    authority.host().len() == authority.as_str().len()
        || authority.port_u16().is_some_and(|port| port != 0)
}
