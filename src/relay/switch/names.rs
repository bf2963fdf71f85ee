//! Which switch an answer of the media server is to: by tag, count and id (protocol.md 5).

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde_json::{Map, Value, json};

/// A switch's tag, count and id, as digests: they are the viewer's, and may be as long as a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names {
    own: [Option<u64>; 3],
    given_id: Option<u64>,
}

impl Names {
    /// Of a switch's body and id, and of the number that the gate gave it.
    pub(super) fn new(
        body: &Map<String, Value>,
        request_id: Option<&Value>,
        given_id: Option<u32>,
    ) -> Self {
        Self {
            own: names(body, request_id).map(|name| name.map(digest)),
            given_id: given_id.map(|id| digest(&id.into())),
        }
    }

    /// Whether an answer of the media server can be to this switch. It can when it carries the id that the gate gave the switch.
    /// It can when none of the names that both carry differ, and it is not named like the answer to the connect, unless the
    /// switch has id 0 itself. An answer without any name can be to any switch.
    #[must_use]
    pub fn are_in(&self, answer: &Answer) -> bool {
        let [tag, count, id] = answer.names();
        if self.given_id.is_some() && self.given_id == id.map(digest) {
            return true;
        }
        let [own_tag, own_count, own_id] = self.own;
        let (mut named, mut known) = (false, false);
        for (own, told, empty) in [
            (own_tag, tag, Some(json!(""))),
            (own_count, count, Some(json!(0))),
            (own_id, id, own_id.is_none().then(|| json!(0))),
        ] {
            let Some(told) = told else { continue };
            if own.is_some_and(|own| own != digest(told)) {
                return false;
            }
            named = true;
            known |= Some(told) != empty.as_ref();
        }
        known || !named
    }

    /// Whether an answer has the id with which this switch was sent to the media server.
    #[must_use]
    pub fn have_id_of(&self, answer: &Answer) -> bool {
        let [_, _, own_id] = self.own;
        let [_, _, id] = answer.names();
        id.is_some() && self.given_id.or(own_id) == id.map(digest)
    }
}

/// Tag, count and id of a switch or an answer, where they are given.
pub(super) fn names<'a>(
    body: &'a Map<String, Value>,
    id: Option<&'a Value>,
) -> [Option<&'a Value>; 3] {
    [body.get("tag"), body.get("count"), id].map(|name| name.filter(|name| !name.is_null()))
}

fn digest(name: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

/// The media server's answer to a switch.
#[derive(Debug)]
pub struct Answer {
    /// Whether the switch's token is the connection's from now on.
    pub taken: bool,
    body: Map<String, Value>,
    request_id: Option<Value>,
}

impl Answer {
    /// Reads a text message of the media server; `None` when it answers no switch.
    #[must_use]
    pub fn read(text: &[u8]) -> Option<Self> {
        let Ok(Value::Object(mut message)) = serde_json::from_slice(text) else {
            return None;
        };
        let event = message.get("eventType")?.as_str()?.to_owned();
        let body = match message.remove(&event) {
            Some(Value::Object(body)) => body,
            _ => Map::new(),
        };
        let taken = match event.as_str() {
            "onUpdateSourceSuccess" => true,
            "onUpdateSourceAbort" => {
                body.get("reason").and_then(Value::as_str) == Some("equalsource")
            }
            "onUpdateSourceError" | "onUpdateSourceFail" => false,
            _ => return None,
        };
        let request_id = message
            .remove("requestId")
            .or_else(|| body.get("requestId").cloned());
        Some(Self {
            taken,
            body,
            request_id,
        })
    }

    /// Whether it can be the answer to the connect, which is a message of the same form with an empty tag and zeroes for
    /// numbers (protocol.md 5). It may come after the viewer's first switch.
    #[must_use]
    pub fn is_named_as_the_connects(&self) -> bool {
        let [tag, count, id] = self.names();
        let mut told = [(tag, json!("")), (count, json!(0)), (id, json!(0))]
            .into_iter()
            .filter_map(|(name, empty)| name.map(|name| *name == empty))
            .peekable();
        told.peek().is_some() && told.all(|is_empty| is_empty)
    }

    fn names(&self) -> [Option<&Value>; 3] {
        names(&self.body, self.request_id.as_ref())
    }
}
