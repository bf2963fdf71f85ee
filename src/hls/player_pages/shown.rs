//! What is remembered of the pages that were shown, and of the requests that wait for one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::viewer::{Half, Share, Viewer};
use crate::session::shares::Room;

/// The tables.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// By their age: each number is larger than those before it.
    pub(super) checks: BTreeMap<u64, Check>,
    /// The check of each viewer.
    pub(super) of: HashMap<Half, u64>,
    pub(super) shares: HashMap<Share, Held>,
    pub(super) next: u64,
    pub(super) sockets: HashMap<Half, Sockets>,
    pub(super) waiting: HashMap<Half, Waiting>,
    pub(super) waits: usize,
}

/// A check that passed.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) viewer: Viewer,
    pub(super) page: Box<str>,
    pub(super) until: Instant,
}

/// What one share has; a row stands as long as there is something in it.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) checks: BTreeSet<u64>,
    pub(super) waits: usize,
}

/// The live sockets of one viewer.
#[derive(Debug)]
pub(super) struct Sockets {
    pub(super) page: Arc<str>,
    pub(super) count: usize,
}

/// The requests that wait for the page of one viewer.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    told: Arc<Notify>,
    pub(super) count: usize,
}

impl Shown {
    pub(super) fn find(&self, name: Half, now: Instant) -> Option<String> {
        if let Some(sockets) = self.sockets.get(&name) {
            return Some(sockets.page.as_ref().to_owned());
        }
        let check = self.checks.get(self.of.get(&name)?)?;
        (now < check.until).then(|| check.page.as_ref().to_owned())
    }

    pub(super) fn tell(&self, name: Half) {
        if let Some(waiting) = self.waiting.get(&name) {
            waiting.told.notify_waiters();
        }
    }

    /// All are remembered for the same time, so that the first one goes first.
    pub(super) fn forget_before(&mut self, now: Instant) {
        while let Some((&number, check)) = self.checks.first_key_value()
            && check.until <= now
        {
            self.forget(number);
        }
    }

    pub(super) fn forget_of(&mut self, name: Half) {
        if let Some(number) = self.of.get(&name) {
            self.forget(*number);
        }
    }

    pub(super) fn forget(&mut self, number: u64) {
        let Some(Check { viewer, .. }) = self.checks.remove(&number) else {
            return;
        };
        self.of.remove(&viewer.name);
        for share in viewer.shares() {
            self.change(share, |held| {
                held.checks.remove(&number);
            });
        }
    }

    /// Forgets the oldest check of a share that is full, and the oldest of all where there is no more room.
    pub(super) fn make_room(&mut self, viewer: &Viewer, room: Room) {
        for share in viewer.shares() {
            let held = self.shares.get(&share);
            let full = held.filter(|held| held.checks.len() >= share.most(room));
            if let Some(oldest) = full.and_then(|held| held.checks.first().copied()) {
                self.forget(oldest);
            }
        }
        if self.checks.len() >= room.all
            && let Some((&oldest, _)) = self.checks.first_key_value()
        {
            self.forget(oldest);
        }
    }

    pub(super) fn begin_waiting(&mut self, viewer: &Viewer, room: Room) -> Option<Arc<Notify>> {
        let has_room = |share: &Share| {
            let held = self.shares.get(share);
            held.is_none_or(|held| held.waits < share.most(room))
        };
        if self.waits >= room.all || !viewer.shares().iter().all(has_room) {
            return None;
        }
        self.waits += 1;
        for share in viewer.shares() {
            self.shares.entry(share).or_default().waits += 1;
        }
        let waiting = self.waiting.entry(viewer.name).or_default();
        waiting.count += 1;
        Some(Arc::clone(&waiting.told))
    }

    pub(super) fn end_waiting(&mut self, viewer: &Viewer) {
        self.waits -= 1;
        for share in viewer.shares() {
            self.change(share, |held| held.waits -= 1);
        }
        if let Some(waiting) = self.waiting.get_mut(&viewer.name) {
            waiting.count -= 1;
            if waiting.count == 0 {
                self.waiting.remove(&viewer.name);
            }
        }
    }

    pub(super) fn change(&mut self, share: Share, change: impl FnOnce(&mut Held)) {
        if let Some(held) = self.shares.get_mut(&share) {
            change(held);
            if held.waits == 0 && held.checks.is_empty() {
                self.shares.remove(&share);
            }
        }
    }
}
