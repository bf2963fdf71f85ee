use super::*;
use crate::load::end::{Failure, Loss};

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[test]
fn quantiles_are_right_to_three_digits_and_the_longest_is_there() {
    let mut times = Times::default();
    assert_eq!(
        (times.count(), times.quantile(0.5), times.max()),
        (0, None, None)
    );
    for time in 1..=1000 {
        times.record(ms(time));
    }
    for (share, expected) in [(0.5, 500), (0.9, 900), (0.99, 990), (1.0, 1000)] {
        let found = times.quantile(share).unwrap();
        let expected = ms(expected);
        assert!(
            found >= expected && found < expected.mul_f64(1.002),
            "{share}: {found:?}"
        );
    }
    times.record(Duration::from_secs(3600));
    assert_eq!(times.max(), Some(Duration::from_secs(3600)));
    assert!(
        times.quantile(1.0).unwrap() >= Duration::from_secs(900),
        "too long counts as the longest"
    );
    assert_eq!(times.count(), 1001);
}

#[test]
fn the_counts_of_all_workers_add_up() {
    let one = |code, began, handshake| {
        let mut tally = Tally {
            started: 2,
            served: 1,
            failed: 1,
            frames: 10,
            ..Tally::default()
        };
        tally.verdict(ms(began), ms(began + 500), true);
        tally.verdict(ms(began), ms(began + 9000), false);
        tally.end(End::Refused(code));
        tally.end(End::Failed(Failure::Status(503)));
        tally.end(End::Lost(Loss::Code(1006)));
        tally.end(End::Played);
        tally.handshake.record(ms(handshake));
        tally.stall(Some(ms(handshake)));
        tally.stall(None);
        tally
    };
    let mut all = Tally::default();
    all.add(&one(4901, 1000, 3));
    all.add(&one(4903, 1500, 7));
    assert_eq!(
        (all.started, all.served, all.failed, all.frames),
        (4, 2, 2, 20)
    );
    assert_eq!(all.refused, BTreeMap::from([(4901, 1), (4903, 1)]));
    assert_eq!(all.failures, BTreeMap::from([("http_503".to_owned(), 2)]));
    assert_eq!(all.lost, BTreeMap::from([("1006".to_owned(), 2)]));
    assert_eq!((all.stalls, all.longest_stall), (2, ms(7)));
    assert_eq!(
        (all.handshake.count(), all.handshake.max()),
        (2, Some(ms(7)))
    );
    // Two verdicts from 1 s to 2 s.
    assert!((all.connects_per_second() - 2.0).abs() < 1e-9);
}

#[test]
fn all_are_served_when_nobody_failed_and_somebody_played() {
    let tally = |started, served, unfinished| Tally {
        started,
        served,
        unfinished,
        ..Tally::default()
    };
    assert!(tally(3, 3, 0).all_served(false));
    assert!(!tally(3, 2, 0).all_served(false), "one failed");
    assert!(!tally(3, 2, 1).all_served(false), "one waited in vain");
    assert!(tally(3, 2, 1).all_served(true), "one was cut short");
    assert!(!tally(3, 2, 0).all_served(true));
    assert!(!tally(0, 0, 0).all_served(true), "no viewer");
}
