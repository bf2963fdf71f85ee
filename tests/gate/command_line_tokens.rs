//! `h5gate token verify` says of a URL what the gate would say of it, and `inspect` what a token says; what is no token of the
//! gate is told as what it is.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::Engine as _;
use serde_json::Value;

const CONFIG: &str = r#"
[[listener]]
address = "127.0.0.1:0"
serves = ["playback"]
[upstream]
servers = ["http://127.0.0.1:1"]
[[organisation]]
hash = "abcde"
max_lifetime = "1d"
[[organisation.key]]
id = "k1"
secret_file = "k1.secret"
[[organisation]]
hash = "fghij"
require_expires = true
[[organisation.key]]
id = "k2"
secret_file = "k2.secret"
"#;

/// A header of `{"alg":"EdDSA"}`, claims and a signature.
const JWT: &str = "eyJhbGciOiJFZERTQSJ9.eyJhdWQiOiJzcGxheSJ9.c2lnbmF0dXJl";

/// A directory of this test's own, with a configuration.
fn config(name: &str) -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("command_line_tokens")
        .join(name);
    let _ = std::fs::remove_dir_all(&place);
    std::fs::create_dir_all(&place).unwrap();
    for (file, byte) in [("k1.secret", 7), ("k2.secret", 8)] {
        let secret = base64::engine::general_purpose::STANDARD.encode([byte; 32]);
        std::fs::write(place.join(file), secret).unwrap();
    }
    std::fs::write(place.join("h5gate.toml"), CONFIG).unwrap();
    place.join("h5gate.toml")
}

fn h5gate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_h5gate"))
        .args(arguments)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The WebSocket URL of a token with these claims.
fn mint(config: &Path, claims: &[&str]) -> String {
    let standing = [
        "token",
        "mint",
        "--config",
        config.to_str().unwrap(),
        "--url",
        "ws://gate.test",
    ];
    let minted = h5gate(&[&standing, claims].concat());
    assert!(minted.status.success(), "{minted:?}");
    text(&minted.stdout).lines().next().unwrap().to_owned()
}

fn verify(config: &Path, url: &str) -> Output {
    h5gate(&["token", "verify", "--config", config.to_str().unwrap(), url])
}

/// The query's value of a key, percent-encoded as it stands.
fn value(url: &str, key: &str) -> String {
    let (_, query) = url.split_once('?').unwrap();
    let mut values = query
        .split('&')
        .filter_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
    values.next().unwrap().to_owned()
}

#[test]
fn a_url_that_the_gate_would_refuse_is_refused_with_the_reason() {
    let config = config("refused");
    let one = mint(&config, &["--stream", "abcde-one", "--for", "1h"]);
    assert!(verify(&config, &one).status.success());
    let (_, query) = one.split_once('?').unwrap();
    assert!(verify(&config, query).status.success());
    let cases = [
        (
            one.replace("stream=abcde-one", "stream=abcde-two"),
            "not for stream abcde-two",
        ),
        (
            query.replace("stream=abcde-one", "stream=abcde-two"),
            "not for stream abcde-two",
        ),
        (
            one.replace("stream=abcde-one", "stream=fghij-one"),
            "not for stream fghij-one",
        ),
        (one.replace("stream=abcde-one", "stream=a%2Fb"), "stream"),
        (one.replace("stream=abcde-one&", ""), "stream is missing"),
        (
            one.replace("localhost", "other.test"),
            "none of upstream.rtmp_urls",
        ),
        (one.replace("url=rtmp", "uri=rtmp"), "url is missing"),
        (one.clone() + "&stream=abcde-one", "stream is repeated"),
        (
            mint(&config, &["--stream", "abcde-one", "--for", "2d"]),
            "max_lifetime",
        ),
        (
            mint(&config, &["--stream", "fghij-one"]),
            "requires expires",
        ),
        (
            mint(
                &config,
                &["--stream", "abcde-one", "--not-before", "4102444800"],
            ),
            "not valid before 4102444800 (2100-01-01T00:00:00Z)",
        ),
        (
            mint(&config, &["--stream", "abcde-one"]).replace("options=0", "options=1"),
            "expires is missing",
        ),
    ];
    for (url, words) in cases {
        let refused = verify(&config, &url);
        assert_eq!(refused.status.code(), Some(1), "{url}");
        assert!(
            text(&refused.stderr).contains(words),
            "{url}: {}",
            text(&refused.stderr)
        );
    }
    // All that is wrong is said, as in the gate's own log.
    let both = mint(&config, &["--stream", "abcde-one", "--for", "2d"])
        .replace("stream=abcde-one", "stream=abcde-two");
    let told = text(&verify(&config, &both.replace("localhost", "other.test")).stderr);
    assert_eq!(told.lines().count(), 3, "{told}");
    // An organisation's token plays any of its streams, and no other.
    let orga = h5gate(&[
        "token",
        "mint",
        "--config",
        config.to_str().unwrap(),
        "--orga",
        "abcde",
        "--for",
        "1h",
    ]);
    let answer: Value = serde_json::from_slice(&orga.stdout).unwrap();
    let security = &answer["h5live"]["security"];
    let url = |stream: &str| {
        let string = |key: &str| security[key].as_str().unwrap().to_owned();
        let (token, options, expires) = (string("token"), string("options"), string("expires"));
        format!(
            "ws://gate.test/h5live/authstream?url=rtmp%3A%2F%2Flocalhost%2Fplay&stream={stream}&expires={expires}&token={token}&options={options}"
        )
    };
    assert!(verify(&config, &url("abcde-any")).status.success());
    assert_eq!(verify(&config, &url("fghij-any")).status.code(), Some(1));
}

#[test]
fn what_a_token_is_bound_to_is_said_and_not_held_against_it() {
    let config = config("bound");
    let claims = [
        "--stream",
        "abcde-one",
        "--for",
        "1h",
        "--ip",
        "192.0.2.1",
        "--referer",
        "page.test",
    ];
    let checked = verify(&config, &mint(&config, &claims));
    assert!(checked.status.success(), "{checked:?}");
    assert!(
        text(&checked.stderr).contains("address and page"),
        "{checked:?}"
    );
}

#[test]
fn a_token_of_another_form_is_told_as_what_it_is() {
    let config = config("jwt");
    let good = mint(&config, &["--stream", "abcde-one", "--for", "1h"]);
    let without = good.split("&expires=").next().unwrap();
    let security = format!("{without}&jwtoken={JWT}");
    for given in [
        JWT,
        &security,
        &format!("{without}&token={JWT}"),
        &format!("stream=abcde-one&jwtoken={JWT}"),
    ] {
        let refused = verify(&config, given);
        assert_eq!(refused.status.code(), Some(1), "{given}");
        assert!(
            text(&refused.stderr).contains("this is a jwtoken"),
            "{given}: {refused:?}"
        );
    }
    for given in [JWT, &security] {
        let refused = h5gate(&["token", "inspect", given]);
        assert_eq!(refused.status.code(), Some(1), "{given}");
        assert!(
            text(&refused.stderr).contains("this is a jwtoken"),
            "{given}: {refused:?}"
        );
    }
    let none = h5gate(&["token", "inspect", without]);
    assert!(
        !none.status.success() && text(&none.stderr).contains("there is no token"),
        "{none:?}"
    );
    // One beside a token of the gate's own changes nothing.
    assert!(
        verify(&config, &format!("{good}&jwtoken={JWT}"))
            .status
            .success()
    );
    let others = [
        (value(&good, "token"), "a token alone"),
        (format!("{without}&token=abc"), "h1.KEY.CLAIMS.SIGNATURE"),
        (without.to_owned(), "token is missing"),
    ];
    for (given, words) in others {
        let refused = verify(&config, &given);
        assert_eq!(refused.status.code(), Some(1), "{given}");
        assert!(
            text(&refused.stderr).contains(words),
            "{given}: {refused:?}"
        );
    }
}

#[test]
fn times_are_shown_in_seconds_and_as_people_read_them() {
    let config = config("times");
    let claims = [
        "--stream",
        "abcde-one",
        "--expires",
        "4102444800",
        "--not-before",
        "1700000000",
    ];
    let url = mint(&config, &claims);
    let shown = |output: &Output| serde_json::from_slice::<Value>(&output.stdout).unwrap();
    let verified = shown(&verify(&config, &url));
    let inspected = shown(&h5gate(&["token", "inspect", &url]));
    for shown in [&verified, &inspected] {
        assert_eq!(shown["expires"], 4_102_444_800_u64);
        assert_eq!(shown["expires_utc"], "2100-01-01T00:00:00Z");
        assert_eq!(shown["not_before_utc"], "2023-11-14T22:13:20Z");
        assert!(shown["issued_at_utc"].as_str().unwrap().ends_with('Z'));
    }
    // A token alone does not tell when it expires.
    let alone = shown(&h5gate(&["token", "inspect", &value(&url, "token")]));
    assert_eq!(
        (&alone["expires"], &alone["expires_utc"]),
        (&Value::Null, &Value::Null)
    );
    assert!(alone["issued_at_utc"].is_string());
}
