//! The allow-list of the messages that a viewer may send to a media server (protocol.md 5), serialised anew.

use serde_json::{Map, Value};

use super::json::{any_text, is_read_as, looks_like_json, strict, strict_object};
use super::source_keys::without_source;
use super::switch::{self, SwitchRequest};

/// What becomes of a viewer's message.
#[derive(Debug, PartialEq)]
pub enum Message {
    /// Goes on as this text.
    Forward {
        /// The message, serialised by us.
        text: String,
        /// What it asks for.
        asks: PlayPause,
    },
    /// A new decision is needed.
    Switch(Box<SwitchRequest>),
    /// An event that is not on the list.
    Unlisted,
}

/// What a forwarded message asks for, by which the media server may be silent or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlayPause {
    /// Media from now on.
    Play,
    /// No media until [`Play`](Self::Play), which may be minutes.
    Pause,
}

/// A message that is no JSON object, or one that two JSON readers could understand differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnEvent;

impl Message {
    /// Reads one text message.
    pub fn read(text: &[u8]) -> Result<Self, NotAnEvent> {
        let mut object = strict_object(text).ok_or(NotAnEvent)?;
        let (event, asks) = match object.get("eventType").and_then(Value::as_str) {
            Some("onPlay") => ("onPlay", PlayPause::Play),
            Some("onPause") => ("onPause", PlayPause::Pause),
            Some(switch::EVENT) => {
                return Ok(Self::Switch(Box::new(SwitchRequest::new(object))));
            }
            _ => return Ok(Self::Unlisted),
        };
        let mut fresh = Map::new();
        fresh.insert("eventType".to_owned(), event.into());
        for key in [event, "requestId"] {
            if let Some(value) = object.remove(key) {
                fresh.insert(key.to_owned(), without_source(value));
            }
        }
        Ok(Self::Forward {
            text: Value::Object(fresh).to_string(),
            asks,
        })
    }
}

/// Whether some reader could find a switch in a message that [`Message::read`] takes for none: it looks like JSON but
/// readers could disagree on it, or it has the event's name anywhere.
#[must_use]
pub fn hides_switch(message: &[u8]) -> bool {
    let named = |value| any_text(&value, &|text| is_read_as(text, switch::EVENT));
    looks_like_json(message) && strict(message).is_none_or(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwarded(text: &str) -> String {
        match Message::read(text.as_bytes()) {
            Ok(Message::Forward { text, .. }) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_listed_event_travels_on_with_nothing_beside_it() {
        let smuggled = r#"{"onUpdateSource":{"rtmp":{"stream":"b"}},"requestId":7,"eventType":"onPlay","x":1,
            "onPlay":{"faststart":2,"rtmp":{"stream":"b"},"Stream":"b","a":[{"\u017ftream":"b"," token":1}],"params":"stream=b"},"onPause":{}}"#;
        let clean = r#"{"eventType":"onPlay","onPlay":{"faststart":2,"a":[{}]},"requestId":7}"#;
        let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(value(&forwarded(smuggled)), value(clean));
        assert_eq!(
            forwarded(r#"{"eventType":"onPause"}"#),
            r#"{"eventType":"onPause"}"#
        );
    }

    #[test]
    fn the_event_is_matched_to_the_letter() {
        for text in [
            r#"{"eventType":"onplay"}"#,
            r#"{"eventType":"onPlay "}"#,
            r#"{"eventtype":"onPlay"}"#,
            r#"{"eventType":1}"#,
            r#"{"eventType":["onUpdateSource"]}"#,
            "{}",
            r#"{"eventType":"onUpdatesource"}"#,
        ] {
            assert_eq!(
                Message::read(text.as_bytes()),
                Ok(Message::Unlisted),
                "{text}"
            );
        }
        let escaped = br#"{"eventType":"onUpdate\u0053ource","onUpdateSource":{}}"#;
        assert!(matches!(Message::read(escaped), Ok(Message::Switch(_))));
    }
    #[test]
    fn a_switch_that_only_some_readers_find_is_noticed() {
        for text in [
            r#"{"eventType":"onupdatesource"}"#,
            r#"{"EventType":"onUpdateSource"}"#,
            r#"{"eventType":"x","onUpdate\u0053ource":{}}"#,
            r#"[{"eventType":" onUpdateSource"}]"#,
            r#"{"eventType":"onUpdate\u017fource"}"#,
            r#"{"eventType":"x","eventType":"y"}"#,
            "\u{feff}{}",
            "/**/{}",
            r#"{"eventType":"x"}{"eventType":"onUpdateSource"}"#,
        ] {
            assert!(hides_switch(text.as_bytes()), "{text}");
        }
        for text in [
            "onUpdateSource",
            "hello",
            r#"{"eventType":"x","y":"a\"b"}"#,
            "[1]",
            "{}",
        ] {
            assert!(!hides_switch(text.as_bytes()), "{text}");
        }
    }
}
