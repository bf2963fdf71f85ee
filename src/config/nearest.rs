//! The known key that an operator may have meant.

/// The known key that looks most like `name`, when one does.
pub(super) fn nearest(name: &str, known: &[&'static str]) -> Option<&'static str> {
    let plain = |text: &str| text.to_ascii_lowercase().replace('-', "_");
    let name = plain(name);
    // Up to a third of the letters may be wrong, else everything looks like everything.
    let near = |known: &str| distance(&name, known) <= known.len().max(3) / 3;
    known
        .iter()
        .copied()
        .filter(|known| near(known))
        .min_by_key(|known| distance(&name, known))
}

/// Letters to add, remove or replace to make one of the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (index, letter) in one.chars().enumerate() {
        // What stood left of the place above, before it was overwritten.
        let mut corner = index;
        let mut left = index + 1;
        let mut places = row.iter_mut();
        if let Some(first) = places.next() {
            *first = left;
        }
        for (place, other) in places.zip(other.chars()) {
            let cost = usize::from(letter != other);
            let best = (corner + cost).min(left + 1).min(*place + 1);
            corner = std::mem::replace(place, best);
            left = best;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_levenshtein() {
        for (one, other, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("abc", "abc", 0),
            ("ab", "ba", 2),
        ] {
            assert_eq!(distance(one, other), expected, "{one} {other}");
        }
    }

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let known = ["servers", "websocket_path", "rtmp_urls", "host", "id"];
        for (name, expected) in [
            ("server", Some("servers")),
            ("Servers", Some("servers")),
            ("websocket-path", Some("websocket_path")),
            ("rtmp_url", Some("rtmp_urls")),
            ("hots", None),
            ("kid", Some("id")),
            ("http_servers", None),
            ("tls", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, &known), expected, "{name}");
        }
    }
}
