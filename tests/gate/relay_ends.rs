//! Every relay ends for one reason, with the code that makes the player do the right thing (protocol.md 3).

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use h5gate::clock::Clock;
use h5gate::relay::frame::{self, close_payload, opcode};
use h5gate::relay::{Cause, RETRY_HOLD, Relay, RelayEnd, RelaySettings, Silence, Start};
use h5gate::session::ends::Kick;
use h5gate::token::{AtExpiry, Grant, UnixSeconds};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

use crate::support::relay::{Counting, NOW, Rig, SETTINGS, Script, Setup, clock, frames, session};

const SOON: Duration = Duration::from_millis(1);

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Our 101 left this moment.
fn fresh() -> Setup {
    Setup {
        opened: Duration::ZERO,
        ..Setup::default()
    }
}

async fn ended(rig: &mut Rig) -> (RelayEnd, Duration, Vec<u8>) {
    let (end, after) = rig.end().await;
    let mut rest = Vec::new();
    rig.viewer.read_to_end(&mut rest).await.unwrap();
    (end, after, rest)
}

#[tokio::test(start_paused = true)]
async fn a_servers_close_passes_byte_for_byte() {
    let payloads = [
        close_payload(1000, "end"),
        close_payload(1011, ""),
        close_payload(4403, "code 4403 stopped"),
        close_payload(4999, &"x".repeat(123)),
        vec![],
        vec![3],
    ];
    for payload in payloads {
        let mut rig = Rig::start(Setup::default());
        rig.server_sends(opcode::CLOSE, &payload).await;
        let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
        let (end, after, got) = ended(&mut rig).await;
        assert_eq!((end.cause, end.closed), (Cause::ServerClosed(code), true));
        assert_eq!(got, frame::from_server(opcode::CLOSE, &payload));
        assert!(after < SOON);
        // As RFC 6455 section 5.5.1 asks, the answer has the server's own code.
        assert_eq!(
            rig.server_gets().await.unwrap().code(),
            code.unwrap_or(1000)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_goes_away_is_4503() {
    for code in [1001, 1012] {
        let mut rig = Rig::start(Setup::default());
        rig.server_sends(opcode::CLOSE, &close_payload(code, "bye"))
            .await;
        assert_eq!(rig.viewer_is_closed().await.0, 4503);
        assert_eq!(rig.end().await.0.cause, Cause::ServerGoingAway);
    }
}

#[tokio::test(start_paused = true)]
async fn a_code_that_players_retry_after_leaves_no_sooner_than_250_ms_after_our_101() {
    let server_closes = [1001, 1012, 1005, 1011, 4500, 4503];
    for code in server_closes {
        let mut rig = Rig::start(fresh());
        rig.server_sends(opcode::CLOSE, &close_payload(code, ""))
            .await;
        let (got, after) = rig.viewer_is_closed().await;
        assert_eq!(
            got,
            if code == 1001 || code == 1012 {
                4503
            } else {
                code
            }
        );
        assert!(
            after >= RETRY_HOLD && after < RETRY_HOLD + 2 * SOON,
            "{after:?}"
        );
    }
    let mut rig = Rig::start(fresh());
    rig.server.shutdown().await.unwrap();
    let (code, after) = rig.viewer_is_closed().await;
    assert!(
        code == 4503 && after >= RETRY_HOLD && after < RETRY_HOLD + 2 * SOON,
        "{code} {after:?}"
    );
    let (end, _) = rig.end().await;
    assert_eq!((end.cause, end.closed), (Cause::ServerLost, true));

    for code in [1000, 4400, 4901] {
        let mut rig = Rig::start(fresh());
        rig.server_sends(opcode::CLOSE, &close_payload(code, ""))
            .await;
        let (got, after) = rig.viewer_is_closed().await;
        assert!(got == code && after < SOON, "{after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn media_passes_while_a_code_is_held_back() {
    let mut rig = Rig::start(fresh());
    rig.playing.end_in(Duration::ZERO, Kick::Drain);
    rig.settle().await;
    rig.server_sends(opcode::BINARY, b"media").await;
    assert_eq!(rig.viewer_gets().await.unwrap().payload, b"media");
    assert_eq!(rig.viewer_is_closed().await.0, 4503);
}

#[tokio::test(start_paused = true)]
async fn a_lost_server_between_frames_is_4503_at_once() {
    for bytes in [
        vec![],
        frame::from_server(opcode::BINARY, b"media"),
        close_payload(0x8802, ""),
    ] {
        let mut rig = Rig::start(Setup::default());
        rig.server.write_all(&bytes).await.unwrap();
        rig.server.shutdown().await.unwrap();
        let (end, after, got) = ended(&mut rig).await;
        assert_eq!(
            (end.cause, end.closed),
            (Cause::ServerLost, true),
            "{bytes:?}"
        );
        let (got, behind) = frames(&got);
        assert_eq!((got.last().unwrap().code(), behind.len()), (4503, 0));
        assert!(after < SOON);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_server_inside_a_frame_ends_the_viewer_without_a_close_frame() {
    let media = frame::from_server(opcode::BINARY, &[7; 200]);
    for cut in [1, 3, 4, 100, media.len() - 1] {
        let mut rig = Rig::start(fresh());
        rig.server.write_all(&media[..cut]).await.unwrap();
        rig.server.shutdown().await.unwrap();
        let (end, after, got) = ended(&mut rig).await;
        assert_eq!((end.cause, end.closed), (Cause::ServerLost, false));
        assert_eq!(got, media[..cut], "what was read is delivered");
        assert!(after < SOON, "within 100 ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_vanishes_is_a_lost_server() {
    let mut rig = Rig::start(Setup::default());
    let (dead, _) = tokio::io::duplex(1);
    drop(std::mem::replace(&mut rig.server, dead));
    assert_eq!(rig.viewer_is_closed().await.0, 4503);
    assert_eq!(rig.end().await.0.cause, Cause::ServerLost);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_closes_with_an_impossible_frame_is_a_lost_server() {
    let mut rig = Rig::start(Setup::default());
    rig.server.write_all(&[0x88, 126, 1, 0]).await.unwrap();
    assert_eq!(rig.viewer_is_closed().await.0, 4503);
    assert_eq!(rig.end().await.0.cause, Cause::ServerLost);
}

#[tokio::test(start_paused = true)]
async fn a_viewers_close_goes_on_and_the_servers_comes_back() {
    for (said, answered) in [(1000, 1000), (1001, 1001), (4000, 1000)] {
        let mut rig = Rig::start(fresh());
        rig.viewer_sends(opcode::CLOSE, &close_payload(said, "bye"))
            .await;
        let close = rig.server_gets().await.unwrap();
        assert_eq!(
            (close.opcode, close.payload),
            (opcode::CLOSE, close_payload(said, "bye"))
        );
        // Media that was under way still passes.
        rig.server_sends(opcode::BINARY, b"media").await;
        rig.server_sends(opcode::CLOSE, &close_payload(answered, ""))
            .await;
        assert_eq!(rig.viewer_gets().await.unwrap().payload, b"media");
        let (code, after) = rig.viewer_is_closed().await;
        assert!(code == answered && after < SOON, "{code} {after:?}");
        let (end, _) = rig.end().await;
        assert_eq!((end.cause, end.closed), (Cause::ViewerClosed, true));
        assert_eq!(rig.server_gets().await, None, "one close is enough");
    }
}

#[tokio::test(start_paused = true)]
async fn a_viewer_that_closes_is_answered_by_the_gate_when_the_server_does_not() {
    let mut rig = Rig::start(Setup::default());
    rig.viewer_sends(opcode::CLOSE, b"").await;
    let (code, after) = rig.viewer_is_closed().await;
    assert!(
        code == 1000 && after >= SETTINGS.linger && after < SETTINGS.linger + 2 * SOON,
        "{after:?}"
    );
    assert_eq!(rig.end().await.0.cause, Cause::ViewerClosed);

    let mut rig = Rig::start(Setup::default());
    rig.viewer_sends(opcode::CLOSE, b"").await;
    rig.settle().await;
    rig.server.shutdown().await.unwrap();
    assert_eq!(rig.viewer_is_closed().await.0, 1000);
    assert_eq!(rig.end().await.0.cause, Cause::ViewerClosed);
}

#[tokio::test(start_paused = true)]
async fn nothing_behind_a_viewers_close_counts() {
    let mut rig = Rig::start(Setup::default());
    let text = frame::from_client(opcode::TEXT, [1; 4], br#"{"eventType":"onPlay"}"#);
    let bytes = [frame::from_client(opcode::CLOSE, [1; 4], b""), text.clone()].concat();
    rig.viewer.write_all(&bytes).await.unwrap();
    rig.viewer.write_all(&text).await.unwrap();
    assert_eq!(rig.server_gets().await.unwrap().opcode, opcode::CLOSE);
    assert_eq!(rig.viewer_is_closed().await.0, 1000);
    assert_eq!(rig.server_gets().await, None);
}

#[tokio::test(start_paused = true)]
async fn nothing_behind_a_servers_close_counts() {
    let mut rig = Rig::start(Setup::default());
    let close = frame::from_server(opcode::CLOSE, &close_payload(1000, ""));
    let bytes = [
        &close[..],
        &frame::from_server(opcode::BINARY, b"x"),
        &close,
    ]
    .concat();
    rig.server.write_all(&bytes).await.unwrap();
    assert_eq!(ended(&mut rig).await.2, close);
}

#[tokio::test(start_paused = true)]
async fn the_first_reason_counts_and_only_one_close_frame_leaves() {
    // The gate's close finds its gap in the very bytes that bring the server's.
    let mut rig = Rig::start(Setup::default());
    let media = frame::from_server(opcode::BINARY, b"media");
    rig.server.write_all(&media[..3]).await.unwrap();
    rig.settle().await;
    rig.viewer_sends(opcode::TEXT, b"no JSON").await;
    rig.settle().await;
    let behind = [
        &media[3..],
        &media,
        &frame::from_server(opcode::CLOSE, &close_payload(1000, "")),
    ]
    .concat();
    rig.server.write_all(&behind).await.unwrap();
    let (end, _, got) = ended(&mut rig).await;
    assert!(matches!(end.cause, Cause::Violation(_)) && end.closed);
    let (got, behind) = frames(&got);
    assert_eq!(
        got.iter()
            .filter(|frame| frame.opcode == opcode::CLOSE)
            .count(),
        1
    );
    assert_eq!((got.last().unwrap().code(), behind.len()), (4400, 0));

    // And when it must still wait for its time.
    let mut rig = Rig::start(fresh());
    rig.server.shutdown().await.unwrap();
    rig.settle().await;
    rig.playing.end_in(Duration::ZERO, Kick::Revoked);
    assert_eq!(rig.viewer_is_closed().await.0, 4503);
    assert_eq!(rig.log.lock().unwrap().farewells, [Cause::ServerLost]);

    let mut rig = Rig::start(fresh());
    rig.playing.end_in(Duration::ZERO, Kick::Drain);
    rig.settle().await;
    rig.server_sends(opcode::CLOSE, &close_payload(1000, ""))
        .await;
    assert_eq!(rig.viewer_is_closed().await.0, 4503);
    assert_eq!(rig.end().await.0.cause, Cause::Kicked(Kick::Drain));
}

#[tokio::test(start_paused = true)]
async fn a_close_that_finds_no_gap_gives_up_after_a_second() {
    let media = frame::from_server(opcode::BINARY, &[7; 200]);
    for bytes in [&media[..1], &media[..50]] {
        let mut rig = Rig::start(Setup::default());
        rig.server.write_all(bytes).await.unwrap();
        rig.settle().await;
        rig.viewer_sends(opcode::TEXT, b"no JSON").await;
        let (end, after, got) = ended(&mut rig).await;
        assert!(
            matches!(end.cause, Cause::Violation(_)) && !end.closed,
            "{end:?}"
        );
        assert!(after >= secs(1) && after < secs(1) + 2 * SOON, "{after:?}");
        assert_eq!(got, bytes);
    }
    // A gap just in time.
    let mut rig = Rig::start(Setup::default());
    rig.server.write_all(&media[..50]).await.unwrap();
    rig.settle().await;
    rig.viewer_sends(opcode::TEXT, b"no JSON").await;
    tokio::time::sleep(Duration::from_millis(990)).await;
    rig.server.write_all(&media[50..]).await.unwrap();
    assert_eq!(rig.viewer_gets().await.unwrap().bytes, media);
    assert_eq!(rig.viewer_is_closed().await.0, 4400);
}

#[tokio::test(start_paused = true)]
async fn each_kick_has_its_code() {
    let kicks = [
        (Kick::Revoked, 4901),
        (Kick::Expired, 4903),
        (Kick::Operator, 4901),
        (Kick::Superseded, 4901),
        (Kick::Drain, 4503),
    ];
    for (kick, code) in kicks {
        for delay in [Duration::ZERO, secs(7)] {
            let mut rig = Rig::start(Setup::default());
            rig.settle().await;
            rig.playing.end_in(delay, kick);
            let (got, after) = rig.viewer_is_closed().await;
            assert_eq!(got, code, "{kick:?}");
            assert!(
                after >= delay && after < delay + 2 * SOON,
                "{kick:?} {after:?}"
            );
            let (end, _) = rig.end().await;
            assert_eq!((end.cause, end.closed), (Cause::Kicked(kick), true));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_kick_is_brought_forward_and_not_put_off() {
    let mut rig = Rig::start(Setup::default());
    rig.settle().await;
    rig.playing.end_in(secs(20), Kick::Drain);
    rig.settle().await;
    rig.playing.end_in(secs(5), Kick::Revoked);
    rig.playing.end_in(secs(6), Kick::Operator);
    let (code, after) = rig.viewer_is_closed().await;
    assert!(
        code == 4901 && after >= secs(5) && after < secs(5) + 2 * SOON,
        "{code} {after:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_that_cuts_ends_the_playback_at_its_expiry() {
    let cut = |grant: &mut Grant| {
        grant.expires = Some(UnixSeconds::new(NOW.get() + 10));
        grant.at_expiry = AtExpiry::Cut;
    };
    let mut rig = Rig::start(Setup {
        change: cut,
        ..Setup::default()
    });
    let (code, after) = rig.viewer_is_closed().await;
    assert!(
        code == 4903 && after >= secs(10) && after < secs(10) + 2 * SOON,
        "{code} {after:?}"
    );
    assert_eq!(rig.end().await.0.cause, Cause::Kicked(Kick::Expired));
}

#[tokio::test(start_paused = true)]
async fn a_cut_goes_along_with_a_clock_that_jumps() {
    let cut = |grant: &mut Grant| {
        grant.expires = Some(UnixSeconds::new(NOW.get() + 100));
        grant.at_expiry = AtExpiry::Cut;
    };
    let changes: [(fn(&mut Grant), _); 2] = [(cut, true), (|_| {}, false)];
    for (change, is_cut) in changes {
        for (ahead, back, rest) in [(90, 0, 10), (3_600, 0, 0), (0, 3_600, 3_700), (60, 50, 90)] {
            let (clock, hands) = Clock::by_hand(secs(NOW.get()));
            let mut rig = Rig::start(Setup {
                clock,
                change,
                // The viewer is asked for its pong, and else it may be silent for as long as it likes.
                silence: Silence::Always,
                settings: RelaySettings {
                    ping: secs(10_000),
                    ..SETTINGS
                },
                ..Setup::default()
            });
            rig.settle().await;
            hands.advance(secs(ahead));
            hands.set_back(secs(back));
            rig.sessions.clock_jumped();
            if is_cut {
                let (code, after) = rig.viewer_is_closed().await;
                assert_eq!(code, 4903, "{ahead} {back}");
                let soon = secs(rest)..secs(rest) + 2 * SOON;
                assert!(soon.contains(&after), "{ahead} {back} {after:?}");
            } else {
                rig.viewer_gets_nothing_for(secs(4_000)).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_viewer_that_shuts_down_its_direction_keeps_the_other_for_a_while() {
    let mut rig = Rig::start(Setup::default());
    rig.viewer.shutdown().await.unwrap();
    assert_eq!(
        rig.server.read(&mut [0]).await.unwrap(),
        0,
        "the end goes on"
    );
    rig.server_sends(opcode::BINARY, b"media").await;
    assert_eq!(rig.viewer_gets().await.unwrap().payload, b"media");
    let (end, after) = rig.end().await;
    assert_eq!((end.cause, end.closed), (Cause::ViewerGone, false));
    assert!(
        after >= SETTINGS.half_close && after < SETTINGS.half_close + 2 * SOON,
        "{after:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_after_its_viewer_did_ends_the_relay() {
    let mut rig = Rig::start(Setup::default());
    rig.viewer.shutdown().await.unwrap();
    rig.settle().await;
    rig.server.write_all(b"\x82\x01x").await.unwrap();
    rig.server.shutdown().await.unwrap();
    let (end, after, got) = ended(&mut rig).await;
    assert_eq!(
        (end.cause, got.as_slice()),
        (Cause::ViewerGone, &b"\x82\x01x"[..])
    );
    assert!(after < SOON);
}

#[tokio::test(start_paused = true)]
async fn a_viewer_that_vanishes_is_noticed_by_the_next_write() {
    let mut rig = Rig::start(Setup::default());
    rig.settle().await;
    let (dead, _) = tokio::io::duplex(1);
    drop(std::mem::replace(&mut rig.viewer, dead));
    rig.settle().await;
    rig.server_sends(opcode::BINARY, b"media").await;
    let (end, after) = rig.end().await;
    assert_eq!((end.cause, end.closed), (Cause::ViewerGone, false));
    assert!(after < SOON);
}

#[tokio::test(start_paused = true)]
async fn a_viewer_that_closes_and_vanishes_has_closed() {
    let mut rig = Rig::start(Setup::default());
    rig.viewer_sends(opcode::CLOSE, &close_payload(1001, ""))
        .await;
    let (dead, _) = tokio::io::duplex(1);
    drop(std::mem::replace(&mut rig.viewer, dead));
    rig.settle().await;
    rig.server_sends(opcode::BINARY, b"media").await;
    assert_eq!(rig.end().await.0.cause, Cause::ViewerClosed);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_reads_nothing_gets_no_goodbye_inside_a_frame() {
    let mut rig = Rig::start(Setup {
        server_room: 10,
        ..Setup::default()
    });
    rig.say(r#"{"eventType":"onPlay"}"#).await;
    rig.settle().await;
    rig.playing.end_in(Duration::ZERO, Kick::Operator);
    assert_eq!(rig.viewer_is_closed().await.0, 4901);
    rig.end().await;
    let mut got = Vec::new();
    rig.server.read_to_end(&mut got).await.unwrap();
    assert_eq!(got.len(), 10);
}

#[tokio::test(start_paused = true)]
async fn bytes_are_counted_in_both_directions() {
    let mut rig = Rig::start(Setup::default());
    rig.server_sends(opcode::BINARY, &[7; 1000]).await;
    rig.say(r#"{"eventType":"onPlay"}"#).await;
    let heard = rig.server_gets().await.unwrap().bytes.len() as u64;
    rig.server_sends(opcode::CLOSE, &close_payload(1000, ""))
        .await;
    let (end, _) = rig.end().await;
    assert_eq!((end.to_viewer, end.to_server), (1004, heard));
}

#[tokio::test(start_paused = true)]
async fn the_servers_connection_is_dropped_with_the_end_and_not_with_the_future() {
    let counting = |socket| Counting {
        socket,
        counts: Arc::default(),
    };
    let (viewer, gate_viewer) = tokio::io::duplex(1000);
    let (mut server, gate_server) = tokio::io::duplex(1000);
    let mut gate_viewer = counting(gate_viewer);
    let (_sessions, guard) = session(clock(), |_| {});
    let authority = Script {
        guard: &guard,
        granted: Vec::new(),
        log: Arc::default(),
    };
    let start = Start {
        viewer_early: Vec::new(),
        server_early: Vec::new(),
        opened: Instant::now(),
        silence: Silence::Never,
    };
    let relay = Relay::new(
        &mut gate_viewer,
        counting(gate_server),
        &guard,
        authority,
        &SETTINGS,
        start,
    );
    let mut run = pin!(relay.run());
    drop(viewer);
    run.as_mut().await;
    let mut got = Vec::new();
    server.read_to_end(&mut got).await.unwrap();
    assert!(server.write_all(b"x").await.is_err(), "nobody reads it");
}

#[tokio::test(start_paused = true)]
async fn a_viewers_close_that_must_not_be_sent_is_answered_by_the_gate_and_goes_no_further() {
    let wrong = [
        (vec![3], 1002),
        (close_payload(999, "x"), 1002),
        (close_payload(1005, ""), 1002),
        (close_payload(1006, ""), 1002),
        (close_payload(1015, "tls"), 1002),
        (close_payload(2999, ""), 1002),
        (close_payload(5000, ""), 1002),
        ([&[3, 232][..], b"\xff"].concat(), 1007),
        ([&[15, 160][..], b"ok \xed\xa0\x80"].concat(), 1007),
    ];
    for (payload, answer) in wrong {
        let mut rig = Rig::start(fresh());
        rig.viewer_sends(opcode::CLOSE, &payload).await;
        let (code, after) = rig.viewer_is_closed().await;
        assert!(code == answer && after < SOON, "{payload:?}: {code}");
        assert!(matches!(
            rig.end().await.0.cause,
            Cause::ViewerClosedWrongly(_)
        ));
        let goodbye = rig.server_gets().await.unwrap();
        assert_eq!((goodbye.opcode, goodbye.code()), (opcode::CLOSE, 1000));
        assert!(rig.server_gets().await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_viewers_close_that_may_be_sent_goes_up_as_it_is() {
    for payload in [
        vec![],
        close_payload(1000, "bye"),
        close_payload(1001, ""),
        close_payload(1012, ""),
        close_payload(3000, "\u{e9}"),
        close_payload(4999, &"x".repeat(123)),
    ] {
        let mut rig = Rig::start(Setup::default());
        rig.viewer_sends(opcode::CLOSE, &payload).await;
        assert_eq!(rig.server_gets().await.unwrap().payload, payload);
    }
}

#[tokio::test(start_paused = true)]
async fn a_servers_code_that_must_not_be_sent_does_not_go_back_to_it() {
    for code in [0, 999, 1004, 1005, 1006, 1015, 2000, 5000] {
        let mut rig = Rig::start(Setup::default());
        rig.server_sends(opcode::CLOSE, &close_payload(code, ""))
            .await;
        assert_eq!(rig.viewer_is_closed().await.0, code, "a wire");
        assert_eq!(rig.server_gets().await.unwrap().code(), 1002);
    }
}
