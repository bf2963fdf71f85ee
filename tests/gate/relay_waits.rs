//! Every wait has a deadline, and waiting costs nothing: no spinning, no buffer, a small future.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use h5gate::relay::frame::{self, close_payload, opcode};
use h5gate::relay::{Cause, Relay, RelaySettings, Silence, Start};
use h5gate::session::ends::Kick;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

use crate::support::relay::{Log, Rig, SETTINGS, Script, Setup, clock, session, switch};

const SOON: Duration = Duration::from_millis(1);
const PAUSE: &str = r#"{"eventType":"onPause"}"#;
const PLAY: &str = r#"{"eventType":"onPlay"}"#;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn about(after: Duration, expected: Duration) -> bool {
    after >= expected && after < expected + 3 * SOON
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_4503_after_its_idle_time() {
    let mut rig = Rig::start(Setup::default());
    sleep(secs(30)).await;
    rig.server_sends(opcode::BINARY, b"media").await;
    rig.viewer_gets().await.unwrap();
    // The viewer's own words do not count.
    for _ in 0..5 {
        sleep(secs(10)).await;
        rig.viewer_sends(opcode::PING, b"").await;
        assert_eq!(rig.viewer_gets().await.unwrap().opcode, opcode::PONG);
        rig.say(PLAY).await;
    }
    let (code, after) = rig.viewer_is_closed().await;
    assert!(code == 4503 && about(after, secs(90)), "{code} {after:?}");
    assert_eq!(rig.end().await.0.cause, Cause::MediaIdle);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_inside_a_frame_is_idle_even_for_a_paused_viewer() {
    for silence in [Silence::Never, Silence::Paused, Silence::Always] {
        let mut rig = Rig::start(Setup {
            silence,
            ..Setup::default()
        });
        let media = frame::from_server(opcode::BINARY, b"media");
        rig.server.write_all(&media[..4]).await.unwrap();
        let (end, after) = rig.end().await;
        assert_eq!(
            (end.cause, end.closed),
            (Cause::MediaIdle, false),
            "{silence:?}"
        );
        assert!(about(after, secs(61)), "{after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_quiet_viewer_is_pinged_and_gone_after_two_unanswered_pings() {
    for silence in [Silence::Paused, Silence::Always] {
        let mut rig = Rig::start(Setup {
            silence,
            ..Setup::default()
        });
        for number in 1..=2 {
            let ping = rig.viewer_gets().await.unwrap();
            assert_eq!(
                (ping.opcode, ping.payload.as_slice()),
                (opcode::PING, &b"h5gate"[..])
            );
            assert!(about(rig.started.elapsed(), number * SETTINGS.ping));
        }
        let (end, after) = rig.end().await;
        assert_eq!((end.cause, end.closed), (Cause::ViewerSilent, false));
        assert!(about(after, 3 * SETTINGS.ping), "{after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_quiet_viewer_that_answers_stays_for_hours_and_its_pongs_go_no_further() {
    let mut rig = Rig::start(Setup {
        silence: Silence::Always,
        ..Setup::default()
    });
    while rig.started.elapsed() < secs(3 * 3600) {
        assert_eq!(rig.viewer_gets().await.unwrap().opcode, opcode::PING);
        rig.viewer_sends(opcode::PONG, b"h5gate").await;
    }
    let pings = 3 * 3600 / 25;
    assert!(rig.counts.both() < 20 * pings, "{:?}", rig.counts);
    rig.server_sends(opcode::CLOSE, &close_payload(1000, ""))
        .await;
    rig.end().await;
    assert_eq!(
        rig.server_gets().await.unwrap().opcode,
        opcode::CLOSE,
        "no pong of ours went on"
    );
}

#[tokio::test(start_paused = true)]
async fn any_word_of_a_quiet_viewer_counts_as_an_answer() {
    let mut rig = Rig::start(Setup {
        silence: Silence::Paused,
        ..Setup::default()
    });
    for _ in 0..10 {
        sleep(secs(24)).await;
        rig.viewer_sends(opcode::PONG, b"unasked").await;
        assert_eq!(rig.server_gets().await.unwrap().payload, b"unasked");
    }
    rig.viewer_gets_nothing_for(secs(24)).await;
}

#[tokio::test(start_paused = true)]
async fn pause_and_play_change_who_may_be_silent() {
    let mut rig = Rig::start(Setup::default());
    sleep(secs(50)).await;
    rig.say(PAUSE).await;
    // Pinged 25 s later, though nothing was due before the 60th second when it was said.
    assert_eq!(rig.viewer_gets().await.unwrap().opcode, opcode::PING);
    assert!(about(rig.started.elapsed(), secs(75)));
    rig.viewer_sends(opcode::PONG, b"h5gate").await;
    rig.say(PLAY).await;
    let (code, after) = rig.viewer_is_closed().await;
    assert!(
        code == 4503 && about(after, secs(75 + 60)),
        "{code} {after:?}"
    );

    let mut rig = Rig::start(Setup {
        silence: Silence::Always,
        ..Setup::default()
    });
    rig.say(PLAY).await;
    assert_eq!(
        rig.viewer_gets().await.unwrap().opcode,
        opcode::PING,
        "metadata alone stays so"
    );
}

#[tokio::test(start_paused = true)]
async fn a_slow_frame_does_not_use_up_a_quiet_viewers_pings() {
    let mut rig = Rig::start(Setup {
        silence: Silence::Paused,
        ..Setup::default()
    });
    let media = frame::from_server(opcode::BINARY, &[7; 10]);
    for byte in &media {
        sleep(secs(10)).await;
        rig.server.write_all(&[*byte]).await.unwrap();
    }
    assert_eq!(rig.viewer_gets().await.unwrap().bytes, media);
    let done = Instant::now();
    for _ in 0..2 {
        assert_eq!(rig.viewer_gets().await.unwrap().opcode, opcode::PING);
    }
    assert!(done.elapsed() >= SETTINGS.ping);
    assert_eq!(rig.end().await.0.cause, Cause::ViewerSilent);
    assert!(done.elapsed() >= 2 * SETTINGS.ping);
}

#[tokio::test(start_paused = true)]
async fn a_viewer_that_takes_nothing_is_gone_after_the_write_stall() {
    for silence in [Silence::Never, Silence::Paused] {
        for settings in [
            SETTINGS,
            RelaySettings {
                media_idle: secs(10),
                ..SETTINGS
            },
        ] {
            let mut rig = Rig::start(Setup {
                viewer_room: 100,
                silence,
                settings,
                ..Setup::default()
            });
            sleep(secs(5)).await;
            rig.server_sends(opcode::BINARY, &[7; 1000]).await;
            let (end, after) = rig.end().await;
            assert_eq!((end.cause, end.closed), (Cause::ViewerStalled, false));
            assert!(about(after, secs(35)), "{after:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_write_stall_begins_anew_with_every_byte_that_is_taken() {
    let mut rig = Rig::start(Setup {
        viewer_room: 1,
        ..Setup::default()
    });
    rig.server_sends(opcode::BINARY, &[7; 100]).await;
    for _ in 0..5 {
        sleep(secs(29)).await;
        rig.viewer.read_u8().await.unwrap();
    }
    let (end, after) = rig.end().await;
    assert_eq!(end.cause, Cause::ViewerStalled);
    assert!(about(after, secs(5 * 29 + 30)), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_viewer_that_does_not_take_its_close_frame_cannot_hold_the_relay() {
    // Stalled before the close could be placed.
    let mut rig = Rig::start(Setup {
        viewer_room: 100,
        ..Setup::default()
    });
    rig.server_sends(opcode::BINARY, &[7; 1000]).await;
    rig.settle().await;
    rig.playing.end_in(Duration::ZERO, Kick::Revoked);
    let (end, after) = rig.end().await;
    assert_eq!(
        (end.cause, end.closed),
        (Cause::Kicked(Kick::Revoked), false)
    );
    assert!(about(after, secs(1)), "{after:?}");

    // Taking the close frame byte by byte.
    let mut rig = Rig::start(Setup {
        viewer_room: 1,
        ..Setup::default()
    });
    rig.settle().await;
    rig.playing.end_in(Duration::ZERO, Kick::Revoked);
    for _ in 0..2 {
        sleep(secs(14)).await;
        rig.viewer.read_u8().await.unwrap();
    }
    let (end, after) = rig.end().await;
    assert_eq!(
        (end.cause, end.closed),
        (Cause::Kicked(Kick::Revoked), false)
    );
    assert!(about(after, secs(30)), "{after:?}");
}

/// Brings a relay into a state in which it only waits.
type Bring = fn(&mut Rig) -> std::pin::Pin<Box<dyn Future<Output = ()> + '_>>;

/// In each of these states nothing happens for ten seconds.
fn waiting_states() -> Vec<(&'static str, Setup, Bring)> {
    fn long() -> Setup {
        let hour = secs(3600);
        let settings = RelaySettings {
            linger: hour,
            half_close: hour,
            write_stall: hour,
            ..SETTINGS
        };
        Setup {
            settings,
            ..Setup::default()
        }
    }
    let half = || frame::from_server(opcode::BINARY, &[7; 100])[..50].to_vec();
    vec![
        ("media flows", long(), |_| Box::pin(async {})),
        (
            "paused",
            Setup {
                silence: Silence::Paused,
                ..long()
            },
            |_| Box::pin(async {}),
        ),
        (
            "metadata alone",
            Setup {
                silence: Silence::Always,
                ..long()
            },
            |_| Box::pin(async {}),
        ),
        (
            "inside a frame",
            Setup {
                server_early: half(),
                ..long()
            },
            |_| Box::pin(async {}),
        ),
        (
            "inside a frame, paused",
            Setup {
                server_early: half(),
                silence: Silence::Paused,
                ..long()
            },
            |_| Box::pin(async {}),
        ),
        (
            "the viewer takes nothing",
            Setup {
                viewer_room: 10,
                server_early: half(),
                ..long()
            },
            |_| Box::pin(async {}),
        ),
        (
            "the viewer takes nothing, paused",
            Setup {
                viewer_room: 10,
                silence: Silence::Paused,
                ..long()
            },
            |rig| Box::pin(rig.server_sends(opcode::BINARY, &[7; 100])),
        ),
        (
            "the server takes nothing",
            Setup {
                server_room: 10,
                ..long()
            },
            |rig| Box::pin(rig.say(PAUSE)),
        ),
        (
            "a pong waits for its gap",
            Setup {
                server_early: half(),
                ..long()
            },
            |rig| Box::pin(rig.viewer_sends(opcode::PING, b"x")),
        ),
        (
            "denials wait for their gap",
            Setup {
                server_early: half(),
                settings: RelaySettings {
                    refusal_cost: Duration::ZERO,
                    frame_cost: Duration::ZERO,
                    ..long().settings
                },
                ..long()
            },
            |rig| {
                Box::pin(async {
                    for id in 0..100 {
                        rig.say(&switch("fghij-one", id)).await;
                    }
                })
            },
        ),
        ("the viewer has closed", long(), |rig| {
            Box::pin(rig.viewer_sends(opcode::CLOSE, b""))
        }),
        ("the viewer has closed and sends on", long(), |rig| {
            Box::pin(async {
                rig.viewer_sends(opcode::CLOSE, b"").await;
                rig.say(PLAY).await;
                rig.viewer.shutdown().await.unwrap();
            })
        }),
        ("the viewer has shut down its direction", long(), |rig| {
            Box::pin(async { rig.viewer.shutdown().await.unwrap() })
        }),
        ("a switch is pending", long(), |rig| {
            Box::pin(async { rig.say(&switch("abcde-two", 1)).await })
        }),
        ("a kick is to come", long(), |rig| {
            Box::pin(async { rig.playing.end_in(secs(20), Kick::Drain) })
        }),
        (
            "the close is not taken",
            Setup {
                viewer_room: 1,
                ..long()
            },
            |rig| Box::pin(async { rig.playing.end_in(Duration::ZERO, Kick::Revoked) }),
        ),
        (
            "the server has closed and the close is not taken",
            Setup {
                viewer_room: 1,
                ..long()
            },
            |rig| Box::pin(rig.server_sends(opcode::CLOSE, b"")),
        ),
        (
            "the server has ended and the close is not taken",
            Setup {
                viewer_room: 1,
                ..long()
            },
            |rig| Box::pin(async { rig.server.shutdown().await.unwrap() }),
        ),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_waiting_relay_is_not_polled() {
    let states = waiting_states();
    assert!(states.len() > 15);
    for (what, setup, bring) in states {
        let mut rig = Rig::start(setup);
        bring(&mut rig).await;
        rig.settle().await;
        let before = rig.counts.both();
        sleep(secs(10)).await;
        let polled = rig.counts.both() - before;
        assert!(
            polled <= 2,
            "{what}: polled {polled} times in ten seconds in which nothing happened"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_has_come_is_acted_on_once() {
    // A relay whose deadlines all come to pass is polled a handful of times; a deadline that stayed in the past would be
    // met again and again.
    let ends: Vec<(&str, Setup, Bring)> = waiting_states();
    for (what, mut setup, bring) in ends {
        setup.settings = SETTINGS;
        let mut rig = Rig::start(setup);
        bring(&mut rig).await;
        let (_, after) = rig.end().await;
        assert!(after <= secs(200), "{what}: ended only after {after:?}");
        assert!(rig.counts.both() < 120, "{what}: {:?}", rig.counts);
    }
}

#[tokio::test(start_paused = true)]
async fn a_held_close_waits_for_its_time_without_spinning() {
    let mut rig = Rig::start(Setup {
        opened: Duration::ZERO,
        ..Setup::default()
    });
    rig.server.shutdown().await.unwrap();
    rig.viewer_is_closed().await;
    rig.end().await;
    assert!(rig.counts.both() < 20, "{:?}", rig.counts);
}

#[tokio::test]
async fn a_quiet_viewer_costs_a_small_future() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut viewer = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (server, _) = listener.accept().await.unwrap();
    let (_sessions, guard) = session(clock(), |_| {});
    let authority = Script {
        guard: &guard,
        granted: Vec::new(),
        log: Arc::new(Mutex::new(Log::default())),
    };
    let start = Start {
        viewer_early: Vec::new(),
        server_early: Vec::new(),
        opened: Instant::now(),
        silence: Silence::Never,
    };
    let relay = Relay::new(&mut viewer, server, &guard, authority, &SETTINGS, start);
    let size = size_of_val(&relay.run());
    assert!(size <= 1024, "{size} bytes for each viewer");
}
