//! What a configuration says arrives, and what weakens a check is told.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use crate::support::memory::{GOOD, Memory, parse, secret, with};
use h5gate::config::{Config, SecretSource as _, SystemSecrets, WebSocketRefusal};
use h5gate::request::client_address::AddressHeader;
use h5gate::session::place::Bind;
use h5gate::token::{Grant, Owner, Presented, Scope, TokenId, UnixSeconds};
use h5gate::upstream::server_url::ServerUrl;
use sha2::{Digest as _, Sha256};

/// Every key with a value that is not its default.
const ALL: &str = r#"
state_dir = "/var/lib/h5gate"
[[listener]]
address = "127.0.0.1:8080"
serves = ["playback"]
proxy_protocol = true
[[listener]]
address = "[::1]:8080"
serves = ["token-api"]
[admin]
address = "0.0.0.0:9090"
token_sha256 = "3A0AAC44832E55528A834FEC737786C999E7B8DEA8BD601BB59F195237D58B2E"
names = ["Gate.Example.com", "10.0.0.5", "2001:DB8::0:1"]
[client]
trusted_proxies = ["10.0.0.0/8", "192.0.2.1", "2001:db8::/32"]
header = "forwarded"
[upstream]
servers = ["http://127.0.0.1:8181", "http://media.example.com"]
http_servers = ["http://127.0.0.1:8282", "http://hls.example.com:8080"]
websocket_path = "/h5live/stream"
http_path = "/hls/{stream}/"
http_playlist = "/live/{stream}.m3u8"
rtmp_urls = ["rtmp://Media.example.com:1936/app"]
host = "media.example.com:8181"
client_messages = "any"
[limits]
workers = 3
connections = 5
sessions = 4
sessions_per_token = 3
sessions_per_network = 2
backlog = 6
dials = 7
head = "9KiB"
fields = 0x20
uri = "5120B"
body = "8KiB"
client_message = "1MiB"
unsent = "16KiB"
[timeouts]
head = "1s"
keep_alive = "2s"
upstream_connect = "300ms"
upstream_head = "4s"
upstream_total = "5s"
upstream_backoff = "0s"
outage_hold = "6500ms"
upstream_lookup = "7s"
media_idle = "8s"
ping = "9s"
switch_answer = "9500ms"
write_stall = "10s"
user_timeout = "11s"
half_close = "12s"
linger = "13s"
drain = "14s"
disk = "15s"
[hls]
session_idle = "15s"
bind_address = "exact"
playlist = "1MiB"
playlist_memory = "5MiB"
cache = false
cache_size = "3MiB"
cache_object = "128KiB"
read_ahead = "65KiB"
own_playlists = "17KiB"
cache_playlist = "16ms"
cache_segment = "17s"
[refusal]
websocket = "http-status"
[[organisation]]
hash = "abcde"
api_keys = [{ id = "backend", sha256 = "3a0aac44832e55528a834fec737786c999e7b8dea8bd601bb59f195237d58b2e" }]
require_expires = true
max_lifetime = "1d"
leeway = "5s"
[[organisation.key]]
id = "old"
secret_file = "k1.secret"
state = "retiring"
[[organisation.key]]
id = "new"
secret_env = "K3"
[[organisation]]
hash = "*"
[[organisation.key]]
id = "any"
secret_file = "k2.secret"
"#;

#[test]
fn every_value_arrives() {
    let config = parse(ALL).unwrap();
    let [playback, token_api] = &config.listeners[..] else {
        panic!("{:?}", config.listeners)
    };
    assert_eq!(
        (
            playback.playback,
            playback.token_api,
            playback.proxy_protocol
        ),
        (true, false, true)
    );
    assert_eq!(
        (
            token_api.playback,
            token_api.token_api,
            token_api.proxy_protocol
        ),
        (false, true, false)
    );
    assert_eq!(playback.address, "127.0.0.1:8080".parse().unwrap());
    assert_eq!(token_api.address, "[::1]:8080".parse().unwrap());

    assert_eq!(config.state_dir, Some("/var/lib/h5gate".into()));

    let admin = config.admin.unwrap();
    assert_eq!(admin.address, "0.0.0.0:9090".parse().unwrap());
    assert_eq!(admin.token_sha256, Some(Sha256::digest("the key").into()));
    assert_eq!(admin.names, ["gate.example.com", "10.0.0.5", "2001:db8::1"]);

    assert_eq!(config.edge.neighbours.header, AddressHeader::Forwarded);
    for (address, listed) in [
        ("10.1.2.3", true),
        ("192.0.2.1", true),
        ("192.0.2.2", false),
        ("2001:db8::9", true),
    ] {
        assert_eq!(
            config.edge.neighbours.lists(address.parse().unwrap()),
            listed,
            "{address}"
        );
    }
    assert!(
        config
            .edge
            .rtmp_urls
            .find("rtmp://media.example.com:1936/app")
            .is_ok()
    );
    assert!(config.edge.rtmp_urls.find("rtmp://localhost/play").is_err());

    let names = |servers: &[ServerUrl]| servers.iter().map(ToString::to_string).collect::<Vec<_>>();
    let upstream = &config.upstream;
    assert_eq!(
        names(&upstream.servers),
        ["127.0.0.1:8181", "media.example.com:80"]
    );
    assert_eq!(
        names(&upstream.http_servers),
        ["127.0.0.1:8282", "hls.example.com:8080"]
    );
    let stream = "abcde-one".parse().unwrap();
    assert_eq!(upstream.http_path.for_stream(&stream), "/hls/abcde-one/");
    assert_eq!(
        upstream.http_playlist.for_stream(&stream),
        "/live/abcde-one.m3u8"
    );
    assert_eq!(
        config.upstream.websocket_path.as_deref(),
        Some("/h5live/stream")
    );
    assert_eq!(
        config.upstream.host.as_deref(),
        Some("media.example.com:8181")
    );
    assert!(config.upstream.any_message);
    assert_eq!(config.websocket_refusal, WebSocketRefusal::HttpStatus);

    let limits = config.limits;
    assert_eq!(
        (
            limits.workers,
            limits.connections,
            limits.sessions,
            limits.backlog,
            limits.dials
        ),
        (3, 5, 4, 6, 7)
    );
    assert_eq!(
        (
            limits.head,
            limits.fields,
            limits.uri,
            limits.body,
            limits.client_message
        ),
        (9216, 32, 5120, 8192, 1 << 20)
    );
    assert_eq!(limits.unsent, 16 * 1024);
    let shares = (limits.sessions_per_token, limits.sessions_per_network);
    assert_eq!(shares, (3, 2));

    let t = config.timeouts;
    let seconds = [
        t.head,
        t.keep_alive,
        t.upstream_connect,
        t.upstream_head,
        t.upstream_total,
        t.upstream_backoff,
        t.outage_hold,
        t.upstream_lookup,
        t.media_idle,
        t.ping,
        t.switch_answer,
        t.write_stall,
        t.user_timeout,
        t.half_close,
        t.linger,
        t.drain,
        t.disk,
    ];
    let seconds: Vec<_> = seconds.iter().map(Duration::as_secs_f32).collect();
    assert_eq!(
        seconds,
        [
            1.0, 2.0, 0.3, 4.0, 5.0, 0.0, 6.5, 7.0, 8.0, 9.0, 9.5, 10.0, 11.0, 12.0, 13.0, 14.0,
            15.0,
        ]
    );

    let hls = config.hls;
    assert_eq!(hls.playlist_memory, 5 << 20);
    assert_eq!((hls.read_ahead, hls.own_playlists), (65 << 10, 17 << 10));
    assert_eq!(
        (hls.session_idle, hls.bind_address, hls.playlist),
        (Duration::from_secs(15), Bind::Exact, 1 << 20)
    );
    assert_eq!(
        (hls.cache, hls.cache_size, hls.cache_object),
        (false, 3 << 20, 128 << 10)
    );
    assert_eq!(
        (hls.cache_playlist, hls.cache_segment),
        (Duration::from_millis(16), Duration::from_secs(17))
    );

    let abcde: Owner = "abcde".parse().unwrap();
    let rules = config.rules.of(&abcde);
    assert!(rules.require_expires);
    assert_eq!(
        (rules.max_lifetime, rules.leeway),
        (Duration::from_secs(86_400), Duration::from_secs(5))
    );
    assert!(!config.rules.of(&Owner::Unlisted).require_expires);

    let key = config.api_keys.find(b"the key").unwrap();
    assert_eq!((key.id.as_str(), &key.owner), ("backend", &abcde));
    assert!(config.api_keys.find(b"another").is_none());
}

#[test]
fn the_first_active_key_signs_and_a_retiring_one_verifies() {
    let now = parse(ALL).unwrap().keyring;
    let before = parse(&ALL.replace("state = \"retiring\"", "state = \"active\""))
        .unwrap()
        .keyring;
    let grant = Grant::new(
        TokenId::new([1; 16]),
        UnixSeconds::new(1_700_000_000),
        Scope::stream("abcde-one".parse().unwrap()),
    );
    let owner = "abcde".parse().unwrap();
    for (ring, id) in [(&now, "h1.new."), (&before, "h1.old.")] {
        let security = ring.mint(&owner, &grant).unwrap();
        assert!(security.token.starts_with(id), "{}", security.token);
        assert!(now.verify(Presented::from(&security)).is_ok());
    }
    let grant = Grant {
        scope: Scope::stream("live".parse().unwrap()),
        ..grant
    };
    assert!(
        now.mint(&Owner::Unlisted, &grant)
            .unwrap()
            .token
            .starts_with("h1.any.")
    );
}

/// Changes of [`GOOD`] as in `with`, and words of the danger or warning that they bring.
const TOLD: &[(usize, &str, &str)] = &[
    (
        5,
        "servers = [\"http://a\"]\nclient_messages = \"any\"",
        "danger: line 6: upstream.client_messages: \"any\"",
    ),
    (
        12,
        "[client]\ntrusted_proxies = [\"0.0.0.0/0\"]",
        "danger: line 13: client.trusted_proxies: lists every address",
    ),
    (
        12,
        "[client]\ntrusted_proxies = [\"::/0\"]",
        "danger: line 13: client.trusted_proxies: lists every address",
    ),
    (
        12,
        "[hls]\nbind_address = \"off\"",
        "danger: line 13: hls.bind_address: \"off\"",
    ),
    (
        12,
        "[[organisation]]\nhash = \"fghij\"",
        "warning: line 12: organisation[1]: has no key",
    ),
    (
        12,
        "state = \"retiring\"",
        "warning: line 6: organisation[0]: has API keys and no active key",
    ),
    (
        3,
        "serves = [\"playback\"]",
        "warning: line 8: organisation[0].api_keys: are of no use: no listener serves the token API",
    ),
    (
        8,
        "",
        "warning: line 2: listener[0].address: serves the token API, and there are no organisation.api_keys",
    ),
    (
        8,
        "api_keys = []",
        "warning: line 2: listener[0].address: serves the token API, and there are no organisation.api_keys",
    ),
    (
        12,
        "[limits]\nconnections = 10000000",
        "warning: line 13: limits.connections: 10000000 need 20000200 file descriptors",
    ),
    (
        12,
        "[[organisation.key]]\nid = \"k2\"\nsecret_file = \"copy.secret\"",
        "warning: line 14: organisation[0].key[1].secret_file: is the same secret as organisation[0].key[0].secret_file",
    ),
    (
        11,
        "secret_file = \"hex.secret\"",
        "warning: line 11: organisation[0].key[0].secret_file: \"hex.secret\" looks like hexadecimal digits",
    ),
];

#[test]
fn what_weakens_a_check_or_is_hardly_meant_is_told() {
    assert!(!TOLD.is_empty());
    for (line, text, words) in TOLD {
        let config = parse(&with(*line, text)).unwrap();
        let dangers = config
            .dangers
            .iter()
            .map(|danger| format!("danger: {danger}"));
        let told: Vec<_> = dangers
            .chain(
                config
                    .warnings
                    .iter()
                    .map(|warning| format!("warning: {warning}")),
            )
            .collect();
        assert!(
            matches!(&told[..], [one] if one.starts_with(words)),
            "{text}: {told:?}"
        );
    }
    let nobody = parse(&GOOD[..5].join("\n").replace(", \"token-api\"", "")).unwrap();
    let told: Vec<_> = nobody.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["organisation: is missing: nothing can be played"]);
}

#[test]
fn white_space_around_a_secret_is_no_part_of_it() {
    for file in ["k1.secret", "windows.secret"] {
        let text = with(11, &format!("secret_file = \"{file}\""));
        assert_eq!(parse(&text).unwrap().warnings, []);
    }
}

#[test]
fn a_secret_file_that_others_may_read_is_a_danger() {
    let mut source = Memory {
        open_to_others: true,
        ..Memory::new()
    };
    let config = Config::parse(&GOOD.join("\n"), &mut source).unwrap();
    assert_eq!(
        config.dangers[0].to_string(),
        "line 11: organisation[0].key[0].secret_file: others than its owner may read or change \"k1.secret\"; use chmod 600"
    );

    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("config_values");
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("k1.secret");
    std::fs::write(&path, secret('B')).unwrap();
    let mut source = SystemSecrets::beside(&directory);
    for (mode, open) in [(0o600, false), (0o400, false), (0o640, true), (0o604, true)] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(
            source.file(Path::new("k1.secret")).unwrap().open_to_others,
            open,
            "{mode:o}"
        );
        assert_eq!(source.file(&path).unwrap().open_to_others, open, "{mode:o}");
    }
    std::fs::write(&path, vec![b'A'; 16 * 1024 + 1]).unwrap();
    assert!(source.file(&path).is_err());
    let utf16: Vec<_> = "\u{feff}BBBB"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    for (bytes, words) in [(vec![0xff_u8; 32], "not text"), (utf16, "UTF-16")] {
        std::fs::write(&path, bytes).unwrap();
        let error = source.file(&path).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        let errors = Config::parse(&GOOD.join("\n"), &mut source).unwrap_err();
        let told = errors[0].to_string();
        assert!(
            told.contains(&format!("secret_file: \"k1.secret\": {error}")),
            "{told}"
        );
    }
    assert!(source.file(&directory).is_err());
}

#[test]
fn no_secret_is_in_the_debug_text_of_a_configuration() {
    let config = parse(ALL).unwrap();
    let secret = Memory::new().env("K3").unwrap();
    let told = format!("{config:?} {secret:?}");
    // Secrets, and digests of what somebody may have thought up, in any form.
    for secret in ["BBBB", "CCCC", "DDDD", "3a0aac", "58, 10, 172"] {
        assert!(!told.contains(secret), "{secret}");
    }
}

#[test]
fn port_zero_may_be_listened_on_twice() {
    let text = ALL
        .replace("127.0.0.1:8080", "127.0.0.1:0")
        .replace("[::1]:8080", "127.0.0.1:0");
    assert_eq!(parse(&text).unwrap().listeners.len(), 2);
    // The same port of both families is two addresses.
    assert!(
        parse(
            &ALL.replace("127.0.0.1:8080", "0.0.0.0:8080")
                .replace("[::1]:8080", "[::]:8080")
        )
        .is_ok()
    );
}
