//! Reloads of a live playlist that wait for news (draft-pantos-hls-rfc8216bis, sections 4.4.3.8 and 6.2.5): what a viewer asks
//! for, and what of it is in reach of the playlist, so that many viewers' wishes are few requests.

use std::time::Duration;

use super::attributes::unquoted;

/// How many segments a viewer may be ahead (section 6.2.5.2).
const AHEAD: u64 = 2;

/// How many parts, where they are a second or longer; and for how many seconds, where they are shorter.
const PARTS_AHEAD: f64 = 3.0;

/// The most that is ever taken for that.
const PARTS_LIMIT: f64 = 100.0;

/// What a viewer asks of a playlist beside its URL. All other parameters that begin so mean nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// `_HLS_msn` and `_HLS_part`
    news: Option<News>,
    /// `_HLS_skip`
    skip: Option<Skip>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct News {
    segment: u64,
    part: Option<u64>,
}

/// What a viewer has already and can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Skip {
    /// Segments.
    Yes,
    /// Date ranges as well.
    V2,
}

impl Directives {
    /// Of the parameters of a query, decoded. What is not spelled as the draft has it, or stands there twice, is not
    /// there: that would be as many requests as there are spellings.
    pub fn read<'a>(parameters: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let (mut segment, mut part, mut skip) = (Once::No, Once::No, Once::No);
        for (key, value) in parameters {
            match key {
                "_HLS_msn" => segment.see(value),
                "_HLS_part" => part.see(value),
                "_HLS_skip" => skip.see(value),
                _ => {}
            }
        }
        let part = part.value().map(number);
        let news = segment.value().and_then(number).map(|segment| News {
            segment,
            part: part.flatten(),
        });
        Self {
            // A part that cannot be read makes the segment mean something else.
            news: news.filter(|_| part != Some(None)),
            skip: match skip.value() {
                Some("YES") => Some(Skip::Yes),
                Some("v2") => Some(Skip::V2),
                _ => None,
            },
        }
    }

    /// Whether anything is asked for.
    #[must_use]
    pub fn is_plain(self) -> bool {
        self == Self::default()
    }

    /// Whether the media server may hold the answer back until there is news.
    #[must_use]
    pub fn waits(self) -> bool {
        self.news.is_some()
    }

    /// The same, waiting for the news of `latest`.
    #[must_use]
    pub fn or_news_of(self, latest: Self) -> Self {
        let news = self.news.or(latest.news);
        Self { news, ..self }
    }

    /// A path and query with them.
    #[must_use]
    pub fn added_to(self, target: &str) -> String {
        let mut text = target.to_owned();
        let mut separator = if target.contains('?') { '&' } else { '?' };
        let mut add = |name: &str, value: &str| {
            text.push(separator);
            text.push_str(name);
            text.push_str(value);
            separator = '&';
        };
        if let Some(News { segment, part }) = self.news {
            add("_HLS_msn=", &segment.to_string());
            if let Some(part) = part {
                add("_HLS_part=", &part.to_string());
            }
        }
        match self.skip {
            Some(Skip::Yes) => add("_HLS_skip=", "YES"),
            Some(Skip::V2) => add("_HLS_skip=", "v2"),
            None => {}
        }
        text
    }
}

/// A value that may stand once.
enum Once<'a> {
    No,
    Yes(&'a str),
    Twice,
}

impl<'a> Once<'a> {
    fn see(&mut self, value: &'a str) {
        *self = match self {
            Self::No => Self::Yes(value),
            Self::Yes(_) | Self::Twice => Self::Twice,
        };
    }

    /// What stands there twice is not there, and neither is what depends on it.
    fn value(&self) -> Option<&'a str> {
        match self {
            Self::No => None,
            Self::Yes(value) => Some(value),
            Self::Twice => Some(""),
        }
    }
}

/// A decimal number in its one spelling.
fn number(digits: &str) -> Option<u64> {
    let canonical = digits == "0" || !digits.starts_with('0');
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    (canonical && plain).then(|| digits.parse().ok()).flatten()
}

/// What a media playlist says of its next reload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reload {
    /// The first segment that is not complete.
    next: u64,
    /// How many parts of it are there.
    parts: u64,
    /// How many parts a viewer may be ahead; `None` in a playlist without parts.
    parts_ahead: Option<u64>,
    /// `CAN-BLOCK-RELOAD=YES`
    waits: bool,
    /// `CAN-SKIP-UNTIL`, and `CAN-SKIP-DATERANGES=YES`
    skips: Option<Skip>,
    /// It will not change.
    ended: bool,
}

/// What becomes of a viewer's wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The playlist is asked for with these.
    Ask(Directives),
    /// It is too far ahead.
    TooFar,
}

impl Reload {
    pub(super) fn starts_at(&mut self, value: &[u8]) {
        let text = std::str::from_utf8(value).unwrap_or_default();
        self.next = self
            .next
            .saturating_add(text.trim().parse().unwrap_or_default());
    }

    pub(super) fn segment(&mut self) {
        self.next = self.next.saturating_add(1);
        self.parts = 0;
    }

    pub(super) fn part(&mut self) {
        self.parts += 1;
    }

    pub(super) fn skipped(&mut self, list: &[u8]) {
        let count = unquoted(list, b"SKIPPED-SEGMENTS").and_then(|text| text.parse().ok());
        self.next = self.next.saturating_add(count.unwrap_or_default());
    }

    pub(super) fn control(&mut self, list: &[u8]) {
        self.waits = unquoted(list, b"CAN-BLOCK-RELOAD") == Some("YES");
        let skips = unquoted(list, b"CAN-SKIP-UNTIL").map(|_| Skip::Yes);
        let of_dates = unquoted(list, b"CAN-SKIP-DATERANGES") == Some("YES");
        self.skips = skips.map(|yes| if of_dates { Skip::V2 } else { yes });
    }

    pub(super) fn part_target(&mut self, list: &[u8]) {
        let target = unquoted(list, b"PART-TARGET").and_then(|text| text.parse::<f64>().ok());
        let ahead = match target {
            Some(target) if target > 0.0 && target < 1.0 => (PARTS_AHEAD / target).ceil(),
            Some(_) | None => PARTS_AHEAD,
        };
        // At most a hundred, and never negative.
        let ahead = Duration::from_secs_f64(ahead.min(PARTS_LIMIT)).as_secs();
        self.parts_ahead = Some(ahead);
    }

    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// What of `asked` is in reach. What the playlist has already is not waited for, and what is farther than its next news is
    /// reached by way of these, so that all waiting viewers of a playlist wait for the same few answers.
    #[must_use]
    pub fn reach(&self, asked: Directives) -> Reach {
        let skip = match (asked.skip, self.skips) {
            (None, _) | (_, None) => None,
            (Some(Skip::V2), Some(Skip::V2)) => Some(Skip::V2),
            (Some(_), Some(_)) => Some(Skip::Yes),
        };
        let ask = |news| Reach::Ask(Directives { news, skip });
        let Some(news) = asked.news.filter(|_| self.waits && !self.ended) else {
            return ask(None);
        };
        let part = news.part.zip(self.parts_ahead);
        let next = |part| News {
            segment: self.next,
            part,
        };
        if news.segment < self.next {
            return ask(None);
        }
        if news.segment >= self.next.saturating_add(AHEAD) {
            return Reach::TooFar;
        }
        let is_next = news.segment == self.next;
        match part {
            Some((part, _)) if is_next && part < self.parts => ask(None),
            Some((part, ahead)) if part > ahead + if is_next { self.parts } else { 0 } => {
                Reach::TooFar
            }
            Some(_) if is_next => ask(Some(next(Some(self.parts)))),
            Some(_) | None => ask(Some(next(None))),
        }
    }

    /// Whether it has more than an earlier one.
    #[must_use]
    pub fn is_ahead_of(&self, earlier: &Self) -> bool {
        (self.next, self.parts) > (earlier.next, earlier.parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Directives {
        let pairs = query.split('&').map(|one| one.split_once('=').unwrap());
        Directives::read(pairs)
    }

    #[test]
    fn only_the_one_spelling_of_a_directive_is_read() {
        for query in [
            "_HLS_msn=007",
            "_HLS_msn=",
            "_HLS_msn=-1",
            "_HLS_msn=+1",
            "_HLS_msn=1.0",
            "_HLS_msn=0x1",
            "_HLS_msn=18446744073709551616",
            "_HLS_msn=1&_HLS_msn=1",
            "_HLS_msn=1&_HLS_msn=2",
            "_HLS_part=1",
            "_HLS_msn=1&_HLS_part=01",
            "_HLS_msn=1&_HLS_part=1&_HLS_part=1",
            "_HLS_msn=1&_HLS_part=",
            "_HLS_skip=yes",
            "_HLS_skip=YES&_HLS_skip=YES",
            "_HLS_q=1",
            "_HLS_MSN=1",
            "_hls_msn=1",
        ] {
            assert!(read(query).is_plain(), "{query}");
        }
        for query in [
            "_HLS_msn=0",
            "_HLS_msn=18446744073709551615",
            "_HLS_msn=12&_HLS_part=0",
            "_HLS_msn=12&_HLS_part=3&_HLS_skip=YES",
            "_HLS_skip=v2",
        ] {
            assert_eq!(read(query).added_to("/a"), format!("/a?{query}"));
            assert_eq!(read(query).added_to("/a?x"), format!("/a?x&{query}"));
        }
    }

    #[test]
    fn what_is_asked_of_a_playlist_is_one_of_few() {
        let plain = Reload {
            next: 10,
            waits: true,
            ..Reload::default()
        };
        let parts = Reload {
            parts: 2,
            parts_ahead: Some(3),
            skips: Some(Skip::Yes),
            ..plain
        };
        let both = |query: &str| [plain, parts].map(|reload| reload.reach(read(query)));
        let ask = |query: &str| {
            let directives = match query {
                "" => Directives::default(),
                query => read(query),
            };
            Reach::Ask(directives)
        };
        let (next, part) = ("_HLS_msn=10", "_HLS_msn=10&_HLS_part=2");
        for (query, of_plain, of_parts) in [
            ("_HLS_msn=0", ask(""), ask("")),
            ("_HLS_msn=9", ask(""), ask("")),
            ("_HLS_msn=9&_HLS_part=99", ask(""), ask("")),
            ("_HLS_msn=10", ask(next), ask(next)),
            ("_HLS_msn=11", ask(next), ask(next)),
            ("_HLS_msn=12", Reach::TooFar, Reach::TooFar),
            (
                "_HLS_msn=18446744073709551615",
                Reach::TooFar,
                Reach::TooFar,
            ),
            ("_HLS_msn=10&_HLS_part=0", ask(next), ask("")),
            ("_HLS_msn=10&_HLS_part=2", ask(next), ask(part)),
            ("_HLS_msn=10&_HLS_part=5", ask(next), ask(part)),
            ("_HLS_msn=10&_HLS_part=6", ask(next), Reach::TooFar),
            ("_HLS_msn=11&_HLS_part=3", ask(next), ask(next)),
            ("_HLS_msn=11&_HLS_part=4", ask(next), Reach::TooFar),
            ("_HLS_skip=v2", ask(""), ask("_HLS_skip=YES")),
            ("_HLS_msn=3&_HLS_skip=YES", ask(""), ask("_HLS_skip=YES")),
        ] {
            assert_eq!(both(query), [of_plain, of_parts], "{query}");
        }
        let ended = Reload {
            ended: true,
            ..parts
        };
        let never = Reload {
            waits: false,
            ..plain
        };
        for reload in [ended, never] {
            assert_eq!(reload.reach(read("_HLS_msn=99")), ask(""));
        }
    }
}
