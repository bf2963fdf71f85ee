//! API keys are not found by trying: an address may try a few a second, and a back end behind it goes on.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::gate::{API_KEY, Gate, Setup};
use crate::support::media_server::MediaServer;
use crate::support::viewer::{Answer, request};

fn gate() -> Gate {
    Gate::start(&Setup {
        servers: vec![MediaServer::echo().address],
        tables: "[client]\ntrusted_proxies = [\"127.0.0.1\"]",
        ..Setup::default()
    })
}

fn mint(gate: SocketAddr, key: &str, address: &str) -> Answer {
    let headers = [
        &format!("X-BINTU-APIKEY: {key}"),
        &format!("X-Forwarded-For: {address}"),
        "Content-Type: application/json",
    ];
    request(
        gate,
        "POST",
        "/secure/token",
        &headers,
        r#"{"streamname":"abcde-one"}"#,
    )
}

/// Runs `during` while as many guesses come from `address` as can; how many keys were looked at, and in which time.
fn guessing(gate: &Gate, address: &str, during: impl FnOnce()) -> (usize, Duration) {
    let (over, looked_at, next) = (
        AtomicBool::new(false),
        AtomicUsize::new(0),
        AtomicUsize::new(0),
    );
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let guess = next.fetch_add(1, Ordering::Relaxed);
                    let answer = mint(gate.playback, &format!("guess-{guess}"), address);
                    match answer.status {
                        401 => looked_at.fetch_add(1, Ordering::Relaxed),
                        429 => {
                            assert!(
                                answer
                                    .head
                                    .to_ascii_lowercase()
                                    .contains("\r\nretry-after: ")
                            );
                            0
                        }
                        status => panic!("{status}"),
                    };
                }
            });
        }
        during();
        over.store(true, Ordering::Relaxed);
    });
    (looked_at.into_inner(), start.elapsed())
}

#[test]
fn an_address_tries_a_few_keys_a_second_and_others_mint() {
    let gate = gate();
    for address in ["192.0.2.1", "2001:db8::1"] {
        let mut minted = 0;
        let (looked_at, time) = guessing(&gate, address, || {
            let start = Instant::now();
            while start.elapsed() < Duration::from_secs(3) {
                let answer = mint(gate.playback, API_KEY, "198.51.100.7");
                assert_eq!(answer.status, 200, "{answer:?}");
                minted += 1;
            }
        });
        // Five a second; a second's worth at once, and what waits for two.
        let most = 5.0 * (time.as_secs_f64() + 3.0) + 2.0;
        assert!(looked_at as f64 <= most, "{looked_at} in {time:?}");
        assert!(looked_at >= 10 && minted > 10, "{looked_at}, {minted}");
    }
}

#[test]
fn a_back_end_goes_on_behind_an_address_that_others_guess_from() {
    let gate = gate();
    let address = "203.0.113.9";
    assert_eq!(mint(gate.playback, API_KEY, address).status, 200);
    guessing(&gate, address, || {
        let (start, mut took) = (Instant::now(), Vec::new());
        while start.elapsed() < Duration::from_secs(2) {
            let asked = Instant::now();
            assert_eq!(mint(gate.playback, API_KEY, address).status, 200);
            took.push(asked.elapsed());
        }
        // Those that wait, wait for two seconds; a busy machine may hold up one or the other.
        took.sort();
        let half = took[took.len() / 2];
        assert!(half < Duration::from_secs(1), "{half:?}");
    });
}

#[test]
fn a_back_end_that_is_new_behind_such_an_address_waits_for_the_end_of_the_guessing_and_no_longer() {
    let gate = gate();
    let address = "203.0.113.9";
    guessing(&gate, address, || {
        std::thread::sleep(Duration::from_secs(1));
    });
    let end = Instant::now();
    while mint(gate.playback, API_KEY, address).status != 200 {
        assert!(end.elapsed() < Duration::from_secs(5));
    }
}
