//! On which pages players have shown themselves by a WebSocket. On iOS a player's HLS tells no page at all (protocol.md 2), but
//! the WebSocket that it opens beside it does: a check that passed, or a playback of metadata alone. The HLS of the same
//! player inherits that page.

mod shown;
pub mod viewer;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::session::lock;
use crate::session::shares::Room;
use crate::token::Claims;
use shown::{Check, Shown, Sockets};
use viewer::{Half, Player, Viewer};

/// The longest page that is remembered, in bytes: no host has a longer name.
const LONGEST: usize = 253;

/// The pages that were shown. Checks that passed and requests that wait for one are counted like sessions: as many of all, of
/// one token and of one network. Sockets are sessions themselves.
#[derive(Debug)]
pub struct PlayerPages {
    shown: Mutex<Shown>,
    time: Duration,
    patience: Duration,
    room: Room,
}

impl PlayerPages {
    /// A check counts for `time`, none where that is zero, and so does no socket then. A request waits for `patience`.
    #[must_use]
    pub fn new(time: Duration, patience: Duration, room: Room) -> Arc<Self> {
        Arc::new(Self {
            shown: Mutex::default(),
            time,
            patience,
            room,
        })
    }

    fn are_kept(&self, page: &str) -> bool {
        !self.time.is_zero() && page.len() <= LONGEST
    }

    /// A viewer's check has passed on this page.
    pub fn checked(&self, viewer: Viewer, page: &str) {
        if !self.are_kept(page) {
            return;
        }
        let now = Instant::now();
        let mut shown = lock(&self.shown);
        shown.forget_before(now);
        shown.forget_of(viewer.name);
        shown.make_room(&viewer, self.room);
        let number = shown.next;
        shown.next += 1;
        shown.of.insert(viewer.name, number);
        for share in viewer.shares() {
            shown.shares.entry(share).or_default().checks.insert(number);
        }
        let check = Check {
            viewer,
            page: page.into(),
            until: now + self.time,
        };
        shown.checks.insert(number, check);
        shown.tell(viewer.name);
    }

    /// A player's socket has opened on this page, with no token yet.
    #[must_use]
    pub fn open(self: &Arc<Self>, player: Player, page: &str) -> Option<OpenPage> {
        self.are_kept(page).then(|| OpenPage {
            pages: Arc::clone(self),
            player,
            page: page.into(),
            name: None,
        })
    }

    /// The page that a viewer has shown itself on.
    #[must_use]
    pub fn find(&self, viewer: &Viewer) -> Option<String> {
        lock(&self.shown).find(viewer.name, Instant::now())
    }

    /// Waits for a viewer's page; whether there is one now. A request that finds no place to wait does not. Cancel safe.
    pub async fn wait(&self, viewer: Viewer) -> bool {
        if self.time.is_zero() || self.patience.is_zero() {
            return false;
        }
        let told = {
            let mut shown = lock(&self.shown);
            if shown.find(viewer.name, Instant::now()).is_some() {
                return true;
            }
            match shown.begin_waiting(&viewer, self.room) {
                // Made under the lock under which it is told: it misses nothing.
                Some(told) => told.notified_owned(),
                None => return false,
            }
        };
        let _waiter = Waiter {
            pages: self,
            viewer,
        };
        let _ = timeout(self.patience, told).await;
        self.find(&viewer).is_some()
    }

    /// Forgets the checks whose time is over. To be called now and then.
    pub fn sweep(&self) {
        lock(&self.shown).forget_before(Instant::now());
    }
}

/// The page of a live socket; forgotten on drop.
#[derive(Debug)]
pub struct OpenPage {
    pages: Arc<PlayerPages>,
    player: Player,
    page: Arc<str>,
    name: Option<Half>,
}

impl OpenPage {
    /// The socket plays by this token from here on, and by no other.
    pub fn use_token(&mut self, claims: &Claims) {
        let Viewer { name, .. } = self.player.with(claims);
        if self.name == Some(name) {
            return;
        }
        self.leave();
        let mut shown = lock(&self.pages.shown);
        let sockets = shown.sockets.entry(name).or_insert_with(|| Sockets {
            page: Arc::clone(&self.page),
            count: 0,
        });
        sockets.count += 1;
        shown.tell(name);
        self.name = Some(name);
    }

    fn leave(&mut self) {
        let Some(name) = self.name.take() else {
            return;
        };
        let mut shown = lock(&self.pages.shown);
        if let Some(sockets) = shown.sockets.get_mut(&name) {
            sockets.count -= 1;
            if sockets.count == 0 {
                shown.sockets.remove(&name);
            }
        }
    }
}

impl Drop for OpenPage {
    fn drop(&mut self) {
        self.leave();
    }
}

/// A request that waits, counted until it is dropped.
struct Waiter<'a> {
    pages: &'a PlayerPages,
    viewer: Viewer,
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        lock(&self.pages.shown).end_waiting(&self.viewer);
    }
}

#[cfg(test)]
#[path = "player_pages_tests.rs"]
mod tests;
