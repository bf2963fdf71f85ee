//! One try of a viewer on a WebSocket, by hand: a waiting viewer holds no buffer, and of what it is sent it keeps nothing.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context as Task, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::relay::frame::{close_payload, from_client, opcode};

use super::attempt::Attempt;
use super::end::{End, Failure, Loss};
use super::frames::{Event, Frames};
use super::handshake;
use super::machine::monotonic;
use super::stalls::FrameGaps;
use super::stamp;
use super::{CLOSE_LIMIT, HANDSHAKE_LIMIT, MEDIA_LIMIT};

/// What is read at once.
const BUFFER: usize = 128 * 1024;

thread_local! {
    static BUFFERS: RefCell<Box<[u8]>> = RefCell::new(vec![0; BUFFER].into());
}

/// Connects, plays until the test ends, and closes as a player does. Not cancel safe: dropping it cuts the connection.
pub async fn play(viewer: &Attempt<'_>, query: &str) -> End {
    let began = monotonic();
    let opening = timeout(HANDSHAKE_LIMIT, handshake::open(viewer.context, query));
    let opened = tokio::select! {
        () = viewer.context.stop.cancelled() => return End::Unfinished,
        opened = opening => opened.unwrap_or(Err(handshake::Unopened::Failure(Failure::Timeout))),
    };
    let (mut socket, behind) = match opened {
        Ok(opened) => opened,
        Err(handshake::Unopened::Refused(code)) => {
            viewer.verdict(began);
            return End::Refused(code);
        }
        Err(handshake::Unopened::Failure(failure)) => return End::Failed(failure),
    };
    viewer
        .tally()
        .handshake
        .record(monotonic().saturating_sub(began));
    let mut playback = Playback {
        viewer,
        began,
        frames: Frames::default(),
        granted: false,
        gaps: None,
        pongs: Vec::new(),
    };
    playback.run(&mut socket, &behind).await
}

/// A WebSocket that is open.
struct Playback<'a> {
    viewer: &'a Attempt<'a>,
    began: Duration,
    frames: Frames,
    granted: bool,
    /// From the first binary frame on.
    gaps: Option<FrameGaps>,
    /// Pings that are to be answered.
    pongs: Vec<Vec<u8>>,
}

impl Playback<'_> {
    async fn run(&mut self, socket: &mut TcpStream, behind: &[u8]) -> End {
        let mut stop = pin!(self.viewer.context.stop.cancelled());
        let mut end = if behind.is_empty() {
            None
        } else {
            self.take(behind)
        };
        {
            let mut late = pin!(sleep(MEDIA_LIMIT));
            while end.is_none() {
                end = tokio::select! {
                    read = self.read(socket) => read,
                    () = &mut stop => Some(self.stopped()),
                    () = &mut late, if self.gaps.is_none() => Some(self.failed(Failure::NoMedia)),
                };
                self.answer_pings(socket);
            }
        }
        let end = end.unwrap_or(End::Unfinished);
        if self.gaps.is_some() {
            self.viewer.tally().playing -= 1;
        }
        self.close(socket, end).await;
        end
    }

    fn stopped(&self) -> End {
        let Some(gaps) = &self.gaps else {
            return End::Unfinished;
        };
        let stall = gaps.stalled(monotonic(), self.viewer.context.plan.stall);
        self.viewer.tally().stall(stall);
        match stall {
            Some(_) => End::StoodStill,
            None => End::Played,
        }
    }

    /// Reads once; how the playback ended, if it did.
    async fn read(&mut self, socket: &mut TcpStream) -> Option<End> {
        let read = poll_fn(|cx| poll_read(socket, cx, |bytes| self.take(bytes))).await;
        match read {
            Ok(Some(end)) => end,
            Ok(None) | Err(_) => Some(self.ended(1006)),
        }
    }

    /// Follows what was read.
    fn take(&mut self, bytes: &[u8]) -> Option<End> {
        let now = monotonic();
        let (viewer, began) = (self.viewer, self.began);
        let limit = viewer.context.plan.stall;
        let before = self.frames.data_bytes();
        let (mut closed, mut violated) = (None, false);
        let (granted, gaps, pongs) = (&mut self.granted, &mut self.gaps, &mut self.pongs);
        let mut tally = viewer.tally();
        self.frames.follow(bytes, |event| {
            if matches!(event, Event::Text | Event::Media(_)) && !*granted {
                *granted = true;
                tally.granted += 1;
                tally.verdict(began, now, viewer.is_first());
            }
            match event {
                Event::Media(start) => {
                    tally.frames += 1;
                    if let Some(age) = stamp::age(start.bytes(), now) {
                        tally.frame_age.record(age);
                    }
                    if let Some(gaps) = gaps {
                        let stall = gaps.frame(now, limit);
                        tally.stall(stall);
                    } else {
                        *gaps = Some(FrameGaps::start(now));
                        tally.playing += 1;
                        tally.first_frame.record(now.saturating_sub(began));
                    }
                }
                Event::Ping(payload) => pongs.push(payload),
                Event::Close(code) => closed = Some(code.unwrap_or(1005)),
                Event::Violation => violated = true,
                Event::Text => {}
            }
        });
        tally.websocket_bytes += self.frames.data_bytes() - before;
        drop(tally);
        match closed {
            Some(code) => Some(self.ended(code)),
            None if violated => Some(self.failed(Failure::BadAnswer)),
            None => None,
        }
    }

    /// The gate has ended it, with this code.
    fn ended(&self, code: u16) -> End {
        if self.granted {
            return End::Lost(Loss::Code(code));
        }
        if code == 1006 {
            return End::Failed(Failure::CutShort);
        }
        self.viewer.verdict(self.began);
        End::Refused(code)
    }

    fn failed(&self, failure: Failure) -> End {
        if self.granted {
            End::Lost(Loss::Failure(failure))
        } else {
            End::Failed(failure)
        }
    }

    fn answer_pings(&mut self, socket: &TcpStream) {
        for ping in self.pongs.drain(..) {
            // A viewer says so little that its socket always has room.
            let _ = socket.try_write(&from_client(opcode::PONG, self.viewer.mask, &ping));
        }
    }

    /// The closing handshake (RFC 6455 section 7.1), and what still comes before its end.
    async fn close(&mut self, socket: &mut TcpStream, end: End) {
        let code = match end {
            End::Played | End::StoodStill | End::Unfinished => 1000,
            End::Refused(code) | End::Lost(Loss::Code(code)) => code,
            End::Failed(_) | End::Lost(Loss::Failure(_)) => 1002,
        };
        let frame = from_client(opcode::CLOSE, self.viewer.mask, &close_payload(code, ""));
        let rest = async {
            let _ = socket.write_all(&frame).await;
            let mut open = true;
            while open {
                let read = poll_fn(|cx| poll_read(socket, cx, |bytes| self.count(bytes))).await;
                open = matches!(read, Ok(Some(())));
            }
        };
        let _ = timeout(CLOSE_LIMIT, rest).await;
    }

    /// Counts the bytes and frames that come while it closes.
    fn count(&mut self, bytes: &[u8]) {
        let before = self.frames.data_bytes();
        let mut frames = 0;
        self.frames.follow(bytes, |event| {
            frames += u64::from(matches!(event, Event::Media(_)));
        });
        let mut tally = self.viewer.tally();
        tally.frames += frames;
        tally.websocket_bytes += self.frames.data_bytes() - before;
    }
}

/// Reads into the thread's buffer and shows what came, `None` at the end of the connection. A short read clears the
/// socket's readiness, which saves the read that finds nothing.
fn poll_read<T>(
    socket: &mut TcpStream,
    cx: &mut Task<'_>,
    take: impl FnOnce(&[u8]) -> T,
) -> Poll<io::Result<Option<T>>> {
    BUFFERS.with_borrow_mut(|buffer| {
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(socket).poll_read(cx, &mut buffer))?;
        let bytes = buffer.filled();
        Poll::Ready(Ok((!bytes.is_empty()).then(|| take(bytes))))
    })
}
