//! JSON from a viewer, read so that no second reader can understand it differently: no duplicate keys, bounded depth.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// How deep objects and arrays may nest; players' messages nest three deep.
const DEPTH_LIMIT: usize = 16;

/// Reads one JSON value and nothing behind it.
#[must_use]
pub fn strict(text: &[u8]) -> Option<Value> {
    // Checked first: serde_json checks UTF-8 inside strings alone.
    let text = std::str::from_utf8(text).ok()?;
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Strict { depth: 0 }.deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    Some(value)
}

/// Reads one JSON object and nothing behind it.
#[must_use]
pub fn strict_object(text: &[u8]) -> Option<Map<String, Value>> {
    if let Value::Object(object) = strict(text)? {
        Some(object)
    } else {
        None
    }
}

/// Whether a reader could take a message for JSON: the strictest one, or one that skips a byte order mark, blanks and
/// comments.
#[must_use]
pub fn looks_like_json(message: &[u8]) -> bool {
    let text = message
        .utf8_chunks()
        .next()
        .map_or("", |chunk| chunk.valid());
    let blank = |c: char| c.is_whitespace() || c.is_control() || c == '\u{feff}';
    let text = text.trim_start_matches(blank);
    ["{", "[", "//", "/*"]
        .iter()
        .any(|start| text.starts_with(start))
}

/// Whether a forgiving reader takes one name for the other: in any letter case, with blanks around it or `[0]` behind it.
/// Some fold all of Unicode, where the long s is an s and the Kelvin sign a k.
#[must_use]
pub fn is_read_as(given: &str, name: &str) -> bool {
    let bare = given.split('[').next().unwrap_or_default();
    let bare = bare.trim_matches(|c: char| c.is_whitespace() || c.is_control());
    let fold = |text: &str| -> Vec<char> {
        text.chars()
            .flat_map(char::to_uppercase)
            .flat_map(char::to_lowercase)
            .collect()
    };
    bare.eq_ignore_ascii_case(name) || !bare.is_ascii() && fold(bare) == fold(name)
}

/// Whether any key or text in `value`, however deep, passes `test`.
pub fn any_text(value: &Value, test: &impl Fn(&str) -> bool) -> bool {
    match value {
        Value::String(text) => test(text),
        Value::Array(items) => items.iter().any(|item| any_text(item, test)),
        Value::Object(object) => object
            .iter()
            .any(|(key, value)| test(key) || any_text(value, test)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Removes every entry, however deep, whose key passes `test`.
pub fn remove_keys(value: &mut Value, test: &impl Fn(&str) -> bool) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| remove_keys(item, test)),
        Value::Object(object) => {
            object.retain(|key, _| !test(key));
            object
                .values_mut()
                .for_each(|value| remove_keys(value, test));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Reads one value at a depth.
struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: de::Error>(&self) -> Result<Self, E> {
        if self.depth == DEPTH_LIMIT {
            Err(E::custom("nested too deep"))
        } else {
            Ok(Self {
                depth: self.depth + 1,
            })
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without duplicate keys")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        serde_json::Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self.deeper()?)? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(self.deeper()?)?;
            if object.insert(key, value).is_some() {
                return Err(de::Error::custom("a key occurs twice"));
            }
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        for bad in [
            r#"{"a":1,"a":2}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"a":{"b":1,"b":1}}"#,
            r#"{"a":[{"b":1,"b":2}]}"#,
            r#"{"a":1} {"a":2}"#,
            r#"{"a":1}x"#,
            "[]",
            "1",
            "null",
            r#""a""#,
            "",
            "{",
            r#"{"a":NaN}"#,
            r#"{"a":1e999}"#,
            r#"{'a':1}"#,
            r#"{"a":1,}"#,
            "\u{feff}{}",
            r#"{/**/"a":1}"#,
            r#"{"a":"\ud800"}"#,
        ] {
            assert_eq!(strict_object(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(strict_object(b"{\"a\":\"\xff\"}"), None);
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(64), "]".repeat(64));
        assert_eq!(strict_object(deep.as_bytes()), None);
    }

    #[test]
    fn a_forgiving_reader_is_foreseen() {
        for text in [
            "{",
            " [",
            "\u{feff}{",
            "\0\u{a0}{",
            "// x\n{",
            "/**/{",
            "{\u{fffd}",
        ] {
            assert!(looks_like_json(text.as_bytes()), "{text:?}");
        }
        assert!(looks_like_json(b"{\xff"));
        for text in ["", "hello {", "/join", "ü{", "\"{\"", "1"] {
            assert!(!looks_like_json(text.as_bytes()), "{text:?}");
        }
        for given in ["token", "Token", "TO\u{212a}EN", " token\0", "token[]"] {
            assert!(is_read_as(given, "token"), "{given}");
        }
        assert!(is_read_as("\u{17f}tream", "stream"));
        assert!(!is_read_as("streams", "stream") && !is_read_as("ştream", "stream"));
    }

    #[test]
    fn a_number_goes_on_as_it_came() {
        for text in [
            r#"{"a":0.7436218763214321}"#,
            r#"{"a":6.934698245112694e+276}"#,
            r#"{"a":1700000000123.4568}"#,
            r#"{"a":18446744073709551615}"#,
            r#"{"a":-9223372036854775808}"#,
        ] {
            let object = strict_object(text.as_bytes()).unwrap();
            assert_eq!(Value::Object(object).to_string(), text);
        }
    }

    #[test]
    fn what_players_send_is_read() {
        let text =
            r#"{"eventType":"onPlay","onPlay":{"a":[1,-2,3.5,null,true,"ü\n"]},"requestId":7}"#;
        let object = strict_object(text.as_bytes()).unwrap();
        assert_eq!(
            serde_json::to_value(object).unwrap(),
            serde_json::from_str::<Value>(text).unwrap()
        );
    }
}
