//! The playlist that a playback begins with: what many viewers share, with one viewer's ticket in its places.

use std::collections::VecDeque;

use bytes::{Buf as _, Bytes};
use memchr::memchr_iter;

use crate::session::hls::playback::Answering;

/// How much is written at once, give or take a line.
const PIECE: usize = 16 * 1024;

/// A body that is written as it is sent, a piece at a time, from a text that is not copied: a long playlist whose ticket
/// stands in every line is never held as long as that.
#[derive(Debug)]
pub struct FirstPlaylist {
    /// The text; no place stands in two of these.
    text: VecDeque<Bytes>,
    place: Place,
    ticket: String,
    /// Bytes that are still to be sent.
    left: u64,
    _answering: Answering,
}

impl FirstPlaylist {
    /// `text` with `ticket` wherever `place` stands. What is more than the text is counted for the playback.
    #[must_use]
    pub fn new(
        text: Vec<Bytes>,
        place: &'static str,
        ticket: String,
        answering: Answering,
    ) -> Self {
        let place = Place(place.as_bytes());
        let text = with_whole_places(text, place);
        let length: usize = text.iter().map(Bytes::len).sum();
        let places: usize = text.iter().map(|part| place.all(part).count()).sum();
        let own = length - places * place.0.len() + places * ticket.len();
        answering.count(own.saturating_sub(length) as u64);
        Self {
            text,
            place,
            ticket,
            left: own as u64,
            _answering: answering,
        }
    }

    /// Bytes that are still to be sent.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.left
    }

    /// What is sent next; `None` at the end.
    pub fn next_piece(&mut self) -> Option<Bytes> {
        let room = usize::try_from(self.left).unwrap_or(PIECE).min(PIECE);
        let mut piece = Vec::with_capacity(room);
        while piece.len() < PIECE
            && let Some(part) = self.text.front_mut()
        {
            let room = PIECE - piece.len();
            let needle = self.place.0.len();
            // Of a text without places no more is looked at than is sent.
            let near = part.get(..room + needle - 1).unwrap_or(part);
            let found = self.place.all(near).next();
            let plain = found.unwrap_or(part.len()).min(room);
            piece.extend_from_slice(&part.split_to(plain));
            if found == Some(plain) {
                piece.extend_from_slice(self.ticket.as_bytes());
                part.advance(needle);
            }
            if part.is_empty() {
                self.text.pop_front();
            }
        }
        self.left = self.left.saturating_sub(piece.len() as u64);
        (!piece.is_empty()).then(|| piece.into())
    }
}

/// A text that stands for the ticket: `~{…`, as no link has it.
#[derive(Clone, Copy, Debug)]
struct Place(&'static [u8]);

impl Place {
    /// Where it stands. Its second character is in few playlists and is looked for by many bytes at once.
    fn all(self, text: &[u8]) -> impl Iterator<Item = usize> {
        let starts = memchr_iter(b'{', text).filter_map(|at| at.checked_sub(1));
        starts.filter(move |&at| text.get(at..).is_some_and(|text| text.starts_with(self.0)))
    }
}

/// The same text in parts, none of which ends inside a place.
fn with_whole_places(parts: Vec<Bytes>, place: Place) -> VecDeque<Bytes> {
    let needle = place.0.len();
    let mut whole: VecDeque<Bytes> = VecDeque::with_capacity(parts.len());
    for mut part in parts {
        let Some(last) = whole.back_mut() else {
            whole.push_back(part);
            continue;
        };
        if part.len() < needle {
            // So small that a place could go beyond it.
            *last = [&last[..], &part[..]].concat().into();
            continue;
        }
        let end = last.len().saturating_sub(needle - 1);
        let start = needle - 1;
        let seam = Bytes::from([last.slice(end..), part.slice(..start)].concat());
        if let Some(at) = place.all(&seam).next() {
            let in_last = last.len() - end - at;
            last.truncate(end + at);
            part.advance(needle - in_last);
            whole.push_back(seam.slice(at..at + needle));
        }
        whole.push_back(part);
    }
    whole.retain(|part| !part.is_empty());
    whole
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLACE: Place = Place(b"~{place}/");

    fn count(text: &[u8]) -> usize {
        PLACE.all(text).count()
    }

    proptest! {
        #[test]
        fn no_place_stands_in_two_parts_wherever_the_text_is_cut(
            lines in proptest::collection::vec(prop_oneof![Just("~{place}/"), Just("~{pl"), Just("a"), Just("\n")], 0..40),
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..8),
        ) {
            let text = Bytes::from(lines.concat());
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let parts = cuts.windows(2).map(|cut| text.slice(cut[0]..cut[1])).collect();
            let whole = with_whole_places(parts, PLACE);
            prop_assert_eq!(whole.iter().map(|part| count(part)).sum::<usize>(), count(&text));
            prop_assert_eq!(Vec::from(whole).concat(), &text[..]);
        }
    }
}
