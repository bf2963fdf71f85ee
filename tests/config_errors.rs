//! Whatever is wrong with a configuration is said with its line, its key and what to do; all of it at once, and never a
//! secret.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

#[path = "config/memory.rs"]
mod memory;

use h5gate::config::{Config, Problem};
use memory::{GOOD, Memory, parse, secret, with};

/// A line of [`GOOD`], the text in its place, and the one error: its line, key, and words of it.
const WRONG: &[(usize, &str, usize, &str, &str)] = &[
    // TOML.
    (2, "address = 127.0.0.1:8080", 2, "", "not TOML"),
    (2, "address = \"127.0.0.1:8080", 2, "", "not TOML"),
    (7, "hash = abcde", 7, "", "quoted"),
    (4, "[upstream", 4, "", "expected `]`"),
    (7, "hash == \"abcde\"", 7, "", "extra `=`"),
    (
        12,
        "[upstream]\nhost = \"a\"",
        12,
        "upstream",
        "stands twice",
    ),
    (
        7,
        "hash = \"abcde\"\nhash = \"abcde\"",
        8,
        "hash",
        "stands twice",
    ),
    // Keys.
    (12, "[limit]", 12, "limit", "did you mean limits?"),
    (
        12,
        "[hls]\nsession_idle = \"9s\"",
        12,
        "hls",
        "known here: listener, admin, client, upstream, limits, timeouts",
    ),
    (
        1,
        "state_dir = \".\"\n[[listener]]",
        1,
        "state_dir",
        "unknown key",
    ),
    (
        5,
        "servers = [\"http://a\"]\nhttp_servers = []",
        6,
        "upstream.http_servers",
        "known here: servers,",
    ),
    (
        5,
        "servers = [\"http://a\"]\nhttp_path = \"/\"",
        6,
        "upstream.http_path",
        "unknown key",
    ),
    (
        3,
        "serves = [\"playback\"]\nproxy-protocol = false",
        4,
        "listener[0].proxy-protocol",
        "did you mean proxy_protocol?",
    ),
    (
        3,
        "serves = [\"playback\"]\ntls.key = \"a\"",
        4,
        "listener[0].tls",
        "unknown key",
    ),
    (
        10,
        "id = \"k1\"\n\"a b\" = 1",
        11,
        "organisation[0].key[0].\"a b\"",
        "unknown key",
    ),
    (
        8,
        "api_keys = [{ id = \"a\", sha265 = \"\" , sha256 = \"1111111111111111111111111111111111111111111111111111111111111111\" }]",
        8,
        "organisation[0].api_keys[0].sha265",
        "did you mean sha256?",
    ),
    // Types.
    (
        1,
        "[listener]",
        1,
        "listener",
        "must be tables that begin with [[listener]], not a table",
    ),
    (
        6,
        "[organisation]",
        6,
        "organisation",
        "must be tables that begin with [[organisation]], not a table",
    ),
    (
        5,
        "servers = \"http://a\"",
        5,
        "upstream.servers",
        "must be a list of http URLs, not a string",
    ),
    (
        12,
        "[client]\ntrusted_proxies = \"10.0.0.1\"",
        13,
        "client.trusted_proxies",
        "must be a list of addresses and networks",
    ),
    (
        2,
        "address = 8080",
        2,
        "listener[0].address",
        "must be an address and a port, such as \"0.0.0.0:8080\"",
    ),
    (
        3,
        "serves = \"playback\"",
        3,
        "listener[0].serves",
        "must be a list of \"playback\" and \"token-api\", not a string",
    ),
    (
        3,
        "serves = [1]",
        3,
        "listener[0].serves[0]",
        "must be a string, not a whole number",
    ),
    (
        3,
        "serves = [\"playback\"]\nproxy_protocol = \"yes\"",
        4,
        "listener[0].proxy_protocol",
        "must be true or false, not a string",
    ),
    (
        12,
        "[timeouts]\nhead = 6",
        13,
        "timeouts.head",
        "must be a duration such as \"6s\", not a whole number",
    ),
    (
        12,
        "[limits]\nhead = 16384",
        13,
        "limits.head",
        "must be a size such as \"16KiB\", not a whole number",
    ),
    (
        12,
        "[limits]\nfields = \"64\"",
        13,
        "limits.fields",
        "must be a whole number, without quotes, not a string",
    ),
    (
        12,
        "[limits]\nfields = 64.0",
        13,
        "limits.fields",
        "not a number with a point",
    ),
    (
        12,
        "[limits]\nfields = 2026-01-01",
        13,
        "limits.fields",
        "not a date or time",
    ),
    (
        12,
        "[client]\nheader = true",
        13,
        "client.header",
        "must be a string, not true or false",
    ),
    (
        12,
        "refusal = 1",
        12,
        "organisation[0].key[0].refusal",
        "unknown key",
    ),
    (
        8,
        "api_keys = [\"a\"]",
        8,
        "organisation[0].api_keys[0]",
        "must be a table, not a string",
    ),
    // Listeners.
    (
        2,
        "",
        1,
        "listener[0].address",
        "is missing: say where to listen",
    ),
    (
        3,
        "",
        1,
        "listener[0].serves",
        "is missing: say what it serves",
    ),
    (
        2,
        "address = \"localhost:8080\"",
        2,
        "listener[0].address",
        "must be an address and a port",
    ),
    (
        2,
        "address = \"127.0.0.1\"",
        2,
        "listener[0].address",
        "must be an address and a port",
    ),
    (
        3,
        "serves = []",
        3,
        "listener[0].serves",
        "at least one of them",
    ),
    (
        3,
        "serves = [\"playback\", \"admin\"]",
        3,
        "listener[0].serves[1]",
        "must be \"playback\" or \"token-api\"",
    ),
    (
        3,
        "serves = [\"playback\",\n\"playback\"]",
        4,
        "listener[0].serves[1]",
        "stands twice",
    ),
    (
        3,
        "serves = [\"playback\"]\n[[listener]]\naddress = \"127.0.0.1:8080\"\nserves = [\"token-api\"]",
        5,
        "listener[1].address",
        "is the same as listener[0].address on line 2",
    ),
    (
        3,
        "serves = [\"playback\"]\n[[listener]]\naddress = \"0.0.0.0:8080\"\nserves = [\"token-api\"]",
        5,
        "listener[1].address",
        "the same",
    ),
    (
        12,
        "[admin]\naddress = \"127.0.0.1:8080\"",
        13,
        "admin.address",
        "is the same as listener[0].address on line 2",
    ),
    (
        3,
        "serves = [\"playback\"]\nproxy_protocol = true",
        2,
        "listener[0].address",
        "client.trusted_proxies is empty",
    ),
    // The operator's side.
    (12, "[admin]", 12, "admin.address", "is missing"),
    (
        12,
        "[admin]\naddress = \"0.0.0.0:9090\"",
        13,
        "admin.address",
        "must be a loopback address",
    ),
    (
        12,
        "[admin]\naddress = \"[::]:9090\"",
        13,
        "admin.address",
        "no admin.token_sha256",
    ),
    (
        12,
        "[admin]\naddress = \"127.0.0.1:9090\"\ntoken_sha256 = \"1234\"",
        14,
        "admin.token_sha256",
        "64 hexadecimal digits",
    ),
    (
        12,
        "[admin]\naddress = \"127.0.0.1:9090\"\nnames = [\"http://a\"]",
        14,
        "admin.names[0]",
        "without a port",
    ),
    (
        12,
        "[admin]\naddress = \"127.0.0.1:9090\"\nnames = [\"*\"]",
        14,
        "admin.names[0]",
        "host name",
    ),
    // Who stands in front.
    (
        12,
        "[client]\ntrusted_proxies = [\"10.0.0.0/8\", \"proxy\"]",
        13,
        "client.trusted_proxies[1]",
        "an address or a network",
    ),
    (
        12,
        "[client]\ntrusted_proxies = [\"10.0.0.1/8\"]",
        13,
        "client.trusted_proxies[0]",
        "write 10.0.0.0/8 for the network or 10.0.0.1",
    ),
    (
        12,
        "[client]\ntrusted_proxies = [\"::ffff:10.0.0.0/104\"]",
        13,
        "client.trusted_proxies[0]",
        "as IPv4",
    ),
    (
        12,
        "[client]\nheader = \"x-real-ip\"",
        13,
        "client.header",
        "\"x-forwarded-for\" or \"forwarded\" or \"none\"",
    ),
    // Media servers.
    (
        5,
        "",
        4,
        "upstream.servers",
        "is missing: list at least one media server",
    ),
    (
        5,
        "servers = []",
        5,
        "upstream.servers",
        "is empty while a listener serves playback",
    ),
    (
        5,
        "servers = [\"https://a\"]",
        5,
        "upstream.servers[0]",
        "must be an http URL",
    ),
    (
        5,
        "servers = [\"127.0.0.1:8181\"]",
        5,
        "upstream.servers[0]",
        "must be an http URL",
    ),
    (
        5,
        "servers = [\"http://a/path\"]",
        5,
        "upstream.servers[0]",
        "must be an http URL",
    ),
    (
        5,
        "servers = [\"http://a:99999\"]",
        5,
        "upstream.servers[0]",
        "a port from 1 to 65535",
    ),
    (
        5,
        "servers = [\"http://a:x\"]",
        5,
        "upstream.servers[0]",
        "a port from 1 to 65535",
    ),
    (
        5,
        "servers = [\"http://a:0\"]",
        5,
        "upstream.servers[0]",
        "a port from 1 to 65535",
    ),
    (
        5,
        "servers = [\"http://a\",\n\"http://A:80\"]",
        6,
        "upstream.servers[1]",
        "is the same as upstream.servers[0] on line 5",
    ),
    (
        5,
        "servers = [\"http://a\"]\nwebsocket_path = \"h5live\"",
        6,
        "upstream.websocket_path",
        "must be a path",
    ),
    (
        5,
        "servers = [\"http://a\"]\nwebsocket_path = \"/a?b\"",
        6,
        "upstream.websocket_path",
        "without a query",
    ),
    (
        5,
        "servers = [\"http://a\"]\nwebsocket_path = \"/a/../b\"",
        6,
        "upstream.websocket_path",
        "must be a path",
    ),
    (
        5,
        "servers = [\"http://a\"]\nhost = \"a b\"",
        6,
        "upstream.host",
        "must be a host",
    ),
    (
        5,
        "servers = [\"http://a\"]\nhost = \"u@a\"",
        6,
        "upstream.host",
        "must be a host",
    ),
    (
        5,
        "servers = [\"http://a\"]\nhost = \"a:99999\"",
        6,
        "upstream.host",
        "a port from 1 to 65535",
    ),
    (
        5,
        "servers = [\"http://a\"]\nrtmp_urls = []",
        6,
        "upstream.rtmp_urls",
        "no viewer could name a source",
    ),
    (
        5,
        "servers = [\"http://a\"]\nrtmp_urls = [\"http://a/b\"]",
        6,
        "upstream.rtmp_urls[0]",
        "must be an RTMP URL",
    ),
    (
        5,
        "servers = [\"http://a\"]\nrtmp_urls = [\"rtmp://a/b\", \"rtmp://A:1935/b\"]",
        6,
        "upstream.rtmp_urls[1]",
        "the same",
    ),
    (
        5,
        "servers = [\"http://a\"]\nclient_messages = \"all\"",
        6,
        "upstream.client_messages",
        "must be \"player\" or \"any\"",
    ),
    // Limits and timeouts; `config_example.rs` has the bounds of all.
    (
        12,
        "[limits]\nconnections = 0",
        13,
        "limits.connections",
        "must be at least 1: nobody could connect",
    ),
    (
        12,
        "[limits]\nconnections = -1",
        13,
        "limits.connections",
        "not negative",
    ),
    (
        12,
        "[limits]\nbacklog = 99999999999999999999999",
        13,
        "limits.backlog",
        "a whole number",
    ),
    (
        12,
        "[limits]\nhead = \"0B\"",
        13,
        "limits.head",
        "must be at least 8KiB: a request with its token",
    ),
    (12, "[limits]\nhead = \"16KB\"", 13, "limits.head", "KiB"),
    (
        12,
        "[limits]\nhead = \"8KiB\"\nuri = \"9KiB\"",
        14,
        "limits.uri",
        "is more than limits.head",
    ),
    (
        12,
        "[timeouts]\nhead = \"0s\"",
        13,
        "timeouts.head",
        "must be at least 10ms: every viewer would be too late",
    ),
    (
        12,
        "[timeouts]\nhead = \"6\"",
        13,
        "timeouts.head",
        "such as \"300ms\" or \"6s\"",
    ),
    (
        12,
        "[timeouts]\nhead = \"6 s\"",
        13,
        "timeouts.head",
        "such as \"300ms\" or \"6s\"",
    ),
    (
        12,
        "[timeouts]\nlinger = \"1m\"",
        13,
        "timeouts.linger",
        "must be at most 30s",
    ),
    (
        12,
        "[timeouts]\ndrain = \"999999999999999d\"",
        13,
        "timeouts.drain",
        "is too large",
    ),
    (
        12,
        "[refusal]\nwebsocket = \"403\"",
        13,
        "refusal.websocket",
        "must be \"close-code\" or \"http-status\"",
    ),
    // Organisations.
    (
        7,
        "",
        6,
        "organisation[0].hash",
        "is missing: say whose streams",
    ),
    (
        7,
        "hash = \"abcd\"",
        7,
        "organisation[0].hash",
        "at least 5 are needed; it is 5 or 6 letters or digits, or \"*\"",
    ),
    (
        7,
        "hash = \"abcd-\"",
        7,
        "organisation[0].hash",
        "'-' at position 5",
    ),
    (
        7,
        "hash = \"abcde\"\nmax_lifetime = \"0s\"",
        8,
        "organisation[0].max_lifetime",
        "every token would be refused",
    ),
    (
        7,
        "hash = \"abcde\"\nmax_lifetime = \"9999d\"",
        8,
        "organisation[0].max_lifetime",
        "must be at most 3650d",
    ),
    (
        7,
        "hash = \"abcde\"\nleeway = \"300ms\"",
        8,
        "organisation[0].leeway",
        "must be whole seconds",
    ),
    (
        7,
        "hash = \"abcde\"\nrequire_expires = 1",
        8,
        "organisation[0].require_expires",
        "must be true or false",
    ),
    (
        12,
        "[[organisation]]\nhash = \"abcde\"",
        13,
        "organisation[1].hash",
        "is the same as organisation[0].hash on line 7",
    ),
    (
        8,
        "api_keys = [{ id = \"a\" }]",
        8,
        "organisation[0].api_keys[0].sha256",
        "is missing",
    ),
    (
        8,
        "api_keys = [{ sha256 = \"1111111111111111111111111111111111111111111111111111111111111111\" }]",
        8,
        "organisation[0].api_keys[0].id",
        "is missing",
    ),
    (
        8,
        "api_keys = [{ id = \"a\", sha256 = \"g111111111111111111111111111111111111111111111111111111111111111\" }]",
        8,
        "organisation[0].api_keys[0].sha256",
        "64 hexadecimal digits",
    ),
    (
        8,
        "api_keys = [{ id = \"a\", sha256 = \"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\" }]",
        8,
        "organisation[0].api_keys[0].sha256",
        "SHA-256 of an empty text",
    ),
    (
        8,
        "api_keys = [\n{ id = \"a\", sha256 = \"1111111111111111111111111111111111111111111111111111111111111111\" },\n\
         { id = \"a\", sha256 = \"2222222222222222222222222222222222222222222222222222222222222222\" }]",
        10,
        "organisation[0].api_keys[1].id",
        "is the same as organisation[0].api_keys[0].id on line 9",
    ),
    (
        12,
        "[[organisation]]\nhash = \"*\"\n\
          api_keys = [{ id = \"b\", sha256 = \"1111111111111111111111111111111111111111111111111111111111111111\" }]",
        14,
        "organisation[1].api_keys[0].sha256",
        "an API key stands for one organisation",
    ),
    // Keys.
    (10, "", 9, "organisation[0].key[0].id", "is missing"),
    (
        10,
        "id = \"k.1\"",
        10,
        "organisation[0].key[0].id",
        "'.' at position 2",
    ),
    (
        11,
        "",
        9,
        "organisation[0].key[0].secret_file",
        "is missing: say where the secret is",
    ),
    (
        12,
        "secret_env = \"K3\"",
        12,
        "organisation[0].key[0].secret_env",
        "stands beside secret_file",
    ),
    (
        12,
        "state = \"gone\"",
        12,
        "organisation[0].key[0].state",
        "must be \"active\" or \"retiring\"",
    ),
    (
        11,
        "secret_file = \"nowhere\"",
        11,
        "organisation[0].key[0].secret_file",
        "relative to the configuration file",
    ),
    (
        11,
        "secret_file = \"short.secret\"",
        11,
        "organisation[0].key[0].secret_file",
        "5 bytes long, at least 32",
    ),
    (
        11,
        "secret_file = \"empty.secret\"",
        11,
        "organisation[0].key[0].secret_file",
        "0 bytes long",
    ),
    (
        11,
        "secret_file = \"garbage.secret\"",
        11,
        "organisation[0].key[0].secret_file",
        "h5gate key new",
    ),
    (
        11,
        "secret_env = \"NOT_SET\"",
        11,
        "organisation[0].key[0].secret_env",
        "is not set",
    ),
    (
        11,
        "secret_env = \"$K3\"",
        11,
        "organisation[0].key[0].secret_env",
        "letters, digits and _",
    ),
    (
        12,
        "[[organisation.key]]\nid = \"k1\"\nsecret_file = \"k2.secret\"",
        13,
        "organisation[0].key[1].id",
        "is the same as organisation[0].key[0].id on line 10",
    ),
    (
        12,
        "[[organisation]]\nhash = \"*\"\n[[organisation.key]]\nid = \"k1\"\nsecret_file = \"k2.secret\"",
        15,
        "organisation[1].key[0].id",
        "a token names its key by the id alone",
    ),
    (
        12,
        "[[organisation]]\nhash = \"fghij\"\n[[organisation.key]]\nid = \"k2\"\nsecret_file = \"copy.secret\"",
        16,
        "organisation[1].key[0].secret_file",
        "is the same as organisation[0].key[0].secret_file on line 11; a secret is good for one",
    ),
];

#[test]
fn the_good_configuration_has_no_error() {
    let config = parse(&GOOD.join("\n")).unwrap();
    assert_eq!((config.dangers, config.warnings), (vec![], vec![]));
}

#[test]
fn every_error_names_its_line_and_key_and_what_to_do() {
    assert!(WRONG.len() > 100);
    let mut wrong = Vec::new();
    for (replaced, text, line, key, words) in WRONG {
        let errors = parse(&with(*replaced, text)).err().unwrap_or_default();
        let told = |error: &h5gate::config::ConfigError| {
            error.line == Some(*line) && error.key == *key && error.to_string().contains(words)
        };
        if !matches!(&errors[..], [one] if told(one)) {
            let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
            wrong.push(format!(
                "{text:?}: expected {line}: {key}: {words}; got {errors:#?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn all_errors_are_told_at_once_in_the_order_of_their_lines() {
    let text = r#"
[[listener]]
address = "here"
serves = ["radio"]
[upstream]
servers = ["ftp://a"]
client_message = "any"
[limits]
head = "1B"
fields = "many"
[timeouts]
drain = "soon"
[[organisation]]
hash = "a"
[[organisation.key]]
secret_file = "k1.secret"
state = "new"
"#;
    let errors = parse(text).unwrap_err();
    let places: Vec<_> = errors
        .iter()
        .map(|error| (error.line.unwrap(), error.key.as_str()))
        .collect();
    let expected = [
        (3, "listener[0].address"),
        (4, "listener[0].serves[0]"),
        (6, "upstream.servers[0]"),
        (7, "upstream.client_message"),
        (9, "limits.head"),
        (10, "limits.fields"),
        (12, "timeouts.drain"),
        (14, "organisation[0].hash"),
        (15, "organisation[0].key[0].id"),
        (17, "organisation[0].key[0].state"),
    ];
    assert_eq!(places, expected);
}

#[test]
fn errors_of_syntax_do_not_hide_the_others_nor_make_up_any() {
    let text = "[[listener]]\naddress = 127.0.0.1:80\nserves = playback\n[upstream]\nserver = []\n[limits]\nhead = \"1\"\n";
    let errors = parse(text).unwrap_err();
    let lines: Vec<_> = errors
        .iter()
        .map(|error| (error.line, matches!(error.problem, Problem::Syntax(_))))
        .collect();
    // Neither the servers nor organisations are missed: they may stand where the parser could not read.
    assert_eq!(
        lines,
        [
            (Some(2), true),
            (Some(3), true),
            (Some(5), false),
            (Some(7), false)
        ]
    );
}

#[test]
fn an_empty_file_lacks_a_listener() {
    let errors = parse("").unwrap_err();
    let told: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        ["listener: is missing: begin a table with [[listener]] and say address and serves"]
    );
}

#[test]
fn a_gate_that_only_mints_needs_no_media_server() {
    let text = with(3, "serves = [\"token-api\"]");
    for text in [
        text.replace(GOOD[4], ""),
        text.replace(GOOD[4], "servers = []"),
    ] {
        assert!(parse(&text).unwrap().upstream.servers.is_empty());
    }
}

#[test]
fn a_file_is_named_as_it_was_given() {
    let directory = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("config_errors");
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("gate.toml");
    std::fs::write(&path, with(2, "address = 1")).unwrap();
    let errors = Config::load(&path).unwrap_err();
    let told: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert!(
        told[0].starts_with(&format!(
            "{}:2: listener[0].address: must be",
            path.display()
        )),
        "{told:?}"
    );
    assert!(
        told[1].contains(":11: organisation[0].key[0].secret_file: cannot be read"),
        "{told:?}"
    );
    assert_eq!(told.len(), 2);

    std::fs::write(&path, b"# one\n# \xff\n").unwrap();
    let errors = Config::load(&path).unwrap_err();
    assert_eq!((errors[0].line, errors.len()), (Some(2), 1));

    let errors = Config::load(&directory.join("nowhere.toml")).unwrap_err();
    assert!(
        matches!(errors[0].problem, Problem::Unreadable(_)),
        "{errors:?}"
    );
    assert!(Config::load(&directory).is_err());
}

#[test]
fn no_error_repeats_a_secret() {
    let secret = secret('E');
    // Wherever an operator may put a secret by mistake, or a parser may trip over it.
    let texts = [
        with(11, &format!("secret = \"{secret}\"")),
        with(11, &format!("secret_file = \"{secret}\"")),
        with(11, &format!("secret_env = \"{secret}\"")),
        with(
            11,
            &format!("secret_env = \"{}\"", secret.trim_end_matches('=')),
        ),
        with(11, &format!("secret_file = {secret}")),
        with(11, &format!("secret_file = \"{secret}")),
        with(11, &secret),
        with(11, &format!("\"{secret}\"")),
        with(11, &format!("\"{secret}\" = 1\n\"{secret}\" = 1")),
        with(11, &format!("{secret} = \"k1.secret\"")),
        with(11, &format!("[{secret}]")),
        with(10, &format!("id = \"{secret}\"")),
        with(12, &format!("state = \"{secret}\"")),
        with(7, &format!("hash = \"{secret}\"")),
        with(
            8,
            &format!("api_keys = [{{ id = \"{secret}\", sha256 = \"{secret}\" }}]"),
        ),
        with(8, &format!("api_keys = [\"{secret}\"]")),
        with(
            12,
            &format!("[admin]\naddress = \"{secret}\"\ntoken_sha256 = \"{secret}\""),
        ),
        with(12, &format!("[admin.{secret}]\n[admin.{secret}]")),
    ];
    for text in texts {
        let errors = parse(&text)
            .err()
            .unwrap_or_else(|| panic!("no error in {text}"));
        let told = format!(
            "{errors:?} {}",
            errors.iter().map(ToString::to_string).collect::<String>()
        );
        assert!(!told.contains("EEEE"), "{told}");
    }
    for bad in [
        format!("{secret}{secret}"),
        secret.replace('=', ""),
        format!("x{secret}"),
        secret[..40].to_owned(),
    ] {
        let mut source = Memory::new();
        source.files.insert("k1.secret".to_owned(), bad);
        let errors = Config::parse(&GOOD.join("\n"), &mut source).unwrap_err();
        let told = format!("{errors:?} {}", errors[0]);
        assert!(!told.contains("EEEE"), "{told}");
    }
}
