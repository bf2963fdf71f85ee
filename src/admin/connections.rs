//! How many connections the operator's side has at once.
//!
//! A connection is a stranger's until it has shown the token. Strangers and known peers each have room of their own, and
//! where that is full a newcomer takes the place of the oldest: so connections that do nothing can keep neither a probe for
//! health nor the operator out, however many they are.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Room for strangers and room for known peers.
#[derive(Debug)]
pub(super) struct Connections {
    rooms: Mutex<Rooms>,
    /// Connections in each room.
    most: usize,
}

#[derive(Debug, Default)]
struct Rooms {
    next: u64,
    strangers: VecDeque<Guest>,
    known: VecDeque<Guest>,
}

/// A connection; in its room the oldest comes first.
#[derive(Debug)]
struct Guest {
    id: u64,
    leave: CancellationToken,
}

/// One connection's slot, given back on drop.
#[derive(Debug)]
pub(super) struct Slot {
    id: u64,
    leave: CancellationToken,
    connections: Arc<Connections>,
}

impl Connections {
    /// Room for `most` connections of each kind.
    pub(super) fn new(most: usize) -> Arc<Self> {
        let rooms = Mutex::default();
        Arc::new(Self { rooms, most })
    }

    /// Lets a stranger in; where there are too many the oldest has to leave.
    pub(super) fn enter(self: &Arc<Self>) -> Slot {
        let leave = CancellationToken::new();
        let mut rooms = self.rooms();
        let id = rooms.next;
        rooms.next += 1;
        let guest = Guest {
            id,
            leave: leave.clone(),
        };
        put(&mut rooms.strangers, guest, self.most);
        drop(rooms);
        Slot {
            id,
            leave,
            connections: Arc::clone(self),
        }
    }

    fn rooms(&self) -> MutexGuard<'_, Rooms> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// The connection has shown the token.
    pub(super) fn show_token(&self) {
        let mut rooms = self.connections.rooms();
        if let Some(guest) = take(&mut rooms.strangers, self.id) {
            put(&mut rooms.known, guest, self.connections.most);
        }
    }

    /// Waits until the connection has to end: others want its slot, or it has been a stranger for `patience`.
    pub(super) async fn is_over(&self, patience: Duration) {
        let too_long = async {
            sleep(patience).await;
            if !self
                .connections
                .rooms()
                .strangers
                .iter()
                .any(|guest| guest.id == self.id)
            {
                pending::<()>().await;
            }
        };
        tokio::select! {
            () = self.leave.cancelled() => {}
            () = too_long => {}
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut rooms = self.connections.rooms();
        let rooms = &mut *rooms;
        for room in [&mut rooms.strangers, &mut rooms.known] {
            take(room, self.id);
        }
    }
}

fn take(room: &mut VecDeque<Guest>, id: u64) -> Option<Guest> {
    let index = room.iter().position(|guest| guest.id == id)?;
    room.remove(index)
}

fn put(room: &mut VecDeque<Guest>, guest: Guest, most: usize) {
    room.push_back(guest);
    while room.len() > most
        && let Some(oldest) = room.pop_front()
    {
        oldest.leave.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has_to_leave(slot: &Slot) -> bool {
        slot.leave.is_cancelled()
    }

    #[test]
    fn the_oldest_stranger_makes_way_and_a_known_peer_does_not() {
        let connections = Connections::new(2);
        let known = connections.enter();
        known.show_token();
        known.show_token();
        let strangers: Vec<_> = (0..5).map(|_| connections.enter()).collect();
        assert!(!has_to_leave(&known));
        let left: Vec<_> = strangers.iter().map(has_to_leave).collect();
        assert_eq!(left, [true, true, true, false, false]);
        drop(strangers);
        let rooms = connections.rooms();
        assert_eq!((rooms.strangers.len(), rooms.known.len()), (0, 1));
        drop(rooms);
    }

    #[test]
    fn known_peers_make_way_for_known_peers() {
        let connections = Connections::new(2);
        let known: Vec<_> = (0..3)
            .map(|_| connections.enter())
            .inspect(Slot::show_token)
            .collect();
        let left: Vec<_> = known.iter().map(has_to_leave).collect();
        assert_eq!(left, [true, false, false]);
        let _stranger = connections.enter();
        assert!(!has_to_leave(&known[1]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stranger_has_to_leave_in_time_and_a_known_peer_does_not() {
        let (connections, patience) = (Connections::new(2), Duration::from_secs(10));
        let (stranger, known) = (connections.enter(), connections.enter());
        known.show_token();
        let start = tokio::time::Instant::now();
        tokio::select! {
            () = known.is_over(patience) => panic!("it may stay"),
            () = stranger.is_over(patience) => assert_eq!(start.elapsed(), patience),
        }
    }
}
