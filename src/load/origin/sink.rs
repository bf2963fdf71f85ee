//! The viewers' connections that fragments are sent to, spread over the interval between two fragments.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;

use super::media::Fragment;
use crate::load::machine::monotonic;

/// Bytes of small frames that wait for a viewer, beyond which no more are kept for it.
const OWN_LIMIT: usize = 64 * 1024;

/// A viewer's connection. Its own task reads from it, and the thread's timer writes to it.
#[derive(Debug)]
pub(super) struct Sink {
    pub(super) socket: TcpStream,
    rest: Mutex<Rest>,
    gone: AtomicBool,
}

/// What is to be sent before another fragment, in this order.
#[derive(Debug, Default)]
struct Rest {
    /// A fragment that the socket has taken a part of: its stamp, and how much of it.
    partial: Option<(Duration, usize)>,
    /// Small frames, the first of which the socket may have taken a part of.
    own: Vec<u8>,
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
            rest: Mutex::default(),
            gone: AtomicBool::new(false),
        })
    }

    /// Ends the sending. `farewell` is still sent, unless it would stand within a frame.
    pub(super) fn end(&self, farewell: &[u8]) {
        let rest = lock(&self.rest);
        self.gone.store(true, Ordering::Relaxed);
        if rest.partial.is_none() && rest.own.is_empty() {
            // A viewer that is closing may read no more: an error does not matter.
            let _ = self.socket.try_write(farewell);
        }
    }

    /// Sends small frames: at once, or behind the fragment that is under way. A viewer that asks for them and takes nothing
    /// gets no more of them.
    pub(super) fn say(&self, frames: &[u8]) {
        let mut rest = lock(&self.rest);
        if rest.own.len() < OWN_LIMIT {
            rest.own.extend_from_slice(frames);
        }
        if rest.partial.is_none() {
            // If the write fails, the thread's timer finds that out.
            let _ = self.write_own(&mut rest.own);
        }
    }

    /// Sends the rest of an earlier fragment and what was said meanwhile, and then a fragment that is stamped now.
    fn send(&self, fragment: &mut Fragment) -> Sent {
        let mut rest = lock(&self.rest);
        if self.gone.load(Ordering::Relaxed) {
            return Sent::Gone;
        }
        if let Some((time, taken)) = rest.partial {
            match self.write(fragment, time, taken) {
                Ok(still) => rest.partial = still,
                Err(_) => return Sent::Gone,
            }
        }
        if rest.partial.is_some() {
            return Sent::LeftOut;
        }
        if self.write_own(&mut rest.own).is_err() {
            return Sent::Gone;
        }
        if !rest.own.is_empty() {
            return Sent::LeftOut;
        }
        match self.write(fragment, monotonic(), 0) {
            Ok(None) => Sent::Whole,
            Ok(Some((_, 0))) => Sent::LeftOut,
            Ok(some) => {
                rest.partial = some;
                Sent::Partly
            }
            Err(_) => Sent::Gone,
        }
    }

    /// Writes as much of `own` as the socket takes, and leaves the rest in it.
    fn write_own(&self, own: &mut Vec<u8>) -> io::Result<()> {
        if own.is_empty() {
            return Ok(());
        }
        match self.socket.try_write(own) {
            Ok(count) => {
                own.drain(..count);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
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
    use crate::relay::frame::{from_server, opcode};

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
        // What is said within a fragment comes behind it.
        assert!(lock(&sink.rest).partial.is_some());
        sink.say(&from_server(opcode::TEXT, b"{}"));
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
                    Event::Text => others += 1,
                    Event::Ping(_) | Event::Close(_) | Event::Violation => panic!("{event:?}"),
                });
            }
        };
        let finishing = async move {
            while lock(&sink.rest).partial.is_some() {
                sink.socket.writable().await.unwrap();
                sent += sinks.send(0, &mut fragment).0;
            }
            sink.end(&[]);
            sinks.send(0, &mut fragment);
            sent
        };
        let (sent, (whole, others)) = tokio::join!(finishing, reading);
        assert_eq!((whole, others), (sent, 1));
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
