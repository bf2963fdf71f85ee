//! A multivariant playlist, or one of `stream.mp4` alone: what many viewers share, with what leads to one viewer's ticket in its
//! places.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use hyper::body::Body;
use memchr::memchr_iter;

use crate::cache::pieces::{Charge, Pieces};
use crate::hls::session::answering::Answering;

use super::cut::Cut;

/// How much is written at once, give or take a line.
const PIECE: usize = 16 * 1024;

/// A body that is written as it is sent, a piece at a time, from a text that is not copied: a playlist of very many
/// variants is never held as long as their tickets make it, and of the text itself no more is held than is read at once.
#[derive(Debug)]
pub struct FirstPlaylist<B> {
    from: B,
    /// What of the text is at hand; no place stands in two of these.
    text: VecDeque<Bytes>,
    /// What that is charged for by.
    _charge: Option<Charge>,
    /// What follows it and may be the beginning of a place.
    cut_off: Bytes,
    place: Place,
    ticket: String,
    /// Bytes that are still to be sent.
    left: u64,
    _answering: Answering,
}

impl<B> FirstPlaylist<B>
where
    B: Body<Data = Pieces, Error = Cut> + Unpin,
{
    /// The text of a body with `ticket` in the `places` where `place` stands. What is more than the text is counted for the
    /// playback.
    #[must_use]
    pub fn new(
        from: B,
        (place, places): (&'static str, usize),
        ticket: String,
        mut answering: Answering,
    ) -> Self {
        let length = from.size_hint().lower();
        let places = places as u64;
        let own =
            (length + places * ticket.len() as u64).saturating_sub(places * place.len() as u64);
        answering.count(own.saturating_sub(length));
        Self {
            from,
            text: VecDeque::new(),
            _charge: None,
            cut_off: Bytes::new(),
            place: Place(place.as_bytes()),
            ticket,
            left: own,
            _answering: answering,
        }
    }

    /// Bytes that are still to be sent.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.left
    }

    /// What is sent next; `None` at the end.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Cut>>> {
        while self.text.is_empty() {
            match ready!(Pin::new(&mut self.from).poll_frame(cx)?) {
                Some(frame) => {
                    let Ok(pieces) = frame.into_data() else {
                        continue;
                    };
                    let (parts, charge) = pieces.take_apart();
                    self._charge = charge;
                    let cut_off = std::mem::take(&mut self.cut_off);
                    let parts = std::iter::once(cut_off).chain(parts);
                    self.text = with_whole_places(parts.collect(), self.place);
                    self.cut_off = cut_off_beginning(&mut self.text, self.place);
                }
                None if self.cut_off.is_empty() => return Poll::Ready(None),
                None => self.text.push_back(std::mem::take(&mut self.cut_off)),
            }
        }
        Poll::Ready(Some(Ok(self.next_piece())))
    }

    fn next_piece(&mut self) -> Bytes {
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
        piece.into()
    }
}

/// Takes the beginning of a place off the end of a text.
fn cut_off_beginning(text: &mut VecDeque<Bytes>, place: Place) -> Bytes {
    let Some(last) = text.back_mut() else {
        return Bytes::new();
    };
    let first = last.len().saturating_sub(place.0.len() - 1);
    let begins = |at: &usize| last.get(*at..).is_some_and(|end| place.0.starts_with(end));
    let Some(at) = (first..last.len()).find(begins) else {
        return Bytes::new();
    };
    let cut_off = Bytes::copy_from_slice(last.get(at..).unwrap_or_default());
    last.truncate(at);
    if last.is_empty() {
        text.pop_back();
    }
    cut_off
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
    use crate::properties::settings;

    const PLACE: Place = Place(b"~{place}/");

    fn count(text: &[u8]) -> usize {
        PLACE.all(text).count()
    }

    proptest! {
        #![proptest_config(settings())]

        #[test]
        fn no_place_stands_in_two_parts_wherever_the_text_is_cut(
            lines in proptest::collection::vec(prop_oneof![Just("~{place}/"), Just("~{pl"), Just("a"), Just("\n")], 0..40),
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..8),
        ) {
            let text = Bytes::from(lines.concat());
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let parts: Vec<_> = cuts.windows(2).map(|cut| text.slice(cut[0]..cut[1])).collect();
            let whole = with_whole_places(parts.clone(), PLACE);
            prop_assert_eq!(whole.iter().map(|part| count(part)).sum::<usize>(), count(&text));
            prop_assert_eq!(Vec::from(whole).concat(), &text[..]);
            // The same where each part is read on its own.
            let (mut found, mut all, mut cut_off) = (0, Vec::new(), Bytes::new());
            for part in parts {
                let mut text = with_whole_places(vec![cut_off, part], PLACE);
                cut_off = cut_off_beginning(&mut text, PLACE);
                found += text.iter().map(|part| count(part)).sum::<usize>();
                all.extend(text.into_iter().flatten());
            }
            all.extend(cut_off);
            prop_assert_eq!(found, count(&text));
            prop_assert_eq!(all, &text[..]);
        }
    }
}
