//! Names for all in an answer that differs from run to run.

use std::collections::BTreeSet;

use serde_json::Value;

/// What is known about one side, so that what differs by nature can be replaced by names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    /// (text, its name); the longest texts are replaced first.
    replaced: Vec<(String, String)>,
    /// UUIDs that are given by the cases and therefore stay as they are.
    kept: BTreeSet<String>,
    /// Both sides look at one database: ids and times are the same.
    is_exact: bool,
    /// Upstream asks for some rows without saying in which order, and this database gives them in another one each time.
    is_unordered: bool,
}

/// Fields of cached images with seconds since 1970.
const SECONDS: [&str; 2] = ["\"last_accessed\": ", "\"last_modified\": "];

/// The lists of such rows. Custom properties are some as well: they are the fields of an object.
const UNORDERED: [&str; 4] = ["members", "objects", "resource_type_associations", "tags"];

impl Names {
    /// For two services on one database.
    pub(crate) fn exact() -> Self {
        Self { is_exact: true, is_unordered: true, ..Self::default() }
    }

    /// For a server's database.
    pub(crate) fn unordered(mut self) -> Self {
        self.is_unordered = true;
        self
    }

    pub(crate) fn keep_uuids_of(&mut self, text: &str) {
        let bytes = text.as_bytes();
        for at in 0..bytes.len() {
            if let Some(uuid) = uuid_at(bytes, at) {
                self.kept.insert(uuid.to_owned());
            }
        }
    }

    pub(crate) fn replace(&mut self, text: &str, name: &str) {
        self.replaced.push((text.to_owned(), format!("<{name}>")));
        self.replaced.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
    }

    /// Something else has this name now.
    pub(crate) fn forget(&mut self, name: &str) {
        let name = format!("<{name}>");
        self.replaced.retain(|(_, known)| *known != name);
    }

    /// The text with everything replaced that differs from run to run.
    pub(crate) fn normal(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (from, to) in &self.replaced {
            text = text.replace(from, to);
        }
        sort_tags(&if self.is_exact { text } else { self.scan(&text) })
    }

    /// A document with all that has no order here sorted; any other text as it is.
    pub(crate) fn in_order(&self, text: String) -> String {
        match serde_json::from_str(&text) {
            Ok(document) if self.is_unordered => in_order(document).to_string(),
            _ => text,
        }
    }

    fn scan(&self, text: &str) -> String {
        let bytes = text.as_bytes();
        let mut result = Vec::with_capacity(bytes.len());
        let mut at = 0;
        while at < bytes.len() {
            if let Some(uuid) = uuid_at(bytes, at) {
                let known = self.kept.contains(uuid);
                result.extend_from_slice(if known { uuid.as_bytes() } else { b"<uuid>" });
                at += 36;
            } else if matches(bytes, at, b"dddd-dd-ddTdd:dd:ddZ") {
                result.extend_from_slice(b"<time>");
                at += 20;
            } else if matches(bytes, at, b"dddd-dd-ddTdd:dd:dd.dddddd\"") {
                result.extend_from_slice(b"<time with a fraction>");
                at += 26;
            } else if matches(bytes, at, b"dddd-dd-ddTdd:dd:dd\"") {
                result.extend_from_slice(b"<time without a zone>");
                at += 19;
            } else if let Some(name) = SECONDS.iter().find(|name| bytes[at..].starts_with(name.as_bytes())) {
                at += name.len();
                let digits = |at: usize| bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                at += digits(at);
                let has_fraction = bytes.get(at) == Some(&b'.');
                if has_fraction {
                    at += 1 + digits(at + 1);
                }
                let shown = if has_fraction { "\"<seconds with a fraction>\"" } else { "\"<seconds>\"" };
                result.extend_from_slice(format!("{name}{shown}").as_bytes());
            } else {
                result.push(bytes[at]);
                at += 1;
            }
        }
        String::from_utf8(result).unwrap()
    }
}

/// `pattern` at this place: `d` is a decimal digit, `x` a hexadecimal one, all else itself.
fn matches(bytes: &[u8], at: usize, pattern: &[u8]) -> bool {
    bytes.get(at..at + pattern.len()).is_some_and(|found| {
        found.iter().zip(pattern).all(|(byte, wanted)| match wanted {
            b'd' => byte.is_ascii_digit(),
            b'x' => byte.is_ascii_hexdigit(),
            other => byte == other,
        })
    })
}

fn uuid_at(bytes: &[u8], at: usize) -> Option<&str> {
    matches(bytes, at, b"xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx").then(|| str::from_utf8(&bytes[at..at + 36]).unwrap())
}

/// Upstream keeps tags in a set, so their order is chance: sorts each `"tags": [...]` of a document.
fn sort_tags(text: &str) -> String {
    const START: &str = "\"tags\": [";
    let mut result = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(START) {
        let mut items =
            serde_json::Deserializer::from_str(&rest[before.len() + START.len() - 1..]).into_iter::<Vec<String>>();
        let Some(Ok(mut tags)) = items.next() else { break };
        let end = items.byte_offset() - 1;
        tags.sort();
        let tags: Vec<String> = tags.iter().map(|tag| serde_json::to_string(tag).unwrap()).collect();
        result += &format!("{before}{START}{}]", tags.join(", "));
        rest = &after[end..];
    }
    result + rest
}

/// The document with all that has no order of its own sorted.
fn in_order(document: Value) -> Value {
    match document {
        Value::Object(fields) => {
            let mut fields: Vec<(String, Value)> =
                fields.into_iter().map(|(name, value)| (name, in_order(value))).collect();
            fields.sort_by(|one, two| one.0.cmp(&two.0));
            let is_cached_image = fields.iter().any(|(name, _)| name == "last_accessed");
            for (name, value) in &mut fields {
                match value {
                    Value::Array(items) if UNORDERED.contains(&name.as_str()) => items.sort_by_key(Value::to_string),
                    // A row's number: a statement that is refused takes one from a server as well.
                    Value::Number(_) if is_cached_image && name == "id" => *value = Value::from("<number>"),
                    _ => {}
                }
            }
            Value::Object(fields.into_iter().collect())
        }
        Value::Array(items) => items.into_iter().map(in_order).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_is_not_a_difference() {
        let (mut theirs, mut ours) = (Names::default(), Names::default());
        theirs.replace("127.0.0.1:1111", "server");
        ours.replace("127.0.0.1:22222", "server");
        let one = "{\"id\": \"0a000000-0000-0000-0000-00000000000b\", \"at\": \"2024-01-01T00:00:00Z\", \"u\": \"127.0.0.1:1111\"}";
        let two = "{\"id\": \"0a000000-0000-0000-0000-00000000000c\", \"at\": \"2025-01-01T00:00:00Z\", \"u\": \"127.0.0.1:22222\"}";
        assert_eq!(theirs.normal(one), ours.normal(two));
        let seconds = |accessed: &str| theirs.normal(&format!("{{\"last_accessed\": {accessed}, \"size\": 5}}"));
        assert_eq!(seconds("1700000000.25"), seconds("1800000000.0"));
        assert_ne!(seconds("1700000000.25"), seconds("1700000000"));
        let time = |text: &str| theirs.normal(&format!("\"2024-01-01T00:00:{text}\""));
        assert_eq!((time("00.123456"), time("00")), (time("01.654321"), time("01")));
        assert!(time("00.123456") != time("00") && time("00") != time("00Z"));
        // Unless the cases gave the id.
        theirs.keep_uuids_of("x 0a000000-0000-0000-0000-00000000000b y");
        assert_ne!(theirs.normal(one), ours.normal(two));
    }

    #[test]
    fn tags_are_a_set() {
        let text = "[{\"tags\": [\"b]\", \"a\"], \"x\": 1}, {\"tags\": [\"d\", \"c\"]}, {\"tags\": []}]";
        let sorted = "[{\"tags\": [\"a\", \"b]\"], \"x\": 1}, {\"tags\": [\"c\", \"d\"]}, {\"tags\": []}]";
        assert_eq!(sort_tags(text), sorted);
    }
}
