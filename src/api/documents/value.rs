//! JSON text as a value, within a budget: a value in memory is up to a hundred times as large as its text.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::progress::Progress;

/// Why a text was not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    Malformed,
    /// It has more values than the budget.
    TooMany,
    /// Nobody waits for it any more.
    Abandoned,
}

/// The value of a text, if it has no more than `most` values, those within lists and objects and the names of members counted.
pub(super) fn read(text: &[u8], most: usize, progress: &Progress) -> Result<Value, Unread> {
    let budget = Budget { left: Cell::new(most), progress, stopped: Cell::new(None) };
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let read = Within(&budget).deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    read.map_err(|_| budget.stopped.get().unwrap_or(Unread::Malformed))
}

/// At most so many values does [`read`] find in a text, if it is JSON: each but the first comes after one of these characters.
pub(super) fn count_at_most(text: &[u8]) -> usize {
    1 + text.iter().filter(|byte| matches!(byte, b',' | b':' | b'[' | b'{')).count()
}

struct Budget<'a> {
    left: Cell<usize>,
    progress: &'a Progress,
    stopped: Cell<Option<Unread>>,
}

impl Budget<'_> {
    /// Values between two looks at whether anybody still waits.
    const STRETCH: usize = 1024;

    fn spend<E: serde::de::Error>(&self) -> Result<(), E> {
        let Some(left) = self.left.get().checked_sub(1) else { return Err(self.stop(Unread::TooMany)) };
        self.left.set(left);
        if left % Self::STRETCH == 0 && self.progress.is_abandoned() {
            return Err(self.stop(Unread::Abandoned));
        }
        Ok(())
    }

    fn stop<E: serde::de::Error>(&self, reason: Unread) -> E {
        self.stopped.set(Some(reason));
        E::custom("stopped")
    }
}

#[derive(Clone, Copy)]
struct Within<'a>(&'a Budget<'a>);

impl<'de> DeserializeSeed<'de> for Within<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.0.spend()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Within<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            self.0.spend()?;
            object.insert(name, members.next_value_seed(self)?);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(text: &str) -> Result<Value, Unread> {
        read(text.as_bytes(), 1000, &Progress::default())
    }

    #[test]
    fn values_are_those_of_serde_json() {
        for text in [
            r#"{"a": [1, -2, 2.5, 1e3, 18446744073709551615, true, null], "b": {}, "é\u0041\ud83c\udf88": "\n\"x"}"#,
            r#"{"z": 1, "a": {"y": 2, "b": []}, "z": 3}"#,
            " [ ] ",
            "-0.0",
            "\"\"",
            "123456789012345678901234567890",
        ] {
            let value = read_all(text).unwrap();
            assert_eq!(value, serde_json::from_str::<Value>(text).unwrap());
            assert_eq!(value.to_string(), serde_json::from_str::<Value>(text).unwrap().to_string(), "order counts");
        }
        let deepest = format!("{}{}", "[".repeat(127), "]".repeat(127));
        assert!(read_all(&deepest).is_ok());
        for text in ["", "[", "{\"a\" 1}", "[1,]", "[] []", "nul", "1e999", "\"\u{1}\"", &format!("[{deepest}]")] {
            assert_eq!(read_all(text), Err(Unread::Malformed), "{text}");
            assert!(serde_json::from_str::<Value>(text).is_err());
        }
        assert_eq!(read(b"\"\xff\"", 1000, &Progress::default()), Err(Unread::Malformed));
    }

    #[test]
    fn the_budget_is_what_the_text_may_hold_and_no_more() {
        for (text, count) in [("1", 1), ("[]", 1), ("[1, 2]", 3), (r#"{"a": 1, "b": [2]}"#, 6), (r#"{"a,b": ""}"#, 3)] {
            assert!(read(text.as_bytes(), count, &Progress::default()).is_ok(), "{text}");
            assert_eq!(read(text.as_bytes(), count - 1, &Progress::default()), Err(Unread::TooMany), "{text}");
            assert!(count_at_most(text.as_bytes()) >= count, "{text}");
        }
    }

    #[test]
    fn reading_ends_when_nobody_waits() {
        let progress = Progress::default();
        progress.abandon();
        let text = format!("[{}0]", "0,".repeat(10_000));
        assert_eq!(read(text.as_bytes(), 100_000, &progress), Err(Unread::Abandoned));
    }
}
