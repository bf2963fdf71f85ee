//! The text messages between media servers and H5Live players, `{"eventType":E,E:{…}}` in both directions (protocol.md 5):
//! the media server's side, for the origins of the demo and of the load test.
//!
//! Published players read the fields of a message without checking that they exist: where `videoInfo` is missing, they throw
//! and show no picture. So every message here always has all of its fields.

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The code for a switch to a stream that does not exist: the stream's parameters are wrong.
const BAD_REQUEST: u16 = 4400;

/// What a viewer can ask for.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(tag = "eventType")]
pub enum Wish {
    /// Media from now on.
    #[serde(rename = "onPlay")]
    Play,
    /// No media until `onPlay`.
    #[serde(rename = "onPause")]
    Pause,
    /// Another stream.
    #[serde(rename = "onUpdateSource")]
    Switch(SwitchMessage),
    /// Something that is not known here.
    #[serde(other)]
    Unknown,
}

/// The message around a switch.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SwitchMessage {
    on_update_source: Switch,
    request_id: Option<Value>,
}

/// A switch. Its tag, count and number are the viewer's own and go back as they came.
#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Switch {
    tag: Option<Value>,
    count: Option<Value>,
    request_id: Option<Value>,
    #[serde(default)]
    rtmp: Source,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
struct Source {
    #[serde(default)]
    stream: String,
}

/// Why a switch is not made although its parameters are right.
#[derive(Clone, Copy, Debug)]
pub enum Abort {
    /// The stream plays already.
    EqualSource,
    /// Another switch came before this one was made.
    Superseded,
}

impl Wish {
    /// Reads a text message; `None` when it is no message of this protocol.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

impl From<SwitchMessage> for Switch {
    fn from(message: SwitchMessage) -> Self {
        let mut switch = message.on_update_source;
        switch.request_id = message.request_id.or(switch.request_id);
        switch
    }
}

impl Switch {
    /// The name of the stream that is wanted.
    #[must_use]
    pub fn stream(&self) -> &str {
        &self.rtmp.stream
    }

    /// The stream follows.
    #[must_use]
    pub fn succeeded(&self) -> String {
        self.answer("onUpdateSourceSuccess", [])
    }

    /// The stream stays.
    #[must_use]
    pub fn aborted(&self, abort: Abort) -> String {
        let reason = match abort {
            Abort::EqualSource => "equalsource",
            Abort::Superseded => "superseded",
        };
        self.answer("onUpdateSourceAbort", [("reason", reason.into())])
    }

    /// There is no such stream.
    #[must_use]
    pub fn failed(&self) -> String {
        let why = [("code", BAD_REQUEST.into()), ("reason", "notfound".into())];
        self.answer("onUpdateSourceError", why)
    }

    /// An answer with the switch's tag, count and number; those that the viewer left out are as in [`connected`].
    fn answer<const N: usize>(&self, name: &str, more: [(&str, Value); N]) -> String {
        let own = [
            ("tag", &self.tag, "".into()),
            ("count", &self.count, 0.into()),
            ("requestId", &self.request_id, 0.into()),
        ];
        let own = own.map(|(key, given, empty)| (key, given.clone().unwrap_or(empty)));
        let body = own.into_iter().chain(more);
        let body: Map<_, _> = body.map(|(key, value)| (key.to_owned(), value)).collect();
        event(name, &body.into())
    }
}

/// The picture of a stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Picture {
    /// In pixels.
    pub width: u16,
    /// In pixels.
    pub height: u16,
    /// Pictures in a second.
    pub frame_rate: f64,
}

/// The sound of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sound {
    /// Samples in a second.
    pub sample_rate: u16,
    /// One or more.
    pub channels: u16,
    /// Of each sample, before it was coded.
    pub bits_per_sample: u16,
}

/// The first message of all: which server this is, what it can do, and which events it sends.
#[must_use]
pub fn server_info(name: &str, capabilities: &[&str], events: &[&str]) -> String {
    let body = json!({
        "applicationServerName": name,
        "applicationServerVersion": env!("CARGO_PKG_VERSION"),
        "hostname": "localhost",
        "capabilities": capabilities,
        "events": events,
    });
    event("onServerInfo", &body)
}

/// The connect itself is the first source that a viewer gets. It was no switch, so that it has no tag and no number.
#[must_use]
pub fn connected() -> String {
    Switch::default().succeeded()
}

/// The stream is live.
#[must_use]
pub fn stream_status(stream: &str) -> String {
    event(
        "onStreamStatus",
        &json!({ "stream": stream, "status": "started" }),
    )
}

/// What follows; `mime_type` is for a `MediaSource`.
#[must_use]
pub fn stream_info(stream: &str, mime_type: &str, picture: Picture, sound: Sound) -> String {
    let body = json!({
        "stream": stream,
        "mimeType": mime_type,
        "haveVideo": true,
        "haveAudio": true,
        "videoInfo": {
            "width": picture.width,
            "height": picture.height,
            "frameRate": picture.frame_rate,
        },
        "audioInfo": {
            "sampleRate": sound.sample_rate,
            "channels": sound.channels,
            "bitsPerSample": sound.bits_per_sample,
        },
    });
    event("onStreamInfo", &body)
}

/// A keyframe is next. Media time in milliseconds.
#[must_use]
pub fn random_access_point(stream: &str, milliseconds: u64) -> String {
    let body = json!({ "stream": stream, "streamTime": milliseconds });
    event("onRandomAccessPoint", &body)
}

/// What a real stream would carry for the page. Media time in milliseconds.
#[must_use]
pub fn meta_data(stream: &str, milliseconds: u64) -> String {
    let body = json!({
        "handlerName": "onMetaData",
        "message": { "stream": stream },
        "streamTime": milliseconds,
    });
    event("onMetaData", &body)
}

fn event(name: &str, body: &Value) -> String {
    json!({ "eventType": name, name: body }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_is_answered_with_what_was_its_own() {
        let text = r#"{"eventType":"onUpdateSource","requestId":7,"onUpdateSource":{"options":{"faststart":true},
            "tag":"t","count":3,"rtmp":{"url":"rtmp://localhost/play","stream":"demo1-camera2"},"unknown":[1]}}"#;
        let Some(Wish::Switch(message)) = Wish::read(text) else {
            panic!("no switch")
        };
        let switch = Switch::from(message);
        assert_eq!(switch.stream(), "demo1-camera2");
        assert_eq!(
            serde_json::from_str::<Value>(&switch.succeeded()).unwrap(),
            json!({ "eventType": "onUpdateSourceSuccess",
                "onUpdateSourceSuccess": { "tag": "t", "count": 3, "requestId": 7 } })
        );
        assert_eq!(
            serde_json::from_str::<Value>(&switch.aborted(Abort::EqualSource)).unwrap(),
            json!({ "eventType": "onUpdateSourceAbort", "onUpdateSourceAbort":
                { "tag": "t", "count": 3, "requestId": 7, "reason": "equalsource" } })
        );
    }

    #[test]
    fn an_answer_has_every_field_whatever_the_switch_left_out() {
        let bare = r#"{"eventType":"onUpdateSource","onUpdateSource":{"rtmp":{"stream":"demo1-camera2"}}}"#;
        let Some(Wish::Switch(message)) = Wish::read(bare) else {
            panic!("no switch")
        };
        let switch = Switch::from(message);
        let told =
            |text: String, event: &str| serde_json::from_str::<Value>(&text).unwrap()[event].take();
        let plain = json!({ "tag": "", "count": 0, "requestId": 0 });
        assert_eq!(told(connected(), "onUpdateSourceSuccess"), plain);
        assert_eq!(told(switch.succeeded(), "onUpdateSourceSuccess"), plain);
        assert_eq!(
            told(switch.failed(), "onUpdateSourceError"),
            json!({ "tag": "", "count": 0, "requestId": 0, "code": 4400, "reason": "notfound" })
        );
    }

    #[test]
    fn play_and_pause_may_have_bodies() {
        let read = |text| Wish::read(text).unwrap();
        assert_eq!(
            read(r#"{"eventType":"onPlay","onPlay":{},"requestId":1}"#),
            Wish::Play
        );
        assert_eq!(read(r#"{"eventType":"onPause"}"#), Wish::Pause);
        assert_eq!(read(r#"{"eventType":"onSomething","x":1}"#), Wish::Unknown);
    }

    #[test]
    fn what_is_no_message_is_nothing() {
        for text in [
            "",
            "resume",
            "[]",
            "{}",
            r#"{"eventType":"onUpdateSource"}"#,
        ] {
            assert_eq!(Wish::read(text), None, "{text}");
        }
    }
}
