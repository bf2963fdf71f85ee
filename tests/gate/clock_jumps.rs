//! A clock that jumps ends nothing that plays, unless its token says so: decisions use the new time from then on, and the
//! operator hears of it.

use h5gate::token::AtExpiry;

use crate::support::clock::MovedClock;
use crate::support::gate::{Gate, Setup, grant, mint};
use crate::support::hls::{ask, entry, outcome, play, server, upstream_of};
use crate::support::media_server::MediaServer;
use crate::support::until;
use crate::support::viewer::{Viewer, query};

const HOUR: i64 = 3600;
const YEAR: i64 = 365 * 24 * HOUR;

#[test]
fn what_plays_goes_on_and_new_decisions_use_the_new_time() {
    let (sockets, http) = (MediaServer::echo(), server());
    let clock = MovedClock::default();
    let gate = Gate::start(&Setup {
        servers: vec![sockets.address],
        upstream: &upstream_of(http.address),
        tables: "[client]\ntrusted_proxies = [\"127.0.0.1\"]\n",
        clock: Some(&clock),
        ..Setup::default()
    });
    let kept = grant("abcde-one");
    let mut cut = grant("abcde-one");
    cut.at_expiry = AtExpiry::Cut;
    let open = |token| Viewer::open(gate.playback, &query("abcde-one", &mint(token)), &[]);
    let [mut plays, mut is_cut] = [&kept, &cut].map(|token| {
        let mut viewer = open(token);
        assert_eq!(viewer.hear(), "hello");
        viewer
    });
    let (_, media, segments) = play(&gate, &entry(&kept, "1"));
    let (_, cut_media, _) = play(&gate, &entry(&cut, "1"));
    let mut goes_on = |gate: &Gate| {
        plays.say(r#"{"eventType":"onPlay"}"#);
        assert_eq!(plays.hear(), r#"echo:{"eventType":"onPlay"}"#);
        for path in [&media, &segments[0]] {
            assert_eq!(ask(gate, path).status, 200, "{path}");
        }
    };
    // Each is seen before the next one comes; the last one undoes the first.
    let jumps = [(-HOUR, "back"), (YEAR, "forward"), (-YEAR + HOUR, "back")];
    for (before, (by, direction)) in jumps.into_iter().enumerate() {
        clock.turn(by);
        until("the jump is counted", || {
            (gate.metric("h5gate_clock_jumps_total") == (before + 1) as f64).then_some(())
        });
        let warned = until("the warning", || {
            let log = gate.log();
            let mut jumps = log.into_iter().filter(|line| line["direction"].is_string());
            jumps.nth(before)
        });
        assert_eq!(warned["direction"], direction, "{warned}");
        assert_eq!(warned["level"], "WARN");
        goes_on(&gate);
        if direction == "forward" {
            assert_eq!(open(&kept).closed().0, 4903);
            assert_eq!(is_cut.closed().0, 4903);
            assert_eq!(outcome(&ask(&gate, &cut_media)), (403, 4903));
        } else {
            assert_eq!(open(&kept).hear(), "hello");
        }
    }
    // A cut that came too early, by a clock that was wrong, is none that is undone.
    assert_eq!(outcome(&ask(&gate, &cut_media)), (403, 4903));
}
