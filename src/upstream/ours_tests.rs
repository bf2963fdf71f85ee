use super::*;

fn upstream(host: Option<&str>) -> Upstream {
    let servers = ["http://media-1", "http://media-2:8181", "http://[::1]:8182"];
    let servers = servers.map(|server| server.parse().unwrap()).into();
    let patience = Patience {
        connect: Duration::ZERO,
        head: Duration::ZERO,
        total: Duration::ZERO,
        backoff: Duration::ZERO,
        user_timeout: Duration::ZERO,
        media_idle: Duration::ZERO,
        outage_hold: Duration::ZERO,
    };
    Upstream::new(servers, host.map(|host| host.parse().unwrap()), patience, 1)
}

#[test]
fn servers_and_the_host_are_ours_and_nothing_else_is() {
    let hosted = upstream(Some("Media.Example.com"));
    let ported = upstream(Some("media.example.com:8080"));
    let bare = upstream(None);
    let rows = [
        (&bare, "http", "media-1", true),
        (&bare, "HTTP", "MEDIA-1:80", true),
        (&bare, "https", "media-1", false),
        (&bare, "https", "media-1:80", true),
        (&bare, "http", "media-2:8181", true),
        (&bare, "http", "media-2", false),
        (&bare, "http", "media-2:8182", false),
        (&bare, "http", "[::1]:8182", true),
        (&bare, "http", "user@media-1", false),
        (&bare, "http", "media-1:", true),
        (&bare, "http", "media-1:99999", false),
        (&bare, "http", "media-1.example.com", false),
        (&bare, "http", "", false),
        (&bare, "ftp", "media-1:80", false),
        (&bare, "http", "media.example.com", false),
        (&hosted, "http", "media.example.com", true),
        (&hosted, "https", "media.example.com", true),
        (&hosted, "https", "media.example.com:443", true),
        (&hosted, "http", "media.example.com:443", false),
        (&hosted, "http", "media-1", true),
        (&ported, "http", "media.example.com:8080", true),
        (&ported, "https", "media.example.com:8080", true),
        (&ported, "http", "media.example.com", false),
    ];
    assert!(!rows.is_empty());
    for (upstream, scheme, authority, ours) in rows {
        assert_eq!(
            upstream.is_ours(scheme, authority),
            ours,
            "{scheme}://{authority}"
        );
    }
}

#[test]
fn a_server_is_asked_by_its_own_name_without_the_usual_port() {
    let names = [
        "http://media:80/",
        "http://media",
        "http://Media:8181",
        "http://[::1]:80",
    ];
    let expected = ["media", "media", "Media:8181", "[::1]"];
    for (name, expected) in names.iter().zip(expected) {
        let url: ServerUrl = name.parse().unwrap();
        assert_eq!(Server::new(url, 1).authority(), expected);
    }
}
