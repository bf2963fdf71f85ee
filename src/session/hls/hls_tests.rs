use super::*;
use crate::decision::revocation::Revocations;
use crate::decision::rules::Rules;
use crate::decision::{Facts, decide};
use crate::request::referer::Referer;
use crate::session::Transport;
use crate::session::seats::Content;
use crate::token::{Grant, Key, KeyState, Keyring, Owner, Presented, Scope, Secret};

const IDLE: Duration = Duration::from_secs(30);

fn at(address: &str) -> ClientAddress {
    ClientAddress::Known(address.parse().unwrap())
}

fn permit() -> Permit {
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
        address: at("192.0.2.1"),
        referer: Referer::Absent,
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
    let id = SessionId::new(name << 48);
    let newcomer = Newcomer {
        id,
        player: String::new(),
        transport: Transport::Hls,
        content: Content::Media,
        now: UnixSeconds::new(2),
    };
    let begun = sessions.open(newcomer, Identity::of_ticket(id), permit())?;
    Ok(begun.session)
}

#[tokio::test(start_paused = true)]
async fn whoever_only_opens_urls_keeps_nobody_out_and_ends_nobody_who_plays() {
    let all = Sessions::new(3);
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
    let all = Sessions::new(3);
    let sessions = HlsSessions::new(Arc::clone(&all), IDLE, Bind::Prefix);
    let session = open(&sessions, 1).unwrap();
    let answering = session.answer();
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
    assert_eq!(sessions.name_of(Identity::of_ticket(session.id())), None);
}

#[tokio::test(start_paused = true)]
async fn an_ended_playback_is_told_once_and_forgotten_when_it_is_quiet() {
    let all = Sessions::new(3);
    let sessions = HlsSessions::new(Arc::clone(&all), IDLE, Bind::Prefix);
    let session = open(&sessions, 1).unwrap();
    all.find(session.id())
        .unwrap()
        .end_in(Duration::ZERO, Kick::Operator);
    let standing = || sessions.standing(&session, at("192.0.2.1"));
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
    let all = Sessions::new(2);
    let sessions = HlsSessions::new(Arc::clone(&all), IDLE, Bind::Prefix);
    // A progressive file is one long answer, and nothing is ever asked for under a ticket.
    let film = open(&sessions, 1).unwrap();
    let answering = film.answer();
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
    let all = Sessions::new(3);
    let sessions = HlsSessions::new(Arc::clone(&all), IDLE, Bind::Prefix);
    // Each of them has looked for the playback and found none.
    let first = open(&sessions, 1).unwrap();
    let second = open(&sessions, 1).unwrap();
    drop(first);
    assert_eq!(all.count(), 1);
    let playing = all.find(second.id()).expect("it can still be ended");
    playing.end_in(Duration::ZERO, Kick::Operator);
    let over = Standing::Over(Kick::Operator);
    assert_eq!(sessions.standing(&second, at("192.0.2.1")), over);
}

#[tokio::test(start_paused = true)]
async fn names_of_ended_playbacks_do_not_pile_up_behind_one_that_opens_its_url_again_and_again() {
    let all = Sessions::new(1_000);
    let sessions = HlsSessions::new(Arc::clone(&all), IDLE, Bind::Prefix);
    let opener = open(&sessions, 1).unwrap();
    for name in 2..1_000 {
        open(&sessions, name).unwrap().prove();
    }
    for _ in 0..4 {
        tokio::time::advance(IDLE / 2).await;
        let plays = sessions.standing(&opener, at("192.0.2.1"));
        assert_eq!(plays, Standing::Plays);
        sessions.sweep();
    }
    assert_eq!(all.count(), 1);
    let kept = sessions.unproven.len();
    assert!(kept < 100, "{kept}");
}

#[tokio::test(start_paused = true)]
async fn ended_playbacks_that_are_still_asked_for_do_not_pile_up() {
    let all = Sessions::new(3);
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
        assert_eq!(sessions.standing(&session, at("192.0.2.1")), over);
    }
    assert_eq!(begun, 6, "twice as many as may play");
    tokio::time::advance(IDLE).await;
    assert!(sessions.sweep().len() == 6 && open(&sessions, 100).is_ok());
}
