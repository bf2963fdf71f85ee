use super::*;

fn resolve(asked: &str, location: &str) -> Result<String, &'static str> {
    let headers = HeaderMap::from_iter([(LOCATION, location.parse().unwrap())]);
    let next = next(&asked.parse().unwrap(), &headers, |authority| {
        authority == "ours:80"
    });
    next.map(|target| target.to_string())
}

#[test]
fn references_are_resolved_as_the_standard_says() {
    // RFC 3986 section 5.4, without those that name another scheme.
    let rows = [
        ("g", "/b/c/g"),
        ("./g", "/b/c/g"),
        ("g/", "/b/c/g/"),
        ("/g", "/g"),
        ("?y", "/b/c/d;p?y"),
        ("g?y", "/b/c/g?y"),
        ("#s", "/b/c/d;p?q"),
        ("g#s", "/b/c/g"),
        ("g?y#s", "/b/c/g?y"),
        (";x", "/b/c/;x"),
        ("", "/b/c/d;p?q"),
        (".", "/b/c/"),
        ("./", "/b/c/"),
        ("..", "/b/"),
        ("../g", "/b/g"),
        ("../..", "/"),
        ("../../g", "/g"),
        ("../../../../g", "/g"),
        ("/./g", "/g"),
        ("/../g", "/g"),
        ("g.", "/b/c/g."),
        ("..g", "/b/c/..g"),
        ("./g/.", "/b/c/g/"),
        ("g/../h", "/b/c/h"),
        ("g;x=1/../y", "/b/c/y"),
        ("g?y/../x", "/b/c/g?y/../x"),
        ("g?y:z", "/b/c/g?y:z"),
        ("http://ours:80", "/"),
        ("http://ours:80?y", "/?y"),
        ("HTTP://ours:80/a/../b?y#s", "/b?y"),
        ("//ours:80/g", "/g"),
    ];
    assert!(!rows.is_empty());
    for (location, target) in rows {
        assert_eq!(
            resolve("/b/c/d;p?q", location).as_deref(),
            Ok(target),
            "{location}"
        );
    }
}

#[test]
fn other_places_are_refused() {
    for location in [
        "http://other/",
        "//other/",
        "https://ours:80/",
        "g:h",
        "http:g",
        "//",
    ] {
        assert!(resolve("/a", location).is_err(), "{location}");
    }
}
