//! A viewer's bytes: nothing panics, cutting them anywhere changes nothing, and what is forwarded or granted reads back
//! as the same again.
//!
//! The first byte is where the bytes behind it are cut; they are frames as they travel.

#![no_main]

use std::sync::LazyLock;

use h5gate::relay::json;
use h5gate::relay::message::{Message, hides_switch};
use h5gate::relay::switch::SwitchRequest;
use h5gate::relay::viewer_frames::{FromViewer, ViewerFrames, Violation};
use h5gate::request::rtmp_url::RtmpUrls;
use libfuzzer_sys::fuzz_target;

const LIMIT: usize = 4096;

static URLS: LazyLock<RtmpUrls> =
    LazyLock::new(|| RtmpUrls::new(vec!["rtmp://localhost/play".parse().expect("a source")]));

fuzz_target!(|input: &[u8]| {
    let Some((&cut, bytes)) = input.split_first() else { return };
    let read = read_all([bytes]);
    assert_eq!(read_all(bytes.chunks(1)), read);
    let (left, right) = bytes.split_at(usize::from(cut).min(bytes.len()));
    assert_eq!(read_all([left, right]), read);
    for frame in read.0 {
        match frame {
            FromViewer::Fragment => {}
            FromViewer::Text(message) | FromViewer::Binary(message) => {
                assert!(message.len() <= LIMIT);
                on_message(&message);
            }
            FromViewer::Ping(payload) | FromViewer::Pong(payload) | FromViewer::Close(payload) => {
                assert!(payload.len() <= 125);
            }
        }
    }
});

fn read_all<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> (Vec<FromViewer>, Option<Violation>) {
    let mut frames = ViewerFrames::new(LIMIT);
    let mut read = Vec::new();
    for mut part in parts {
        loop {
            match frames.next(&mut part) {
                Ok(None) => break,
                Ok(Some(frame)) => read.push(frame),
                Err(violation) => return (read, Some(violation)),
            }
        }
    }
    (read, None)
}

fn on_message(message: &[u8]) {
    let hides = hides_switch(message);
    match Message::read(message) {
        Ok(Message::Switch(request)) => {
            assert!(hides, "a switch is one for every reader");
            on_switch(&request);
        }
        Ok(Message::Forward { text, asks }) => {
            let again = Message::read(text.as_bytes());
            assert_eq!(again, Ok(Message::Forward { text: text.clone(), asks }));
        }
        Ok(Message::Unlisted) => assert!(json::strict_object(message).is_some()),
        Err(_) => assert!(json::strict_object(message).is_none()),
    }
}

fn on_switch(request: &SwitchRequest) {
    assert!(json::strict_object(request.denied(4901).as_bytes()).is_some());
    let Ok(target) = request.target(&URLS) else { return };
    let granted = request.granted(&target);
    let Ok(Message::Switch(again)) = Message::read(granted.as_bytes()) else { panic!("no switch any more: {granted}") };
    let same = again.target(&URLS).expect("what was granted has a target");
    assert_eq!((&same.stream, &same.url), (&target.stream, &target.url), "{granted}");
    assert_eq!(same.security, None, "{granted}");
    assert_eq!(again.granted(&same), granted);
    assert!(!granted.contains("\"h1."), "a token of ours went on: {granted}");
}
