use super::*;
use crate::session::Transport;

const ONE: NonZeroU16 = NonZeroU16::MIN;

fn at(place: u8) -> At {
    At {
        address: ClientAddress::Known([192, 0, place, 1].into()),
        bind: Bind::Prefix,
    }
}

fn sitting(session: u128, player: u64, at: At) -> Sitting {
    let presence = Arc::new(Presence::new(Transport::Hls, Instant::now()));
    let asking = Asking {
        session: SessionId::new(session << 48),
        player: Some(PlayerName(player)),
        delivery: Delivery::Media,
        presence: &presence,
    };
    Sitting::new(asking, at)
}

fn take(
    row: &mut Row,
    limit: NonZeroU16,
    session: u128,
    player: u64,
    at: At,
) -> Result<Option<Older>, NoSeat> {
    row.take(limit, sitting(session, player, at), at, Instant::now())
}

fn leave(row: &mut Row, session: u128) {
    row.leave(SessionId::new(session << 48));
}

#[tokio::test(start_paused = true)]
async fn a_seat_moves_when_its_viewer_is_gone_and_not_for_ever() {
    let mut row = Row::default();
    let mut turns = Vec::new();
    for turn in 0..100 {
        let place = at(turn % 8);
        // Each begins anew, takes what it wants, and the one before has ended by then.
        for tries in 0..3_u8 {
            let session = u128::from(turn) * 3 + u128::from(tries) + 1;
            match take(&mut row, ONE, session, 7, place) {
                Ok(_) => turns.push(turn % 8),
                Err(why) if tries == 0 && turns.len() < 5 => assert_eq!(why, NoSeat::Elsewhere),
                Err(_) => {}
            }
            row.sitting.retain(|one| !one.leaving);
            if tries == 0 {
                tokio::time::advance(Duration::from_millis(3_600)).await;
            }
        }
        if turn == 8 {
            break;
        }
    }
    turns.dedup();
    // The first one, and as many moves as a session has; the last one keeps the seat.
    assert_eq!(turns, [0, 1, 2, 3, 4]);
    // One player that builds URL after URL at one place is no crowd.
    let mut row = Row::default();
    for turn in 0..100 {
        assert!(take(&mut row, ONE, turn, 7, at(1)).is_ok());
        row.sitting.retain(|one| !one.leaving);
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_from_elsewhere_ends_nobody_who_is_there() {
    let two = NonZeroU16::new(2).unwrap();
    let mut row = Row::default();
    assert_eq!(take(&mut row, two, 1, 7, at(1)), Ok(None));
    // A seat of its own, while there is one.
    assert_eq!(take(&mut row, two, 2, 7, at(2)), Ok(None));
    assert_eq!(take(&mut row, two, 3, 7, at(3)), Err(NoSeat::Elsewhere));
    assert_eq!(take(&mut row, two, 4, 8, at(3)), Err(NoSeat::Full(two)));
    assert!(row.sitting.iter().all(|one| !one.leaving));
    let older = take(&mut row, two, 5, 7, at(2)).unwrap().unwrap();
    assert_eq!(older.session, SessionId::new(2 << 48), "of its own place");
}

#[tokio::test(start_paused = true)]
async fn viewers_whose_addresses_are_unknown_share_no_seat() {
    let nowhere = |bind| At {
        address: ClientAddress::Unknown,
        bind,
    };
    for bind in [Bind::Exact, Bind::Prefix] {
        let mut row = Row::default();
        assert_eq!(take(&mut row, ONE, 1, 7, nowhere(bind)), Ok(None));
        for session in 2..8 {
            let full = Err(NoSeat::Full(ONE));
            assert_eq!(take(&mut row, ONE, session, 7, nowhere(bind)), full);
            assert_eq!(take(&mut row, ONE, session, 7, at(1)), full);
        }
    }
    let mut row = Row::default();
    assert_eq!(take(&mut row, ONE, 1, 7, nowhere(Bind::Off)), Ok(None));
    assert!(take(&mut row, ONE, 2, 7, nowhere(Bind::Off)).is_ok());
}

#[tokio::test(start_paused = true)]
async fn who_finds_no_seat_ends_nobody_and_frees_none() {
    let three = NonZeroU16::new(3).unwrap();
    let mut row = Row::default();
    for viewer in 1_u64..=3 {
        let taken = take(&mut row, three, viewer.into(), viewer, at(1));
        assert_eq!(taken, Ok(None));
    }
    // The same user's other token has one seat alone, by the name of a player that sits here.
    let narrow = take(&mut row, ONE, 4, 1, at(1));
    assert_eq!(narrow, Err(NoSeat::Full(ONE)));
    let fourth = take(&mut row, three, 5, 5, at(1));
    assert_eq!(fourth, Err(NoSeat::Full(three)));
    leave(&mut row, 2);
    assert!(take(&mut row, three, 5, 5, at(1)).is_ok());
}
