use tokio::time::sleep;

use super::*;
use crate::request::client_address::ClientAddress;
use crate::token::{Grant, Scope, TokenId, UnixSeconds};

const TIME: Duration = Duration::from_secs(30);
const WAIT: Duration = Duration::from_secs(1);

fn address(last: u8) -> ClientAddress {
    ClientAddress::Known([192, 0, last, 1].into())
}

/// Of a token of this name.
fn claims(token: &str) -> Claims {
    let mut id = [0; 16];
    id[..token.len()].copy_from_slice(token.as_bytes());
    let scope = Scope::stream("abcde-one".parse().unwrap());
    Claims {
        key: "k1".parse().unwrap(),
        owner: "abcde".parse().unwrap(),
        grant: Grant::new(TokenId::new(id), UnixSeconds::new(1), scope),
    }
}

fn viewer(token: &str, pid: &str, network: u8) -> Viewer {
    let player = Player::new(pid, address(network)).unwrap();
    player.with(&claims(token))
}

fn room() -> Room {
    Room {
        all: 8,
        of_token: 3,
        of_network: 3,
    }
}

/// Nothing is left of what was there.
fn is_empty(pages: &PlayerPages) -> bool {
    let shown = lock(&pages.shown);
    shown.checks.is_empty()
        && shown.of.is_empty()
        && shown.shares.is_empty()
        && shown.sockets.is_empty()
        && shown.waiting.is_empty()
        && shown.waits == 0
}

#[tokio::test(start_paused = true)]
async fn a_check_counts_for_its_time_from_the_last_one_on() {
    let pages = PlayerPages::new(TIME, WAIT, room());
    let one = viewer("token", "1", 1);
    pages.checked(one, "page.test");
    sleep(TIME - WAIT).await;
    assert_eq!(pages.find(&one).as_deref(), Some("page.test"));
    pages.checked(one, "page.test");
    sleep(TIME - WAIT).await;
    assert!(pages.find(&one).is_some());
    sleep(WAIT).await;
    assert_eq!(pages.find(&one), None);
    pages.sweep();
    assert!(is_empty(&pages));
}

#[tokio::test(start_paused = true)]
async fn a_share_forgets_its_own_oldest_and_no_more_is_kept_than_there_is_room_for() {
    let pages = PlayerPages::new(TIME, WAIT, room());
    let kept = viewer("kept", "1", 1);
    pages.checked(kept, "page.test");
    for number in 0..100_u8 {
        pages.checked(viewer("one", "1", 100 + number), "page.test");
        let token = format!("token {number}");
        pages.checked(viewer(&token, "1", 2), "page.test");
        let shown = lock(&pages.shown);
        assert!(shown.checks.len() <= 8 && shown.of.len() == shown.checks.len());
        assert!(shown.shares.len() <= 16, "{}", shown.shares.len());
    }
    assert!(pages.find(&kept).is_some());
    let last = [97, 98, 99].map(|number: u8| viewer("one", "1", 100 + number));
    assert!(last.iter().all(|one| pages.find(one).is_some()));
    assert!(pages.find(&viewer("one", "1", 196)).is_none());
    // All of them: the oldest of all goes.
    for number in 0..8_u8 {
        pages.checked(
            viewer(&format!("all {number}"), "1", number + 10),
            "page.test",
        );
    }
    assert!(pages.find(&kept).is_none());
    sleep(TIME).await;
    pages.sweep();
    assert!(is_empty(&pages));
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_with_the_page_or_its_time_and_leaves_nothing() {
    let pages = PlayerPages::new(TIME, WAIT, room());
    let one = viewer("token", "1", 1);
    let begun = Instant::now();
    assert!(!pages.wait(one).await);
    assert_eq!(begun.elapsed(), WAIT);
    let half = WAIT / 2;
    let told = async {
        sleep(half).await;
        pages.checked(viewer("token", "2", 1), "page.test");
        sleep(half / 2).await;
        pages.checked(one, "page.test");
    };
    let (came, ()) = tokio::join!(pages.wait(one), told);
    assert!(came);
    assert_eq!(begun.elapsed(), WAIT + half + half / 2);
    // One that is given up leaves its place.
    let given_up = timeout(half, pages.wait(viewer("token", "3", 1))).await;
    assert!(given_up.is_err());
    sleep(TIME).await;
    pages.sweep();
    assert!(is_empty(&pages));
}

#[test]
fn a_page_that_comes_the_moment_a_wait_begins_ends_it() {
    // Far longer than a test may take.
    let patience = Duration::from_secs(20);
    let one = viewer("token", "1", 1);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    for _ in 0..500 {
        let pages = PlayerPages::new(TIME, patience, room());
        let check = || {
            while lock(&pages.shown).waits == 0 {
                std::hint::spin_loop();
            }
            pages.checked(one, "page.test");
        };
        std::thread::scope(|scope| {
            scope.spawn(check);
            let begun = Instant::now();
            assert!(runtime.block_on(pages.wait(one)));
            assert!(begun.elapsed() < patience, "it was missed");
        });
    }
}

#[tokio::test(start_paused = true)]
async fn so_many_wait_and_no_more() {
    let pages = PlayerPages::new(TIME, WAIT, room());
    let begun = Instant::now();
    let of_token = (0..10_u8).map(|number| pages.wait(viewer("token", "1", number)));
    let of_network = (0..10_u8).map(|number| {
        let viewer = viewer(&format!("{number}"), "1", 50);
        pages.wait(viewer)
    });
    let others = (0..10_u8).map(|number| {
        let viewer = viewer(&format!("other {number}"), "1", 100 + number);
        pages.wait(viewer)
    });
    let counted = async {
        tokio::task::yield_now().await;
        lock(&pages.shown).waits
    };
    let all = futures_util::future::join_all(of_token.chain(of_network).chain(others));
    let (came, waits) = tokio::join!(all, counted);
    assert_eq!(waits, 8);
    assert!(came.iter().all(|came| !came));
    assert_eq!(begun.elapsed(), WAIT);
    assert!(is_empty(&pages));
}

#[tokio::test(start_paused = true)]
async fn a_socket_tells_its_page_for_one_token_at_a_time() {
    let pages = PlayerPages::new(TIME, WAIT, room());
    let player = Player::new("1", address(1)).unwrap();
    let [one, two] = ["one", "two"].map(|token| player.with(&claims(token)));
    let mut sockets = [(); 2].map(|()| pages.open(player, "page.test").unwrap());
    assert!(pages.find(&one).is_none());
    for socket in &mut sockets {
        socket.use_token(&claims("one"));
        socket.use_token(&claims("one"));
    }
    sleep(TIME * 2).await;
    let [first, mut second] = sockets;
    drop(first);
    assert!(pages.find(&one).is_some());
    second.use_token(&claims("two"));
    assert!(pages.find(&one).is_none() && pages.find(&two).is_some());
    drop(second);
    assert!(is_empty(&pages));
}

#[tokio::test(start_paused = true)]
async fn what_is_off_or_no_host_is_not_kept() {
    let player = Player::new("1", address(1)).unwrap();
    let off = PlayerPages::new(Duration::ZERO, WAIT, room());
    let begun = Instant::now();
    off.checked(player.with(&claims("token")), "page.test");
    assert!(off.open(player, "page.test").is_none());
    assert!(!off.wait(player.with(&claims("token"))).await);
    let on = PlayerPages::new(TIME, WAIT, room());
    on.checked(player.with(&claims("token")), &"a.".repeat(127));
    assert!(is_empty(&off) && is_empty(&on));
    assert!(begun.elapsed().is_zero());
    assert!(Player::new("", address(1)).is_none());
    assert!(Player::new("1", ClientAddress::Unknown).is_none());
}
