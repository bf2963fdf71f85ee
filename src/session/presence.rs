//! Whether a session's viewer is still where it plays, for others that want its place: one that is there keeps it.
//!
//! Over HTTP a viewer is there as long as it asks. A socket stands open for a while when its viewer is gone, in fronts as
//! well, so that its viewer is asked by a ping as soon as another session wants the place, and is gone when nothing comes back.

use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::request::client_address::ClientAddress;

use super::changes::Changes;
use super::{Transport, lock};

/// How much longer than one target duration a place asks for nothing before it is silent: a player asks once in each, and
/// those that try three times, a second apart, come through.
const BEYOND_TARGET: Duration = Duration::from_millis(1_500);

/// The target duration while none is known.
const USUAL_TARGET: Duration = Duration::from_secs(2);

/// How long a pinged viewer may take to be heard. Players that are sent away by 4503 come back after 2 to 10 s.
const ANSWERS_WITHIN: Duration = Duration::from_secs(3);

/// What is known of a session's viewer.
#[derive(Debug)]
pub(crate) struct Presence {
    transport: Transport,
    begun: Instant,
    /// At its places of IPv4 and IPv6.
    places: [PlaceActivity; 2],
    /// The target duration of its playlists in milliseconds; 0 while unknown.
    target: AtomicU32,
    question: Mutex<Question>,
    /// Whether the question is one that was asked and not answered.
    questioned: AtomicBool,
    /// Of the question, and of what the session says of its end.
    pub(super) changes: Changes,
}

#[derive(Debug, Default)]
struct PlaceActivity {
    /// When it was heard of, in milliseconds from the beginning.
    heard: AtomicU64,
    /// Requests whose answer has not begun.
    waiting: AtomicU32,
    /// How often it was left for another one.
    left: AtomicU32,
}

/// Whether the viewer of a socket is there.
#[derive(Clone, Copy, Debug)]
enum Question {
    /// Not asked.
    None,
    /// To be asked.
    Due,
    /// Asked by a ping.
    Asked(Instant),
    /// Heard of since.
    Answered(Instant),
}

impl Presence {
    pub(crate) fn new(transport: Transport, now: Instant) -> Self {
        Self {
            transport,
            begun: now,
            places: Default::default(),
            target: AtomicU32::new(0),
            question: Mutex::new(Question::None),
            questioned: AtomicBool::new(false),
            changes: Changes::default(),
        }
    }

    /// Whether its viewer is still there, wherever it plays. A socket's viewer is, until it has left a
    /// [question](Self::question) unanswered.
    pub(crate) fn is_there(&self, now: Instant) -> bool {
        match self.transport {
            Transport::WebSocket => match *lock(&self.question) {
                Question::Asked(at) => is_lately(at, now),
                // While it is due its relay has not begun.
                Question::None | Question::Due | Question::Answered(_) => true,
            },
            Transport::Hls => self.places.iter().any(|place| self.asks(place, now)),
        }
    }

    /// Has a socket's viewer pinged, unless that was done just now.
    pub(crate) fn question(&self, now: Instant) {
        if self.transport != Transport::WebSocket {
            return;
        }
        let mut question = lock(&self.question);
        let is_asked = match *question {
            Question::None => false,
            Question::Answered(at) => is_lately(at, now),
            Question::Due | Question::Asked(_) => true,
        };
        if !is_asked {
            *question = Question::Due;
            drop(question);
            self.changes.tell();
        }
    }

    /// Whether anything is still asked for over HTTP at the place of the family of `address`.
    pub(crate) fn asks_at(&self, address: ClientAddress, now: Instant) -> bool {
        self.asks(self.place(address), now)
    }

    fn asks(&self, place: &PlaceActivity, now: Instant) -> bool {
        let heard = self.begun + Duration::from_millis(place.heard.load(Ordering::Relaxed));
        let silent = now.saturating_duration_since(heard);
        place.waiting.load(Ordering::Relaxed) > 0
            || silent <= self.target().unwrap_or(USUAL_TARGET) + BEYOND_TARGET
    }

    /// It has asked for something, or taken something of an answer.
    pub(crate) fn hear(&self, address: ClientAddress) {
        let heard = Instant::now().saturating_duration_since(self.begun);
        let heard = u64::try_from(heard.as_millis()).unwrap_or(u64::MAX);
        self.place(address).heard.store(heard, Ordering::Relaxed);
    }

    /// It waits for an answer.
    pub(crate) fn wait(&self, address: ClientAddress) {
        self.place(address).waiting.fetch_add(1, Ordering::Relaxed);
    }

    /// It waits no longer.
    pub(crate) fn waited(&self, address: ClientAddress) {
        self.place(address).waiting.fetch_sub(1, Ordering::Relaxed);
    }

    /// The viewer goes to another place of the family of `address`.
    pub(crate) fn leave(&self, address: ClientAddress) {
        self.place(address).left.fetch_add(1, Ordering::Relaxed);
    }

    /// How often the place of the family of `address` was left by now.
    pub(crate) fn times_left(&self, address: ClientAddress) -> u32 {
        self.place(address).left.load(Ordering::Relaxed)
    }

    fn place(&self, address: ClientAddress) -> &PlaceActivity {
        let [v4, v6] = &self.places;
        match address {
            ClientAddress::Known(IpAddr::V6(_)) => v6,
            ClientAddress::Known(IpAddr::V4(_)) | ClientAddress::Unknown => v4,
        }
    }

    pub(crate) fn set_target(&self, target: Duration) {
        let target = u32::try_from(target.as_millis()).unwrap_or(u32::MAX);
        self.target.store(target, Ordering::Relaxed);
    }

    /// The target duration, when it is known.
    pub(crate) fn target(&self) -> Option<Duration> {
        let target = self.target.load(Ordering::Relaxed);
        (target > 0).then(|| Duration::from_millis(target.into()))
    }

    /// Whether the viewer is to be pinged now.
    pub(crate) fn take_question(&self) -> bool {
        let mut question = lock(&self.question);
        let is_due = matches!(*question, Question::Due);
        if is_due {
            *question = Question::Asked(Instant::now());
            self.questioned.store(true, Ordering::Relaxed);
        }
        is_due
    }

    /// The viewer has sent something over its socket.
    pub(crate) fn answer(&self) {
        if self.questioned.swap(false, Ordering::Relaxed) {
            *lock(&self.question) = Question::Answered(Instant::now());
        }
    }
}

/// Whether a viewer that was asked then may still answer, and one that answered then need not be asked again.
fn is_lately(at: Instant, now: Instant) -> bool {
    now.saturating_duration_since(at) < ANSWERS_WITHIN
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> ClientAddress {
        ClientAddress::Known(address.parse().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_is_silent_a_while_after_its_target_duration_and_each_family_is_its_own() {
        let (v4, v6) = (at("192.0.2.1"), at("2001:db8::1"));
        for (target, silent_after) in [(None, 3_500), (Some(1), 2_500), (Some(6), 7_500)] {
            let presence = Presence::new(Transport::Hls, Instant::now());
            if let Some(target) = target {
                presence.set_target(Duration::from_secs(target));
            }
            let asks = |address| presence.asks_at(address, Instant::now());
            for _ in 0..5 {
                tokio::time::advance(Duration::from_millis(silent_after)).await;
                assert!(asks(v4), "{target:?}");
                presence.hear(v4);
            }
            assert!(!asks(v6) && presence.is_there(Instant::now()));
            // A viewer that waits for the media server asks, and one that takes nothing of its answer does not.
            presence.wait(v4);
            tokio::time::advance(Duration::from_secs(60)).await;
            assert!(asks(v4) && !asks(v6));
            presence.waited(v4);
            assert!(!asks(v4) && !presence.is_there(Instant::now()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_socket_is_gone_when_its_viewer_answers_no_ping() {
        let presence = Presence::new(Transport::WebSocket, Instant::now());
        let is_there = || {
            presence.question(Instant::now());
            presence.is_there(Instant::now())
        };
        assert!(!presence.take_question());
        assert!(is_there());
        tokio::time::advance(ANSWERS_WITHIN * 3).await;
        assert!(is_there(), "it was not asked yet");
        for _ in 0..3 {
            assert!(presence.take_question() && !presence.take_question());
            tokio::time::advance(ANSWERS_WITHIN / 2).await;
            presence.answer();
            assert!(is_there() && !presence.take_question());
            tokio::time::advance(ANSWERS_WITHIN).await;
            assert!(is_there());
        }
        assert!(presence.take_question());
        tokio::time::advance(ANSWERS_WITHIN).await;
        assert!(!is_there() && !is_there());
        presence.answer();
        assert!(is_there(), "late, but there");
    }
}
