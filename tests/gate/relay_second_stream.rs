//! A viewer reaches no second stream without a token for it, by any sequence of frames: whatever goes to the media
//! server is read by a reader that forgives everything, and names no stream that was not granted.

use std::fmt;
use std::time::Duration;

use h5gate::relay::RelaySettings;
use h5gate::relay::frame::{self, opcode};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::properties::settings;
use crate::support::relay::{Rig, SETTINGS, STREAM, Setup, URL, frames};

const GRANTED: &str = "abcde-two";
const SECRET: &str = "fghij-secret";

/// JSON as it was written, with every entry of an object kept.
#[derive(Debug)]
enum Loose {
    Text(String),
    List(Vec<Loose>),
    Object(Vec<(String, Loose)>),
    Other,
}

impl<'de> Deserialize<'de> for Loose {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LooseVisitor)
    }
}

struct LooseVisitor;

impl<'de> Visitor<'de> for LooseVisitor {
    type Value = Loose;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }
    fn visit_unit<E>(self) -> Result<Loose, E> {
        Ok(Loose::Other)
    }
    fn visit_bool<E>(self, _: bool) -> Result<Loose, E> {
        Ok(Loose::Other)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Loose, E> {
        Ok(Loose::Other)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Loose, E> {
        Ok(Loose::Other)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Loose, E> {
        Ok(Loose::Other)
    }
    fn visit_str<E>(self, text: &str) -> Result<Loose, E> {
        Ok(Loose::Text(text.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Loose, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Loose::List(list))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Loose, A::Error> {
        let mut object = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            object.push(entry);
        }
        Ok(Loose::Object(object))
    }
}

/// Case folded as some readers do, without what some take away: blanks and NUL around it, `[0]` behind it.
fn folded(text: &str) -> String {
    let bare = text
        .split('[')
        .next()
        .unwrap_or_default()
        .trim_matches(|c: char| c.is_whitespace() || c.is_control());
    bare.replace('\u{17f}', "s")
        .replace('\u{212a}', "k")
        .to_lowercase()
}

impl Loose {
    /// Reads what a message begins with: blanks, a byte order mark and comments are skipped, what follows is ignored,
    /// bytes that are no UTF-8 are replaced.
    fn read(message: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(message);
        let mut text = &*text;
        loop {
            text = text.trim_start_matches(|c: char| {
                c.is_whitespace() || c.is_control() || c == '\u{feff}'
            });
            text = if let Some(comment) = text.strip_prefix("/*") {
                comment.split_once("*/")?.1
            } else if let Some(comment) = text.strip_prefix("//") {
                comment.split_once('\n')?.1
            } else {
                break;
            };
        }
        serde_json::Deserializer::from_str(text)
            .into_iter()
            .next()?
            .ok()
    }

    /// All values, however deep, under a key that can be taken for `name`.
    fn under<'a>(&'a self, name: &str, found: &mut Vec<&'a Self>) {
        match self {
            Self::Object(entries) => {
                for (key, value) in entries {
                    if folded(key) == name {
                        found.push(value);
                    }
                    value.under(name, found);
                }
            }
            Self::List(items) => items.iter().for_each(|item| item.under(name, found)),
            Self::Text(_) | Self::Other => {}
        }
    }

    fn all_under(&self, name: &str) -> Vec<&Self> {
        let mut found = Vec::new();
        self.under(name, &mut found);
        found
    }

    /// All objects that can be taken for a switch.
    fn switches<'a>(&'a self, found: &mut Vec<&'a Self>) {
        match self {
            Self::Object(entries) => {
                let named = |(key, value): &(String, Self)| {
                    folded(key) == "eventtype"
                        && matches!(value, Self::Text(text) if folded(text) == "onupdatesource")
                };
                if entries.iter().any(named) {
                    found.push(self);
                }
                entries.iter().for_each(|(_, value)| value.switches(found));
            }
            Self::List(items) => items.iter().for_each(|item| item.switches(found)),
            Self::Text(_) | Self::Other => {}
        }
    }

    fn is(&self, any: &[&str]) -> bool {
        matches!(self, Self::Text(text) if any.contains(&text.as_str()))
    }
}

/// What goes to the media server is harmless.
fn check(message: &[u8], any_message: bool) -> Result<(), TestCaseError> {
    let Some(read) = Loose::read(message) else {
        return Ok(());
    };
    let mut all = vec![&read];
    if any_message {
        // Other messages pass; of switches, only those that were granted.
        all.clear();
        read.switches(&mut all);
    }
    for value in all {
        let text = String::from_utf8_lossy(message);
        for stream in value.all_under("stream") {
            prop_assert!(
                stream.is(&[GRANTED, STREAM]),
                "a stream that was not granted: {}",
                text
            );
        }
        for url in value.all_under("url") {
            prop_assert!(url.is(&[URL]), "another source: {}", text);
        }
        for key in ["security", "jwtoken"] {
            prop_assert!(value.all_under(key).is_empty(), "{}: {}", key, text);
        }
        for params in value.all_under("params") {
            if let Loose::Text(query) = params {
                for pair in query.trim_start_matches(['?', '&']).split(['&', ';']) {
                    let (key, stream) = pair.split_once('=').unwrap_or((pair, ""));
                    let good = key == "stream" && [GRANTED, STREAM].contains(&stream);
                    prop_assert!(
                        folded(key) != "stream" || good,
                        "a stream that was not granted among the params: {}",
                        text
                    );
                }
            }
        }
    }
    Ok(())
}

/// A key or an event's name, in spellings that some reader takes for it.
fn spelled(name: &'static str) -> impl Strategy<Value = String> {
    let (head, tail) = name.split_at(1);
    let escape = format!("\\u{:04x}{tail}", name.as_bytes()[0]);
    let odd = vec![
        escape,
        name.to_uppercase(),
        name.to_lowercase(),
        format!("{}{tail}", head.to_uppercase()),
        name.replacen('s', "\u{17f}", 1),
        name.replacen('s', "\\u017f", 1),
        name.replacen('k', "\u{212a}", 1),
        format!(" {name}"),
        format!("{name}\\u0000"),
        format!("{name}[0]"),
    ];
    prop_oneof![1 => Just(name.to_owned()), 4 => select(odd)]
}

fn stream() -> impl Strategy<Value = String> {
    prop_oneof![4 => Just(SECRET), 3 => Just(GRANTED), 1 => Just(STREAM), 1 => Just("fghij-\\u0073ecret")]
        .prop_map(|stream| format!("\"{stream}\""))
}

/// A source: an object, or something that is none.
fn rtmp() -> impl Strategy<Value = String> {
    let url = select(vec![
        URL,
        "RTMP://localhost:1935/play",
        "rtmp://evil.test/play",
    ])
    .prop_map(|url| format!("\"{url}\""));
    let other = select(vec!["null", "[]", "\"x\"", "{}", "1"]).prop_map(str::to_owned);
    let entry = prop_oneof![
        1 => (spelled("stream"), stream()),
        1 => (spelled("url"), url),
        8 => (Just("x".to_owned()), other),
    ];
    prop_oneof![
        9 => (stream(), vec(entry, 0..2)).prop_map(|(stream, entries)| {
            let usual = [("url".to_owned(), format!("\"{URL}\"")), ("stream".to_owned(), stream)];
            object(usual.into_iter().chain(entries))
        }),
        1 => stream(),
    ]
}

fn object(entries: impl IntoIterator<Item = (String, String)>) -> String {
    let entries: Vec<_> = entries
        .into_iter()
        .map(|(key, value)| format!("\"{key}\":{value}"))
        .collect();
    format!("{{{}}}", entries.join(","))
}

fn params() -> impl Strategy<Value = String> {
    let query = select(vec![
        "?a=b",
        "stream=",
        "a=1;stream=",
        "a=1&str%65am=",
        "%26stream=",
        "a=1&Stream[]=",
    ]);
    prop_oneof![
        (query, stream()).prop_map(|(query, stream)| format!("\"{query}{}", &stream[1..])),
        (spelled("stream"), stream()).prop_map(|(key, stream)| object([(key, stream)])),
        (spelled("rtmp"), rtmp()).prop_map(|(key, rtmp)| object([(key, rtmp)])),
        Just("null".to_owned()),
    ]
}

fn body() -> impl Strategy<Value = String> {
    let entry = prop_oneof![
        3 => (spelled("rtmp"), rtmp()),
        1 => (spelled("stream"), stream()),
        1 => (spelled("params"), params()),
        1 => (spelled("options"), rtmp()),
        1 => (Just("tag".to_owned()), rtmp()),
        1 => (Just("count".to_owned()), prop_oneof![Just("1".to_owned()), rtmp()]),
        1 => (spelled("security"), Just(r#"{"token":"h1.a.b.c"}"#.to_owned())),
        1 => (spelled("token"), select(vec!["\"h1.x\"", "\"foreign\"", "{\"stream\":\"fghij-secret\"}"]).prop_map(str::to_owned)),
        1 => (spelled("onUpdateSource"), rtmp()),
    ];
    (rtmp(), vec(entry, 0..3))
        .prop_map(|(rtmp, entries)| object(entries.into_iter().chain([("rtmp".to_owned(), rtmp)])))
}

fn event() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => spelled("onUpdateSource"),
        1 => spelled("onPlay"),
        1 => spelled("onPause"),
        1 => Just("custom".to_owned()),
    ]
}

/// A message, mostly of the form of a switch.
fn message() -> impl Strategy<Value = String> {
    let entry = prop_oneof![
        2 => (spelled("eventType"), event().prop_map(|event| format!("\"{event}\""))),
        2 => (event(), body()),
        1 => (spelled("requestId"), prop_oneof![Just("7".to_owned()), body()]),
        1 => (spelled("rtmp"), rtmp()),
    ];
    let usual = (
        select(vec![
            "onUpdateSource",
            "onUpdateSource",
            "onUpdateSource",
            "onPlay",
            "onPause",
        ]),
        body(),
    )
        .prop_map(|(event, body)| {
            vec![
                ("eventType".to_owned(), format!("\"{event}\"")),
                (event.to_owned(), body),
            ]
        });
    let odd = select(vec![
        ("\u{feff}", ""),
        ("[", "]"),
        (" ", "\n"),
        ("/**/", ""),
        ("\0", "x"),
        ("//\n", ""),
    ]);
    let around = prop_oneof![6 => Just(("", "")), 1 => odd];
    (usual, vec(entry, 0..2), any::<bool>(), around).prop_map(
        |(usual, entries, first, (before, behind))| {
            let all: Vec<_> = if first {
                entries.into_iter().chain(usual).collect()
            } else {
                usual.into_iter().chain(entries).collect()
            };
            format!("{before}{}{behind}", object(all))
        },
    )
}

/// A change of one place in a message.
#[derive(Clone, Debug)]
enum Damage {
    Replace(Index, u8),
    Remove(Index),
    Repeat(Index, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let byte = prop_oneof![any::<u8>(), select(br#"{}[]":,\ "#.to_vec())];
    prop_oneof![
        (any::<Index>(), byte).prop_map(|(at, byte)| Damage::Replace(at, byte)),
        any::<Index>().prop_map(Damage::Remove),
        (any::<Index>(), 1..40_usize).prop_map(|(at, length)| Damage::Repeat(at, length)),
    ]
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        match self {
            Self::Replace(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            Self::Remove(at) => {
                bytes.remove(at.index(bytes.len()));
            }
            Self::Repeat(at, length) => {
                let at = at.index(bytes.len());
                let part = bytes[at..(at + length).min(bytes.len())].to_vec();
                bytes.splice(at..at, part);
            }
        }
    }
}

/// A message as frames.
#[derive(Clone, Debug)]
struct Spoken {
    text: String,
    damage: Vec<Damage>,
    binary: bool,
    fragment: usize,
    control: Option<u8>,
}

impl Spoken {
    fn bytes(&self) -> Vec<u8> {
        let mut payload = self.text.clone().into_bytes();
        self.damage
            .iter()
            .for_each(|damage| damage.apply(&mut payload));
        let parts: Vec<_> = payload.chunks(self.fragment).collect();
        let mut bytes = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            let opcode = match (index, self.binary) {
                (0, false) => opcode::TEXT,
                (0, true) => opcode::BINARY,
                _ => opcode::CONTINUATION,
            };
            let mut frame = frame::from_client(opcode, [1, 2, 3, 4], part);
            if index + 1 < parts.len() {
                frame[0] &= 0x7f;
            }
            bytes.extend(frame);
            if let Some(opcode) = self.control {
                bytes.extend(frame::from_client(
                    opcode,
                    [5, 6, 7, 8],
                    br#"{"eventType":"onUpdateSource"}"#,
                ));
            }
        }
        bytes
    }
}

fn spoken() -> impl Strategy<Value = Spoken> {
    let damage = prop_oneof![4 => Just(vec![]), 1 => vec(damage(), 1..4)];
    let fragment = prop_oneof![3 => Just(100_000_usize), 1 => 1..200_usize];
    let control =
        prop_oneof![3 => Just(None), 1 => Just(Some(opcode::PING)), 1 => Just(Some(opcode::PONG))];
    (
        message(),
        damage,
        prop_oneof![9 => Just(false), 1 => Just(true)],
        fragment,
        control,
    )
        .prop_map(|(text, damage, binary, fragment, control)| Spoken {
            text,
            damage,
            binary,
            fragment,
            control,
        })
}

/// What reaches the media server when the viewer sends these bytes in parts of this size.
async fn forwarded(bytes: &[u8], part: usize, any_message: bool) -> (Vec<u8>, usize) {
    let settings = RelaySettings {
        any_message,
        ..SETTINGS
    };
    let mut rig = Rig::start(Setup {
        settings,
        granted: vec![GRANTED.to_owned(), STREAM.to_owned()],
        ..Setup::default()
    });
    for part in bytes.chunks(part) {
        // The gate may have ended it.
        if rig.viewer.write_all(part).await.is_err() {
            break;
        }
        rig.settle().await;
    }
    let _ = rig.viewer.shutdown().await;
    let mut got = Vec::new();
    tokio::time::timeout(Duration::from_secs(600), rig.server.read_to_end(&mut got))
        .await
        .unwrap()
        .unwrap();
    let decided = rig.log.lock().unwrap().decided.len();
    (got, decided)
}

fn run(spoken: &[Spoken], part: usize, any_message: bool) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let bytes: Vec<u8> = spoken.iter().flat_map(Spoken::bytes).collect();
    let (got, _) = runtime.block_on(forwarded(
        &bytes,
        part.max(bytes.len() / 200 + 1),
        any_message,
    ));
    let (frames, behind) = frames(&got);
    prop_assert!(behind.is_empty());
    for frame in frames {
        prop_assert!(
            frame.fin && frame.masked,
            "the gate's own frames: {:?}",
            frame
        );
        if frame.opcode < opcode::CLOSE {
            check(&frame.payload, any_message)?;
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..settings() })]
    #[test]
    fn a_viewer_reaches_no_second_stream(spoken in vec(spoken(), 1..4), part in 1..500_usize) {
        run(&spoken, part, false)?;
    }

    #[test]
    fn a_viewer_reaches_no_second_stream_by_a_switch_where_any_message_passes(spoken in vec(spoken(), 1..4), part in 1..500_usize) {
        run(&spoken, part, true)?;
    }

    #[test]
    fn frames_of_any_bytes_reach_nothing(
        bytes in vec((any::<u8>(), vec(any::<u8>(), 0..130)), 0..6),
        part in 1..100_usize,
    ) {
        let bytes: Vec<u8> = bytes
            .iter()
            .flat_map(|(first, payload)| {
                let mut frame = frame::from_client(0, [0; 4], payload);
                frame[0] = *first;
                frame
            })
            .collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let (got, decided) = runtime.block_on(forwarded(&bytes, part, false));
        prop_assert_eq!(decided, 0);
        let data = frames(&got).0.into_iter().find(|frame| frame.opcode < opcode::CLOSE);
        prop_assert_eq!(data, None);
    }
}

/// The generator must reach what it is meant to: otherwise its silence proves nothing.
#[test]
fn the_generated_messages_are_granted_denied_and_refused() {
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let (mut granted, mut decided, mut nothing, mut flagged) = (0, 0, 0, 0);
    for _ in 0..400 {
        let one = spoken().new_tree(&mut runner).unwrap().current();
        let (got, asked) = runtime.block_on(forwarded(&one.bytes(), 1000, false));
        let passed = frames(&got)
            .0
            .iter()
            .any(|frame| frame.opcode == opcode::TEXT);
        granted += usize::from(passed && asked > 0);
        decided += usize::from(!passed && asked > 0);
        nothing += usize::from(!passed && asked == 0);
        // What the viewer wrote is mostly something that the check would not let pass.
        flagged += usize::from(check(one.text.as_bytes(), true).is_err());
    }
    assert!(
        granted > 20 && decided > 20 && nothing > 50 && flagged > 100,
        "{granted} {decided} {nothing} {flagged}"
    );
}
