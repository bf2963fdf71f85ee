//! The system's randomness, drawn in bulk: a system call for every name, nonce and mask would be a good part of what a
//! connect costs.

use std::cell::RefCell;

/// How much is drawn at once; also the most that is handed out at once.
const DRAW_BYTES: usize = 512;

/// What a thread has drawn and not used yet.
struct Drawn {
    bytes: [u8; DRAW_BYTES],
    used: usize,
}

thread_local! {
    static DRAWN: RefCell<Drawn> = const {
        RefCell::new(Drawn {
            bytes: [0; DRAW_BYTES],
            used: DRAW_BYTES,
        })
    };
}

/// `N` random bytes, at most 512, each handed out once; `None` when the system has none.
#[must_use]
pub fn bytes<const N: usize>() -> Option<[u8; N]> {
    const { assert!(N <= DRAW_BYTES) };
    DRAWN.with_borrow_mut(|drawn| {
        if drawn.used + N > DRAW_BYTES {
            getrandom::fill(&mut drawn.bytes).ok()?;
            drawn.used = 0;
        }
        let fresh = drawn.bytes.get_mut(drawn.used..drawn.used + N)?;
        let taken = <[u8; N]>::try_from(&*fresh).ok()?;
        // Bytes that were handed out may be a secret by now.
        fresh.fill(0);
        drawn.used += N;
        Some(taken)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_bytes_are_handed_out_twice() {
        let names: Vec<_> = (0..1000).map(|_| bytes::<16>().unwrap()).collect();
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
        // An odd size moves what follows across the draws.
        let odd: HashSet<_> = (0..1000).map(|_| bytes::<13>().unwrap()).collect();
        assert_eq!(odd.len(), 1000);
        assert!(!odd.contains(&[0; 13]));
    }

    #[test]
    fn threads_draw_their_own() {
        let mine = bytes::<32>().unwrap();
        let theirs = std::thread::spawn(bytes::<32>).join().unwrap().unwrap();
        assert_ne!(mine, theirs);
    }
}
