//! The revocations of a gate: read by each decision, changed by the operator.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::decision::revocation::{Revocation, RevocationId, Revocations, Target};
use crate::token::{Owner, UnixSeconds};

/// All revocations, and the name of the next one. A decision reads them as they are at one moment, without waiting; what changes
/// them may wait for a store that several gates share.
#[derive(Debug)]
pub struct RevocationStore {
    all: RwLock<Arc<Revocations>>,
    next: AtomicU64,
}

impl Default for RevocationStore {
    fn default() -> Self {
        Self {
            all: RwLock::default(),
            next: AtomicU64::new(1),
        }
    }
}

impl RevocationStore {
    /// The revocations of this moment.
    #[must_use]
    pub fn current(&self) -> Arc<Revocations> {
        Arc::clone(&self.all.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes back the tokens of `target` that were issued until `now`. A session that opens meanwhile has to look at the
    /// revocations once more when it is in the list of sessions.
    pub async fn add(
        &self,
        owner: Owner,
        target: Target,
        ends: Option<UnixSeconds>,
        now: UnixSeconds,
    ) -> Revocation {
        let revocation = Revocation {
            id: RevocationId(self.next.fetch_add(1, Ordering::Relaxed)),
            owner,
            target,
            issued_until: now,
            ends,
        };
        self.change(|all| all.add(revocation.clone(), now));
        revocation
    }

    /// Lifts a revocation; whether it was there.
    pub async fn lift(&self, id: RevocationId) -> bool {
        self.change(|all| all.lift(id))
    }

    /// What has to outlive this process: the number of the next revocation, which is behind those of all, and all of them.
    #[must_use]
    pub fn snapshot(&self) -> (u64, Arc<Revocations>) {
        let all = self.current();
        (self.next.load(Ordering::Relaxed), all)
    }

    /// Takes over what the process before has left: the number of its next revocation, and all of them. Those that are over by a
    /// clock that may be wrong at a start are among them.
    pub fn restore(&self, next: u64, all: Vec<Revocation>) {
        let behind = |one: &Revocation| one.id.0.saturating_add(1);
        let next = all.iter().map(behind).fold(next.max(1), u64::max);
        self.next.store(next, Ordering::Relaxed);
        self.change(|shared| *shared = Revocations::of(all));
    }

    fn change<T>(&self, change: impl FnOnce(&mut Revocations) -> T) -> T {
        let mut shared = self.all.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut shared))
    }
}
