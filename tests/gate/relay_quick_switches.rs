//! Players switch without waiting for an answer, and a media server may answer the last switch alone, late or never. That
//! ends no playback, keeps no seat, and hides no token from a revocation.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use h5gate::decision::revocation::{Revocation, RevocationId, Target};
use h5gate::relay::Outcome;
use h5gate::relay::frame::opcode;
use h5gate::session::ends::Kick;
use h5gate::session::id::SessionId;
use h5gate::session::seats::Delivery;
use h5gate::session::{Newcomer, Sessions, Transport};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::support::relay::{NOW, Rig, SETTINGS, STREAM, Setup, clock, permit, session, switch};

/// Longer than a switch waits.
const PAST_WAITING: Duration = SETTINGS
    .switch_answer
    .saturating_add(Duration::from_secs(1));

/// How soon after one another a player's switches come.
const QUICK: Duration = Duration::from_millis(600);

impl Rig {
    /// The viewer switches; whether it goes on to the media server. What the gate answers has to name the request.
    async fn switches(&mut self, stream: &str, id: u32) -> bool {
        self.say(&switch(stream, id)).await;
        self.say(r#"{"eventType":"onPlay"}"#).await;
        let sent = self.server_gets().await.unwrap().json();
        if sent["eventType"] == "onUpdateSource" {
            assert_eq!(
                self.server_gets().await.unwrap().json()["eventType"],
                "onPlay"
            );
            return true;
        }
        let told = self.viewer_gets().await.unwrap().json();
        let expected = json!({
            "eventType": "onUpdateSourceError",
            "onUpdateSourceError": { "tag": format!("tag-{id}"), "count": id, "requestId": id, "code": 4503 },
        });
        assert_eq!(told, expected);
        false
    }

    async fn server_says(&mut self, event: &str, mut names: Value) {
        let id = names.as_object_mut().unwrap().remove("requestId");
        let text = json!({ "eventType": event, event: names, "requestId": id }).to_string();
        self.server_sends(opcode::TEXT, text.as_bytes()).await;
        assert_eq!(self.viewer_gets().await.unwrap().text(), text);
    }

    async fn server_takes(&mut self, id: u32) {
        let names = json!({ "tag": format!("tag-{id}"), "count": id, "requestId": id });
        self.server_says("onUpdateSourceSuccess", names).await;
    }

    fn plays(&self) -> String {
        self.playing.permit().stream().to_string()
    }

    /// How many sessions a revocation of all that plays `stream` meets.
    fn revoke(&self, stream: &str) -> usize {
        let revocation = Revocation {
            id: RevocationId(1),
            owner: "abcde".parse().unwrap(),
            target: Target::Stream(stream.parse().unwrap()),
            issued_until: NOW,
            ends: None,
        };
        self.sessions.revoke(&revocation, NOW)
    }

    fn settled(&self) -> Vec<Outcome> {
        std::mem::take(&mut self.log.lock().unwrap().settled)
    }
}

#[tokio::test(start_paused = true)]
async fn a_media_server_that_answers_the_last_one_alone_loses_no_viewer() {
    let mut rig = Rig::start(Setup::default());
    for round in 0..10 {
        for id in 1..=12 {
            assert!(rig.switches("abcde-two", round * 100 + id).await);
            sleep(QUICK).await;
        }
        rig.server_takes(round * 100 + 12).await;
        let mut expected = vec![Outcome::Superseded; 11];
        expected.push(Outcome::Taken);
        assert_eq!(rig.settled(), expected);
        // Those before it are forgotten when their answer is not due any more.
        sleep(PAST_WAITING).await;
        assert_eq!(rig.settled(), [Outcome::NotTaken; 11]);
    }
    assert_eq!(rig.plays(), "abcde-two");
}

#[tokio::test(start_paused = true)]
async fn too_many_at_once_are_refused_in_band_until_some_have_waited_long_enough() {
    let mut rig = Rig::start(Setup::default());
    for (from, expected) in [(0, 24), (100, 24), (200, 16), (300, 0)] {
        let mut count = 0;
        for id in 0..30 {
            count += u32::from(rig.switches("abcde-two", from + id).await);
        }
        assert_eq!(count, expected, "from {from}");
        sleep(PAST_WAITING).await;
        assert_eq!(rig.settled(), vec![Outcome::Overdue; expected as usize]);
    }
    // A media server that answers again is switched again.
    rig.server_takes(215).await;
    assert!(rig.switches("abcde-two", 400).await);
}

#[tokio::test(start_paused = true)]
async fn a_player_that_never_waits_plays_on_beside_a_media_server_that_never_answers() {
    let mut rig = Rig::start(Setup::default());
    let mut granted = 0;
    for id in 0..500 {
        granted += u32::from(rig.switches("abcde-two", id).await);
        sleep(QUICK).await;
        rig.server_sends(opcode::BINARY, b"media").await;
        assert_eq!(rig.viewer_gets().await.unwrap().payload, b"media");
    }
    assert_eq!(granted, 64);
    assert_eq!(rig.plays(), STREAM);
}

#[tokio::test(start_paused = true)]
async fn a_switch_that_is_taken_late_is_what_plays() {
    // Overdue, and superseded by a later one.
    let mut rig = Rig::start(Setup::default());
    assert!(rig.switches("abcde-two", 1).await);
    sleep(PAST_WAITING * 5).await;
    rig.server_sends(opcode::BINARY, b"media").await;
    rig.viewer_gets().await.unwrap();
    assert_eq!(
        (rig.settled(), rig.plays().as_str()),
        (vec![Outcome::Overdue], STREAM)
    );
    rig.server_takes(1).await;
    assert_eq!(
        (rig.settled(), rig.plays().as_str()),
        (vec![Outcome::Taken], "abcde-two")
    );

    assert!(rig.switches("abcde-three", 2).await);
    assert!(rig.switches("abcde-two", 3).await);
    rig.server_takes(3).await;
    rig.server_takes(2).await;
    let expected = vec![Outcome::Superseded, Outcome::Taken, Outcome::Taken];
    assert_eq!(
        (rig.settled(), rig.plays().as_str()),
        (expected, "abcde-three")
    );
}

#[tokio::test(start_paused = true)]
async fn a_revocation_finds_every_token_that_may_be_in_force_and_no_other() {
    let overdue = |rig: &mut Rig| assert_eq!(rig.settled(), [Outcome::Overdue]);
    // Nothing is known of it, since no answer came in time.
    let mut rig = Rig::start(Setup::default());
    assert!(rig.switches("abcde-two", 1).await);
    sleep(PAST_WAITING).await;
    overdue(&mut rig);
    assert_eq!(rig.revoke("abcde-two"), 1);
    assert_eq!(rig.viewer_is_closed().await.0, 4901);

    // Nothing is known of it, since a later one was not taken.
    let mut rig = Rig::start(Setup::default());
    assert!(rig.switches("abcde-two", 1).await);
    assert!(rig.switches("abcde-three", 2).await);
    rig.server_says("onUpdateSourceError", json!({ "requestId": 2 }))
        .await;
    assert_eq!(rig.settled(), [Outcome::Overdue, Outcome::NotTaken]);
    assert_eq!(rig.revoke("abcde-three"), 0);
    assert_eq!(rig.revoke("abcde-two"), 1);

    // What was in force before is, as long as nothing later is known to be.
    let mut rig = Rig::start(Setup::default());
    assert!(rig.switches("abcde-two", 1).await);
    assert_eq!(rig.revoke(STREAM), 1);

    // Once a later one is in force, those before it are not.
    let mut rig = Rig::start(Setup::default());
    assert!(rig.switches("abcde-two", 1).await);
    sleep(PAST_WAITING).await;
    overdue(&mut rig);
    assert!(rig.switches("abcde-two", 2).await);
    assert!(rig.switches("abcde-three", 3).await);
    rig.server_takes(3).await;
    assert_eq!((rig.revoke("abcde-two"), rig.revoke(STREAM)), (0, 0));
    assert_eq!(rig.revoke("abcde-three"), 1);
}

#[tokio::test(start_paused = true)]
async fn what_the_media_server_says_unasked_settles_nothing() {
    let greeting = json!({ "tag": "", "count": 0, "requestId": 0 });
    let source = json!({ "url": crate::support::relay::URL, "stream": "abcde-two" });
    let bodies = [
        json!({ "tag": "", "count": 1, "rtmp": source, "requestId": 1 }),
        json!({ "tag": "x", "count": 0, "rtmp": source, "requestId": 1 }),
        json!({ "tag": "x", "rtmp": source }),
        json!({ "requestId": 7, "rtmp": source }),
        json!({ "tag": null, "rtmp": source }),
        json!({ "rtmp": source }),
    ];
    for body in bodies {
        let mut rig = Rig::start(Setup::default());
        let message = json!({ "eventType": "onUpdateSource", "onUpdateSource": body });
        rig.say(&message.to_string()).await;
        rig.server_gets().await.unwrap();
        for event in [
            "onUpdateSourceSuccess",
            "onUpdateSourceAbort",
            "onUpdateSourceError",
        ] {
            rig.server_says(event, greeting.clone()).await;
        }
        assert_eq!(
            (rig.settled(), rig.plays().as_str()),
            (vec![], STREAM),
            "{body}"
        );
        // What it says in answer does: with the request's own names, and `""` and `0` for those it was not given.
        let mut names = greeting.clone();
        for (key, value) in body.as_object().unwrap() {
            if names.get(key).is_some() && !value.is_null() {
                names[key] = value.clone();
            }
        }
        if names == greeting {
            names = json!({});
        }
        rig.server_says("onUpdateSourceSuccess", names).await;
        assert_eq!(rig.settled(), [Outcome::Taken], "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_be_in_force_has_its_seat_and_what_a_later_switch_replaced_has_none() {
    let one = |grant: &mut h5gate::token::Grant| grant.sessions = NonZeroU16::new(1);
    let other = |id: u128| Newcomer {
        id: SessionId::new(id << 100),
        player: id.to_string(),
        transport: Transport::WebSocket,
        delivery: Delivery::Media,
    };
    let open = |sessions: &Arc<Sessions>, newcomer| {
        let opened = sessions.open(&newcomer, permit("abcde-two", one));
        opened.now_or_never().expect("memory answers at once")
    };
    let first = |grant: &mut h5gate::token::Grant| grant.id = h5gate::token::TokenId::new([2; 16]);
    let (sessions, guard) = session(clock(), first);
    let switch = guard.propose(permit("abcde-two", one)).unwrap();
    tokio::time::advance(Duration::from_secs(3600)).await;
    assert!(open(&sessions, other(2)).is_err());
    guard.supersede(switch);
    let newcomer = open(&sessions, other(3)).unwrap();
    // The media server took it after all, and there is no seat for that.
    guard.accept(switch);
    assert_eq!(
        guard.end(Instant::now()).map(|(_, kick)| kick),
        Some(Kick::Crowded)
    );
    drop(guard);
    assert!(open(&sessions, other(4)).is_err());
    drop(newcomer);

    let (sessions, guard) = session(clock(), first);
    let switch = guard.propose(permit("abcde-two", one)).unwrap();
    guard.supersede(switch);
    guard.accept(switch);
    assert_eq!(guard.end(Instant::now()), None);
    assert!(open(&sessions, other(4)).is_err());
    drop(guard);
    assert!(open(&sessions, other(4)).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_switch_that_may_be_in_force_ends_what_plays_at_its_cut() {
    let cut = |grant: &mut h5gate::token::Grant| {
        grant.expires = Some(h5gate::token::UnixSeconds::new(NOW.get() + 60));
        grant.at_expiry = h5gate::token::AtExpiry::Cut;
    };
    let (_sessions, guard) = session(clock(), |_| {});
    let ends = || guard.end(Instant::now()).map(|(_, kick)| kick);
    for settle in [
        (|guard, switch| guard.supersede(switch)) as fn(&h5gate::session::guard::SessionGuard, _),
        |guard, switch| guard.reject(switch),
    ] {
        let switch = guard.propose(permit("abcde-two", cut)).unwrap();
        assert_eq!(ends(), Some(Kick::Expired));
        settle(&guard, switch);
        assert_eq!(ends(), None);
    }
}
