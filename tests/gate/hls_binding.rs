//! A ticket travels in URLs. Who else has one gets no further than the playback's place (`hls.bind_address`) and the claims
//! of its token say.

use crate::support::clock::MovedClock;
use crate::support::gate::grant;
use crate::support::hls::{
    HERE, ask, ask_from, entry, gate_by, gate_with, links, outcome, play, server,
};
use crate::support::viewer::get;

/// In the viewer's /24, and outside of it.
const NEAR: &str = "192.0.2.2";
const FAR: &str = "198.51.100.1";

#[test]
fn past_the_expiry_a_playback_goes_on_where_it_is_bound_to_and_nowhere_else() {
    let server = server();
    let clock = MovedClock::default();
    let gates = ["exact", "prefix", "off"].map(|bind| {
        let hls = format!("[hls]\nbind_address = \"{bind}\"");
        let gate = gate_by(&clock, server.address, &hls);
        (bind, gate)
    });
    let short = clock.expiring();
    let entry = entry(&short, "1");
    let playing = gates.map(|(bind, gate)| {
        let (_, media, segments) = play(&gate, &entry);
        (bind, gate, [media, segments[0].clone(), entry.clone()])
    });
    clock.pass(&short);
    for (bind, gate, paths) in &playing {
        let (near, far) = match *bind {
            "exact" => (false, false),
            "prefix" => (true, false),
            _ => (true, true),
        };
        for path in paths {
            for (address, may) in [(NEAR, near), (FAR, far)] {
                let answer = ask_from(gate, address, path);
                if may {
                    assert_eq!(answer.status, 200, "{bind} {address} {path}");
                } else {
                    assert_eq!(outcome(&answer), (403, 4903), "{bind} {address} {path}");
                }
            }
            assert_eq!(ask(gate, path).status, 200, "{bind}: the viewer itself");
        }
        assert_eq!(gate.metric("h5gate_sessions"), 1.0, "{bind}");
    }
}

#[test]
fn a_return_is_judged_by_the_page_that_it_comes_from() {
    const HOME: &str = "Referer: https://page.test/live";
    const AWAY: &str = "Referer: https://other.test/live";
    let server = server();
    let gate = gate_with(server.address, "[hls]\nsession_idle = \"1s\"");
    let with = |path: &str, field: &str| get(gate.playback, path, &[HERE, field]);
    let mut bound = grant("abcde-one");
    bound.referers = vec!["page.test".parse().unwrap()];
    let entry = entry(&bound, "1");
    assert_eq!(outcome(&with(&entry, AWAY)), (403, 4901));
    let multi = with(&entry, HOME);
    let media = links(&entry, &multi.body).remove(0);
    let text = with(&media, HOME);
    let segment = links(&media, &text.body).remove(0);
    // While it plays nothing of it is looked at: some players say it with no segment.
    assert_eq!(ask(&gate, &segment).status, 200);

    gate.logged("playback ended");
    for path in [&media, &segment, &entry] {
        assert_eq!(outcome(&with(path, AWAY)), (403, 4901), "{path}");
        assert_eq!(outcome(&ask(&gate, path)), (403, 4901), "{path}");
    }
    assert_eq!(gate.metric("h5gate_sessions"), 0.0);
    assert_eq!(with(&media, HOME).status, 200);
    assert_eq!(gate.metric("h5gate_sessions"), 1.0);
}
