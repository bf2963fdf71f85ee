//! The text messages of H5Live (PROTOCOL.md 5): `{"eventType":E,E:{…}}` in both directions.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::demo::catalogue::LiveStream;

/// What a viewer can ask for.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(tag = "eventType")]
pub(super) enum Wish {
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
pub(super) struct SwitchMessage {
    on_update_source: Switch,
    request_id: Option<Value>,
}

/// A switch. Its tag, count and number are the viewer's own and go back as they came.
#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub(super) struct Switch {
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

/// Why a switch is not made though nothing is wrong with it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Abort {
    /// The stream plays already.
    EqualSource,
    /// Another switch came before this one was made.
    Superseded,
}

impl Wish {
    /// Reads a text message; `None` when it is no message of this protocol.
    pub(super) fn read(text: &str) -> Option<Self> {
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
    pub(super) fn stream(&self) -> &str {
        &self.rtmp.stream
    }

    /// The stream follows.
    pub(super) fn succeeded(&self) -> String {
        event("onUpdateSourceSuccess", &self.own().into())
    }

    /// The stream stays.
    pub(super) fn aborted(&self, abort: Abort) -> String {
        let reason = match abort {
            Abort::EqualSource => "equalsource",
            Abort::Superseded => "superseded",
        };
        self.with_reason("onUpdateSourceAbort", reason)
    }

    /// There is no such stream.
    pub(super) fn failed(&self) -> String {
        self.with_reason("onUpdateSourceError", "notfound")
    }

    fn with_reason(&self, name: &str, reason: &str) -> String {
        let mut body = self.own();
        body.insert("reason".to_owned(), reason.into());
        event(name, &body.into())
    }

    fn own(&self) -> Map<String, Value> {
        let own = [
            ("tag", &self.tag),
            ("count", &self.count),
            ("requestId", &self.request_id),
        ];
        let given = own
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value.clone()?)));
        given.collect()
    }
}

/// Who this is and what it can do.
pub(super) fn server_info() -> String {
    let body = json!({
        "name": "h5gate demo",
        "version": env!("CARGO_PKG_VERSION"),
        "capabilities": ["onPlay", "onPause", "onUpdateSource", "paused", "metastreamonly"],
    });
    event("onServerInfo", &body)
}

/// The stream is live.
pub(super) fn stream_status(stream: &LiveStream) -> String {
    let body = json!({ "stream": stream.name, "status": "started" });
    event("onStreamStatus", &body)
}

/// What follows, for a `MediaSource`.
pub(super) fn stream_info(stream: &LiveStream) -> String {
    let clip = &stream.clip;
    let body = json!({
        "stream": stream.name,
        "mimeType": clip.mime_type(),
        "width": clip.width(),
        "height": clip.height(),
        "haveVideo": true,
        "haveAudio": true,
    });
    event("onStreamInfo", &body)
}

/// A keyframe is next. Media time in milliseconds.
pub(super) fn random_access_point(stream: &LiveStream, milliseconds: u64) -> String {
    let body = json!({ "stream": stream.name, "streamTime": milliseconds });
    event("onRandomAccessPoint", &body)
}

/// What a real stream would carry for the page. Media time in milliseconds.
pub(super) fn meta_data(stream: &LiveStream, milliseconds: u64) -> String {
    let body = json!({ "stream": stream.name, "streamTime": milliseconds });
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
