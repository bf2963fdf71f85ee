//! Those who are sent to, spread over the interval between two fragments.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;

use super::media::Fragment;
use crate::load::machine::monotonic;

/// A viewer's connection. Its own task reads from it, and the thread's timer writes to it.
#[derive(Debug)]
pub(super) struct Sink {
    pub(super) socket: TcpStream,
    /// A fragment that the socket has taken a part of: its stamp, and how much of it.
    partial: Mutex<Option<(Duration, usize)>>,
    gone: AtomicBool,
}

/// What became of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Whole,
    Partly,
    LeftOut,
    Gone,
}

impl Sink {
    pub(super) fn new(socket: TcpStream) -> Arc<Self> {
        Arc::new(Self {
            socket,
            partial: Mutex::new(None),
            gone: AtomicBool::new(false),
        })
    }

    /// Nothing more is sent; `farewell` is, when it does not stand within a fragment.
    pub(super) fn end(&self, farewell: &[u8]) {
        let partial = lock(&self.partial);
        self.gone.store(true, Ordering::Relaxed);
        if partial.is_none() {
            // Whoever is ending may not be reading any more.
            let _ = self.socket.try_write(farewell);
        }
    }

    /// Sends a small frame when it does not stand within a fragment.
    pub(super) fn say(&self, frame: &[u8]) {
        let partial = lock(&self.partial);
        if partial.is_none() {
            // A socket without room for a few bytes has a viewer that does not read.
            let _ = self.socket.try_write(frame);
        }
    }

    /// Sends the rest of an earlier fragment, and then one that is stamped now.
    fn send(&self, fragment: &mut Fragment) -> Sent {
        let mut partial = lock(&self.partial);
        if self.gone.load(Ordering::Relaxed) {
            return Sent::Gone;
        }
        if let Some((time, taken)) = *partial {
            match self.write(fragment, time, taken) {
                Ok(None) => *partial = None,
                Ok(still) => {
                    *partial = still;
                    return Sent::LeftOut;
                }
                Err(_) => return Sent::Gone,
            }
        }
        match self.write(fragment, monotonic(), 0) {
            Ok(None) => Sent::Whole,
            Ok(Some((_, 0))) => Sent::LeftOut,
            Ok(some) => {
                *partial = some;
                Sent::Partly
            }
            Err(_) => Sent::Gone,
        }
    }

    /// Writes from `taken` on; `None` when nothing is left, else what was taken.
    fn write(
        &self,
        fragment: &mut Fragment,
        time: Duration,
        taken: usize,
    ) -> io::Result<Option<(Duration, usize)>> {
        let frame = fragment.stamped(time);
        match self
            .socket
            .try_write(frame.get(taken..).unwrap_or_default())
        {
            Ok(count) if taken + count >= frame.len() => Ok(None),
            Ok(count) => Ok(Some((time, taken + count))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Some((time, taken))),
            Err(error) => Err(error),
        }
    }
}

/// The sinks of one thread.
#[derive(Debug)]
pub(super) struct Sinks {
    phases: Vec<Mutex<Vec<Arc<Sink>>>>,
    next: AtomicU64,
}

impl Sinks {
    pub(super) fn new(phases: u32) -> Self {
        Self {
            phases: (0..phases).map(|_| Mutex::default()).collect(),
            next: AtomicU64::new(0),
        }
    }

    pub(super) fn phases(&self) -> u64 {
        self.phases.len() as u64
    }

    /// Sends to a sink from now on, until it is gone.
    pub(super) fn add(&self, sink: &Arc<Sink>) {
        if let Some(mut phase) = self.phase(self.next.fetch_add(1, Ordering::Relaxed)) {
            phase.push(Arc::clone(sink));
        }
    }

    /// How many sinks step `step` is for.
    pub(super) fn count(&self, step: u64) -> u64 {
        self.phase(step).map_or(0, |phase| phase.len() as u64)
    }

    /// Sends to the sinks of step `step`: how many fragments were sent, and how many left out.
    pub(super) fn send(&self, step: u64, fragment: &mut Fragment) -> (u64, u64) {
        let (mut sent, mut left_out) = (0, 0);
        if let Some(mut phase) = self.phase(step) {
            phase.retain(|sink| {
                let result = sink.send(fragment);
                sent += u64::from(matches!(result, Sent::Whole | Sent::Partly));
                left_out += u64::from(result == Sent::LeftOut);
                result != Sent::Gone
            });
        }
        (sent, left_out)
    }

    fn phase(&self, step: u64) -> Option<MutexGuard<'_, Vec<Arc<Sink>>>> {
        let index = step.checked_rem(self.phases())?;
        self.phases.get(usize::try_from(index).ok()?).map(lock)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    use super::*;
    use crate::load::frames::{Event, Frames};

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(client, listener.accept());
        (client.unwrap(), accepted.unwrap().0)
    }

    #[tokio::test]
    async fn a_slow_viewer_gets_whole_fragments_and_others_are_left_out() {
        let (mut viewer, socket) = pair().await;
        let (sinks, sink) = (Sinks::new(3), Sink::new(socket));
        sinks.add(&sink);
        sink.socket.writable().await.unwrap();
        let mut fragment = Fragment::new(1 << 20);
        let (mut sent, mut left_out) = (0, 0);
        while left_out < 3 {
            let (more, fewer) = sinks.send(0, &mut fragment);
            (sent, left_out) = (sent + more, left_out + fewer);
            assert_eq!(sinks.send(1, &mut fragment), (0, 0), "it is in one phase");
        }
        let reading = async move {
            let (mut frames, mut whole, mut others) = (Frames::default(), 0, 0);
            let mut buffer = vec![0; 1 << 16];
            loop {
                let read = viewer.read(&mut buffer).await.unwrap();
                if read == 0 {
                    return (whole, others);
                }
                frames.follow(&buffer[..read], |event| match event {
                    Event::Media(_) => whole += 1,
                    Event::Text | Event::Ping(_) | Event::Close(_) | Event::Violation => {
                        others += 1;
                    }
                });
            }
        };
        let finishing = async move {
            while lock(&sink.partial).is_some() {
                sink.socket.writable().await.unwrap();
                sent += sinks.send(0, &mut fragment).0;
            }
            sink.end(&[]);
            sinks.send(0, &mut fragment);
            sent
        };
        let (sent, (whole, others)) = tokio::join!(finishing, reading);
        assert_eq!((whole, others), (sent, 0));
    }

    #[tokio::test]
    async fn who_is_gone_is_sent_nothing() {
        let (mut viewer, socket) = pair().await;
        let (sinks, sink) = (Sinks::new(1), Sink::new(socket));
        sinks.add(&sink);
        sink.socket.writable().await.unwrap();
        sink.end(b"farewell");
        assert_eq!(sinks.send(0, &mut Fragment::new(64)), (0, 0));
        assert_eq!(sinks.count(0), 0);
        drop(sink);
        let mut all = Vec::new();
        viewer.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"farewell");
    }
}
