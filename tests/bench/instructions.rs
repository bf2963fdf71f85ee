//! Work of the gate whose instructions are counted: `instructions WORKLOAD TURNS` does it so many times, and without
//! arguments the workloads are listed. `tests/bench/instructions` runs it under valgrind, twice, and what one turn costs
//! is the difference: all that is prepared here is subtracted by that.
//!
//! A count must be the same in every run. Where a `HashMap` with its random seed is asked, there is one key in it.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench prints, and fails by panicking"
)]

use std::cell::Cell;
use std::future::Future as _;
use std::hint::black_box;
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context as Task, Poll, Waker};
use std::time::Duration;

use futures_util::FutureExt as _;
use h5gate::clock::Clock;
use h5gate::decision::revocation::{Revocation, RevocationId, Revocations, Target};
use h5gate::decision::rules::Rules;
use h5gate::decision::{Facts, decide};
use h5gate::hls::link::{Link, Signature};
use h5gate::hls::playlist::{Context, Definitions, rewrite};
use h5gate::hls::seal_keys::SealKeys;
use h5gate::listener::Peer;
use h5gate::listener::socket::{Side, Tcp};
use h5gate::relay::follower::Follower;
use h5gate::relay::frame::{from_server, opcode};
use h5gate::relay::switch::SwitchRequest;
use h5gate::relay::{
    Authority, Cause, Farewell, Granted, NotGranted, Outcome, Relay, RelaySettings, Silence, Start,
};
use h5gate::request::client_address::{AddressHeader, ClientAddress, Neighbours};
use h5gate::request::query::playback_query;
use h5gate::request::referer::Referer;
use h5gate::request::rtmp_url::RtmpUrls;
use h5gate::request::{Edge, PlaybackRequest};
use h5gate::session::id::SessionId;
use h5gate::session::live::PendingId;
use h5gate::session::place::Bind;
use h5gate::session::seats::Delivery;
use h5gate::session::shares::Room;
use h5gate::session::{Newcomer, Sessions, Transport};
use h5gate::token::{
    Claims, Grant, Key, KeyState, Keyring, Owner, Presented, Scope, Secret, Security, TokenId,
    UnixSeconds,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Does something so many times.
struct Workload(&'static str, fn(usize));

const WORKLOADS: [Workload; 8] = [
    Workload("token-verify", token_verify),
    Workload("decision", decision),
    Workload("query-parse", query_parse),
    Workload("frames-follow", frames_follow),
    Workload("frame-relayed", frame_relayed),
    Workload("playlist-6", short_playlist),
    Workload("playlist-30", long_playlist),
    // The MACs are most of a playlist's count, and would hide what else grows.
    Workload("playlist-30-unsigned", unsigned_playlist),
];

/// The most turns that a workload can take.
const MOST_TURNS: usize = 1_000;

const STREAM: &str = "abcde-a1b2c";
const SOURCE: &str = "rtmp://localhost/play";
const PAGE: &str = "player.example.com";
const VIEWER: [u8; 4] = [192, 0, 2, 17];
const ISSUED: UnixSeconds = UnixSeconds::new(1_700_000_000);
const NOW: UnixSeconds = UnixSeconds::new(1_700_000_060);

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [name, turns] = arguments.as_slice() else {
        WORKLOADS
            .iter()
            .for_each(|Workload(name, _)| println!("{name}"));
        return;
    };
    let turns = turns.parse().expect("a number of turns");
    assert!(turns <= MOST_TURNS, "at most {MOST_TURNS} turns");
    let found = WORKLOADS.iter().find(|Workload(known, _)| known == name);
    let Workload(_, work) = found.expect("a workload");
    work(turns);
    // Which of their ways memchr, base64 and the C library took: valgrind shows what the machine has.
    #[cfg(target_arch = "x86_64")]
    println!("avx2 {}", is_x86_feature_detected!("avx2"));
}

fn token_verify(turns: usize) {
    let (keyring, security) = (keyring(), security());
    for _ in 0..turns {
        let claims = keyring.verify(Presented::from(black_box(&security)));
        black_box(claims.expect("verifies"));
    }
}

/// What the decision takes is prepared for the most turns, so that nothing but the decision differs.
fn decision(turns: usize) {
    let (claims, facts) = (claims(), facts());
    let (rules, revocations) = (Rules::default(), revocations());
    let mut prepared = vec![(claims, facts); MOST_TURNS].into_iter();
    for (claims, facts) in prepared.by_ref().take(turns) {
        let permit = decide(claims, facts, &rules, black_box(&revocations), NOW);
        black_box(permit.expect("allowed"));
    }
    std::mem::forget(prepared);
}

fn claims() -> Claims {
    let security = security();
    let claims = keyring().verify(Presented::from(&security));
    claims.expect("verifies")
}

fn facts() -> Facts {
    Facts {
        stream: STREAM.parse().expect("a stream name"),
        url: SOURCE.parse().expect("a source"),
        address: ClientAddress::Known(IpAddr::from(VIEWER)),
        referer: Referer::Host(PAGE.to_owned()),
        inherited: false,
    }
}

/// Eight that meet others.
fn revocations() -> Revocations {
    let mut revocations = Revocations::default();
    for number in 0..8 {
        let others = Revocation {
            id: RevocationId(number.into()),
            owner: owner(),
            target: Target::Token(TokenId::new([number; 16])),
            issued_until: NOW,
            ends: None,
        };
        revocations.add(others, NOW);
    }
    revocations
}

/// The head of a handshake as hyper hands it on.
fn query_parse(turns: usize) {
    let query = playback_query(SOURCE, STREAM, Presented::from(&security()));
    let uri =
        format!("/h5live/authstream/stream.mp4?{query}&cid=384756&pid=10293847561&flags=faststart");
    let request = http::Request::get(uri)
        .header("host", "edge.example.com")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header(
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64) Chrome/150.0.0.0 Safari/537.36",
        )
        .header("origin", format!("https://{PAGE}"))
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let (head, ()) = request.body(()).expect("a request").into_parts();
    let edge = Edge {
        neighbours: Neighbours {
            trusted: Vec::new(),
            header: AddressHeader::XForwardedFor,
        },
        rtmp_urls: RtmpUrls::new(
            ["rtmp://localhost/splay", SOURCE]
                .map(|url| url.parse().expect("a source"))
                .to_vec(),
        ),
    };
    let peer = Peer::Socket((VIEWER, 50_000).into());
    for _ in 0..turns {
        let read = PlaybackRequest::read_websocket(black_box(&head), peer, &edge);
        black_box(read.expect("a playback"));
    }
}

/// Small, 8 KiB and large frames, in reads that end where frames do and where they do not.
fn frames_follow(turns: usize) {
    let metadata = from_server(opcode::TEXT, &[b'x'; 300]);
    let audio = from_server(opcode::BINARY, &[7; 420]);
    let video = from_server(opcode::BINARY, &[7; 8 * 1024]);
    let key = from_server(opcode::BINARY, &[7; 150_000]);
    let mut sent = vec![metadata, key];
    for _ in 0..10 {
        sent.extend([audio.clone(), video.clone()]);
    }
    sent.push(from_server(opcode::PING, b""));
    let sent = sent.concat();
    let lengths = [
        304,
        64 * 1024,
        64 * 1024,
        1_448,
        16 * 1024,
        3,
        8_196,
        424,
        1,
    ];
    let mut reads = Vec::new();
    let mut rest = sent.as_slice();
    for length in lengths.into_iter().cycle() {
        let Some((read, behind)) = rest.split_at_checked(length) else {
            break;
        };
        reads.push(read);
        rest = behind;
    }
    reads.push(rest);
    let mut follower = Follower::default();
    for _ in 0..turns {
        for read in &reads {
            black_box(follower.follow(black_box(read)));
        }
    }
    assert!(follower.between_messages(), "the stream was followed");
}

/// A relay from one wake to the next: a frame of 1.2 KiB is read, followed and written, by sockets that cost nothing.
fn frame_relayed(turns: usize) {
    const SECOND: Duration = Duration::from_secs(1);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let _timers = runtime.enter();
    let permit = decide(claims(), facts(), &Rules::default(), &revocations(), NOW);
    let newcomer = Newcomer {
        id: SessionId::new(1),
        player: String::new(),
        transport: Transport::WebSocket,
        delivery: Delivery::Media,
    };
    let sessions = Sessions::new(Room::whole(1), Bind::Prefix, Clock::system());
    let guard = sessions.open(&newcomer, permit.expect("allowed"));
    let guard = guard.now_or_never().expect("memory answers at once");
    let guard = guard.expect("a place");
    let settings = RelaySettings {
        client_message: 16 * 1024,
        any_message: false,
        media_idle: 1_000 * SECOND,
        ping: 1_000 * SECOND,
        switch_answer: SECOND,
        write_stall: 1_000 * SECOND,
        half_close: SECOND,
        linger: SECOND,
        frame_cost: SECOND / 50,
        refusal_cost: SECOND / 10,
    };
    let start = Start {
        viewer_early: Vec::new(),
        server_early: Vec::new(),
        opened: tokio::time::Instant::now(),
        silence: Silence::Never,
    };
    let sent = Rc::new(Cell::new(false));
    let mut viewer = Still::default();
    let server = Still {
        frame: from_server(opcode::BINARY, &[7; 1229]),
        sent: Rc::clone(&sent),
    };
    let mut relay = pin!(Relay::new(&mut viewer, server, &guard, Nobody, &settings, start).run());
    let mut cx = Task::from_waker(Waker::noop());
    for _ in 0..turns {
        sent.set(true);
        assert!(relay.as_mut().poll(&mut cx).is_pending());
        assert!(!sent.get(), "the frame was read");
    }
}

/// A socket that has `frame` to be read whenever it was sent, and takes everything.
#[derive(Default)]
struct Still {
    frame: Vec<u8>,
    sent: Rc<Cell<bool>>,
}

impl Side for Still {
    fn tcp(&self) -> Option<Tcp<'_>> {
        None
    }
}

impl AsyncRead for Still {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Task<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.sent.replace(false) {
            return Poll::Pending;
        }
        buffer.put_slice(&self.frame);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Still {
    fn poll_write(self: Pin<&mut Self>, _: &mut Task<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(black_box(bytes).len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Task<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Task<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Who is never asked.
struct Nobody;

impl Authority for Nobody {
    fn decide(&mut self, _: &SwitchRequest) -> Result<Granted, NotGranted> {
        Err(NotGranted(4901))
    }

    fn too_many(&mut self) -> NotGranted {
        NotGranted(4503)
    }

    fn settle(&mut self, _: PendingId, _: Outcome) {}

    fn dropped(&mut self) {}

    fn server_speaks(&mut self) {}

    fn hides_outage(&self) -> bool {
        true
    }

    fn farewell(&mut self, _: Cause) -> Farewell {
        Farewell {
            frame: Vec::new(),
            retried: false,
        }
    }
}

fn short_playlist(turns: usize) {
    playlist(turns, &six_segments(), true);
}

fn long_playlist(turns: usize) {
    playlist(turns, &thirty_segments(), true);
}

fn unsigned_playlist(turns: usize) {
    playlist(turns, &thirty_segments(), false);
}

/// Rewrites as the gate does, with links signed or with what stands in for a signature.
fn playlist(turns: usize, text: &str, signed: bool) {
    let seals = SealKeys::new(&keyring(), None);
    let (owner, stream) = (owner(), STREAM.parse().expect("a stream name"));
    let sign = |definitions: &str, target: &str| {
        if !signed {
            return Signature::new([7; 16]);
        }
        let link = Link {
            owner: &owner,
            stream: &stream,
            definitions,
            target,
        };
        link.sign(&seals)
    };
    let context = Context {
        path: "/live/abcde-a1b2c/720p/index.m3u8",
        query: "",
        is_viewers_query: false,
        to_ticket: "../../../../",
        place: "../../../../",
        is_ours: &|scheme, authority| scheme == "http" && authority == "media.test:8181",
        stream: STREAM,
        url: SOURCE,
        imported: &Definitions::default(),
        sign: &sign,
    };
    for _ in 0..turns {
        let rewritten = rewrite(black_box(text.as_bytes()), &context);
        black_box(rewritten.expect("a playlist"));
    }
}

/// Live, six segments beside the playlist.
fn six_segments() -> String {
    let mut text = String::from(
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:8123\n\
         #EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-MAP:URI=\"init.mp4\"\n",
    );
    for number in 8_123..8_129 {
        text += &format!(
            "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:{:02}.000Z\n#EXTINF:2.000,\nsegment-{number:08}.m4s\n",
            number % 60
        );
    }
    text
}

/// Thirty segments by whole addresses, with queries.
fn thirty_segments() -> String {
    let mut text = String::from(
        "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:771\n",
    );
    for number in 771..801 {
        text += &format!(
            "#EXTINF:6.006,\nhttp://media.test:8181/live/abcde-a1b2c/720p/{number}.ts?v=17&part=media-{number}\n"
        );
    }
    text
}

fn owner() -> Owner {
    "abcde".parse().expect("an owner")
}

fn keyring() -> Keyring {
    let secret = Secret::new(vec![0x5a; 32]).expect("long enough");
    let id = "k1".parse().expect("a key id");
    Keyring::new([], [Key::new(id, owner(), KeyState::Active, &secret)]).expect("one key")
}

/// A token with stream, tag, expires, ip and referer.
fn security() -> Security {
    let scope = Scope::stream(STREAM.parse().expect("a stream name"));
    let mut grant = Grant::new(TokenId::new([0x77; 16]), ISSUED, scope);
    grant.expires = Some(UnixSeconds::new(1_700_003_600));
    grant.tag = "customer-4711".parse().expect("a tag");
    grant.addresses = vec!["192.0.2.0/24".parse().expect("a prefix")];
    grant.referers = vec!["*.example.com".parse().expect("a pattern")];
    keyring().mint(&owner(), &grant).expect("mints")
}
