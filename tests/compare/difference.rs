//! What counts as the same answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde::Deserialize;

use crate::case::{Case, Differs};
use crate::common::Answer;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    ignored_headers: BTreeMap<String, String>,
    no_content_length: Vec<u16>,
    /// By header: items of its comma-separated list that are not compared.
    dropped_values: BTreeMap<String, Vec<String>>,
}

static RULES: LazyLock<Rules> = LazyLock::new(|| serde_norway::from_str(include_str!("rules.yaml")).unwrap());

/// What is known about one side, so that what differs by nature can be replaced by names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    /// (text, its name); the longest texts are replaced first.
    replaced: Vec<(String, String)>,
    /// UUIDs that are given by the cases and therefore stay as they are.
    kept: BTreeSet<String>,
}

impl Names {
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

    /// The text with everything replaced that differs from run to run.
    fn normal(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (from, to) in &self.replaced {
            text = text.replace(from, to);
        }
        sort_tags(&self.scan(&text))
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

/// Everything in which our answer is not upstream's, in words.
pub(crate) fn differences(case: &Case, theirs: (&Answer, &Names), ours: (&Answer, &Names)) -> Vec<String> {
    if let Some(deliberate) = &case.ours {
        return deliberate_differences(deliberate, ours);
    }
    let mut found = Vec::new();
    let mut compare = |what: &str, theirs: &str, ours: &str| {
        if theirs != ours && !case.ignore.iter().any(|ignored| ignored == what) {
            let (theirs, ours) = around_first_difference(theirs, ours);
            found.push(format!("{what}\n      upstream: {theirs}\n      ours:     {ours}"));
        }
    };
    compare("status", &theirs.0.status.to_string(), &ours.0.status.to_string());
    compare("reason", &theirs.0.reason, &ours.0.reason);
    let (their_headers, our_headers) = (headers(theirs), headers(ours));
    for name in their_headers.keys().chain(our_headers.keys()).collect::<BTreeSet<_>>() {
        let absent = "(absent)".to_owned();
        compare(name, their_headers.get(name).unwrap_or(&absent), our_headers.get(name).unwrap_or(&absent));
    }
    compare("body", &body(theirs), &body(ours));
    found
}

/// Of long texts, the part where they begin to differ.
fn around_first_difference(one: &str, other: &str) -> (String, String) {
    const BEFORE: usize = 60;
    const SHOWN: usize = 400;
    let same = one.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
    let skipped = same.saturating_sub(BEFORE);
    let part = |text: &str| {
        let start = if skipped == 0 { "" } else { "…" };
        let end = if text.chars().count() > skipped + SHOWN { "…" } else { "" };
        format!("{start}{}{end}", text.chars().skip(skipped).take(SHOWN).collect::<String>())
    };
    (part(one), part(other))
}

/// A deliberate difference that is none: upstream answers what was said of us.
pub(crate) fn out_of_date(deliberate: &Differs, theirs: (&Answer, &Names)) -> Option<String> {
    let none = deliberate_differences(deliberate, theirs).is_empty();
    none.then(|| format!("no difference any more\n      upstream answers what is stated: {}", deliberate.why))
}

fn deliberate_differences(deliberate: &Differs, ours: (&Answer, &Names)) -> Vec<String> {
    let mut found = Vec::new();
    let mut check = |what: &str, wanted: &str, got: &str| {
        if wanted != got {
            found.push(format!("{what} ({})\n      deliberate: {wanted}\n      ours:       {got}", deliberate.why));
        }
    };
    if let Some(status) = deliberate.status {
        check("status", &status.to_string(), &ours.0.status.to_string());
    }
    if let Some(text) = &deliberate.body {
        check("body", text, &body(ours));
    }
    let document: serde_json::Value = serde_json::from_slice(&ours.0.body).unwrap_or_default();
    for (pointer, value) in &deliberate.json {
        check(pointer, &value.to_string(), &document.pointer(pointer).unwrap_or(&serde_json::Value::Null).to_string());
    }
    let headers = headers(ours);
    for (name, value) in &deliberate.headers {
        check(name, value, headers.get(name).map_or("(absent)", String::as_str));
    }
    found
}

fn headers((answer, names): (&Answer, &Names)) -> BTreeMap<String, String> {
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in &answer.headers {
        if RULES.ignored_headers.contains_key(name)
            || name == "content-length" && RULES.no_content_length.contains(&answer.status)
        {
            continue;
        }
        // The length of a text varies with ports and paths in it; it must be true, that is all.
        let value = match name.as_str() {
            "content-length" if *value == answer.body.len().to_string() => "that of the body".to_owned(),
            _ => names.normal(&without_dropped(name, value)),
        };
        headers.entry(name.clone()).and_modify(|all| *all += &format!(" | {value}")).or_insert(value);
    }
    headers
}

fn without_dropped(name: &str, value: &str) -> String {
    let Some(dropped) = RULES.dropped_values.get(name) else { return value.to_owned() };
    value.split(',').filter(|item| !dropped.iter().any(|other| other == item)).collect::<Vec<_>>().join(",")
}

fn body((answer, names): (&Answer, &Names)) -> String {
    match str::from_utf8(&answer.body) {
        Ok(text) if answer.header("content-type") != Some("application/octet-stream") => names.normal(text),
        Ok(text) if text.len() < 200 => text.to_owned(),
        _ => format!("{} bytes, sha256 {}", answer.body.len(), digest(&answer.body)),
    }
}

fn digest(bytes: &[u8]) -> String {
    use sha2::Digest;
    hex::encode(sha2::Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, header: (&str, &str), body: &str) -> Answer {
        let headers = vec![(header.0.to_owned(), header.1.to_owned())];
        Answer { status, reason: "OK".to_owned(), headers, body: body.into() }
    }

    fn found(theirs: &Answer, ours: &Answer) -> Vec<String> {
        let names = Names::default();
        differences(&Case::default(), (theirs, &names), (ours, &names))
    }

    #[test]
    fn what_differs_is_seen() {
        let one = answer(200, ("allow", "GET"), "{\"a\": 1}");
        assert_eq!(found(&one, &one), Vec::<String>::new());
        assert!(found(&one, &answer(201, ("allow", "GET"), "{\"a\": 1}"))[0].starts_with("status"));
        assert!(found(&one, &answer(200, ("allow", "PUT"), "{\"a\": 1}"))[0].starts_with("allow"));
        assert!(found(&one, &answer(200, ("allow", "GET"), "{\"a\":1}"))[0].starts_with("body"));
        assert_eq!(found(&one, &answer(200, ("x-other", "GET"), "{\"a\": 1}")).len(), 2, "absent and new header");
        let named = Answer { reason: "Fine".to_owned(), ..one.clone() };
        assert!(found(&one, &named)[0].starts_with("reason"));
        assert_eq!(found(&one, &answer(200, ("allow", "GET"), "{\"a\": 1} ")).len(), 1, "a blank at the end");
    }

    #[test]
    fn a_false_content_length_is_seen() {
        let good = answer(200, ("content-length", "3"), "abc");
        let longer = answer(200, ("content-length", "4"), "abc");
        assert!(found(&good, &longer)[0].starts_with("content-length"));
    }

    #[test]
    fn chance_is_not_a_difference() {
        let (mut theirs, mut ours) = (Names::default(), Names::default());
        theirs.replace("127.0.0.1:1111", "server");
        ours.replace("127.0.0.1:22222", "server");
        let one = "{\"id\": \"0a000000-0000-0000-0000-00000000000b\", \"at\": \"2024-01-01T00:00:00Z\", \"u\": \"127.0.0.1:1111\"}";
        let two = "{\"id\": \"0a000000-0000-0000-0000-00000000000c\", \"at\": \"2025-01-01T00:00:00Z\", \"u\": \"127.0.0.1:22222\"}";
        assert_eq!(theirs.normal(one), ours.normal(two));
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
