use futures_util::FutureExt as _;
use tokio::task::unconstrained;

use super::first_url::Known;
use super::*;
use crate::clock::Clock;
use crate::decision::denial::{Denial, Reason};
use crate::decision::permit::Permit;
use crate::decision::revocation::Revocations;
use crate::decision::rules::Rules;
use crate::decision::{Facts, decide};
use crate::request::referer::Referer;
use crate::session::seats::Delivery;
use crate::session::shares::Room;
use crate::session::{Newcomer, Transport};
use crate::token::{
    Grant, Key, KeyState, Keyring, Owner, Presented, Scope, Secret, StreamName, TokenId,
    UnixSeconds,
};

const IDLE: Duration = Duration::from_secs(30);

fn at(address: &str) -> ClientAddress {
    ClientAddress::Known(address.parse().unwrap())
}

fn permit(address: &str) -> Permit {
    let owner: Owner = "abcde".parse().unwrap();
    let secret = Secret::new(vec![7; 32]).unwrap();
    let key = Key::new(
        "k1".parse().unwrap(),
        owner.clone(),
        KeyState::Active,
        &secret,
    );
    let keyring = Keyring::new([], [key]).unwrap();
    let stream: StreamName = "abcde-one".parse().unwrap();
    let scope = Scope::stream(stream.clone());
    let grant = Grant::new(TokenId::new([1; 16]), UnixSeconds::new(1), scope);
    let security = keyring.mint(&owner, &grant).unwrap();
    let claims = keyring.verify(Presented::from(&security)).unwrap();
    let facts = Facts {
        stream,
        url: "rtmp://localhost/play".parse().unwrap(),
        address: at(address),
        referer: Referer::Absent,
        inherited: false,
    };
    let now = UnixSeconds::new(2);
    decide(
        claims,
        facts,
        &Rules::default(),
        &Revocations::default(),
        now,
    )
    .unwrap()
}

fn open(sessions: &HlsSessions, name: u128) -> Result<Arc<HlsSession>, Denial> {
    open_at(sessions, name, "192.0.2.1")
}

fn open_at(sessions: &HlsSessions, name: u128, address: &str) -> Result<Arc<HlsSession>, Denial> {
    let id = SessionId::new(name << 48);
    let newcomer = Newcomer {
        id,
        player: String::new(),
        transport: Transport::Hls,
        delivery: Delivery::Media,
    };
    let permit = permit(address);
    // The runtime would have a task that opens hundreds make way for others.
    let begun = unconstrained(sessions.open(&newcomer, None, &permit)).now_or_never();
    Ok(begun.expect("memory answers at once")?.session)
}

#[tokio::test(start_paused = true)]
async fn whoever_only_opens_urls_keeps_nobody_out_and_ends_nobody_who_plays() {
    let all = Sessions::new(Room::whole(3), Bind::Prefix, Clock::system());
    let sessions = HlsSessions::new(Arc::clone(&all), IDLE, Bind::Prefix);
    let viewer = open(&sessions, 1).unwrap();
    viewer.prove();
    for name in 2..100 {
        open(&sessions, name).unwrap();
    }
    assert_eq!(all.count(), 3);
    assert!(!viewer.is_over() && sessions.find(viewer.id()).is_some());
    // When all of them play there is no room.
    for name in [98, 99] {
        sessions.find(SessionId::new(name << 48)).unwrap().prove();
    }
    let denial = open(&sessions, 100).unwrap_err();
    assert_eq!(*denial.reason(), Reason::Overloaded);
}

#[tokio::test(start_paused = true)]
async fn an_unfinished_answer_and_long_segments_keep_a_playback_alive() {
    let all = Sessions::new(Room::whole(3), Bind::Prefix, Clock::system());
    let sessions = HlsSessions::new(Arc::clone(&all), IDLE, Bind::Prefix);
    let session = open(&sessions, 1).unwrap();
    let answering = session.answer(at("192.0.2.1"));
    tokio::time::advance(IDLE * 10).await;
    assert!(sessions.sweep().is_empty());
    drop(answering);
    tokio::time::advance(IDLE - Duration::from_secs(1)).await;
    assert!(sessions.sweep().is_empty());
    // Three target durations are longer than the idle time.
    session.set_target(Duration::from_secs(20));
    tokio::time::advance(Duration::from_secs(30)).await;
    assert!(sessions.sweep().is_empty());
    tokio::time::advance(Duration::from_secs(1)).await;
    let ended = sessions.sweep();
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].kick, None);
    assert_eq!(
        (all.count(), sessions.find(session.id()).is_none()),
        (0, true)
    );
}

#[tokio::test(start_paused = true)]
async fn an_ended_playback_is_told_once_and_forgotten_when_it_is_quiet() {
    let all = Sessions::new(Room::whole(3), Bind::Prefix, Clock::system());
    let sessions = HlsSessions::new(Arc::clone(&all), IDLE, Bind::Prefix);
    let session = open(&sessions, 1).unwrap();
    all.find(session.id())
        .unwrap()
        .end_in(Duration::ZERO, Kick::Operator);
    let standing = || sessions.ask(&session, at("192.0.2.1"));
    assert_eq!(standing(), Standing::Over(Kick::Operator));
    assert_eq!(all.count(), 0, "its place is free");
    assert_eq!(sessions.sweep()[0].kick, Some(Kick::Operator));
    for _ in 0..10 {
        tokio::time::advance(IDLE / 2).await;
        assert!(sessions.sweep().is_empty());
        assert_eq!(standing(), Standing::Over(Kick::Operator));
    }
    tokio::time::advance(IDLE).await;
    assert!(sessions.sweep().is_empty() && sessions.find(session.id()).is_none());
}

#[tokio::test(start_paused = true)]
async fn who_is_being_answered_plays_and_is_not_evicted() {
    let all = Sessions::new(Room::whole(2), Bind::Prefix, Clock::system());
    let sessions = HlsSessions::new(Arc::clone(&all), IDLE, Bind::Prefix);
    // A progressive file is one long answer, and nothing is ever asked for under a ticket.
    let film = open(&sessions, 1).unwrap();
    let answering = film.answer(at("192.0.2.1"));
    for name in 2..100 {
        open(&sessions, name).unwrap();
        assert!(!film.is_over(), "{name}");
    }
    // Only as long as it lasts.
    drop(answering);
    open(&sessions, 100).unwrap();
    open(&sessions, 101).unwrap();
    assert!(film.is_over());
}

#[tokio::test(start_paused = true)]
async fn two_requests_that_begin_one_playback_at_once_are_one_playback() {
    let all = Sessions::new(Room::whole(3), Bind::Prefix, Clock::system());
    let sessions = HlsSessions::new(Arc::clone(&all), IDLE, Bind::Prefix);
    // Each of them has looked for the session and found none.
    let first = open(&sessions, 1).unwrap();
    let second = open(&sessions, 1).unwrap();
    drop(first);
    assert_eq!(all.count(), 1);
    let playing = all.find(second.id()).expect("it can still be ended");
    playing.end_in(Duration::ZERO, Kick::Operator);
    let over = Standing::Over(Kick::Operator);
    assert_eq!(sessions.ask(&second, at("192.0.2.1")), over);
}

#[tokio::test(start_paused = true)]
async fn names_of_ended_playbacks_do_not_pile_up_behind_one_that_opens_its_url_again_and_again() {
    let all = Sessions::new(Room::whole(1_000), Bind::Prefix, Clock::system());
    let sessions = HlsSessions::new(Arc::clone(&all), IDLE, Bind::Prefix);
    let opener = open(&sessions, 1).unwrap();
    for name in 2..1_000 {
        open(&sessions, name).unwrap().prove();
    }
    for _ in 0..4 {
        tokio::time::advance(IDLE / 2).await;
        let plays = sessions.ask(&opener, at("192.0.2.1"));
        assert_eq!(plays, Standing::Plays);
        sessions.sweep();
    }
    assert_eq!(all.count(), 1);
    let kept = sessions.queue.len();
    assert!(kept < 100, "{kept}");
}

#[tokio::test(start_paused = true)]
async fn ended_playbacks_that_are_still_asked_for_do_not_pile_up() {
    let all = Sessions::new(Room::whole(3), Bind::Prefix, Clock::system());
    let sessions = HlsSessions::new(Arc::clone(&all), IDLE, Bind::Prefix);
    let mut begun = 0;
    for name in 1..100 {
        let Ok(session) = open(&sessions, name) else {
            continue;
        };
        begun += 1;
        let playing = all.find(session.id()).unwrap();
        playing.end_in(Duration::ZERO, Kick::Superseded);
        let over = Standing::Over(Kick::Superseded);
        assert_eq!(sessions.ask(&session, at("192.0.2.1")), over);
    }
    assert_eq!(begun, 99, "none of them takes room");
    let over = |sessions: &HlsSessions| sessions.counts().over;
    assert_eq!(over(&sessions), 3, "as many as may play");
    assert_eq!(sessions.sweep().len(), 99);
    tokio::time::advance(IDLE).await;
    assert!(sessions.sweep().is_empty() && open(&sessions, 100).is_ok());
    assert_eq!(over(&sessions), 0);
}

#[tokio::test(start_paused = true)]
async fn what_an_operator_ended_is_remembered_however_many_others_end() {
    for kick in [Kick::Superseded, Kick::Expired, Kick::Crowded, Kick::Drain] {
        let all = Sessions::new(Room::whole(3), Bind::Prefix, Clock::system());
        let sessions = HlsSessions::new(Arc::clone(&all), IDLE, Bind::Prefix);
        let end = |name, kick| {
            let id = open(&sessions, name).unwrap().id();
            all.find(id).unwrap().end_in(Duration::ZERO, kick);
            sessions.sweep();
            id
        };
        let (kicked, revoked) = (end(1, Kick::Operator), end(2, Kick::Revoked));
        for name in 3..100 {
            end(name, kick);
        }
        let why = |id| sessions.ask_over(id, at("192.0.2.1"));
        assert_eq!(why(kicked), Some(Kick::Operator), "{kick:?}");
        assert_eq!(why(revoked), Some(Kick::Revoked), "{kick:?}");
        // And it does not begin anew by its first URL.
        assert!(open(&sessions, 1).is_err());
        assert_eq!(sessions.counts().over, 2 + 3);
        assert_eq!(sessions.playing.len(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_playback_that_is_to_end_makes_way_before_the_sweep_sees_it() {
    let all = Sessions::new(Room::whole(2), Bind::Prefix, Clock::system());
    let sessions = HlsSessions::new(Arc::clone(&all), IDLE, Bind::Prefix);
    for name in 1..50 {
        let session = open(&sessions, name).unwrap();
        session.prove();
        all.find(session.id())
            .unwrap()
            .end_in(Duration::ZERO, Kick::Superseded);
    }
    assert!(sessions.counts().playing <= 2 && sessions.counts().over <= 2);
}

#[tokio::test(start_paused = true)]
async fn those_that_were_only_opened_make_way_at_once_behind_however_many_that_play() {
    let all = Sessions::new(Room::whole(300), Bind::Prefix, Clock::system());
    let sessions = HlsSessions::new(Arc::clone(&all), IDLE, Bind::Prefix);
    let viewers: Vec<_> = (0..200)
        .map(|name| open(&sessions, name).unwrap())
        .collect();
    viewers.iter().for_each(|viewer| viewer.prove());
    for name in 200..1_000 {
        assert!(open(&sessions, name).is_ok(), "{name}");
    }
    assert!(viewers.iter().all(|viewer| !viewer.is_over()));
}

#[tokio::test(start_paused = true)]
async fn a_full_share_is_refused_and_its_own_idle_playbacks_make_way_first() {
    let narrow = |of_token, of_network| Room {
        all: 100,
        of_token,
        of_network,
    };
    let network = "192.0.2.0";
    // All permits here are of one token.
    for (room, addresses) in [
        (narrow(3, 100), ["192.0.2.1", "198.51.100.1", "2001:db8::1"]),
        (narrow(100, 3), ["192.0.2.1", "192.0.2.7", network]),
    ] {
        let all = Sessions::new(room, Bind::Prefix, Clock::system());
        let sessions = HlsSessions::new(Arc::clone(&all), IDLE, Bind::Prefix);
        let open = |name: u128| {
            let address = addresses[usize::try_from(name % 3).unwrap()];
            open_at(&sessions, name, address)
        };
        let viewer = open(1).unwrap();
        viewer.prove();
        for name in 2..60 {
            let begun = open(name).unwrap();
            assert!(all.count() <= 3, "{room:?}");
            if name >= 58 {
                begun.prove();
            }
        }
        assert!(!viewer.is_over(), "{room:?}");
        let reason = open(60).unwrap_err().reason().clone();
        assert!(reason.is_for_want_of_room() && reason != Reason::Overloaded);
        // Those that are silent make way, too.
        tokio::time::advance(Duration::from_secs(8)).await;
        assert!(open(61).is_ok());
        drop((sessions, viewer));
        assert_eq!(all.shares.len(), 0, "no row outlives its sessions");
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_sleep_after_a_restart_than_may_play() {
    let before = HlsSessions::new(
        Sessions::new(Room::whole(50), Bind::Prefix, Clock::system()),
        IDLE,
        Bind::Prefix,
    );
    for name in 0..50 {
        open(&before, name).unwrap();
    }
    let after = HlsSessions::new(
        Sessions::new(Room::whole(20), Bind::Prefix, Clock::system()),
        IDLE,
        Bind::Prefix,
    );
    assert_eq!(after.restore(before.snapshot(), Duration::ZERO), 20);
}

#[tokio::test(start_paused = true)]
async fn a_playback_goes_on_after_a_restart_at_both_of_its_addresses() {
    let sessions = || {
        HlsSessions::new(
            Sessions::new(Room::whole(3), Bind::Prefix, Clock::system()),
            IDLE,
            Bind::Prefix,
        )
    };
    let before = sessions();
    let session = open(&before, 1).unwrap();
    let moved = before.move_to(&session, permit("2001:db8::1")).await;
    assert!(moved.is_ok());
    let after = sessions();
    after.restore(before.snapshot(), Duration::ZERO);
    let session = open(&after, 1).unwrap();
    for (address, standing) in [
        ("192.0.2.9", Standing::Plays),
        ("2001:db8::9", Standing::Plays),
        ("198.51.100.1", Standing::Elsewhere),
    ] {
        assert_eq!(after.ask(&session, at(address)), standing, "{address}");
    }
    // One that begins anew from elsewhere is there alone.
    let elsewhere = sessions();
    elsewhere.restore(before.snapshot(), Duration::ZERO);
    let session = open_at(&elsewhere, 1, "198.51.100.1").unwrap();
    let standing = |address| elsewhere.ask(&session, at(address));
    assert_eq!(standing("198.51.100.1"), Standing::Plays);
    assert_eq!(standing("2001:db8::9"), Standing::Elsewhere);
}

#[tokio::test(start_paused = true)]
async fn who_has_not_asked_lately_makes_way_and_who_plays_does_not() {
    let all = Sessions::new(Room::whole(4), Bind::Prefix, Clock::system());
    let sessions = HlsSessions::new(Arc::clone(&all), IDLE, Bind::Prefix);
    let proven = |name| {
        let session = open(&sessions, name).unwrap();
        session.prove();
        session
    };
    let (viewer, slow) = (proven(1), proven(2));
    slow.set_target(Duration::from_secs(6));
    let hoarded = [proven(3), proven(4)];
    let ask = |session: &HlsSession| sessions.ask(session, at("192.0.2.1"));
    tokio::time::advance(Duration::from_secs(7)).await;
    assert_eq!(ask(&viewer), Standing::Plays);
    assert!(open(&sessions, 5).is_err(), "all have asked lately");
    tokio::time::advance(Duration::from_secs(1)).await;
    open(&sessions, 5).unwrap().prove();
    open(&sessions, 6).unwrap().prove();
    assert!(hoarded.iter().all(|session| session.is_over()));
    assert!(!viewer.is_over() && !slow.is_over());
    assert!(open(&sessions, 7).is_err());
    // Those that made way are told of like all others.
    let told: Vec<_> = sessions
        .sweep()
        .iter()
        .map(|one| one.session.id())
        .collect();
    assert_eq!(told, hoarded.map(|session| session.id()));
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_for_elsewhere_keeps_nothing_alive() {
    let sessions = HlsSessions::new(
        Sessions::new(Room::whole(3), Bind::Prefix, Clock::system()),
        IDLE,
        Bind::Prefix,
    );
    let session = open(&sessions, 1).unwrap();
    for _ in 0..3 {
        tokio::time::advance(IDLE / 3).await;
        let elsewhere = sessions.ask(&session, at("198.51.100.1"));
        assert_eq!(elsewhere, Standing::Elsewhere);
    }
    assert_eq!(sessions.sweep().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_saved_playback_is_waited_for_as_long_as_one_that_plays() {
    let before = HlsSessions::new(
        Sessions::new(Room::whole(3), Bind::Prefix, Clock::system()),
        IDLE,
        Bind::Prefix,
    );
    open(&before, 1).unwrap();
    let long = open(&before, 2).unwrap();
    long.set_target(IDLE);
    let after = HlsSessions::new(
        Sessions::new(Room::whole(3), Bind::Prefix, Clock::system()),
        IDLE,
        Bind::Prefix,
    );
    assert_eq!(after.restore(before.snapshot(), IDLE * 2), 1);
    let waits = |after: &HlsSessions| after.is_dormant(long.id(), at("192.0.2.1"));
    tokio::time::advance(IDLE * 3 - Duration::from_secs(1)).await;
    after.sweep();
    assert!(waits(&after));
    tokio::time::advance(Duration::from_secs(1)).await;
    after.sweep();
    assert!(!waits(&after));
}

#[tokio::test(start_paused = true)]
async fn who_is_over_makes_no_room_and_is_told_of_once() {
    let all = Sessions::new(Room::whole(2), Bind::Prefix, Clock::system());
    let sessions = HlsSessions::new(Arc::clone(&all), IDLE, Bind::Prefix);
    let (over, idle) = (open(&sessions, 1).unwrap(), open(&sessions, 2).unwrap());
    let playing = all.find(over.id()).unwrap();
    playing.end_in(Duration::ZERO, Kick::Operator);
    let standing = || sessions.ask(&over, at("192.0.2.1"));
    assert_eq!(standing(), Standing::Over(Kick::Operator));
    open(&sessions, 3).unwrap();
    // Full, with the one that is over first in the queue.
    open(&sessions, 4).unwrap();
    assert!(idle.is_over());
    assert_eq!(standing(), Standing::Over(Kick::Operator));
    let told = || {
        let ended = sessions.sweep();
        let ended = ended.iter().map(|one| (one.session.id(), one.kick));
        ended.collect::<Vec<_>>()
    };
    let expected = [(over.id(), Some(Kick::Operator)), (idle.id(), None)];
    assert_eq!(told(), expected);
    assert_eq!(told(), []);
}

#[tokio::test(start_paused = true)]
async fn each_saved_playback_is_waited_for_by_its_own_window_however_many_restarts_that_takes() {
    let new = || {
        HlsSessions::new(
            Sessions::new(Room::whole(9), Bind::Prefix, Clock::system()),
            IDLE,
            Bind::Prefix,
        )
    };
    let second = Duration::from_secs(1);
    let before = new();
    let (short, long) = (open(&before, 1).unwrap(), open(&before, 2).unwrap());
    long.set_target(IDLE);
    let (short, long) = (short.id(), long.id());
    let sleeps = |sessions: &HlsSessions, id| sessions.is_dormant(id, at("192.0.2.1"));

    // One that has long targets keeps no other in mind, whether it is swept or not.
    let after = new();
    after.restore(before.snapshot(), Duration::ZERO);
    tokio::time::advance(IDLE - second).await;
    assert!(sleeps(&after, short) && sleeps(&after, long));
    tokio::time::advance(second).await;
    assert!(!sleeps(&after, short) && sleeps(&after, long));
    after.sweep();
    assert_eq!(after.counts().dormant, 1);

    // A gate that is restarted again and again makes no window longer.
    let mut gate = new();
    gate.restore(before.snapshot(), Duration::ZERO);
    let mut waited = Duration::ZERO;
    while sleeps(&gate, short) {
        assert!(waited <= IDLE, "{waited:?}");
        tokio::time::advance(second * 2).await;
        let next = new();
        next.restore(gate.snapshot(), second * 3);
        waited += second * 5;
        gate = next;
    }
    assert!(waited >= IDLE - second * 5 && sleeps(&gate, long));
}

#[tokio::test(start_paused = true)]
async fn what_was_ended_is_over_in_the_next_process_and_what_a_drain_ended_goes_on() {
    let new = || {
        let all = Sessions::new(Room::whole(9), Bind::Prefix, Clock::system());
        let sessions = HlsSessions::new(Arc::clone(&all), IDLE, Bind::Prefix);
        (all, sessions)
    };
    let (all, before) = new();
    let kicks = [
        Kick::Operator,
        Kick::Revoked,
        Kick::Crowded,
        Kick::Superseded,
        Kick::Expired,
    ];
    let mut names = Vec::new();
    for (kick, name) in kicks.into_iter().zip(1..) {
        let id = open(&before, name).unwrap().id();
        all.find(id).unwrap().end_in(Duration::ZERO, kick);
        names.push((id, Some(kick)));
    }
    let drained = open(&before, 6).unwrap().id();
    let drained_and_ended = open(&before, 7).unwrap().id();
    let asleep = open(&before, 8).unwrap().id();
    all.drain(Duration::ZERO);
    // However long the drain takes, no viewer can ask meanwhile.
    for _ in 0..10 {
        before.sweep();
        tokio::time::advance(IDLE).await;
    }
    assert!(before.settle(drained_and_ended).await && !before.settle(drained_and_ended).await);
    names.push((drained, None));
    names.push((drained_and_ended, Some(Kick::Operator)));

    let (_, after) = new();
    after.restore(before.snapshot(), Duration::ZERO);
    // One that sleeps is ended as well.
    assert!(after.settle(asleep).await);
    names.push((asleep, Some(Kick::Operator)));
    let (_, later) = new();
    later.restore(after.snapshot(), IDLE * 100);
    for (gate, waits) in [(&after, true), (&later, false)] {
        for (id, kick) in &names {
            assert_eq!(gate.ask_over(*id, at("192.0.2.1")), *kick, "{kick:?}");
            let dormant = gate.is_dormant(*id, at("192.0.2.1"));
            assert_eq!(dormant, kick.is_none() && waits, "{kick:?}");
        }
        assert!(
            open(gate, 1).is_err(),
            "its first URL does not begin it anew"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn who_sleeps_through_one_restart_may_wake_after_the_next() {
    let new = || {
        HlsSessions::new(
            Sessions::new(Room::whole(3), Bind::Prefix, Clock::system()),
            IDLE,
            Bind::Prefix,
        )
    };
    let first = new();
    let session = open(&first, 1).unwrap();
    let (second, third) = (new(), new());
    second.restore(first.snapshot(), Duration::ZERO);
    third.restore(second.snapshot(), Duration::ZERO);
    assert!(third.is_dormant(session.id(), at("192.0.2.9")));
}

#[tokio::test(start_paused = true)]
async fn requests_of_one_viewer_who_moved_are_one_move() {
    let sessions = HlsSessions::new(
        Sessions::new(Room::whole(3), Bind::Prefix, Clock::system()),
        IDLE,
        Bind::Prefix,
    );
    let session = open(&sessions, 1).unwrap();
    let there = "198.51.100.1";
    let early = sessions.move_to(&session, permit(there)).await;
    let elsewhere = Reason::Elsewhere { address: at(there) };
    assert_eq!(*early.unwrap_err().reason(), elsewhere);
    tokio::time::advance(Duration::from_secs(4)).await;
    for _ in 0..10 {
        let moved = sessions.move_to(&session, permit(there)).await;
        assert!(moved.is_ok());
    }
    assert_eq!(sessions.ask(&session, at(there)), Standing::Plays);
}

#[tokio::test(start_paused = true)]
async fn one_that_was_quiet_is_not_remembered_by_a_request_that_still_holds_it() {
    let all = Sessions::new(Room::whole(3), Bind::Prefix, Clock::system());
    let sessions = HlsSessions::new(Arc::clone(&all), IDLE, Bind::Prefix);
    for makes_way in [false, true] {
        let held = open(&sessions, 1).unwrap();
        if makes_way {
            (10..13).for_each(|name| drop(open(&sessions, name).unwrap()));
        } else {
            tokio::time::advance(2 * IDLE).await;
            sessions.sweep();
        }
        let standing = sessions.ask(&held, at("192.0.2.1"));
        assert!(matches!(standing, Standing::Over(_)), "{standing:?}");
        assert_eq!(sessions.counts().over, 0, "its viewer is decided anew");
        drop(open(&sessions, 1).unwrap());
        tokio::time::advance(2 * IDLE).await;
        sessions.sweep();
    }
}

/// The identities of a first URL of which nothing plays elsewhere.
fn of_first_url(name: u128) -> Identity {
    Identity(name << 48)
}

fn known(sessions: &HlsSessions, name: u128, here: u128, address: ClientAddress) -> Known {
    sessions.ask_by_url(of_first_url(name), of_first_url(here), address)
}

#[tokio::test(start_paused = true)]
async fn an_end_that_nothing_undoes_is_told_everywhere_by_the_first_url_and_another_where_it_played()
 {
    let addresses = [
        at("192.0.2.9"),
        at("198.51.100.1"),
        at("2001:db8::1"),
        ClientAddress::Unknown,
    ];
    for kick in [
        Kick::Revoked,
        Kick::Operator,
        Kick::Crowded,
        Kick::Superseded,
        Kick::Expired,
    ] {
        let all = Sessions::new(Room::whole(9), Bind::Prefix, Clock::system());
        let before = HlsSessions::new(Arc::clone(&all), IDLE, Bind::Prefix);
        let id = open(&before, 1).unwrap().id();
        all.find(id).unwrap().end_in(Duration::ZERO, kick);
        before.sweep();
        let after = HlsSessions::new(
            Sessions::new(Room::whole(9), Bind::Prefix, Clock::system()),
            IDLE,
            Bind::Prefix,
        );
        after.restore(before.snapshot(), Duration::ZERO);
        for sessions in [&before, &after] {
            for (address, here) in addresses.into_iter().zip(11..) {
                let is_told = match known(sessions, 1, here, address) {
                    Known::Over(over, why) => (over, why) == (id, kick),
                    Known::Taken | Known::Nowhere => false,
                    known @ (Known::Plays(..)
                    | Known::Joinable(_)
                    | Known::Dormant(_)
                    | Known::Nothing) => panic!("{known:?}"),
                };
                let expected = kick.is_final() || address == addresses[0];
                assert_eq!(is_told, expected, "{kick:?} {address:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_final_end_is_remembered_as_long_as_its_first_url_is_asked_for_anywhere() {
    let all = Sessions::new(Room::whole(9), Bind::Prefix, Clock::system());
    let sessions = HlsSessions::new(Arc::clone(&all), IDLE, Bind::Prefix);
    let id = open(&sessions, 1).unwrap().id();
    all.find(id).unwrap().end_in(Duration::ZERO, Kick::Operator);
    let is_over = |address| {
        matches!(
            known(&sessions, 1, 11, address),
            Known::Over(_, Kick::Operator)
        )
    };
    for address in [
        at("2001:db8::1"),
        at("198.51.100.1"),
        ClientAddress::Unknown,
    ] {
        for _ in 0..3 {
            tokio::time::advance(IDLE / 2).await;
            sessions.sweep();
            assert!(is_over(address), "{address:?}");
        }
    }
    tokio::time::advance(IDLE).await;
    sessions.sweep();
    assert!(!is_over(at("2001:db8::1")));
}

#[tokio::test(start_paused = true)]
async fn what_plays_here_under_another_name_goes_on_though_the_one_elsewhere_was_ended() {
    let all = Sessions::new(Room::whole(9), Bind::Prefix, Clock::system());
    let sessions = HlsSessions::new(Arc::clone(&all), IDLE, Bind::Prefix);
    let first = open(&sessions, 1).unwrap();
    let there = "198.51.100.1";
    let other = Newcomer {
        id: SessionId::new(2 << 48),
        player: String::new(),
        transport: Transport::Hls,
        delivery: Delivery::Media,
    };
    let alias = Some(Alias {
        here: of_first_url(12),
        first: first.id(),
    });
    let begun = sessions.open(&other, alias, &permit(there)).await.unwrap();
    let end = |session: &HlsSession| {
        let playing = all.find(session.id()).unwrap();
        playing.end_in(Duration::ZERO, Kick::Operator);
    };
    end(&first);
    let known_there = known(&sessions, 1, 12, at(there));
    let Known::Plays(session, permit) = known_there else {
        panic!("{known_there:?}");
    };
    assert_eq!((session.id(), permit.address()), (other.id, at(there)));
    end(&begun.session);
    assert!(matches!(
        known(&sessions, 1, 12, at(there)),
        Known::Over(..)
    ));
}

#[tokio::test(start_paused = true)]
async fn a_final_end_is_told_everywhere_whichever_of_two_places_it_played_in() {
    let new = || {
        let all = Sessions::new(Room::whole(9), Bind::Prefix, Clock::system());
        let sessions = HlsSessions::new(Arc::clone(&all), IDLE, Bind::Prefix);
        (all, sessions)
    };
    let (all, before) = new();
    let first = open(&before, 1).unwrap();
    let there = "198.51.100.1";
    let other = Newcomer {
        id: SessionId::new(2 << 48),
        player: String::new(),
        transport: Transport::Hls,
        delivery: Delivery::Media,
    };
    let alias = Alias {
        here: of_first_url(12),
        first: first.id(),
    };
    let begun = before.open(&other, Some(alias), &permit(there)).await;
    let ended = begun.unwrap().session.id();
    let session = all.find(ended).unwrap();
    session.end_in(Duration::ZERO, Kick::Operator);
    before.sweep();
    let (_, after) = new();
    after.restore(before.snapshot(), Duration::ZERO);
    for (sessions, plays) in [(&before, true), (&after, false)] {
        for (address, here) in [
            (at(there), 12),
            (at("2001:db8::1"), 13),
            (at("203.0.113.1"), 14),
            (ClientAddress::Unknown, 15),
        ] {
            let known = known(sessions, 1, here, address);
            assert!(
                matches!(known, Known::Over(id, Kick::Operator) if id == ended),
                "{address:?} {known:?}"
            );
        }
        // The one that was not ended goes on.
        match plays {
            true => assert_eq!(sessions.ask(&first, at("192.0.2.1")), Standing::Plays),
            false => assert!(sessions.is_dormant(first.id(), at("192.0.2.1"))),
        }
    }
    tokio::time::advance(IDLE).await;
    after.sweep();
    assert!(after.final_ends.is_empty() && after.aliases.is_empty());
}

#[test]
fn a_save_misses_no_playback_that_wakes_or_is_ended_meanwhile() {
    const COUNT: u128 = 3_000;
    let new = || {
        let room = Room::whole(usize::try_from(COUNT).unwrap());
        HlsSessions::new(
            Sessions::new(room, Bind::Prefix, Clock::system()),
            IDLE,
            Bind::Prefix,
        )
    };
    let before = new();
    let ids: Vec<_> = (0..COUNT)
        .map(|name| open(&before, name).unwrap().id())
        .collect();
    let after = new();
    after.restore(before.snapshot(), Duration::ZERO);
    let permit = permit("192.0.2.1");
    let change = || {
        for (id, name) in ids.iter().zip(0..COUNT) {
            if name % 2 == 0 {
                assert_eq!(after.settle(*id).now_or_never(), Some(true));
                continue;
            }
            let newcomer = Newcomer {
                id: *id,
                player: String::new(),
                transport: Transport::Hls,
                delivery: Delivery::Media,
            };
            let begun = after.open(&newcomer, None, &permit).now_or_never();
            assert!(begun.unwrap().unwrap().is_new);
        }
    };
    std::thread::scope(|scope| {
        let changing = scope.spawn(change);
        loop {
            let is_last = changing.is_finished();
            let saved = after.snapshot();
            let saved: std::collections::HashSet<_> = saved.iter().map(|one| one.id).collect();
            assert!(ids.iter().all(|id| saved.contains(id)));
            if is_last {
                break;
            }
        }
    });
}
