//! No signal that means nothing to the gate ends it.

use crate::support::gate::Gate;
use crate::support::media_server::MediaServer;
use crate::support::viewer::get;
use crate::support::{playing, until};
use rustix::process::Signal;

#[test]
fn signals_that_mean_nothing_are_noted_and_harm_nobody() {
    let gate = Gate::before(MediaServer::echo().address);
    let mut viewer = playing(&gate, "abcde-one");
    let named = [
        Signal::USR1,
        Signal::PIPE,
        Signal::ALARM,
        Signal::VTALARM,
        Signal::PROF,
        Signal::IO,
        Signal::POWER,
        Signal::STKFLT,
        Signal::XFSZ,
    ];
    let real_time = [34, 35, 50, 63];
    let numbers = named.map(Signal::as_raw);
    for (sent, number) in numbers.into_iter().chain(real_time).enumerate() {
        gate.signal_number(number);
        until(&format!("a note of signal {number}"), || {
            let log = gate.log();
            let noted = log
                .iter()
                .filter(|line| line["message"] == "a signal that means nothing");
            (noted.count() > sent).then_some(())
        });
        assert_eq!(get(gate.admin, "/healthz", &[]).status, 200, "{number}");
    }
    viewer.say(r#"{"eventType":"onPlay"}"#);
    assert_eq!(viewer.hear(), r#"echo:{"eventType":"onPlay"}"#);
}

#[test]
fn a_gate_that_drains_is_harmed_as_little() {
    let mut gate = Gate::before(MediaServer::echo().address);
    // They are sent away one after the other, over minutes.
    let _viewers: Vec<_> = (0..20).map(|_| playing(&gate, "abcde-one")).collect();
    gate.signal(Signal::TERM);
    gate.logged("draining");
    for signal in [Signal::USR1, Signal::HUP, Signal::ALARM, Signal::USR2] {
        gate.signal(signal);
        assert_eq!(get(gate.admin, "/healthz", &[]).status, 200, "{signal:?}");
    }
    gate.signal(Signal::TERM);
    assert!(gate.ended().success());
}
