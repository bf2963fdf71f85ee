//! Ends that cannot be undone go before those that can, whichever was asked for first; a cut comes when the clock says so.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::{Instant, advance, timeout};

use super::session::{HlsSession, Standing};
use super::sessions::HlsSessions;
use crate::clock::{Clock, Hands};
use crate::decision::permit::Permit;
use crate::decision::revocation::{Revocation, RevocationId, Revocations, Target};
use crate::decision::rules::Rules;
use crate::decision::{Facts, decide};
use crate::request::client_address::ClientAddress;
use crate::request::referer::Referer;
use crate::session::ends::Kick;
use crate::session::guard::SessionGuard;
use crate::session::id::SessionId;
use crate::session::place::Bind;
use crate::session::seats::Delivery;
use crate::session::shares::Room;
use crate::session::{Newcomer, Sessions, Transport};
use crate::token::{
    AtExpiry, Grant, Key, KeyState, Keyring, Owner, Presented, Scope, Secret, StreamName, TokenId,
    UnixSeconds,
};

const NOW: UnixSeconds = UnixSeconds::new(1_000);
const GRACE: Duration = Duration::from_secs(10);
const FINAL: [Kick; 3] = [Kick::Revoked, Kick::Operator, Kick::Crowded];
const HERE: ClientAddress =
    ClientAddress::Known(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)));

/// A permit by a token with this id.
fn permit(token: u8, change: impl Fn(&mut Grant)) -> Permit {
    let owner: Owner = "abcde".parse().unwrap();
    let secret = Secret::new(vec![7; 32]).unwrap();
    let id = "k1".parse().unwrap();
    let key = Key::new(id, owner.clone(), KeyState::Active, &secret);
    let keyring = Keyring::new([], [key]).unwrap();
    let stream: StreamName = "abcde-one".parse().unwrap();
    let scope = Scope::stream(stream.clone());
    let mut grant = Grant::new(TokenId::new([token; 16]), UnixSeconds::new(1), scope);
    change(&mut grant);
    let security = keyring.mint(&owner, &grant).unwrap();
    let claims = keyring.verify(Presented::from(&security)).unwrap();
    let facts = Facts {
        stream,
        url: "rtmp://localhost/play".parse().unwrap(),
        address: HERE,
        referer: Referer::Absent,
        inherited: false,
    };
    let (rules, revocations) = (Rules::default(), Revocations::default());
    decide(claims, facts, &rules, &revocations, NOW).unwrap()
}

fn for_one_session(grant: &mut Grant) {
    grant.sessions = NonZeroU16::new(1);
}

fn cut_in(seconds: u64) -> impl Fn(&mut Grant) {
    move |grant| {
        grant.expires = Some(UnixSeconds::new(NOW.get() + seconds));
        grant.at_expiry = AtExpiry::Cut;
    }
}

/// Shows [`NOW`].
fn clock() -> Clock {
    by_hand().0
}

fn by_hand() -> (Clock, Hands) {
    Clock::by_hand(Duration::from_secs(NOW.get()))
}

fn newcomer(name: u128, transport: Transport) -> Newcomer {
    Newcomer {
        id: SessionId::new(name << 48),
        player: "player".to_owned(),
        transport,
        delivery: Delivery::Media,
    }
}

fn revocation(token: u8) -> Revocation {
    Revocation {
        id: RevocationId(1),
        owner: "abcde".parse().unwrap(),
        target: Target::Token(TokenId::new([token; 16])),
        issued_until: NOW,
        ends: None,
    }
}

#[tokio::test(start_paused = true)]
async fn what_undoes_an_end_undoes_no_final_one() {
    let mut pairs = 0;
    for kick in FINAL {
        for final_first in [true, false] {
            for delay in [Duration::ZERO, GRACE] {
                let sessions = Sessions::new(Room::whole(9), Bind::Prefix, clock());
                let limited = permit(1, for_one_session);
                let open = |name| {
                    sessions
                        .open(&newcomer(name, Transport::WebSocket), limited.clone())
                        .now_or_never()
                        .unwrap()
                };
                let older = open(1).unwrap();
                let playing = sessions.find(older.id()).unwrap();
                let ask = || playing.end_in(delay, kick);
                if final_first {
                    ask();
                }
                let newer = open(2).unwrap();
                if !final_first {
                    ask();
                }
                // The newer one goes first: the older one is no longer superseded.
                drop(newer);
                let (at, why) = older.end(Instant::now()).unwrap();
                assert_eq!((at, why), (Instant::now() + delay, kick), "{final_first}");
                pairs += 1;
            }
        }
    }
    assert_eq!(pairs, 12);
}

#[tokio::test(start_paused = true)]
async fn a_final_end_goes_before_all_that_were_due_and_not_acted_on() {
    for kick in FINAL {
        for other in [Kick::Superseded, Kick::Expired, Kick::Drain] {
            let sessions = Sessions::new(Room::whole(9), Bind::Prefix, clock());
            let guard = sessions
                .open(&newcomer(1, Transport::Hls), permit(1, cut_in(1)))
                .now_or_never()
                .unwrap();
            let guard = guard.unwrap();
            let playing = sessions.find(guard.id()).unwrap();
            if other == Kick::Expired {
                advance(Duration::from_secs(1)).await;
            } else {
                playing.end_in(Duration::ZERO, other);
                advance(Duration::from_millis(10)).await;
            }
            assert_eq!(guard.end(Instant::now()).unwrap().1, other);
            playing.end_in(Duration::ZERO, kick);
            assert_eq!(guard.end(Instant::now()).unwrap().1, kick, "{other:?}");
            // And is no later than it was asked for.
            assert!(guard.end(Instant::now()).unwrap().0 <= Instant::now());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_kind_of_end_is_the_soonest_of_its_kind_and_the_soonest_of_all_comes_first() {
    let sessions = Sessions::new(Room::whole(9), Bind::Prefix, clock());
    let guard = sessions
        .open(&newcomer(1, Transport::WebSocket), permit(1, cut_in(40)))
        .now_or_never()
        .unwrap();
    let guard = guard.unwrap();
    let playing = sessions.find(guard.id()).unwrap();
    let began = Instant::now();
    let next = || {
        guard
            .end(Instant::now())
            .map(|(at, kick)| (at - began, kick))
            .unwrap()
    };
    let seconds = Duration::from_secs;
    assert_eq!(next(), (seconds(40), Kick::Expired));
    playing.end_in(seconds(60), Kick::Drain);
    assert_eq!(next(), (seconds(40), Kick::Expired));
    playing.end_in(seconds(30), Kick::Drain);
    playing.end_in(seconds(50), Kick::Drain);
    assert_eq!(next(), (seconds(30), Kick::Drain));
    playing.end_in(seconds(20), Kick::Operator);
    playing.end_in(seconds(25), Kick::Revoked);
    assert_eq!(next(), (seconds(20), Kick::Operator));
    // A renewed token, of which nothing is cut, undoes its own end alone.
    let renewed = guard.propose(permit(2, |_| {})).unwrap();
    guard.accept(renewed);
    assert_eq!(next(), (seconds(20), Kick::Operator));
}

#[tokio::test(start_paused = true)]
async fn a_renewed_token_undoes_neither_a_revocation_of_the_old_one_nor_of_a_pending_one() {
    for (revoked, accepts) in [(1, true), (2, true), (2, false)] {
        let sessions = Sessions::new(Room::whole(9), Bind::Prefix, clock());
        let guard = sessions
            .open(&newcomer(1, Transport::WebSocket), permit(1, cut_in(40)))
            .now_or_never()
            .unwrap();
        let guard = guard.unwrap();
        let pending = guard.propose(permit(2, cut_in(80))).unwrap();
        assert_eq!(sessions.revoke(&revocation(revoked), NOW), 1);
        if accepts {
            guard.accept(pending);
        } else {
            guard.reject(pending);
        }
        assert_eq!(
            guard.end(Instant::now()),
            Some((Instant::now(), Kick::Revoked)),
            "{revoked}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_revocation_in_a_drain_ends_at_once() {
    for transport in Transport::ALL {
        let sessions = Sessions::new(Room::whole(9), Bind::Prefix, clock());
        let open = |name: u8| {
            let permit = permit(name, |_| {});
            sessions
                .open(&newcomer(name.into(), transport), permit)
                .now_or_never()
                .unwrap()
                .unwrap()
        };
        let (_first, second) = (open(1), open(2));
        sessions.drain(Duration::from_secs(300));
        assert_eq!(second.end(Instant::now()).unwrap().1, Kick::Drain);
        assert_eq!(sessions.revoke(&revocation(2), NOW), 1);
        assert_eq!(
            second.end(Instant::now()),
            Some((Instant::now(), Kick::Revoked))
        );
    }
}

/// Three HLS playbacks of one player on one seat, one after the other: the second one has been superseded by the third.
struct Turns {
    all: Arc<Sessions>,
    hls: HlsSessions,
    older: Arc<HlsSession>,
    newer: Arc<HlsSession>,
}

impl Turns {
    fn new(token: u8) -> Self {
        let all = Sessions::new(Room::whole(9), Bind::Prefix, clock());
        let hls = HlsSessions::new(Arc::clone(&all), Duration::from_secs(30), Bind::Prefix);
        let open = |name| {
            let limited = permit(token, for_one_session);
            let newcomer = newcomer(name, Transport::Hls);
            let begun = hls.open(&newcomer, None, &limited);
            begun.now_or_never().unwrap().unwrap().session
        };
        let first = open(1);
        let older = open(2);
        // With this one gone the next turn within a minute has no grace.
        hls.withdraw(&first);
        let newer = open(3);
        Self {
            all,
            hls,
            older,
            newer,
        }
    }

    fn ask(&self, session: &HlsSession) -> Standing {
        self.hls.ask(session, HERE)
    }
}

#[tokio::test(start_paused = true)]
async fn a_superseded_playback_that_was_revoked_is_over_whichever_of_the_two_ends_first() {
    for newer_first in [true, false] {
        let turns = Turns::new(1);
        assert_eq!(turns.all.revoke(&revocation(1), NOW), 2);
        let both = [&turns.newer, &turns.older];
        let order = if newer_first { [0, 1] } else { [1, 0] };
        for index in order {
            let over = Standing::Over(Kick::Revoked);
            assert_eq!(turns.ask(both[index]), over, "{newer_first} {index}");
        }
        assert_eq!(turns.all.count(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_superseded_playback_that_an_operator_ended_is_not_taken_up_again() {
    let turns = Turns::new(1);
    for session in [&turns.newer, &turns.older] {
        let playing = turns.all.find(session.id()).unwrap();
        playing.end_in(Duration::ZERO, Kick::Operator);
    }
    assert_eq!(turns.hls.sweep().len(), 3 - 1);
    for session in [&turns.newer, &turns.older] {
        assert_eq!(turns.hls.ask_over(session.id(), HERE), Some(Kick::Operator));
    }
}

#[tokio::test(start_paused = true)]
async fn a_superseded_playback_that_nobody_ended_is_taken_up_again() {
    let turns = Turns::new(1);
    let newer = turns.all.find(turns.newer.id()).unwrap();
    newer.end_in(Duration::ZERO, Kick::Operator);
    assert_eq!(turns.ask(&turns.newer), Standing::Over(Kick::Operator));
    assert_eq!(turns.ask(&turns.older), Standing::Plays);
}

#[tokio::test(start_paused = true)]
async fn a_cut_comes_when_the_second_of_the_expiry_begins() {
    let mut cuts = 0;
    for (parts, transport) in [
        (0, Transport::WebSocket),
        (1, Transport::Hls),
        (600, Transport::WebSocket),
        (999, Transport::Hls),
    ] {
        let parts = Duration::from_millis(parts);
        let (clock, _) = Clock::by_hand(Duration::from_secs(NOW.get()) + parts);
        let sessions = Sessions::new(Room::whole(9), Bind::Prefix, clock);
        let open = |name| {
            let guard = sessions
                .open(&newcomer(name, transport), permit(1, cut_in(10)))
                .now_or_never()
                .unwrap();
            guard.unwrap()
        };
        let at = Instant::now() + Duration::from_secs(10) - parts;
        let first = open(1);
        assert_eq!(first.end(Instant::now()), Some((at, Kick::Expired)));
        advance(Duration::from_millis(9_000)).await;
        let second = open(2);
        assert_eq!(second.end(Instant::now()), Some((at, Kick::Expired)));
        let switch = second.propose(permit(2, cut_in(10))).unwrap();
        second.accept(switch);
        assert_eq!(second.end(Instant::now()), Some((at, Kick::Expired)));
        cuts += 1;
    }
    assert_eq!(cuts, 4);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_moves_the_cut_and_no_other_end() {
    let (clock, hands) = by_hand();
    let sessions = Sessions::new(Room::whole(9), Bind::Prefix, clock);
    let guard = sessions
        .open(&newcomer(1, Transport::WebSocket), permit(1, cut_in(40)))
        .now_or_never()
        .unwrap();
    let guard = guard.unwrap();
    let other = sessions
        .open(&newcomer(2, Transport::WebSocket), permit(2, |_| {}))
        .now_or_never()
        .unwrap();
    let other = other.unwrap();
    let pending = other.propose(permit(3, cut_in(40))).unwrap();
    let drained = sessions.find(guard.id()).unwrap();
    let seconds = Duration::from_secs;
    drained.end_in(seconds(100), Kick::Drain);
    let began = Instant::now();
    let next = |guard: &SessionGuard| guard.end(began).map(|(at, kick)| (at - began, kick));
    hands.advance(seconds(30));
    assert_eq!(next(&guard), Some((seconds(10), Kick::Expired)));
    assert_eq!(next(&other), Some((seconds(10), Kick::Expired)));
    hands.set_back(seconds(60));
    assert_eq!(next(&guard), Some((seconds(70), Kick::Expired)));
    hands.set_back(seconds(60));
    assert_eq!(next(&guard), Some((seconds(100), Kick::Drain)));
    assert_eq!(next(&other), Some((seconds(130), Kick::Expired)));
    hands.advance(seconds(365 * 86_400));
    for guard in [&guard, &other] {
        assert_eq!(next(guard), Some((Duration::ZERO, Kick::Expired)));
    }
    other.reject(pending);
    assert_eq!(next(&other), None);
}

#[tokio::test(start_paused = true)]
async fn those_that_are_cut_are_woken_by_a_jump_and_others_are_not() {
    let sessions = Sessions::new(Room::whole(9), Bind::Prefix, clock());
    let open = |name, permit| {
        sessions
            .open(&newcomer(name, Transport::WebSocket), permit)
            .now_or_never()
            .unwrap()
    };
    let cut = open(1, permit(1, cut_in(40))).unwrap();
    let kept = open(2, permit(2, |_| {})).unwrap();
    let changing = open(3, permit(3, |_| {})).unwrap();
    changing.propose(permit(4, cut_in(40))).unwrap();
    let mut watches = [&cut, &kept, &changing].map(SessionGuard::watch);
    let mut wakes = async || {
        let mut woken = Vec::new();
        for watch in &mut watches {
            woken.push(timeout(Duration::ZERO, watch.changed()).await.is_ok());
        }
        woken
    };
    wakes().await;
    assert_eq!(wakes().await, [false; 3]);
    sessions.clock_jumped();
    assert_eq!(wakes().await, [true, false, true]);
}

#[tokio::test(start_paused = true)]
async fn an_hls_playback_is_cut_where_the_clock_says_so() {
    let (clock, hands) = by_hand();
    let all = Sessions::new(Room::whole(9), Bind::Prefix, clock);
    let hls = HlsSessions::new(Arc::clone(&all), Duration::from_secs(30), Bind::Prefix);
    let open = |name, change: &dyn Fn(&mut Grant)| {
        let (newcomer, permit) = (newcomer(name, Transport::Hls), permit(1, change));
        let begun = hls.open(&newcomer, None, &permit);
        begun.now_or_never().unwrap().unwrap().session
    };
    let (cut, kept) = (open(1, &cut_in(40)), open(2, &|_| {}));
    hands.advance(Duration::from_secs(39));
    assert_eq!(hls.ask(&cut, HERE), Standing::Plays);
    hands.advance(Duration::from_secs(365 * 86_400));
    assert_eq!(hls.sweep().len(), 1);
    assert_eq!(hls.ask_over(cut.id(), HERE), Some(Kick::Expired));
    assert_eq!(hls.ask(&kept, HERE), Standing::Plays);
}
