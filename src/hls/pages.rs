//! On which pages players have shown themselves by a WebSocket. On iOS a player's HLS tells no page at all (protocol.md 2), but
//! the WebSocket that it opens beside it does: a check that passed, or a playback of metadata alone. The HLS of the same
//! player inherits that page.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ipnet::IpNet;
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::request::client_address::ClientAddress;
use crate::session::lock;
use crate::session::place::Bind;
use crate::session::shares::Room;
use crate::token::Claims;

/// The longest page that is remembered, in bytes: no host has a longer name.
const LONGEST: usize = 253;

/// The pages that were shown. Checks that passed and requests that wait for one are counted like sessions: as many of all, of
/// one token and of one network. Sockets are sessions themselves.
#[derive(Debug)]
pub struct Pages {
    shown: Mutex<Shown>,
    time: Duration,
    patience: Duration,
    room: Room,
}

/// Half of a digest, so that what is kept has one small size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Half(u128);

/// A player at its address.
#[derive(Clone, Copy, Debug)]
pub struct Player {
    name: Half,
    network: IpNet,
}

/// A player with its token: what a page is found by.
#[derive(Clone, Copy, Debug)]
pub struct Viewer {
    name: Half,
    token: Half,
    network: IpNet,
}

/// What may not have all the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Share {
    Token(Half),
    Network(IpNet),
}

#[derive(Debug, Default)]
struct Shown {
    /// By their age: each number is larger than those before it.
    checks: BTreeMap<u64, Check>,
    /// The check of each viewer.
    of: HashMap<Half, u64>,
    shares: HashMap<Share, Held>,
    next: u64,
    sockets: HashMap<Half, Sockets>,
    waiting: HashMap<Half, Waiting>,
    waits: usize,
}

#[derive(Debug)]
struct Check {
    viewer: Viewer,
    page: Box<str>,
    until: Instant,
}

/// What one share has; a row stands as long as there is something in it.
#[derive(Debug, Default)]
struct Held {
    checks: BTreeSet<u64>,
    waits: usize,
}

/// The live sockets of one viewer.
#[derive(Debug)]
struct Sockets {
    page: Arc<str>,
    count: usize,
}

/// The requests that wait for the page of one viewer.
#[derive(Debug, Default)]
struct Waiting {
    told: Arc<Notify>,
    count: usize,
}

impl Half {
    fn of(parts: &[&[u8]]) -> Self {
        let mut digest = Sha256::new();
        for part in parts {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        let digest: [u8; 32] = digest.finalize().into();
        let (halves, _) = digest.as_chunks::<16>();
        Self(u128::from_be_bytes(
            halves.first().copied().unwrap_or_default(),
        ))
    }
}

impl Player {
    /// By its `pid` and its address. Without the one or the other nothing tells it from others.
    #[must_use]
    pub fn new(pid: &str, address: ClientAddress) -> Option<Self> {
        let ClientAddress::Known(address) = address else {
            return None;
        };
        (!pid.is_empty()).then(|| Self {
            name: Half::of(&[pid.as_bytes(), address.to_string().as_bytes()]),
            network: Bind::Prefix.net(address),
        })
    }

    /// With its token, by all that it says: its id alone could be in another one, too.
    #[must_use]
    pub fn with(self, claims: &Claims) -> Viewer {
        let grant = &claims.grant;
        let expires = grant.expires.map(|expires| expires.get().to_be_bytes());
        let token = Half::of(&[
            claims.key.as_str().as_bytes(),
            &expires.map_or(Vec::new(), Vec::from),
            grant.tag.as_str().as_bytes(),
            // They have been read from a token, so that they can be written.
            &grant.carried().unwrap_or_default(),
        ]);
        let Half(player) = self.name;
        let Half(of_token) = token;
        Viewer {
            name: Half::of(&[&player.to_be_bytes(), &of_token.to_be_bytes()]),
            token,
            network: self.network,
        }
    }
}

impl Viewer {
    fn shares(&self) -> [Share; 2] {
        [Share::Token(self.token), Share::Network(self.network)]
    }
}

impl Pages {
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

impl Shown {
    fn find(&self, name: Half, now: Instant) -> Option<String> {
        if let Some(sockets) = self.sockets.get(&name) {
            return Some(sockets.page.as_ref().to_owned());
        }
        let check = self.checks.get(self.of.get(&name)?)?;
        (now < check.until).then(|| check.page.as_ref().to_owned())
    }

    fn tell(&self, name: Half) {
        if let Some(waiting) = self.waiting.get(&name) {
            waiting.told.notify_waiters();
        }
    }

    /// All are remembered for the same time, so that the first one goes first.
    fn forget_before(&mut self, now: Instant) {
        while let Some((&number, check)) = self.checks.first_key_value()
            && check.until <= now
        {
            self.forget(number);
        }
    }

    fn forget_of(&mut self, name: Half) {
        if let Some(number) = self.of.get(&name) {
            self.forget(*number);
        }
    }

    fn forget(&mut self, number: u64) {
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
    fn make_room(&mut self, viewer: &Viewer, room: Room) {
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

    fn begin_waiting(&mut self, viewer: &Viewer, room: Room) -> Option<Arc<Notify>> {
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

    fn end_waiting(&mut self, viewer: &Viewer) {
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

    fn change(&mut self, share: Share, change: impl FnOnce(&mut Held)) {
        if let Some(held) = self.shares.get_mut(&share) {
            change(held);
            if held.waits == 0 && held.checks.is_empty() {
                self.shares.remove(&share);
            }
        }
    }
}

impl Share {
    fn most(self, room: Room) -> usize {
        match self {
            Self::Token(_) => room.of_token,
            Self::Network(_) => room.of_network,
        }
    }
}

/// The page of a live socket; forgotten on drop.
#[derive(Debug)]
pub struct OpenPage {
    pages: Arc<Pages>,
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
    pages: &'a Pages,
    viewer: Viewer,
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        lock(&self.pages.shown).end_waiting(&self.viewer);
    }
}

#[cfg(test)]
#[path = "pages_tests.rs"]
mod tests;
